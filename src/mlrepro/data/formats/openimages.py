"""Open Images V6 (Kuznetsova et al. 2020): labels that people verified as present or absent."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas

from mlrepro.data.formats.catalogue import Format, names_a_training_split
from mlrepro.data.formats.listing import ListedPicture, Listing
from mlrepro.data.formats.reading import fetched_folder, picture_path, read_text
from mlrepro.errors import InputError
from mlrepro.files import is_something_else
from mlrepro.settings.data import OpenImagesData

KINDS = {"ImageID": "str", "LabelName": "str", "Confidence": "float32"}
CHUNK = 2_000_000  # lines of a table of up to 60 million


def read(settings: OpenImagesData, root: Path) -> Listing:
    """Pictures with at least one positive, by part and id.

    They lie at <part>/<first two characters of the id>/<id>.jpg. A class that was verified as both
    is positive. `negatives` holds the verified absent ones.
    """
    tables = fetched_folder(settings, root)
    classes = _classes(tables / settings.class_names)

    pictures = []
    for split, parts in settings.splits.items():
        for part, name in parts.items():
            present, absent = _verified(tables / name, list(classes))
            for key, positives in present.items():
                pictures.append(
                    ListedPicture(
                        image=picture_path(f"{part}/{key[:2]}", f"{key}.jpg", str(tables / name)),
                        part=part,
                        split=split,
                        labels=positives,
                        negatives=absent.get(key, []),
                    )
                )
            _check_ids(tables / name, present)
    return Listing(pictures, list(classes.values()))


def _check_ids(path: Path, ids: Iterable[str]) -> None:
    """Raise InputError for an id that is no name of a file, which it is to be."""
    for key in ids:
        if not key.replace("-", "").isalnum():
            raise InputError(f"{path}: {key!r} is not the id of a picture; fetch the table again")


def picture_urls(settings: OpenImagesData, images: Sequence[str]) -> dict[str, str]:
    """Picture -> its address, <part>/<id>.jpg: there, no folder stands between the two."""
    urls = {}
    for image in images:
        part, _, file_name = image.split("/")
        urls[image] = f"{settings.picture_url}/{part}/{file_name}"
    return urls


def settle_unverified(settings: OpenImagesData, table: pandas.DataFrame) -> pandas.DataFrame:
    """Make a training picture's unverified classes negative, where the settings say so.

    Pictures held out of train are scored, and keep ignoring what nobody verified.
    """
    if settings.unverified == "negative":
        table.loc[table["split"] == "train", "negatives"] = None
    return table


def _classes(path: Path) -> dict[str, str]:
    """Id -> name, in class order. A header may stand above them."""
    classes = {}
    for line in read_text(path, "mend `class_names`").splitlines():
        if line.startswith("/m/"):
            key, name = line.split(",", 1)
            classes[key] = name.strip('" ')
    return classes


def _verified(path: Path, classes: list[str]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Picture id -> class indices that are present, and those that are absent; in order of the ids.

    Both are by picture; one without a present class is not used, and counted in what is printed.
    """
    table = _read_table(path, classes)
    class_index = {key: index for index, key in enumerate(classes)}
    table["class"] = table["LabelName"].map(class_index)

    # Of a class that was verified as both, the last is the larger confidence: present.
    table = table.sort_values(["ImageID", "class", "Confidence"])
    table = table.drop_duplicates(["ImageID", "class"], keep="last")

    # Sorted by picture above, so that both are in the order of the ids.
    present, absent = {}, {}
    rows = table[["ImageID", "class", "Confidence"]].itertuples(index=False, name=None)
    for key, label, confidence in rows:
        labels = present if confidence else absent
        labels.setdefault(key, []).append(label)

    unusable = absent.keys() - present.keys()
    print(f"{path.name}: {len(unusable)} pictures without a positive label are left out")
    return present, absent


def _read_table(path: Path, classes: list[str]) -> pandas.DataFrame:
    """The rows of a table that are of our classes."""
    if is_something_else(path):
        raise InputError(f"{path}: no regular file; put the file itself there")
    try:
        # In chunks, of which only the rows of our classes are kept: a table has gigabytes.
        chunks = pandas.read_csv(path, usecols=list(KINDS), dtype=KINDS, chunksize=CHUNK)
        table = pandas.concat([chunk[chunk["LabelName"].isin(classes)] for chunk in chunks])
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a table of {', '.join(KINDS)} ({error}); fetch it again, or mend `splits`"
        ) from None

    if not table["Confidence"].isin((0, 1)).all():
        raise InputError(
            f"{path}: a confidence is neither 0 nor 1; take the table of human-verified labels"
        )
    return table


FORMAT = Format(
    read=read,
    is_trained_on=names_a_training_split,
    settle_labels=settle_unverified,
    picture_urls=picture_urls,
    reads_archives_in_place=True,
)
