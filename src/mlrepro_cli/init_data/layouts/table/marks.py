"""Cells that say whether the label at the head of their column is there: 1, 0, yes, x, nothing."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mlrepro.errors import first_of
from mlrepro_cli.init_data.answers import Answers, Question
from mlrepro_cli.init_data.layouts.rows import ABSENT, PRESENT, UNKNOWN
from mlrepro_cli.init_data.layouts.table.numbers import number

# How an empty cell is called in options and messages; these are as good as empty.
BLANK = "blank"
BLANK_CELLS = frozenset(
    ("", "nan", "na", "n/a", "#n/a", "null", "none", "nil", "missing", "<na>", r"\n")
)

PRESENT_MARKS = frozenset(
    (
        *"1 true t yes y x + ✓ ✔ present positive pos on checked".split(),
        # As spreadsheets and people of other languages write them.
        *"ja wahr oui vrai si sí verdadero sim verdadeiro vero да истина 是 はい".split(),
    )
)
ABSENT_MARKS = frozenset(
    (
        *"0 false f no n absent negative neg off unchecked".split(),
        *"nein falsch non faux falso não nao нет ложь 否 いいえ".split(),
    )
)
UNKNOWN_MARKS = frozenset("? u unk unknown uncertain unsure maybe".split())
SIGNS = frozenset("x + ✓ ✔".split())
# Marks whose meaning follows from the others in use, or from the user.
OPEN_MARKS = frozenset(("-1", "-", BLANK))

STATE_NAMES = {PRESENT: "present", ABSENT: "absent", UNKNOWN: "unknown"}
# How many columns a message names.
SHOWN = 4


@dataclass(frozen=True)
class Marks:
    """What each mark means, by its plain form."""

    states: dict[str, int]

    def state(self, cell: str) -> int:
        return self.states[plain_mark(cell)]


# Millions of cells hold few different ones.
@lru_cache(maxsize=10_000)
def plain_mark(cell: str) -> str:
    """1, 1.0 and 1,0 are one mark; so are Yes and yes, and all cells that are as good as empty."""
    small = cell.strip().casefold()
    if small in BLANK_CELLS:
        return BLANK
    for ending in (".0", ",0"):
        small = small.removesuffix(ending)
    return small


def are_marks(cells: Iterable[str], answers: Answers) -> bool:
    """Whether a column holds nothing but marks, and not only empty cells."""
    known = PRESENT_MARKS | ABSENT_MARKS | UNKNOWN_MARKS | OPEN_MARKS | set(_answered(answers))
    found = {plain_mark(cell) for cell in set(cells)}
    return found <= known and found != {BLANK}


def way_of_writing(cells: Iterable[str]) -> str | None:
    """Whether marks are words as yes and no, numbers as 1 and 0, or signs; None where they vary."""
    known = (PRESENT_MARKS | ABSENT_MARKS) - {BLANK}
    ways = {_way(mark) for mark in map(plain_mark, set(cells)) if mark in known}
    return ways.pop() if len(ways) == 1 else None


def _way(mark: str) -> str:
    if mark in SIGNS:
        return "signs"
    return "words" if mark.isalpha() else "numbers"


def are_all_unknown(cells: Iterable[str]) -> bool:
    return all(plain_mark(cell) in UNKNOWN_MARKS for cell in set(cells))


def find_other_marks(cells: list[str]) -> list[int]:
    """Rows of a column that say neither that a label is there nor that it is not; or none.

    None, too, where so many do that the column is hardly one of marks.
    """
    plain = {cell: plain_mark(cell) for cell in set(cells)}
    of_rows = [plain[cell] for cell in cells]
    filled = [mark for mark in of_rows if mark != BLANK]
    present = sum(mark in PRESENT_MARKS for mark in filled)
    absent = sum(mark in ABSENT_MARKS for mark in filled)
    if not present or not absent or present + absent <= len(filled) / 2:
        return []

    known = PRESENT_MARKS | ABSENT_MARKS | UNKNOWN_MARKS | OPEN_MARKS
    return [row for row, mark in enumerate(of_rows) if mark not in known]


def row_states(cells: list[str]) -> list[int] | None:
    """Of a column that says whether a row's label is there; none for one that does not say both."""
    states = dict.fromkeys(PRESENT_MARKS, PRESENT) | dict.fromkeys(ABSENT_MARKS, ABSENT)
    states |= dict.fromkeys(UNKNOWN_MARKS, UNKNOWN)
    plain = [plain_mark(cell) for cell in cells]
    if "0" not in plain:
        states["-1"] = ABSENT
    by_row = [states.get(mark) for mark in plain]
    return by_row if None not in by_row and {PRESENT, ABSENT} <= set(by_row) else None


