"""Lists of a part's pictures, `train.txt` and `test.txt`, beside files or folders of labels.

Behind a picture may stand the number of its class, as Caffe has it, or its file of labels, as
PaddleDetection has it: what says the labels is read elsewhere.
"""

import re

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.found_names import Names
from mlrepro_cli.init_data.layouts.picture_lists import SUFFIX, lists_of_pictures
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder
from mlrepro_cli.init_data.split_words import split_word
from mlrepro_cli.pictures import is_picture

# It repeats train and val: a picture is of the first part that lists it.
BOTH = "trainval"
# A picture's name, and behind it a number or a file of labels.
WITH_LABEL = re.compile(r"(?P<name>\S.*?)[\s,]+(\d+|\S+\.(xml|json|txt|png))$", re.IGNORECASE)


def with_parts_of_lists(folder: UserFolder, rows: list[LabelRow], names: Names) -> list[LabelRow]:
    """The rows in the parts that lists say, where nothing else says a part.

    Only where lists are of two parts at least. Raises Question for a picture in two.
    """
    if folder.answers.split_column == "" or any(row.split for row in rows):
        return rows
    lists = [*lists_of_pictures(folder), *_lists_with_labels(folder)]
    lists = [(file, listed) for file, listed in lists if _part(file)]
    lists.sort(key=lambda entry: entry[0].path.stem == BOTH)

    place_of: dict[str, LabelFile] = {}
    for file, listed in lists:
        for name in listed:
            picture = names.picture(name, file)
            first = place_of.setdefault(picture, file)
            if _part(first) != _part(file) and file.path.stem != BOTH:
                raise Question(
                    f"{file.path}: {picture} is of {_part(file)} here, and of {_part(first)} in "
                    f"{first.path}; take it out of one of them, or say --split-column '' to draw "
                    "others"
                )

    parts = {row.image: _part(place_of[row.image]) for row in rows if row.image in place_of}
    if len(set(parts.values())) < 2:
        return rows
    places = ", ".join(sorted({place_of[image].place for image in parts}))
    folder.note(
        f"{places}: the parts of {len(parts)} pictures; to draw others, say --split-column ''"
    )
    return [row._replace(split=parts.get(row.image, "")) for row in rows]


def _lists_with_labels(folder: UserFolder) -> list[tuple[LabelFile, list[str]]]:
    """Of texts that are called as a part, those with a picture and its label in each line."""
    found = []
    for file in folder.files:
        if not (file.place.lower().endswith(SUFFIX) and _part(file)):
            continue
        try:
            lines = [line.strip() for line in read_text(file.path, "").splitlines()]
        except InputError:
            continue  # what is no text lists no pictures
        matches = [WITH_LABEL.match(line) for line in lines if line]
        if matches and all(match and is_picture(match["name"]) for match in matches):
            found.append((file, [match["name"] for match in matches if match]))
    return found


def _part(file: LabelFile) -> str:
    """train, val or test, by the file's own name: `train.txt`, `test_list.txt`."""
    return split_word(file.path.stem) or file.split
