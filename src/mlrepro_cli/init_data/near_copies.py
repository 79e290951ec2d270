"""Near copies: pictures that were scaled, compressed again, brightened, made grey or mirrored.

A difference hash (dHash, N. Krawetz 2013) notes of an 8 x 8 grid whether grey grows to the right
and downwards: 128 bits. Pictures whose hashes share a 16-bit band are compared, so that all within
seven bits are found without comparing each with each; of these, thumbnails decide. Mirror images
are compared like further pictures.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from mlrepro.cores import worker_threads
from mlrepro.data.appearance import flat, orientation, turned
from mlrepro.data.picture_formats import open_picture
from mlrepro.data.picture_names import picture_file
from mlrepro.progress import progress_bar

GRID = 8
BANDS = 8
# Bits by which near copies differ at most, and how much alike their thumbnails are at least.
MOST_BITS = 16
LEAST_CORRELATION = 0.98
SIDE = 16
# Of red, green and blue, as formats and people make grey of them (ITU-R BT.601).
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
# Grey levels by which a thumbnail varies at least: a blank page is like every other.
LEAST_CONTRAST = 2.0
# Of a band that so many pictures share, as blank ones do, each is compared with the first only.
LARGEST_BUCKET = 300


def near_copies(root: Path, images: list[str]) -> np.ndarray:
    """(pairs, 2) places of pictures that show the same, each with one that stands before it."""
    with ThreadPoolExecutor(worker_threads()) as pool:
        looks = pool.map(lambda image: _thumbnail(picture_file(root, image)), images)
        looks = progress_bar(looks, desc="near copies", total=len(images), unit="picture")
        thumbnails = np.array(list(looks), np.uint8).reshape(-1, SIDE, SIDE, 3)

    # Behind the pictures, their mirror images: of a pair of these, the pictures are a pair already.
    count = len(thumbnails)
    with_mirrored = np.concatenate([thumbnails, thumbnails[:, :, ::-1]])
    hashes = _hashes(with_mirrored)
    candidates = np.unique(_candidates(hashes), axis=0)
    candidates = candidates[candidates[:, 0] < count]

    first, second = hashes[candidates.T]
    differing_bits = np.bitwise_count(first ^ second).sum(1)
    candidates = candidates[differing_bits <= MOST_BITS]
    pairs = candidates[_alike(with_mirrored, candidates)] % max(1, count)

    # A picture may be like its own mirror image, and each of two like the other's.
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


def _thumbnail(file: Path) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8, upright."""
    with open_picture(file) as image:
        # JPEG is decoded at an eighth of its size where that is enough.
        image.draft("RGB", (4 * SIDE, 4 * SIDE))
        turn = orientation(image, "shown")
        small = flat(image, "shown").convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return turned(np.asarray(small), turn)


def _hashes(thumbnails: np.ndarray) -> np.ndarray:
    """(N, BANDS) uint16 of (N, SIDE, SIDE, 3)."""
    grey = thumbnails @ LUMINANCE
    step = SIDE // GRID
    cells = grey.reshape(-1, GRID, step, GRID, step).mean((2, 4))

    # Each cell and the next, around the edge: the last is compared with the first.
    to_right = np.roll(cells, -1, axis=2) > cells
    downwards = np.roll(cells, -1, axis=1) > cells
    bits = np.concatenate([to_right, downwards], axis=1).reshape(len(cells), -1)
    return np.packbits(bits, axis=1).view(np.uint16)


def _candidates(hashes: np.ndarray) -> np.ndarray:
    """(pairs, 2) places, the smaller first, of pictures that share a band, some repeatedly."""
    pairs = [np.empty((0, 2), np.int64)]
    for band in hashes.T:
        # Pictures of one bucket lie side by side, in their order.
        by_band = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[by_band], prepend=-1))
        for bucket in np.split(by_band, starts[1:]):
            first, second = np.triu_indices(min(len(bucket), LARGEST_BUCKET), 1)
            pairs.append(np.stack([bucket[first], bucket[second]], 1))

            rest = bucket[LARGEST_BUCKET:]
            first_of_bucket = np.broadcast_to(bucket[:1], rest.shape)
            pairs.append(np.stack([first_of_bucket, rest], 1))
    return np.concatenate(pairs)


def _alike(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(pairs,) bool: whether it is light and dark at the same places of both."""
    grey = (thumbnails @ LUMINANCE).reshape(len(thumbnails), -1)
    centred = grey - grey.mean(1, keepdims=True)
    contrast = centred.std(1)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    centred /= lengths.clip(1e-6)  # a blank one has none

    # Of each pair, the product of the two: the correlation, of centred vectors of length 1.
    first, second = centred[pairs.T]
    correlation = np.einsum("ij,ij->i", first, second)
    is_varied = (contrast[pairs] >= LEAST_CONTRAST).all(1)
    return (correlation >= LEAST_CORRELATION) & is_varied
