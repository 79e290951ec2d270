"""Reads each kind of layout that a user's folder has, and tells of files that cannot be read."""

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from mlrepro.errors import InputError
from mlrepro.files import is_something_else, refuse_something_else
from mlrepro_cli.init_data.found_names import Names
from mlrepro_cli.init_data.layouts import (
    FILE_LAYOUTS,
    JSON_LAYOUTS,
    LAYOUTS,
    LINE_LAYOUTS,
    SET_LAYOUTS,
    coco,
    other_tools,
)
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder
from mlrepro_cli.init_data.layouts.table.records import as_records, parse
from mlrepro_cli.init_data.layouts.table.text import decode
from mlrepro_cli.init_data.name_forms import stem
from mlrepro_cli.pictures import SUFFIXES

# A damaged or unknown JSON file is worth an error or a word where it names pictures.
PICTURE_IN_TEXT = re.compile("|".join(re.escape(suffix) for suffix in SUFFIXES), re.IGNORECASE)
# In JSON, without its folders and suffix.
PICTURE_NAME = re.compile(rf'([^"/\\]+)(?:{PICTURE_IN_TEXT.pattern})"', re.IGNORECASE)
HEAD = 1 << 20
LISTS = ".txt"
UNKNOWN_KIND = "JSON of a kind that is not known here"
# Files of a JSON object a line.
LINES = (".jsonl", ".ndjson", ".manifest")


def read_label_files(folder: UserFolder, names: Names) -> dict[str, list[LabelRow]]:
    """Rows by the layout's name for `--layout`. Layouts without a row are left out."""
    only = folder.answers.layout
    if only is not None and only not in LAYOUTS:
        raise InputError(f"--layout {only}: not one of {', '.join(LAYOUTS)}; give one of these")

    found = _read_sets(folder, only)
    # Lists and texts that belong to one of these are no tables.
    claimed = {row.source for rows in found.values() for row in rows}
    files = [file for file in folder.files if file.place not in claimed]
    if found:
        files = [file for file in files if not file.place.lower().endswith(LISTS)]

    others = []
    for file in files:
        rows = None
        if file.place.lower().endswith(".json"):
            rows = _read_json(folder, file, only)
        elif file.place.lower().endswith(LINES):
            rows = _read_lines(file, only)
        if rows is None:
            others.append(file)
        else:
            option, of_file = rows
            found.setdefault(option, []).extend(of_file)
    for option, layout in FILE_LAYOUTS.items():
        if only in (None, option):
            alone = not any(found.values())
            found[option] = _read_files(folder, layout, others, names, alone)
    return {option: found[option] for option in LAYOUTS if found.get(option)}


def _read_sets(folder: UserFolder, only: str | None) -> dict[str, list[LabelRow]]:
    found = {}
    for option, layout in SET_LAYOUTS.items():
        if only in (None, option):
            with told_of(folder.root, layout.NAME):
                rows = list(layout.read(folder))
            if rows:
                found[option] = rows
    return found


def _read_files(
    folder: UserFolder, layout: ModuleType, files: list[LabelFile], names: Names, alone: bool
) -> list[LabelRow]:
    own = [file for file in files if layout.matches(file)]
    if hasattr(layout, "read_all"):
        return list(layout.read_all(own, names.picture, alone, folder.note))
    rows = []
    for file in own:
        with told_of(file.path, layout.NAME):
            rows += [_with_source(row, file) for row in layout.read(file)]
    return rows


def _read_json(
    folder: UserFolder, file: LabelFile, only: str | None
) -> tuple[str, list[LabelRow]] | None:
    """A layout and its rows; None for a file of no kind that is known here, which may be a table.

    Without rows for one that has no labels, or of another layout than the only one.
    """
    if only is not None and only not in JSON_LAYOUTS:
        return None
    if coco.is_known_without_labels(file, folder):
        folder.note_unread(file.place, "as instances lie beside it")
        return "coco", []
    content = _content(folder, file)
    if coco.are_results(content):
        folder.note_unread(file.place, "predictions in the form of COCO's results")
        return "coco", []
    for option, layout in JSON_LAYOUTS.items():
        if content is not None and layout.is_it(content):
            if only not in (None, option):
                return option, []
            with told_of(file.path, layout.NAME):
                return option, [_with_source(row, file) for row in layout.read(file, content)]

    return _of_no_layout(folder, file, content) if content is not None else None