def state_of_row(cell: str) -> int | None:
    """What a cell says of the label of its row: a mark, or how many there are; else None."""
    mark = plain_mark(cell)
    for marks, state in (
        (PRESENT_MARKS, PRESENT),
        (ABSENT_MARKS | {"-1", "-", BLANK}, ABSENT),
        (UNKNOWN_MARKS, UNKNOWN),
    ):
        if mark in marks:
            return state
    amount = number(cell.removesuffix("%"))
    if amount is None or amount < 0:
        return None
    return PRESENT if amount else ABSENT


def read_marks(found: Counter[str], headers: list[str], place: str, answers: Answers) -> Marks:
    """The meaning of all marks in use. Raises Question where it can be more than one.

    found:   how often each mark stands in the columns, by its plain form.
    headers: of the columns; for messages.
    place:   the files; for messages.
    """
    states = {}
    for marks, state in (
        (PRESENT_MARKS, PRESENT),
        (ABSENT_MARKS, ABSENT),
        (UNKNOWN_MARKS, UNKNOWN),
    ):
        states |= {mark: state for mark in marks if mark in found}
    states |= {mark: state for mark, state in _answered(answers).items() if mark in found}

    # Of -1 and 1 alone, -1 can only be absent; beside 0, it may be unknown.
    unclear = []
    for mark in ("-1", "-", BLANK):
        if mark in found and mark not in states:
            if ABSENT in states.values():
                unclear.append(mark)
            else:
                states[mark] = ABSENT
    if unclear:
        raise Question(_question(unclear, found, headers, place))

    _refuse_unread(found, states, headers, place)
    return Marks(states)


def say_marks(marks: Marks, found: Counter[str]) -> str:
    """`0 is absent (20), 1 is present (10)`, for the user to see what was understood."""
    parts = [
        f"{_name(mark)} is {STATE_NAMES[state]} ({found[mark]})"
        for mark, state in sorted(marks.states.items(), key=lambda item: (-item[1] % 3, item[0]))
    ]
    return ", ".join(parts)


def _answered(answers: Answers) -> dict[str, int]:
    given = {}
    for marks, state in (
        (answers.present, PRESENT),
        (answers.absent, ABSENT),
        (answers.unknown, UNKNOWN),
    ):
        given |= {plain_mark(mark): state for mark in marks}
    return given


def _question(unclear: list[str], found: Counter[str], headers: list[str], place: str) -> str:
    counts = ", ".join(f"{_name(each)} ({count})" for each, count in found.most_common())
    asked = [
        f"Does {_name(mark)} mean that nobody knows whether the label is there (--unknown {mark}), "
        f"or that it is not (--absent {mark})?{_other_reading(mark)}"
        for mark in unclear
    ]
    return f"{place}: {_columns(headers)}: {counts}. {' '.join(asked)}"


def _other_reading(mark: str) -> str:
    """In some lists -1 is absent, and 0 is what is hard to tell."""
    return " Where it is 0 that nobody knows: --absent -1 --unknown 0." if mark == "-1" else ""


def _refuse_unread(
    found: Counter[str], states: dict[str, int], headers: list[str], place: str
) -> None:
    unread = sorted(set(found) - set(states))
    if unread:
        shown = ", ".join(_name(mark) for mark in unread[:SHOWN])
        raise Question(
            f"{place}: {_columns(headers)} hold {shown}, which is no mark that is known; say what "
            "it means: --present, --absent or --unknown, or leave the column aside: "
            "--ignore-column"
        )


def _columns(headers: list[str]) -> str:
    return f"the cells of {first_of([repr(header) for header in headers], SHOWN)}"


def _name(mark: str) -> str:
    return "an empty cell" if mark == BLANK else mark
