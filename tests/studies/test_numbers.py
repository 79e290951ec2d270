"""Every printed number has a verdict, of a made-up study and of the real ones."""

import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

from mlrepro.studies.kinds import KINDS, OTHER, kind_of
from mlrepro.studies.numbers import VERDICTS, Number, numbers_of
from mlrepro.studies.reported import ReportedRow, rounding, same_number
from mlrepro.studies.results import read_study

sys.path.append(str(ROOT / "tests" / "report"))
from made_up_study import made_up_study  # noqa: E402

STUDIES = sorted(path.parent for path in (ROOT / "studies").glob("*/study.yaml"))


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> list[Number]:
    folder = tmp_path_factory.mktemp("made") / "study"
    return numbers_of(read_study(made_up_study(folder)))


def verdicts(numbers: list[Number], metric: str) -> dict[str, str]:
    """By row, of the numbers of one metric."""
    return {number.cell.row: number.verdict for number in numbers if number.cell.metric == metric}


def test_a_map_is_reproduced_within_the_noise_of_seeds_and_pictures(numbers):
    assert verdicts(numbers, "mAP") == {
        "reproduced": "reproduced",
        "exceeds": "differs",
        "below": "differs",
        "partial": "incomplete",
        "failed": "incomplete",
        "not-run": "not run",
        "not-comparable": "not comparable",
        "both": "not run",
    }


def test_a_row_has_more_numbers_than_the_one_that_judges_it(numbers):
    of_row = {number.cell.metric: number for number in numbers if number.cell.row == "F1"}
    assert of_row["micro_f1"].verdict == "reproduced"
    assert of_row["micro_f1"].difference == pytest.approx(0.0025)
    assert of_row["micro_recall"].verdict == "differs"
    assert of_row["loss"].verdict == "not comparable"
    assert of_row["loss"].reason == "our records do not hold val_loss"


def test_gflops_are_counted_as_the_document_counts_them(numbers):
    (gflops,) = [number for number in numbers if number.cell.metric == "GFLOPs"]
    assert gflops.verdict == "differs"
    assert gflops.difference == pytest.approx(0.25)


def test_what_is_not_run_has_its_command_and_what_is_not_comparable_its_reason(numbers):
    for number in numbers:
        if number.verdict == "not comparable":
            assert number.reason
    reasons = {number.cell.row: number.reason for number in numbers if number.verdict == "not run"}
    assert reasons["not-run"].startswith("dvc repro ")


@pytest.mark.parametrize(
    ("printed", "half"),
    [
        ("1.58", 0.005),
        ("98MB", 0.5),
        ("24.37M", 0.005),
        ("82,081", 0.5),
        ("0.009", 0.0005),
        ("89.42±0.27", 0.005),
        ("1e-5", 0.5e-5),
    ],
)
def test_half_of_the_last_digit(printed, half):
    assert rounding(printed) == pytest.approx(half)


def test_a_number_at_the_edge_of_its_rounding_is_the_same():
    values = dict.fromkeys(ReportedRow.model_fields, "")
    values |= {"table": "1", "row": "a", "data_set": "toy", "metric": "GFLOPs", "source": "x"}
    cell = ReportedRow.model_validate(values | {"printed": "0.30", "number": 0.3, "checked": "yes"})
    assert same_number(0.1 + 0.2 + 0.01, cell, 0.01)
    assert not same_number(0.3101, cell, 0.01)


def test_a_metric_of_no_known_kind_is_no_f1():
    assert kind_of("accurracy") == OTHER


# ---- The real studies ---------------------------------------------------------------------------


@pytest.mark.parametrize("folder", STUDIES, ids=lambda folder: folder.name)
def test_every_number_of_a_study_has_one_verdict(folder):
    results = read_study(folder)
    numbers = numbers_of(results)
    assert len(numbers) == len(results.study.rows)
    assert {number.verdict for number in numbers} <= set(VERDICTS)
    assert {kind_of(row.metric) for row in results.study.rows} <= set(KINDS) - {OTHER}
    explained = ("not comparable", "not run")
    assert all(number.reason for number in numbers if number.verdict in explained)


def of_kind(study: str, kind: str) -> Counter:
    results = read_study(Path(ROOT / "studies" / study))
    return Counter(number.verdict for number in numbers_of(results) if number.kind == kind)


def test_what_can_be_checked_without_training():
    # Facts of the papers and of the networks, which no run of a user replaces.
    assert of_kind("aam", "GFLOPs") == {"reproduced": 34, "differs": 9, "not comparable": 3}
    assert of_kind("captions", "parameters") == {"reproduced": 4}
    assert of_kind("voc-transfer", "counts of data sets") == {"reproduced": 2}
    assert of_kind("query2label", "GFLOPs") == {"not comparable": 1}
