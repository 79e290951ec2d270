"""Computes the features of all pictures once.

Pooled ones are for runs on features, maps for those on maps.
"""

from mlrepro.data.features import features_path, import_published
from mlrepro.data.manifest import read_manifest
from mlrepro.layout import Layout, read_layout
from mlrepro.memory import keep_freed_memory
from mlrepro.settings.data import Features
from mlrepro.stage import main
from mlrepro.studies.runs import read_run
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


def wanted_features(layout: Layout) -> list[Features]:
    """What the pipeline names, or else what each of its runs on features needs.

    Where it names several backbones, which a search reads, also the maps that its runs read.
    """
    named = layout.pipeline.features
    if named is None:
        return _of_runs(layout)
    if layout.pipeline.backbones:
        maps = [features for features in _of_runs(layout) if features.maps]
        return [*layout.pipeline.backbones, named, *maps]
    if named.maps and layout.pipeline.search:
        pooled = named.model_copy(update={"maps": False})  # the search reads those
        return [pooled, named]
    return [named]


def _of_runs(layout: Layout) -> list[Features]:
    """What each run on features or maps reads, each once."""
    wanted = []
    for run_id in layout.pipeline.runs:
        run = read_run(layout, run_id)
        if run.inputs in ("features", "maps"):
            features = Features(
                backbone=run.backbone,
                weights=run.weights,
                resolution=run.resolution,
                maps=run.inputs == "maps",
            )
            wanted.append(features)
    return list(dict.fromkeys(wanted))


main(stage, "params.yaml")
