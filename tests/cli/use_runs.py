"""The runs that are measured, exported and used: on features, on pictures, with another head."""

import sys
from pathlib import Path

import yaml
from conftest import LINEAR, PICTURES, run_settings, write_yaml

from mlrepro_cli.main import main

CSRA = "csra-bce-test_resnet-digits-32"
RUNS = [LINEAR, PICTURES, CSRA]


def write_runs(repository: Path) -> None:
    """Makes RUNS those of a prepared repository."""
    settings = yaml.safe_load((repository / "params.yaml").read_text())
    write_yaml(repository / "params.yaml", settings | {"runs": RUNS})
    csra = run_settings(CSRA, head_options={"heads": 2}, normalise="half", resize="cv2")
    write_yaml(repository / "runs" / f"{CSRA}.yaml", csra)


def run_here(monkeypatch, *arguments: object) -> int:
    """Runs the command in this process; returns its exit status."""
    monkeypatch.setattr(sys, "argv", ["mlrepro", *map(str, arguments)])
    return main()
