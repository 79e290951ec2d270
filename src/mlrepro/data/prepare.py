"""The stage `prepare`: from what was fetched to a manifest of pictures known to decode."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas

from mlrepro.data import formats
from mlrepro.data.archives import extract
from mlrepro.data.corruption import hold_out
from mlrepro.data.disk import read_note
from mlrepro.data.formats import Format, format_of
from mlrepro.data.manifest import Manifest, write_manifest
from mlrepro.data.picture_check import check_pictures, report_rejected
from mlrepro.data.shards import write_shards
from mlrepro.data.summary import summarise
from mlrepro.errors import InputError
from mlrepro.settings.data import DataSettings, HoldOut

PLAIN = (".csv", ".csv.gz", ".json")  # files that are used as they are
ARRAYS = ".npy"  # read where they were fetched to; every other file is an archive
REMEDY = "Mend them (a folder that was extracted here: delete it and run again)"
# Of own pictures, which nobody extracted.
OWN_REMEDY = "Mend them or put them back, or run `mlrepro init-data` again, which leaves them out"


def prepare(settings: DataSettings, folder: Path) -> Manifest:
    """Extract into folder/pictures, read the annotations, decode every picture, write the manifest.

    Shards are written, too, if the settings ask for them. Validation or test pictures are held out
    of train where the settings say so, in row order and before any picture is rejected, so that an
    unreadable one does not move the others.

    A picture that is missing or does not decode is left out and listed in summary.json; where more
    than the share `rejected_limit` of the rows are, nothing is written. Raises InputError for this
    and for an empty split.
    """
    layout = format_of(settings)
    root = settings.folder or folder / "pictures"
    if not settings.folder:
        _unpack(settings, layout, folder, root)

    # What the data set says it has. Up to here, no picture was opened.
    listed, classes = formats.read(settings, root)
    if settings.hold_out:
        listed = _held_out(listed, settings.hold_out)
    listed = layout.settle_labels(settings, listed)
    if settings.without_label == "leave_out":
        listed = _labelled_training_pictures(listed)

    # What of it can be used.
    used, rejected = _usable(settings, layout, listed, root)
    _check_splits(settings, layout, listed, used, folder.name)

    summary = {
        "pictures": _root_as_written(root, folder),
        "rejected": rejected,
        **summarise(listed, used, classes),
    }
    if settings.shards:
        summary["shards"] = write_shards(folder, used, classes, root, settings.shards)
    return write_manifest(folder, used, classes, summary, _notes(settings, folder))


def _notes(settings: DataSettings, folder: Path) -> dict[str, str]:
    """None where all is as papers' code has it, so that their manifests stay as they are."""
    notes = {}
    if settings.appearance != "stored":
        notes["appearance"] = settings.appearance
    if settings.watched:
        # Other pictures of the same names and sizes make another manifest.
        notes["content"] = read_note(folder / "archives.json").get("content", "")
    return notes


def _unpack(settings: DataSettings, layout: Format, folder: Path, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for archive in settings.archives:
        path = folder / "archives" / archive.name
        if not path.is_file():
            raise InputError(
                f"{path}: no such file; run `dvc repro -f` on the download stage of {folder.name}"
            )

        if path.name.endswith(ARRAYS) or layout.reads_archives_in_place:
            continue
        if path.name.endswith(PLAIN):
            shutil.copyfile(path, root / path.name)
        else:
            extract(path, root, settings.limits)


def _held_out(table: pandas.DataFrame, settings: HoldOut) -> pandas.DataFrame:
    """The table with some training rows in the split that they are held out for.

    With `train`, only so many of the other training rows are left in it, drawn by the seed.
    """
    if (table["split"] == settings.split).any():
        kind = "validation" if settings.split == "val" else "test"
        raise InputError(
            f"hold_out: the data set has {kind} pictures of its own; "
            f"remove `hold_out`, or the split `{settings.split}` from `splits`"
        )

    # Positions among the training rows, as Cole et al. 2021 draw them.
    train = np.flatnonzero(table["split"] == "train")
    kept, held = hold_out(len(train), settings.fraction, settings.seed)
    splits = table["split"].to_numpy(object, copy=True)
    splits[train[held]] = settings.split
    table = table.assign(split=splits)

    # All the others are trained on, unless fewer are wanted.
    if not settings.train:
        return table
    if settings.train > len(kept):
        raise InputError(
            f"hold_out.train: {settings.train} of {len(kept)} rows cannot be kept; "
            "give fewer, or leave it out"
        )
    # Drawn from the rows that are kept, so that what is held out stays the same for every size.
    shuffled = np.random.RandomState(settings.seed).permutation(kept)
    left_out = train[shuffled[settings.train :]]
    return table.drop(index=left_out).reset_index(drop=True)


def _labelled_training_pictures(table: pandas.DataFrame) -> pandas.DataFrame:
    """The table without the training pictures that have no label; says how many they are."""
    training = table["split"] == "train"
    left_out = training & (table["labels"].map(len) == 0)
    print(
        f"{left_out.sum()} of {training.sum()} training pictures have no label and are left out "
        "(`without_label: leave_out`)"
    )
    return table[~left_out].reset_index(drop=True)


def _usable(
    settings: DataSettings, layout: Format, listed: pandas.DataFrame, root: Path
) -> tuple[pandas.DataFrame, list[dict]]:
    """The rows whose picture decodes, or all where there are no pictures; and the rejected ones."""
    if not layout.has_pictures(settings):
        return listed.assign(width=0, height=0, bytes=0), []

    used, rejected = check_pictures(listed, root)
    remedy = OWN_REMEDY if settings.watched else REMEDY
    if layout.remedy and not settings.watched:
        remedy += f", {layout.remedy}"
    report_rejected(rejected, len(listed), settings.rejected_limit, root, remedy)
    return used, rejected


def _check_splits(
    settings: DataSettings,
    layout: Format,
    listed: pandas.DataFrame,
    used: pandas.DataFrame,
    name: str,
) -> None:
    """Raise InputError where no picture is left of a split that is listed or needed."""
    needed = ["train", "test"] if layout.is_trained_on(settings) else ["test"]
    for split in [*needed, *listed["split"].unique()]:
        if not (used["split"] == split).any():
            raise InputError(
                f"data set {name}: the split {split!r} is empty; mend its settings or its files"
            )


def _root_as_written(root: Path, folder: Path) -> str:
    """The picture root as summary.json has it."""
    if root.is_absolute() and not root.is_relative_to(folder):
        return root.as_posix()
    # Relative to the manifest, so that a copy of the repository finds the pictures, too.
    return Path(os.path.relpath(root, folder)).as_posix()
