"""Which column of a table says what."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from mlrepro_cli.init_data.answers import Answers, Question
from mlrepro_cli.init_data.layouts.table import headers as named
from mlrepro_cli.init_data.layouts.table.marks import are_marks
from mlrepro_cli.init_data.layouts.table.pictures import Stems, find_picture_columns
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.layouts.table.split_words import find_split_column, read_splits

SHOWN = 8
# Numbers in so small a range may be counts or grades of a label.
SMALL_NUMBERS = (-2, 10)
# What is no label beside a column of labels, and asked about beside columns of marks.
UNLIKELY_LABELS = named.DOUBTFUL_WORDS | named.MEASURE_WORDS


@dataclass(frozen=True)
class Columns:
    """Headers by what their columns say.

    pictures:   names of pictures; several where the labels of a row are those of each.
    labels:     names of labels in the cells.
    marks:      headed by a label; the cells say whether it is there.
    split:      train, val or test.
    group:      what pictures share that must not lie in two splits.
    confidence: 1 where a label was found to be there, 0 where it was found not to be.
    annotator:  who gave the labels.
    unread:     all others.
    """

    pictures: tuple[str, ...]
    labels: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    split: str | None = None
    group: str | None = None
    confidence: str | None = None
    annotator: str | None = None
    unread: tuple[str, ...] = ()

    @property
    def has_labels(self) -> bool:
        return bool(self.labels or self.marks)


def find_columns(sheet: Sheet, stems: Stems, answers: Answers) -> Columns | None:
    """None for a table without names of pictures. Raises Question for one of two readings."""
    pictures = find_picture_columns(sheet, stems, answers)
    if not pictures:
        return None

    aside = {*pictures, *answers.ignore_columns, answers.group_column}
    rest = [header for header in sheet.headers if header not in aside]
    split_like = _split_like(sheet, rest, answers)
    rest = [header for header in rest if header not in split_like]

    labels, marks = _find_labels(sheet, rest, answers)
    confidence = _confidence(sheet, rest) if labels else None
    annotator = _first(rest, named.ANNOTATOR_WORDS)
    # A table without labels may be about anything: it is not asked about.
    split = find_split_column(sheet, split_like, answers, ask=bool(labels or marks))
    read = {*labels, *marks, confidence, annotator, split}
    return Columns(
        pictures,
        labels,
        marks,
        split,
        answers.group_column if answers.group_column in sheet.headers else None,
        confidence,
        annotator,
        unread=tuple(header for header in [*rest, *split_like] if header not in read),
    )


def _split_like(sheet: Sheet, headers: list[str], answers: Answers) -> list[str]:
    """Columns that may say the split: that of the user's choice, else those headed so."""
    if answers.split_column:
        return [header for header in headers if header == answers.split_column]
    chosen = {*answers.label_columns, *answers.mark_columns}
    return [header for header in headers if header not in chosen and _says_split(sheet, header)]


def _says_split(sheet: Sheet, header: str) -> bool:
    """By its header; or a column of tags that are all train, val or test, as FiftyOne has it."""
    if named.is_split(header) or named.flagged_split(header):
        return True
    return named.label_family(header) == "tag" and read_splits(sheet, header) is not None


def _first(headers: list[str], wanted: frozenset[str]) -> str | None:
    return next((header for header in headers if named.is_any(header, wanted)), None)


# ---- Labels --------------------------------------------------------------------------------------


