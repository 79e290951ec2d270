"""Shards: a data set's pictures in WebDataset's tar files, for storage that is slow to open and fast to read on.

`prepare` writes them where the settings say `shards`, each of one split, and training reads every picture out of its shard. A row
has the same bytes there as in its file, so that results are the same, with any number of processes. Shards behind http(s):// are
fetched whole when the first picture in them is wanted, verified, and kept for all processes of the machine; a run with
`sampler: shards` wants them one after the other. Like the pictures they are no outputs of a stage: summary.json holds the sha256
of their index.
"""

import hashlib
import json
import os
import tarfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas
from tqdm import tqdm

from mlrepro import config_data
from mlrepro.data.archives import fetch
from mlrepro.data.manifest import Manifest, file_sha256, write_bytes
from mlrepro.errors import InputError

FOLDER, INDEX = "shards", "shards.json"


def write_shards(folder: Path, frame: pandas.DataFrame, classes: list[str], root: Path, settings: config_data.Shards) -> dict:
    """Writes folder/shards/<split>-<number>.tar and their index; what summary.json says of them. The same pictures give the same
    bytes.

    A picture is two members: <row>.<suffix>, its file as it is, and <row>.json: image, labels (names) and sha256 of the file. The
    index lists name, bytes, sha256, rows and offsets of each shard: where each row's members begin, and where the last ones end.
    """
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    split_rows, n = {split: np.flatnonzero(frame["split"] == split) for split in frame["split"].unique()}, settings.pictures
    shards = {folder / FOLDER / f"{split}-{start // n:06d}.tar": rows[start:start + n]
              for split, rows in split_rows.items() for start in range(0, len(rows), n)}
    index = [_write_shard(path, rows, frame, classes, root) for path, rows in tqdm(shards.items(), "shards", disable=None)]
    write_bytes(folder / FOLDER / INDEX, json.dumps(index).encode())
    for old in {*(folder / FOLDER).glob("*.tar*")} - shards.keys():
        old.unlink()
    return {"address": (settings.address or FOLDER).rstrip("/"), "kept": settings.kept,
            "sha256": file_sha256(folder / FOLDER / INDEX)}


def _write_shard(path: Path, rows: np.ndarray, frame: pandas.DataFrame, classes: list[str], root: Path) -> dict:
    part, offsets = path.with_name(path.name + ".tmp"), []
    try:
        with part.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for row, image, labels in zip(rows.tolist(), frame["image"].iloc[rows], frame["labels"].iloc[rows], strict=True):
                content, suffix = (root / image).read_bytes(), Path(image).suffix[1:].lower() or "picture"
                facts = {"image": image, "labels": [classes[label] for label in labels],
                         "sha256": hashlib.sha256(content).hexdigest()}
                offsets.append(file.tell())
                for name, value in ((suffix, content), ("json", json.dumps(facts).encode())):
                    member = tarfile.TarInfo(f"{row:09d}.{name}")
                    member.size = len(value)
                    tar.addfile(member, BytesIO(value))
            offsets.append(file.tell())
    except OSError as error:
        raise InputError(f"{path}: {error}; make room for a copy of the pictures, or remove `shards`, and run again") from None
    os.replace(part, path)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": file_sha256(path), "rows": rows.tolist(),
            "offsets": offsets}


class Shards:
    """The shards of a manifest; `shard`: (pictures,) the number of each row's. Reads straight out of them: nothing is unpacked.
    Holds no open file, so that the workers of a DataLoader can share it. Raises InputError for what is not as it was written."""

    def __init__(self, manifest: Manifest):
        told = manifest.summary["shards"]
        self.address, self.kept, self.images = told["address"], told["kept"], manifest.frame["image"].array
        self.remote = "://" in self.address  # of another version of the data set, a fetched shard of the same name is another
        self.folder = manifest.folder / (f"fetched/{told['sha256'][:12]}" if self.remote else self.address)
        self._fetch(INDEX, told["sha256"])
        self.files, rows = [], len(manifest.frame)
        self.shard, self.span = np.full(rows, -1, np.int32), np.zeros((rows, 2), np.int64)
        for number, one in enumerate(json.loads((self.folder / INDEX).read_bytes())):
            self.files.append((one["name"], one["sha256"]))
            self.shard[one["rows"]] = number
            self.span[one["rows"]] = np.stack([one["offsets"][:-1], one["offsets"][1:]], 1)

    def read(self, row: int) -> BytesIO:
        """The content of a picture's file."""
        (name, sha256), (start, end), record = self.files[self.shard[row]], self.span[row].tolist(), None
        while record is None:
            try:
                with (self.folder / name).open("rb") as file:
                    file.seek(start)
                    record = file.read(end - start)
            except FileNotFoundError:  # perhaps another process removed it just now
                self._fetch(name, sha256)
        try:
            with tarfile.open(fileobj=BytesIO(record), mode="r:") as tar:
                content, facts = (tar.extractfile(member).read() for member in tar if member.isreg())
            facts = json.loads(facts)
            whole = (facts["image"], facts["sha256"]) == (self.images[row], hashlib.sha256(content).hexdigest())
        except (tarfile.TarError, LookupError, TypeError, ValueError):
            whole = False
        if not whole:
            raise InputError(f"{self.folder / name}: what lies at byte {start} is not {self.images[row]} (row {row}); delete it, "
                             f"then {'run again' if self.remote else 'copy it or run the prepare stage of the data set again'}")
        return BytesIO(content)

    def _fetch(self, name: str, sha256: str) -> None:
        try:
            fetch(name, [f"{self.address}/{name}"] if self.remote else [], self.folder / name, sha256=sha256)
        except InputError as error:
            raise InputError(f"{error}\n`shards.address`, now {self.address}, is where the prepare stage's folder {FOLDER} was "
                             "copied to; write the shards again with that stage, or mend it") from None
        if self.kept and self.remote:
            with suppress(FileNotFoundError):  # another process is at it, too
                for old in sorted(self.folder.glob("*.tar"), key=os.path.getmtime)[:-self.kept]:
                    old.unlink()
