"""What a search trains and what it reads: a pipeline's grid, features and labels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlrepro.data.features import features_path, read_features
from mlrepro.data.manifest import Manifest, read_manifest
from mlrepro.errors import InputError
from mlrepro.layout import Layout
from mlrepro.settings.data import Features
from mlrepro.settings.losses import Plain
from mlrepro.settings.run import Run
from mlrepro.training.device import device
from mlrepro.training.targets import read_targets

Member = tuple[Run, int]  # a run and its seed


@dataclass(frozen=True)
class GridData:
    """What every member of a search reads.

    features: (rows of the manifest, D) float32.
    targets_by_labels: (train rows, C) int8, `full` and, where a run reads observed labels, `single`
    and `iu`.
    labels: (rows of the manifest, C) full labels.
    rows: manifest rows of train, val, test.
    """

    features: Tensor
    targets_by_labels: dict[str, Tensor]
    labels: np.ndarray
    rows: dict[str, np.ndarray]

    @property
    def classes(self) -> int:
        return self.labels.shape[1]

    @property
    def device(self) -> torch.device:
        return self.features.device

    def row_tensor(self, split: str) -> Tensor:
        return torch.from_numpy(self.rows[split]).to(self.device)

    def labels_of(self, split: str) -> np.ndarray:
        return self.labels[self.rows[split]]


@dataclass(frozen=True)
class Grid:
    """A pipeline's search. header: of the features' file."""

    members: list[Member]
    data: GridData
    header: dict
    manifest_digest: str


def read_grid(layout: Layout) -> Grid:
    """Raises InputError for a pipeline without `search`, `features` or validation pictures."""
    pipeline = layout.pipeline
    if pipeline.search is None or pipeline.features is None:
        raise InputError(
            f"{layout.settings}: the search stage needs `search` (at least its `losses`) and "
            "`features`"
        )

    manifest = read_manifest(layout.data)
    features, header = _read_features(pipeline.features, manifest, layout.data)

    rows = {split: manifest.rows(split) for split in ("train", "val", "test")}
    if not len(rows["val"]):
        raise InputError(
            f"{layout.data}/manifest.parquet: no validation rows; set hold_out in the data set's "
            "settings"
        )

    members = pipeline.grid()
    labels = manifest.label_matrix()
    targets = {"full": torch.from_numpy(labels[rows["train"]])}
    targets |= _observed_targets(members, manifest)

    data = GridData(features.to(device()), targets, labels, rows)
    return Grid(members, data, header, manifest.digest)


def _read_features(chosen: Features, manifest: Manifest, data_folder: Path) -> tuple[Tensor, dict]:
    path = features_path(data_folder, chosen.backbone, chosen.resolution)
    return read_features(path, manifest, chosen.backbone, chosen.resolution)


def _observed_targets(members: list[Member], manifest: Manifest) -> dict[str, Tensor]:
    """`single`, which most losses read, and `iu`, if any member reads observed labels.

    iun's are not needed: its grid terms follow from the full and the single labels.
    """
    readers = [run for run, _ in members if run.labels == "single"]
    if not readers:
        return {}

    targets = {}
    for name, loss in (("single", Plain(name="an")), ("iu", Plain(name="iu"))):
        run = readers[0].model_copy(update={"loss": loss})
        targets[name] = torch.from_numpy(read_targets(run, manifest))
    return targets
