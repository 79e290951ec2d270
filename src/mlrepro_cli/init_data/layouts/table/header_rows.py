"""The header of a text with a row a line: its first row, what the user says, or none.

Where it is missing, a list of pictures is known by its names, and all else is asked about.
"""

import re
from dataclasses import dataclass

from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import LabelFile
from mlrepro_cli.init_data.layouts.table.headers import PARTITION
from mlrepro_cli.init_data.layouts.table.pictures import Stems
from mlrepro_cli.init_data.split_words import split_word
from mlrepro_cli.pictures import is_picture

# What lists of pictures and their parts are called.
PARTS = re.compile("partition|split", re.IGNORECASE)


@dataclass
class Records:
    """Rows of fields, and the number of the line in which each ends."""

    rows: list[list[str]]
    lines: list[int]

    def drop_first(self) -> list[str]:
        self.lines.pop(0)
        return self.rows.pop(0)


def find_headers(file: LabelFile, records: Records) -> list[str]:
    """The first row, or what the user says. Raises Question where it is a picture's already."""
    given = file.answers.header
    if given:
        return list(given)

    first = records.rows[0]
    # A list of pictures, such as train.txt, needs no header.
    begins_with_name = _is_name(file, first[0]) or _are_numbers_of_pictures(file, records)
    is_list = all(len(row) == 1 for row in records.rows)
    if is_list and (begins_with_name or all(is_picture(row[0]) for row in records.rows)):
        return ["image"]
    if _is_of_parts(file, records):
        return ["image", "partition"]
    if begins_with_name or any(is_picture(field) for field in first):
        raise Question(
            f"{file.path}, line {records.lines[0]}: no header, the first line is of a picture "
            f"already ({', '.join(first[:4])}); write a line above it that names the columns, or "
            f"say their names: --header {','.join(_guessed_names(records))}"
            f"{_of_words(file, records)}"
        )
    return records.drop_first()


def _is_name(file: LabelFile, field: str) -> bool:
    """Whether a field of a text is the name of a picture that is there, without its suffix."""
    if not may_have_spaces(file) or field.isdecimal():
        return False
    return Stems(file.pictures).has(field)


def _are_numbers_of_pictures(file: LabelFile, records: Records) -> bool:
    """Whether the first fields of a text are long numbers, all of which pictures are called by."""
    if not may_have_spaces(file) or not all(row[0].isdecimal() for row in records.rows):
        return False
    stems = Stems(file.pictures)
    return all(stems.has_long_number(row[0]) for row in records.rows)


def _is_of_parts(file: LabelFile, records: Records) -> bool:
    """Whether it is a list of pictures and their parts, as CelebA's list_eval_partition.txt is."""
    if not PARTS.search(file.path.stem) or any(len(row) != 2 for row in records.rows):
        return False
    return all(is_picture(name) and part in PARTITION for name, part in records.rows)


def _guessed_names(records: Records) -> list[str]:
    """An example for the message: `image`, and `labels` where nothing else is left.

    That is one field, or as many as a picture has labels.
    """
    first = records.rows[0]
    names = []
    for number, field in enumerate(first, 1):
        name = "split" if split_word(field) else f"column{number}"
        names.append("image" if is_picture(field) else name)
    if "image" not in names:
        names[0] = "image"

    known = [name for name in names if not name.startswith("column")]
    vary = len(set(map(len, records.rows))) > 1
    if names[: len(known)] == known and (vary or len(names) == len(known) + 1):
        return [*known, "labels"]
    return names


def _of_words(file: LabelFile, records: Records) -> str:
    """A clause on texts whose rows are of several words; "" for others."""
    if not may_have_spaces(file) or len(set(map(len, records.rows))) < 2:
        return ""
    return ", or image,label where all that stands behind a picture is one label"


def may_have_spaces(file: LabelFile) -> bool:
    return ".txt" in file.path.suffixes[-2:]
