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

    # The logits of an average of linear layers are the average of their logits.
    by_seed = [load_file(file) for file in files]
    maps = {}
    resamples = {}
    for split in ("val", "test"):
        labels = manifest.label_matrix(manifest.rows(split))
        logits = [of_seed[f"{split}_{run.selection}"] for of_seed in by_seed]
        for name, scores in (("average", np.mean(logits, axis=0)), *enumerate(logits)):
            mAP = mean_average_precision(average_precision(scores, labels), run.empty_classes)
            maps[split, name] = mAP
            if split == "test":
                resamples[name] = resampled_maps(scores, labels, run.empty_classes)

    def gain(split: str) -> float:
        seeds = [maps[split, seed] for seed in range(len(records))]
        return float(maps[split, "average"] - np.mean(seeds))

    of_seeds = np.mean([resamples[seed] for seed in range(len(records))], axis=0)
    on_test = paired_difference(gain("test"), resamples["average"], of_seeds)
    return SeedsAverage(len(records), gain("val"), on_test)
