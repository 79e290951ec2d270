"""Labels and scores of pictures."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from mlrepro.data.images import decode
from mlrepro.files import is_something_else
from mlrepro_cli.predict.model import logits

# Threads that decode; not more, for each may hold a picture of 12,000 px.
READERS = 4


@dataclass(frozen=True)
class Unreadable:
    """A picture that does not decode, and why."""

    reason: str


def predict(
    config: dict,
    network: nn.Module,
    names: Sequence,
    read: Callable = Path,
    batch: int = 32,
    readers: Executor | None = None,
) -> Iterator[dict]:
    """Yields {image, labels, scores} or {image, error} of each name, in their order.

    labels: the classes whose logit reaches their tuned threshold, best first.
    scores: the probability of every class.
    read:   turns a name into a path or an open file. batch: pictures at a time.
    readers: that decode; none: some of its own.
    """

    def picture(name) -> np.ndarray | Unreadable:
        try:
            source = read(name)
            # A named pipe, a device, a link in a circle: reading it might never end.
            if isinstance(source, Path) and is_something_else(source):
                return Unreadable("no regular file")
            return decode(
                source,
                config["resolution"],
                config["resize"],
                appearance=config["appearance"],
            )
        except Exception as error:
            # Decoders raise whatever their damaged input led them to; decode() wraps some of it.
            return Unreadable(f"not readable: {error.__context__ or error}")

    device = next(network.parameters()).device
    own = nullcontext(readers) if readers else ThreadPoolExecutor(READERS)
    with own as pool:
        for start in range(0, len(names), batch):
            batch_names = names[start : start + batch]
            pictures = list(pool.map(picture, batch_names))
            readable = [entry for entry in pictures if not isinstance(entry, Unreadable)]
            # Readable ones make a batch; their rows come back in this order.
            rows = iter(logits(config, network, readable, device) if readable else [])

            for name, entry in zip(batch_names, pictures, strict=True):
                if isinstance(entry, Unreadable):
                    yield {"image": name, "error": entry.reason}
                else:
                    yield {"image": name, **_answer(config, next(rows).astype(np.float64))}


def _answer(config: dict, row: np.ndarray) -> dict:
    """Labels and scores of one picture's logits (K,), or an error."""
    # Weights may be finite and their sums not.
    if not np.isfinite(row).all():
        return {"error": "the model gives no finite number; export it again"}

    classes = config["classes"]
    # Without a threshold, a class that validation never shows: it is never predicted.
    thresholds = [np.inf if value is None else value for value in config["thresholds"]]
    best_first = np.argsort(-row, kind="stable")
    with np.errstate(over="ignore"):  # of a logit below -700: its score is 0
        scores = 1 / (1 + np.exp(-config["logit_scale"] * row))
    return {
        "labels": [classes[label] for label in best_first if row[label] >= thresholds[label]],
        "scores": dict(zip(classes, scores.round(6).tolist(), strict=True)),
    }
