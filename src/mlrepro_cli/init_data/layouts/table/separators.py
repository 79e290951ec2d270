"""What stands between the labels of a field, as the fields themselves show."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mlrepro_cli.init_data.answers import Question

# cat, dog and bird
BEFORE_THE_LAST = (" and ", " & ", " + ", " or ")
# As which the fields of a row are joined that are labels each: the unit separator of ASCII.
BETWEEN_FIELDS = "\x1f"
# What hardly stands within a label, likeliest first; and what may.
HARD_MARKS = ("|", ";", ",", "\t", "\n", "、", "，", "；")
SOFT_MARKS = ("::", "->", ">", "#", "+", "&", "/", " and ", " ")
# What stands within many labels, and so is a mark only where the parts are labels by themselves.
WEAK_MARKS = ("-", "_", ":", ".", "~", "*", "\\", "@")
# For who reads other tables with this guess (mlrepro audit).
SEPARATORS = "|;,\t"

# Of the parts of joined fields, as many must be labels by themselves in other fields.
ALONE_SHARE = 0.8
# Or so few parts make so many fields of more than two.
FIELDS_A_PART = 3
LEAST_SIZES = 3
# What stands between whole numbers, and hardly within one.
BETWEEN_NUMBERS = (" ", ",")
SHOWN = 3


@dataclass(frozen=True)
class Split:
    """Different fields, split at a mark.

    joined:     the parts of each field that holds the mark.
    alone:      how much of their parts is a field by itself, 0 to 1.
    recurring:  how much of their parts is in another field, too.
    parts:      all different labels that the fields then have.
    """

    mark: str
    fields: int
    joined: list[list[str]]
    alone: float
    recurring: float
    parts: set[str]

    @property
    def is_certain(self) -> bool:
        if self.mark in "|;" and self.recurring:
            return True
        if self.mark in HARD_MARKS and self.recurring > 1 / 2 and self._varies():
            return True
        if self.alone >= ALONE_SHARE:
            return True
        if self.mark in BETWEEN_NUMBERS and all(map(str.isdecimal, self.parts)):
            return True
        return self.mark not in WEAK_MARKS and self._makes_many_of_few()

    def _varies(self) -> bool:
        """Whether fields have different numbers of labels; `dog, red` and `cat, black` have not."""
        sizes = {len(parts) for parts in self.joined}
        return self.mark != "," or len(sizes) > 1 or len(self.joined) < self.fields

    def _makes_many_of_few(self) -> bool:
        sizes = {len(parts) for parts in self.joined}
        few = len(self.parts) * FIELDS_A_PART <= self.fields
        return few and len(sizes) >= LEAST_SIZES


def find_separator(fields: Iterable[str], place: str, a_row_a_label: bool) -> str:
    """The mark between the labels of all fields; "" where each field is one label.

    place:         the files and the column; for messages.
    a_row_a_label: pictures with several labels have several rows, so that a field is rather one.
    Raises Question where the fields can be read in two ways.
    """
    different = {part for field in set(fields) for part in field.split(BETWEEN_FIELDS)} - {""}
    splits = [split_at(different, mark) for mark in (*HARD_MARKS, *SOFT_MARKS, *WEAK_MARKS)]
    splits = [split for split in splits if split is not None]
    certain = [split for split in splits if split.is_certain]
    if certain:
        # The mark that leaves the fewest labels explains the most.
        best = min(certain, key=lambda split: len(split.parts))
        _refuse_second_mark(best, place)
        return best.mark

    doubtful = [split for split in splits if _is_doubtful(split, a_row_a_label)]
    if doubtful:
        raise Question(_question(doubtful[0], different, place))
    return ""


def split_at(different: set[str], mark: str) -> Split | None:
    """None where no field holds the mark between two parts."""
    joined = []
    whole = set()
    for field in different:
        parts = split_field(field, mark)
        if len(parts) > 1:
            joined.append(parts)
        else:
            # `dog,` beside `cat, dog,` is dog.
            whole.update(parts or [field])
    if not joined or any("" in parts for parts in joined):
        return None

    counts = Counter(part for parts in joined for part in set(parts))
    alone = [part for part in counts if part in whole]
    recurring = [part for part in counts if part in whole or counts[part] > 1]
    return Split(
        mark=mark,
        fields=len(different),
        joined=joined,
        alone=len(alone) / len(counts),
        recurring=len(recurring) / len(counts),
        parts=set(counts) | whole,
    )


def split_field(field: str, mark: str) -> list[str]:
    """The labels of a field, without spaces around them."""
    if BETWEEN_FIELDS in field:
        fields = field.split(BETWEEN_FIELDS)
        return [label for each in fields for label in split_field(each, mark)]
    if not mark:
        return [field] if field else []
    if mark == " ":
        return field.split()
    parts = [part.strip() for part in field.split(mark)]
    # cat||dog; of C# nothing is left out, so that # is seen to be no mark.
    return [part for part in parts if part] if mark in HARD_MARKS else parts


def _is_doubtful(split: Split, a_row_a_label: bool) -> bool:
    """Whether a mark that is not certain may still be one."""
    if a_row_a_label:
        return False
    if split.mark in WEAK_MARKS:
        # hail_sun beside hail and sun_fog, but not red_dress beside red_shirt.
        return split.recurring >= ALONE_SHARE and split.alone > 0
    return split.mark in HARD_MARKS or split.recurring > 0


def _refuse_second_mark(best: Split, place: str) -> None:
    """Raises Question where the parts are lists in turn."""
    for mark in (*HARD_MARKS, *BEFORE_THE_LAST):
        inner = split_at(best.parts, mark) if mark != best.mark else None
        if inner and inner.is_certain:
            raise Question(
                f"{place}: both {best.mark!r} and {mark!r} seem to stand between labels, as in "
                f"{_joined_with(inner)!r}; write one of them throughout, or say which it is: "
                f"--separator '{best.mark}' or --separator '{mark}'"
            )


def _question(split: Split, different: set[str], place: str) -> str:
    example = _joined_with(split)
    parts = " and ".join(repr(part) for part in split_field(example, split.mark))
    name = {" ": "spaces", "\t": "tabs", "\n": "line ends"}.get(split.mark, f"{split.mark!r}")
    return (
        f"{place}: is {example!r} one label, or {parts}? Read at {name}, there are "
        f"{len(split.parts)} labels ({_some(split.parts)}): say --separator {split.mark!r}. Read "
        f"whole, there are {len(different)} ({_some(different)}): say --separator ''"
    )


def _joined_with(split: Split) -> str:
    """The shortest field of two labels or more, for messages."""
    mark = split.mark if split.mark.strip() else " "
    return min((mark.join(parts) for parts in split.joined), key=lambda text: (len(text), text))


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:SHOWN])
    return f"{shown}, ..." if len(names) > SHOWN else shown
