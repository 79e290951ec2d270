"""The demo's data set: colour pictures composed from the handwritten digits that scikit-learn ships.

The 1,797 real digits (8 x 8 pixels; Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits) are divided
among the splits, so that no handwriting is in two of them. Small, but with what makes multi-label data hard: a long
tail of label frequencies, labels that come together, different sizes and places, partial overlap, a textured ground.
"""

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

from mlrepro.data.formats import Listing, table
from mlrepro.errors import InputError
from mlrepro.settings.data import DigitsData

CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SOURCE = "digits.csv.gz"
SIZE = 80  # pixels, width and height of a picture
DIGIT_SIZES = (16, 37)  # pixels, height of a digit: from, below
SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}  # of the handwritten digits
COUNT_SHARES = [0.25, 0.3, 0.22, 0.14, 0.09]  # of pictures with one to five digits
BY_FREQUENCY = [
    1,
    3,
    0,
    8,
    2,
    7,
    5,
    4,
    9,
    6,
]  # Zipf: the digit of rank r is drawn in proportion to 1 / r
PARTNERS = {3: 8, 8: 3, 1: 7, 7: 1}
PARTNER_SHARE = 0.5  # of the pictures that start with one of these and have room for the other
QUALITY = 90  # of the JPEG files


def read(settings: DigitsData, root: Path) -> Listing:
    """Writes root/<split>/<number>.jpg and describes them. The same settings give the same bytes."""
    rows = []
    handwriting = _handwriting(root / SOURCE, settings.seed)
    for stream, (split, (digits, values)) in enumerate(handwriting.items()):
        count = settings.pictures.get(split)
        if count is not None and count < 1:
            raise InputError(
                f"pictures.{split}: {count}; give a number above 0, or leave the split out"
            )
        (root / split).mkdir(exist_ok=True)
        for number in range(count or 0):
            # A generator a picture, of the kind whose draws numpy never changes: a larger count keeps the first ones.
            random = np.random.RandomState([settings.seed, stream, number])
            labels = _labels(random)
            picks = [digits[random.choice(np.flatnonzero(values == label))] for label in labels]
            image = f"{split}/{number:05d}.jpg"
            _compose(picks, random).save(root / image, quality=QUALITY)
            rows.append((image, split, split, sorted(labels), [], [], [_caption(labels, random)]))
    return table(rows), list(CLASSES)


def _handwriting(path: Path, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """split -> (n, 8, 8) grey values in 0..1 and (n,) the digits they show."""
    try:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.int64).reshape(-1, 65)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"{path}: not scikit-learn's table of digits ({error}); list it under `archives`"
        ) from None
    table = table[np.random.RandomState(seed).permutation(len(table))]
    ends = np.round(np.cumsum(list(SHARES.values())) * len(table)).astype(int)
    return {
        split: (part[:, :64].reshape(-1, 8, 8) / 16, part[:, 64])
        for split, part in zip(SHARES, np.split(table, ends[:-1]), strict=True)
    }


def _labels(random: np.random.RandomState) -> list[int]:
    """One to five different digits."""
    count = 1 + random.choice(len(COUNT_SHARES), p=COUNT_SHARES)
    zipf = 1 / np.arange(1, 11)
    labels = random.choice(BY_FREQUENCY, size=count, replace=False, p=zipf / zipf.sum()).tolist()
    partner = PARTNERS.get(labels[0])
    if count > 1 and partner and partner not in labels and random.rand() < PARTNER_SHARE:
        labels[1] = partner
    return labels


def _compose(digits: list[np.ndarray], random: np.random.RandomState) -> Image.Image:
    """Draws the digits, each with its own size, place, lean and colour, on a textured ground."""
    picture = _ground(random)
    covered = np.zeros((SIZE, SIZE), bool)
    dark = picture.mean() > 128
    for digit in digits:
        side = random.randint(*DIGIT_SIZES)
        stroke = Image.fromarray((digit * 255).astype(np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        stroke = stroke.rotate(random.uniform(-15, 15), Image.Resampling.BICUBIC)
        alpha = np.clip(np.asarray(stroke, np.float64) / 160, 0, 1)[..., None]
        places = random.randint(0, SIZE - side + 1, size=(12, 2))
        x, y = min(
            places.tolist(),
            key=lambda place: covered[place[1] : place[1] + side, place[0] : place[0] + side].sum(),
        )
        area = slice(y, y + side), slice(x, x + side)
        colour = random.randint(0, 110, 3) if dark else random.randint(145, 256, 3)
        picture[area] = picture[area] * (1 - alpha) + colour * alpha
        covered[area] = True
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def _ground(random: np.random.RandomState) -> np.ndarray:
    """(SIZE, SIZE, 3) values in 0..255: colour that changes slowly, with grain."""
    coarse = np.clip(random.choice([60, 195]) + random.randint(-40, 41, (5, 5, 3)), 0, 255).astype(
        np.uint8
    )
    smooth = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float64) + random.normal(0, 10, (SIZE, SIZE, 1))


def _caption(labels: list[int], random: np.random.RandomState) -> str:
    """Names some of the labels, never all of several, as a person who describes a picture does."""
    named = random.permutation(labels)[: random.randint(1, max(2, len(labels)))]
    words = [f"{'an' if label == 8 else 'a'} {CLASSES[label]}" for label in named]
    listed = " and ".join(([", ".join(words[:-1])] if words[:-1] else []) + words[-1:])
    return f"a picture with {listed}"
