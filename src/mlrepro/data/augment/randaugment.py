"""RandAugment as Query2Label, ASL and AAM use it: the ranges of the PyPI package randaugment 1.0.2.

An operation takes a picture, a level and draws. The level is magnitude / 9 for the magnitudes 1 to
9. The package's resampling filters are not known to us: shears are bicubic here, translations and
rotations take the nearest pixel.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from mlrepro.data.augment.steps import Draws, Picture, hole
from mlrepro.data.fast import fast_kernels

FILL = (128, 128, 128)  # where a picture was moved away
CUTOUT_FILL = (125, 122, 113)  # where a square was cut out

LARGEST_MAGNITUDE = 9  # from 1 on: with 15 operations, 135 pairs
LARGEST_CUTOUT = 20  # pixels
LARGEST_ENHANCEMENT = 0.9  # a factor of 1 +- 0.9
LARGEST_SHEAR = 0.3  # of a pixel a row
LARGEST_TRANSLATION = 150 / 331  # of the picture's side
LARGEST_ROTATION = 30  # degrees


def randaugment(picture: Picture, draws: Draws) -> Picture:
    """Two of the 135 pairs of operation and magnitude, drawn with repetition.

    Each of the two is applied with probability 0.5.
    """
    names = list(OPERATIONS)
    for _ in range(2):
        name = names[draws.integers(len(names))]
        magnitude = draws.integers(1, LARGEST_MAGNITUDE + 1)
        if draws.random() < 0.5:
            picture = OPERATIONS[name](picture, magnitude / LARGEST_MAGNITUDE, draws)
    return picture


def _sign(draws: Draws) -> int:
    return 1 if draws.random() < 0.5 else -1


# --- colours -------------------------------------------------------------------------------------


def invert(picture: Picture, level: float, draws: Draws) -> Picture:
    return ImageOps.invert(picture)


def auto_contrast(picture: Picture, level: float, draws: Draws) -> Picture:
    return ImageOps.autocontrast(picture)


def equalize(picture: Picture, level: float, draws: Draws) -> Picture:
    return ImageOps.equalize(picture)


def posterize(picture: Picture, level: float, draws: Draws) -> Picture:
    return ImageOps.posterize(picture, round(8 - 4 * level))


def solarize(picture: Picture, level: float, draws: Draws) -> Picture:
    return ImageOps.solarize(picture, 256 * (1 - level))


def contrast(picture: Picture, level: float, draws: Draws) -> Picture:
    return ImageEnhance.Contrast(picture).enhance(_enhancement(level, draws))


def color(picture: Picture, level: float, draws: Draws) -> Picture:
    return ImageEnhance.Color(picture).enhance(_enhancement(level, draws))


def brightness(picture: Picture, level: float, draws: Draws) -> Picture:
    return ImageEnhance.Brightness(picture).enhance(_enhancement(level, draws))


def sharpness(picture: Picture, level: float, draws: Draws) -> Picture:
    factor = _enhancement(level, draws)
    kernels = fast_kernels(min(picture.size))
    if kernels is None:
        return ImageEnhance.Sharpness(picture).enhance(factor)

    # What ImageEnhance.Sharpness does, with its slow step, the smoothing, done by the kernel.
    pixels = np.array(picture)
    rows = pixels.reshape(picture.height, -1)
    smooth = Image.fromarray(kernels.smooth(rows).reshape(pixels.shape))
    return Image.blend(smooth, picture, factor)


def _enhancement(level: float, draws: Draws) -> float:
    return 1 + LARGEST_ENHANCEMENT * level * _sign(draws)


# --- places --------------------------------------------------------------------------------------


def cut_hole(picture: Picture, level: float, draws: Draws) -> Picture:
    return hole(picture, round(LARGEST_CUTOUT * level), draws, CUTOUT_FILL)


def shear_x(picture: Picture, level: float, draws: Draws) -> Picture:
    amount = LARGEST_SHEAR * level * _sign(draws)
    kernels = fast_kernels(min(picture.size))
    if kernels is None:
        return _moved(picture, (1, amount, 0, 0, 1, 0), Image.Resampling.BICUBIC)
    return _fast_shear(picture, amount, kernels)


def shear_y(picture: Picture, level: float, draws: Draws) -> Picture:
    amount = LARGEST_SHEAR * level * _sign(draws)
    kernels = fast_kernels(min(picture.size))
    if kernels is None:
        return _moved(picture, (1, 0, 0, amount, 1, 0), Image.Resampling.BICUBIC)

    # The kernel shears rows: columns become rows, and rows columns again.
    turned = picture.transpose(Image.Transpose.TRANSPOSE)
    sheared = _fast_shear(turned, amount, kernels)
    return sheared.transpose(Image.Transpose.TRANSPOSE)


def translate_x(picture: Picture, level: float, draws: Draws) -> Picture:
    distance = LARGEST_TRANSLATION * level * _sign(draws) * picture.width
    return _moved(picture, (1, 0, distance, 0, 1, 0), Image.Resampling.NEAREST)


def translate_y(picture: Picture, level: float, draws: Draws) -> Picture:
    distance = LARGEST_TRANSLATION * level * _sign(draws) * picture.height
    return _moved(picture, (1, 0, 0, 0, 1, distance), Image.Resampling.NEAREST)


def rotate(picture: Picture, level: float, draws: Draws) -> Picture:
    """Always counter-clockwise."""
    return picture.rotate(LARGEST_ROTATION * level, fillcolor=FILL)


def _moved(picture: Picture, matrix: tuple[float, ...], method: Image.Resampling) -> Picture:
    affine = Image.Transform.AFFINE
    return picture.transform(picture.size, affine, matrix, method, fillcolor=FILL)


def _fast_shear(picture: Picture, amount: float, kernels) -> Picture:
    pixels = np.array(picture)
    return Image.fromarray(kernels.shear(pixels, amount, np.array(FILL, np.uint8)))


Operation = Callable[[Picture, float, Draws], Picture]

# Their order is that of the draws.
OPERATIONS: dict[str, Operation] = {
    "invert": invert,
    "cutout": cut_hole,
    "sharpness": sharpness,
    "auto_contrast": auto_contrast,
    "posterize": posterize,
    "shear_x": shear_x,
    "translate_x": translate_x,
    "translate_y": translate_y,
    "shear_y": shear_y,
    "rotate": rotate,
    "equalize": equalize,
    "contrast": contrast,
    "color": color,
    "solarize": solarize,
    "brightness": brightness,
}
