"""Which columns of a table say labels, and whether by names or by marks."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from mlrepro.errors import InputError, first_of
from mlrepro_cli.init_data.answers import Answers, Question, option
from mlrepro_cli.init_data.layouts.table import headers as named
from mlrepro_cli.init_data.layouts.table.marks import (
    are_all_unknown,
    are_marks,
    find_other_marks,
    way_of_writing,
)
from mlrepro_cli.init_data.layouts.table.numbers import (
    are_measures,
    are_numbers,
    are_small_numbers,
    number,
)
from mlrepro_cli.init_data.layouts.table.sheet import Sheet
from mlrepro_cli.init_data.name_forms import is_picture_name

SHOWN = 8
# What is no label beside a column of labels, and asked about beside columns of marks.
UNLIKELY_LABELS = named.DOUBTFUL_WORDS | named.MEASURE_WORDS
# What may be in a column of words that come up again and again, and is no label.
NO_LABELS = UNLIKELY_LABELS | named.ABOUT_PERSONS


@dataclass(frozen=True)
class LabelColumns:
    """Headers of columns.

    names:          their cells name labels that are there.
    absent_names:   and labels that are not there.
    unknown_names:  and labels that may be there.
    marks:          each is a label, and its cells are marks.
    """

    names: tuple[str, ...] = ()
    absent_names: tuple[str, ...] = ()
    unknown_names: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


def find_label_columns(sheet: Sheet, rest: list[str], answers: Answers) -> LabelColumns:
    """Of the columns `rest`.

    Raises Question where labels may stand in one column or another, InputError where two columns
    are headed by one label.
    """
    found = _find(sheet, rest, answers)
    twice = sheet.repeated & set(found.marks)
    if twice:
        raise InputError(
            f"{sheet.file.path}: two columns are headed {min(twice)!r}, and their cells are marks; "
            "call one of them otherwise, or take it out"
        )
    return found


def _find(sheet: Sheet, rest: list[str], answers: Answers) -> LabelColumns:
    if answers.label_columns or answers.mark_columns:
        return _chosen(sheet, rest, answers)

    marks = [header for header in rest if _holds_marks(sheet, header, answers)]
    certain = [header for header in marks if not _is_unlikely(header)]
    odd = {*_of_persons(sheet, certain), *_written_otherwise(sheet, certain)}
    certain = [header for header in certain if header not in odd]
    texts = [
        header
        for header in rest
        if header not in marks and named.label_family(header) and not are_measures(sheet, header)
    ]
    names = [header for header in texts if not named.is_of_other_state(header)]
    headed = [header for header in certain if named.label_family(header)]
    if names and (len(certain) > 1 or headed):
        raise Question(
            f"{sheet.file.path}: labels may stand in {listed(names)}, or be the headers of "
            f"{listed(certain)}, whose cells are marks; say --labels-column {names[0]!r} or "
            "--mark-column '*'"
        )
    if names:
        _refuse_epithets(sheet, names)
        return _with_other_states(_one_family(sheet, names), rest, marks)
    if certain:
        _ask_about_marks(sheet, rest, certain, [h for h in marks if h not in certain])
    else:
        _ask_about_other_marks(sheet, rest)

    numbers = [header for header in rest if named.is_label_number(header)]
    return LabelColumns(names=() if certain else tuple(numbers[:1]), marks=tuple(certain))


def _holds_marks(sheet: Sheet, header: str, answers: Answers) -> bool:
    """Of ? alone below `label`, nobody knows a label."""
    cells = sheet.column(header)
    if named.label_family(header) and are_all_unknown(cells):
        return False
    return are_marks(cells, answers)


def _is_unlikely(header: str) -> bool:
    """Whether a column of marks is called as what is no label more often than not."""
    if named.is_any(header, UNLIKELY_LABELS) or named.is_question(header):
        return True
    return named.is_of_any_label(header) or named.counts_labels(header)


def _of_persons(sheet: Sheet, marks: list[str]) -> list[str]:
    """Columns such as `smoker` of a table that says the age or the patient, too."""
    others = [header for header in sheet.headers if header not in marks]
    if not any(named.is_any(header, named.ABOUT_PERSONS) for header in others):
        return []
    return [header for header in marks if named.is_any(header, named.PERSON_WORDS)]


def _written_otherwise(sheet: Sheet, marks: list[str]) -> list[str]:
    """All but the most columns of one kind: with yes and no, with 1 and 0, or with x.

    Who writes labels writes them in one way; what else is known comes from somewhere else. Of
    equals, numbers are rather labels than words, and these than signs.
    """
    by_way: dict[str, list[str]] = {"numbers": [], "words": [], "signs": []}
    for header in marks:
        way = way_of_writing(sheet.column(header))
        if way:
            by_way[way].append(header)

    most = max(by_way.values(), key=len)
    return [header for headers in by_way.values() if headers is not most for header in headers]


def _chosen(sheet: Sheet, rest: list[str], answers: Answers) -> LabelColumns:
    marks = [header for header in rest if is_chosen_mark(sheet, header, answers)]
    chosen = tuple(header for header in answers.label_columns if header in rest)
    if not chosen:
        return LabelColumns(marks=tuple(marks))
    return _with_other_states(chosen, rest, marks)


def is_chosen_mark(sheet: Sheet, header: str, answers: Answers) -> bool:
    """Whether the user says that a column is headed by a label: by name, or as one of marks."""
    if header in answers.mark_columns:
        return True
    fits = any(
        fnmatchcase(header.casefold(), pattern.casefold()) for pattern in answers.mark_columns
    )
    return fits and are_marks(sheet.column(header), answers)


def _with_other_states(names: tuple[str, ...], rest: list[str], marks: list[str]) -> LabelColumns:
    """Columns such as negative_labels and `unknown` complete those of the labels that are there."""
    others = [header for header in rest if header not in marks and header not in names]
    return LabelColumns(
        names,
        absent_names=tuple(header for header in others if named.is_of_absent_labels(header)),
        unknown_names=tuple(header for header in others if named.is_of_unknown_labels(header)),
    )


# ---- Columns of names ----------------------------------------------------------------------------


def _one_family(sheet: Sheet, names: list[str]) -> tuple[str, ...]:
    """Columns such as label1 and label2. Raises Question for such as species and tags."""
    different: list[str] = []
    for header in names:
        same = next((other for other in different if _say_the_same(sheet, header, other)), None)
        if same is None:
            different.append(header)
        elif are_numbers(sheet.filled(same)):
            # Of class and class_name, the one with names.
            different[different.index(same)] = header

    of_persons = [header for header in different if named.is_any(header, named.ANNOTATOR_WORDS)]
    if len(of_persons) > 1:
        options = " or ".join(f"--labels-column {header!r}" for header in of_persons)
        raise Question(
            f"{sheet.file.path}: {listed(of_persons)} are labels by several persons, who do not "
            f"agree; say whose are right: {options}; with several of these, a picture has the "
            "labels of all"
        )

    families = {named.label_family(header) for header in different}
    if len(families) > 1:
        options = " or ".join(f"--labels-column {header!r}" for header in different)
        raise Question(
            f"{sheet.file.path}: labels may stand in {listed(different)}; say which: {options}; "
            "several where each holds labels of the picture"
        )
    return tuple(different)


def _say_the_same(sheet: Sheet, one: str, other: str) -> bool:
    """Whether two columns are equal, or one has the numbers of the other's names."""
    cells, others = sheet.column(one), sheet.column(other)
    if cells == others:
        return True
    if are_numbers(sheet.filled(one)) == are_numbers(sheet.filled(other)):
        return False
    pairs = set(zip(cells, others, strict=True))
    return len(pairs) == len(set(cells)) == len(set(others))


