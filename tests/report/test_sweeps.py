"""AAM's page draws and lists the measured runs of its sweeps, and gives commands for the others."""

import re
import shutil
from pathlib import Path

import pytest
from made_up_study import section, section_text
from test_tables import made_up_record

from mlrepro.records import write_record
from mlrepro.report.study_page import write_study
from mlrepro.settings.run import Run, load_run
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.results import StudyResults, read_study

STUDY = Path(__file__).resolve().parents[2] / "studies" / "aam"
RUNS = {path.stem: load_run(path) for path in STUDY.glob("*/runs/*.yaml")}

BASE = "ml_decoder-aam-tf_efficientnetv2_s_in21k-voc2007-224-oi"
GRAPH = "graph-aam-tf_efficientnetv2_s_in21k-coco2017-448-oi_as"
MEASURED = {
    f"{BASE}_s40": 91.0,
    BASE: 93.5,
    f"{BASE}_s5": 90.0,
    f"{GRAPH}_written": 87.25,
    f"{GRAPH}_released": 87.0,
}


def measured_record(folder: Path, run_id: str, mAP: float) -> None:
    """A complete record of one seed of one of AAM's runs."""
    settings = RUNS[run_id].model_dump() | {"epochs": 5, "early_stop": None}
    run = Run.model_validate(settings)
    record = made_up_record("asl", mAP=mAP, head="gap")
    record = record.model_copy(update={"run": run, "data_set": run.data})
    write_record(record, folder / "results" / run.data / f"{run_id}-s0.json")


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> StudyResults:
    folder = tmp_path_factory.mktemp("studies") / "aam"
    shutil.copytree(STUDY, folder)
    for run_id, mAP in MEASURED.items():
        measured_record(folder, run_id, mAP)
    return read_study(folder)


@pytest.fixture(scope="module")
def text(results, reports) -> str:
    write_study(results, reports / "aam.md")
    return (reports / "aam.md").read_text(encoding="utf-8")


def test_a_sweep_is_listed_in_the_order_of_its_setting(text):
    (table,) = section(text, "Figure 3")
    assert [row[:3] for row in table] == [
        ["series", "`loss.scale`", "mAP"],
        ["voc2007", "5.0", "90.00"],
        ["voc2007", "17.0", "93.50"],
        ["voc2007", "40.0", "91.00"],
    ]


def test_a_sweep_over_numbers_is_drawn(text, reports):
    assert "figures/aam-figure-3.png" in section_text(text, "Figure 3")
    assert (reports / "figures" / "aam-figure-3.svg").exists()


def test_one_value_alone_is_not_drawn(text):
    assert "figures/" not in section_text(text, "Figure 4")


def test_a_sweep_over_names_is_listed_but_not_drawn(text):
    released = section_text(text, "As released")
    line = "| coco2017, GAT re-weighting | oi\\_as\\_released | 87.00 |"
    assert line in re.sub(" +", " ", released)
    assert "figures/" not in released


def test_a_sweep_counts_its_missing_runs_and_names_their_pipelines(text, results):
    scale = section_text(text, "Figure 3")
    assert "25 of 28 runs" in scale
    assert f"dvc repro {results.folder.as_posix()}/nuswide-sweeps/dvc.yaml" in scale

    assert "19 of 20 runs" in section_text(text, "Figure 4")
    assert "20 of 22 runs" in section_text(text, "As released")


def test_missing_runs_of_sweeps_are_among_those_that_are_not_run(text, results):
    not_run = text.split("## What is not run", 1)[1]
    stages = f"{results.folder.as_posix()}/voc2007-sweeps/dvc.yaml:evaluate"
    assert f"{stages}@{BASE}_s10-0\n" in not_run
    assert f"{BASE}_s40" not in not_run

    lines = {}
    for line in not_run.splitlines():
        if line.startswith("| `"):
            lines[line.split("`")[1]] = [cell.strip() for cell in line.split("|")]

    unmeasured = [run for run in RUNS if run not in results.records]
    for run in unmeasured:
        *_, hours, run_file, _ = lines[run]
        assert hours != "-", run
        assert run_file == "yes", run
    assert len({parse_run_id(run).data for run in unmeasured}) == 6
