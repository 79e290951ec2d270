"""Steps that several recipes share: flips, and squares that are cut out."""

import numpy as np
from PIL import Image, ImageDraw, ImageOps

Picture = Image.Image
Draws = np.random.Generator
Colour = tuple[int, int, int]


def maybe_mirrored(picture: Picture, draws: Draws) -> Picture:
    """Left and right exchanged, with probability 0.5."""
    if draws.random() < 0.5:
        return ImageOps.mirror(picture)
    return picture


def maybe_upside_down(picture: Picture, draws: Draws) -> Picture:
    """Top and bottom exchanged, with probability 0.5."""
    if draws.random() < 0.5:
        return ImageOps.flip(picture)
    return picture


def cutout(picture: Picture, length: int, draws: Draws) -> Picture:
    """SLCutout and ASL's CutoutPIL: a square of one random colour, its centre anywhere.

    It is clipped at the borders. As released, the rectangle includes both its ends (side
    2 (length // 2) + 1, one pixel at length 0), and the sizes of x and y are swapped, which a
    square picture does not show.
    """
    tall, wide = picture.size  # Pillow's size is (width, height): the swap
    y = int(draws.integers(tall))
    x = int(draws.integers(wide))
    colour = random_colour(draws)

    half = length // 2
    box = (max(x - half, 0), max(y - half, 0), min(x + half, wide), min(y + half, tall))
    return _filled(picture, box, colour)


def hole(picture: Picture, side: int, draws: Draws, colour: Colour | None = None) -> Picture:
    """A square of exactly `side` pixels, its centre anywhere, clipped at the borders.

    colour: none draws one (Prokofiev and Sovrasov 2022, AAM).
    """
    left = int(draws.integers(picture.width)) - side // 2
    top = int(draws.integers(picture.height)) - side // 2
    if colour is None:
        colour = random_colour(draws)

    # Pillow's rectangles include their ends.
    box = (left, top, left + side - 1, top + side - 1)
    return _filled(picture, box, colour)


def random_colour(draws: Draws) -> Colour:
    red = int(draws.integers(256))
    green = int(draws.integers(256))
    blue = int(draws.integers(256))
    return red, green, blue


def _filled(picture: Picture, box: tuple[int, int, int, int], colour: Colour) -> Picture:
    picture = picture.copy()
    ImageDraw.Draw(picture).rectangle(box, fill=colour)
    return picture
