"""A trained run as its stages left it: weights, validation logits, and where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mlrepro.data.manifest import Manifest
from mlrepro.environments import Environment, read_environment
from mlrepro.errors import InputError
from mlrepro.layout import Layout
from mlrepro.records import TrainingFacts
from mlrepro.settings.run import Run
from mlrepro.studies.runs import read_run
from mlrepro.training.read import load_selection, read_facts
from mlrepro.training.splits import scored_rows
from mlrepro.training.write import environment_file


@dataclass(frozen=True)
class TrainedRun:
    """One seed of a run.

    layout: of its pipeline; manifest: of its data; facts: its training.json; environment: of its
    training.
    output: the folder of what was made of it.
    rows:   of the manifest: the validation pictures that were scored.
    logits: (rows, K) float32 of these, as the evaluate stage wrote them.
    state:  the weights of the run's `selection`: of the head alone where only it was trained.
    averaged: seeds whose layers `state` is the average of; none: it is that of `seed`.
    """

    layout: Layout
    run: Run
    seed: int
    manifest: Manifest
    facts: TrainingFacts
    environment: Environment
    output: Path
    rows: np.ndarray
    logits: np.ndarray
    state: dict[str, Tensor]
    averaged: tuple[int, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether it was scored on a CPU and in float32, so that it gives the same logits here."""
        on_cpu = (self.environment.device or "").startswith("CPU")
        return on_cpu and self.environment.precision == "float32"


def read_trained(layout: Layout, run: Run, seed: int, manifest: Manifest) -> TrainedRun:
    """Raises InputError where the run is not trained and evaluated as it is now."""
    output = layout.output(run.run_id, seed)
    folder = layout.trained(run.run_id, seed)
    try:
        facts = read_facts(folder)
        rows = scored_rows(run, manifest.rows("val"))
        logits = load_file(output / "logits.safetensors")[f"val_{run.selection}"].numpy()
        state = load_selection(folder, run.selection)

        # What the run was trained and evaluated on, and with.
        then = (facts.manifest_sha256, facts.settings_sha256, len(logits))
        if then != (manifest.digest, run.digest, len(rows)):
            raise KeyError("the data or settings are others now")
    # InputError and SafetensorError: of files that were copied in part, or changed.
    except (FileNotFoundError, KeyError, InputError, SafetensorError) as error:
        raise InputError(
            f"{output}: not trained and evaluated ({error}); run dvc repro {layout.dvc_file}"
        ) from None
    # A search keeps it in a folder of its own.
    beside = environment_file(folder)
    of_record = layout.environment(run.run_id, seed)
    environment = read_environment(beside if beside.is_file() else of_record)
    return TrainedRun(layout, run, seed, manifest, facts, environment, output, rows, logits, state)


def read_average(
    layout: Layout, run_id: str, seeds: Sequence[int], manifest: Manifest
) -> TrainedRun:
    """The average of all seeds' linear layers, which is one linear layer.

    Its logits are the average of theirs. Raises InputError for another head, and as `read_trained`.
    """
    if len(seeds) < 2:
        raise InputError(f"{run_id}: has one seed, so there is no average; leave --seed out")
    trained = [
        read_trained(layout, read_run(layout, run_id, seed), seed, manifest) for seed in seeds
    ]
    first = trained[0]
    if first.run.head != "linear":
        raise InputError(
            f"{run_id}: only linear heads have an average that is one model, and not "
            f"{first.run.head!r}; give one of the seeds {', '.join(map(str, seeds))}"
        )
    state = {
        key: torch.stack([of_seed.state[key] for of_seed in trained]).mean(0) for key in first.state
    }
    logits = np.mean([of_seed.logits for of_seed in trained], axis=0)
    return replace(first, state=state, logits=logits, averaged=tuple(seeds))
