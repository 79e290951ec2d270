"""Hides labels of the training pictures: what is left, by default one positive, is observed."""

from mlrepro.data.corruption import write_observed
from mlrepro.data.manifest import read_manifest
from mlrepro.layout import read_layout
from mlrepro.stage import main


def stage(settings: str) -> None:
    layout = read_layout(settings)
    corruption = layout.pipeline.corruption
    print(
        f"corrupt {layout.name}: keep {corruption.positives} positive and {corruption.negatives} "
        f"negative labels a training picture, and for iu {corruption.negatives or 1} negative "
        f"(seed {corruption.seed}; Cole et al. 2021)"
    )
    write_observed(read_manifest(layout.data), corruption, layout.data)


main(stage, "params.yaml")
