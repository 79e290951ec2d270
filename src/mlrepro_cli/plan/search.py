"""How long a search stage takes on this machine, by searches on a few of its training pictures."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mlrepro.data.features import features_path, read_features
from mlrepro.data.manifest import Manifest, read_manifest
from mlrepro.layout import Layout
from mlrepro.settings.data import Features
from mlrepro.settings.losses import Plain
from mlrepro.settings.run import Run
from mlrepro.threads import threads_of_search
from mlrepro.training.device import device
from mlrepro.training.grid.closed_form import solve
from mlrepro.training.grid.cross_validation import ENOUGH_PICTURES, FOLDS
from mlrepro.training.grid.data import GridData, Member
from mlrepro.training.grid.search import search
from mlrepro.training.splits import read_labelled
from mlrepro_cli.plan.throughput import metrics_seconds, stage_start

SEARCH_IMPORTS = "mlrepro.evaluation.record, mlrepro.training.grid.search, mlrepro.tracking"

# Training pictures of the short searches.
FEW = 256
MORE = 1024
# Their epochs: after a first one, em_apl makes pseudo-labels.
EPOCHS = 2


@dataclass(frozen=True)
class SearchPace:
    """Seconds that members take which are searched together, as `search` divides them.

    start:   before the first epoch and after the last one.
    epoch:   in each epoch beside its steps: the members are scored on validation.
    picture: of the steps on one training picture.
    """

    start: float
    epoch: float
    picture: float

    def seconds(self, epochs: int, pictures: int) -> float:
        return self.start + epochs * (self.epoch + pictures * self.picture)


def predict_search(layout: Layout, data_folder: Path) -> float:
    """Wall seconds of the search stage, without the measurement of the networks' own speed.

    data_folder: with the features, or with stand-ins. Raises InputError where they are lacking.
    """
    manifest = read_manifest(data_folder)
    members = layout.pipeline.grid()
    labelled = read_labelled(data_folder)

    seconds = stage_start(SEARCH_IMPORTS)
    for features in [*layout.pipeline.backbones, layout.pipeline.features]:
        named = (features.backbone, features.resolution)
        of_part = [one for one in members if (one[0].backbone, one[0].resolution) == named]
        if of_part:
            seconds += _predict_part(layout, of_part, _grid_data(data_folder, manifest, features))

    # Each run and seed that is chosen is evaluated with its best and its last weights. A loss that
    # reads full labels stands for all: observed ones may not be there yet.
    chosen = {(run.run_id, seed) for run, seed in members}
    any_run, _ = members[0]
    measured = any_run.model_copy(update={"labels": "full", "loss": Plain(name="bce")})
    return seconds + 2 * len(chosen) * metrics_seconds(measured, labelled)


def _grid_data(data_folder: Path, manifest: Manifest, features: Features) -> GridData:
    """As the search reads it, but with drawn features, and full labels where it observes fewer.

    Its steps take as long, and need neither the features nor the observed labels.
    """
    path = features_path(data_folder, features.backbone, features.resolution)
    stored, _ = read_features(path, manifest, features.backbone, features.resolution)
    labels = manifest.label_matrix()
    rows = {split: manifest.rows(split) for split in ("train", "val", "test")}
    full = torch.from_numpy(labels[rows["train"]])
    return GridData(
        torch.randn(stored.shape, generator=torch.Generator().manual_seed(0)).to(device()),
        stand_in_targets(full),
        labels,
        rows,
    )


def stand_in_targets(full: torch.Tensor) -> dict[str, torch.Tensor]:
    """As GridData has them, by full labels (N, C). `iu` observes negatives, which are -1."""
    return {"full": full, "single": full, "iu": torch.where(full == 0, -1, full)}


def _predict_part(layout: Layout, members: list[Member], data: GridData) -> float:
    """Of the members that read one backbone's features."""
    closed = [(run, seed) for run, seed in members if run.closed_form]
    trained = [(run, seed) for run, seed in members if not run.closed_form]
    cross_validated = layout.own_data and len(data.rows["train"]) < ENOUGH_PICTURES

    # The closed form is solved as a whole, because it is short.
    seconds = _seconds_of(lambda: solve(closed, data))
    if cross_validated:
        seconds *= 1 + FOLDS

    if trained:
        seconds += _predict_trained(trained, data)
    if trained and cross_validated:
        seconds += _predict_cross_validation(trained, data)
    return seconds


def _predict_trained(members: list[Member], data: GridData) -> float:
    # All seeds take the same time: those are measured that keep the processor's cores busy.
    seeds = sorted({seed for _, seed in members})
    some = seeds[: threads_of_search()]
    pace = measure_search([(run, seed) for run, seed in members if seed in some], data)

    first_run, _ = members[0]
    of_some = pace.seconds(first_run.epochs, len(data.rows["train"]))
    return of_some * len(seeds) / len(some)


def _predict_cross_validation(members: list[Member], data: GridData) -> float:
    """Of what was chosen of the first seed, trained at most to the last epoch."""
    first_run, first_seed = members[0]
    chosen = {run.run_id: run for run, seed in members if seed == first_seed}
    pace = measure_search([(run, first_seed) for run in chosen.values()], data)

    without_a_fold = len(data.rows["train"]) * (FOLDS - 1) // FOLDS
    return FOLDS * pace.seconds(first_run.epochs, without_a_fold)


def measure_search(members: list[Member], data: GridData) -> SearchPace:
    """The pace of members of one number of epochs, from short searches of which nothing is kept."""
    total = len(data.rows["train"])
    few = min(FEW, total)
    more = min(MORE, total)

    def seconds(epochs: int, pictures: int) -> float:
        short = [(shortened(run, epochs), seed) for run, seed in members]
        part = first_pictures(data, pictures)
        return _seconds_of(lambda: search(short, part))

    seconds(EPOCHS, few)  # warms up
    once = seconds(EPOCHS, few)
    of_more_pictures = seconds(EPOCHS, more)
    of_another_epoch = seconds(EPOCHS + 1, few)

    picture = 0.0
    if more > few:
        picture = max(0.0, of_more_pictures - once) / (EPOCHS * (more - few))
    # Of few pictures, all of an epoch is in this, and nothing is left for a picture.
    epoch = max(0.0, of_another_epoch - once - few * picture)
    start = max(0.0, once - EPOCHS * (epoch + few * picture))
    return SearchPace(start, epoch, picture)


def shortened(run: Run, epochs: int) -> Run:
    """The run with few epochs, of which the first alone warms up."""
    loss = run.loss
    if loss.name == "em_apl":
        loss = loss.model_copy(update={"warm_up": 1})
    return run.model_copy(update={"epochs": epochs, "loss": loss})


def first_pictures(data: GridData, pictures: int) -> GridData:
    """The same data with only the first training pictures."""
    targets = {name: values[:pictures] for name, values in data.targets_by_labels.items()}
    rows = data.rows | {"train": data.rows["train"][:pictures]}
    return replace(data, targets_by_labels=targets, rows=rows)


def _seconds_of(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
