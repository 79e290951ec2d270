"""Names of labels whose folders are called by numbers or by WordNet's ids, as ImageNet's are."""

import re
from collections import Counter
from collections.abc import Iterator

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder
from mlrepro_cli.init_data.layouts.table.class_names import (
    is_numbered_names,
    numbered_names,
    say_names,
)
from mlrepro_cli.init_data.layouts.table.open_file import open_tables
from mlrepro_cli.init_data.layouts.table.pictures import Stems
from mlrepro_cli.init_data.layouts.table.sheet import Sheet

# n01440764, and a line that names it: `n01440764 tench, Tinca tinca`, `n02119789 1 kit_fox`.
SYNSET = re.compile(r"n\d{8}")
NAMED_SYNSET = re.compile(r"(?P<id>n\d{8})[\s,]+(?:\d+\s+)?(?P<name>\S.*)")
# LOC_synset_mapping.txt, words.txt, map_clsloc.txt.
SYNSET_FILES = re.compile(r"synset|words\.txt$|map_clsloc|wnids?_to", re.IGNORECASE)
TABLES = (".csv", ".tsv")
SHOWN = 3


def name_folders(folder: UserFolder, rows: list[LabelRow]) -> list[LabelRow]:
    """The rows with names in the place of numbers or ids, where one file names all of them.

    Raises Question where two files name the numbers differently.
    """
    labels = {row.label for row in rows}
    if not labels or folder.answers.layout == "file-names":
        return rows
    names: dict[str, str] = {}
    if all(map(SYNSET.fullmatch, labels)):
        names = _of_synsets(folder, labels)
    elif all(label.isascii() and label.isdecimal() for label in labels):
        names = _of_numbers(folder, labels)
    return [row._replace(label=names.get(row.label, row.label)) for row in rows]


def _of_numbers(folder: UserFolder, labels: set[str]) -> dict[str, str]:
    """Names by folder; `00007` is the class 7."""
    number_of = {label: str(int(label)) for label in labels}
    numbers = set(number_of.values())
    if len(numbers) < len(labels):
        return {}
    found = numbered_names(numbers, list(_tables_of_names(folder)), folder.files)
    if found is None:
        return {}

    file, names = found
    # A list counts from 0: folders from 1 on are of other numbers, or lack the first.
    if ("0" in names) != ("0" in numbers):
        folder.note(
            f"{file.path}: it names the labels from {min(map(int, names))} on, and folders are "
            f"called {min(map(int, numbers))} and more: not read; to have names, rename the folders"
        )
        return {}
    folder.note(say_names(file, names, numbers))
    return {label: names[number] for label, number in number_of.items()}


def _tables_of_names(folder: UserFolder) -> Iterator[Sheet]:
    stems = Stems(folder.pictures)
    for file in folder.files:
        if not file.place.lower().endswith(TABLES):
            continue
        try:
            sheets = open_tables(file, stems)
        except InputError:
            continue  # what is damaged was told when it was read for labels
        yield from (sheet for sheet in sheets if is_numbered_names(sheet))


def _of_synsets(folder: UserFolder, labels: set[str]) -> dict[str, str]:
    """Of two with one name, such as crane, the machine and the bird, each keeps its id behind."""
    for file in folder.files:
        if not SYNSET_FILES.search(file.place):
            continue
        names = {key: name for key, name in _synsets(file) if key in labels}
        if set(names) != labels:
            continue
        counts = Counter(names.values())
        names = {
            key: name if counts[name] == 1 else f"{name} ({key})" for key, name in names.items()
        }
        shown = "; ".join(f"{key} is {name}" for key, name in sorted(names.items())[:SHOWN])
        folder.note(f"{file.path}: the names of labels: {shown}")
        return names
    return {}


def _synsets(file: LabelFile) -> Iterator[tuple[str, str]]:
    try:
        lines = read_text(file.path, "").splitlines()
    except InputError:
        return
    for line in lines:
        match = NAMED_SYNSET.fullmatch(line.strip())
        if match:
            yield match["id"], match["name"]
