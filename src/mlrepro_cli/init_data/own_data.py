"""A user's pictures with their labels: a row a picture, of those that can be read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from mlrepro.data.picture_names import picture_file
from mlrepro.data.prepare import check_pictures
from mlrepro.files import file_sha256
from mlrepro_cli.init_data.find_labels import FoundLabels
from mlrepro_cli.init_data.layouts.rows import LabelRow


@dataclass
class OwnData:
    """The pictures that can be read.

    root:    the folder that pictures are named from.
    frame:   a row a picture: image (its path below root), split (train, val, test or "") and label
             (a set of names), with what was measured of the picture.
    classes: all labels, sorted.
    labels:  (pictures, classes) bool.
    """

    root: Path
    frame: pandas.DataFrame
    classes: list[str]
    labels: np.ndarray

    def digests(self) -> list[str]:
        """SHA-256 of every picture's file: copies have the same. Reads all files."""
        return [file_sha256(picture_file(self.root, image)) for image in self.frame["image"]]


def gather(found: FoundLabels) -> tuple[OwnData, list[dict]]:
    """One row a picture, and {image, reason, ...} of those that cannot be read."""
    # A row a label, as the layouts give them.
    rows = pandas.DataFrame(found.rows, columns=LabelRow._fields).fillna("")
    _warn_of_similar_labels(rows["label"])
    rows["label"] = rows["label"].str.strip()
    classes = sorted(set(rows["label"]) - {""})

    # The first split that a picture is listed in is its.
    by_picture = rows.groupby("image", sort=False)
    listed = by_picture.agg({"split": "first", "label": set}).reset_index()
    frame, rejected = check_pictures(listed, found.root)

    places = {name: place for place, name in enumerate(classes)}
    labels = np.zeros((len(frame), len(classes)), bool)
    for row, names in enumerate(frame["label"]):
        labels[row, [places[name] for name in names - {""}]] = True
    return OwnData(found.root, frame, classes, labels), rejected


def _warn_of_similar_labels(labels: pandas.Series) -> None:
    """Names labels that differ in nothing but large letters, spaces, underscores or hyphens."""
    bare = labels.str.casefold().str.replace(r"[\s_-]+", " ", regex=True).str.strip()
    for spellings in labels.groupby(bare).unique():
        if len(spellings) > 1:
            print(
                f"warning: is it one label, {sorted(spellings)}? Only spaces around labels are "
                "ignored; mend the others"
            )
