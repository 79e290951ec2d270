"""Reads each kind of layout that a user's folder has, and tells of files that cannot be read."""

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts import FILE_LAYOUTS, JSON_LAYOUTS, LAYOUTS, SET_LAYOUTS, coco
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder
from mlrepro_cli.pictures import SUFFIXES

# A damaged or unknown JSON file is worth an error or a word where it names pictures.
PICTURE_IN_TEXT = re.compile("|".join(re.escape(suffix) for suffix in SUFFIXES), re.IGNORECASE)
HEAD = 1 << 20


def read_label_files(folder: UserFolder) -> dict[str, list[LabelRow]]:
    """Rows by the layout's name for `--layout`. Layouts without a row are left out."""
    only = folder.answers.layout
    if only is not None and only not in LAYOUTS:
        raise InputError(f"--layout {only}: not one of {', '.join(LAYOUTS)}; give one of these")

    found: dict[str, list[LabelRow]] = {}
    for option, rows in _read_all(folder, only):
        if rows:
            found.setdefault(option, []).extend(rows)
    return found


def _read_all(folder: UserFolder, only: str | None) -> Iterator[tuple[str, list[LabelRow]]]:
    for option, layout in SET_LAYOUTS.items():
        if only in (None, option):
            with told_of(folder.root, layout.NAME):
                rows = list(layout.read(folder))
            yield option, rows

    for file in folder.files:
        for option, layout in FILE_LAYOUTS.items():
            if only in (None, option) and layout.matches(file):
                with told_of(file.path, layout.NAME):
                    rows = [_with_source(row, file) for row in layout.read(file)]
                yield option, rows
        if file.place.lower().endswith(".json") and (only is None or only in JSON_LAYOUTS):
            yield from _read_json(folder, file, only)


def _read_json(
    folder: UserFolder, file: LabelFile, only: str | None
) -> Iterator[tuple[str, list[LabelRow]]]:
    if coco.is_known_without_labels(file, folder):
        folder.note(f"{file.place}: not read, as instances lie beside it")
        return
    content = _content(folder, file)
    if content is None:
        return

    for option, layout in JSON_LAYOUTS.items():
        if layout.is_it(content):
            if only in (None, option):
                with told_of(file.path, layout.NAME):
                    rows = [_with_source(row, file) for row in layout.read(file, content)]
                yield option, rows
            return
    reason = coco.why_without_labels(content)
    if reason:
        folder.note(f"{file.place}: not read, {reason}")
    elif file.given or PICTURE_IN_TEXT.search(read_text(file.path, "")[:HEAD]):
        folder.note(f"{file.place}: not read, JSON of a kind that is not known here")


def _content(folder: UserFolder, file: LabelFile) -> dict | list | None:
    """What a JSON file holds; none where it is damaged and has nothing to do with pictures."""
    try:
        text = read_text(file.path, "")
        content = json.loads(text)
    except RecursionError:
        raise InputError(f"{file.path}: JSON that is nested too deeply; mend it") from None
    except InputError:
        if file.given:
            raise
        return None
    except ValueError as error:
        if file.given or PICTURE_IN_TEXT.search(text[:HEAD]):
            raise InputError(
                f"{file.path}: no valid JSON ({error}); fetch or export it again, or move it away"
            ) from None
        folder.note(f"{file.place}: not read, no valid JSON ({error})")
        return None
    return content if isinstance(content, dict | list) else None


def _with_source(row: LabelRow, file: LabelFile) -> LabelRow:
    return row if row.source else row._replace(source=file.place)


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
