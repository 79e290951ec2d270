"""Single-positive labels and the hold-out of Cole et al. 2021, bit for bit as in their code."""

import io
from pathlib import Path

import numpy as np

from mlrepro.data.manifest import OBSERVED, Labels, Manifest
from mlrepro.files import write_bytes
from mlrepro.settings.data import Corruption

ALL = -1  # in the settings: as many as there are


def observe(labels: np.ndarray, corruption: Corruption) -> np.ndarray:
    """Keep `positives` random positives and `negatives` random negatives of each row (-1: all).

    labels: (N, C) in {-1, 0, 1}; -1 is ignored, see `Corruption`. Returns (N, C) int8: 1 and -1
    observed, 0 unobserved. A row without positives gets none.
    """
    labels = np.asarray(labels)
    is_positive = labels == 1
    is_negative = labels == 0 if corruption.ignored == "unobserved" else ~is_positive
    observed = np.zeros(is_positive.shape, np.int8)
    random = np.random.RandomState(corruption.seed)

    for row, absent, out in zip(is_positive, is_negative, observed, strict=True):
        positives = np.flatnonzero(row).astype(np.int64)
        negatives = np.flatnonzero(absent).astype(np.int64)
        # Both are shuffled even where nothing is kept of one: that is what the generator's state,
        # and with it the next row, depends on.
        random.shuffle(positives)
        random.shuffle(negatives)
        out[_first(positives, corruption.positives)] = 1
        out[_first(negatives, corruption.negatives)] = -1
    return observed


def _first(indices: np.ndarray, count: int) -> np.ndarray:
    return indices if count == ALL else indices[:count]


def hold_out(n: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to keep and to hold out, each ascending int64.

    round(fraction * n), half to even, are held out. The source then sub-samples both by a share of
    1, which changes nothing and is left out.
    """
    held = int(np.round(fraction * n))
    order = np.random.RandomState(seed).permutation(n).astype(np.int64)
    return np.sort(order[: n - held]), np.sort(order[n - held :])


def write_observed(manifest: Manifest, corruption: Corruption, folder: Path) -> None:
    """Write folder/observed.npz (see `load_observed`). The same input gives the same bytes.

    The rows are those of every part that holds training rows, i.e. before the hold-out, with a new
    generator a part. A picture that `prepare` rejected is not among them, so that with rejected
    pictures the draw is not the source's. Prints how many labels are ignored, and how they count.

    IU's labels have a known negative a picture, or as many as `negatives` says; the code of Cole et
    al. shuffles the negatives in any case, so that the positives are the same.
    """
    labels = Labels(manifest)
    rows_by_part = _rows_of_training_parts(manifest)

    ignored = sum(int((labels[rows] == -1).sum()) for rows in rows_by_part)
    if ignored:
        print(f"{ignored} ignored labels count as {corruption.ignored} in the corruption")

    # One draw serves both: without its negatives it is what a draw of positives alone gives.
    for_iu = corruption.model_copy(update={"negatives": corruption.negatives or 1})
    iu = np.concatenate([observe(labels[rows], for_iu) for rows in rows_by_part])
    observed = iu if corruption.negatives else np.maximum(iu, 0)
    rows = np.concatenate(rows_by_part).astype(np.int64)

    # numpy gives the members of the file the year 1980, so that the bytes do not change.
    buffer = io.BytesIO()
    np.savez_compressed(buffer, rows=rows, observed=observed, iu=iu)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / OBSERVED, buffer.getvalue())


def _rows_of_training_parts(manifest: Manifest) -> list[np.ndarray]:
    """Row numbers, a part each: of all but the test pictures of parts with training pictures."""
    part = manifest.frame["part"].to_numpy()
    split = manifest.frame["split"].to_numpy()
    training_parts = dict.fromkeys(part[split == "train"])  # in their order
    return [np.flatnonzero((part == name) & (split != "test")) for name in training_parts]
