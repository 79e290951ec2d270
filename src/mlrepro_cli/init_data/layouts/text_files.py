"""A text a picture, `1.txt` beside `1.jpg`, with its labels: only where the user says so.

Such a text may be a caption as well, which has commas, too.
"""

from collections.abc import Iterator

from mlrepro.data.formats import read_text
from mlrepro_cli.init_data.layouts.rows import LabelRow, UserFolder
from mlrepro_cli.init_data.layouts.yolo import texts_of_pictures
from mlrepro_cli.init_data.split_words import split_in_path

NAME = "a text of labels a picture"
OPTION = "texts"
# What stands between labels, unless the user says it; a line's end does so, too.
SEPARATOR = ","


def read(folder: UserFolder) -> Iterator[LabelRow]:
    """A row a label of each picture that has a text. A picture with an empty one has no label."""
    if folder.answers.layout != OPTION:
        return
    separator = folder.answers.separator or SEPARATOR
    for picture, file in texts_of_pictures(folder).items():
        text = read_text(file.path, "").replace("\n", separator)
        labels = {label.strip() for label in text.split(separator)} - {""}
        split = split_in_path(picture.rpartition("/")[0])
        for label in sorted(labels) or [""]:
            yield LabelRow(picture, split, label, source=file.place)


def hint(folder: UserFolder) -> list[str]:
    """A clause where there are such texts."""
    texts = texts_of_pictures(folder)
    if not texts:
        return []
    return [
        f"{len(texts)} texts are called as their pictures are: if they hold labels with commas "
        f"between them, say --layout {OPTION}"
    ]
