"""Shards: a data set's pictures in WebDataset's tar files, for storage that is slow to open and fast to read on.

`prepare` writes them where the settings say `shards`, and every row is then read out of its shard: the same bytes as its file's,
so the same results, with any number of processes. Shards behind http(s):// are fetched whole when the first picture in them is
wanted, verified, and kept for all processes of the machine; a run with `sampler: shards` wants them one after the other. Like the
pictures they are no outputs of a stage: summary.json holds the sha256 of their index.
"""

import json
import os
import tarfile
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas
from tqdm import tqdm

from mlrepro.data.fetching.mirrors import fetch
from mlrepro.data.manifest import Manifest
from mlrepro.errors import InputError
from mlrepro.files import file_sha256, write_bytes
from mlrepro.settings import data as data_settings

FOLDER, INDEX = "shards", "shards.json"


def write_shards(
    folder: Path,
    frame: pandas.DataFrame,
    classes: list[str],
    root: Path,
    settings: data_settings.Shards,
) -> dict:
    """Writes folder/shards/<split>-<number>.tar and their index, and returns what summary.json says of them. The same pictures
    give the same bytes. A picture is two members: <row>.<suffix>, its file as it is, and <row>.json: image and labels (names).
    The index lists name, bytes and sha256 of each shard, and of its pictures row, offset of the file and its CRC-32."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    n, splits = settings.pictures, frame.groupby("split", sort=False).indices
    shards = {
        folder / FOLDER / f"{split}-{start // n:06d}.tar": rows[start : start + n]
        for split, rows in splits.items()
        for start in range(0, len(rows), n)
    }
    index = [
        _write_shard(path, rows, frame, classes, root)
        for path, rows in tqdm(shards.items(), "shards", disable=None)
    ]
    write_bytes(folder / FOLDER / INDEX, json.dumps(index).encode())
    for old in {*(folder / FOLDER).glob("*.tar*")} - shards.keys():
        old.unlink()
    return {
        "address": (settings.address or FOLDER).rstrip("/"),
        "kept": settings.kept,
        "sha256": file_sha256(folder / FOLDER / INDEX),
    }


def _write_shard(
    path: Path, rows: np.ndarray, frame: pandas.DataFrame, classes: list[str], root: Path
) -> dict:
    part, pictures = path.with_name(path.name + ".tmp"), []
    try:
        with (
            part.open("wb") as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for row, image, labels in zip(
                rows.tolist(), frame["image"].iloc[rows], frame["labels"].iloc[rows], strict=True
            ):
                content, suffix = (
                    (root / image).read_bytes(),
                    Path(image).suffix[1:].lower() or "picture",
                )
                facts = json.dumps(
                    {"image": image, "labels": [classes[label] for label in labels]}
                ).encode()
                pictures.append(
                    (row, file.tell() + tarfile.BLOCKSIZE, zlib.crc32(content))
                )  # it begins behind its header
                for name, value in ((suffix, content), ("json", facts)):
                    member = tarfile.TarInfo(f"{row:09d}.{name}")
                    member.size = len(value)
                    tar.addfile(member, BytesIO(value))
    except OSError as error:
        raise InputError(
            f"{path}: {error}; make room for a copy of the pictures, or remove `shards`, and run again"
        ) from None
    os.replace(part, path)
    return {
        "name": path.name,
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "pictures": pictures,
    }


class Shards:
    """The shards of a manifest; `shard`: (pictures,) the number of each row's. Reads at the offsets: nothing is unpacked. Holds
    no open file, so that DataLoader's workers can share it. Raises InputError for what is not as it was written."""

    def __init__(self, manifest: Manifest):
        told = manifest.summary["shards"]
        self.address, self.kept, self.images = (
            told["address"],
            told["kept"],
            manifest.frame["image"].array,
        )
        self.remote = (
            "://" in self.address
        )  # of another version of the data set, a fetched shard of the same name is another
        self.folder = manifest.folder / (
            f"fetched/{told['sha256'][:12]}" if self.remote else self.address
        )
        self._fetch(INDEX, told["sha256"])
        self.files, self.bytes = [], manifest.frame["bytes"].to_numpy()
        self.shard, self.offset, self.sum = np.zeros((3, len(manifest.frame)), np.int64)
        for number, one in enumerate(json.loads((self.folder / INDEX).read_bytes())):
            self.files.append((one["name"], one["sha256"]))
            rows, offsets, sums = np.array(one["pictures"]).T
            self.shard[rows], self.offset[rows], self.sum[rows] = number, offsets, sums

    def read(self, row: int) -> BytesIO:
        """The content of a picture's file."""
        (name, sha256), content = self.files[self.shard[row]], None
        while content is None:
            try:
                with (self.folder / name).open("rb") as file:
                    file.seek(self.offset[row])
                    content = file.read(self.bytes[row])
            except FileNotFoundError:  # perhaps another process removed it just now
                self._fetch(name, sha256)
        if zlib.crc32(content) != self.sum[row]:
            raise InputError(
                f"{self.folder / name}: what lies at byte {self.offset[row]} is not {self.images[row]}; delete it, "
                f"then {'run again' if self.remote else 'copy it or run the prepare stage of the data set again'}"
            )
        return BytesIO(content)

    def _fetch(self, name: str, sha256: str) -> None:
        urls = [f"{self.address}/{name}"] if self.remote else []
        fetch(
            f"{name} (of `shards.address`, {self.address})", urls, self.folder / name, sha256=sha256
        )
        if self.kept and self.remote:  # this one last, whatever the clock said when the others came
            with suppress(FileNotFoundError):  # another process is at it, too
                by_age = sorted(
                    self.folder.glob("*.tar"),
                    key=lambda path: (path.name == name, path.stat().st_mtime),
                )
                for old in by_age[: -self.kept]:
                    old.unlink()
