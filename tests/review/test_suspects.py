"""Which labels a person is asked for."""

import numpy as np

from mlrepro.review.suspects import ABSENT, PRESENT, UNKNOWN, find_suspects

ALONE = np.arange(300)


def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Three kinds of pictures, far apart, with a label each."""
    random = np.random.default_rng(0)
    kind = np.arange(300) % 3
    features = random.normal(0, 0.3, (300, 12)).astype(np.float32)
    features[np.arange(300), kind] += 4
    return features, np.eye(3, dtype=np.int8)[kind]


def test_seeded_errors_come_first_and_in_both_directions():
    features, labels = clusters()
    labels[0, 0] = ABSENT  # which it is not
    labels[1, 0] = PRESENT
    labels[5, 1] = PRESENT
    suspects = find_suspects(features, labels, ALONE)

    found = zip(suspects.rows, suspects.classes, suspects.given, strict=True)
    assert set(found) == {(0, 0, ABSENT), (1, 0, PRESENT), (5, 1, PRESENT)}
    assert suspects.likely.all()
    assert (suspects.probability > 0.5).tolist() == (suspects.given == ABSENT).tolist()
    assert set(np.argsort(-suspects.pictures)[:3]) == {0, 1, 5}


def test_unknown_labels_are_offered_and_never_called_wrong():
    features, labels = clusters()
    labels[:30, 0] = UNKNOWN
    suspects = find_suspects(features, labels, ALONE)
    assert set(suspects.given) == {UNKNOWN}
    assert set(suspects.classes) == {0}
    # Those that have it; at most as many as the average of the known would call so.
    assert set(suspects.rows) <= set(range(0, 30, 3))
    assert len(suspects.rows) >= 3


def test_of_partial_labels_those_not_given_are_unknown():
    features, labels = clusters()
    labels[[0, 3, 6], 0] = 0
    suspects = find_suspects(features, labels, ALONE, partial=True)
    assert set(suspects.given) == {UNKNOWN}
    assert set(zip(suspects.rows, suspects.classes, strict=True)) >= {(0, 0), (3, 0), (6, 0)}


def test_a_rare_label_is_not_judged():
    features, labels = clusters()
    rare = np.zeros((300, 1), np.int8)
    rare[:4] = 1
    suspects = find_suspects(features, np.hstack([labels, rare]), ALONE)
    assert suspects.judged.tolist() == [True, True, True, False]
    assert 3 not in suspects.classes

    none = find_suspects(features, rare, ALONE)
    assert not none.judged.any()
    assert none.count(ABSENT) == none.count(PRESENT) == 0


def test_copies_of_one_picture_are_not_judged():
    features, labels = clusters()
    assert not find_suspects(features, labels, np.zeros(300, int)).judged.any()
