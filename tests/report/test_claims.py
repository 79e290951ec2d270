"""What a paper claims in words, beside pairs of made-up runs."""

import math

import pytest
from pydantic import ValidationError
from scipy import stats
from test_tables import cells, made_up_record

from mlrepro.judging import metric_values
from mlrepro.pairs import Difference
from mlrepro.records import Record, Records
from mlrepro.report.claims import claims_section, measure_claims
from mlrepro.report.comparison import adjusted_together
from mlrepro.run_pairs import RunPair, RunPairs
from mlrepro.settings.pipeline import Claim

WITH = "mlp-asl-net-toy-224"
WITHOUT = "mlp-bce-net-toy-224"


def seeds_of(loss: str, values: list[float]) -> list[Record]:
    return [made_up_record(loss, mAP=value, seed=seed) for seed, value in enumerate(values)]


def claim(expected: float | str, pairs=((WITH, WITHOUT),)) -> Claim:
    return Claim(claim="a | b", source="section 3", expected={"mAP": expected}, pairs=pairs)


def verdict(first: list[float], second: list[float], expected: float | str) -> str:
    runs = {WITH: seeds_of("asl", first), WITHOUT: seeds_of("bce", second)}
    (measured,) = measure_claims(runs, [claim(expected)])
    return measured.verdict


def section(runs: Records, *claims: Claim) -> str:
    (text,) = claims_section(measure_claims(runs, claims))
    return text


@pytest.mark.parametrize(
    ("first", "second", "expected", "said"),
    [
        ([75.0, 75.2, 75.1], [73.0, 73.3, 73.1], 2, "holds"),
        ([75.0, 75.2, 75.1], [73.0, 73.3, 73.1], "above", "holds"),
        ([75.0, 75.2, 75.1], [73.0, 73.3, 73.1], -2, "reversed"),
        ([75.0, 75.2, 75.1], [73.0, 73.3, 73.1], 11, "holds, by less"),
        ([73.0, 73.3, 73.1], [75.0, 75.2, 75.1], -11, "holds, by less"),
        ([73.0, 73.3, 73.1], [75.0, 75.2, 75.1], "below", "holds"),
        ([73.0, 73.3, 73.1], [75.0, 75.2, 75.1], "above", "reversed"),
        ([75.0, 73.0, 74.0], [74.0, 74.0, 74.1], "above", "cannot be told apart"),
        ([75.0], [73.0], "above", "one seed"),
        ([75.0, 75.2, 75.1], [73.0, 73.3, 73.1], "open", "higher"),
        ([73.0, 73.3, 73.1], [75.0, 75.2, 75.1], "open", "lower"),
    ],
)
def test_a_claim_is_judged_by_the_sign_of_what_is_measured(first, second, expected, said):
    assert verdict(first, second, expected) == said


def test_the_interval_is_that_of_pairs():
    # Seeds move both runs by far more than they move the difference.
    first = [60.0, 70.0, 80.0]
    second = [59.0, 68.9, 79.1]
    runs = {WITH: seeds_of("asl", first), WITHOUT: seeds_of("bce", second)}

    (measured,) = measure_claims(runs, [claim("above")])
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert measured.verdict == "holds"
    assert measured.difference.points == pytest.approx(1.0)
    assert measured.difference.interval == pytest.approx((expected.low, expected.high))
    assert measured.difference.p == pytest.approx(stats.ttest_rel(first, second).pvalue)


def test_only_seeds_that_both_runs_have_are_paired():
    runs = {WITH: seeds_of("asl", [75.0, 76.0, 90.0]), WITHOUT: seeds_of("bce", [74.0, 74.0])}
    (measured,) = measure_claims(runs, [claim("above")])
    assert measured.difference.points == pytest.approx(1.5)


def test_what_is_not_run_is_shown_as_not_run():
    runs = {WITH: seeds_of("asl", [75.0, 76.0])}
    text = section(runs, claim(1))
    summary, details = [cells(part) for part in text.split("\n\n") if part.startswith("|")]
    assert summary[1] == ["a ¦ b", "section 3", "mAP", "+1", "-", "not run (1)"]
    assert details[1][2:5] == ["-", "-", "not run"]


