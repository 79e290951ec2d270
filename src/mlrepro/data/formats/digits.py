"""The demo's data set: colour pictures composed from scikit-learn's handwritten digits.

The 1,797 real digits (8 x 8 pixels; Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten
Digits) are divided among the splits, so that no handwriting is in two of them. Small, but with what
makes multi-label data hard: a long tail of label frequencies, labels that come together, different
sizes and places, partial overlap, a textured ground.
"""

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

from mlrepro.data.formats.catalogue import Format
from mlrepro.data.formats.listing import ListedPicture, Listing
from mlrepro.errors import InputError
from mlrepro.settings.data import DigitsData

CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SOURCE = "digits.csv.gz"
SOURCE_SIDE = 8  # pixels, of a digit in the source
SOURCE_WHITE = 16  # its largest grey value

SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}  # of the handwritten digits
COUNT_SHARES = [0.25, 0.3, 0.22, 0.14, 0.09]  # of pictures with one to five digits
# From the commonest to the rarest: the digit of rank r is drawn in proportion to 1 / r (Zipf).
BY_FREQUENCY = [1, 3, 0, 8, 2, 7, 5, 4, 9, 6]
PARTNERS = {3: 8, 8: 3, 1: 7, 7: 1}
PARTNER_SHARE = 0.5  # of the pictures that start with one of these and have room for the other

SIZE = 80  # pixels, width and height of a picture
DIGIT_SIZES = (16, 37)  # pixels, height of a digit: from, below
PLACES = 12  # drawn for a digit; it goes where it covers least of those before it
LEAN = 15  # degrees, at most, to either side
INK = 160  # the grey value of a stroke, of 255, from which on it hides the ground
DARK_GROUND = 60  # grey values, around which a ground varies by less than GROUND_RANGE
LIGHT_GROUND = 195
GROUND_RANGE = 41
GRAIN = 10  # grey values, standard deviation
SMOOTH = Image.Resampling.BICUBIC
QUALITY = 90  # of the JPEG files


def read(settings: DigitsData, root: Path) -> Listing:
    """Write root/<split>/<number>.jpg and describe them. The same settings give the same bytes."""
    pictures = []
    handwriting = _handwriting(root / SOURCE, settings.seed)
    for stream, (split, (digits, values)) in enumerate(handwriting.items()):
        count = settings.pictures.get(split)
        if count is not None and count < 1:
            raise InputError(
                f"pictures.{split}: {count}; give a number above 0, or leave the split out"
            )
        (root / split).mkdir(exist_ok=True)

        for number in range(count or 0):
            # A generator a picture: with a larger count, the first ones stay as they are. It is of
            # the kind whose draws numpy never changes.
            random = np.random.RandomState([settings.seed, stream, number])
            labels = _draw_labels(random)
            drawn = [digits[random.choice(np.flatnonzero(values == label))] for label in labels]
            image = f"{split}/{number:05d}.jpg"
            _compose(drawn, random).save(root / image, quality=QUALITY)

            pictures.append(
                ListedPicture(
                    image=image,
                    part=split,
                    split=split,
                    labels=sorted(labels),
                    captions=[_caption(labels, random)],
                )
            )
    return Listing(pictures, list(CLASSES))


