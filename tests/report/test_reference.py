"""A pipeline's runs beside what they gave when a reference was made of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from test_tables import by_run, cells, made_up_record

from mlrepro.errors import InputError
from mlrepro.layout import Layout, read_layout
from mlrepro.records import Record, write_record
from mlrepro.report.build import write_pages
from mlrepro.studies.reference import (
    compare,
    read_compared,
    read_reference,
    sentence,
    write_reference,
)
from mlrepro.studies.reported import load_reported
from mlrepro.studies.runs import reported_map

SOURCE = "2030-01-31, a machine with two cores, torch 2.14.1"
FIRST = "linear-bce-efficientnet_lite0-toy-224"
SECOND = "linear-asl-efficientnet_lite0-toy-224"
SEEDS = {FIRST: [0, 1], SECOND: [0, 1]}


def measured(mAP: float | None, loss: str = "bce", seed: int = 0) -> Record:
    """Its tolerance is that of its SE, 0.2 points: the least there is, 0.5."""
    if mAP is None:
        return made_up_record(loss, seed=seed, absent=["mAP"])
    return made_up_record(loss, mAP=mAP, seed=seed)


@pytest.fixture
def layout(tmp_path, monkeypatch) -> Layout:
    """A root pipeline with two runs of two seeds, all of them run."""
    monkeypatch.chdir(tmp_path)
    settings = {"name": "toy", "data": {}, "title": "Toys", "seeds": [0, 1]}
    settings["runs"] = list(SEEDS)
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    Path("runs").mkdir()

    layout = read_layout("params.yaml")
    for loss, mAPs in {"bce": (70.0, 71.0), "asl": (60.0, 60.0)}.items():
        for seed, mAP in enumerate(mAPs):
            keep(layout, measured(mAP, loss, seed))
    return layout


def keep(layout: Layout, record: Record) -> None:
    run = record.run
    settings = run.model_dump(mode="json")
    layout.run_file(run.run_id).write_text(yaml.safe_dump(settings))
    write_record(record, layout.record(run.run_id, record.seed))


# ---- Making it ---------------------------------------------------------------------------------


def test_a_reference_is_a_reported_csv(layout):
    write_reference(layout, SOURCE)
    first, second = load_reported(Path("reported.csv"))
    assert (first.run, first.printed, first.number, first.std) == (FIRST, "70.50", 70.5, 0.71)
    assert (second.run, second.printed, second.std) == (SECOND, "60.00", 0.0)
    assert first.table == "reference"
    assert first.source == SOURCE
    assert first.data_set == "toy"

    # MLflow has the delta to it.
    assert reported_map(layout, FIRST) == 70.5


def test_a_reference_is_of_all_runs(layout):
    layout.record(SECOND, 1).unlink()
    with pytest.raises(InputError, match=f"{SECOND}: has not all its records; run dvc repro"):
        write_reference(layout, SOURCE)
    assert not Path("reported.csv").exists()


def test_what_a_document_prints_is_no_reference(layout):
    Path("study.yaml").touch()
    with pytest.raises(InputError, match="holds what the study's document prints"):
        write_reference(layout, SOURCE)
    assert read_reference(layout) == []


# ---- Comparing with it -------------------------------------------------------------------------


CASES = {
    "reproduced": [70.4, 70.6],
    "exceeds": [72.5, 72.5],
    "below": [68.0, 68.1],
    "partial": [70.5],
    "not-run": [],
    "failed": [None, None],
}


@pytest.mark.parametrize("status", CASES)
def test_every_status(layout, status):
    write_reference(layout, SOURCE)
    records = [measured(mAP, seed=seed) for seed, mAP in enumerate(CASES[status])]
    reference = [row for row in read_reference(layout) if row.run == FIRST]
    [compared] = compare(reference, by_run(*records), SEEDS, {})
    assert compared.status == status
    if status in ("not-run", "failed"):
        assert compared.delta is None
    else:
        assert compared.delta == pytest.approx(sum(CASES[status]) / len(records) - 70.5)


def test_the_sentence_names_those_that_do_not(layout):
    write_reference(layout, SOURCE)
    assert sentence(read_compared(layout)) == "2 of 2 runs reproduce the reference"

    for seed in (0, 1):
        keep(layout, measured(55.0, "asl", seed))
    text = f"1 of 2 runs reproduce the reference; not: `{SECOND}` (below)"
    assert sentence(read_compared(layout)) == text


# ---- Where it is shown -------------------------------------------------------------------------


def page_of(layout: Layout) -> str:
    assert write_pages([layout]) == []
    return layout.page.read_text(encoding="utf-8")


def test_the_page_shows_it_after_its_first_paragraph(layout):
    assert "reference" not in page_of(layout)
    write_reference(layout, SOURCE)
    keep(layout, measured(63.0, "asl", 0))
    keep(layout, measured(63.0, "asl", 1))

    headings = [part.splitlines()[0] for part in page_of(layout).split("\n## ")[1:]]
    assert headings[:3] == ["Result", "Against the reference", "Ranking"]
    section = page_of(layout).split("\n## ")[2]
    table = next(block for block in section.split("\n\n") if block.startswith("|"))
    header, first, second = cells(table)
    assert header[1:] == ["reference", "reproduced on this machine", "delta", "tolerance", "status"]
    assert first[:4] == [f"`{FIRST}`", "70.50 ± 0.71", "70.50 ± 0.71 (2)", "0.00"]
    assert second[3:] == ["+3.00", "0.50", "exceeds"]
    assert SOURCE in section


def test_the_index_says_so(layout):
    write_reference(layout, SOURCE)
    page_of(layout)
    index = Path("reports/README.md").read_text(encoding="utf-8")
    [line] = [line for line in index.splitlines() if line.startswith("- [Toys]")]
    assert line.endswith("2 of 2 runs reproduce the reference.")


def test_the_report_stage_ends_with_it(layout):
    write_reference(layout, SOURCE)
    command = [sys.executable, str(ROOT / "stages" / "report.py"), "params.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-3:] == [
        "2 of 2 runs reproduce the reference",
        "the page:        reports/demo.md",
        "the MLflow runs: mlflow ui, experiment demo/toy",
    ]


def test_where_nothing_is_known_of_an_environment(layout):
    """A dash, and neither an error nor an empty cell."""
    section = page_of(layout).partition("## Cost and environment")[2]
    costs, environment = [cells(part) for part in section.split("\n\n") if part.startswith("|")]
    for row in costs[1:]:
        assert row[3:] == ["-", "-", "-"]

    facts = {row[0]: row[1] for row in environment[1:]}
    for name in ("machine", "versions", "commit"):
        assert facts[name] == "-"
