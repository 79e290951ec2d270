"""What a paper claims in words, beside pairs of made-up runs."""

import pytest
from pydantic import ValidationError
from scipy import stats
from test_tables import cells, made_up_record

from mlrepro.records import Record
from mlrepro.report.claims import claims_section, half_interval, judge_claim
from mlrepro.settings.pipeline import Claim

WITH = "mlp-asl-net-toy-224"
WITHOUT = "mlp-bce-net-toy-224"


def seeds_of(loss: str, values: list[float]) -> list[Record]:
    return [made_up_record(loss, mAP=value, seed=seed) for seed, value in enumerate(values)]


def claim(expected: float | str, pairs=((WITH, WITHOUT),)) -> Claim:
    return Claim(claim="a | b", source="section 3", expected={"mAP": expected}, pairs=pairs)


def verdict(first: list[float], second: list[float], expected: float | str) -> str:
    runs = {WITH: seeds_of("asl", first), WITHOUT: seeds_of("bce", second)}
    (measured,) = judge_claim(runs, claim(expected))
    return measured.verdict


@pytest.mark.parametrize(
    ("first", "second", "expected", "said"),
    [
        ([75.0, 75.2, 75.1], [73.0, 73.3, 73.1], 2, "holds"),
        ([75.0, 75.2, 75.1], [73.0, 73.3, 73.1], "above", "holds"),
        ([75.0, 75.2, 75.1], [73.0, 73.3, 73.1], -2, "reversed"),
        ([73.0, 73.3, 73.1], [75.0, 75.2, 75.1], "below", "holds"),
        ([73.0, 73.3, 73.1], [75.0, 75.2, 75.1], "above", "reversed"),
        ([75.0, 73.0, 74.0], [74.0, 74.0, 74.1], "above", "cannot be told apart"),
        ([75.0], [73.0], "above", "one seed"),
        ([75.0, 75.2, 75.1], [73.0, 73.3, 73.1], "open", "above"),
        ([73.0, 73.3, 73.1], [75.0, 75.2, 75.1], "open", "below"),
    ],
)
def test_a_claim_is_judged_by_the_sign_of_what_is_measured(first, second, expected, said):
    assert verdict(first, second, expected) == said


def test_the_interval_is_that_of_pairs():
    # Seeds move both runs by far more than they move the difference.
    first = [60.0, 70.0, 80.0]
    second = [59.0, 68.9, 79.1]
    differences = [1.0, 1.1, 0.9]
    runs = {WITH: seeds_of("asl", first), WITHOUT: seeds_of("bce", second)}

    (measured,) = judge_claim(runs, claim("above"))
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert measured.verdict == "holds"
    assert measured.difference == pytest.approx(1.0)
    assert measured.difference + measured.interval == pytest.approx(expected.high)
    assert half_interval(differences) == pytest.approx(measured.interval)


def test_only_seeds_that_both_runs_have_are_paired():
    runs = {WITH: seeds_of("asl", [75.0, 76.0, 90.0]), WITHOUT: seeds_of("bce", [74.0, 74.0])}
    (measured,) = judge_claim(runs, claim("above"))
    assert measured.difference == pytest.approx(1.5)


def test_what_is_not_run_is_shown_as_not_run():
    runs = {WITH: seeds_of("asl", [75.0, 76.0])}
    (section,) = claims_section(runs, [claim(1)])
    summary, details = [cells(part) for part in section.split("\n\n") if part.startswith("|")]
    assert summary[1] == ["a ¦ b", "section 3", "exact", "+1", "-", "not run (1)"]
    assert details[1][2:5] == ["-", "-", "not run"]


def test_the_summary_counts_pairs():
    runs = {WITH: seeds_of("asl", [75.0, 76.0]), WITHOUT: seeds_of("bce", [70.0, 71.1])}
    pairs = [(WITH, WITHOUT), (WITHOUT, WITH), (WITH, "other")]
    (section,) = claims_section(runs, [claim("above", pairs)])
    summary = next(cells(part) for part in section.split("\n\n") if part.startswith("|"))
    assert summary[1][4:] == ["-4.95 to +4.95", "holds (1), reversed (1), not run (1)"]


def test_nothing_is_shown_without_claims():
    assert claims_section({}, []) == []


def test_a_metric_that_no_record_holds_is_refused_with_the_nearest():
    with pytest.raises(ValidationError, match="no record holds 'micro_f1'.*micro_F1"):
        Claim(claim="a", source="b", expected={"micro_f1": 1}, pairs=[(WITH, WITHOUT)])
