"""What a user answers where data can be read in more than one way, and how it is asked."""

from dataclasses import dataclass

from mlrepro.errors import InputError


@dataclass(frozen=True)
class Answers:
    """The options of `init-data` that say how labels are meant. None: guessed, or asked.

    layout:        the NAME of the one layout that is read, such as `yolo`.
    image_columns: headers of the columns of picture names.
    label_columns: headers of the columns that hold labels.
    mark_columns:  headers that are labels, with marks such as 1 below them; `*` stands for any.
    ignore_columns: headers of columns that say nothing of labels.
    header:        names of the columns of a table without a header.
    encoding:      of tables that are not UTF-8.
    state_column:  the header of the column that says whether a row's label is there.
    split_column:  the header of the column that says train, val or test.
    group_column:  the header of what pictures have in common that must not lie in two splits,
                   such as a patient.
    regroup:       pictures that belong together and lie in two splits come into one.
    separator:     what stands between the labels of a field; "" where a field is one label.
    present, absent, unknown: what a cell of a column of marks means; `blank` is an empty one.
    union:         a picture that several rows or tables list has the labels of all.
    negative:      labels that mean that there is none, such as `No Finding`.
    positive:      labels that are labels, though they sound like none.
    partial:       labels that are not given are unknown, not absent.
    complete:      they are absent, even where every picture has exactly one.
    """

    layout: str | None = None
    image_columns: tuple[str, ...] = ()
    label_columns: tuple[str, ...] = ()
    mark_columns: tuple[str, ...] = ()
    ignore_columns: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    encoding: str | None = None
    state_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    regroup: bool = False
    separator: str | None = None
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    union: bool = False
    negative: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    partial: bool = False
    complete: bool = False


NO_ANSWERS = Answers()


class Question(InputError):
    """Data that can be read in more than one way: names each, and the option that decides."""


def option(name: str, value: str) -> str:
    """An option for the user to type. A value such as `-cat` would be taken for another option."""
    between = "=" if value.startswith("-") and not value[1:].isdecimal() else " "
    return f"--{name}{between}{value!r}"
