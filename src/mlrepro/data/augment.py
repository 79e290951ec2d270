"""Training pictures' augmentation: one recipe a `Run.augment`. Every draw comes from the generator that the caller seeds.

The recipes keep the authors' order and distributions, not their random numbers (Python's `random` and numpy's global state).
"""

from collections.abc import Callable
from functools import cache, partial
from types import ModuleType

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from torchvision.transforms.functional import adjust_hue

Picture, Draws = Image.Image, np.random.Generator
FILL, CUTOUT_FILL = (
    (128, 128, 128),
    (125, 122, 113),
)  # what RandAugment puts where a picture was moved away, or cut out
TRANSLATE = 150 / 331  # of the picture's side: RandAugment's largest translation
JITTER, HUE = 0.2, 0.05  # flip_jitter's strengths: factors 1 +- 0.2, hue +- 0.05 of the circle


@cache
def kernels(side: int) -> ModuleType | None:
    """data.kernels, which makes the same pixels faster. None for small pictures, which do not repay the import (0.5 s), and
    where it cannot be: numba or simplejpeg not installed, no folder to keep what is compiled, another Pillow."""
    if side < 128:
        return None
    try:
        from mlrepro.data import kernels
    except (ImportError, RuntimeError):
        return None
    return kernels


def cutout(picture: Picture, length: int, rng: Draws) -> Picture:
    """SLCutout and ASL's CutoutPIL: a square of one random colour, its centre anywhere, clipped at the borders. As released, the
    rectangle includes both its ends (side 2 (length // 2) + 1, one pixel at length 0), and the sizes of x and y are swapped,
    which a square picture does not show."""
    tall, wide = picture.size
    y, x = int(rng.integers(tall)), int(rng.integers(wide))
    half, colour = length // 2, tuple(int(rng.integers(256)) for _ in range(3))
    box = (max(x - half, 0), max(y - half, 0), min(x + half, wide), min(y + half, tall))
    return _filled(picture, box, colour)


def hole(
    picture: Picture, side: int, rng: Draws, colour: tuple[int, int, int] | None = None
) -> Picture:
    """A square of exactly `side` pixels, its centre anywhere, clipped at the borders; no colour: one at random (AAM)."""
    left, top = (int(rng.integers(size)) - side // 2 for size in picture.size)
    colour = colour or tuple(int(rng.integers(256)) for _ in range(3))
    return _filled(picture, (left, top, left + side - 1, top + side - 1), colour)


def _filled(
    picture: Picture, box: tuple[int, int, int, int], colour: tuple[int, int, int]
) -> Picture:
    picture = picture.copy()
    ImageDraw.Draw(picture).rectangle(box, fill=colour)
    return picture


def _sign(rng: Draws) -> int:
    return 1 if rng.random() < 0.5 else -1


def _moved(picture: Picture, matrix: tuple[float, ...], filter_: Image.Resampling) -> Picture:
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, filter_, fillcolor=FILL)


def _shear(picture: Picture, x: float, y: float) -> Picture:
    if fast := kernels(min(picture.size)):
        if y:
            return _shear(picture.transpose(Image.Transpose.TRANSPOSE), y, 0).transpose(
                Image.Transpose.TRANSPOSE
            )
        return Image.fromarray(fast.shear(np.array(picture), x, np.array(FILL, np.uint8)))
    return _moved(picture, (1, x, 0, y, 1, 0), Image.Resampling.BICUBIC)


def _translate(picture: Picture, x: float, y: float) -> Picture:
    return _moved(
        picture, (1, 0, x * picture.width, 0, 1, y * picture.height), Image.Resampling.NEAREST
    )


def _enhance(kind: type) -> Callable[[Picture, float, Draws], Picture]:
    return lambda picture, level, rng: kind(picture).enhance(1 + 0.9 * level * _sign(rng))


def _sharpness(picture: Picture, level: float, rng: Draws) -> Picture:
    if not (fast := kernels(min(picture.size))):
        return _enhance(ImageEnhance.Sharpness)(picture, level, rng)
    smooth = fast.smooth(np.array(picture).reshape(picture.height, -1)).reshape(
        picture.height, -1, 3
    )
    return Image.blend(Image.fromarray(smooth), picture, 1 + 0.9 * level * _sign(rng))