def test_the_summary_counts_pairs():
    runs = {WITH: seeds_of("asl", [75.0, 76.0]), WITHOUT: seeds_of("bce", [70.0, 71.1])}
    pairs = [(WITH, WITHOUT), (WITHOUT, WITH), (WITH, "other")]
    text = section(runs, claim("above", pairs))
    summary = next(cells(part) for part in text.split("\n\n") if part.startswith("|"))
    assert summary[1][4:] == ["-4.95 to +4.95", "holds (1), reversed (1), not run (1)"]


def test_each_backbone_has_a_column_of_its_own():
    runs = {}
    pairs = []
    for backbone, gain in (("small", 2.0), ("wide", -2.0), ("deep", 0.1)):
        pair = (f"mlp-asl-{backbone}-toy-224", f"mlp-bce-{backbone}-toy-224")
        runs[pair[0]] = seeds_of("asl", [70.0 + gain, 71.0 + gain, 72.4 + gain])
        runs[pair[1]] = seeds_of("bce", [70.1, 71.2, 72.1])
        pairs.append(pair)
    pairs.append(("mlp-asl-later-toy-224", "mlp-bce-later-toy-224"))

    text = section(runs, claim("above", pairs))
    header, row, *others = next(cells(part) for part in text.split("\n\n") if part.startswith("|"))
    assert header[3:] == ["printed", "small", "wide", "deep", "later"]
    assert row[3:] == ["higher", "holds +2.00", "reversed -2.00", "≈ +0.10", "not run"]
    assert not others


def test_of_an_map_the_pictures_count_too():
    """Three seeds that agree, on pictures of which half turn the difference round."""
    runs = {}
    for run, loss, mAP, resamples in (
        (WITH, "asl", 75.0, [73.0, 77.0]),
        (WITHOUT, "bce", 73.0, [77.0, 73.0]),
    ):
        runs[run] = [
            made_up_record(loss, mAP=mAP + seed / 10, seed=seed, resamples=resamples)
            for seed in range(3)
        ]
    (measured,) = measure_claims(runs, [claim("above")])
    assert measured.verdict == "cannot be told apart"
    assert measured.difference.error == pytest.approx(32**0.5)  # of -4 and 4, by n - 1

    of_precision = claim(1).model_copy(update={"expected": {"OP": 1}})
    (measured,) = measure_claims(runs, [of_precision])
    values = [metric_values(records, "OP") for records in runs.values()]
    # No record keeps resamples of it.
    assert measured.difference.p == pytest.approx(stats.ttest_rel(*values).pvalue)


def test_p_values_are_adjusted_for_all_comparisons_of_a_page():
    """A difference beside a hundred that are chance."""
    runs = {WITH: seeds_of("asl", [75.0, 76.0, 77.0]), WITHOUT: seeds_of("bce", [70.0, 71.6, 72.8])}
    (measured,) = measure_claims(runs, [claim("above")])
    assert measured.verdict == "holds"

    chance = [Difference(0.0, 1.0, 1.0, math.inf, 1.0)] * 100
    _, (adjusted,) = adjusted_together(pairs_of(chance), [measured])
    assert adjusted.difference.p == pytest.approx(101 * measured.difference.p)
    assert adjusted.verdict == "cannot be told apart"


def test_a_single_seed_is_no_comparison():
    """Its p-value would be that of a difference which nothing moves."""
    runs = {WITH: seeds_of("asl", [75.0]), WITHOUT: seeds_of("bce", [73.0])}
    measured = measure_claims(runs, [claim("above")])
    pairs, kept = adjusted_together(pairs_of([Difference(1.0, 1.0, 1.0, math.inf, 0.04)]), measured)
    assert pairs.differences[0].p == 0.04
    assert kept == measured


def pairs_of(differences: list[Difference]) -> RunPairs:
    return RunPairs([RunPair("a", "b", one, True, 0.0) for one in differences])


def test_nothing_is_shown_without_claims():
    assert claims_section([]) == []


def test_a_metric_that_no_record_holds_is_refused_with_the_nearest():
    with pytest.raises(ValidationError, match="no record holds 'micro_f1'.*micro_F1"):
        Claim(claim="a", source="b", expected={"micro_f1": 1}, pairs=[(WITH, WITHOUT)])
