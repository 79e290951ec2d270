"""Exported thresholds lie between scores, so that rounding decides no label."""

import numpy as np
import pytest

from mlrepro.metrics.thresholds import tune_thresholds
from mlrepro_cli.export.edges import between_scores


def moved(threshold: float, scores: list[float]) -> float:
    [value] = between_scores(np.array([threshold]), np.array([scores], np.float32).T)
    return value


@pytest.mark.parametrize(
    ("threshold", "scores", "wanted"),
    [
        (2.0, [4.0, 2.0, 1.0, -3.0], 1.5),  # that of a picture: to the next lower one
        (1.2, [4.0, 2.0, 1.0, -3.0], 1.2),  # far from all of them already
        (1.0001, [4.0, 2.0, 1.0, -3.0], 1.5),  # hardly above one that it does not mark
        (np.inf, [4.0, 2.0], np.inf),  # never
        (2.0, [4.0, 2.0, 1.99999, 1.0], 1.499995),  # a copy of the picture is marked with it
    ],
)
def test_thresholds_move_to_the_middle_of_a_gap(threshold, scores, wanted):
    assert moved(threshold, scores) == pytest.approx(wanted, abs=1e-6)


def test_below_the_lowest_score_there_is_room():
    assert moved(-3.0, [4.0, -3.0]) == pytest.approx(-3.0007)
    assert moved(0.0, [0.0, 0.0]) < 0


def test_rounding_changes_no_label():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(400, 20)).astype(np.float32)
    scores[200:] = scores[:200] + rng.normal(scale=1e-6, size=(200, 20))  # as of copies
    labels = (scores + rng.normal(size=scores.shape) > 0).astype(np.int8)

    tuned = tune_thresholds(scores, labels)
    rounded = scores * (1 + rng.choice([-1e-7, 0, 1e-7], scores.shape))
    assert ((rounded >= tuned) != (scores >= tuned)).any()

    exported = between_scores(tuned, scores)
    assert np.array_equal(rounded >= exported, scores >= exported)
    # What was marked still is, and hardly anything else.
    assert (scores >= exported)[scores >= tuned].all()
    assert ((scores >= exported) != (scores >= tuned)).sum(0).max() <= 3
