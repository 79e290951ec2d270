"""Scores and labels as a protocol sees them: which pictures, which labels, in which precision."""

from dataclasses import dataclass

import numpy as np

from mlrepro.audit.join import Joined
from mlrepro.audit.protocols import Protocol
from mlrepro.audit.scales import Scale, as_bfloat16, as_float16, probabilities


@dataclass(frozen=True)
class View:
    """Some pictures: scores and labels (N, K), see `mlrepro.metrics`.

    threshold: of the scores, for probability 0.5.
    """

    scores: np.ndarray
    labels: np.ndarray
    threshold: float


def see(joined: Joined, scale: Scale, protocol: Protocol) -> View:
    """All classes of the pictures that count."""
    labels = joined.labels(protocol.difficult)
    rows = _rows(joined, labels, protocol)
    scores, threshold = in_form(joined.scores[rows], protocol.form, scale)
    return View(scores, labels[rows], threshold)


def of_classes(view: View, kept: np.ndarray) -> View:
    """kept (K,): whether each class is."""
    if kept.all():
        return view
    return View(view.scores[:, kept], view.labels[:, kept], view.threshold)


def _rows(joined: Joined, labels: np.ndarray, protocol: Protocol) -> np.ndarray:
    kept = np.ones(joined.pictures, bool)
    if protocol.missing == "left out":
        kept &= ~joined.missing
    if protocol.unannotated == "left out":
        kept &= (labels == 1).any(axis=1)

    rows = np.flatnonzero(kept)
    return rows[: len(rows) - len(rows) % protocol.batch]


def in_form(scores: np.ndarray, form: str, scale: Scale) -> tuple[np.ndarray, float]:
    """The scores in a form of the catalogue, and their threshold for probability 0.5."""
    threshold = scale.threshold
    if form == "given":
        return scores, threshold

    if form.startswith("sigmoid"):
        scores = probabilities(scores.astype(np.float32))
        threshold = 0.5
    precision = form.removeprefix("sigmoid").strip()
    if precision == "float16":
        return as_float16(scores), threshold
    if precision == "bfloat16":
        return as_bfloat16(scores), threshold
    return scores.astype(np.float32), threshold
