"""Cells that name labels: what is a list, what stands between labels, what are numbers."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Answers, Question, option
from mlrepro_cli.init_data.layouts.table.columns import Columns
from mlrepro_cli.init_data.layouts.table.headers import label_family
from mlrepro_cli.init_data.layouts.table.lists import is_list, is_vector, read_list
from mlrepro_cli.init_data.layouts.table.separators import (
    BETWEEN_FIELDS,
    find_separator,
    split_at,
    split_field,
)
from mlrepro_cli.init_data.layouts.table.sheet import Sheet

# 1.0, as pandas writes the whole numbers of a column that has an empty cell.
WHOLE = re.compile(r"-?\d+\.0")
QUOTED = re.compile(r"'[^']+'|\"[^\"]+\"|‘[^’]+’|“[^”]+”")
# ['cat', ["cat", ('cat' and {'cat'
QUOTED_LIST = re.compile(r"[\[({]\s*['\"]")
# A place a class: 0110, or 0 1 1 0 with any mark between.
DIGITS = re.compile(r"[01]{3,}|[01](?:\s*[ ,;|\t\x1f]\s*[01])+")
# cat:0.9, dog=1, cat (0.98), dog (7%); but not BMW (2012)
SCORED = re.compile(r".+([:=]\s*\d+(\.\d+)?|\(([01]?\.\d+|\d+(\.\d+)?%)\))")
# cat (2), dog x3
COUNTED = re.compile(r"(?P<label>.+?)(\s*\(\d{1,2}\)|\s+[x×]\s*\d{1,2})")
# dog? and (dog); -dog and not dog
UNSURE = re.compile(r"^[?(]+\s*|\s*[?)]+$")
NEGATED = re.compile(r"^([-!~]|not? |non-)\s*", re.IGNORECASE)

# Felis catus, Felis silvestris lybica, Rosa x alba
BINOMIAL = re.compile(r"[A-Z][a-z-]+( [x×])?( [a-z-]+){1,2}")

# As Python writes them.
EMPTY_SETS = ("set()", "frozenset()")

TableOf = tuple[Sheet, Columns]


@dataclass(frozen=True)
class Fields:
    """How cells are read: all tables of a data set alike.

    lists:     cells with brackets are lists, those without are split.
    separator: between the labels of a cell without brackets; "": each is one.
    whole:     1.0 is 1.
    quoted:    'cat' is cat.
    """

    lists: bool
    separator: str
    whole: bool = False
    quoted: bool = False

    def labels(self, cell: str) -> list[str]:
        if not cell:
            return []
        if self.lists:
            if cell in EMPTY_SETS:
                return []
            return read_list(cell) if is_list(cell) else split_field(cell, self.separator)
        labels = split_field(cell, self.separator)
        labels = [label for label in labels if label]
        if self.quoted:
            labels = [label[1:-1] for label in labels]
        return [label.removesuffix(".0") for label in labels] if self.whole else labels


def understand_fields(tables: list[TableOf], answers: Answers) -> Fields:
    """Raises Question where the cells can be read in two ways, InputError where in none."""
    if answers.separator is None and all(map(_is_of_whole_labels, tables)):
        return Fields(lists=False, separator="")

    cells = {cell for table in tables for _, cell in _cells(table)} - {""}
    in_brackets = [cell for cell in cells if is_list(cell)]
    if len(in_brackets) > len(cells) / 2 or any(cell.startswith('{"') for cell in in_brackets):
        _check_lists(tables)
        return Fields(lists=True, separator="")
    if any(map(QUOTED_LIST.match, in_brackets)):
        # A list where there are several labels, and a name where there is one.
        _check_lists(tables)
        plain = cells - set(in_brackets)
        separator = answers.separator
        if separator is None:
            separator = find_separator(plain, _place(tables), a_row_a_label=False)
        return Fields(lists=True, separator=separator)

    _refuse_vectors(cells, tables)
    separator = answers.separator
    if separator is None and _are_binomials(cells, tables):
        separator = ""
    elif separator is None:
        long = all(_has_a_row_a_label(table) for table in tables)
        separator = find_separator(cells, _place(tables), long)
    fields = Fields(lists=False, separator=separator)
    labels = [label for cell in cells for label in fields.labels(cell)]
    fields = replace(
        fields,
        whole=bool(labels) and all(WHOLE.fullmatch(label) for label in labels),
        quoted=bool(labels) and all(QUOTED.fullmatch(label) for label in labels),
    )
    _refuse_decorated({label for cell in cells for label in fields.labels(cell)}, tables, answers)
    return fields


def say_fields(fields: Fields, tables: list[TableOf]) -> str:
    """What was understood, with an example."""
    if fields.lists:
        return "as lists"
    if not fields.separator:
        return "one in a cell"
    split = split_at({cell for table in tables for _, cell in _cells(table)}, fields.separator)
    example = min(split.joined, key=lambda parts: (len(parts), parts)) if split else []
    name = {" ": "a space", "\t": "a tab", "\n": "a line end"}.get(fields.separator)
    between = name or repr(fields.separator)
    return f"with {between} between them" + (f", as {' and '.join(example)}" if example else "")


def _cells(table: TableOf) -> Iterator[tuple[int, str]]:
    sheet, columns = table
    for place, row in enumerate(sheet.rows):
        for cell in sheet.cells(row, columns.names):
            yield place, cell


def _place(tables: list[TableOf]) -> str:
    files = ", ".join(str(sheet.file.path) for sheet, _ in tables)
    _, columns = tables[0]
    return f"{files}, column {columns.labels.names[0]!r}"


def _is_of_whole_labels(table: TableOf) -> bool:
    """Whether the file itself says that each cell is one label, whatever stands in it."""
    sheet, columns = table
    return sheet.whole >= set(columns.names)


def _has_a_row_a_label(table: TableOf) -> bool:
    """Whether pictures have several rows."""
    sheet, columns = table
    names = [cell for row in sheet.rows for cell in sheet.cells(row, columns.pictures)]
    return len(set(names)) < len(names)


def _are_binomials(cells: set[str], tables: list[TableOf]) -> bool:
    """Whether cells are names of species, of two words or three each."""
    headers = {header for _, columns in tables for header in columns.labels.names}
    are_headed = all(label_family(header) == "species" for header in headers)
    return are_headed and all(map(BINOMIAL.fullmatch, cells))


def _check_lists(tables: list[TableOf]) -> None:
    """Raises InputError for a cell that is no list of labels, and for lists of 0 and 1."""
    lists = []
    for table in tables:
        sheet, _ = table
        for place, cell in _cells(table):
            if not is_list(cell):
                continue
            try:
                lists.append(read_list(cell))
            except ValueError as error:
                raise InputError(
                    f"{sheet.where(place)}: {cell[:80]} is no list of labels ({error}); write "
                    'them as ["cat", "dog"]'
                ) from None
    if is_vector(lists):
        _refuse_vector(tables)


def _refuse_decorated(labels: set[str], tables: list[TableOf], answers: Answers) -> None:
    """Raises InputError for labels with something behind or before them, and for marks among them.

    Those of the user's `--positive` are labels, whatever they look like.
    """
    place = _place(tables)
    scored = [label for label in labels if SCORED.fullmatch(label)]
    if labels and (len(scored) == len(labels) or _are_counted(labels)):
        raise InputError(
            f"{place}: labels have numbers behind them, as {min(labels)!r}; leave out the numbers, "
            "and the labels that are not there"
        )

    for label in sorted(labels - set(answers.positive)):
        for sign, column in ((UNSURE, "unknown"), (NEGATED, "negative_labels")):
            bare = sign.sub("", label)
            if bare != label and bare in labels:
                raise Question(
                    f"{place}: {label!r} stands beside {bare!r}. If that says that nobody knows of "
                    "a label, or that it is not there, write it into a column of its own, headed "
                    f"{column}, without the sign; if it is a label as others: "
                    f"{option('positive', label)}"
                )

    words = sorted(label for label in labels if not label.isdecimal())
    if {"0", "1"} <= labels and words and "0" not in answers.positive:
        raise Question(
            f"{place}: 0 and 1 stand among the names of labels, such as {words[0]!r}. If they are "
            "marks below a second header line, leave one header line; if they are labels: "
            "--positive 0"
        )


def _are_counted(labels: set[str]) -> bool:
    """Whether all have a number behind them, and some differ in nothing else."""
    matches = [COUNTED.fullmatch(label) for label in labels]
    return all(matches) and len({match["label"] for match in matches}) < len(labels)


def _refuse_vectors(cells: Iterable[str], tables: list[TableOf]) -> None:
    """Raises InputError where each cell is a row of 0 and 1, as 0 1 1."""
    cells = list(cells)
    lengths = {len(re.findall("[01]", cell)) for cell in cells}

    # 011 is 11 where a spreadsheet took it for a number.
    are_numbers = all(re.fullmatch("1[01]*|0", cell) for cell in cells)
    if are_numbers and len(cells) > 2 and max(lengths) > 2:
        _refuse_vector(tables)
    if len(lengths) == 1 and all(DIGITS.fullmatch(cell) for cell in cells):
        _refuse_vector(tables)


def _refuse_vector(tables: list[TableOf]) -> None:
    sheet, columns = tables[0]
    column = columns.labels.names[0]
    cell = sheet.filled(column)[0].replace(BETWEEN_FIELDS, " ")
    raise InputError(
        f"{sheet.where(0)}: column {column!r} holds {cell}, a 0 or 1 for each class, but not the "
        "classes' names; write a column a class, headed by its name, with 0 and 1 below"
    )
