"""Which files are tables of labels, which list pictures alone, and what is said of all others."""

import re
from collections.abc import Callable, Sequence

from mlrepro.errors import InputError, first_of
from mlrepro.settings.base import nearest
from mlrepro_cli.init_data.answers import Answers, Question
from mlrepro_cli.init_data.layouts.rows import LabelFile
from mlrepro_cli.init_data.layouts.table.columns import Columns, find_columns
from mlrepro_cli.init_data.layouts.table.entities import with_signs
from mlrepro_cli.init_data.layouts.table.folder_column import with_folders
from mlrepro_cli.init_data.layouts.table.joined_ids import take_apart
from mlrepro_cli.init_data.layouts.table.label_columns import (
    SHOWN,
    may_name_labels,
    may_number_labels,
)
from mlrepro_cli.init_data.layouts.table.last_rows import without_last_rows
from mlrepro_cli.init_data.layouts.table.numbers import (
    are_shares,
    are_small_numbers,
    are_two_numbers,
)
from mlrepro_cli.init_data.layouts.table.open_file import NamesNoPicture, open_tables
from mlrepro_cli.init_data.layouts.table.options import with_marks_of_options
from mlrepro_cli.init_data.layouts.table.pictures import Stems, longer_names
from mlrepro_cli.init_data.layouts.table.sheet import Sheet

# Answers that a competition wants, with made-up labels.
SUBMISSION = re.compile("submission", re.IGNORECASE)
# What another program may have written.
OUTPUT = re.compile(r"(^|[^a-z])(predict|pred|preds|results?|outputs?)", re.IGNORECASE)

# Folders that hold a share of many pictures each: 0, 17, a3.
BUCKET = re.compile(r"\d+|[0-9a-f]{1,2}", re.IGNORECASE)

TableOf = tuple[Sheet, Columns]


def open_all(
    files: list[LabelFile], stems: Stems
) -> tuple[list[Sheet], list[InputError], list[InputError]]:
    """Tables; why others cannot be read; and why those cannot that may be of anything else.

    Raises InputError for a table that concerns the pictures.
    """
    sheets, problems, others = [], [], []
    for file in files:
        try:
            opened = open_tables(file, stems)
        except NamesNoPicture as error:
            others.append(error)
            continue
        except InputError as error:
            if file.given or file.place.lower().endswith((".csv", ".tsv")):
                raise
            problems.append(error)
            continue
        for sheet in opened:
            if sheet.rows:
                sheets.append(with_marks_of_options(without_last_rows(sheet, stems)))
            else:
                problems.append(
                    InputError(f"{file.path}: no row below the header; write one a picture")
                )
    return sheets, problems, others


def refuse_unknown_columns(sheets: list[Sheet], answers: Answers) -> None:
    """Raises InputError for a column of the user's that no table has."""
    known = sorted({header for sheet in sheets for header in sheet.headers})
    asked = {
        "--image-column": answers.image_columns,
        "--labels-column": answers.label_columns,
        "--mark-column": [name for name in answers.mark_columns if not set("*?[") & set(name)],
        "--ignore-column": answers.ignore_columns,
        "--state-column": [answers.state_column] if answers.state_column else [],
        "--split-column": [answers.split_column] if answers.split_column else [],
        "--group-column": [answers.group_column] if answers.group_column else [],
    }
    for option, names in asked.items():
        for name in names:
            if name not in known:
                raise InputError(f"{option} {name}: no table has it; {nearest(name, known)}")


def with_pictures(
    sheets: list[Sheet], stems: Stems, answers: Answers
) -> tuple[list[TableOf], list[TableOf], list[InputError]]:
    """Tables with labels, tables that list pictures without any, and why others are none."""
    tables, lists, problems = [], [], []
    for sheet in sheets:
        if SUBMISSION.search(sheet.file.path.name) and not sheet.file.given:
            print(f"{sheet.file.path}: left out, a submission has no labels that are true")
            continue
        columns = find_columns(sheet, stems, answers)
        apart = take_apart(sheet, stems) if columns is None else None
        if apart is not None:
            sheet = apart
            columns = find_columns(sheet, stems, answers)

        if columns is not None:
            sheet = with_folders(sheet, columns.pictures, sheet.file.pictures)
        if columns is None:
            problems.append(_names_no_pictures(sheet, stems))
        elif columns.has_labels:
            _refuse_output(sheet)
            tables.append((with_signs(sheet, columns.names), columns))
        else:
            lists.append((sheet, columns))
    return tables, lists, problems


