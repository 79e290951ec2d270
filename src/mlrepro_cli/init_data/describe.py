"""Prints what a user's data are like, and what may be wrong with them."""

from collections import Counter

import numpy as np
import pandas
import scipy.sparse

from mlrepro.errors import first_of
from mlrepro.report.tables import FEW_POSITIVES
from mlrepro.terminal import one_line
from mlrepro_cli.init_data.own_data import OwnData

SPLITS = ("train", "val", "test")
# How many names a line has, and how many pairs of labels are told.
MOST_NAMES = 20
# Of more labels, so many of the most frequent and of the rarest have a line.
MOST_LABELS = 120
EACH = 30
MOST_PAIRS = 5

# How lines begin.
LEFT_OUT = "Left out"
UNREADABLE = "Cannot be read, left out"
NOT_USED = "Not used, without a label or copies of one that is"


def describe(own: OwnData, rejected: list[dict], unused: list[str]) -> pandas.DataFrame:
    """Prints counts, and names of what a user should look at. Returns the counts.

    own: its frame with `digest` and complete splits. rejected: {image, reason, ...}.
    unused: pictures that no label file lists.
    """
    counts = _counts(own)
    print(counts.to_string())
    _print_labels(own)

    _print_rejected(rejected)
    _print_names(NOT_USED, unused)
    _print_copies(own)
    return counts


def _print_rejected(rejected: list[dict]) -> None:
    """What is left out, named; where there are many, counted by reason before."""
    reasons = Counter(entry["reason"] for entry in rejected)
    if len(rejected) > MOST_NAMES:
        counted = [f"{count} x {reason}" for reason, count in reasons.most_common()]
        _print_names(f"{LEFT_OUT}, {len(rejected)} files", counted)
    unreadable = [f"{entry['image']} ({entry['reason']})" for entry in rejected]
    _print_names(UNREADABLE, unreadable)


def _print_names(what: str, names: list[str]) -> None:
    """Prints the first names; nothing where there are none."""
    if not names:
        return
    print(f"{what}: {first_of([one_line(name) for name in names], MOST_NAMES)}")


def _labels_of(own: OwnData, split: str) -> np.ndarray:
    return own.labels[own.frame["split"] == split]


def _counts(own: OwnData) -> pandas.DataFrame:
    """A column a split: pictures, labels, and pictures with each label, or with some of many."""
    places, names = _shown_labels(own)
    columns = {}
    for split in SPLITS:
        labels = _labels_of(own, split)
        pictures = len(labels)
        cardinality = labels.sum() / max(1, pictures)
        without = (~labels.any(1)).sum()
        columns[split] = (pictures, f"{cardinality:.2f}", without, *labels.sum(0)[places])

    rows = ["pictures", "labels a picture", "without a label", *names]
    counts = pandas.DataFrame(columns, rows)
    if own.unknown.any():
        by_split = [own.unknown[own.frame["split"] == split].sum() for split in SPLITS]
        counts.loc["unknown labels"] = by_split
    return counts


def _shown_labels(own: OwnData) -> tuple[np.ndarray, list[str]]:
    """Places and names of all labels, or of many the most frequent ones and then the rarest."""
    places = np.arange(len(own.classes))
    if len(places) > MOST_LABELS:
        most_first = np.argsort(-own.labels.sum(0), kind="stable")
        places = np.concatenate([most_first[:EACH], most_first[-EACH:]])
        print(
            f"{len(own.classes)} labels: below are the {EACH} most frequent and the {EACH} rarest; "
            "the prepare stage counts all (summary.json)"
        )
    return places, [one_line(own.classes[place]) for place in places]


def _print_labels(own: OwnData) -> None:
    classes = np.array(own.classes)
    positives = own.labels.sum(0)

    # One label has no other to be compared with.
    if len(classes) > 1:
        imbalance = max(positives) / max(1, min(positives))
        most, fewest = np.argsort(-positives)[[0, -1]]
        extremes = [f"{classes[label]} ({positives[label]})" for label in (most, fewest)]
        _print_names(f"Imbalance {imbalance:.1f}:1", extremes)
    _print_names("Most often together", _frequent_pairs(own))

    # Labels on which methods can hardly be told apart, or not at all.
    in_test = _labels_of(own, "test").sum(0)
    _print_names("On no test picture, so that its AP counts as 0", list(classes[in_test == 0]))
    rare = in_test < FEW_POSITIVES
    _print_names(f"Too rare to measure, fewer than {FEW_POSITIVES} in test", list(classes[rare]))

    absent = ~own.labels & ~own.unknown
    constant = ~absent.any(0) | ~own.labels.any(0)
    _print_names("On every picture, or on none that can be read", list(classes[constant]))


def _frequent_pairs(own: OwnData) -> list[str]:
    """The pairs of labels that are on most pictures together."""
    # Sparse: of ten thousand labels, hardly any two are ever together.
    on_picture = scipy.sparse.csr_array(own.labels.astype(np.int32))
    # Pictures with both labels; the upper triangle has each pair once.
    together = scipy.sparse.triu(on_picture.T @ on_picture, 1).tocoo()
    most_first = np.argsort(-together.data, kind="stable")[:MOST_PAIRS]

    pairs = []
    for place in most_first:
        first, second = together.row[place], together.col[place]
        pairs.append(f"{own.classes[first]} + {own.classes[second]} ({together.data[place]})")
    return pairs


def _print_copies(own: OwnData) -> None:
    """Names pictures of the same bytes, and those of them that contradict each other."""
    by_digest = own.frame.groupby("digest", sort=False)
    copies = [group for _, group in by_digest if len(group) > 1]
    _print_names("Copies", [" = ".join(group["image"]) for group in copies])

    differing = [group["image"].iloc[0] for group in copies if _contradict(group)]
    _print_names("Copies in two splits or with different labels", differing)


def _contradict(copies: pandas.DataFrame) -> bool:
    label_sets = copies["label"].map(sorted).map(str)
    return copies["split"].nunique() > 1 or label_sets.nunique() > 1
