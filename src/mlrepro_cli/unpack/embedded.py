"""Pictures within Parquet: which columns hold them, and what such a picture is called."""

import io
import posixpath
from typing import Any

import pyarrow
from PIL import Image
from pyarrow import parquet

from mlrepro_cli.pictures import KNOWN_BY_CONTENT, is_picture

# The keys of Hugging Face's `Image`: a file's bytes, and its name where it had one.
BYTES = "bytes"
PATH = "path"

# Format, as Pillow calls it -> suffix.
SUFFIX_OF_FORMAT = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "GIF": ".gif",
    "TIFF": ".tif",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "AVIF": ".avif",
    "PPM": ".ppm",
}
# Of bytes that are none of these: init-data then says of the file that it cannot be read.
SUFFIX_OF_OTHERS = ".jpg"

# File systems allow 255 bytes, and a number may come before it.
LONGEST_NAME = 200


def picture_columns(file: parquet.ParquetFile) -> list[str]:
    """Columns of files' bytes: those of `Image`, and plain ones whose first value is a picture."""
    columns = []
    for field in file.schema_arrow:
        plain = pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type)
        if is_image_type(field.type) or (plain and _begins_with_picture(file, field.name)):
            columns.append(field.name)
    return columns


def is_image_type(kind: pyarrow.DataType) -> bool:
    if not pyarrow.types.is_struct(kind):
        return False
    names = [field.name for field in kind]
    return BYTES in names and set(names) <= {BYTES, PATH}


def bytes_and_path(value: Any) -> tuple[bytes | None, str]:
    """A cell's bytes, None where it has none, and the name that it had, "" where it had none."""
    if isinstance(value, dict):
        return value.get(BYTES), value.get(PATH) or ""
    return value, ""


def file_name(content: bytes, path: str, number: int, taken: set[str]) -> str:
    """The name that the picture had, or else its number; with that before it where it is taken.

    path may be of any machine, and of anybody: its folders are left out. taken: names in small
    letters, which this one is added to.
    """
    name = posixpath.basename(path.replace("\\", "/"))
    if not _is_usable(name):
        name = f"{number:07d}{_suffix(content)}"

    # Again, where another picture is called like that by its own name.
    while name.lower() in taken:
        name = f"{number:07d}-{name}"
    taken.add(name.lower())
    return name


def _is_usable(name: str) -> bool:
    """Whether init-data takes a file of this name for a picture, and every system can write it."""
    if not name.isprintable() or name.startswith("."):
        return False
    return is_picture(name) and len(name.encode()) <= LONGEST_NAME


def _suffix(content: bytes) -> str:
    return SUFFIX_OF_FORMAT.get(_format(content), SUFFIX_OF_OTHERS)


def _begins_with_picture(file: parquet.ParquetFile, column: str) -> bool:
    for batch in file.iter_batches(batch_size=1, columns=[column]):
        [value] = batch.column(0).to_pylist()
        if value is not None:
            return _format(value) != ""
    return False


def _format(content: bytes) -> str:
    try:
        with Image.open(io.BytesIO(content), formats=KNOWN_BY_CONTENT) as image:
            return image.format
    except Exception:  # what is no picture fails in every way
        return ""
