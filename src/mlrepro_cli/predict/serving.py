"""A model as `mlflow models serve` runs it. Whoever can reach the server may send anything."""

import base64
import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas
from PIL import Image

from mlrepro.errors import InputError
from mlrepro_cli.predict.answer import READERS, predict
from mlrepro_cli.predict.model import load_model

# What people send; Pillow knows dozens more, some of which other programs would read for it.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

# Of a picture's file.
MOST_BYTES = 100_000_000

# data:image/png;base64,
DATA_ADDRESS = re.compile(r"data:[^,]{0,200},", re.IGNORECASE)
URL_SAFE = str.maketrans("-_", "+/")


class PostedPicture(io.BytesIO):
    """The bytes of a picture, which messages call by a name that tells nothing of this process."""

    def __repr__(self) -> str:
        return "the posted picture"

    __str__ = __repr__


class ServedModel:
    """Answers to rows with a column `image`: the base64 of a picture's file."""

    def __init__(self, folder: str):
        self._config, self._network = load_model(Path(folder))
        # For all requests together: each of its threads may hold a large picture.
        self._readers = ThreadPoolExecutor(READERS)

    def predict(self, rows: pandas.DataFrame) -> list[dict]:
        """An answer a row, whose `image` is the row's number."""
        images = rows["image"]

        def picture(row: int) -> PostedPicture:
            return read_picture(images.iloc[row])

        answers = predict(
            self._config, self._network, range(len(rows)), picture, readers=self._readers
        )
        return list(answers)


def read_picture(text: str) -> PostedPicture:
    """The file that base64 says, in lines or in one, safe for addresses or not, or a data: address.

    Raises ValueError or OSError for what is none, or larger than a server should read.
    """
    if not isinstance(text, str):
        raise InputError("no text; send the base64 of a picture's file")
    if len(text) > 2 * MOST_BYTES:
        raise InputError(f"{len(text)} letters, which are more than {MOST_BYTES} bytes")

    text = "".join(text.split())
    if text[:5].lower() == "data:":
        text = DATA_ADDRESS.sub("", text, count=1)

    # What fills the last four letters may be left out.
    text = text.translate(URL_SAFE).rstrip("=")
    text += "=" * (-len(text) % 4)

    content = base64.b64decode(text, validate=True)
    if len(content) > MOST_BYTES:
        raise InputError(f"{len(content)} bytes, and {MOST_BYTES} are the most")
    return posted_picture(content)


def posted_picture(content: bytes) -> PostedPicture:
    """The file of these bytes. Raises OSError where it is none of FORMATS, InputError for none."""
    if not content:
        raise InputError("nothing was sent; send a picture's file (to MLflow, its base64)")
    # Its header alone is read.
    with Image.open(PostedPicture(content), formats=FORMATS):
        return PostedPicture(content)
