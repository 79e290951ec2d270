"""Which picture of the scores is which of the labels: by id, whatever it is written like."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mlrepro.errors import InputError

SHOWN = 5  # of a list of names, before how many more there are

# What part of the shorter side must agree by number alone.
NUMBERS_SHARED = 0.9

# A suffix that is a picture's, and not a part of a name with dots in it.
SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{2,4}$")
LAST_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True)
class PictureMatch:
    """Rows of the scores by row of the labels, none where the scores lack the picture.

    how:   in which spelling the ids agree; empty where they are the same.
    extra: ids of the scores that no label has.
    """

    rows: list[int | None]
    how: str
    extra: list[str]

    @property
    def matched(self) -> int:
        return sum(row is not None for row in self.rows)


def match_pictures(scored: Sequence[str], labelled: Sequence[str]) -> PictureMatch:
    """The spelling that finds most pictures, the plainest of equal ones; ids that occur once."""
    best = None
    fewest = min(len(scored), len(labelled))
    for how, spelling in SPELLINGS:
        found = _match(scored, labelled, spelling, how)
        # Running numbers of anything have some numbers in common with others.
        if found and spelling is last_number and found.matched < NUMBERS_SHARED * fewest:
            found = None
        if found and (best is None or found.matched > best.matched):
            best = found
        # No other spelling can find more.
        if best and best.matched == fewest:
            break
    return best


def shared_pictures(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Of the first, those that are among the second, with or without folders and suffixes.

    Where both have folders, val/1.jpg and test/1.jpg are two pictures.
    """
    # All ids of a side are written alike: the first says for the others.
    examples = [names[0] for names in (first, second) if names]
    have_folders = all("/" in example for example in examples)
    spelling = _without_suffix if have_folders else stem

    known = {spelling(name) for name in second}
    return [name for name in first if spelling(name) in known]


def check_unique(ids: Sequence[str], source: str) -> None:
    """Raises InputError where a picture occurs twice: which of them counts, nobody could say."""
    counts = Counter(ids)
    if len(counts) == len(ids):
        return
    twice = [name for name, count in counts.items() if count > 1]
    raise InputError(
        f"{source}: {count_of(twice, 'picture')} more than once ({shown(twice)}); keep one row of "
        "each"
    )


def count_of(names: Sequence[str], noun: str) -> str:
    return f"{len(names):,} {noun}" if len(names) == 1 else f"{len(names):,} {noun}s"


def shown(names: Sequence[str]) -> str:
    """The first of them, and how many there are beyond."""
    more = len(names) - SHOWN
    listed = ", ".join(str(name) for name in names[:SHOWN])
    return f"{listed} and {more:,} more" if more > 0 else listed


def _match(
    scored: Sequence[str], labelled: Sequence[str], spelling: Callable, how: str
) -> PictureMatch | None:
    """None where two pictures of a side are spelt alike."""
    places = _places(scored, spelling)
    wanted = _places(labelled, spelling)
    if places is None or wanted is None:
        return None

    rows: list[int | None] = [None] * len(labelled)
    for key, place in wanted.items():
        rows[place] = places.get(key)
    used = {row for row in rows if row is not None}
    extra = [name for row, name in enumerate(scored) if row not in used]
    return PictureMatch(rows, how, extra)


def _places(ids: Sequence[str], spelling: Callable) -> dict[str, int] | None:
    places: dict[str, int] = {}
    for place, name in enumerate(ids):
        key = spelling(name)
        if key is None:
            continue
        if key in places:
            return None
        places[key] = place
    return places


def stem(name: str) -> str:
    """VOC2007/JPEGImages/000001.jpg is 000001."""
    return SUFFIX.sub("", PurePosixPath(name.replace("\\", "/")).name)


def _without_suffix(name: str) -> str:
    return SUFFIX.sub("", name)


def last_number(name: str) -> str | None:
    """COCO_val2014_000000000042.jpg is 42."""
    match = LAST_NUMBER.search(stem(name))
    if match is None:
        return None
    return match[1].lstrip("0") or "0"


# How two sides may write the same picture, the strictest first.
SPELLINGS = (
    ("", str),
    ("without folders and suffixes", stem),
    ("by the number that they end with", last_number),
)
