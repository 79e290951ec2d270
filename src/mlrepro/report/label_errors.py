"""Own data: the page on which a person answers whether labels are missing or wrong, and its tables.

review/labels.html opens from disk and needs nothing but the pictures; missing.csv and wrong.csv
hold all of its questions, to be answered in a table. `mlrepro init-data --answers` reads what any
of them gives.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas
from markupsafe import Markup

from mlrepro.data.features import features_path, read_features
from mlrepro.data.manifest import Manifest
from mlrepro.data.picture_names import picture_file
from mlrepro.layout import Layout
from mlrepro.report.render import write_page
from mlrepro.report.thumbnails import Thumbnails
from mlrepro.review.folds import copies
from mlrepro.review.suspects import (
    ABSENT,
    LEAST_PICTURES,
    PRESENT,
    UNKNOWN,
    Suspects,
    find_suspects,
)
from mlrepro.settings.losses import FULL_LABEL_LOSSES

# The column of init-data's table.
GROUP = "group"

# On the page; its tables hold all. More are slow to open, and nobody answers so many.
MOST_ON_PAGE = 20_000

# As init-data reads them.
WORDS = {PRESENT: "yes", ABSENT: "no", UNKNOWN: "unknown"}

# What would end the element that JSON stands in, or begin another one.
IN_HTML = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&"}


@dataclass(frozen=True)
class Found:
    """How many labels are likely missing, likely wrong, and likely there though unknown."""

    missing: int
    wrong: int
    unknown: int


def write_label_errors(layout: Layout, manifest: Manifest) -> Found | None:
    """Writes labels.html, missing.csv and wrong.csv into `layout.review`.

    None where the pipeline extracts no features, and nothing is written.
    """
    named = layout.pipeline.features
    if named is None:
        return None

    path = features_path(layout.data, named.backbone, named.resolution)
    features, _ = read_features(path, manifest, named.backbone, named.resolution)
    suspects = find_suspects(
        features.numpy(), manifest.label_matrix(), _groups(layout, manifest), _partial(layout)
    )
    suspects = suspects.chosen(_unanswered(layout, manifest, suspects))

    folder = layout.review
    folder.mkdir(parents=True, exist_ok=True)
    table = _table(manifest, suspects)
    is_wrong = suspects.given == PRESENT
    table[~is_wrong].to_csv(folder / "missing.csv", index=False)
    table[is_wrong].to_csv(folder / "wrong.csv", index=False)

    found = Found(suspects.count(ABSENT), suspects.count(PRESENT), suspects.count(UNKNOWN))
    _write_page(layout, manifest, suspects, found)
    return found


def _partial(layout: Layout) -> bool:
    """Whether labels that are not given are unknown.

    Then losses for such labels are compared, and no negative is kept as known. Where only some
    cells are unknown, the manifest says which.
    """
    search = layout.pipeline.search
    if search is None or layout.pipeline.corruption.negatives != 0:
        return False
    return any(loss.name not in FULL_LABEL_LOSSES for loss in search.losses)


def _groups(layout: Layout, manifest: Manifest) -> np.ndarray:
    """(n,) equal for pictures that must share a fold: as init-data grouped them, or else copies."""
    table = getattr(layout.pipeline.data[layout.name], "table", None)
    if table is None or not Path(table).is_file():
        return copies(manifest)
    rows = pandas.read_csv(table, dtype=str, keep_default_na=False)
    if GROUP not in rows:
        return copies(manifest)

    group_of_image = dict(zip(rows["image"], rows[GROUP], strict=True))
    return np.array([group_of_image.get(image, image) for image in manifest.frame["image"]])


def _unanswered(layout: Layout, manifest: Manifest, suspects: Suspects) -> np.ndarray:
    """(m,) bool: those that no person has answered before."""
    if not layout.answers.is_file():
        return np.ones(len(suspects.rows), bool)
    rows = pandas.read_csv(layout.answers, dtype=str, keep_default_na=False)
    answered = set(zip(rows["image"], rows["label"], strict=True))
    images = manifest.frame["image"].array
    unanswered = []
    for row, label in zip(suspects.rows, suspects.classes, strict=True):
        question = (images[row], manifest.classes[label])
        unanswered.append(question not in answered)
    return np.array(unanswered, bool)


def _table(manifest: Manifest, suspects: Suspects) -> pandas.DataFrame:
    """A row a question, most suspicious first, with a column to answer in."""
    names = np.array(manifest.classes, object)
    pictures = manifest.frame.iloc[suspects.rows]
    return pandas.DataFrame(
        {
            "image": pictures["image"].to_numpy(),
            "label": names[suspects.classes],
            "given": [WORDS[given] for given in suspects.given],
            "answer": "",
            "model": suspects.probability.round(3),
            "likely": np.where(suspects.likely, "yes", ""),
            "split": pictures["split"].to_numpy(),
        }
    )


def _write_page(layout: Layout, manifest: Manifest, suspects: Suspects, found: Found) -> None:
    total = len(suspects.rows)
    content = {
        "name": layout.name,
        "digest": manifest.digest,
        "classes": manifest.classes,
        **_questions(manifest, suspects, layout.review),
    }
    text = json.dumps(content, separators=(",", ":")).translate(IN_HTML)
    write_page(
        "labels/page.html.j2",
        layout.review / "labels.html",
        title=f"Labels to look at: {layout.name}",
        missing=found.missing,
        wrong=found.wrong,
        unknown=found.unknown,
        left_out=int((~suspects.judged).sum()),
        least_pictures=LEAST_PICTURES,
        shown=min(total, MOST_ON_PAGE),
        total=total,
        command="mlrepro init-data PATH --answers answers.csv",
        data=Markup(text),
    )


def _questions(manifest: Manifest, suspects: Suspects, folder: Path) -> dict:
    """The page's pictures, each once, and its suspects, which name pictures by their place."""
    shown = slice(0, MOST_ON_PAGE)
    rows, place_of_row = np.unique(suspects.rows[shown], return_inverse=True)
    # In the order in which the page's script reads them. As Python's numbers, which JSON takes.
    columns = [
        place_of_row.tolist(),
        suspects.classes[shown].tolist(),
        suspects.given[shown].tolist(),
        suspects.probability[shown].round(3).tolist(),
        suspects.likely[shown].astype(int).tolist(),
    ]
    return {
        "pictures": _pictures(manifest, rows, suspects.pictures, folder),
        "suspects": [list(suspect) for suspect in zip(*columns, strict=True)],
    }


def _pictures(
    manifest: Manifest, rows: np.ndarray, suspicion: np.ndarray, folder: Path
) -> list[dict]:
    thumbnails = Thumbnails(folder / "thumbnails")
    frame = manifest.frame.iloc[rows]
    labels = manifest.label_matrix(rows)

    pictures = []
    for row, image, split, given in zip(rows, frame["image"], frame["split"], labels, strict=True):
        file = picture_file(manifest.root, image)
        picture = {
            "name": image,
            "address": link(file, folder),
            "split": split,
            "given": np.flatnonzero(given == PRESENT).tolist(),
            "suspicion": round(float(suspicion[row]), 3),
        }
        thumbnail = thumbnails.of(file)
        if thumbnail:
            picture["thumbnail"] = link(thumbnail, folder)
        pictures.append(picture)
    return pictures


def link(file: Path, folder: Path) -> str:
    """A relative address of a file in a page of the folder, whatever the file's name."""
    # By the paths as they are written, for so a browser goes up: it follows no link.
    path = os.path.relpath(os.path.abspath(file), os.path.abspath(folder))
    return quote(os.fsencode(path))
