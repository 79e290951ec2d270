"""Average precision of many resamples at once by numba. Only `bootstrap` imports this.

The resamples lie side by side in memory, so that a processor adds several of them at a time.
"""

import numpy as np
from numba import njit


@njit("f8[::1](i8[::1], b1[::1], b1[::1], u1[:, ::1])", cache=True, nogil=True)
def weighted_average_precision(order, positive, ends_tie, counts):
    """`bootstrap._weighted_average_precision`, with the same arguments."""
    resamples = counts.shape[1]
    retrieved = np.zeros(resamples, np.int32)
    hits = np.zeros(resamples, np.int32)
    step = np.zeros(resamples, np.int32)  # positives of the present tied pictures
    area = np.zeros(resamples)
    has_positive = False

    for i in range(len(order)):
        drawn = counts[order[i]]
        for r in range(resamples):
            retrieved[r] += drawn[r]
        if positive[i]:
            has_positive = True
            for r in range(resamples):
                step[r] += drawn[r]

        if ends_tie[i] and has_positive:
            for r in range(resamples):
                hits[r] += step[r]
                # Nothing retrieved: no positive was drawn either, and the step is 0.
                area[r] += step[r] * (hits[r] / max(retrieved[r], 1))
                step[r] = 0
            has_positive = False

    for r in range(resamples):
        area[r] = area[r] / hits[r] if hits[r] else np.nan
    return area
