"""What a training left behind (write.py), read again."""

import csv
import math
from pathlib import Path

from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from mlrepro.errors import InputError
from mlrepro.files import whole_tensors
from mlrepro.records import Epoch, TrainingFacts
from mlrepro.settings.base import load_json
from mlrepro.training.write import ON_TEST

AGAIN = "run its train stage again: dvc repro -f -s <train stage>"


def read_facts(out: Path) -> TrainingFacts:
    """training.json; every selection has a kind of weights, which old grid searches did not say."""
    what = "what a training writes"
    facts = load_json(TrainingFacts, out / "training.json", what, AGAIN)
    kinds = dict.fromkeys(facts.epochs, "plain") | facts.weights
    return facts.model_copy(update={"weights": kinds})


def read_history(path: Path) -> list[Epoch]:
    """An epoch a row; a column that is no field of Epoch is one of its metrics.

    Raises InputError for a row whose loss or mAP is no number.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return [_epoch(row) for row in rows]
    except ValidationError as error:
        raise InputError(
            f"{path}: not the history of a training; run its train stage again: {error}"
        ) from None


def _epoch(row: dict[str, str]) -> Epoch:
    fields = {}
    metrics = {}
    for name, value in row.items():
        if not value:  # a column of other epochs
            continue
        if name in Epoch.model_fields:
            fields[name] = value
        elif math.isfinite(float(value)):  # a validation loss may be infinite: absent
            metrics[name] = value
    return Epoch.model_validate({"metrics": metrics, **fields})


def load_selection(out: Path, selection: str) -> dict[str, Tensor]:
    """The weights `best`, `last` or `on_test`. Raises InputError for a file that is damaged."""
    path = out / ("last.safetensors" if selection == "last" else "best.safetensors")
    with whole_tensors(path, AGAIN):
        state = load_file(path)
    if selection == "on_test":
        return {
            key.removeprefix(ON_TEST): value
            for key, value in state.items()
            if key.startswith(ON_TEST)
        }
    return {key: value for key, value in state.items() if not key.startswith(ON_TEST)}