def _refuse_epithets(sheet: Sheet, names: list[str]) -> None:
    """Raises Question for a column of species that name two, as `alba` of two genera does."""
    genera = [header for header in sheet.headers if named.is_any(header, frozenset(("genus",)))]
    for header in names:
        if not genera or named.label_family(header) != "species":
            continue
        genus_of: dict[str, str] = {}
        pairs = zip(sheet.column(header), sheet.column(genera[0]), strict=True)
        for species, genus in pairs:
            first = genus_of.setdefault(species, genus)
            if species and genus and first and genus != first:
                raise Question(
                    f"{sheet.file.path}: {species!r} in {header!r} is of {first} and of {genus} in "
                    f"{genera[0]!r}, so that two species would be one label; write both words into "
                    f"one column, or say --labels-column {genera[0]!r} for the genera, or "
                    f"--labels-column {header!r} where these are one label"
                )


def may_name_labels(sheet: Sheet, header: str) -> bool:
    """Whether a column holds a few words that come up again and again."""
    cells = sheet.filled(header)
    different = set(cells)
    are_words = not any(number(cell) is not None or is_picture_name(cell) for cell in different)
    return are_words and 1 < len(different) <= len(cells) / 2


def may_number_labels(sheet: Sheet, header: str) -> bool:
    """Whether a column such as landmark_id holds a few numbers that come up again and again."""
    cells = sheet.filled(header)
    of_header = named.words(header)
    is_headed = len(of_header) > 1 and of_header[-1] in named.NUMBER_WORDS
    is_of_group = named.is_any(header, named.GROUP_WORDS)
    are_few = 1 < len(set(cells)) <= len(cells) / 2
    return is_headed and not is_of_group and are_few and all(map(str.isdecimal, cells))


