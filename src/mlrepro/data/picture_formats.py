"""Files of pictures: which formats are read, and what a file is that is none of them."""

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from mlrepro.data.deep_colours import is_deep
from mlrepro.extras import install_command

# The brands in the head of an ISO media file that say HEIC or HEIF.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# How files begin that often lie, under a picture's name, where a picture should be.
BEGINNINGS = (
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself with git lfs pull"),
    (b"<!doctype html", "a web page; what was fetched is a site's answer, not its picture"),
    (b"<html", "a web page; what was fetched is a site's answer, not its picture"),
    (b"<svg", "SVG, a drawing without pixels; save it as PNG"),
    (b"<?xml", "XML; a drawing (SVG) has no pixels, save it as PNG"),
    (b"%pdf", "PDF; save its pages as PNG"),
    (b"pk\x03\x04", "a ZIP archive; unpack it"),
)
# DICOM's mark stands behind its preamble.
DICOM_PREAMBLE = 128
HEAD_BYTES = 256


def open_picture(source: os.PathLike) -> Image.Image:
    """A picture by Pillow, with its header read. source: a path or an open file.

    One with colours of 16 bits, of which Pillow loads eight, has its source as `deep_source`.
    HEIC and HEIF are read where pillow-heif is installed. Raises what Pillow raises.
    """
    try:
        image = Image.open(source)
        if is_deep(image):
            image.deep_source = source
        return image
    except UnidentifiedImageError:
        if not _is_heif(_head(source)):
            raise
    # The plugin is imported only for a file that needs it.
    if not _register_heif():
        raise UnidentifiedImageError(heif_remedy())
    return Image.open(source)


def reads_heif() -> bool:
    return find_spec("pillow_heif") is not None


@cache
def _register_heif() -> bool:
    if not reads_heif():
        return False
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return True


def unidentified(path: Path) -> str:
    """Why Pillow does not know a file: what it is instead, where its first bytes say so."""
    head = _head(path)
    if _is_heif(head) and not reads_heif():
        return heif_remedy()
    if head[DICOM_PREAMBLE:].startswith(b"DICM"):
        return "not a picture: DICOM; export it as PNG with 16 bits"

    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, what in BEGINNINGS:
        if text.startswith(beginning):
            return f"not a picture: {what}"
    return "not a picture"


def _head(source: os.PathLike) -> bytes:
    """The first bytes of a path's file, or of an open one, which stands at its beginning again."""
    if not hasattr(source, "seek"):
        with open(source, "rb") as file:
            return file.read(HEAD_BYTES)
    source.seek(0)
    head = source.read(HEAD_BYTES)
    source.seek(0)
    return head


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS


def heif_remedy() -> str:
    return f"HEIC or HEIF, which needs pillow-heif: {install_command('heif')}"
