"""Which column names the pictures."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from itertools import islice

from mlrepro_cli.init_data.answers import Answers, Question
from mlrepro_cli.init_data.layouts.table.headers import (
    GROUP_WORDS,
    IMAGE_WORDS,
    OTHER_PICTURE_WORDS,
    is_any,
    is_label_number,
)
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.name_forms import (
    is_address,
    is_picture_name,
    stem,
    without_decimals,
)

# Of so many cells it is seen whether a column names pictures.
SAMPLE = 1000
# So many pictures are named where an id is the beginning of each.
SHOWN = 3
MOST = 1 / 2
NEARLY_ALL = 0.9
# So many digits hardly stand for something else.
LONG = 5


class Stems:
    """The pictures that there are, by their names without folders and suffix."""

    def __init__(self, pictures: Sequence[str]):
        self._stems = {_last_part(picture).casefold() for picture in pictures}
        self._numbers = {int(name) for name in self._stems if name.isdecimal()}

    def has(self, name: str) -> bool:
        last = _last_part(name).casefold()
        # 7 may be 007.jpg.
        return last in self._stems or (last.isdecimal() and int(last) in self._numbers)

    def has_long_number(self, name: str) -> bool:
        """A number that is hardly a picture's by chance."""
        return name.isdecimal() and len(name) >= LONG and name in self._stems

    def beginning_with(self, name: str) -> list[str]:
        """The names that go on behind a mark, as 0a_red and 0a_green for 0a; none for a number."""
        start = _last_part(name).casefold()
        if not start or start.isdecimal():
            return []
        place = bisect_left(self._sorted, start)
        found = []
        while place < len(self._sorted) and self._sorted[place].startswith(start):
            if not self._sorted[place][len(start) :][:1].isalnum():
                found.append(self._sorted[place])
            place += 1
        return found

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._stems)


def find_picture_columns(sheet: Sheet, stems: Stems, answers: Answers) -> tuple[str, ...]:
    """None for a table without any. Raises Question where several columns could be meant."""
    if answers.image_columns:
        return tuple(header for header in answers.image_columns if header in sheet.headers)

    named = [header for header in sheet.headers if _share(sheet, header, is_picture_name) > MOST]
    if not named or all(_is_of_addresses(sheet, header, stems) for header in named):
        bare = [header for header in sheet.headers if _has_bare_names(sheet, header, stems)]
        named = bare or named
    if len(named) > 1:
        named = _without_other_pictures(named)
    if len(named) > 1:
        named = _longest_of_same(sheet, named)
    if len(named) == len(sheet.headers) > 1:
        # Old names and new ones, say, and no label.
        return ()
    if len(named) > 1:
        options = " or ".join(f"--image-column {header!r}" for header in named)
        raise Question(
            f"{sheet.file.path}: {len(named)} columns name pictures, {', '.join(named)}; say which "
            f"the labels are about: {options}; several where the labels are those of each"
        )
    return tuple(named)


def longer_names(sheet: Sheet, stems: Stems) -> str:
    """A clause where pictures are called as cells are and more, as 0a_red is for 0a; else ""."""
    for header in sheet.headers:
        cells = sheet.filled(header)
        # Labels, which names of pictures may begin with, come up again and again.
        are_ids = len(set(cells)) > MOST * len(cells)
        if are_ids and _share(sheet, header, lambda cell: bool(stems.beginning_with(cell))) > MOST:
            cell = next(filter(stems.beginning_with, cells))
            names = ", ".join(stems.beginning_with(cell)[:SHOWN])
            return (
                f"; column {header!r} holds {cell!r}, and pictures are called {names}: write a row "
                "a picture, with the name of its file"
            )
    return ""


def _share(sheet: Sheet, header: str, is_name) -> float:
    cells = list(islice(sheet.filled(header), SAMPLE))
    return sum(is_name(cell) for cell in cells) / max(1, len(cells))


def _has_bare_names(sheet: Sheet, header: str, stems: Stems) -> bool:
    """Whether pictures are called as its cells are, but for the suffix."""
    # Of class_id.
    if is_label_number(header):
        return False
    share = _share(sheet, header, stems.has)
    if is_any(header, IMAGE_WORDS):
        return share > 0
    # Small numbers are names of pictures by chance.
    are_numbers = all(without_decimals(cell).isdecimal() for cell in sheet.filled(header))
    return share >= NEARLY_ALL and not are_numbers


def _is_of_addresses(sheet: Sheet, header: str, stems: Stems) -> bool:
    """Whether its cells are addresses of pictures that are called otherwise here."""
    return _share(sheet, header, is_address) > MOST and not _share(sheet, header, stems.has)


def _without_other_pictures(headers: list[str]) -> list[str]:
    """Without masks, and numbers of patients that pictures happen to have, if something is left."""
    others = OTHER_PICTURE_WORDS | GROUP_WORDS
    return [header for header in headers if not is_any(header, others)] or headers


def _longest_of_same(sheet: Sheet, headers: list[str]) -> list[str]:
    """Of columns that name the same pictures, the one that says most of their folders."""
    lengths = {}
    names = []
    for header in headers:
        cells = sheet.column(header)
        names.append([_last_part(cell) for cell in cells])
        lengths[header] = sum(len(cell) for cell in cells)

    if any(of_column != names[0] for of_column in names):
        return headers
    return [max(headers, key=lengths.get)]


def _last_part(name: str) -> str:
    """Without folders and the suffix of a picture."""
    return stem(without_decimals(name.replace("\\", "/").rpartition("/")[2]))
