"""Computes the pooled features of all pictures once, for the runs whose head is `linear`."""

from mlrepro.data.features import features_path, import_published
from mlrepro.data.manifest import read_manifest
from mlrepro.layout import read_layout
from mlrepro.stage import main
from mlrepro.training.extract import extract
from mlrepro.training.run import device


def stage(settings: str) -> None:
    layout = read_layout(settings)
    features = layout.pipeline.features
    path = features_path(layout.data, features.backbone, features.resolution)
    if features.published:
        print(f"extract {layout.name}: {features.backbone} features as published, from {layout.data / 'archives'}")
        import_published(features, read_manifest(layout.data), layout.data / "archives", path)
    else:
        print(f"extract {layout.name}: {features.backbone} ({features.weights} weights) at {features.resolution} px, "
              f"on {device()}")
        extract(features, read_manifest(layout.data), path, device())


main(stage, "params.yaml")
