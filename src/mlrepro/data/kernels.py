"""Pictures' slowest steps by numba and libjpeg-turbo: Pillow's pixels to the bit, in a fraction of its time. Only
`augment.kernels` imports this. What is compiled is kept beside this file or in the user's cache.

A pixel is one uint32 (red, green, blue, a byte without meaning), unless a shape ends in 3.
"""

import math
from functools import lru_cache

import numpy as np
import simplejpeg
from numba import njit
from PIL import Image

BITS = 22  # of a weight's fraction in Pillow's Resample.c: times 255, it still fits 32 bits
HALF, LOW, HIGH, SHIFT = (np.int32(value) for value in (1 << (BITS - 1), 0, 255, BITS))
REACH = {
    Image.Resampling.BILINEAR: 1,
    Image.Resampling.BICUBIC: 2,
}  # of a filter to each side, in pixels of the coarser picture


@njit("u4[:, ::1](u4[:, ::1], i8[::1], i4[:, ::1])", cache=True, nogil=True)
def weigh(pixels, first, weights):
    """(h, w) to (S, w): for each new row its `weights` of the rows from `first` on, rounded and clipped."""
    rows, out = pixels.view(np.uint8), np.empty((len(first), pixels.shape[1]), np.uint32)
    total = np.empty(rows.shape[1], np.int32)
    for y in range(len(first)):
        total[:] = HALF
        for k in range(weights.shape[1]):
            weight, row = weights[y, k], rows[first[y] + k]
            for x in range(len(total)):
                total[x] += weight * np.int32(row[x])
        done = out[y].view(np.uint8)
        for x in range(len(total)):
            done[x] = min(max(total[x] >> SHIFT, LOW), HIGH)
    return out


@njit("u1[:, :, ::1](u4[:, ::1])", cache=True, nogil=True)
def pack(pixels):
    """(h, w) to (h, w, 3)."""
    out = np.empty((*pixels.shape, 3), np.uint8)
    source, target = pixels.view(np.uint8).reshape(-1), out.reshape(-1)
    for i in range(pixels.size):
        target[3 * i], target[3 * i + 1], target[3 * i + 2] = (
            source[4 * i],
            source[4 * i + 1],
            source[4 * i + 2],
        )
    return out


@njit("u1[:, :, ::1](u1[:, :, ::1], f8, u1[::1])", cache=True, nogil=True)
def shear(pixels, amount, fill):
    """Image.transform's bicubic shear of (h, w, 3) to the left, by `amount` of a pixel a row; `fill` (3,) where nothing lies."""
    height, width, channels = pixels.shape
    out, row = (
        np.empty_like(pixels),
        np.empty((width + 4, channels)),
    )  # of a row, the ends are repeated
    for y in range(height):
        row[2:-2] = pixels[y]
        row[:2], row[-2:] = row[2], row[-3]
        for x in range(width):
            at = x + 0.5 + amount * (y + 0.5)
            inside = 0 <= at < width
            left = math.floor(at - 0.5) if inside else 0
            part, i = at - 0.5 - left, np.uintp(left + 1)  # unsigned: never counted from the end
            for c in range(channels):
                a, b, d, e = (
                    row[i, c],
                    row[i + np.uintp(1), c],
                    row[i + np.uintp(2), c],
                    row[i + np.uintp(3), c],
                )
                value = b + part * (d - a + part * (2 * (a - b) + d - e + part * (b - a - d + e)))
                out[y, x, c] = np.int32(min(max(value, 0.0), 255.0)) if inside else fill[c]
    return out


@njit("u1[:, ::1](u1[:, ::1])", cache=True, nogil=True)
def smooth(rows):
    """ImageFilter.SMOOTH of (h, 3 w), whose border stays: 5 times the middle and the 8 around, over 13 (never a tie)."""
    out, column = rows.copy(), np.empty(rows.shape[1], np.int32)
    for y in range(1, len(rows) - 1):
        above, row, below, done = rows[y - 1], rows[y], rows[y + 1], out[y]
        for x in range(len(row)):
            column[x] = np.int32(above[x]) + np.int32(row[x]) + np.int32(below[x])
        for x in range(3, len(row) - 3):
            total = column[x - 3] + column[x] + column[x + 3] + 4 * np.int32(row[x])
            done[x] = np.uint32(2 * total + 13) // np.uint32(26)
    return out


@lru_cache(1024)
def windows(size: int, side: int, method: Image.Resampling) -> tuple[np.ndarray, np.ndarray]:
    """From `size` pixels to `side`: the first that each new one sees (S,), and its weights (S, taps) in fixed point. They are
    Pillow's own: what it makes of single ones in an int32 picture, which it rounds as it does weights."""
    reach = REACH[method] * max(1, size / side)
    taps = min(size, math.ceil(2 * reach))
    ones = np.zeros((size, taps), np.int32)
    ones[np.arange(size), np.arange(size) % taps] = 1 << BITS
    found = np.asarray(Image.fromarray(ones).resize((taps, side), method))
    first = np.clip(
        ((np.arange(side) + 0.5) * (size / side) - reach + 0.5).astype(np.int64), 0, size - taps
    )
    return first, np.take_along_axis(found, (first[:, None] + np.arange(taps)) % taps, 1)


def read(image: Image.Image) -> np.ndarray:
    """(h, w) of a file just opened. What is unusual, as grey, CMYK or damage, is left to Pillow."""
    if (image.format, image.mode) == ("JPEG", "RGB"):
        image.fp.seek(0)
        try:
            return simplejpeg.decode_jpeg(image.fp.read(), "RGBX").view(np.uint32)[..., 0]
        except ValueError:
            pass
    return np.array(image.convert("RGB").convert("RGBX")).view(np.uint32)[..., 0]


def resize(pixels: np.ndarray, side: int, method: Image.Resampling) -> np.ndarray:
    """(h, w) to (S, S, 3). Pillow rounds after each direction, and since 13.0 goes down first where a picture is tall."""
    height, width = pixels.shape
    if down_first := height > side and height - side > 2 * (width - side):
        pixels = weigh(pixels, *windows(height, side, method))
    if width != side:
        pixels = weigh(pixels.T.copy(), *windows(width, side, method)).T.copy()
    if height != side and not down_first:
        pixels = weigh(pixels, *windows(height, side, method))
    return pack(pixels)


for height, width in (
    (50, 9),
    (50, 30),
    (50, 40),
    (9, 50),
):  # an older Pillow's order, or a processor whose sums are others
    picture = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    )
    if (
        resize(read(picture), 20, Image.Resampling.BICUBIC)
        != picture.resize((20, 20), Image.Resampling.BICUBIC)
    ).any():
        raise ImportError("not this Pillow's pixels")
