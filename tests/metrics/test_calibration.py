"""Temperature and calibration error, by hand and beside scikit-learn."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from mlrepro.metrics.calibration import calibration_error, fit_temperature


def test_the_error_by_hand():
    # Two scores of 0.1 with one positive, one of 0.9 that is right: |0.2 - 1| + |0.9 - 1|, over 3.
    scores = np.array([[0.1, 0.1, 0.9, 0.5]])
    labels = np.array([[0, 1, 1, -1]])
    assert calibration_error(scores, labels) == pytest.approx(100 * (0.8 + 0.1) / 3)


def test_the_temperature_is_what_logistic_regression_finds():
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3))
    labels = (random.random((4000, 3)) < expit(logits / 0.4)).astype(np.int8)
    labels[:100, 1] = -1
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(0.4, rel=0.1)

    known = labels >= 0
    theirs = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8)
    theirs.fit(logits[known][:, None], labels[known])
    assert 1 / temperature == pytest.approx(theirs.coef_.item(), rel=1e-3)

    before = calibration_error(expit(logits), labels)
    after = calibration_error(expit(logits / temperature), labels)
    assert after < before / 2


def test_few_decisions_that_are_all_right_do_not_make_scores_sure():
    """Their likelihood has no maximum: scores of 0 and 1 would follow from nine pictures."""
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    logits = np.where(labels, 0.3, -0.3)
    scores = expit(logits / fit_temperature(logits, labels))

    # By hand: at one distance from 0, the mean of the labels as Platt softens them.
    softened = (3 * (3 + 1) / (3 + 2) + 5 * (5 + 1) / (5 + 2)) / 8
    assert scores[labels == 1] == pytest.approx(softened, abs=1e-4)
    assert scores[labels == 0] == pytest.approx(1 - softened, abs=1e-4)

    # One that is wrong, and the likelihood decides as ever.
    logits[0, 0] = -0.3
    scores = expit(logits / fit_temperature(logits, labels))
    assert scores[3, 1] == pytest.approx(1 / 8, abs=1e-4)


def test_where_nothing_can_be_fitted_scores_stay():
    logits = np.ones((3, 2))
    for label in (-1, 0, 1):
        assert fit_temperature(logits, np.full((3, 2), label)) == 1.0
