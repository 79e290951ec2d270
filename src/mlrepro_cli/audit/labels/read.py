"""Chooses the reader of labels."""

import zipfile

from mlrepro.audit.tables import LabelTable
from mlrepro.errors import InputError
from mlrepro_cli.audit.files import Place
from mlrepro_cli.audit.labels import arrays, coco, manifest, table, voc

TABLES = (".csv", ".tsv", ".txt", ".parquet")


def read_labels(place: Place, split: str | None) -> LabelTable:
    """split: that is audited, where there are several; none: test, or what there is.

    Raises InputError for a format that is not known.
    """
    labels = _read(place, split)
    if not labels.ids or not labels.classes:
        raise InputError(f"{labels.source}: no labels in it")
    return labels


def _read(place: Place, split: str | None) -> LabelTable:
    if manifest.is_here(place):
        return manifest.read(place, split)
    if place.path.is_dir():
        return voc.read(place, split)
    if place.is_archive:
        if zipfile.is_zipfile(place.path) and coco.is_in(zipfile.ZipFile(place.path).namelist()):
            return coco.read(place, split)
        return voc.read(place, split)
    if place.suffix == ".json":
        return coco.read(place, split)
    if place.suffix == ".npz":
        return arrays.read(place, split)
    if place.suffix in TABLES:
        return table.read(place, split)
    raise InputError(
        f"{place.path}: not a format of labels that is known: VOC's lists or annotations (a folder "
        "or archive), COCO's instances_*.json, .npz, .csv, .tsv, .parquet, or data/<name>"
    )
