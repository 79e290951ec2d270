"""What a run is chosen by, on pictures that are not the test's, and how its scores are calibrated.

Pages of own data advise from this: the test pictures only measure what was chosen.
"""

import numpy as np
from scipy.special import expit

from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.metrics.calibration import calibration_error, fit_temperature
from mlrepro.records import Calibration, Choice
from mlrepro.resamples import as_kept, resampled_maps


def choice_of(scores: np.ndarray, labels: np.ndarray, empty: str) -> Choice:
    """Of logits (N, C) that no part of the training has seen; labels (N, C), -1 unknown."""
    mAP = mean_average_precision(average_precision(scores, labels), empty)
    return Choice(
        mAP=None if np.isnan(mAP) else mAP,
        pictures=len(scores),
        resamples=as_kept(resampled_maps(scores, labels, empty)),
    )


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
