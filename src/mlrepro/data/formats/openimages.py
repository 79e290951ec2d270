"""Open Images V6 (Kuznetsova et al. 2020): image-level labels that people verified, present (1) or absent (0)."""

from pathlib import Path

import pandas

from mlrepro.data.formats import Listing, picture_path, read_text, table
from mlrepro.errors import InputError
from mlrepro.settings.data import OpenImagesData

KINDS = {"ImageID": "str", "LabelName": "str", "Confidence": "float32"}
CHUNK = 2_000_000  # lines of a table of up to 60 million


def read(settings: OpenImagesData, root: Path) -> Listing:
    """Pictures with at least one positive, by part and id, at <part>/<first two characters of the id>/<id>.jpg. A class that was
    verified as both is positive. `negatives` holds the verified absent ones."""
    tables = (
        root if settings.folder else root.parent / "archives"
    )  # gigabytes: read where they were fetched to
    lines = read_text(tables / settings.class_names, "mend `class_names`").splitlines()
    classes = dict(
        line.split(",", 1) for line in lines if line.startswith("/m/")
    )  # a header does not
    rows = []
    for split, parts in settings.splits.items():
        for part, name in parts.items():
            for key, (positives, negatives) in _verified(tables / name, list(classes)).items():
                image = picture_path(f"{part}/{key[:2]}", f"{key}.jpg", f"{tables / name}")
                rows.append((image, part, split, positives, [], [], [], negatives))
    return table(rows, "negatives"), [name.strip('" ') for name in classes.values()]


def _verified(path: Path, classes: list[str]) -> dict[str, tuple[list[int], list[int]]]:
    """Id -> class indices of the positives and of the verified negatives, for pictures with a positive, by id."""
    try:
        chunks = pandas.read_csv(path, usecols=list(KINDS), dtype=KINDS, chunksize=CHUNK)
        found = pandas.concat([chunk[chunk["LabelName"].isin(classes)] for chunk in chunks])
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a table of {', '.join(KINDS)} ({error}); fetch it again, or mend `splits`"
        ) from None
    if not found["Confidence"].isin((0, 1)).all():
        raise InputError(
            f"{path}: a confidence is neither 0 nor 1; take the table of human-verified labels"
        )
    found["class"] = found["LabelName"].map({key: index for index, key in enumerate(classes)})
    found = found.sort_values(["ImageID", "class", "Confidence"]).drop_duplicates(
        ["ImageID", "class"], keep="last"
    )
    present, absent = {}, {}
    for key, label, confidence in zip(
        found["ImageID"], found["class"].tolist(), found["Confidence"].tolist(), strict=True
    ):
        (present if confidence else absent).setdefault(key, []).append(label)
    print(
        f"{path.name}: {len(absent.keys() - present.keys())} pictures without a positive label are left out"
    )
    return {key: (labels, absent.get(key, [])) for key, labels in present.items()}