def _of_no_layout(
    folder: UserFolder, file: LabelFile, content: dict | list
) -> tuple[str, list[LabelRow]] | None:
    """No rows, and a note on why it is not read; None for what may be a table."""
    unread = other_tools.remedy(content)
    if unread or _is_of_one_picture(folder, file, content):
        folder.note_unread(file.place, unread or UNKNOWN_KIND)
        return "json", []

    with told_of(file.path, coco.NAME):
        reason = coco.why_without_labels(file, content)
    if not reason and as_records(content, folder.pictures) is not None:
        return None
    if reason or file.given or PICTURE_IN_TEXT.search(json.dumps(content)[:HEAD]):
        folder.note_unread(file.place, reason or UNKNOWN_KIND)
    return None


def _is_of_one_picture(folder: UserFolder, file: LabelFile, content: dict | list) -> bool:
    """Whether it is called as a picture is, and names no other: no table, whatever lists it has."""
    name = stem(file.path.stem)
    if folder.given or name not in folder.stems or isinstance(content, list):
        return False
    named = PICTURE_NAME.findall(json.dumps(content, ensure_ascii=False)[:HEAD])
    return all(other == name for other in named)


def _read_lines(file: LabelFile, only: str | None) -> tuple[str, list[LabelRow]] | None:
    """A layout and its rows; None for lines of no kind that is known here, which may be a table."""
    if is_something_else(file.path):
        return None
    try:
        text, _ = decode(file.path, file.path.read_bytes(), file.answers.encoding)
        # Not at other signs for an end of a line, which texts may hold.
        lines = enumerate(text.split("\n"), start=1)
        numbered = [(number, line) for number, line in lines if line.strip()]
        first = [json.loads(line) for _, line in numbered[:1]]
    except (InputError, ValueError, RecursionError):
        return None  # what is damaged is told where it is read as a table

    for option, layout in LINE_LAYOUTS.items():
        if only in (None, option) and layout.is_it(first):
            with told_of(file.path, layout.NAME):
                content = [_object(line, number) for number, line in numbered]
                return option, [_with_source(row, file) for row in layout.read(file, content)]
    return None


def _object(line: str, number: int) -> dict:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number} is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"line {number} is no JSON object")
    return content


def _content(folder: UserFolder, file: LabelFile) -> dict | list | None:
    """What a JSON file holds; none where it is damaged and has nothing to do with pictures."""
    refuse_something_else(file.path)
    try:
        text, guessed = decode(file.path, file.path.read_bytes(), file.answers.encoding)
    except InputError:
        if file.given or file.answers.encoding:
            raise
        return None
    names_pictures = file.given or PICTURE_IN_TEXT.search(text[:HEAD]) is not None
    names_pictures = names_pictures or file.path.stem in folder.stems
    if guessed and names_pictures:
        raise InputError(
            f"{file.path}: not UTF-8, so that letters may be others; save it as UTF-8, or say what "
            "it is, such as --encoding cp1252"
        )

    try:
        content = parse(text)
    except RecursionError:
        raise InputError(f"{file.path}: JSON that is nested too deeply; mend it") from None
    except ValueError as error:
        if names_pictures:
            raise InputError(
                f"{file.path}: no valid JSON ({error}); fetch or export it again, or move it away"
            ) from None
        folder.note_unread(file.place, f"no valid JSON ({error})")
        return None
    return content if isinstance(content, dict | list) else None


def _with_source(row: LabelRow, file: LabelFile) -> LabelRow:
    """The row with the file that says it. Raises ValueError for what is no name."""
    if not _is_name(row.image) or row.image == "":
        raise ValueError(f"{row.image!r} stands in the place of a picture's name")
    if not _is_name(row.label):
        raise ValueError(f"{row.image} has the label {row.label!r}; expected a name")
    return row._replace(image=str(row.image), label=str(row.label), source=row.source or file.place)


def _is_name(value: object) -> bool:
    """Whether it is text, or a number, as which names may be written."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


@contextmanager
def told_of(path: Path, name: str) -> Iterator[None]:
    """What reading a file raises is told with its path and the layout that it was read as."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read as {name} ({_words(error)}); mend it or move it away"
        ) from None


def _words(error: Exception) -> str:
    """A missing key is told as such."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error)
