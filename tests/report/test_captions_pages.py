"""The page of the captions + images study shows every average of the printed F1."""

import shutil
from pathlib import Path

import pytest
from made_up_study import by_row, section
from test_tables import made_up_record

from mlrepro.records import Record, write_record
from mlrepro.report.comparison import Comparison, write_comparison
from mlrepro.report.study_page import write_study
from mlrepro.settings.run import load_run
from mlrepro.studies.results import read_study

STUDY = Path(__file__).resolve().parents[2] / "studies" / "captions"
RUNS = {path.stem: load_run(path) for path in STUDY.glob("*/runs/*.yaml")}
FINAL = "gap-bce-deit_small_patch16_224-comp5329-224-bert"

# F1 in percent by average, at probability 0; one more at each further tenth.
F1 = {"micro": 81.0, "macro": 72.0, "sample": 83.0}


def record(run_id: str, seed: int, metrics: dict[str, float]) -> Record:
    """A record of one of the study's runs."""
    values = made_up_record(seed=seed, epochs=10).model_dump()
    values["run"] = RUNS[run_id].model_dump()
    for measurement in values["measurements"].values():
        measurement["metrics"] |= metrics
    return Record.model_validate(values)


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    """Of the study's page, with three records of the final model."""
    metrics = {"micro_F1": 10.0}
    for average, value in F1.items():
        for tenths in range(1, 6):
            metrics[f"{average}_F1_at_0.{tenths}"] = value + tenths

    folder = shutil.copytree(STUDY, tmp_path_factory.mktemp("made") / "captions")
    for seed in (0, 1, 2):
        path = folder / "results" / "comp5329" / f"{FINAL}-s{seed}.json"
        write_record(record(FINAL, seed, metrics), path)

    page = folder.parent / "page.md"
    write_study(read_study(folder), page)
    return page.read_text(encoding="utf-8")


def row_of(text: str, heading: str, name: str) -> dict[str, str]:
    """A row's cells by header, from all tables below a heading."""
    merged = {}
    for table in section(text, heading):
        merged |= by_row(table).get(name, {})
    return merged


def test_page_compares_the_f1_at_the_printed_threshold(text):
    final = row_of(text, "Table 2", "Model 2")
    assert final["reproduced f1"] == "0.8500 ± 0.0000 (3)"
    assert final["delta"] == "+0.0026"
    assert final["status"] == "reproduced"


def test_page_shows_every_average_beside_it(text):
    final = row_of(text, "Table 2", "Model 2")
    assert final["f1, macro"] == "0.7600 ± 0.0000 (3)"
    assert final["f1, per sample"] == "0.8700 ± 0.0000 (3)"


def test_page_compares_every_threshold_of_the_sweep(text):
    printed = section(text, "Table 3")[0]
    (name,) = by_row(printed)
    thresholds = row_of(text, "Table 3", name)
    assert thresholds["f1@0.2"].endswith("/ +0.0075")
    assert thresholds["f1@0.2, macro"].startswith("0.7400")
    assert thresholds["f1@0.5, per sample"] == "0.8800 ± 0.0000 (3) / +0.0439"


def test_page_lists_captions_alone(text):
    assert "linear-bce-bert-comp5329" in text
    assert "Captions alone" in text


def comparison_text(made: Record, page: Path) -> str:
    """The page that compares this one record with nothing."""
    run_id = made.run.run_id
    comparison = Comparison("t", "i", {run_id: [made]}, {run_id: [0]}, pipeline="dvc.yaml")
    write_comparison(comparison, page)
    return page.read_text(encoding="utf-8")


def test_comparison_of_runs_with_captions_shows_one_threshold_for_all_classes(tmp_path):
    metrics = {"tuned_global_macro_F1": 71.25, "sample_F1_at_0.4": 88.5}
    alone = record("linear-bce-bert-comp5329", 0, metrics)

    text = comparison_text(alone, tmp_path / "page.md")

    (macro,) = section(text, "macro F1 by one threshold")
    (sample,) = section(text, "sample F1 by one threshold")
    name = f"`{alone.run.run_id}`"
    assert by_row(macro)[name]["tuned"] == "71.25"
    assert by_row(sample)[name]["0.4"] == "88.50"
    assert "None" not in text


def test_comparison_of_other_runs_does_not(tmp_path):
    assert "by one threshold" not in comparison_text(made_up_record(), tmp_path / "page.md")