# (picture, level, rng), level = magnitude / 9 for the magnitudes 1 to 9; ranges of the PyPI package randaugment 1.0.2.
OPERATIONS: dict[str, Callable[[Picture, float, Draws], Picture]] = {
    "invert": lambda picture, level, rng: ImageOps.invert(picture),
    "cutout": lambda picture, level, rng: hole(picture, round(20 * level), rng, CUTOUT_FILL),
    "sharpness": _sharpness,
    "auto_contrast": lambda picture, level, rng: ImageOps.autocontrast(picture),
    "posterize": lambda picture, level, rng: ImageOps.posterize(picture, round(8 - 4 * level)),
    "shear_x": lambda picture, level, rng: _shear(picture, 0.3 * level * _sign(rng), 0),
    "translate_x": lambda picture, level, rng: _translate(
        picture, TRANSLATE * level * _sign(rng), 0
    ),
    "translate_y": lambda picture, level, rng: _translate(
        picture, 0, TRANSLATE * level * _sign(rng)
    ),
    "shear_y": lambda picture, level, rng: _shear(picture, 0, 0.3 * level * _sign(rng)),
    "rotate": lambda picture, level, rng: picture.rotate(
        30 * level, fillcolor=FILL
    ),  # always counter-clockwise
    "equalize": lambda picture, level, rng: ImageOps.equalize(picture),
    "contrast": _enhance(ImageEnhance.Contrast),
    "color": _enhance(ImageEnhance.Color),
    "solarize": lambda picture, level, rng: ImageOps.solarize(picture, 256 * (1 - level)),
    "brightness": _enhance(ImageEnhance.Brightness),
}


def randaugment(picture: Picture, rng: Draws) -> Picture:
    """Two of the 135 pairs of operation and magnitude, drawn with repetition, each applied with probability 0.5. The package's
    resampling filters are not known to us: shears are bicubic, translations and rotations take the nearest pixel."""
    names = list(OPERATIONS)
    for _ in range(2):
        name, magnitude = names[rng.integers(len(names))], rng.integers(1, 10)
        if rng.random() < 0.5:
            picture = OPERATIONS[name](picture, magnitude / 9, rng)
    return picture


def _flip(picture: Picture, rng: Draws) -> Picture:
    return ImageOps.mirror(picture) if rng.random() < 0.5 else picture


def _flip_both(picture: Picture, rng: Draws) -> Picture:
    picture = _flip(picture, rng)
    return ImageOps.flip(picture) if rng.random() < 0.5 else picture


def _flip_jitter(picture: Picture, rng: Draws) -> Picture:
    """The MIRFLICKR study's RandomHorizontalFlip, RandomVerticalFlip and ColorJitter, whose strengths it does not state."""
    picture = _flip_both(picture, rng)
    for i in rng.permutation(4):
        if i == 3:
            picture = adjust_hue(picture, rng.uniform(-HUE, HUE))
        else:
            kind = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[i]
            picture = kind(picture).enhance(rng.uniform(1 - JITTER, 1 + JITTER))
    return picture


def _cutout_first(picture: Picture, rng: Draws, share: float = 0.5) -> Picture:
    return randaugment(cutout(picture, int(share * picture.width), rng), rng)


def _aam(picture: Picture, rng: Draws) -> Picture:
    picture = randaugment(picture, rng)
    if rng.random() < 0.5:
        picture = hole(picture, int(0.4 * picture.width), rng)
    return _flip(picture, rng)


# query2label: the released code's `--length -1` mended to half the side; query2label_released: the hole of about one pixel that
# it leaves. ml_decoder cuts half the side out always, as the mended Query2Label does (their code, spec 2.6 and 1.5).
RECIPES: dict[str, Callable[[Picture, Draws], Picture]] = {
    "none": lambda picture, rng: picture,
    "flip": _flip,
    "flip_both": _flip_both,
    "flip_jitter": _flip_jitter,
    "query2label": _cutout_first,
    "query2label_released": partial(_cutout_first, share=0),
    "ml_decoder": _cutout_first,
    "aam": _aam,
}
