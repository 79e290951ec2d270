"""The page that shows what `init-data` understood: in words, by examples, and what is wrong."""

import base64
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas

from mlrepro.data.appearance import whole_picture
from mlrepro.data.picture_names import picture_file
from mlrepro.report.render import write_page
from mlrepro_cli.init_data.describe import LEFT_OUT, NOT_USED, UNREADABLE
from mlrepro_cli.init_data.leaks import LEAK
from mlrepro_cli.init_data.own_data import OwnData

TEMPLATE = "init_data.html.j2"
TOLD_ELSEWHERE = (LEFT_OUT, UNREADABLE, NOT_USED)
EXAMPLES = 8
# Of groups that lie in two splits, so many are shown.
LEAKING = 4
# Of labels on a picture, and of names of files.
MOST_LABELS = 12
MOST_NAMED = 50
THUMBNAIL = (360, 260)
SEED = 0


class Heard(io.TextIOBase):
    """Passes text on, and keeps it."""

    def __init__(self, file: TextIO):
        self._file = file
        self._text = io.StringIO()

    def write(self, text: str) -> int:
        self._text.write(text)
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()

    @property
    def lines(self) -> list[str]:
        return [line for line in self._text.getvalue().splitlines() if line.strip()]


@contextmanager
def heard() -> Iterator[Heard]:
    """What is printed in here, which still is printed."""
    with redirect_stdout(Heard(sys.stdout)) as lines:
        yield lines


@dataclass(frozen=True)
class Card:
    """A picture on the page. thumbnail: a data: address. more: labels that are not shown."""

    image: str
    split: str
    address: str
    thumbnail: str
    labels: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    more: int = 0


@dataclass(frozen=True)
class Understood:
    """What the page tells beside the pictures.

    said:     lines that were printed, without the counts.
    counts:   a column a split.
    rejected: {image, reason} of what is left out; unused: pictures without a label.
    leaking:  places of pictures that belong together and lie in two splits, a group each.
    """

    said: list[str]
    counts: pandas.DataFrame
    rejected: list[dict]
    unused: list[str]
    leaking: list[np.ndarray]


def write_examples(page: Path, name: str, own: OwnData, understood: Understood) -> None:
    """Writes an HTML page that opens from disk: its pictures are inside, made small."""
    # The counts and what is left out stand in parts of their own.
    table = set(understood.counts.to_string().splitlines())
    said = [
        line
        for line in understood.said
        if line not in table and not line.startswith(TOLD_ELSEWHERE)
    ]
    leaks = [line for line in said if line.startswith(LEAK)]
    # Copies of one patient are a group for two reasons.
    leaking = list(dict.fromkeys(tuple(places) for places in understood.leaking))

    write_page(
        TEMPLATE,
        page,
        name=name,
        root=str(own.root),
        pictures=len(own.frame),
        labels=len(own.classes),
        examples=[_card(own, place) for place in example_places(own)],
        leaks=leaks,
        leaking=[_one_a_split(own, places) for places in leaking[:LEAKING]],
        said=[line for line in said if line not in leaks],
        counts=understood.counts,
        left_out=_by_reason(understood),
        most_named=MOST_NAMED,
    )


def example_places(own: OwnData) -> list[int]:
    """Places of eight pictures whose labels and splits differ; one without a label among them."""
    # Not always the first ones of a folder, but the same every time.
    order = np.random.RandomState(SEED).permutation(len(own.frame))
    labels = own.labels[order]
    split = pandas.factorize(own.frame["split"].to_numpy()[order])[0]
    of_split = np.zeros(split.max() + 1)
    without_label = ~labels.any(1)

    chosen: list[int] = []
    seen = np.zeros(labels.shape[1], bool)
    while len(chosen) < min(EXAMPLES, len(order)):
        # Labels that were not shown yet count most, then splits that were shown less.
        score = 3.0 * labels[:, ~seen].sum(1).clip(max=2) - of_split[split]
        # The first of those without a label, and the first that has unknown ones, come anyway.
        for kind in (without_label, own.unknown[order].any(1)):
            if not kind[chosen].any():
                score[kind] += 10
        score[chosen] = -np.inf

        best = int(score.argmax())
        chosen.append(best)
        seen |= labels[best]
        of_split[split[best]] += 1
    return order[chosen].tolist()


def _card(own: OwnData, place: int) -> Card:
    row = own.frame.iloc[place]
    labels = sorted(row["label"])
    unknown = sorted(row["unknown"])
    shown = labels[:MOST_LABELS]
    shown_unknown = unknown[: MOST_LABELS - len(shown)]

    file = picture_file(own.root, row["image"])
    return Card(
        image=row["image"],
        split=row["split"],
        address=file.resolve().as_uri(),
        thumbnail=_thumbnail(file),
        labels=shown,
        unknown=shown_unknown,
        more=len(labels) + len(unknown) - len(shown) - len(shown_unknown),
    )


def _one_a_split(own: OwnData, places: Sequence[int]) -> list[Card]:
    first = {own.frame["split"].iloc[place]: place for place in reversed(places)}
    return [_card(own, place) for place in reversed(first.values())]


def _thumbnail(file: Path) -> str:
    """A picture as a data: address, as networks will see it."""
    picture = whole_picture(file, "shown")
    picture.thumbnail(THUMBNAIL)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _by_reason(understood: Understood) -> dict[str, Sequence[str]]:
    names: dict[str, list[str]] = {}
    for entry in understood.rejected:
        names.setdefault(entry["reason"], []).append(entry["image"])
    if understood.unused:
        names["no label, or copies of one that has"] = understood.unused
    return names
