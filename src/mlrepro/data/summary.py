"""What summary.json says of a data set: how many pictures of each split there are, and labels."""

import numpy as np
import pandas

from mlrepro.data.manifest import pairs
from mlrepro.errors import first_of

SPLITS = ("train", "val", "test")
SHOWN = 20  # classes that a warning names; summary.json has all


def summarise(listed: pandas.DataFrame, used: pandas.DataFrame, classes: list[str]) -> dict:
    """Count what is listed and what of it is used; warn of classes without a positive picture.

    Returns the number of classes, the warnings, and by split that has any picture:
        expected, used  pictures that are listed, and those that can be used
        unlabelled      of the used ones, those without any label
        cardinality     labels a picture
        ignored         labels that count neither as positive nor as negative
        labels          pictures a class
        instances       objects a class, where the source tells them apart in every picture
    """
    splits = {}
    warnings = []
    for split in SPLITS:
        rows = used[used["split"] == split]
        if rows.empty:
            continue
        expected = int((listed["split"] == split).sum())
        splits[split] = _counts(rows, expected, classes)

        # A class that cannot be learnt, or whose average precision is not defined.
        pictures = splits[split]["labels"]
        without = [name for name in classes if not pictures[name]]
        if without:
            what = f"{split}: no positive picture of"
            warnings.append(f"{what} {', '.join(without)}")
            print(f"warning: {what} {first_of(without, SHOWN)}")
    return {"classes": len(classes), "splits": splits, "warnings": warnings}


def _counts(rows: pandas.DataFrame, expected: int, classes: list[str]) -> dict:
    positives = _count_by_class(rows["labels"], classes)
    counts = {
        "expected": expected,
        "used": len(rows),
        "unlabelled": int((rows["labels"].map(len) == 0).sum()),
        "cardinality": round(positives.sum() / len(rows), 4),
        "ignored": _count_ignored(rows, classes),
        "labels": _by_name(classes, positives),
    }
    if _tells_objects_apart(rows):
        counts["instances"] = _by_name(classes, _count_by_class(rows["instances"], classes))
    return counts


def _count_by_class(lists: pandas.Series, classes: list[str]) -> np.ndarray:
    _, indices = pairs(lists)
    return np.bincount(indices, minlength=len(classes))


def _by_name(classes: list[str], counts: np.ndarray) -> dict[str, int]:
    return dict(zip(classes, counts.tolist(), strict=True))


def _count_ignored(rows: pandas.DataFrame, classes: list[str]) -> int:
    ignored = int(rows["ignored"].map(len).sum())
    if "negatives" not in rows:
        return ignored

    # Where negatives are known, every class is ignored that is neither one of them nor positive.
    stated = rows[rows["negatives"].notna()]
    known = sum(stated["labels"].map(len)) + sum(stated["negatives"].map(len))
    return ignored + len(stated) * len(classes) - known


def _tells_objects_apart(rows: pandas.DataFrame) -> bool:
    if "instances" not in rows:
        return False
    # Unknown of one picture, the counts would be too low; listed of none, the source has none.
    return bool(rows["instances"].notna().all()) and any(rows["instances"])
