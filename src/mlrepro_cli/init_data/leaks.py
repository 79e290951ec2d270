"""Pictures that must not lie in two splits, and what is said where they do.

What was learnt from one of them is tested on the other: every score is too good.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mlrepro.report.render import count
from mlrepro.terminal import one_line
from mlrepro_cli.init_data.near_copies import near_copies
from mlrepro_cli.init_data.own_data import OwnData

NAMED = 5  # groups that a message names
# Where one group of near copies takes more of all pictures, they are alike, but not copies.
LARGEST_SHARE = 0.2
# How the lines begin that tell of them.
LEAK = "LEAK"


@dataclass(frozen=True)
class Kin:
    """Pictures that belong together for one reason.

    reason: in words. pairs: (pairs, 2) their places. names: of each picture's group, where it has
    one.
    """

    reason: str
    pairs: np.ndarray
    names: Sequence[str] | None = None


def kin_of(own: OwnData, group_column: str | None = None) -> list[Kin]:
    """Copies, near copies and groups that the labels name. own: its frame with `digest`."""
    frame = own.frame
    kin = [Kin("of the same bytes", _same(frame["digest"]))]

    pairs = near_copies(own.root, frame["image"].tolist())
    largest = np.bincount(_components([pairs], len(frame))).max()
    if largest > max(2, LARGEST_SHARE * len(frame)):
        print(
            f"{largest} of {len(frame)} pictures look alike, so that near copies cannot be told: "
            "only files of the same bytes are kept in one split"
        )
    else:
        digests = frame["digest"].to_numpy()
        others = digests[pairs[:, 0]] != digests[pairs[:, 1]]
        kin.append(Kin("of near copies", pairs[others]))

    if frame["group"].any():
        groups = frame["group"]
        named = f"of one {group_column}" if group_column else "of one group"
        kin.append(Kin(named, _same(groups.where(groups != "")), groups.tolist()))
    return kin


def together(kin: Sequence[Kin], pictures: int) -> np.ndarray:
    """(pictures,) a number a group: pictures of one number belong together, for any reason."""
    return _components([reason.pairs for reason in kin], pictures)


def _components(pairs: Sequence[np.ndarray], pictures: int) -> np.ndarray:
    none = np.empty((0, 2), np.int64)
    first, second = np.concatenate([none, *pairs]).T
    ones = np.ones(len(first), np.int8)
    edges = coo_array((ones, (first, second)), (pictures, pictures))
    _, number = connected_components(edges, directed=False)
    return number


def _same(values: pandas.Series) -> np.ndarray:
    """(pairs, 2) of each picture and the first of the same value. One without a value has none."""
    places = pandas.Series(np.arange(len(values)))
    first = places.groupby(values.to_numpy()).transform("first")

    # Where the value is missing, so is the first, which makes the others decimal numbers.
    is_later = first.notna() & (first != places)
    pairs = np.stack([first[is_later], places[is_later]], 1)
    return pairs.astype(np.int64).reshape(-1, 2)


def tell_leaks(own: OwnData, kin: Sequence[Kin]) -> list[np.ndarray]:
    """Prints which of them lie in two splits, and the option that mends it.

    Returns the places of the pictures of each such group.
    """
    leaking: list[np.ndarray] = []
    for reason in kin:
        groups = list(_leaking(own, reason))
        if not groups:
            continue
        leaking += groups
        pictures = sum(len(places) for places in groups)
        examples = "; ".join(_example(own, reason, places) for places in groups[:NAMED])
        more = f"; and {len(groups) - NAMED} more" if len(groups) > NAMED else ""
        print(
            f"{LEAK}: {count(len(groups), 'group')} {reason.reason}, {pictures} pictures, in more "
            f"than one split: {examples}{more}"
        )
    if leaking:
        print(
            f"{LEAK}: what is learnt from one is tested on the other, so that scores are too "
            "good. The splits are as your data give them; --regroup puts each group wholly into "
            "the split that has most of it"
        )
    return leaking


def _leaking(own: OwnData, reason: Kin) -> Iterator[np.ndarray]:
    """Places of the pictures of each group that lies in more than one split."""
    split = own.frame["split"].to_numpy()
    number = _components([reason.pairs], len(split))
    splits_of_group = pandas.Series(split).groupby(number).nunique()
    for group in splits_of_group.index[splits_of_group > 1]:
        yield np.flatnonzero(number == group)


def _example(own: OwnData, reason: Kin, places: np.ndarray) -> str:
    """Of a group, its name and a picture of each of its splits."""
    rows = own.frame.iloc[places]
    shown = [
        f"{one_line(image)} in {split}"
        for split, image in rows.groupby("split", sort=False)["image"].first().items()
    ]
    text = " = ".join(shown)
    return f"{one_line(reason.names[places[0]])}: {text}" if reason.names else text
