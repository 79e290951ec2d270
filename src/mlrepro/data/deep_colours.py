"""Colours of 16 bits a channel, of which Pillow alone keeps the upper eight.

Pillow has two ways to unpack them, which differ in what comes first of the two bytes: one gives the
upper ones, the other the lower ones. Read in both ways, a file gives all sixteen bits. Grey with
transparency has one way alone, and is unpacked as four channels of eight bits instead.
"""

import os
import sys

import numpy as np
from PIL import Image

# How a file's pixels are packed -> how they would be, were the lower byte the upper one. N is the
# machine's own order, as libtiff gives it.
SWAPPED = {"16B": "16L", "16L": "16B", "16N": "16L"}
if sys.byteorder == "little":
    SWAPPED["16N"] = "16B"
CHANNELS = ("RGB", "RGBA")

# PNG's grey with transparency, the upper byte of each first: as many bytes as four of eight bits.
GREY_WITH_ALPHA = "LA;16B"
FOUR_BYTES = "RGBA"


def is_deep(image: Image.Image) -> bool:
    """Whether a picture that was just opened has colours of 16 bits."""
    if not image.tile:
        return False
    packing = _packing(image)
    return packing == GREY_WITH_ALPHA or _swapped(packing) is not None


def deep_colours(source: os.PathLike) -> np.ndarray:
    """(h, w, 3 or 4) uint16 of a file that `is_deep`. source: a path or an open file."""
    with _opened(source) as image:
        packing = _packing(image)
    if packing == GREY_WITH_ALPHA:
        return _grey_with_alpha(source)

    return _sixteen_bits(_pixels(source, packing), _pixels(source, _swapped(packing)))


def _grey_with_alpha(source: os.PathLike) -> np.ndarray:
    """(h, w, 4) uint16: the grey three times, and the transparency."""
    upper_grey, lower_grey, upper_alpha, lower_alpha = np.moveaxis(
        _pixels(source, FOUR_BYTES), -1, 0
    )
    grey = _sixteen_bits(upper_grey, lower_grey)
    alpha = _sixteen_bits(upper_alpha, lower_alpha)
    return np.stack([grey, grey, grey, alpha], axis=-1)


def _sixteen_bits(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Of two arrays of bytes, uint8."""
    return upper.astype(np.uint16) << 8 | lower


def _opened(source: os.PathLike) -> Image.Image:
    if hasattr(source, "seek"):
        source.seek(0)
    return Image.open(source)


def _pixels(source: os.PathLike, packing: str) -> np.ndarray:
    """(h, w, channels) uint8, unpacked as `packing` says."""
    with _opened(source) as image:
        # What the decoder of each tile is told; nothing is decoded before `np.array`.
        tiles = []
        for tile in image.tile:
            tiles.append(tile._replace(args=_with_packing(tile.args, packing)))
        image.tile = tiles
        return np.array(image)


def _packing(image: Image.Image) -> str:
    """Such as RGB;16B; of some formats the first of several arguments."""
    arguments = image.tile[0].args
    packing = arguments[0] if isinstance(arguments, tuple) else arguments
    return packing if isinstance(packing, str) else ""


def _with_packing(arguments: str | tuple, packing: str) -> str | tuple:
    return (packing, *arguments[1:]) if isinstance(arguments, tuple) else packing


def _swapped(packing: str) -> str | None:
    """None for what is not of 16 bits, or of other channels."""
    channels, _, order = packing.partition(";")
    if channels not in CHANNELS or order not in SWAPPED:
        return None
    return f"{channels};{SWAPPED[order]}"
