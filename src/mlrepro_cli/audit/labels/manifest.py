"""Our own manifest, data/<name>: what `prepare` wrote."""

import numpy as np

from mlrepro.audit.tables import DIFFICULT, LabelTable
from mlrepro.data.manifest import MANIFEST, pairs, read_manifest
from mlrepro.errors import InputError
from mlrepro_cli.audit.files import Place


def is_here(place: Place) -> bool:
    return place.path.name == MANIFEST or (place.path / MANIFEST).is_file()


def read(place: Place, split: str | None) -> LabelTable:
    """Difficult objects are those that were flagged so, whatever the settings made of them."""
    folder = place.path.parent if place.path.name == MANIFEST else place.path
    manifest = read_manifest(folder)
    wanted = split or "test"
    rows = manifest.rows(wanted)
    if not len(rows):
        known = sorted(manifest.summary["splits"])
        raise InputError(f"{folder}: no pictures of the split {wanted!r}; it has {known}")

    states = manifest.label_matrix(rows)
    states[pairs(manifest.table["difficult"].take(rows))] = DIFFICULT
    names = np.array(manifest.table["image"].to_pylist(), dtype=object)
    return LabelTable(
        source=f"{folder} ({wanted})",
        ids=names[rows].tolist(),
        classes=manifest.classes,
        states=states,
        manifest_sha256=manifest.digest,
        other_splits={
            name: names[manifest.rows(name)].tolist()
            for name in manifest.summary["splits"]
            if name != wanted
        },
    )
