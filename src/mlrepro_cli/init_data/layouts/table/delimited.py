"""Text with a row a line: fields between commas, tabs, semicolons, bars or spaces."""

import csv
import io
import re
from itertools import islice

from mlrepro.errors import InputError
from mlrepro_cli.init_data.layouts.rows import LabelFile
from mlrepro_cli.init_data.layouts.table.entities import without_entities
from mlrepro_cli.init_data.layouts.table.header_rows import (
    Records,
    find_headers,
    may_have_spaces,
)
from mlrepro_cli.init_data.layouts.table.headers import (
    IMAGE_WORDS,
    is_any,
    is_plural,
    label_family,
)
from mlrepro_cli.init_data.layouts.table.separators import BETWEEN_FIELDS
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.layouts.table.text import decode
from mlrepro_cli.init_data.layouts.table.title_rows import MOST, find_header
from mlrepro_cli.pictures import is_picture

DELIMITERS = ",\t;|"
SPACE = " "
# The first line of a file by which Excel is told its delimiter.
EXCEL_LINE = re.compile(r'\A"?sep=(.)"?(\r\n|\r|\n)')
# A line all of whose fields are in single quotes, which so are what quotes are there.
SINGLE_QUOTED = re.compile(r"'[^',;\t|]*'([,;\t|]'[^',;\t|]*')+")
# A second byte order mark, of files that were put together, and the end of a file of DOS.
NO_TEXT = "\ufeff\x1a"
# A field of a line that is drawn.
DRAWN = re.compile(":?-{2,}:?")
# Of so many lines it is seen what stands between fields.
SAMPLE_LINES = 200
# Fields are as long as a list of labels may be.
csv.field_size_limit(10**8)


def read_delimited(file: LabelFile, content: bytes) -> Sheet:
    """Raises InputError, which names file and line, for what is not a table."""
    text, guessed = decode(file.path, content, file.answers.encoding)
    text = text.strip(NO_TEXT)
    excel = EXCEL_LINE.match(text)
    start = excel.end() if excel else _comment_end(text)
    body = text[start:]
    delimiter = excel[1] if excel else _delimiter(body, file)
    if delimiter == SPACE:
        # CelebA's header ends with a space, which is no field.
        body = "\n".join(line.strip() for line in body.splitlines())

    records = _records(file, body, delimiter)
    lines_before = len(text[:start].splitlines())
    records.lines = [line + lines_before for line in records.lines]
    if _begins_with_count(records):
        records.drop_first()
    _drop_title(file, records)

    headers = find_headers(file, records)
    _drop_other_headers(file, headers, records)
    if file.answers.header:
        _join_labels(headers, records, delimiter)
    _even_out(file, headers, records, delimiter)
    headers, rows = _without_empty_columns(headers, records.rows)
    headers = [without_entities(header) for header in headers]
    headers, repeated = told_apart(headers)
    return Sheet(
        file,
        headers,
        rows,
        records.lines,
        repeated=repeated,
        guessed_encoding=guessed,
    )


def _comment_end(text: str) -> int:
    """Where the first line that is no comment begins. `#image,labels` is a header."""
    start = 0
    lines = text.splitlines(keepends=True)
    for line, following in zip(lines, lines[1:], strict=False):
        if not line.startswith("#"):
            break
        if any(following.count(mark) == line.count(mark) > 0 for mark in ",;\t"):
            break
        start += len(line)
    return start


# ---- Fields --------------------------------------------------------------------------------------


def _delimiter(text: str, file: LabelFile) -> str:
    """What stands between fields: what parts every line as it parts the header.

    Of several, what makes most fields. A header that nothing parts is one field.
    """
    lines = [line.strip(SPACE) for line in islice(text.splitlines(), SAMPLE_LINES)]
    lines = [line for line in lines if line.strip()]
    delimiters = DELIMITERS + (SPACE if may_have_spaces(file) else "")
    # A title that nothing parts stands above a header.
    for first in range(min(MOST, len(lines) - 2)):
        if any(delimiter in lines[first] for delimiter in delimiters):
            lines = lines[first:]
            break

    best = DELIMITERS[0]
    best_rank = (False, False, 1)
    for delimiter in delimiters:
        counts = _field_counts(lines, delimiter)
        if len(counts) > 2 and lines[0].strip().isdecimal():
            counts.pop(0)  # CelebA's number of rows
        header, rows = counts[0], set(counts[1:])
        rank = (rows <= {header}, len(rows) <= 1, header)
        if header > 1 and rank > best_rank:
            best, best_rank = delimiter, rank
    return best


def _field_counts(lines: list[str], delimiter: str) -> list[int]:
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        return [len(fields) for fields in reader] or [0]
    except csv.Error:
        return [0]


