"""Names of labels that stand in a file of their own: of ids, as Open Images has, or of numbers."""

import json
import re
from collections.abc import Collection, Iterable, Iterator

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import LabelFile
from mlrepro_cli.init_data.layouts.table.headers import is_any, is_label_number, label_family
from mlrepro_cli.init_data.layouts.table.listing import Listed
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.pictures import is_picture

# /m/01g317, of Google's knowledge graph.
MACHINE_ID = re.compile(r"/[mgt]/\w+")
# Of a column of names, and of a table of classes, whose numbers may be headed `id`.
NAME_WORDS = frozenset("name names description title".split())
OF_CLASSES = re.compile("class|label|categor|legend|species|breed", re.IGNORECASE)
# Keys of JSON below which names stand in the order of their numbers.
NAME_KEYS = ("classes", "class_names", "label_names", "labels", "names", "categories")
DEEPEST = 4
# A name a line, the first of which is that of class 0.
LISTS = ("classes.txt", "class_names.txt", "labels.txt", "label_names.txt", "names.txt")
# `0 cat`, `0: cat` or `0,cat`: a line of a list that says the numbers itself; or `cat 0`.
NUMBERED_LINES = (
    re.compile(r"(?P<number>\d+)(?:\s*[:,;=]\s*|\s+)(?P<name>\S.*)"),
    re.compile(r"(?P<name>.*\S)(?:\s*[:,;=]\s*|\s+)(?P<number>\d+)"),
)
MOST_BYTES = 1_000_000
SHOWN = 4

NumberedNames = dict[str, str]


# ---- Ids -----------------------------------------------------------------------------------------


def is_class_names(sheet: Sheet) -> bool:
    """A table of two columns, ids and names, with or without a header."""
    return len(sheet.headers) == 2 and all(MACHINE_ID.fullmatch(row[0]) for row in sheet.rows)


def read_class_names(sheets: list[Sheet]) -> dict[str, str]:
    """By id."""
    names = {}
    for sheet in sheets:
        rows = sheet.rows
        if MACHINE_ID.fullmatch(sheet.headers[0]):
            rows = [sheet.headers, *rows]
        names |= dict(rows)
        print(f"{sheet.file.path}: the names of {len(rows)} labels")
    return names


def name_labels(pictures: dict[str, Listed], names: dict[str, str]) -> None:
    """Puts names in the place of ids that have one."""
    for listed in pictures.values():
        listed.states = {names.get(label, label): state for label, state in listed.states.items()}


# ---- Numbers -------------------------------------------------------------------------------------


def is_numbered_names(sheet: Sheet) -> bool:
    """A table of two columns, class_id and class_name or the like, with a row a class."""
    return len(sheet.headers) == 2 and _numbers_and_names(sheet) is not None


def _numbers_and_names(sheet: Sheet) -> tuple[str, str] | None:
    """The headers of both."""
    for number, name in (sheet.headers, sheet.headers[::-1]):
        numbers, names = sheet.column(number), sheet.column(name)
        are_different = len(set(numbers)) == len(set(names)) == len(sheet.rows)
        are_classes = all(map(str.isdecimal, numbers)) and not any(map(str.isdecimal, names))
        says_numbers = is_label_number(number) or label_family(number) is not None
        is_headed = is_label_number(number) or (says_numbers and is_any(name, NAME_WORDS))
        is_called = OF_CLASSES.search(sheet.title) is not None and is_any(name, NAME_WORDS)
        are_pictures = any(map(is_picture, names))
        if are_different and are_classes and (is_headed or is_called) and not are_pictures:
            return number, name
    return None


def name_numbers(
    pictures: dict[str, Listed],
    sheets: list[Sheet],
    files: Iterable[LabelFile],
    read: Collection[str] = (),
) -> None:
    """Puts names in the place of labels that are all numbers, where one file names all of them.

    sheets: of is_numbered_names. files: of which a JSON object or a list may name classes. read:
    places of those with the labels themselves; JSON may name classes there, too, below a key of
    their own. Raises Question where two files name them differently.
    """
    labels = {label for listed in pictures.values() for label in listed.states}
    if not labels or not all(map(str.isdecimal, labels)):
        return
    found = numbered_names(labels, sheets, files, read)
    if found is None:
        shown = ", ".join(sorted(labels, key=int)[:SHOWN])
        print(
            f"Labels are numbers ({shown}, ...), and no file names them; a table beside, headed "
            "class_id,class_name, would"
        )
        return

    file, names = found
    print(say_names(file, names, labels))
    name_labels(pictures, names)


