"""Colours of 16 bits a channel, of which Pillow alone keeps the upper eight.

Pillow has two ways to unpack them, which differ in what comes first of the two bytes: one gives the
upper ones, the other the lower ones. Read in both ways, a file gives all sixteen bits.
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


def is_deep(image: Image.Image) -> bool:
    """Whether a picture that was just opened has colours of 16 bits."""
    return len(image.tile) > 0 and _swapped(_packing(image)) is not None


def deep_colours(source: os.PathLike) -> np.ndarray:
    """(h, w, 3 or 4) uint16 of a file that `is_deep`. source: a path or an open file."""
    upper = _pixels(source, swap=False).astype(np.uint16)
    lower = _pixels(source, swap=True)
    return upper << 8 | lower


def _pixels(source: os.PathLike, swap: bool) -> np.ndarray:
    if hasattr(source, "seek"):
        source.seek(0)
    with Image.open(source) as image:
        if swap:
            # What the decoder of each tile is told; nothing is decoded before `np.array`.
            swapped = _swapped(_packing(image))
            tiles = []
            for tile in image.tile:
                tiles.append(tile._replace(args=_with_packing(tile.args, swapped)))
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
