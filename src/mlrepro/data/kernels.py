"""Pictures' slowest steps by numba and libjpeg-turbo: Pillow's pixels to the bit, but faster.

Only `data.fast` imports this. What is compiled is kept beside this file or in the user's cache.
A pixel is one uint32 (red, green, blue, a byte without meaning), unless a shape ends in 3.
"""

import math
from functools import lru_cache

import numpy as np
import simplejpeg
from numba import njit
from PIL import Image

# Weights are in fixed point as in Pillow's Resample.c. Their fraction has so many bits that a
# weight times 255 still fits into 32.
BITS = 22
SHIFT = np.int32(BITS)
HALF = np.int32(1 << (BITS - 1))
DARKEST = np.int32(0)
BRIGHTEST = np.int32(255)

# How far a filter reaches to each side, in pixels of the coarser picture.
REACH = {
    Image.Resampling.BILINEAR: 1,
    Image.Resampling.BICUBIC: 2,
}


# --- compiled ------------------------------------------------------------------------------------


@njit("u4[:, ::1](u4[:, ::1], i8[::1], i4[:, ::1])", cache=True, nogil=True)
def weigh(pixels, first, weights):
    """(h, w) to (S, w): for each new row its `weights` of the rows from `first` on.

    The sums are rounded and clipped.
    """
    # Bytes side by side: every channel is weighed alike, the one without meaning, too.
    rows = pixels.view(np.uint8)
    out = np.empty((len(first), pixels.shape[1]), np.uint32)
    total = np.empty(rows.shape[1], np.int32)

    for y in range(len(first)):
        total[:] = HALF  # so that the shift rounds
        for k in range(weights.shape[1]):
            weight = weights[y, k]
            row = rows[first[y] + k]
            for x in range(len(total)):
                total[x] += weight * np.int32(row[x])

        new_row = out[y].view(np.uint8)
        for x in range(len(total)):
            new_row[x] = min(max(total[x] >> SHIFT, DARKEST), BRIGHTEST)
    return out


@njit("u1[:, :, ::1](u4[:, ::1])", cache=True, nogil=True)
def pack(pixels):
    """(h, w) to (h, w, 3)."""
    out = np.empty((*pixels.shape, 3), np.uint8)
    source = pixels.view(np.uint8).reshape(-1)
    target = out.reshape(-1)
    for i in range(pixels.size):
        target[3 * i] = source[4 * i]
        target[3 * i + 1] = source[4 * i + 1]
        target[3 * i + 2] = source[4 * i + 2]
    return out


@njit("u1[:, :, ::1](u1[:, :, ::1], f8, u1[::1])", cache=True, nogil=True)
def shear(pixels, amount, fill):
    """Image.transform's bicubic shear of (h, w, 3) to the left.

    amount: of a pixel a row. fill: (3,) the colour where nothing lies.
    """
    height, width, channels = pixels.shape
    out = np.empty_like(pixels)
    row = np.empty((width + 4, channels))  # the pixels at both ends stand there three times

    for y in range(height):
        row[2:-2] = pixels[y]
        row[:2] = row[2]
        row[-2:] = row[-3]
        for x in range(width):
            # The place in the row whose colour comes to x, measured to the middle of pixels.
            at = x + 0.5 + amount * (y + 0.5)
            inside = 0 <= at < width
            left = math.floor(at - 0.5) if inside else 0
            part = at - 0.5 - left
            i = np.uintp(left + 1)  # unsigned: numba need not think of indices from the end

            # Pillow's cubic through four neighbours, whose sums it truncates.
            for c in range(channels):
                p0 = row[i, c]
                p1 = row[i + np.uintp(1), c]
                p2 = row[i + np.uintp(2), c]
                p3 = row[i + np.uintp(3), c]
                cubic = p1 - p0 - p2 + p3
                square = 2 * (p0 - p1) + p2 - p3
                value = p1 + part * (p2 - p0 + part * (square + part * cubic))
                if inside:
                    out[y, x, c] = np.int32(min(max(value, 0.0), 255.0))
                else:
                    out[y, x, c] = fill[c]
    return out


