"""An mAP on resamples of the test pictures, which a record keeps.

Two runs that score the same pictures of one manifest are measured on the same resamples, number by
number. So pages compare them in pairs, from records alone and without any logits.
"""

import numpy as np

from mlrepro.metrics.bootstrap import resampled_average_precision, resampled_map

# The standard error of a difference is then known to 5 %. A record has a line of 1,400 characters.
KEPT = 200

# In percent. The standard error of a difference is seldom below 0.1; and a processor that rounds
# otherwise, and so swaps two pictures, changes few of them.
DECIMALS = 2


def resampled_maps(scores: np.ndarray, labels: np.ndarray, empty: str) -> np.ndarray:
    """Exact mAP in percent on each resample of the pictures, (KEPT,).

    scores, labels (N, C) and empty: see `mlrepro.metrics`. NaN where a resample has no mAP.
    """
    return resampled_map(resampled_average_precision(scores, labels, KEPT), empty)


def as_kept(maps: np.ndarray) -> list[float | None] | None:
    """As a record keeps them; none where no resample has an mAP."""
    if np.isnan(maps).all():
        return None
    return [None if np.isnan(value) else value for value in np.round(maps, DECIMALS).tolist()]
