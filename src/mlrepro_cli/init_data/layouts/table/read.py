"""Tables in all forms: what they say of which picture, read together."""

from collections import Counter
from collections.abc import Callable, Iterator

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Answers, Question
from mlrepro_cli.init_data.layouts import vertex_csv, via_csv
from mlrepro_cli.init_data.layouts.rows import ABSENT, LabelFile, LabelRow
from mlrepro_cli.init_data.layouts.table.choosing import (
    TableOf,
    have_folders,
    open_all,
    quoted,
    raise_or_note,
    refuse_unknown_columns,
    refuse_where_nothing_else,
    with_pictures,
)
from mlrepro_cli.init_data.layouts.table.class_names import (
    is_class_names,
    is_numbered_names,
    name_labels,
    name_numbers,
    read_class_names,
)
from mlrepro_cli.init_data.layouts.table.columns import Columns
from mlrepro_cli.init_data.layouts.table.combining import (
    add_missing_marks,
    combine,
    without_unlabelled,
)
from mlrepro_cli.init_data.layouts.table.fields import say_fields, understand_fields
from mlrepro_cli.init_data.layouts.table.headers import BOX_CORNERS, is_any, is_of_group
from mlrepro_cli.init_data.layouts.table.listing import (
    FindPicture,
    Listed,
    Reading,
    count_empty,
    label_rows,
    list_pictures,
    named,
    takes_empty_as_unknown,
)
from mlrepro_cli.init_data.layouts.table.marks import (
    BLANK,
    Marks,
    plain_mark,
    read_marks,
    say_marks,
)
from mlrepro_cli.init_data.layouts.table.open_file import may_be_table
from mlrepro_cli.init_data.layouts.table.pictures import Stems
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.negatives import ask_about_negatives

NAME = "a table"

# Where at most this share of pictures has a second row, it is hardly a row a label.
FEW_SECOND_ROWS = 0.1

NO_LABEL = (
    "none of its pictures has a label; write the labels into it, or give the file that says them"
)


def matches(file: LabelFile) -> bool:
    return may_be_table(file) and not (via_csv.matches(file) or vertex_csv.matches(file))


def read_all(
    files: list[LabelFile],
    find: FindPicture,
    alone: bool = True,
    note: Callable[[str], None] = print,
) -> Iterator[LabelRow]:
    """The labels of all tables, and prints what was understood. Nothing where none has labels.

    alone: whether no other layout has labels, so that the user's answers are of tables.
    note:  is told of tables that were left out, where no table has labels.

    What separates labels and what marks mean is one thing for all. Raises Question for what can be
    read in two ways, InputError for what cannot be read.
    """
    if not files:
        return
    answers = files[0].answers
    stems = Stems(files[0].pictures)
    sheets, damaged, others = open_all(files, stems)
    if alone:
        refuse_unknown_columns(sheets, answers)

    # Tables of what classes are called have no pictures.
    of_names = [sheet for sheet in sheets if is_class_names(sheet)]
    sheets = [sheet for sheet in sheets if not is_class_names(sheet)]
    numbered = [sheet for sheet in sheets if is_numbered_names(sheet)]
    sheets = [sheet for sheet in sheets if not is_numbered_names(sheet)]

    tables, lists, without_pictures = with_pictures(sheets, stems, answers)
    others += without_pictures
    if not tables:
        refuse_where_nothing_else(files, damaged, lists, alone, note)
        for problem in others:
            raise_or_note(problem, files, alone, note)
        return

    for problem in [*damaged, *others]:
        print(f"left out: {problem}")
    readings = _readings(tables, answers)
    _ask_about_empty(tables, answers)
    for reading in readings:
        _say(reading)
        _refuse_guessed_letters(reading)

    listed = [list_pictures(reading, find) for reading in readings]
    for reading, pictures in zip(readings, listed, strict=True):
        _ask_about_second_rows(reading, pictures)
    add_missing_marks(readings, listed)

    files_of_labels = [reading.sheet.file for reading in readings]
    by_file = list(zip(files_of_labels, listed, strict=True))
    pictures = combine(without_unlabelled(by_file), answers.union)
    _add_splits(pictures, lists, find)
    if of_names:
        name_labels(pictures, read_class_names(of_names))
    read = {sheet.file.place for sheet, _ in [*tables, *lists]}
    name_numbers(pictures, numbered, files, read)

    if not pictures and alone and not have_folders(files[0].pictures):
        raise InputError(f"{_places(tables)}: {NO_LABEL}")
    rows = list(label_rows(pictures))
    ask_about_negatives(rows, answers)
    yield from rows


# ---- How they are read ---------------------------------------------------------------------------


def _readings(tables: list[TableOf], answers: Answers) -> list[Reading]:
    with_fields = [table for table in tables if table[1].labels.names]
    fields = understand_fields(with_fields, answers) if with_fields else None
    marks = _understand_marks([table for table in tables if table[1].labels.marks], answers)
    return [
        Reading(
            sheet,
            columns,
            fields if columns.labels.names else None,
            marks if columns.labels.marks else None,
        )
        for sheet, columns in tables
    ]


def _places(tables: list[TableOf]) -> str:
    """The files, for messages."""
    return ", ".join(dict.fromkeys(str(sheet.file.path) for sheet, _ in tables))


def _add_splits(pictures: dict[str, Listed], lists: list[TableOf], find: FindPicture) -> None:
    """Takes the splits of tables without labels, such as train.txt; and prints which."""
    for sheet, columns in lists:
        if not columns.split and not sheet.file.split:
            headers = quoted(columns.unread) or "nothing else"
            print(f"{sheet.file.path}: left out, it lists pictures with {headers}, no labels")
            continue

        found = 0
        without_labels = Reading(sheet, columns, None, None)
        for picture, listed in list_pictures(without_labels, find).items():
            if picture in pictures:
                found += 1
                _set_split(pictures[picture], listed)
        if found:
            print(f"{sheet.file.path}: the split of {found} pictures")
        else:
            print(f"{sheet.file.path}: left out, its pictures have no labels")


