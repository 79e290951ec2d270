"""What `mlrepro plan` takes."""

import argparse
from pathlib import Path

from mlrepro_cli import OWN_DATA

SUMMARY = "Print what a study would train and fetch, and what is done"
DESCRIPTION = f"""{SUMMARY}: trainings, GPU hours, time on this machine, downloads, disk.
Example: mlrepro plan studies/single-positive/params.yaml --measure"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "settings",
        type=Path,
        metavar="STUDY_PARAMS",
        nargs="?",
        default=OWN_DATA / "params.yaml",
        help="params.yaml of a study or of one of its pipelines (default: %(default)s)",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="time on this machine, from the first pictures and each run's first steps",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlrepro_cli.plan.plan import plan

    plan(arguments.settings, arguments.measure)
    return 0
