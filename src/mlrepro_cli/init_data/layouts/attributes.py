"""What tools let people say of an object beside its label: `species: cat`, `is_young: true`.

Where all objects have one label, such as `animal`, the attributes may be what is meant.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import ABSENT, PRESENT, LabelFile, LabelRow

# In `--labels-column`, the label of an object itself.
OWN = "label"
# What CVAT and Datumaro note of each object, and is no label.
OF_THE_SHAPE = frozenset(
    "occluded truncated difficult rotation z_order track_id keyframe outside is_crowd score "
    "pose".split()
)
MARKS = {"true": PRESENT, "false": ABSENT}
SHOWN = 3


@dataclass(frozen=True)
class Described:
    """An object or a tag. attributes: their values as text, true and false for check boxes."""

    label: str
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DescribedPicture:
    name: str
    split: str
    objects: list[Described]


def read_described(file: LabelFile, pictures: Iterable[DescribedPicture]) -> Iterator[LabelRow]:
    """The labels of pictures: of objects, or of those attributes that `--labels-column` names.

    A check box is a label that is called as its attribute is. Raises Question where all objects
    have one label and differ in attributes.
    """
    pictures = list(pictures)
    values = _values(pictures)
    wanted = file.answers.label_columns
    if not wanted:
        _ask_about_attributes(file, pictures, values)
        wanted = (OWN,)
    for name in wanted:
        if name != OWN and name not in values:
            raise InputError(
                f"{file.path}: --labels-column {name}: no attribute of objects; "
                f"{nearest(name, sorted(values))}"
            )

    for picture in pictures:
        states: dict[str, int] = {}
        for described in picture.objects:
            for label, state in _labels(described, wanted):
                # There once is there.
                states[label] = max(state, states.get(label, state))
        for label, state in sorted(states.items()):
            yield LabelRow(picture.name, picture.split, label, state)
        if PRESENT not in states.values():
            yield LabelRow(picture.name, picture.split, "")


def _values(pictures: list[DescribedPicture]) -> dict[str, set[str]]:
    """All values of each attribute that may be a label."""
    values = defaultdict(set)
    for picture in pictures:
        for described in picture.objects:
            for name, value in described.attributes.items():
                if name not in OF_THE_SHAPE and value:
                    values[name].add(value)
    return values


def _ask_about_attributes(
    file: LabelFile, pictures: list[DescribedPicture], values: dict[str, set[str]]
) -> None:
    labels = {described.label for picture in pictures for described in picture.objects}
    different = {name: found for name, found in values.items() if len(found) > 1}
    shown = [f"{name} ({', '.join(sorted(found)[:SHOWN])})" for name, found in different.items()]

    if len(labels) == 1 and different:
        options = " ".join(f"--labels-column {name!r}" for name in different)
        raise Question(
            f"{file.path}: all objects are {labels.pop()!r}, and differ in {', '.join(shown)}; if "
            f"these are the labels, say {options}; if not, --labels-column {OWN}"
        )
    if different:
        print(
            f"{file.path}: not read of objects: {', '.join(shown)}; where one is a label, say "
            "--labels-column"
        )


def _labels(described: Described, wanted: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Labels with their states."""
    for name in wanted:
        value = described.label if name == OWN else described.attributes.get(name, "")
        if name != OWN and value in MARKS:
            yield name, MARKS[value]
        elif value:
            yield value, PRESENT
