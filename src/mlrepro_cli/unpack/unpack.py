"""`mlrepro unpack`: writes the pictures of Parquet files, a folder a split."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow
from pyarrow import parquet

from mlrepro.errors import InputError, first_of
from mlrepro_cli.refused import named_where_refused
from mlrepro_cli.unpack.embedded import bytes_and_path, file_name, picture_columns

TABLE = "metadata.parquet"
NAME_COLUMN = "file_name"

# Rows that are in memory at once.
ROWS = 64

SHOWN = 3  # names of rows in a message

# What `datasets` and the hub add to a split's name: train-00000-of-00002-1a2b3c4d.parquet.
SHARD = re.compile(r"[-_.]?\d{5}-of-\d{5}(-[0-9a-f]+)?$")


def unpack(path: Path, folder: Path, image_column: str | None = None) -> None:
    """Writes what the .parquet `path`, or all below that folder, hold into a new folder.

    Raises InputError where there are none, where one cannot be read or holds no pictures, where it
    is not said which of several columns are the pictures, and where the folder is there already.
    """
    if folder.exists():
        raise InputError(f"{folder}: is there already; delete it, or name another one with --to")
    splits = _splits(path)

    # Whole or not at all: what fails half-way leaves a temporary folder, which is removed.
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        named_where_refused(folder),
        tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as work,
    ):
        written = Path(work, folder.name)
        for name, files in splits.items():
            split = Split(written / name, files, image_column)
            split.write()
            split.report(folder.name if name == "." else name)
        written.rename(folder)
    print(f"next: mlrepro init-data {folder}")


def _splits(path: Path) -> dict[str, list[Path]]:
    """Parquet files by the folder that their pictures come into, such as data/train."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path")
    if path.is_file():
        return {_split_name(Path(path.name)): [path]}

    splits: dict[str, list[Path]] = {}
    for file in sorted(path.rglob("*.parquet")):
        splits.setdefault(_split_name(file.relative_to(path)), []).append(file)
    if not splits:
        raise InputError(f"{path}: holds no .parquet; name the folder that does")
    return splits


def _split_name(file: Path) -> str:
    """Its folder and name without a shard's number: of train/0000.parquet the folder alone."""
    name = SHARD.sub("", file.stem)
    if not name or name.isdecimal():
        name = ""
    return (file.parent / name).as_posix()


@dataclass
class Split:
    """The Parquet files of one split, and the folder that their pictures come into."""

    folder: Path
    files: list[Path]
    image_column: str | None
    pictures: int = 0
    taken: set[str] = field(default_factory=lambda: {TABLE})
    without_picture: list[str] = field(default_factory=list)
    left_out_columns: set[str] = field(default_factory=set)

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        writer = None
        try:
            for file in self.files:
                for table in self._tables(file):
                    if writer is None:
                        writer = parquet.ParquetWriter(self.folder / TABLE, table.schema)
                    self._refuse_other_columns(file, table.schema, writer.schema)
                    writer.write_table(table)
        except pyarrow.ArrowException as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{file}: no Parquet ({reason}); get it again") from None
        finally:
            if writer is not None:
                writer.close()

    def report(self, name: str) -> None:
        print(f"{name}: {self.pictures:,} pictures")
        if self.left_out_columns:
            columns = ", ".join(sorted(self.left_out_columns))
            print(f"{name}: other pictures are left out, those of the columns: {columns}")
        if self.without_picture:
            rows = first_of(self.without_picture, SHOWN)
            print(f"{name}: {len(self.without_picture):,} rows without a picture left out: {rows}")

    def _tables(self, file: Path) -> Iterator[pyarrow.Table]:
        """The rows of a file, whose pictures are written, with their names instead of them."""
        source = parquet.ParquetFile(file)
        holding = picture_columns(source)
        column = self._chosen(file, holding)
        others = [name for name in source.schema_arrow.names if name not in holding]
        self.left_out_columns |= set(holding) - {column}
        if NAME_COLUMN in others:
            raise InputError(f"{file}: has a column {NAME_COLUMN!r} of its own; rename it")

        first_row = 1
        for batch in source.iter_batches(ROWS, columns=[column, *others]):
            names = self._write_pictures(batch.column(column), f"{file.name} row", first_row)
            first_row += len(batch)

            rows = batch.select(others).take(pyarrow.array(names.keys(), pyarrow.int64()))
            columns = [pyarrow.array(names.values(), pyarrow.string()), *rows.columns]
            named = rows.schema.insert(0, pyarrow.field(NAME_COLUMN, pyarrow.string()))
            yield pyarrow.Table.from_arrays(columns, schema=named)

    def _write_pictures(self, cells: pyarrow.Array, what: str, first_row: int) -> dict[int, str]:
        """The pictures' names by their place in `cells`; without those that have none."""
        names = {}
        for place, value in enumerate(cells.to_pylist()):
            content, path = bytes_and_path(value)
            if not content:
                self.without_picture.append(f"{what} {first_row + place}")
                continue

            names[place] = file_name(content, path, self.pictures, self.taken)
            (self.folder / names[place]).write_bytes(content)
            self.pictures += 1
        return names

    def _chosen(self, file: Path, holding: list[str]) -> str:
        asked = self.image_column
        if not holding:
            raise InputError(
                f"{file}: no column holds pictures; mlrepro init-data reads it as it is"
            )
        if asked is None and len(holding) > 1:
            choices = " or ".join(f"--image-column {name!r}" for name in holding)
            raise InputError(f"{file}: several columns hold pictures; which are meant: {choices}")
        if asked is not None and asked not in holding:
            raise InputError(
                f"{file}: column {asked!r} holds no pictures; {', '.join(holding)} does"
            )
        return asked or holding[0]

    def _refuse_other_columns(
        self, file: Path, found: pyarrow.Schema, first: pyarrow.Schema
    ) -> None:
        if found != first:
            raise InputError(
                f"{file}: its columns are others than those of {self.files[0]}; unpack them into "
                "folders of their own"
            )