def _set_split(of_table: Listed, of_list: Listed) -> None:
    if of_table.split not in ("", of_list.split):
        raise Question(
            f"{of_list.where}: its picture is {of_list.split} here, and {of_table.split} in "
            f"{of_table.where}; mend one of them, or move this list away"
        )
    of_table.split = of_list.split


def _understand_marks(tables: list[TableOf], answers: Answers) -> Marks | None:
    if not tables:
        return None
    found: Counter[str] = Counter()
    for sheet, columns in tables:
        for header in columns.labels.marks:
            found.update(map(plain_mark, sheet.column(header)))

    headers = list(
        dict.fromkeys(header for _, columns in tables for header in columns.labels.marks)
    )
    place = _places(tables)
    marks = read_marks(found, headers, place, answers)
    print(f"{place}: {len(headers)} columns headed by a label: {say_marks(marks, found)}")
    if marks.states.get(BLANK) == ABSENT and BLANK not in map(plain_mark, answers.absent):
        print(f"Where nobody knows what an empty cell is, say --unknown {BLANK}")
    return marks


def _say(reading: Reading) -> None:
    """Prints which column was taken for what."""
    sheet, columns = reading.sheet, reading.columns
    parts = [f"pictures in {quoted(columns.pictures)}"]

    labels = columns.labels
    if labels.names:
        how = say_fields(reading.fields, [(sheet, columns)])
        parts.append(f"labels in {quoted(labels.names)}, {how}")
    if labels.unknown_names:
        parts.append(f"labels that nobody knows in {quoted(labels.unknown_names)}")
    if labels.marks:
        parts.append(f"labels are the headers {quoted(labels.marks)}")
    if columns.says_absent:
        how = quoted(labels.absent_names) or f"rows that {columns.confidence!r} says no of"
        parts.append(
            f"labels that are absent in {how}; those that are not named are unknown (otherwise say "
            "--complete)"
        )
    empty = count_empty(sheet, columns)
    if empty:
        state = "nothing is known" if takes_empty_as_unknown(sheet) else "there is no label"
        parts.append(f"of {empty} pictures with an empty cell {state}")

    parts.append(f"split in {columns.split!r}" if columns.split else "no column of splits")
    if columns.group:
        parts.append(f"groups in {columns.group!r}")
    if columns.unread:
        parts.append(f"not read: {quoted(columns.unread)}")
    print(f"{sheet.file.path}: {'; '.join(parts)}")
    _suggest_group(sheet, columns)


def _ask_about_empty(tables: list[TableOf], answers: Answers) -> None:
    """Raises Question where most cells of labels are empty: they may wait for their labels."""
    of_names = [(sheet, columns) for sheet, columns in tables if columns.labels.names]
    empty = sum(count_empty(sheet, columns) for sheet, columns in of_names)
    rows = sum(len(sheet.rows) for sheet, _ in of_names)
    said = {plain_mark(mark) for mark in (*answers.absent, *answers.unknown)}
    if empty > rows / 2 and BLANK not in said:
        place = ", ".join(str(sheet.file.path) for sheet, _ in of_names)
        raise Question(
            f"{place}: {empty} of {rows} rows name no label. Have these pictures none (--absent "
            f"{BLANK}), or has nobody looked yet (--unknown {BLANK}, which leaves them out)? Where "
            "the label above holds for them, too, as in merged cells, write it into each row"
        )


def _ask_about_second_rows(reading: Reading, pictures: dict[str, Listed]) -> None:
    """Raises Question where hardly any picture has a second row with another label.

    Where many have, there is a row a label. Objects have a row each.
    """
    sheet, columns = reading.sheet, reading.columns
    is_of_objects = any(is_any(header, BOX_CORNERS) for header in sheet.headers)
    if is_of_objects or columns.confidence or sheet.file.answers.union:
        return
    second = [picture for picture, listed in pictures.items() if listed.has_other_rows]
    if 0 < len(second) <= FEW_SECOND_ROWS * len(pictures):
        labels = named(pictures[second[0]].present)
        raise Question(
            f"{sheet.file.path}: {len(second)} of {len(pictures)} pictures have a second row with "
            f"another label, such as {second[0]} with {labels}. Have they all labels of their rows "
            "(--union), or are rows wrong? Then remove these"
        )


def _suggest_group(sheet: Sheet, columns: Columns) -> None:
    for header in columns.unread:
        cells = sheet.column(header)
        if columns.group is None and is_of_group(header) and len(set(cells)) < len(cells):
            print(
                f"{sheet.file.path}: pictures of one {header!r} may fall into two splits; to keep "
                f"them together, say --group-column {header!r}"
            )


def _refuse_guessed_letters(reading: Reading) -> None:
    """Raises InputError for letters that depend on an encoding that nobody has named."""
    sheet, columns = reading.sheet, reading.columns
    if not sheet.guessed_encoding:
        return
    used = (*columns.pictures, *columns.names)
    for place, row in enumerate(sheet.rows):
        for cell in (*sheet.cells(row, used), *columns.labels.marks):
            if not cell.isascii():
                raise InputError(
                    f"{sheet.where(place)}: {cell!r} is not UTF-8, and may be other letters; save "
                    "the file as UTF-8 (in Excel: CSV UTF-8), or say what it is, such as "
                    "--encoding cp1252"
                )
