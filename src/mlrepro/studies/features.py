"""Which features a pipeline's extract stage makes."""

from mlrepro.layout import Layout
from mlrepro.settings.data import Features
from mlrepro.studies.runs import read_run


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
