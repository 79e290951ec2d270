"""Labels in a .npz: a matrix with names of its pictures and classes beside it."""

import numpy as np

from mlrepro.audit.tables import DIFFICULT, POSITIVE, LabelTable
from mlrepro.errors import InputError
from mlrepro_cli.audit.files import Place
from mlrepro_cli.audit.labels.table import read_states
from mlrepro_cli.audit.names import text_of
from mlrepro_cli.audit.scores.arrays import CLASS_NAMES, ID_NAMES, LABEL_NAMES, Arrays

NUMBERS = "iufb"
DIFFICULT_NAMES = ("difficult", "is_difficult")

# Matrices of a split, the likeliest first where none was asked for.
SPLITS = ("test", "val", "train", "trainval")


def read(place: Place, split: str | None) -> LabelTable:
    """split: of matrices that are called as splits are."""
    arrays = Arrays(place.path)
    matrices = [name for name in arrays.matrices(NUMBERS) if name.lower() not in DIFFICULT_NAMES]
    name = _choose(place, matrices, split)
    pictures, columns = arrays.shapes[name][0]

    ids = arrays.names(pictures, (f"{name.lower()}_ids", *ID_NAMES), CLASS_NAMES)
    classes = arrays.names(columns, CLASS_NAMES, ID_NAMES)
    if ids is None or classes is None or ids == classes:
        arrays.check_no_objects()
        raise InputError(
            f"{place.path}: names of the {pictures:,} pictures and {columns} classes of {name!r} "
            f"are missing: `ids` and `classes`; there are {arrays.described()}"
        )

    states, notes = read_states(np.asarray(arrays.read(name), np.float32), f"{place.path}#{name}")
    for other in arrays.matrices(NUMBERS):
        same_shape = arrays.shapes[other][0] == arrays.shapes[name][0]
        if other.lower() in DIFFICULT_NAMES and same_shape:
            is_difficult = arrays.read(other).astype(bool) & (states != POSITIVE)
            states[is_difficult] = DIFFICULT
    return LabelTable(
        source=f"{place.path}#{name}",
        ids=text_of(arrays.read(ids)),
        classes=text_of(arrays.read(classes)),
        states=states,
        other_splits=_other_splits(arrays, matrices, name),
        notes=notes,
    )


def _choose(place: Place, matrices: list[str], split: str | None) -> str:
    wanted = place.part or split
    if wanted in matrices:
        return wanted
    if wanted is None:
        if len(matrices) == 1:
            return matrices[0]
        for name in (*SPLITS, *LABEL_NAMES):
            if name in matrices:
                return name

    # A split that its matrix does not name.
    of_labels = [name for name in matrices if name.lower() in LABEL_NAMES]
    if len(of_labels) == 1:
        return of_labels[0]
    if place.part is None and len(matrices) == 1:
        return matrices[0]
    raise InputError(
        f"{place.path}: which of its matrices are the labels? There are "
        f"{', '.join(matrices) or 'none'}; name one: {place.path}#NAME"
    )


def _other_splits(arrays: Arrays, matrices: list[str], chosen: str) -> dict[str, list[str]]:
    splits = {}
    for name in matrices:
        ids = f"{name}_ids"
        if name != chosen and ids in arrays.shapes:
            splits[name] = text_of(arrays.read(ids))
    return splits
