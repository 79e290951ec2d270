"""What describes a YOLO data set: names of classes, and which folders are which part."""

import os
import posixpath
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import LabelFile, UserFolder

YAML = (".yaml", ".yml")
# A name a line.
LISTS = ("classes.txt", "obj.names", "_darknet.labels", "class_names.txt", "labels.names")
PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass
class Description:
    """place: of the file that names classes. names: by number.

    splits: folders and files of pictures below the root -> train, val or test; empty where nothing
    says them.
    """

    place: str
    names: dict[int, str]
    splits: dict[str, str] = field(default_factory=dict)

    def name(self, path: Path, line: int, number: int) -> str:
        """The class of an object. Raises InputError for a number that has no name."""
        if number not in self.names:
            raise InputError(
                f"{path}, line {line}: class {number}, and {self.place} names "
                f"{len(self.names)} classes, {min(self.names)} to {max(self.names)}; mend one of "
                "them"
            )
        return self.names[number]

    def split_of(self, picture: str) -> str | None:
        """Its part; "" where nothing says parts, None where it is in none."""
        if not self.splits:
            return ""
        place = picture
        while place:
            if place in self.splits:
                return self.splits[place]
            place = place.rpartition("/")[0]
        return self.splits.get("", None)


def description(folder: UserFolder) -> Description:
    """The names of classes and parts. Raises InputError where none is there, Question for two."""
    files = folder.files if folder.given else folder.beside
    found = [_of_yaml(folder, file) for file in files if file.place.lower().endswith(YAML)]
    found = [entry for entry in found if entry is not None]
    if not found:
        found = [_of_list(file) for file in files if _is_list(file)]
    if not found:
        above = folder.root.parent / "data.yaml"
        there = f", or give the folder above, which has {above.name}" if above.is_file() else ""
        raise InputError(
            f"{folder.root}: YOLO's text files say numbers of classes, and no file names them; "
            "put classes.txt, a name a line, beside them, or data.yaml with `names`" + there
        )

    # As Label Studio's notes beside several copies; names decide.
    first = found[0]
    for other in found[1:]:
        if other.names != first.names or (other.splits and other.splits != first.splits):
            raise Question(
                f"{folder.root}: {first.place} and {other.place} describe the data in two ways; "
                "give the one that is right instead of the folder, or move the other away"
            )
    return first


def _of_yaml(folder: UserFolder, file: LabelFile) -> Description | None:
    try:
        content = yaml.safe_load(read_text(file.path, ""))
    except yaml.YAMLError as error:
        if file.path.name in ("data.yaml", "dataset.yaml") or file.given:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            raise InputError(f"{file.path}{line}: no valid YAML; mend it") from None
        return None
    if not isinstance(content, dict) or "names" not in content:
        return None
    # Of YAML, no and yes are false and true; of a data set, they are names as others.
    as_written = yaml.load(read_text(file.path, ""), Loader=yaml.BaseLoader)
    names = _names(file, as_written["names"], content.get("nc"))
    return Description(file.place, names, _splits(folder, file, content))


def _names(file: LabelFile, names: object, count: object) -> dict[int, str]:
    """names: all as text. count: of classes, where the file says it."""
    if isinstance(names, list):
        names = {str(number): name for number, name in enumerate(names)}
    if not isinstance(names, dict) or not all(key.isdecimal() for key in names):
        raise InputError(
            f"{file.path}: `names` is {names!r}; expected a list of names, or numbers with names"
        )
    if count not in (None, len(names)):
        raise InputError(
            f"{file.path}: `nc` is {count}, and {len(names)} `names` follow; mend one of them"
        )
    return {int(number): str(name) for number, name in names.items()}


def _splits(folder: UserFolder, file: LabelFile, content: dict) -> dict[str, str]:
    """Folders and pictures below the root by part; those that are not there are noted."""
    splits: dict[str, str] = {}
    for key, split in PARTS.items():
        value = content.get(key)
        entries = value if isinstance(value, list) else [value]
        for entry in entries:
            if not entry:
                continue

            place = _place(folder, file, str(content.get("path") or ""), str(entry))
            if place is None:
                folder.note(f"{file.place}: {key} is {entry!r}, which is not there")
            elif place.endswith(".txt"):
                for picture in _listed(folder, place):
                    splits.setdefault(picture, split)
            elif splits.setdefault(place, split) != split:
                folder.note(f"{file.place}: {entry!r} is {splits[place]} and {key}; taken as first")
    return splits


def _place(folder: UserFolder, file: LabelFile, path: str, entry: str) -> str | None:
    """Where a folder or list is, below the root.

    Paths in data.yaml are of the machine that it was written on, or of another folder, as in
    Roboflow's `../train/images`: the longest end that is there is meant.
    """
    beside = posixpath.dirname(file.place)
    written = posixpath.join(path.replace("\\", "/"), entry.replace("\\", "/"))
    full = posixpath.normpath(written)
    if os.path.isabs(full):
        inside = os.path.relpath(os.path.realpath(full), folder.root)
        if not inside.startswith("..") and (folder.root / inside).exists():
            return "" if inside == "." else inside

    words = [word for word in full.split("/") if word not in ("", "..")]
    for start in range(len(words)):
        for base in dict.fromkeys((beside, "")):
            place = posixpath.normpath(posixpath.join(base, *words[start:]))
            if (folder.root / place).exists():
                return "" if place == "." else place
    return None


def _listed(folder: UserFolder, place: str) -> list[str]:
    """Pictures that a list names, each by its longest end that is there."""
    pictures = set(folder.pictures)
    beside = posixpath.dirname(place)
    found = []
    for line in read_text(folder.root / place, "").splitlines():
        words = [word for word in line.strip().replace("\\", "/").split("/") if word]
        words = [word for word in words if word not in (".", "..")]
        for start in range(len(words)):
            end = "/".join(words[start:])
            named = [name for name in (posixpath.join(beside, end), end) if name in pictures]
            if named:
                found.append(named[0])
                break
    return found


def _is_list(file: LabelFile) -> bool:
    name = file.path.name.lower()
    return name in LISTS or name.endswith(".names")


def _of_list(file: LabelFile) -> Description:
    lines = [line.strip() for line in read_text(file.path, "").splitlines()]
    return Description(file.place, dict(enumerate(line for line in lines if line)))
