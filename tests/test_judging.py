"""The status of a printed number beside our records, and the tolerance that it follows from."""

import math

import pytest
from test_records import record

from mlrepro.judging import judge, mean_and_std, tolerance

# Mean 70.5, s^2 = 0.5, tolerance 2 sqrt(0.25 + 0.01) = 1.02.
TWO = [record(70.0, seed=0), record(71.0, seed=1)]

WITHOUT_A_NUMBER_OF_OURS = [
    ([], 70.0, {}, "not-run"),
    ([], 70.0, {"failed": True}, "failed"),
    ([record(None)], 70.0, {}, "failed"),
    ([record(70.0)], 70.0, {"comparable": False}, "not-comparable"),
    ([record(70.0)], None, {}, "not-comparable"),
    ([record(70.0)], 70.0, {"seeds": 2}, "partial"),
    ([record(70.0, trained=1)], 70.0, {}, "partial"),
    ([record(70.0, scored=49)], 70.0, {}, "partial"),
]
BESIDE_70 = [
    ([record(70.5)], 70.0, {}, "reproduced"),  # the bound belongs to the tolerance
    ([record(69.5)], 70.0, {}, "reproduced"),
    ([record(70.75)], 70.0, {}, "exceeds"),
    ([record(69.25)], 70.0, {}, "below"),
    ([record(69.25, se=0.5)], 70.0, {}, "reproduced"),
    ([record(69.25)], 70.0, {"reported_std": 0.8}, "reproduced"),
    ([record(69.25)], 70.0, {"allowed": 1.0}, "reproduced"),
]
OF_TWO_SEEDS = [
    (TWO, 69.5, {"seeds": 2}, "reproduced"),
    (TWO, 69.4, {"seeds": 2}, "exceeds"),
    (TWO, 71.6, {"seeds": 2}, "below"),
]
OF_ANOTHER_METRIC = [([record(60.0)], 68.2, {"metric": "mAP_11point"}, "reproduced")]


@pytest.mark.parametrize(
    ("records", "reported", "options", "status"),
    [*WITHOUT_A_NUMBER_OF_OURS, *BESIDE_70, *OF_TWO_SEEDS, *OF_ANOTHER_METRIC],
)
def test_status(records, reported, options, status):
    assert judge(records, reported, **{"seeds": 1} | options) == status


def test_tolerance_is_the_largest_of_its_three_terms():
    assert tolerance([70.0], 0.1) == 0.5
    assert tolerance([70.0], 0.4) == pytest.approx(0.8)
    assert tolerance([70.0], 0.4, reported_std=1.5) == 1.5
    assert tolerance([70.0], 0.1, minimum=0.0) == pytest.approx(0.2)

    variance_of_mean = 1 / 3
    expected = 2 * math.sqrt(variance_of_mean + 0.4**2)
    assert tolerance([70.0, 71.0, 72.0], 0.4) == pytest.approx(expected)


def test_mean_and_std():
    assert mean_and_std([70.0]) == (70.0, None)
    assert mean_and_std([70.0, 71.0]) == (70.5, pytest.approx(math.sqrt(0.5)))