def numbered_names(
    labels: Collection[str],
    sheets: list[Sheet],
    files: Iterable[LabelFile],
    read: Collection[str] = (),
) -> tuple[LabelFile, NumberedNames] | None:
    """The first file that names all of these numbers; the arguments are those of name_numbers.

    Raises Question where two files name them differently.
    """
    found = [
        (file, names)
        for file, names in [*_of_sheets(sheets), *_of_files(files, read)]
        if set(labels) <= set(names)
    ]
    for other, other_names in found[1:]:
        file, names = found[0]
        if any(names[label] != other_names[label] for label in labels):
            raise Question(
                f"{file.path} and {other.path} name the numbers of labels differently; move one of "
                "them away"
            )
    return found[0] if found else None


def say_names(file: LabelFile, names: NumberedNames, labels: Collection[str]) -> str:
    """A line with the first names."""
    shown = ", ".join(f"{label} is {names[label]}" for label in sorted(labels, key=int)[:SHOWN])
    return f"{file.path}: the names of labels, which are numbers: {shown}"


def _of_sheets(sheets: list[Sheet]) -> Iterator[tuple[LabelFile, NumberedNames]]:
    for sheet in sheets:
        number, name = _numbers_and_names(sheet)
        yield sheet.file, dict(zip(sheet.column(number), sheet.column(name), strict=True))


def _of_files(
    files: Iterable[LabelFile], read: Collection[str]
) -> Iterator[tuple[LabelFile, NumberedNames]]:
    for file in files:
        name = file.path.name.lower()
        is_json = name.endswith(".json")
        says_labels = file.place in read
        if not is_json and (says_labels or not _may_list_classes(file)):
            continue
        if not says_labels and file.path.stat().st_size > MOST_BYTES:
            continue

        try:
            text = read_text(file.path, "")
            names = _of_json(json.loads(text), says_labels) if is_json else _of_lines(name, text)
        except (InputError, ValueError, RecursionError):
            continue  # what is damaged is told where it is read for labels
        if names:
            yield file, names


def _of_json(content: object, says_labels: bool) -> NumberedNames:
    """says_labels: whether it names pictures with their labels, and classes beside them at best."""
    names = {} if says_labels else _of_object(content)
    return names or _below_a_key(content)


def _of_object(content: object) -> NumberedNames:
    """Of {"0": "cat"}, {"cat": 0} or ["cat", "dog"]; nothing of others."""
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return {str(number): name for number, name in enumerate(content)}
    if not isinstance(content, dict):
        return {}

    pairs = [(str(key), str(value)) for key, value in content.items()]
    if all(isinstance(value, int) and value is not True for value in content.values()):
        pairs = [(number, name) for name, number in pairs]
    elif not all(isinstance(value, str) for value in content.values()):
        return {}

    names = dict(pairs)
    has_each_number_once = len(names) == len(pairs)
    return names if has_each_number_once and all(map(str.isdecimal, names)) else {}


def _below_a_key(content: object, depth: int = 0) -> NumberedNames:
    """Of {"metainfo": {"classes": ["cat", "dog"]}, ...}, however deep; else nothing."""
    if not isinstance(content, dict) or depth > DEEPEST:
        return {}
    for key, value in content.items():
        names = _of_object(value) if key.lower() in NAME_KEYS else _below_a_key(value, depth + 1)
        are_different = len(set(names.values())) == len(names)
        if names and are_different and not all(map(str.isdecimal, names.values())):
            return names
    return {}


def _may_list_classes(file: LabelFile) -> bool:
    """Whether a text is called as lists of classes are, `style_class.txt` among them."""
    name = file.path.name.lower()
    return name in LISTS or (name.endswith(".txt") and OF_CLASSES.search(name) is not None)


def _of_lines(file_name: str, text: str) -> NumberedNames:
    """A name a line, with its number before it or else in the order of the numbers from 0.

    Nothing of a list of pictures.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(is_picture(line.split()[0]) for line in lines):
        return {}

    numbered = _of_numbered_lines(lines)
    if numbered or file_name not in LISTS:
        return numbered
    return {str(number): name for number, name in enumerate(lines)}


def _of_numbered_lines(lines: list[str]) -> NumberedNames:
    """Of lines that all begin or end with a number of their own, from 0 or 1; else nothing.

    `2 euro` beside `5 euro` is a name.
    """
    for form in NUMBERED_LINES:
        matches = [form.fullmatch(line) for line in lines]
        if lines and all(matches):
            return _counted_up(matches)
    return {}


def _counted_up(matches: list[re.Match]) -> NumberedNames:
    names = {int(match["number"]): match["name"] for match in matches}

    first = min(names)
    has_each_once = sorted(names) == list(range(first, first + len(matches)))
    are_different = len(set(names.values())) == len(matches)
    if first > 1 or not has_each_once or not are_different:
        return {}
    return {str(number): name for number, name in names.items()}
