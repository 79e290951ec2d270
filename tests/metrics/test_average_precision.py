"""Average precision of each kind against its definition, scikit-learn and published code."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from mlrepro.errors import InputError
from mlrepro.metrics import arrays as arrays_module
from mlrepro.metrics import average_precision as module
from mlrepro.metrics.average_precision import (
    average_precision,
    average_precisions,
    mean_average_precision,
    positions,
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "metrics"
SCORES = np.array([[0.9], [0.8], [0.8], [0.3], [0.1]])
LABELS = np.array([[0], [1], [0], [-1], [1]])


@pytest.fixture(params=["few", "many"], scope="module", autouse=True)
def pictures(request):
    """Each test twice: as of few pictures, and as of so many that cells and threads repay."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many":
            patch.setattr(module, "CELLS_REPAY", 0)
            patch.setattr(arrays_module, "THREADS_REPAY", 0)
        yield


def golden(name):
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


@st.composite
def scores_and_labels(draw, ignored=False):
    """Few distinct scores.

    So ties, empty classes and classes that are all positive are common.
    """
    shape = draw(st.tuples(st.integers(1, 25), st.integers(1, 3)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    scores = draw(arrays(dtype, shape, elements=st.integers(-3, 3)))
    labels = draw(arrays(np.int8, shape, elements=st.integers(-1 if ignored else 0, 1)))
    return scores, labels


@given(scores_and_labels(ignored=True))
@settings(max_examples=100, deadline=None)
def test_exact_is_scikit_learns_without_the_ignored_rows(case):
    scores, labels = case
    ap = average_precision(scores, labels)
    for c, (s, y) in enumerate(zip(scores.T, labels.T, strict=True)):
        if (y == 1).any():
            expected = average_precision_score(y[y != -1], s[y != -1])
            assert ap[c] == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(ap[c])


@pytest.mark.parametrize("case", ["plain40x6", "ties40x6", "class2_no_positive"])
def test_exact_agrees_with_cole(case):
    cole = golden("metrics_cole")
    ap = average_precision(cole[f"{case}/scores"], cole[f"{case}/labels"])
    np.testing.assert_allclose(np.nan_to_num(ap), cole[f"{case}/per_class_ap"], rtol=1e-12)
    assert mean_average_precision(ap, "zero") == pytest.approx(cole[f"{case}/map"], rel=1e-12)


def test_exact_agrees_with_asl_ml_gcn_and_csra():
    asl = golden("asl")
    meter = golden("mlgcn")
    csra = golden("csra")

    ap = average_precision(asl["logits"], asl["targets"])
    np.testing.assert_allclose(ap, asl["asl_ap"], rtol=1e-7)
    np.testing.assert_allclose(ap, meter["mlgcn_bin_diff1_ap"], rtol=1e-6)
    np.testing.assert_allclose(ap, csra["csra_coco_ap"], rtol=1e-7)

    # Theirs: 1 positive, 0 difficult, -1 negative.
    difficult_ignored = np.choose(csra["targets_voc"] + 1, [0, -1, 1])
    ap = average_precision(csra["logits"], difficult_ignored)
    np.testing.assert_allclose(ap, csra["csra_voc_ap"], rtol=1e-7)
    np.testing.assert_allclose(ap, meter["mlgcn_voc_diff1_ap"], rtol=1e-6)

    difficult_counted = (csra["targets_voc"] == 1).astype(int)
    ap = average_precision(csra["logits"], difficult_counted)
    np.testing.assert_allclose(ap, meter["mlgcn_voc_diff0_ap"], rtol=1e-6)


@pytest.mark.parametrize("case", ["plain40x6", "ties40x6", "class2_no_positive"])
def test_interpolated_agrees_with_query2label(case):
    theirs = golden("voc_map")
    expected = theirs.get(f"{case}/per_class_ap_if_stable_sort", theirs[f"{case}/per_class_ap"])
    ap = average_precision(theirs[f"{case}/scores"], theirs[f"{case}/labels"], "interpolated")
    np.testing.assert_allclose(100 * ap, expected, rtol=1e-12)

    if case != "ties40x6":
        mAP = mean_average_precision(ap, "nan")
        assert mAP == pytest.approx(theirs[f"{case}/mAP"], rel=1e-12, nan_ok=True)


@given(scores_and_labels())
@settings(max_examples=60, deadline=None)
def test_interpolated_and_eleven_point_follow_their_definitions(case):
    scores, labels = case
    interpolated = average_precision(scores, labels, "interpolated")
    eleven = average_precision(scores, labels, "11-point")

    for c, y in enumerate(labels.T):
        order = sorted(range(len(y)), key=lambda n: -scores[n, c])
        hits = np.cumsum(y[order])
        positives = hits[-1]
        if not positives:
            assert np.isnan(interpolated[c])
            assert np.isnan(eleven[c])
            continue

        precision = hits / np.arange(1, len(y) + 1)
        envelope = [precision[hits >= i].max() for i in range(1, positives + 1)]
        points = [precision[10 * hits >= k * positives].max() for k in range(11)]
        assert interpolated[c] == pytest.approx(sum(envelope) / positives, abs=1e-12)
        assert eleven[c] == pytest.approx(np.mean(points), abs=1e-12)


# From how many pictures on they are counted in cells, and from how many by numba.
WAYS = {"numba": (0, 0), "numpy": (0, 10**9), "sorted": (10**9, 10**9)}


@pytest.mark.parametrize("counted_from, many", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("spread", [1.0, 1e30, np.inf, 0.0])
def test_a_few_positives_among_many_pictures(spread, counted_from, many, monkeypatch):
    """Scikit-learn's value, and each part of it, whichever way they are ranked."""
    monkeypatch.setattr(module, "CELLS_REPAY", counted_from)
    monkeypatch.setattr(module, "MANY", many)
    random = np.random.default_rng(5)
    scores = random.standard_normal((4000, 3)).astype(np.float32)
    scores[:, 1] = np.round(scores[:, 1], 1)  # many ties
    scores[0] = np.float32(spread)  # an outlier
    scores[1:, 2] *= np.float32(min(spread, 1))  # equal scores
    labels = (random.random((4000, 3)) < 0.02).astype(np.int8)

    ap = average_precisions(scores, labels)
    for c, (s, y) in enumerate(zip(scores.T, labels.T, strict=True)):
        expected = average_precision_score(y, np.clip(s, -1e38, 1e38))
        assert ap["exact"][c] == pytest.approx(expected, abs=1e-12)

        is_positive = y == 1
        ranked = positions(s, is_positive, ordered=True)
        np.testing.assert_array_equal(ranked.thresholds, np.sort(s[is_positive]))

        # At each positive's score: how many pictures reach it, and how many of them are positives.
        reach = [s >= threshold for threshold in ranked.thresholds]
        retrieved = [mask.sum() for mask in reach]
        hits = [(mask & is_positive).sum() for mask in reach]
        np.testing.assert_array_equal(ranked.retrieved, retrieved)
        np.testing.assert_array_equal(ranked.hits, hits)

        by_score = np.argsort(-s, kind="stable")
        ranks = np.flatnonzero(y[by_score]) + 1
        np.testing.assert_array_equal(ranked.ranks, ranks)

        precision = np.arange(1, len(ranks) + 1) / ranks
        envelope = [precision[i:].max() for i in range(len(ranks))]
        assert ap["interpolated"][c] == pytest.approx(np.mean(envelope), abs=1e-12)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("mlrepro.metrics.kernels"),
        RuntimeError("cannot cache function: no locator available"),
    ],
    ids=["gone", "no folder"],
)
def test_without_numba_numpy_does_the_work(error, monkeypatch):
    def absent(name):
        raise error

    module.kernels.cache_clear()
    monkeypatch.setattr(module, "import_module", absent)
    assert module.kernels(True) is None
    module.kernels.cache_clear()


def test_scores_that_must_not_be_written_to_are_read(monkeypatch):
    monkeypatch.setattr(module, "MANY", 1)
    scores = np.linspace(0, 1, 100, dtype=np.float32)[:, None]
    scores.flags.writeable = False  # as of a file mapped into memory
    assert average_precision(scores, (scores > 0.5).astype(int)) == pytest.approx([1.0])


def test_by_hand():
    # Without the ignored picture: 1 hit of 3 at the tied score 0.8, then 2 of 4.
    exact = average_precision(SCORES, LABELS)
    assert exact == pytest.approx([(1 / 3 + 2 / 4) / 2])

    # In row order the first hit is 1 of 2.
    interpolated = average_precision(SCORES, LABELS, "interpolated")
    assert interpolated == pytest.approx([1 / 2])

    # 6 of the 11 recalls are reached by the first positive, at precision 1.
    scores = np.array([[3.0], [2], [1]])
    labels = np.array([[1], [0], [1]])
    eleven = average_precision(scores, labels, "11-point")
    assert eleven == pytest.approx([(6 * 1 + 5 * 2 / 3) / 11])


def test_empty_classes_by_convention():
    ap = np.array([0.5, np.nan])
    assert mean_average_precision(ap) == mean_average_precision(ap, "zero") == 25
    assert mean_average_precision(ap, "skip") == 50
    assert np.isnan(mean_average_precision(ap, "nan"))
    assert np.isnan(mean_average_precision(ap[1:], "skip"))


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="float16"):
        average_precision(SCORES.astype(np.float16), LABELS)
    with pytest.raises(ValueError, match="2 entries .* \\[2, 2\\]"):
        average_precision(SCORES, np.where(LABELS == 1, 2, LABELS))
    with pytest.raises(ValueError, match=r"\(5, 1\) and \(5,\)"):
        average_precision(SCORES, LABELS[:, 0])
    with pytest.raises(InputError, match="1 of 5 are NaN"):
        average_precision(np.where(SCORES == 0.3, np.nan, SCORES), LABELS)
    with pytest.raises(ValueError, match="interpolated"):
        average_precision(SCORES, LABELS, "voc")


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("thresholded, mlrepro.metrics.thresholds", {"torch", "sklearn", "scipy", "pandas"}),
        ("catalogue", {"numpy"}),
    ],
    ids=["metrics", "catalogue"],
)
def test_metrics_do_not_import_torch_or_scikit_learn(modules, unwanted):
    code = f"import sys, mlrepro.metrics.{modules}; print(*sys.modules)"
    imported = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not unwanted & set(imported)