def _records(file: LabelFile, text: str, delimiter: str) -> Records:
    """All rows that are not empty, their fields without spaces around them."""
    # The header may have none, as of MySQL.
    lines = [line.strip() for line in text.split("\n", 2)[:2]]

    # A quoted field may hold line ends (newline=""); stray quotes are errors (strict).
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar="'" if any(map(SINGLE_QUOTED.fullmatch, lines)) else '"',
        skipinitialspace=True,
        strict=True,
    )
    records = Records([], [])
    try:
        for fields in reader:
            stripped = [field.strip() for field in fields]
            if any(stripped) and not _is_drawn(stripped):
                records.rows.append(stripped)
                records.lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(
            f"{file.path}, line {reader.line_num}: {error}; a field that holds a quote is written "
            "in quotes, with the quotes in it doubled"
        ) from None

    if not records.rows:
        raise InputError(f"{file.path}: empty; give the table itself")
    return records


def _is_drawn(fields: list[str]) -> bool:
    """Whether it is the line below a header of Markdown, `|---|:--:|`."""
    # Of millions of lines hardly one goes on to the second question.
    return (
        len(fields) > 1
        and "--" in fields[1]
        and all(DRAWN.fullmatch(field) for field in fields if field)
    )


def _begins_with_count(records: Records) -> bool:
    """Whether the first line is the number of rows, as in CelebA's lists."""
    rows = records.rows
    return len(rows) > 2 and len(rows[0]) == 1 and rows[0][0].isdecimal() and len(rows[1]) > 1


def _drop_other_headers(file: LabelFile, headers: list[str], records: Records) -> None:
    """Of tables that were put one behind the other."""
    again = {place for place, row in enumerate(records.rows) if row == headers}
    if again:
        print(f"{file.path}, line {records.lines[min(again)]}: not read, the header again")
        records.rows = [row for place, row in enumerate(records.rows) if place not in again]
        records.lines = [line for place, line in enumerate(records.lines) if place not in again]


def _drop_title(file: LabelFile, records: Records) -> None:
    if file.answers.header:
        return
    header = find_header(records.rows, file.pictures)
    if header.title:
        print(f"{file.path}: above the header, not read: {header.title!r}")
    for _ in range(header.above):
        records.drop_first()
    if header.names:
        records.rows[0] = list(header.names)


# ---- Headers -------------------------------------------------------------------------------------


def _join_labels(headers: list[str], records: Records, delimiter: str) -> None:
    """Of rows of any length, all fields from the last column on, where it is headed `labels`.

    Such lists hold as many labels behind a picture as it has. Where spaces stand between
    fields, all words are one label below `label`.
    """
    last = headers[-1]
    place = len(headers) - 1
    longest = max(map(len, records.rows), default=0)
    if not label_family(last) or longest <= len(headers):
        return
    if is_plural(last):
        mark = BETWEEN_FIELDS
    elif delimiter == SPACE:
        mark = SPACE
    else:
        return
    for row in records.rows:
        row[place:] = [mark.join(field for field in row[place:] if field)]


def _even_out(file: LabelFile, headers: list[str], records: Records, delimiter: str) -> None:
    """Makes all rows as long as the headers, or raises InputError for one that cannot be."""
    lengths = {len(row) for row in records.rows}
    # R leaves the names of rows without a header, and CelebA the pictures.
    if len(headers) > 1 and lengths == {len(headers) + 1}:
        first = records.rows[0][0]
        if not (is_any(headers[0], IMAGE_WORDS) and is_picture(first)):
            headers.insert(0, "")

    # A note below the table is told of where it is seen to be no picture.
    if records.rows and len(records.rows[-1]) == 1 and SPACE in records.rows[-1][0]:
        records.rows[-1] += [""] * (len(headers) - 1)

    for row, line in zip(records.rows, records.lines, strict=True):
        # Spreadsheets write empty fields up to their widest row.
        while len(row) > len(headers) and not row[-1]:
            row.pop()
        if len(row) != len(headers):
            raise InputError(
                f"{file.path}, line {line}: {len(row)} fields where the header has {len(headers)} "
                f"({_shortened(row)}); put quotes around a field that holds {delimiter!r}, or mend "
                "the line"
            )


def _shortened(row: list[str]) -> str:
    return ", ".join(row)[:80]


def _without_empty_columns(
    headers: list[str], rows: list[list[str]]
) -> tuple[list[str], list[list[str]]]:
    """Columns without a name and a field are left out; those that have fields get a name."""
    kept = [
        place for place, header in enumerate(headers) if header or any(row[place] for row in rows)
    ]
    named = [headers[place] or f"column {place + 1}" for place in kept]
    if len(kept) == len(headers):
        return named, rows
    return named, [[row[place] for place in kept] for row in rows]


def told_apart(headers: list[str]) -> tuple[list[str], frozenset[str]]:
    """A header that stands there again gets a number. Returns those, too."""
    seen: dict[str, int] = {}
    different = []
    for header in headers:
        seen[header] = seen.get(header, 0) + 1
        different.append(header if seen[header] == 1 else f"{header} {seen[header]}")
    repeated = {header for header, count in seen.items() if count > 1}
    return different, frozenset(repeated)
