"""Computes the features of all pictures once.

Pooled ones are for runs on features, maps for those on maps.
"""

from mlrepro.data.features import features_path, import_published
from mlrepro.data.manifest import read_manifest
from mlrepro.layout import read_layout
from mlrepro.memory import keep_freed_memory
from mlrepro.stage import main
from mlrepro.studies.features import wanted_features
from mlrepro.training.device import device
from mlrepro.training.extract import extract
from mlrepro.training.extract_composed import extract_pooled


def stage(settings: str) -> None:
    keep_freed_memory()
    layout = read_layout(settings)
    wanted = wanted_features(layout)
    for features in wanted:
        kind = "maps" if features.maps else "pooled features"
        made = "as published" if features.published else f"{features.weights} weights"
        print(
            f"extract {layout.name}: {kind} of {features.backbone} ({made}) at "
            f"{features.resolution} px, on {device()}"
        )

    manifest = read_manifest(layout.data)
    # All at once: backbones that are composed of the same networks compute each of them once.
    pooled = [features for features in wanted if not features.maps and not features.published]
    extract_pooled(pooled, manifest, layout.data, device())

    for features in wanted:
        path = features_path(
            layout.data, features.backbone, features.resolution, maps=features.maps
        )
        if features.published:
            import_published(features, manifest, layout.data / "archives", path)
        elif features.maps:
            extract(features, manifest, path, device())


main(stage, "params.yaml")
