"""A user's pictures with their labels: a row a picture, of those that can be read."""

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas

from mlrepro.data.picture_names import picture_file
from mlrepro.data.prepare import check_pictures
from mlrepro.files import file_sha256
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.find_labels import FoundLabels
from mlrepro_cli.init_data.layouts.rows import ABSENT, PRESENT, UNKNOWN, LabelRow

# Zero-width space and joiners of words, soft hyphen, byte order mark, and the byte 0.
INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff\0]")
# How many names a line has.
MOST_NAMES = 20


@dataclass
class OwnData:
    """The pictures that can be read.

    root:    the folder that pictures are named from.
    frame:   a row a picture: image (its path below root), split (train, val, test or ""), group
             (of LabelRow), label and unknown (sets of names), with what was measured of the
             picture.
    classes: all labels, sorted.
    labels:  (pictures, classes) bool: what is said to be there.
    unknown: (pictures, classes) bool: what is said to be there or not, nobody knows.
    says_absent: whether the label files name what is absent, too.
    label_files: that all of this was read from; none where folders are labels.
    """

    root: Path
    frame: pandas.DataFrame
    classes: list[str]
    labels: np.ndarray
    unknown: np.ndarray
    says_absent: bool = False
    label_files: list[Path] = field(default_factory=list)

    def digests(self) -> list[str]:
        """SHA-256 of every picture's file: copies have the same. Reads all files."""
        return [file_sha256(picture_file(self.root, image)) for image in self.frame["image"]]


def gather(found: FoundLabels) -> tuple[OwnData, list[dict]]:
    """One row a picture, and {image, reason, ...} of those that cannot be read."""
    # A row a label, as the layouts give them.
    rows = pandas.DataFrame(found.rows, columns=LabelRow._fields).fillna({"split": "", "label": ""})
    rows["label"] = rows["label"].map({label: _plain(label) for label in set(rows["label"])})
    _warn_of_similar_labels(rows["label"])
    classes = _shown_classes(rows)
    _refuse_contradictions(rows)

    # The first split that a picture is listed in is its; a group that any row names, too.
    by_picture = rows.groupby("image", sort=False)
    listed = by_picture.agg({"split": "first", "group": "max"})
    listed["label"] = _label_sets(rows, PRESENT, listed.index)
    # What one row shows is there, even where another cannot tell.
    listed["unknown"] = _unknown_sets(rows, classes, listed)
    frame, rejected = check_pictures(listed.reset_index(), found.root)

    places = {name: place for place, name in enumerate(classes)}
    own = OwnData(
        root=found.root,
        frame=frame,
        classes=classes,
        labels=_matrix(frame["label"], places),
        unknown=_matrix(frame["unknown"], places),
        says_absent=bool((rows["state"] == ABSENT).any()),
        label_files=found.files,
    )
    return own, rejected


def _plain(label: str) -> str:
    """Without what nobody sees: spaces around it, signs of no width, how accents are composed."""
    return unicodedata.normalize("NFC", INVISIBLE.sub("", label)).strip()


def _shown_classes(rows: pandas.DataFrame) -> list[str]:
    """All labels that a picture has, sorted; prints those that none has."""
    shown = set(rows["label"][rows["state"] == PRESENT]) - {""}
    others = sorted(set(rows["label"]) - shown - {""})
    if others:
        print(f"Labels that no picture has, left out: {', '.join(others[:MOST_NAMES])}")
    return sorted(shown)


def _unknown_sets(
    rows: pandas.DataFrame, classes: list[str], listed: pandas.DataFrame
) -> list[set[str]]:
    """The labels of each picture that nobody knows. What one row shows is known."""
    present = listed["label"]
    absent = _label_sets(rows, ABSENT, listed.index)
    unknown = _label_sets(rows, UNKNOWN, listed.index)
    others_unknown = set(rows["image"][(rows["state"] == UNKNOWN) & (rows["label"] == "")])

    sets = []
    for image, shown, missing, named in zip(listed.index, present, absent, unknown, strict=True):
        names = set(classes) - missing if image in others_unknown else named & set(classes)
        sets.append(names - shown)
    return sets


def _label_sets(rows: pandas.DataFrame, state: int, images: pandas.Index) -> list[set[str]]:
    """A set of labels a picture, of those rows that say `state`."""
    said = rows[(rows["state"] == state) & (rows["label"] != "")]
    sets = said.groupby("image", sort=False)["label"].agg(set)
    return [sets.get(image, set()) for image in images]


def _matrix(names_by_picture: pandas.Series, places: dict[str, int]) -> np.ndarray:
    matrix = np.zeros((len(names_by_picture), len(places)), bool)
    for row, names in enumerate(names_by_picture):
        matrix[row, [places[name] for name in names]] = True
    return matrix


def _refuse_contradictions(rows: pandas.DataFrame) -> None:
    """Raises Question where one row says that a label is there, and another that it is not."""
    known = rows[(rows["state"] != UNKNOWN) & (rows["label"] != "")]
    different = known.groupby(["image", "label"], sort=False)["state"].nunique()
    contradicted = different[different > 1].index
    if len(contradicted):
        image, label = contradicted[0]
        raise Question(
            f"{image}: {label!r} is said to be there and not to be there, and so are "
            f"{len(contradicted) - 1} others; name the one file that is right, or mend them"
        )


def _warn_of_similar_labels(labels: pandas.Series) -> None:
    """Names labels that differ in nothing but large letters, spaces, underscores or hyphens."""
    bare = labels.str.casefold().str.replace(r"[\s_-]+", " ", regex=True).str.strip()
    for spellings in labels.groupby(bare).unique():
        if len(spellings) > 1:
            print(
                f"warning: is it one label, {sorted(spellings)}? Only spaces around labels are "
                "ignored; mend the others"
            )
