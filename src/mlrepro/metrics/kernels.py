"""The ranks of a class's positives by numba.

Numpy's results without holding the interpreter, so that all cores are at it. What is compiled is
kept beside this file or in the user's cache. Only `average_precision.kernels` imports this.
"""

import numpy as np
from numba import njit

CROWDED = 64  # pictures of a cell that are too many for the insertion sort


@njit(
    "Tuple((f4[::1], i8[::1], i8[::1], i8[::1]))(f4[::1], b1[::1], f4, f4, i8)",
    cache=True,
    nogil=True,
)
# The steps share their arrays, and numba compiles one function.
def positions(scores, positive, low, per_unit, cells):  # noqa: C901
    """`average_precision.positions` of (n,) scores, in the fields' order.

    They are sorted by counting them in `cells` cells of 1 / per_unit from `low` on, and where a
    cell holds a positive also within it. All empty where too many pictures share a cell.
    """
    # How many pictures and positives a cell has. Indices are unsigned: never counted from the end.
    cell = np.empty(len(scores), np.int32)
    counts = np.zeros(cells, np.int32)
    positives = np.zeros(cells, np.int32)
    for i in range(len(scores)):
        cell[i] = np.int32((scores[i] - low) * per_unit)
    for i in range(len(scores)):
        counts[np.uintp(cell[i])] += 1
        if positive[i]:
            positives[np.uintp(cell[i])] += 1

    # From the highest scores down: where a cell with positives starts among the pictures of such
    # cells, and how many pictures of the other cells come before it.
    start = np.empty(cells, np.int32)
    others = np.empty(cells, np.int32)
    near = 0
    beyond = 0
    most = 0
    for c in range(cells - 1, -1, -1):
        if positives[c]:
            start[c] = near
            others[c] = beyond
            most = max(most, counts[c])
            near += counts[c]
        else:
            beyond += counts[c]

    total = positives.sum() if most <= CROWDED else 0
    thresholds = np.empty(total, np.float32)
    hits = np.empty(total, np.int64)
    retrieved = np.empty(total, np.int64)
    ranks = np.empty(total, np.int64)
    if most > CROWDED:
        return thresholds, hits, retrieved, ranks

    # The pictures of these cells, cell by cell; `start` moves to the end of each cell.
    order = np.empty(near, np.int32)
    for i in range(len(scores)):
        if positives[np.uintp(cell[i])]:
            order[start[cell[i]]] = i
            start[cell[i]] += 1

    # Insertion sort, descending and stable: none moves further than within its cell.
    for j in range(1, near):
        i = order[j]
        k = j
        while k > 0 and scores[order[k - 1]] < scores[i]:
            order[k] = order[k - 1]
            k -= 1
        order[k] = i

    # Tied pictures by tied pictures: each positive's rank, then what all of them share.
    first = 0
    found = 0
    while first < near:
        end = first
        score = scores[order[first]]
        before = others[cell[order[first]]]
        above = found
        while end < near and scores[order[end]] == score:
            if positive[order[end]]:
                ranks[found] = end + 1 + before
                found += 1
            end += 1
        for place in range(total - found, total - above):  # from the lowest score up
            thresholds[place] = score
            hits[place] = found
            retrieved[place] = end + before
        first = end
    return thresholds, hits, retrieved, ranks
