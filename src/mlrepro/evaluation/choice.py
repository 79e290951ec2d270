"""What a run is chosen by, on pictures that are not the test's, and how its scores are calibrated.

Pages of own data advise from this: the test pictures only measure what was chosen.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.metrics.calibration import calibration_error, fit_temperature
from mlrepro.records import Calibration, Choice, Record
from mlrepro.resamples import as_kept, resampled_maps
from mlrepro.training.grid.cross_validation import standardised


class ScoredPart(NamedTuple):
    """Logits and labels (n, C) of a split; labels: -1 unknown."""

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

    train: each picture scored by a training of the run that has not seen it, on the scale of
    `cross_validate`. validation: scored by the run itself, whose logits are brought to that scale.
    """
    on_validation = standardised(validation.logits, validation.logits)
    logits = np.concatenate([train.logits, on_validation])
    labels = np.concatenate([train.labels, validation.labels])

    choice = choice_of(logits, labels, record.run.empty_classes)
    choices = record.choices | {"cross_validation": choice}
    return record.model_copy(update={"choices": choices})


def calibration_of(
    validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], scale: float
) -> Calibration:
    """Logits and labels (N, C) of both splits. scale: see `training.predict.logit_scale`."""
    val_logits, val_labels = validation
    test_logits, test_labels = test

    # Fitted on one split and measured on another, as all that is tuned.
    temperature = fit_temperature(scale * val_logits, val_labels)
    logits = scale * test_logits.astype(np.float64)
    return Calibration(
        temperature=temperature,
        error_before=calibration_error(expit(logits), test_labels),
        error_after=calibration_error(expit(logits / temperature), test_labels),
    )
