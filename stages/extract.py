"""Computes the features of all pictures once: pooled ones for runs whose head is `linear`, or maps for the other heads."""

from mlrepro.data.features import features_path, import_published
from mlrepro.data.manifest import read_manifest
from mlrepro.layout import read_layout
from mlrepro.settings.data import Features
from mlrepro.stage import main
from mlrepro.training.extract import extract
from mlrepro.training.run import device


def stage(settings: str) -> None:
    layout = read_layout(settings)
    linear = [run for run in map(layout.run, layout.pipeline.runs) if run.inputs == "features"]
    named = dict.fromkeys(
        Features(backbone=run.backbone, weights=run.weights, resolution=run.resolution)
        for run in linear
    )
    wanted = [chosen] if (chosen := layout.pipeline.features) else [*named]
    if chosen and chosen.maps and layout.pipeline.search:  # which reads pooled ones
        wanted.insert(0, chosen.model_copy(update={"maps": False}))
    for features in wanted:
        path = features_path(layout.data, features.backbone, features.resolution, features.maps)
        if features.published:
            print(
                f"extract {layout.name}: {features.backbone} features as published, from {layout.data / 'archives'}"
            )
            import_published(features, read_manifest(layout.data), layout.data / "archives", path)
        else:
            print(
                f"extract {layout.name}: {'maps' if features.maps else 'pooled features'} of {features.backbone} "
                f"({features.weights} weights) at {features.resolution} px, on {device()}"
            )
            extract(features, read_manifest(layout.data), path, device())


main(stage, "params.yaml")
