"""Small copies of pictures that a page cannot show as they are, or only slowly."""

from pathlib import Path

import numpy as np
from PIL import Image

from mlrepro.data.appearance import flat, orientation, turned
from mlrepro.data.picture_formats import open_picture

# What every browser shows.
SHOWN_BY_BROWSERS = (".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".webp", ".avif")
# Of a file: larger ones, of which a page shows hundreds, take long to decode.
MOST_BYTES = 400_000
SIDE = 320
# The first of a page, which are decoded in about a minute; the others are shown as they are.
MOST = 3000


class Thumbnails:
    """JPEG files in a folder of their own, made on demand."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._made = 0

    def of(self, picture: Path) -> Path | None:
        """A small copy of a picture. None where a page can show the picture, or nobody can."""
        if self._made >= MOST or not _needs_one(picture):
            return None

        target = self._folder / f"{self._made}.jpg"
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            _write(picture, target)
        except Exception:
            # Decoders raise whatever damaged files lead them to. The page then shows the name.
            return None
        self._made += 1
        return target


def _needs_one(picture: Path) -> bool:
    """Raises nothing: what cannot be opened has none, and the page shows its name."""
    suffix = picture.suffix.lower()
    if suffix not in SHOWN_BY_BROWSERS:
        return True
    try:
        if picture.stat().st_size > MOST_BYTES:
            return True
        if suffix != ".png":
            return False
        # Grey of 12 bits in a file of 16 is black to a browser.
        with open_picture(picture) as image:
            return image.mode.startswith("I")
    except OSError:
        return False


def _write(picture: Path, target: Path) -> None:
    with open_picture(picture) as image:
        image.draft("RGB", (SIDE, SIDE))  # of a JPEG: decoded smaller
        turn = orientation(image, "shown")
        small = flat(image, "shown").convert("RGB")
    small.thumbnail((SIDE, SIDE))
    upright = turned(np.asarray(small), turn)
    Image.fromarray(upright).save(target, quality=85)
