"""What runs of own data are chosen by."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from mlrepro.evaluation.choice import ScoredPart, choice_of, choice_over_parts


def made_up_parts(*sizes: int, classes: int = 3) -> list[ScoredPart]:
    random = np.random.default_rng(7)
    parts = []
    for size in sizes:
        labels = (random.random((size, classes)) < 0.3).astype(np.int8)
        labels[0] = 1
        logits = labels + random.normal(0, 1, labels.shape)
        parts.append(ScoredPart(logits.astype(np.float32), labels))
    return parts


def test_one_part_is_the_choice_of_all():
    [part] = made_up_parts(40)
    assert choice_over_parts([part], "zero") == choice_of(part.logits, part.labels, "zero")


def test_a_label_counts_in_a_part_as_often_as_it_is_there():
    parts = made_up_parts(30, 20)
    aps = []
    for label in range(3):
        counts = [(part.labels[:, label] == 1).sum() for part in parts]
        of_parts = [
            average_precision_score(part.labels[:, label], part.logits[:, label]) for part in parts
        ]
        aps.append(np.average(of_parts, weights=counts))

    choice = choice_over_parts(parts, "zero")
    assert choice.mAP == pytest.approx(100 * np.mean(aps))
    assert choice.pictures == 50
    assert np.mean(choice.resamples) == pytest.approx(choice.mAP, abs=5)


def test_what_differs_between_trainings_does_not_count():
    """All logits of a training may be higher than another's."""
    first, second = made_up_parts(30, 20)
    higher = ScoredPart(second.logits + 100, second.labels)
    apart = choice_over_parts([first, higher], "zero")
    assert apart == choice_over_parts([first, second], "zero")

    together = np.concatenate([first.logits, higher.logits])
    labels = np.concatenate([first.labels, higher.labels])
    assert choice_of(together, labels, "zero").mAP < apart.mAP - 5


def test_a_part_without_a_label_says_nothing_of_it():
    first, second = made_up_parts(30, 20)
    nowhere = second.labels.copy()
    nowhere[:, 0] = 0
    unknown = second.labels.copy()
    unknown[:, 0] = -1

    absent = choice_over_parts([first, ScoredPart(second.logits, nowhere)], "zero")
    assert absent == choice_over_parts([first, ScoredPart(second.logits, unknown)], "zero")
    everywhere = choice_over_parts([first, second], "zero")
    assert absent.mAP != everywhere.mAP

    # And a label that no part has is counted as the run says.
    without = [ScoredPart(part.logits, part.labels * [0, 1, 1]) for part in (first, second)]
    counted, skipped = (choice_over_parts(without, empty).mAP for empty in ("zero", "skip"))
    assert counted == pytest.approx(skipped * 2 / 3)
    nothing = [ScoredPart(part.logits, part.labels * 0) for part in (first, second)]
    assert choice_over_parts(nothing, "skip").mAP is None
