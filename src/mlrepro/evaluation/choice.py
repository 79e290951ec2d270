"""What a run is chosen by, on pictures that are not the test's, and how its scores are calibrated.

Pages of own data advise from this: the test pictures only measure what was chosen.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.metrics.bootstrap import resampled_average_precision, resampled_map
from mlrepro.metrics.calibration import calibration_error, fit_temperature
from mlrepro.records import Calibration, Choice, Record
from mlrepro.resamples import KEPT, as_kept, resampled_maps
from mlrepro.training.grid.cross_validation import folds


class ScoredPart(NamedTuple):
    """Logits and labels (n, C) of pictures that one training scored; labels: -1 unknown."""

    logits: np.ndarray
    labels: np.ndarray


def choice_of(scores: np.ndarray, labels: np.ndarray, empty: str) -> Choice:
    """Of logits (N, C) that no part of the training has seen; labels (N, C), -1 unknown."""
    mAP = mean_average_precision(average_precision(scores, labels), empty)
    return Choice(
        mAP=None if np.isnan(mAP) else mAP,
        pictures=len(scores),
        resamples=as_kept(resampled_maps(scores, labels, empty)),
    )


def with_cross_validation(record: Record, train: ScoredPart, validation: ScoredPart) -> Record:
    """The record, with what its run is chosen by where training pictures are few.

    train: each picture scored by a training of the run that has not seen it; pictures are ranked
    within their fold. validation, scored by the run itself, is one part more.
    """
    parts = [
        ScoredPart(train.logits[held_out], train.labels[held_out])
        for held_out in folds(len(train.labels))
    ]
    choice = choice_over_parts([*parts, validation], record.run.empty_classes)
    return record.model_copy(update={"choices": record.choices | {"cross_validation": choice}})


def choice_over_parts(parts: Sequence[ScoredPart], empty: str) -> Choice:
    """Of pictures in parts, each of which a training scored that has not seen it.

    A picture is ranked among those of its part alone. Ranked together, the pictures of different
    trainings are ranked by how these differ, too: what holds out many positives of a label has few
    left to learn from, and scores all pictures lower (Airola et al. 2011, section 2.3). A label's
    average precision is the mean over the parts, weighted by their positives.
    """
    positives = np.array([(part.labels == 1).sum(axis=0) for part in parts])
    aps = [average_precision(part.logits, part.labels) for part in parts]
    mAP = mean_average_precision(_weighted_mean(np.array(aps), positives), empty)

    # Each part is resampled by draws of its own.
    resamples = [
        resampled_average_precision(part.logits, part.labels, KEPT, seed=place)
        for place, part in enumerate(parts)
    ]
    maps = resampled_map(_weighted_mean(np.array(resamples), positives[:, None]), empty)
    return Choice(
        mAP=None if np.isnan(mAP) else mAP,
        pictures=sum(len(part.logits) for part in parts),
        resamples=as_kept(maps),
    )


def _weighted_mean(aps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Over the first axis, without parts that have no average precision; NaN where none has."""
    weights = np.where(np.isnan(aps), 0.0, weights)
    total = weights.sum(axis=0)
    weighted = (weights * np.nan_to_num(aps)).sum(axis=0)
    return np.divide(weighted, total, out=np.full(total.shape, np.nan), where=total > 0)


def calibration_of(
    validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], scale: float
) -> Calibration:
    """Logits and labels (N, C) of both splits. scale: see `training.predict.logit_scale`."""
    val_logits, val_labels = validation
    test_logits, test_labels = test
    temperature = fit_temperature(scale * val_logits, val_labels)
    logits = scale * test_logits.astype(np.float64)
    return Calibration(
        temperature=temperature,
        error_before=calibration_error(expit(logits), test_labels),
        error_after=calibration_error(expit(logits / temperature), test_labels),
    )
