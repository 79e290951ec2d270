"""The stages `download` and `prepare`: from the addresses in the settings to a manifest of pictures known to decode."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import pandas
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from mlrepro.data import formats
from mlrepro.data.archives import extract, fetch, fetch_pictures
from mlrepro.data.corruption import hold_out
from mlrepro.data.manifest import Manifest, pairs, write_manifest
from mlrepro.data.shards import write_shards
from mlrepro.errors import InputError
from mlrepro.files import address, write_json
from mlrepro.settings.data import DataSettings, OpenImagesData

PLAIN = (".csv", ".csv.gz", ".json")  # files that are used as they are
ARRAYS = ".npy"  # read where they were fetched to; every other file is an archive
CHUNK = 64  # pictures a task


def download(settings: DataSettings, folder: Path) -> None:
    """Fetches the archives into folder/archives/ and lists name, size and sha256 in folder/archives.json. A data set that is used
    in place has its folder listed instead. Pictures that a data set offers one by one are put into folder/pictures/, and those
    that failed into folder/failed.json; InputError where they are more than `rejected_limit`."""
    folder.mkdir(parents=True, exist_ok=True)
    if settings.folder:
        if not settings.folder.is_dir():
            raise InputError(
                f"{settings.folder}: no such folder; mend `folder` of the data set {folder.name}"
            )
        write_json(folder / "archives.json", {"folder": settings.folder.as_posix()})
        return
    listed = [
        fetch(
            archive.name,
            [address(url) for url in archive.urls],
            folder / "archives" / archive.name,
            sha256=archive.sha256,
            md5=archive.md5,
            size=archive.size,
        )[0]
        for archive in settings.archives
    ]
    if settings.format == "openimages":
        listed.append(_download_pictures(settings, folder))
    write_json(folder / "archives.json", listed)


def _download_pictures(settings: OpenImagesData, folder: Path) -> dict:
    images = formats.read(settings, folder / "pictures")[0]["image"].tolist()
    urls = {
        image: "/".join([settings.picture_url, *image.split("/")[::2]]) for image in images
    }  # without the shard
    failed = fetch_pictures(urls, folder / "pictures", _measure)
    write_json(folder / "failed.json", failed)
    _report(
        failed,
        len(images),
        settings.rejected_limit,
        folder / "pictures",
        "Run again to try them again",
    )
    return {"pictures": len(images) - len(failed), "failed": len(failed)}


def prepare(settings: DataSettings, folder: Path) -> Manifest:
    """Extracts into folder/pictures, reads the annotations, decodes every picture, writes shards if asked to, and the manifest.

    Validation or test pictures are held out of train where the settings say so, in row order and before any picture is rejected,
    so that an unreadable one does not move the others.
    A picture that is missing or does not decode is left out and listed in summary.json; where more than the share
    `rejected_limit` of the rows are, nothing is written. Raises InputError for this and for an empty split.
    """
    root = settings.folder or folder / "pictures"
    if not settings.folder:
        _extract(settings, folder, root)
    listed, classes = formats.read(settings, root)
    if settings.hold_out:
        listed = _held_out(listed, settings.hold_out)
    if getattr(settings, "unverified", "ignore") == "negative":
        listed.loc[listed["split"] == "train", "negatives"] = None
    if getattr(settings, "pictures", "") is None:
        frame, rejected = listed.assign(width=0, height=0, bytes=0), []
    else:
        frame, rejected = check_pictures(listed, root)
    _report(
        rejected,
        len(listed),
        settings.rejected_limit,
        root,
        "Mend them (a folder that was extracted here: delete it and run again)"
        + ", use the captions alone (`pictures: null`)" * (settings.format == "csv"),
    )
    scored_only = set(getattr(settings, "splits", ())) == {"test"}  # as for released checkpoints
    for split in (*(() if scored_only else ("train",)), "test", *dict.fromkeys(listed["split"])):
        if not (frame["split"] == split).any():
            raise InputError(
                f"data set {folder.name}: the split {split!r} is empty; mend its settings or its files"
            )
    outside = root.is_absolute() and not root.is_relative_to(folder)
    pictures = (
        root if outside else Path(os.path.relpath(root, folder))
    )  # so that a copy of the repository finds them, too
    summary = {
        "pictures": pictures.as_posix(),
        "rejected": rejected,
        **_counts(listed, frame, classes),
    }
    if settings.shards:
        summary["shards"] = write_shards(folder, frame, classes, root, settings.shards)
    return write_manifest(folder, frame, classes, summary)


def check_pictures(frame: pandas.DataFrame, root: Path) -> tuple[pandas.DataFrame, list[dict]]:
    """The rows whose picture decodes, with width, height and bytes; and {image, reason, row, split} of the others."""
    images = frame["image"].tolist()
    chunks = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        measured = pool.map(lambda chunk: [_measure(root / image) for image in chunk], chunks)
        found = list(
            chain(*tqdm(measured, "checking", len(chunks), unit=f"x{CHUNK} pictures", disable=None))
        )
    rejected = [
        {"image": image, "reason": reason, "row": row, "split": split}
        for row, (image, reason, split) in enumerate(
            zip(images, found, frame["split"], strict=True)
        )
        if isinstance(reason, str)
    ]
    good = [not isinstance(measured, str) for measured in found]
    sizes = np.array(
        [measured for measured in found if not isinstance(measured, str)], np.int64
    ).reshape(-1, 3)
    frame = frame[good].reset_index(drop=True)
    return frame.assign(width=sizes[:, 0], height=sizes[:, 1], bytes=sizes[:, 2]), rejected


def _measure(path: Path) -> tuple[int, int, int] | str:
    """Width, height, bytes; or why the picture cannot be used."""
    if not path.is_file():
        return "missing"
    if not (size := path.stat().st_size):
        return "empty file"
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.mode == "F":
                return "floating-point pixels, whose range is not known"
            image.draft(
                "RGB", (1, 1)
            )  # a JPEG is read to its end, but transformed at an eighth of its size
            image.load()
    except UnidentifiedImageError:
        return "not a picture"
    except Image.DecompressionBombError as error:
        return f"too large: {error}"
    except Exception as error:  # the decoders raise whatever their damaged input led them to
        return f"damaged: {error}"
    return width, height, size


def _report(rejected: list[dict], n: int, limit: float, root: Path, remedy: str) -> None:
    """Prints the rejected pictures, or raises InputError where they are too many."""
    lines = [f"  {entry['image']}: {entry['reason']}" for entry in rejected]
    if len(rejected) > limit * n:
        more = [f"  and {len(lines) - 5} more"] * (len(lines) > 5)
        raise InputError(
            "\n".join(
                [
                    f"{root}: {len(rejected)} of {n} pictures cannot be used:",
                    *lines[:5],
                    *more,
                    f"{remedy}, or raise `rejected_limit`, now {limit}, above {len(rejected) / n:.2g} to "
                    f"leave them out",
                ]
            )
        )
    if rejected:
        print(
            "\n".join([f"{len(rejected)} of {n} pictures cannot be used and are left out:", *lines])
        )


def _extract(settings: DataSettings, folder: Path, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for archive in settings.archives:
        path = folder / "archives" / archive.name
        if not path.is_file():
            raise InputError(
                f"{path}: no such file; run `dvc repro -f` on the download stage of {folder.name}"
            )
        if path.name.endswith(ARRAYS) or settings.format == "openimages":
            continue
        if path.name.endswith(PLAIN):
            shutil.copyfile(path, root / path.name)
        else:
            extract(path, root)


def _held_out(frame: pandas.DataFrame, settings) -> pandas.DataFrame:
    if (frame["split"] == settings.split).any():
        raise InputError(
            f"hold_out: the data set has {'validation' if settings.split == 'val' else 'test'} pictures of its own; "
            f"remove `hold_out`, or the split `{settings.split}` from `splits`"
        )
    rows = np.flatnonzero(frame["split"] == "train")
    split = frame["split"].to_numpy(object, copy=True)
    rest, held = hold_out(len(rows), settings.fraction, settings.seed)
    split[rows[held]] = settings.split
    frame = frame.assign(split=split)
    if not settings.train:
        return frame
    if settings.train > len(rest):
        raise InputError(
            f"hold_out.train: {settings.train} of {len(rest)} rows cannot be kept; give fewer, or leave it out"
        )
    left_out = np.random.RandomState(settings.seed).permutation(rest)[settings.train :]
    return frame.drop(index=rows[left_out]).reset_index(drop=True)


def _counts(listed: pandas.DataFrame, frame: pandas.DataFrame, classes: list[str]) -> dict:
    """By split: pictures listed (expected) and usable (used), of these unlabelled ones; labels a picture, pictures a class,
    and where the source tells them apart, objects a class (instances)."""
    splits, warnings = {}, []
    for split in ("train", "val", "test"):
        if not (rows := frame["split"] == split).any():
            continue
        positives, ignored = (
            np.bincount(pairs(frame.loc[rows, name])[1], minlength=len(classes))
            for name in ("labels", "ignored")
        )
        splits[split] = {
            "expected": int((listed["split"] == split).sum()),
            "used": int(rows.sum()),
            "unlabelled": int((frame.loc[rows, "labels"].map(len) == 0).sum()),
            "cardinality": round(positives.sum() / int(rows.sum()), 4),
            "ignored": int(ignored.sum()),
            "labels": dict(zip(classes, positives.tolist(), strict=True)),
        }
        if "negatives" in frame:
            known = frame[rows & frame["negatives"].notna()]
            splits[split]["ignored"] += len(known) * len(classes) - sum(
                known["labels"].map(len) + known["negatives"].map(len)
            )
        if (
            "instances" in frame
            and (objects := frame.loc[rows, "instances"]).notna().all()
            and any(objects)
        ):
            counts = np.bincount(pairs(objects)[1], minlength=len(classes))
            splits[split]["instances"] = dict(zip(classes, counts.tolist(), strict=True))
        if without := [name for name, count in zip(classes, positives, strict=True) if not count]:
            warnings.append(f"{split}: no positive picture of {', '.join(without)}")
    for warning in warnings:
        print(f"warning: {warning}")
    return {"classes": len(classes), "splits": splits, "warnings": warnings}