def _handwriting(path: Path, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split -> (n, 8, 8) grey values in 0..1, and (n,) the digits that they show."""
    pixels = SOURCE_SIDE * SOURCE_SIDE
    try:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.int64).reshape(-1, pixels + 1)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"{path}: not scikit-learn's table of digits ({error}); list it under `archives`"
        ) from None

    # Divided before anything is drawn: no handwriting that is trained on is ever tested on.
    table = table[np.random.RandomState(seed).permutation(len(table))]
    cumulated = np.cumsum(list(SHARES.values()))
    ends = np.round(cumulated * len(table)).astype(int)
    tables = dict(zip(SHARES, np.split(table, ends[:-1]), strict=True))

    handwriting = {}
    for split, rows in tables.items():
        digits = rows[:, :pixels].reshape(-1, SOURCE_SIDE, SOURCE_SIDE) / SOURCE_WHITE
        handwriting[split] = (digits, rows[:, pixels])
    return handwriting


def _draw_labels(random: np.random.RandomState) -> list[int]:
    """One to five different digits; with a partner of the first one more often than by chance."""
    count = 1 + random.choice(len(COUNT_SHARES), p=COUNT_SHARES)
    zipf = 1 / np.arange(1, len(BY_FREQUENCY) + 1)
    shares = zipf / zipf.sum()
    labels = random.choice(BY_FREQUENCY, size=count, replace=False, p=shares).tolist()

    # Labels that come together, as a knife and a fork do on photographs.
    partner = PARTNERS.get(labels[0])
    has_room = count > 1 and partner is not None and partner not in labels
    if has_room and random.rand() < PARTNER_SHARE:
        labels[1] = partner
    return labels


def _compose(digits: list[np.ndarray], random: np.random.RandomState) -> Image.Image:
    """Draw the digits, each with its own size, place, lean and colour, on a textured ground."""
    picture = _ground(random)
    covered = np.zeros((SIZE, SIZE), bool)
    ground_is_light = picture.mean() > 128

    for digit in digits:
        side = random.randint(*DIGIT_SIZES)
        opacity = _opacity(digit, side, random)
        area = _free_area(covered, side, random)
        covered[area] = True

        # Dark on light or light on dark, of any hue.
        if ground_is_light:
            colour = random.randint(0, 110, 3)
        else:
            colour = random.randint(145, 256, 3)
        picture[area] = picture[area] * (1 - opacity) + colour * opacity

    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def _opacity(digit: np.ndarray, side: int, random: np.random.RandomState) -> np.ndarray:
    """(side, side, 1) in 0..1: the digit's strokes, enlarged and leaning."""
    angle = random.uniform(-LEAN, LEAN)
    grey = Image.fromarray((digit * 255).astype(np.uint8))
    enlarged = grey.resize((side, side), SMOOTH)
    strokes = enlarged.rotate(angle, SMOOTH)

    opacity = np.asarray(strokes, np.float64) / INK
    return np.clip(opacity, 0, 1)[..., None]


def _free_area(
    covered: np.ndarray, side: int, random: np.random.RandomState
) -> tuple[slice, slice]:
    """The square, of some at random places, that covers least of what is there already."""
    places = random.randint(0, SIZE - side + 1, size=(PLACES, 2))
    areas = []
    for left, top in places.tolist():
        areas.append((slice(top, top + side), slice(left, left + side)))
    return min(areas, key=lambda area: covered[area].sum())


def _ground(random: np.random.RandomState) -> np.ndarray:
    """(SIZE, SIZE, 3) values in 0..255: a colour that changes slowly, with grain."""
    brightness = random.choice([DARK_GROUND, LIGHT_GROUND])
    colours = brightness + random.randint(1 - GROUND_RANGE, GROUND_RANGE, (5, 5, 3))
    coarse = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
    smooth = coarse.resize((SIZE, SIZE), SMOOTH)

    # The same grain for the three colours.
    grain = random.normal(0, GRAIN, (SIZE, SIZE, 1))
    return np.asarray(smooth, np.float64) + grain


def _caption(labels: list[int], random: np.random.RandomState) -> str:
    """Name some of the labels, never all of several, as a person who describes a picture does."""
    shuffled = random.permutation(labels)
    count = random.randint(1, max(2, len(labels)))
    words = [_with_article(CLASSES[label]) for label in shuffled[:count]]

    *others, last = words
    if others:
        return f"a picture with {', '.join(others)} and {last}"
    return f"a picture with {last}"


def _with_article(word: str) -> str:
    return f"an {word}" if word == "eight" else f"a {word}"


FORMAT = Format(read=read)