def _find_labels(
    sheet: Sheet, rest: list[str], answers: Answers
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of labels' names, and columns of marks; one of the two is empty."""
    if answers.label_columns or answers.mark_columns:
        return _chosen(sheet, rest, answers)

    marks = [header for header in rest if are_marks(sheet.column(header), answers)]
    texts = [
        header
        for header in rest
        if header not in marks and named.label_family(header) and not _are_measures(sheet, header)
    ]
    certain = [header for header in marks if not named.is_any(header, UNLIKELY_LABELS)]
    headed = [header for header in certain if named.label_family(header)]
    if texts and (len(certain) > 1 or headed):
        raise Question(
            f"{sheet.file.path}: labels may stand in {_listed(texts)}, or be the headers of "
            f"{_listed(certain)}, whose cells are marks; say --labels-column {texts[0]!r} or "
            "--mark-column '*'"
        )
    if texts:
        return _one_family(sheet, texts), ()
    if certain:
        _ask_about_marks(sheet, rest, certain, [h for h in marks if h not in certain])
        return (), tuple(certain)

    numbers = [header for header in rest if named.is_label_number(header)]
    return tuple(numbers[:1]), ()


def _chosen(
    sheet: Sheet, rest: list[str], answers: Answers
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    labels = tuple(header for header in answers.label_columns if header in rest)
    marks = [
        header
        for header in rest
        if any(_fits(header, pattern) for pattern in answers.mark_columns)
        and (header in answers.mark_columns or are_marks(sheet.column(header), answers))
    ]
    return labels, tuple(marks)


def _fits(header: str, pattern: str) -> bool:
    return header == pattern or fnmatchcase(header.casefold(), pattern.casefold())


def _ask_about_marks(
    sheet: Sheet, rest: list[str], certain: list[str], doubtful: list[str]
) -> None:
    """Raises Question where columns of marks may be something else, or others may be of labels."""
    path = sheet.file.path
    if doubtful:
        raise Question(
            f"{path}: are {_listed(doubtful)} labels, as {_listed(certain)} may be? Say "
            f"--ignore-column {doubtful[0]!r} where not, or --mark-column '*' where all are"
        )
    if len(certain) == 1:
        _ask_about_one(sheet, rest, certain[0])

    for header in rest:
        if header not in certain and _are_small_numbers(sheet, header):
            found = sorted(set(sheet.filled(header)))[:SHOWN]
            raise Question(
                f"{path}: beside columns of marks, {header!r} holds {', '.join(found)}; if it is a "
                "label, say what these mean: --present, --absent or --unknown, each for a mark; "
                f"if not: --ignore-column {header!r}"
            )


def _ask_about_one(sheet: Sheet, rest: list[str], header: str) -> None:
    """One column of marks is a label if it is called so, or if there is nothing else."""
    is_named = named.words(header)[:1] in (["is"], ["has"])
    is_alone = len(rest) == 1 and not named.label_family(header)
    if not is_named and not is_alone:
        marks = " and ".join(sorted(set(sheet.filled(header))))
        raise Question(
            f"{sheet.file.path}: column {header!r} holds {marks}. Is it one label that is there or "
            f"not (--mark-column {header!r}), are these the names of labels (--labels-column "
            f"{header!r}), or is it none (--ignore-column {header!r})?"
        )


def _one_family(sheet: Sheet, texts: list[str]) -> tuple[str, ...]:
    """Columns such as label1 and label2. Raises Question for such as species and tags."""
    different: list[str] = []
    for header in texts:
        same = next((other for other in different if _say_the_same(sheet, header, other)), None)
        if same is None:
            different.append(header)
        elif _are_numbers(sheet.filled(same)):
            # Of class and class_name, the one with names.
            different[different.index(same)] = header

    families = {named.label_family(header) for header in different}
    if len(families) > 1:
        options = " or ".join(f"--labels-column {header!r}" for header in different)
        raise Question(
            f"{sheet.file.path}: labels may stand in {_listed(different)}; say which: {options}; "
            "several where each holds labels of the picture"
        )
    return tuple(different)


def _say_the_same(sheet: Sheet, one: str, other: str) -> bool:
    """Whether two columns are equal, or one has the numbers of the other's names."""
    cells, others = sheet.column(one), sheet.column(other)
    if cells == others:
        return True
    if _are_numbers(sheet.filled(one)) == _are_numbers(sheet.filled(other)):
        return False
    pairs = set(zip(cells, others, strict=True))
    return len(pairs) == len(set(cells)) == len(set(others))


def _confidence(sheet: Sheet, rest: list[str]) -> str | None:
    """A column of 0 and 1. Raises Question for one of scores."""
    header = _first(rest, named.SCORE_WORDS)
    if header is None:
        return None
    values = {number for number in map(_number, sheet.column(header)) if number is not None}
    if values <= {0, 1}:
        return header if values else None
    raise Question(
        f"{sheet.file.path}: column {header!r} holds scores such as {max(values):g}. Predictions "
        "of another program? Then move this file away. If its rows are labels that are there, "
        f"say --ignore-column {header!r}"
    )


# ---- Numbers -------------------------------------------------------------------------------------


def _number(cell: str) -> float | None:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return None


def _are_numbers(cells: list[str]) -> bool:
    return bool(cells) and all(_number(cell) is not None for cell in cells)


def _are_measures(sheet: Sheet, header: str) -> bool:
    """Whether a column holds numbers that are not whole: no names of labels."""
    numbers = [_number(cell) for cell in sheet.filled(header)]
    if not numbers or None in numbers:
        return False
    return any(number % 1 for number in numbers)


def _are_small_numbers(sheet: Sheet, header: str) -> bool:
    if named.is_any(header, named.MEASURE_WORDS):
        return False
    numbers = [_number(cell) for cell in sheet.filled(header)]
    if not numbers or None in numbers:
        return False
    least, most = SMALL_NUMBERS
    return least <= min(numbers) and max(numbers) <= most


def _listed(headers: list[str]) -> str:
    shown = ", ".join(repr(header) for header in headers[:SHOWN])
    return f"{shown} and {len(headers) - SHOWN} more" if len(headers) > SHOWN else shown
