"""What networks see of a picture's file: what is stored in it, or what a viewer shows.

`stored` is how the code of the papers reads: EXIF's orientation and transparency are ignored, and
of 16-bit grey the upper eight bits are taken. `shown`, for pictures of people's own: turned as EXIF
says, transparent parts on white, and grey and colours of more than eight bits scaled by what is
there.
"""

import os
from typing import Literal

import numpy as np
from PIL import ExifTags, Image

from mlrepro.data.deep_colours import deep_colours
from mlrepro.data.picture_formats import open_picture

Appearance = Literal["stored", "shown"]

# Of EXIF's orientations: those that are mirrored from left to right first, and the quarters of a
# turn to the left that follow.
UPRIGHT = 1
MIRRORED = (2, 4, 5, 7)
QUARTERS = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}

# Grey comes in so many bits; cameras and scanners of 12 bits write files of 16.
DEPTHS = (8, 10, 12, 14, 16)


def whole_picture(source: os.PathLike, appearance: Appearance) -> Image.Image:
    """The picture of a file in RGB, in its own size. source: a path or an open file."""
    with open_picture(source) as image:
        turn = orientation(image, appearance)
        picture = flat(image, appearance).convert("RGB")
    if turn == UPRIGHT:
        return picture
    return Image.fromarray(turned(np.asarray(picture), turn))


def flat(image: Image.Image, appearance: Appearance) -> Image.Image:
    """An opened picture without transparency and of eight bits, which `convert("RGB")` takes.

    Most are that already: they come back as they are, and are not loaded. Raises OSError for
    floating-point pixels.
    """
    if image.mode == "F":
        raise OSError("floating-point pixels, whose range is not known; save it with 8 or 16 bits")
    # Pillow's modes of grey with more than eight bits: I, I;16, I;16B.
    if image.mode.startswith("I"):
        values = np.asarray(image)
        grey = _scaled(values) if appearance == "shown" else _upper_eight_bits(values)
        return Image.fromarray(grey)

    if appearance == "stored":
        return image
    if hasattr(image, "deep_source"):
        image = _in_eight_bits(deep_colours(image.deep_source))
    return _on_white(image) if image.has_transparency_data else image


def _upper_eight_bits(values: np.ndarray) -> np.ndarray:
    """16-bit grey to uint8: Pillow's own conversion turns all values above 255 into white."""
    return (values >> 8).clip(0, 255).astype(np.uint8)


def _scaled(values: np.ndarray) -> np.ndarray:
    """Grey (h, w) or colours (h, w, 3) to uint8.

    0 stays black, and the largest value of its depth becomes white.

    The depth is the least of DEPTHS whose values reach the brightest pixel: a 12-bit X-ray in a
    16-bit file would be all but black. Where values are below 0 or beyond 16 bits, as Hounsfield
    units are, the picture is stretched from its darkest to its brightest pixel.
    """
    black = int(values.min())
    white = int(values.max())
    if black >= 0:
        whites = [2**bits - 1 for bits in DEPTHS]
        fitting = [of_depth for of_depth in whites if of_depth >= white]
        if fitting:
            black = 0
            white = fitting[0]

    per_value = 255 / max(1, white - black)  # of a picture of one value, all becomes black
    scaled = (values.astype(np.float64) - black) * per_value
    return scaled.round().astype(np.uint8)


def _in_eight_bits(colours: np.ndarray) -> Image.Image:
    """(h, w, 3 or 4) uint16: all colours scaled alike; what is transparent has all 16 bits."""
    eight = _scaled(colours[..., :3])
    if colours.shape[-1] == 3:
        return Image.fromarray(eight)
    alpha = _upper_eight_bits(colours[..., 3:])
    return Image.fromarray(np.concatenate([eight, alpha], axis=-1))


def _on_white(image: Image.Image) -> Image.Image:
    colours = image.convert("RGBA")
    white = Image.new("RGBA", colours.size, "white")
    return Image.alpha_composite(white, colours)


def orientation(image: Image.Image, appearance: Appearance) -> int:
    """How a picture that was just opened is to be turned: 1 to 8 as EXIF counts, 1 is upright."""
    if appearance == "stored":
        return UPRIGHT
    # PNG may say it behind its pixels; TIFF's reader turns the picture itself while it loads.
    if image.format != "JPEG":
        image.load()
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF fails in every way, and the picture is good without
        return UPRIGHT
    return value if value in range(1, 9) else UPRIGHT


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(h, w, ...) as EXIF's orientation 1 to 8 says that they are shown."""
    if orientation in MIRRORED:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, QUARTERS[orientation]))
