"""Columns that are not the classes that they are said to be."""

import numpy as np
import pytest

from mlrepro.audit.class_names import COCO
from mlrepro.audit.class_order import BEST, judge_order, rank_areas
from mlrepro.audit.scales import as_bfloat16, as_float16

CLASSES = ["person", "bicycle", "car", "apple", "zebra"]


@pytest.fixture
def scores_and_labels() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = (random.random((400, 5)) < [0.4, 0.1, 0.2, 0.1, 0.05]).astype(int)
    return random.normal(size=labels.shape) + 3 * labels, labels


def test_the_right_order_is_left_alone(scores_and_labels):
    scores, labels = scores_and_labels
    order = judge_order(scores, labels, CLASSES)
    assert order.found is None and order.columns == {} and not order.at_chance
    assert order.chance == pytest.approx(100 * labels.mean())


def test_alphabetical_columns_are_found(scores_and_labels):
    scores, labels = scores_and_labels
    columns = np.argsort(CLASSES)
    order = judge_order(scores[:, columns], labels, CLASSES)
    assert order.found == "alphabetical"
    assert order.mAPs["alphabetical"] > 80 > 70 > order.mAPs["as given"]
    # The first column, called person, is the first by name.
    assert order.columns["person"] == "apple"


def test_cocos_own_order_is_found():
    names = sorted(COCO.values())
    random = np.random.default_rng(0)
    labels = (random.random((600, 80)) < 0.1).astype(int)
    scores = random.normal(size=labels.shape) + 3 * labels
    by_number = [names.index(name) for name in COCO.values()]
    assert judge_order(scores[:, by_number], labels, names).found == "COCO's category numbers"


def test_any_other_order_is_found_by_matching(scores_and_labels):
    scores, labels = scores_and_labels
    order = judge_order(scores[:, [3, 4, 1, 2, 0]], labels, CLASSES)
    assert order.found == BEST
    assert order.columns == {
        "person": "apple",
        "bicycle": "zebra",
        "car": "bicycle",
        "apple": "car",
        "zebra": "person",
    }


def test_two_exchanged_columns_are_found(scores_and_labels):
    scores, labels = scores_and_labels
    order = judge_order(scores[:, [0, 2, 1, 3, 4]], labels, CLASSES)
    assert order.columns == {"bicycle": "car", "car": "bicycle"}


def test_scores_that_say_nothing(scores_and_labels):
    scores, labels = scores_and_labels
    order = judge_order(np.random.default_rng(1).permutation(scores), labels, CLASSES)
    assert order.found is None and order.at_chance


def test_distances_are_no_scores(scores_and_labels):
    scores, labels = scores_and_labels
    order = judge_order(-scores, labels, CLASSES)
    assert order.found is None
    assert order.inverted > 80 > order.mAPs["as given"]


def test_areas_count_pairs():
    scores = np.array([[3.0], [1.0], [1.0], [0.0]])
    labels = np.array([[1, 0], [1, 0], [0, 0], [0, 0]])
    areas = rank_areas(scores, labels[:, :1])
    assert areas.item() == pytest.approx((2 + 0.5 + 1) / 4)
    assert rank_areas(scores, labels[:, 1:]).item() == 0.5


def test_half_precisions():
    """Of two equally near bfloat16 the even one, as hardware rounds."""
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -3.14159, 1e6], np.float32)
    assert as_bfloat16(values).tolist() == [1.0, 1.0, 1 + 2**-6, -3.140625, 999424.0]
    assert as_float16(values).tolist() == [1.0, 1 + 2**-8, 1 + 3 * 2**-8, -3.140625, 65504.0]
