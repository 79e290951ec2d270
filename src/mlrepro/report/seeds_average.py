"""Own data: what the average of a run's seeds is worth, where it is one layer of the same cost."""

from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load_file

from mlrepro.layout import Layout
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.pairs import Difference, paired_difference
from mlrepro.records import Record
from mlrepro.resamples import resampled_maps


@dataclass(frozen=True)
class SeedsAverage:
    """Of the layers of so many seeds, beside the mean over the seeds.

    by_choice: mAP points on validation. on_test: of the test pictures.
    """

    seeds: int
    by_choice: float
    on_test: Difference

    @property
    def is_better(self) -> bool:
        """Decided on validation."""
        return self.by_choice > 0


def average_of_seeds(records: list[Record], layout: Layout) -> SeedsAverage | None:
    """None for one seed, for a head that is not linear, and without logits of the present data."""
    run = records[0].run
    if len(records) < 2 or run.head != "linear":
        return None

    files = [layout.output(run.run_id, record.seed) / "logits.safetensors" for record in records]
    digests = {record.provenance.manifest_sha256 for record in records}
    if not all(file.is_file() for file in files):
        return None

    from mlrepro.data.manifest import MANIFEST, read_manifest  # here: it imports pandas

    if not (layout.data / MANIFEST).exists():
        return None
    manifest = read_manifest(layout.data)
    if digests != {manifest.digest}:
        return None

    logits = [load_file(file) for file in files]
    empty = run.empty_classes

    val_labels = manifest.label_matrix(manifest.rows("val"))
    val_logits = [of_seed[f"val_{run.selection}"] for of_seed in logits]
    by_choice = _gain(val_logits, val_labels, empty)

    test_labels = manifest.label_matrix(manifest.rows("test"))
    test_logits = [of_seed[f"test_{run.selection}"] for of_seed in logits]
    of_average = resampled_maps(np.mean(test_logits, axis=0), test_labels, empty)
    of_seeds = [resampled_maps(of_seed, test_labels, empty) for of_seed in test_logits]
    on_test = paired_difference(
        _gain(test_logits, test_labels, empty), of_average, np.mean(of_seeds, axis=0)
    )
    return SeedsAverage(len(records), by_choice, on_test)


def _gain(logits: list[np.ndarray], labels: np.ndarray, empty: str) -> float:
    """mAP points of the average layer over the mean of the seeds. logits: (n, C) of each seed."""

    def mean_ap(scores: np.ndarray) -> float:
        return mean_average_precision(average_precision(scores, labels), empty)

    # The logits of an average of linear layers are the average of their logits.
    of_average = mean_ap(np.mean(logits, axis=0))
    of_seeds = [mean_ap(of_seed) for of_seed in logits]
    return float(of_average - np.mean(of_seeds))