@njit("u1[:, ::1](u1[:, ::1])", cache=True, nogil=True)
def smooth(rows):
    """ImageFilter.SMOOTH of (h, 3 w), whose border stays.

    5 times the middle and the 8 around it, over 13 (never a tie).
    """
    out = rows.copy()
    column = np.empty(rows.shape[1], np.int32)  # three pixels below each other, summed

    for y in range(1, len(rows) - 1):
        above = rows[y - 1]
        row = rows[y]
        below = rows[y + 1]
        new_row = out[y]
        for x in range(len(row)):
            column[x] = np.int32(above[x]) + np.int32(row[x]) + np.int32(below[x])
        for x in range(3, len(row) - 3):
            around = column[x - 3] + column[x] + column[x + 3]
            total = around + 4 * np.int32(row[x])
            # Rounded: (total + 6.5) / 13 in whole numbers.
            new_row[x] = np.uint32(2 * total + 13) // np.uint32(26)
    return out


# --- files and sizes -----------------------------------------------------------------------------


@lru_cache(1024)
def windows(size: int, side: int, method: Image.Resampling) -> tuple[np.ndarray, np.ndarray]:
    """How `side` pixels are made of `size`: windows of neighbours and their weights.

    Returns the first pixel that each new one sees (S,), and its weights (S, taps) in fixed point.
    The weights are Pillow's own: what it makes of single ones in an int32 picture, which it rounds
    as it does weights.
    """
    scale = size / side
    reach = REACH[method] * max(1, scale)
    taps = min(size, math.ceil(2 * reach))

    # Column j has a one in every row j, j + taps, ...: a window holds one of them at most.
    ones = np.zeros((size, taps), np.int32)
    pixels = np.arange(size)
    ones[pixels, pixels % taps] = 1 << BITS
    weights = np.asarray(Image.fromarray(ones).resize((taps, side), method))

    centre = (np.arange(side) + 0.5) * scale
    leftmost = (centre - reach + 0.5).astype(np.int64)
    first = np.clip(leftmost, 0, size - taps)

    # The weight of pixel j stands in column j % taps, wherever its window begins.
    seen = first[:, None] + np.arange(taps)
    return first, np.take_along_axis(weights, seen % taps, 1)


def read(image: Image.Image) -> np.ndarray:
    """(h, w) of a file just opened. What is unusual, as grey, CMYK or damage, is left to Pillow."""
    if image.format == "JPEG" and image.mode == "RGB":
        image.fp.seek(0)  # Pillow has read the head
        try:
            pixels = simplejpeg.decode_jpeg(image.fp.read(), "RGBX")
            return pixels.view(np.uint32)[..., 0]
        except ValueError:
            pass  # damaged: Pillow says what it can read of it
    pixels = np.array(image.convert("RGB").convert("RGBX"))
    return pixels.view(np.uint32)[..., 0]


def resize(pixels: np.ndarray, side: int, method: Image.Resampling) -> np.ndarray:
    """(h, w) to (S, S, 3).

    Pillow rounds after each direction, and since 13.0 goes down first where a picture is tall.
    """
    height, width = pixels.shape
    down_first = height > side and height - side > 2 * (width - side)

    if down_first:
        pixels = weigh(pixels, *windows(height, side, method))
    if width != side:
        pixels = weigh(pixels.T.copy(), *windows(width, side, method)).T.copy()
    if height != side and not down_first:
        pixels = weigh(pixels, *windows(height, side, method))
    return pack(pixels)


def _check_against_pillow() -> None:
    """ImportError for an older Pillow, which goes across first, or a processor that sums others."""
    for height, width in [(50, 9), (50, 30), (50, 40), (9, 50)]:
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        picture = Image.fromarray(noise)
        ours = resize(read(picture), 20, Image.Resampling.BICUBIC)
        if (ours != picture.resize((20, 20), Image.Resampling.BICUBIC)).any():
            raise ImportError("not this Pillow's pixels")


_check_against_pillow()
