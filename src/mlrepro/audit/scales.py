"""What kind of numbers scores are: probabilities, logits, or neither; and how else to store them.

Average precision asks for an order alone. A threshold of 0.5 asks for probabilities, and half
precision makes ties, more of them among probabilities near 1 than among logits.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["probabilities", "logits", "confidences"]

# A probability that went through a sigmoid again lies between these.
SIGMOID_OF_0 = 0.5
SIGMOID_OF_1 = 1 / (1 + np.exp(-1.0))
PERCENT = 100


@dataclass(frozen=True)
class Scale:
    """threshold: of the scores, for probability 0.5. remarks: what is odd about them, sentences."""

    kind: Kind
    threshold: float
    least: float
    most: float
    remarks: list[str]


def read_scale(values: np.ndarray, kind: Kind | None = None) -> Scale:
    """The scale of scores of any shape. kind: what the user says that they are."""
    least = float(values.min(initial=np.inf))
    most = float(values.max(initial=-np.inf))
    kind = kind or _kind(least, most)
    return Scale(
        kind=kind,
        threshold=0.0 if kind == "logits" else 0.5,
        least=least,
        most=most,
        remarks=_remarks(values, kind, least, most),
    )


def _kind(least: float, most: float) -> Kind:
    if least < 0:
        return "logits"
    return "probabilities" if most <= 1 else "confidences"


def _remarks(values: np.ndarray, kind: Kind, least: float, most: float) -> list[str]:
    remarks = []
    if SIGMOID_OF_0 <= least and most <= SIGMOID_OF_1 + 1e-6:
        remarks.append(
            f"All scores lie between {least:.3f} and {most:.3f}, as probabilities do that went "
            "through a sigmoid a second time: their order is right, every decision at 0.5 is not."
        )
    elif kind == "confidences" and PERCENT / 2 < most <= PERCENT:
        remarks.append(
            f"Scores reach {most:g}: percentages? Decisions at 0.5 want them divided by 100."
        )
    elif kind == "confidences":
        remarks.append(
            f"Scores from {least:g} to {most:g} are neither probabilities nor logits; decisions at "
            "0.5 take them as they are (--kind says otherwise)."
        )
    return remarks


# ---- Other forms of the same scores --------------------------------------------------------------


def probabilities(values: np.ndarray) -> np.ndarray:
    """The sigmoid of logits, in their own precision, as networks compute it."""
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-values))).astype(values.dtype)


def as_float16(values: np.ndarray) -> np.ndarray:
    """The nearest float16, as float32; numbers beyond its range are its largest."""
    largest = np.finfo(np.float16).max
    return np.clip(values, -largest, largest).astype(np.float16).astype(np.float32)


def as_bfloat16(values: np.ndarray) -> np.ndarray:
    """The nearest bfloat16, of two the even one, as float32."""
    # It is the upper half of a float32's bits. Half of its last bit is added before the lower half
    # is cut off, less one where that bit is 0: then a tie is not rounded up.
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    last_bit = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = bits + np.uint32(0x7FFF) + last_bit
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32)