# ---- Columns of marks ----------------------------------------------------------------------------


def _ask_about_marks(
    sheet: Sheet, rest: list[str], certain: list[str], doubtful: list[str]
) -> None:
    """Raises Question where columns of marks may be something else, or others may be of labels."""
    if doubtful:
        raise Question(
            f"{sheet.file.path}: are {listed(doubtful)} labels, as {listed(certain)} may be? Say "
            f"--ignore-column {doubtful[0]!r} where not, or --mark-column '*' where all are"
        )
    if len(certain) == 1:
        _ask_about_one(sheet, rest, certain[0])
    _ask_about_other_marks(sheet, [header for header in rest if header not in certain])

    for header in rest:
        if header not in certain and are_small_numbers(sheet, header):
            found = sorted(set(sheet.filled(header)))[:SHOWN]
            raise Question(
                f"{sheet.file.path}: beside columns of marks, {header!r} holds {', '.join(found)}; "
                "if it is a label, say what these mean: --present, --absent or --unknown, each "
                f"for a mark; if not: --ignore-column {header!r}"
            )


def _ask_about_other_marks(sheet: Sheet, headers: list[str]) -> None:
    """Raises Question for a column of marks with something else in between, as a slip may be."""
    for header in headers:
        rows = find_other_marks(sheet.column(header))
        is_number = named.is_any(header, named.MEASURE_WORDS) or named.counts_labels(header)
        if rows and not is_number:
            cells = sorted({sheet.column(header)[row] for row in rows})[:SHOWN]
            grades = ""
            if are_small_numbers(sheet, header):
                grades = f"; where its numbers are labels, --labels-column {header!r}"
            raise Question(
                f"{sheet.where(rows[0])}: column {header!r} holds marks of what is there and what "
                f"is not, and {', '.join(cells)}; mend it where that is a slip, or say what it "
                f"means: --present, --absent or {option('unknown', cells[0])}{grades}; or "
                f"--ignore-column {header!r}"
            )


def _ask_about_one(sheet: Sheet, rest: list[str], header: str) -> None:
    """One column of marks is a label if it is called so, or if there is nothing else."""
    others = [
        other
        for other in rest
        if other != header and may_name_labels(sheet, other) and not named.is_any(other, NO_LABELS)
    ]
    is_named = named.words(header)[:1] in (["is"], ["has"]) and not others
    is_alone = len(rest) == 1 and not named.label_family(header)
    if is_named or is_alone:
        return

    marks = " and ".join(sorted(set(sheet.filled(header))))
    elsewhere = ""
    if others:
        elsewhere = f", or do labels stand in {listed(others)} (--labels-column {others[0]!r})"
    raise Question(
        f"{sheet.file.path}: column {header!r} holds {marks}. Is it one label that is there or "
        f"not (--mark-column {header!r}), are these the names of labels (--labels-column "
        f"{header!r}), or is it none (--ignore-column {header!r}){elsewhere}?"
    )


def listed(headers: list[str]) -> str:
    return first_of([repr(header) for header in headers], SHOWN)
