"""Single-positive labels and the hold-out of Cole et al. 2021, bit for bit as their released code draws them."""

import io
from pathlib import Path

import numpy as np

from mlrepro.data.manifest import OBSERVED, Labels, Manifest
from mlrepro.files import write_bytes
from mlrepro.settings.data import Corruption


def observe(labels: np.ndarray, corruption: Corruption) -> np.ndarray:
    """Keeps `positives` random positives and `negatives` random negatives of each row (-1: all).

    labels: (N, C) in {0, 1}. Returns (N, C) int8: 1 and -1 observed, 0 unobserved. A row without positives gets none.
    Both index lists of a row are shuffled even where nothing is kept of one: that is what the generator's state, and
    with it the next row, depends on.
    """
    labels = np.asarray(labels) == 1
    observed = np.zeros(labels.shape, np.int8)
    random = np.random.RandomState(corruption.seed)
    for row, out in zip(labels, observed, strict=True):
        for indices, keep, value in (
            (np.flatnonzero(row), corruption.positives, 1),
            (np.flatnonzero(~row), corruption.negatives, -1),
        ):
            indices = indices.astype(np.int64)
            random.shuffle(indices)
            out[indices if keep == -1 else indices[:keep]] = value
    return observed


def hold_out(n: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to keep and to hold out, each ascending int64; round(fraction * n), half to even, are held out. The source then
    sub-samples both by a share of 1, which changes nothing and is left out."""
    held = int(np.round(fraction * n))
    order = np.random.RandomState(seed).permutation(n).astype(np.int64)
    return np.sort(order[: n - held]), np.sort(order[n - held :])


def write_observed(manifest: Manifest, corruption: Corruption, folder: Path) -> None:
    """Writes folder/observed.npz (see `load_observed`). The same input gives the same bytes.

    The rows are those of every part that holds training rows, i.e. before the hold-out, with a new generator a part.
    A picture that `prepare` rejected is not among them, so that with rejected pictures the draw is not the source's.
    Ignored labels count as negative, and are printed. IU's labels have a known negative a picture, or as many as `negatives`
    says; the code of Cole et al. shuffles the negatives in any case, so that the positives are the same.
    """
    labels = Labels(manifest)
    part, split = (manifest.frame[name].to_numpy() for name in ("part", "split"))
    parts = dict.fromkeys(part[split == "train"])
    rows = [np.flatnonzero((part == name) & (split != "test")) for name in parts]
    for_iu = corruption.model_copy(update={"negatives": corruption.negatives or 1})
    iu = np.concatenate([observe(labels[of_part], for_iu) for of_part in rows])
    if ignored := sum(int((labels[of_part] == -1).sum()) for of_part in rows):
        print(f"{ignored} ignored labels count as negative in the corruption")
    rows = np.concatenate(rows).astype(np.int64)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, rows=rows, observed=iu if corruption.negatives else np.maximum(iu, 0), iu=iu
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / OBSERVED, buffer.getvalue())
