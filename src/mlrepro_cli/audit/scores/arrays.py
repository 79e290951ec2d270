"""Matrices of numpy: .npz with names in it, .npy with names beside it; our own .safetensors."""

import json
import zipfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from mlrepro.audit.tables import ScoreTable
from mlrepro.data.formats.reading import load_array
from mlrepro.errors import InputError
from mlrepro_cli.audit.files import Place, check_unpacked
from mlrepro_cli.audit.names import text_of

# How people call arrays, in small letters. What is not called so is known by its shape.
ID_NAMES = ("ids", "id", "image_ids", "img_ids", "images", "names", "filenames", "files", "paths")
CLASS_NAMES = ("classes", "class_names", "categories", "category_names", "labels_names", "labels")
LABEL_NAMES = ("labels", "label", "targets", "target", "y_true", "y", "gt", "truth", "ground_truth")

TEXT = "US"
NAMES = "USiu"
NUMBERS = "f"

# Of the logits that an evaluation writes: <split>_<selection>, its own selection first.
OURS = ("test_best", "test_last")


# How a .npy of a version begins; the third is for names of fields, which no array here has.
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


# ---- npz -----------------------------------------------------------------------------------------


class Arrays:
    """A .npz whose arrays are read one by one: shapes and kinds first, contents where asked for."""

    def __init__(self, path: Path):
        self.path = path
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: not a whole .npz; write it again")
        try:
            self._file = np.load(path, allow_pickle=False)
            check_unpacked(path, sum(member.file_size for member in self._file.zip.infolist()))
            self.shapes = {name: self._header(name) for name in self._file.files}
        except InputError:
            raise
        except Exception as error:  # of a damaged file, numpy raises what its parsers raise
            raise InputError(f"{path}: not a whole .npz ({error}); write it again") from None

    def _header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        member = name if name in self._file.zip.namelist() else f"{name}.npy"
        with self._file.zip.open(member) as file:
            version = np.lib.format.read_magic(file)
            read = HEADERS.get(version)
            if read is None:
                raise ValueError(f"{name}: of the .npy format {version}")
            shape, _, kind = read(file)
        return shape, kind

    def read(self, name: str) -> np.ndarray:
        try:
            return self._file[name]
        except Exception as error:  # the same
            raise InputError(
                f"{self.path}: {name} cannot be read ({error}); write arrays of numbers and text, "
                "not of Python objects"
            ) from None

    def matrices(self, kinds: str) -> list[str]:
        """Names of arrays of two dimensions whose numbers are of these kinds (numpy's letters)."""
        return [
            name
            for name, (shape, kind) in self.shapes.items()
            if len(shape) == 2 and kind.kind in kinds
        ]

    def vectors(self, length: int, kinds: str = NAMES) -> list[str]:
        return [
            name
            for name, (shape, kind) in self.shapes.items()
            if shape == (length,) and kind.kind in kinds
        ]

    def names(self, length: int, known: tuple[str, ...], others: tuple[str, ...]) -> str | None:
        """The array of `length` names that is called as one of `known`.

        Else the only one of text, if it is not called as one of `others`.
        """
        vectors = self.vectors(length)
        for name in known:
            for vector in vectors:
                if vector.lower() == name:
                    return vector
        of_text = [name for name in self.vectors(length, TEXT) if name.lower() not in others]
        return of_text[0] if len(of_text) == 1 else None

    def check_no_objects(self) -> None:
        """Raises InputError where an array holds Python objects: reading them would run code."""
        objects = [name for name, (_, kind) in self.shapes.items() if kind.hasobject]
        if objects:
            raise InputError(
                f"{self.path}: {', '.join(objects)} of Python objects, which are not read; write "
                "text and numbers: numpy.array(ids, dtype=str)"
            )

    def described(self) -> str:
        parts = [f"{name} {shape} {kind}" for name, (shape, kind) in self.shapes.items()]
        return ", ".join(parts) or "nothing"


def read_npz(place: Place) -> ScoreTable:
    arrays = Arrays(place.path)
    matrices = [name for name in arrays.matrices(NUMBERS) if name.lower() not in LABEL_NAMES]
    name = _choose(place, matrices, arrays)
    pictures, classes = arrays.shapes[name][0]

    ids = arrays.names(pictures, (f"{name.lower()}_ids", *ID_NAMES), CLASS_NAMES)
    class_names = arrays.names(classes, CLASS_NAMES, ID_NAMES)
    if ids is None or class_names is None:
        arrays.check_no_objects()
    if ids == class_names:
        class_names = None
    return ScoreTable(
        source=f"{place.path}#{name}",
        ids=text_of(arrays.read(ids)) if ids else None,
        classes=text_of(arrays.read(class_names)) if class_names else None,
        values=arrays.read(name),
    )


def _choose(place: Place, candidates: list[str], arrays: Arrays) -> str:
    if place.part is not None:
        if place.part in candidates:
            return place.part
        raise InputError(
            f"{place}: no matrix of scores of this name; there are {arrays.described()}"
        )

    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise InputError(
            f"{place.path}: no matrix of floating point numbers, pictures by classes, in it: "
            f"{arrays.described()}"
        )
    raise InputError(
        f"{place.path}: {len(candidates)} matrices of scores ({', '.join(candidates)}); name one: "
        f"{place.path}#{candidates[0]}"
    )


# ---- npy -----------------------------------------------------------------------------------------


def read_npy(place: Place) -> ScoreTable:
    """Its pictures are named elsewhere (--ids), or in <stem>_ids.npy or .txt beside it."""
    values = load_array(place.path, NUMBERS, 2, "give the scores as a matrix, pictures by classes")
    return ScoreTable(source=str(place), ids=None, classes=None, values=values)


def names_beside(path: Path) -> Path | None:
    for name in (f"{path.stem}_ids", "ids", "image_ids"):
        for suffix in (".npy", ".txt", ".json"):
            candidate = path.with_name(name + suffix)
            if candidate.is_file():
                return candidate
    return None


# ---- safetensors ---------------------------------------------------------------------------------


def read_safetensors(place: Place, split: str = "test") -> ScoreTable:
    """The logits of a run of ours, whose rows are those of the manifest that it was trained on."""
    path = place.path
    try:
        with safe_open(path, "numpy") as file:
            names = list(file.keys())
            name = place.part or _our_name(path, names, split)
            if name not in names:
                raise InputError(f"{place}: no such tensor; there are {', '.join(sorted(names))}")
            values = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole .safetensors ({error})") from None
    if values.ndim != 2:
        raise InputError(f"{path}#{name}: of shape {values.shape}, not pictures by classes")

    return ScoreTable(
        source=f"{path}#{name}",
        ids=None,
        classes=None,
        values=values,
        manifest_sha256=_manifest_sha256(path.parent / "training" / "training.json"),
        split=name.partition("_")[0],
    )


def _our_name(path: Path, names: list[str], split: str) -> str:
    for name in (f"{split}_best", f"{split}_last"):
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise InputError(
        f"{path}: {len(names)} tensors ({', '.join(sorted(names))}); name one: {path}#{names[0]}"
    )


def _manifest_sha256(facts: Path) -> str | None:
    """Of the manifest that a training was made with, where its facts are beside the logits."""
    try:
        return json.loads(facts.read_text(encoding="utf-8")).get("manifest_sha256")
    except (OSError, ValueError):
        return None