def _names_no_pictures(sheet: Sheet, stems: Stems) -> InputError:
    """Why a table is left out; raised for the one that the user named."""
    shown = [f"{header} ({sheet.column(header)[0]})" for header in sheet.headers[:SHOWN]]
    error = InputError(
        f"{sheet.file.path}: no column names pictures (its columns: {', '.join(shown)})"
        f"{longer_names(sheet, stems)}; name pictures as their files are called, or say which "
        "column does: --image-column"
    )
    if sheet.file.given:
        raise error
    return error


def _refuse_output(sheet: Sheet) -> None:
    file = sheet.file
    if OUTPUT.search(file.path.stem) and not file.given:
        raise Question(
            f"{file.path}: by its name, it may hold predictions of another program. Move it away, "
            f"or, where these are labels, name it: mlrepro init-data {file.path}"
        )


def refuse_where_nothing_else(
    files: list[LabelFile],
    problems: list[InputError],
    lists: list[TableOf],
    alone: bool,
    note: Callable[[str], None],
) -> None:
    """Raises InputError where tables may be what says labels, else notes what was found.

    alone: whether no other file has labels, so that there are folders at best.
    """
    pictures = files[0].pictures
    only_tables = alone and not have_folders(pictures)
    for problem in problems:
        raise_or_note(problem, files, alone, note)

    for sheet, columns in lists:
        if sheet.file.split and not columns.unread and not sheet.file.given:
            continue  # a part's list, which says no labels
        folders_too = "" if only_tables else "; where folders are the labels, --layout folders"
        question = Question(
            f"{sheet.file.path}: pictures in column {columns.pictures[0]!r}, and no column of "
            f"labels is known by its header; if one holds names of labels, say --labels-column, if "
            "several are headed by a label with 0 and 1 below, --mark-column, of: "
            f"{', '.join(columns.unread) or 'no other column'}{_of_numbers(sheet, columns)}"
            f"{folders_too}"
        )
        if sheet.file.given or (only_tables and columns.unread):
            raise question
        # Folders may be there for order, beside a table of all pictures.
        lists_most = len(sheet.rows) >= len(pictures) / 2
        of_ids = columns.unread if _are_for_order(pictures) else ()
        may_be_labels = any(may_name_labels(sheet, header) for header in columns.unread)
        may_be_labels |= any(may_number_labels(sheet, header) for header in of_ids)
        if alone and lists_most and may_be_labels:
            raise question
        note(f"left out: {question}")


def raise_or_note(
    problem: InputError, files: list[LabelFile], alone: bool, note: Callable[[str], None]
) -> None:
    """Raises it where folders cannot be labels, and no other file has any."""
    if alone and not have_folders(files[0].pictures):
        raise problem
    note(f"left out: {problem}")


def have_folders(pictures: Sequence[str]) -> bool:
    """Whether pictures lie in several folders, which may be labels."""
    return len({picture.rpartition("/")[0] for picture in pictures}) > 1


def _are_for_order(pictures: Sequence[str]) -> bool:
    """Whether all folders of pictures are called by numbers, or by a byte as hashes begin."""
    folders = {picture.rpartition("/")[0].rpartition("/")[2] for picture in pictures}
    return all(map(BUCKET.fullmatch, folders))


def _of_numbers(sheet: Sheet, columns: Columns) -> str:
    """A clause on columns of numbers that may be scores or votes; "" where there are none."""
    kinds = (are_shares, are_small_numbers, are_two_numbers)
    headers = tuple(
        header for header in columns.unread if any(is_kind(sheet, header) for is_kind in kinds)
    )
    if not headers:
        return ""

    return (
        f" ({quoted(headers)} hold numbers such as {sheet.filled(headers[0])[0]}: where these are "
        "probabilities of labels, votes or grades, write 1 where a label is there, 0 where it is "
        "not, and nothing where nobody knows; where they are marks, say what each means, with "
        "--present and --absent)"
    )


def quoted(headers: tuple[str, ...]) -> str:
    return first_of([repr(header) for header in headers], SHOWN)
