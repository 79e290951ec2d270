"""Logits of a run's weights, and the file that keeps them."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from mlrepro.files import written_whole
from mlrepro.settings.run import Run
from mlrepro.training.device import device
from mlrepro.training.predict import predict
from mlrepro.training.task import Task


def score(run: Run, task: Task, rows: np.ndarray, title: str) -> np.ndarray:
    """float32 logits (len(rows), K) of the task's present weights, in the run's precision.

    title: of the progress bar.
    """
    return predict(task.model, task.inputs, rows, device(), title, precision=run.precision)


def write_logits(logits: dict[str, np.ndarray], path: Path) -> None:
    """logits: by `<split>_<selection>`."""
    arrays = {key: np.ascontiguousarray(value) for key, value in logits.items()}
    with written_whole(path) as temporary:
        save_file(arrays, temporary)
