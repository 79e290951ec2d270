"""Out-of-fold probabilities beside scikit-learn's ridge, and folds that keep copies together."""

import numpy as np
import pandas
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from mlrepro.data.manifest import Manifest
from mlrepro.review import out_of_fold
from mlrepro.review.folds import copies, stratified_folds
from mlrepro.review.out_of_fold import out_of_fold_probabilities, platt


def made_up(pictures: int, channels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, and three labels that follow from them but for some noise."""
    random = np.random.default_rng(seed)
    features = random.normal(0, 1, (pictures, channels)).astype(np.float32)
    noise = random.normal(0, 0.5, (pictures, 3))
    logits = 2 * features[:, :3] + noise - [0, 1, 2]  # each label rarer than the one before
    return features, (logits > 0).astype(np.int8)


@pytest.mark.parametrize("pictures, channels", [(120, 10), (40, 60)])
def test_the_ridge_is_scikit_learns(pictures, channels):
    """Also where there are fewer pictures than channels, and the columns are others."""
    features, labels = made_up(pictures, channels)
    folds = np.arange(pictures) % 5
    inputs = out_of_fold._standardised(features)
    ours = out_of_fold.Ridge(inputs, labels.astype(float))

    unit = features.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    standardised = (unit - unit.mean(0)) / unit.std(0)
    for constant in out_of_fold.CONSTANTS:
        for fold in range(5):
            out = folds == fold
            ridge = Ridge(constant * (~out).sum(), solver="svd")
            ridge.fit(standardised[~out], labels[~out].astype(float))
            expected = ridge.predict(standardised[out])
            np.testing.assert_allclose(ours.scores(out, constant), expected, atol=1e-7)


def test_platts_sigmoid_is_the_minimum():
    random = np.random.default_rng(0)
    scores = random.normal(0, 3, (60, 2))
    labels = (scores + random.normal(0, 3, scores.shape) > 1).astype(int)
    labels[:7, 1] = -1
    ours = platt(scores, labels)

    for label in (0, 1):
        known = labels[:, label] >= 0
        s, y = scores[known, label], labels[known, label]
        n = y.sum()
        target = np.where(y == 1, (n + 1) / (n + 2), 1 / (len(y) - n + 2))

        def loss(parameters, s=s, target=target) -> float:
            logits = parameters[0] * s + parameters[1]
            return float(np.logaddexp(0, logits).sum() - (target * logits).sum())

        a, b = minimize(loss, [0, 0], tol=1e-10).x
        expected = 1 / (1 + np.exp(-(a * scores[:, label] + b)))
        np.testing.assert_allclose(ours[:, label], expected, atol=1e-5)


def test_a_separable_label_stays_finite():
    scores = np.array([[-3.0], [-2], [-1], [1], [2], [3]])
    labels = np.array([[0], [0], [0], [1], [1], [1]])
    probabilities = platt(scores, labels)
    assert np.isfinite(probabilities).all()
    assert ((probabilities > 0.5) == labels).all()


def test_no_picture_is_judged_by_its_own_label():
    features, labels = made_up(100, 8)
    folds = np.arange(100) % 5
    inputs = out_of_fold._standardised(features)
    changed = labels.copy()
    changed[folds == 2] = 1 - changed[folds == 2]
    before = out_of_fold.Ridge(inputs, labels.astype(float))
    after = out_of_fold.Ridge(inputs, changed.astype(float))
    own, other = folds == 2, folds == 1
    np.testing.assert_allclose(after.scores(own, 0.1), before.scores(own, 0.1), atol=1e-9)
    assert np.abs(after.scores(other, 0.1) - before.scores(other, 0.1)).max() > 0.01


def test_unknown_labels_train_nothing():
    features, labels = made_up(200, 6)
    folds = np.arange(200) % 5
    unknown = np.random.default_rng(1).random(labels.shape) < 0.3
    given = np.where(unknown, -1, labels)
    probabilities = out_of_fold_probabilities(features, given, folds)
    right = (probabilities > 0.5) == labels
    assert right[unknown].mean() > 0.85
    # They are no negatives: those that are there are found as often as those that are known.
    assert right[unknown & (labels == 1)].mean() > right[~unknown & (labels == 1)].mean() - 0.1


def test_folds_are_stratified_and_keep_groups():
    random = np.random.default_rng(0)
    labels = (random.random((500, 4)) < [0.5, 0.2, 0.1, 0.03]).astype(np.int8)
    groups = np.arange(500)
    groups[100:200] = groups[:100]  # of each of these, a copy
    folds = stratified_folds(labels, groups)
    assert (folds[100:200] == folds[:100]).all()
    assert sorted(set(folds)) == [0, 1, 2, 3, 4]
    for label, tolerance in enumerate((0.03, 0.03, 0.03, 0.02)):
        shares = [labels[folds == fold, label].mean() for fold in range(5)]
        assert max(shares) - min(shares) < 2 * tolerance


def test_copies_have_the_same_bytes(tmp_path):
    contents = {"a.png": b"one", "b.png": b"two", "c.png": b"one", "d.png": b"three"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    names = [*contents, "gone.png"]
    sizes = [len(contents.get(name, b"six")) for name in names]
    frame = pandas.DataFrame({"image": names, "bytes": sizes, "labels": [[]] * 5})
    manifest = Manifest.of_frame(frame, ["x"], tmp_path, {}, "digest")
    assert copies(manifest).tolist() == [0, 1, 0, 3, 4]
