"""The ranks of a class's positives by numba: numpy's results without holding the interpreter, so that all cores are at it. What
is compiled is kept beside this file or in the user's cache. Only `average_precision.kernels` imports this."""

import numpy as np
from numba import njit

CROWDED = 64  # pictures of a cell that are too many for the insertion sort


@njit(
    "Tuple((f4[::1], i8[::1], i8[::1], i8[::1]))(f4[::1], b1[::1], f4, f4, i8)",
    cache=True,
    nogil=True,
)
def positions(scores, positive, low, per_unit, cells):
    """`average_precision.positions` of (n,) scores, sorted by counting them in `cells` cells of 1 / per_unit from `low` on, and
    where a cell holds a positive also within it. All empty where too many pictures share a cell."""
    cell, counts, positives = (
        np.empty(len(scores), np.int32),
        np.zeros(cells, np.int32),
        np.zeros(cells, np.int32),
    )
    for i in range(len(scores)):
        cell[i] = np.int32((scores[i] - low) * per_unit)
    for i in range(len(scores)):
        counts[np.uintp(cell[i])] += 1  # unsigned: never counted from the end
        if positive[i]:
            positives[np.uintp(cell[i])] += 1
    start, others, near, beyond, most = (
        np.empty(cells, np.int32),
        np.empty(cells, np.int32),
        0,
        0,
        0,
    )
    for c in range(cells - 1, -1, -1):  # from the highest scores down
        if positives[c]:
            start[c], others[c], most = near, beyond, max(most, counts[c])
            near += counts[c]
        else:
            beyond += counts[c]
    total = positives.sum() if most <= CROWDED else 0
    order, thresholds = np.empty(near, np.int32), np.empty(total, np.float32)
    hits, retrieved, ranks = (
        np.empty(total, np.int64),
        np.empty(total, np.int64),
        np.empty(total, np.int64),
    )
    if most > CROWDED:
        return thresholds, hits, retrieved, ranks
    for i in range(len(scores)):
        if positives[np.uintp(cell[i])]:
            order[start[cell[i]]] = i
            start[cell[i]] += 1
    for j in range(1, near):
        i, k = order[j], j
        while k > 0 and scores[order[k - 1]] < scores[i]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = i
    first, found = 0, 0
    while first < near:
        end, score, before = first, scores[order[first]], others[cell[order[first]]]
        above = found
        while end < near and scores[order[end]] == score:
            if positive[order[end]]:
                ranks[found] = end + 1 + before
                found += 1
            end += 1
        for place in range(total - found, total - above):  # from the lowest score up
            thresholds[place], hits[place], retrieved[place] = score, found, end + before
        first = end
    return thresholds, hits, retrieved, ranks
