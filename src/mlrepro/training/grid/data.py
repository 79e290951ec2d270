"""What a search trains and what it reads: a pipeline's grid, features and labels."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlrepro.data.features import features_path, read_features, read_header
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
class GridPart:
    """The members that read the features of one backbone. header: of the features' file."""

    features: Features
    members: list[Member]
    header: dict


@dataclass(frozen=True)
class Grid:
    """A pipeline's search: a part a backbone, in the order of the pipeline's members."""

    parts: list[GridPart]
    data_folder: Path
    manifest: Manifest

    @property
    def members(self) -> list[Member]:
        return [member for part in self.parts for member in part.members]

    @cached_property
    def labels(self) -> np.ndarray:
        return self.manifest.label_matrix()

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        return {split: self.manifest.rows(split) for split in ("train", "val", "test")}

    @cached_property
    def targets_by_labels(self) -> dict[str, Tensor]:
        """As GridData has them."""
        full = {"full": torch.from_numpy(self.labels[self.rows["train"]])}
        return full | _observed_targets(self.members, self.manifest)

    def read(self, part: GridPart) -> GridData:
        """What the members of a part read: only one part's features need be in memory."""
        chosen = part.features
        path = features_path(self.data_folder, chosen.backbone, chosen.resolution)
        features, _ = read_features(path, self.manifest, chosen.backbone, chosen.resolution)
        return GridData(features.to(device()), self.targets_by_labels, self.labels, self.rows)


def read_grid(layout: Layout) -> Grid:
    """Raises InputError for a pipeline without `search`, `features` or validation pictures."""
    pipeline = layout.pipeline
    if pipeline.search is None or pipeline.features is None:
        raise InputError(
            f"{layout.settings}: the search stage needs `search` (at least its `losses`) and "
            "`features`"
        )

    manifest = read_manifest(layout.data)
    if not len(manifest.rows("val")):
        raise InputError(
            f"{layout.data}/manifest.parquet: no validation rows; set hold_out in the data set's "
            "settings"
        )

    members = pipeline.grid()
    parts = []
    for chosen in [*pipeline.backbones, pipeline.features]:
        named = (chosen.backbone, chosen.resolution)
        of_part = []
        for run, seed in members:
            if (run.backbone, run.resolution) == named:
                of_part.append((run, seed))
        if of_part:
            path = features_path(layout.data, *named)
            parts.append(GridPart(chosen, of_part, read_header(path)))
    return Grid(parts, layout.data, manifest)


def _observed_targets(members: list[Member], manifest: Manifest) -> dict[str, Tensor]:
    """`single`, which most losses read, and `iu`, if any member reads observed labels.

    iun's are not needed: its grid terms follow from the full and the single labels.
    """
    readers = [run for run, _ in members if run.labels == "single"]
    if not readers:
        return {}

    # Any loss stands for all that read the same file: an for `single`, iu for its own.
    losses = {"single": Plain(name="an"), "iu": Plain(name="iu")}
    targets = {}
    for name, loss in losses.items():
        run = readers[0].model_copy(update={"loss": loss})
        targets[name] = torch.from_numpy(read_targets(run, manifest))
    return targets
