"""What a training leaves behind, written: training.json, history.csv, and weights by selection."""

import csv
import io
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from mlrepro.environments import Environment, write_environment
from mlrepro.files import write_bytes, written_whole
from mlrepro.records import TrainingFacts

# Prefix, in best.safetensors, of the weights of `select_on_test`.
ON_TEST = "on_test."


def write_training(
    out: Path,
    facts: TrainingFacts,
    weights: dict[str, dict[str, Tensor]],
    history: list[dict],
) -> None:
    """Writes one training into the folder `out`; read.py reads it again.

    weights: state dicts of the selections `best`, `last`, and perhaps `on_test`. history: a row an
    epoch.
    """
    out.mkdir(parents=True, exist_ok=True)

    # Beside the best weights: a training has the same two files whatever it selects on.
    on_test = weights.get("on_test", {})
    best = weights["best"] | {ON_TEST + key: value for key, value in on_test.items()}
    _write_weights(best, out / "best.safetensors")
    _write_weights(weights["last"], out / "last.safetensors")

    write_rows(history, out / "history.csv")
    text = facts.model_dump_json(indent=1) + "\n"
    write_bytes(out / "training.json", text.encode())


def environment_file(out: Path) -> Path:
    """Beside the folder of a training, whose files the same bits give alike on every machine."""
    return out.with_name(f"{out.name}-environment.json")


def write_training_environment(environment: Environment, out: Path) -> None:
    """out: the folder of the training."""
    write_environment(environment, environment_file(out))


def _write_weights(state: dict[str, Tensor], path: Path) -> None:
    tensors = {key: value.contiguous().cpu() for key, value in state.items()}
    with written_whole(path) as temporary:
        save_file(tensors, temporary)


def write_rows(rows: list[dict], path: Path) -> None:
    """A CSV file with every column that any row has: val_mAP_ema may come later."""
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())
