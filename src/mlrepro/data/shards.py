"""Shards: a data set's pictures in tar files, for storage slow to open and fast to read on.

The tar files are WebDataset's. `prepare` writes them where the settings say `shards`, and every row
is then read out of its shard: the same bytes as its file's, so the same results, with any number of
processes. Shards behind http(s):// are fetched whole when the first picture in them is wanted,
verified, and kept for all processes of the machine; a run with `sampler: shards` wants them one
after the other. Like the pictures they are no outputs of a stage: summary.json holds the sha256 of
their index.
"""

import json
import os
import tarfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas

from mlrepro.addresses import without_secrets
from mlrepro.data.fetching.mirrors import fetch
from mlrepro.data.manifest import Manifest
from mlrepro.data.picture_names import picture_file
from mlrepro.errors import InputError
from mlrepro.files import file_sha256, write_bytes
from mlrepro.progress import progress_bar
from mlrepro.settings.data import Shards

FOLDER = "shards"
INDEX = "shards.json"


# --- writing -------------------------------------------------------------------------------------


def write_shards(
    folder: Path, frame: pandas.DataFrame, classes: list[str], root: Path, settings: Shards
) -> dict:
    """Writes folder/shards/<split>-<number>.tar and their index.

    The same pictures give the same bytes. A picture is two members: <row>.<suffix>, its file as it
    is, and <row>.json: image and labels (names). The index lists name, bytes and sha256 of each
    shard, and of its pictures row, offset of the file and its CRC-32.

    Returns what summary.json says of them. Raises InputError where the disk is full.
    """
    shard_folder = folder / FOLDER
    shard_folder.mkdir(parents=True, exist_ok=True)

    # A shard is of one split, so that training reads no test pictures.
    rows_of_shard = {}
    rows_of_split = frame.groupby("split", sort=False).indices
    for split, rows in rows_of_split.items():
        for number, start in enumerate(range(0, len(rows), settings.pictures)):
            path = shard_folder / f"{split}-{number:06d}.tar"
            rows_of_shard[path] = rows[start : start + settings.pictures]

    index = []
    for path, rows in progress_bar(rows_of_shard.items(), desc="shards"):
        index.append(_write_shard(path, rows, frame, classes, root))
    write_bytes(shard_folder / INDEX, json.dumps(index).encode())

    # Those of earlier settings, and what a killed process left.
    for path in sorted(shard_folder.glob("*.tar*")):
        if path not in rows_of_shard:
            path.unlink()

    return {
        "address": (settings.address or FOLDER).rstrip("/"),
        "kept": settings.kept,
        "sha256": file_sha256(shard_folder / INDEX),
    }


def _write_shard(
    path: Path, rows: np.ndarray, frame: pandas.DataFrame, classes: list[str], root: Path
) -> dict:
    """One shard, and its entry in the index."""
    # Renamed when it is whole, so that a killed process leaves no half a shard under its name.
    temporary = path.with_name(path.name + ".tmp")
    pictures = []
    try:
        with (
            temporary.open("wb") as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            columns = (frame["image"].iloc[rows], frame["labels"].iloc[rows])
            for row, image, labels in zip(rows.tolist(), *columns, strict=True):
                content = picture_file(root, image).read_bytes()
                suffix = Path(image).suffix[1:].lower() or "picture"

                offset = file.tell() + tarfile.BLOCKSIZE  # it begins behind its header
                pictures.append((row, offset, zlib.crc32(content)))
                _add_member(tar, f"{row:09d}.{suffix}", content)

                facts = {"image": image, "labels": [classes[label] for label in labels]}
                _add_member(tar, f"{row:09d}.json", json.dumps(facts).encode())
    except OSError as error:
        raise InputError(
            f"{path}: {error}; make room for a copy of the pictures, or remove `shards`, and run "
            "again"
        ) from None
    os.replace(temporary, path)

    return {
        "name": path.name,
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "pictures": pictures,
    }


def _add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, BytesIO(content))


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShardFile:
    """One tar file as the index lists it."""

    name: str
    sha256: str


class ShardReader:
    """Reads pictures out of the shards of a manifest, at their offsets: nothing is unpacked.

    Holds no open file, so that DataLoader's workers can share it. `shard`: (pictures,) the number
    of each row's shard. Raises InputError for what is not as it was written.
    """

    def __init__(self, manifest: Manifest):
        described = manifest.summary["shards"]
        self.address = described["address"]
        self.kept = described["kept"]
        self.remote = "://" in self.address
        if self.remote:
            # A fetched shard of the same name is another in another version of the data set.
            self.folder = manifest.folder / "fetched" / described["sha256"][:12]
        else:
            self.folder = manifest.folder / self.address
        self._fetch(INDEX, described["sha256"])

        # Of each row: the picture's name, its bytes, its shard, where it begins, and its CRC-32.
        rows = len(manifest.frame)
        self.images = manifest.frame["image"].array
        self.bytes = manifest.frame["bytes"].to_numpy()
        self.shard = np.zeros(rows, np.int64)
        self.offset = np.zeros(rows, np.int64)
        self.checksum = np.zeros(rows, np.int64)

        self.files: list[ShardFile] = []
        index = json.loads((self.folder / INDEX).read_bytes())
        for number, entry in enumerate(index):
            self.files.append(ShardFile(entry["name"], entry["sha256"]))
            in_shard, offsets, checksums = np.array(entry["pictures"]).T
            self.shard[in_shard] = number
            self.offset[in_shard] = offsets
            self.checksum[in_shard] = checksums

    def read(self, row: int) -> BytesIO:
        """The content of a picture's file."""
        shard = self.files[self.shard[row]]
        # Again and again, for what was fetched may be removed before it is opened.
        content = None
        while content is None:
            try:
                with (self.folder / shard.name).open("rb") as file:
                    file.seek(self.offset[row])
                    content = file.read(self.bytes[row])
            except FileNotFoundError:  # not yet fetched, or another process has removed it
                self._fetch(shard.name, shard.sha256)

        if zlib.crc32(content) != self.checksum[row]:
            remedy = "copy it or run the prepare stage of the data set again"
            if self.remote:
                remedy = "run again"
            raise InputError(
                f"{self.folder / shard.name}: what lies at byte {self.offset[row]} is not "
                f"{self.images[row]}; delete it, then {remedy}"
            )
        return BytesIO(content)

    def _fetch(self, name: str, sha256: str) -> None:
        """Gets a file from where it was copied to; InputError where it is missing or another."""
        urls = [f"{self.address}/{name}"] if self.remote else []
        described = f"{name} (of `shards.address`, {without_secrets(self.address)})"
        fetch(described, urls, self.folder / name, sha256=sha256)
        if self.kept and self.remote:
            self._remove_oldest(name)

    def _remove_oldest(self, newest: str) -> None:
        """Keeps the latest `kept` shards, `newest` among them whatever the clock said before."""

        def age(path: Path) -> tuple[bool, float]:
            return path.name == newest, path.stat().st_mtime

        with suppress(FileNotFoundError):  # another process is at it, too
            oldest_first = sorted(self.folder.glob("*.tar"), key=age)
            for path in oldest_first[: -self.kept]:
                path.unlink()
