"""What a user answers where data can be read in more than one way, and how it is asked."""

from dataclasses import dataclass

from mlrepro.errors import InputError


@dataclass(frozen=True)
class Answers:
    """The options of `init-data` that say how labels are meant. None: guessed, or asked.

    layout:        the NAME of the one layout that is read, such as `yolo`.
    image_column:  the header of the column of picture names.
    label_columns: headers of the columns that hold labels.
    split_column:  the header of the column that says train, val or test.
    group_column:  the header of what pictures have in common that must not lie in two splits,
                   such as a patient.
    separator:     what stands between the labels of a field; "" where a field is one label.
    negative:      labels that mean that there is none, such as `No Finding`.
    partial:       labels that are not given are unknown, not absent.
    complete:      they are absent, even where every picture has exactly one.
    """

    layout: str | None = None
    image_column: str | None = None
    label_columns: tuple[str, ...] = ()
    split_column: str | None = None
    group_column: str | None = None
    separator: str | None = None
    negative: tuple[str, ...] = ()
    partial: bool = False
    complete: bool = False


NO_ANSWERS = Answers()


class Question(InputError):
    """Data that can be read in more than one way: names each, and the option that decides."""
