"""Scores and labels beside each other, a row a picture of the labels and a column a class."""

from dataclasses import dataclass

import numpy as np

from mlrepro.audit.class_names import (
    COCO,
    ClassMatch,
    are_numbered,
    letters_and_digits,
    match_classes,
)
from mlrepro.audit.picture_ids import check_unique, count_of, match_pictures, shown
from mlrepro.audit.tables import DIFFICULT, NEGATIVE, POSITIVE, UNKNOWN, LabelTable, ScoreTable
from mlrepro.errors import InputError

# All that labels and decisions are made of.
LABEL_VALUES = (-1, 0, 1)
# Rows that are looked at before all are.
SAMPLED = 1000


@dataclass(frozen=True)
class Joined:
    """What is audited.

    ids, classes: of the labels; the scores' own rows come first, in their order, for some protocols
                  depend on it.
    scores:  (pictures, classes), as given; `lowest` where there is none.
    states:  (pictures, classes) int8, see `tables`.
    missing: (pictures,) whether the scores lack the picture, or say the same of all its classes.
    absent:  (classes,) whether the scores lack the class, or say the same of all its pictures.
    lowest:  what counts as no evidence at all: no score is below.
    extra:   pictures and classes of the scores that the labels lack.
    notes:   what was found and assumed, as sentences.
    """

    source: str
    ids: list[str]
    classes: list[str]
    scores: np.ndarray
    states: np.ndarray
    missing: np.ndarray
    absent: np.ndarray
    lowest: float
    extra: int
    notes: list[str]

    @property
    def pictures(self) -> int:
        return len(self.ids)

    @property
    def has_difficult(self) -> bool:
        return bool((self.states == DIFFICULT).any())

    def labels(self, difficult: str) -> np.ndarray:
        """(pictures, classes) int8 in {1, 0, -1} where difficult objects count as is said.

        difficult: ignored, negative or positive.
        """
        counts_as = {"ignored": UNKNOWN, "negative": NEGATIVE, "positive": POSITIVE}[difficult]
        labels = self.states.copy()
        labels[labels == DIFFICULT] = counts_as
        return labels


def join(scores: ScoreTable, labels: LabelTable, nan_is_zero: bool = False) -> Joined:
    """Scores by the labels' pictures and classes.

    Raises InputError where too little of one is in the other to be the same data set, and for
    scores that are no numbers (unless `nan_is_zero`, which makes them `lowest`).
    """
    notes = [*scores.notes, *labels.notes]
    if scores.values.dtype == np.float16:
        notes.append("The scores are float16: ties that this made cannot be undone.")
    rows, extra = _rows(scores, labels, notes)
    columns = _columns(scores, labels, notes)
    _check_not_labels(scores, labels)

    order = _order(rows, scores.is_detection)
    rows = rows[order]
    ids = [labels.ids[row] for row in order]

    values = _taken(scores.values, rows, columns)
    missing, absent = _without_evidence(values)
    if absent.all():
        raise InputError(
            f"{scores.source}: every class has one and the same score for all its "
            f"{np.count_nonzero(rows >= 0):,} pictures: there is nothing to rank; give the scores "
            "of the whole test set"
        )
    _note_without_evidence(ids, labels.classes, missing, absent, notes)

    stated = ~missing[:, None] & ~absent
    infinite = ~np.isfinite(values)
    if (infinite & stated).any():
        problem = _describe(values, infinite & stated, ids, labels.classes)
        if not nan_is_zero:
            raise InputError(
                f"{scores.source}: {problem}; mend the scores, or count them as the lowest score: "
                "--nan zero"
            )
        notes.append(f"Counted as the lowest score (--nan zero): {problem}.")

    lowest = lowest_score(values[~infinite])
    values[infinite] = lowest
    return Joined(
        source=scores.source,
        ids=ids,
        classes=labels.classes,
        scores=values,
        states=labels.states[order],
        missing=missing,
        absent=absent,
        lowest=lowest,
        extra=extra,
        notes=notes,
    )


def _order(rows: np.ndarray, is_detection: bool) -> np.ndarray:
    """The labels' pictures in the order in which they were scored, on which protocols depend.

    Missing ones last; boxes are in an order of their own, so that the labels' is as good as any.
    """
    if is_detection:
        return np.arange(len(rows))
    scored = np.flatnonzero(rows >= 0)
    as_scored = scored[np.argsort(rows[scored])]
    missing = np.flatnonzero(rows < 0)
    return np.concatenate([as_scored, missing])


def _taken(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The rows and columns that are asked for, NaN for -1; nothing else is copied."""
    # Float16 as float32, which holds all its numbers: no metric takes less.
    taken = np.full((len(rows), len(columns)), np.nan, np.result_type(values, np.float32))
    has_row = rows >= 0
    has_column = columns >= 0
    given = values[rows[has_row]][:, columns[has_column]]
    taken[np.ix_(has_row, has_column)] = given
    return taken


def _without_evidence(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and classes without any score, or with one and the same for all: (N,), (K,) bool.

    As detectors leave pictures in which they find nothing.
    """
    absent = _is_constant(values, axis=0)
    missing = _is_constant(values[:, ~absent], axis=1)
    return missing, absent


def _is_constant(values: np.ndarray, axis: int) -> np.ndarray:
    """Whether all numbers along the axis are the same, or there are none; NaN is no number."""
    if not values.size:
        return np.zeros(values.shape[1 - axis], bool)
    least = np.fmin.reduce(values, axis=axis)
    most = np.fmax.reduce(values, axis=axis)
    several = values.shape[axis] > 1
    return np.isnan(least) | (several & (least == most))


def lowest_score(values: np.ndarray) -> float:
    """What no evidence at all scores: 0 where no score is negative, else below all."""
    least = values.min(initial=np.inf)
    if not np.isfinite(least):
        return 0.0
    return 0.0 if least >= 0 else float(least) - 1


# ---- Pictures ------------------------------------------------------------------------------------


def _rows(scores: ScoreTable, labels: LabelTable, notes: list[str]) -> tuple[np.ndarray, int]:
    """Of each picture of the labels its row of the scores, -1 for none; and how many are extra."""
    check_unique(labels.ids, labels.source)
    if scores.ids is None:
        return _rows_of_manifest(scores, labels), 0

    check_unique(scores.ids, scores.source)
    found = match_pictures(scores.ids, labels.ids)

    # By the pictures' other name, where that finds more.
    is_all = found is not None and found.matched == len(scores.ids)
    if labels.other_ids and not is_all:
        by_other = match_pictures(scores.ids, labels.other_ids)
        if by_other and (found is None or by_other.matched > found.matched):
            found = by_other

    if found is None or not found.matched:
        raise InputError(
            f"{scores.source}: none of its {count_of(scores.ids, 'picture')} is among the "
            f"{len(labels.ids):,} of {labels.source}\n"
            f"  scores: {shown(scores.ids)}\n"
            f"  labels: {shown(labels.ids)}\n"
            f"give the labels of the same pictures{_other_split(scores, labels)}"
        )
    if len(found.extra) > len(scores.ids) / 2:
        raise InputError(
            f"{scores.source}: {len(found.extra):,} of its {len(scores.ids):,} pictures are not in "
            f"{labels.source} ({shown(found.extra)}): scores of another split, such as train? "
            f"Give scores of the test pictures alone{_other_split(scores, labels)}"
        )

    if found.how:
        notes.append(f"Picture ids agree {found.how}.")
    if found.extra:
        notes.append(
            f"{count_of(found.extra, 'picture')} of the scores are not in the labels, and are left "
            f"out: {shown(found.extra)}."
        )
    rows = [-1 if row is None else row for row in found.rows]
    return np.array(rows, dtype=np.int64), len(found.extra)


def _other_split(scores: ScoreTable, labels: LabelTable) -> str:
    """A remedy, where another split of the labels has most of the pictures."""
    for split, ids in labels.other_splits.items():
        found = match_pictures(scores.ids, ids)
        if found and found.matched > len(scores.ids) / 2:
            return (
                f"; {found.matched:,} of {len(scores.ids):,} are in the split {split!r} of the "
                f"same labels (--split {split})"
            )
    return ""


def _rows_of_manifest(scores: ScoreTable, labels: LabelTable) -> np.ndarray:
    if scores.manifest_sha256 != labels.manifest_sha256:
        raise InputError(
            f"{scores.source}: its rows are those of a manifest with digest "
            f"{scores.manifest_sha256}, and {labels.source} is not that manifest; give the "
            "`data/<name>` folder that it was trained on"
        )
    if len(scores.values) > len(labels.ids):
        raise InputError(
            f"{scores.source}: {len(scores.values):,} rows, and {labels.source} has "
            f"{len(labels.ids):,} pictures of this split; give the split that was scored (--split)"
        )

    # The released protocol leaves out the last pictures, which make no whole batch.
    rows = np.arange(len(labels.ids))
    rows[len(scores.values) :] = -1
    return rows


# ---- Classes -------------------------------------------------------------------------------------


def _columns(scores: ScoreTable, labels: LabelTable, notes: list[str]) -> np.ndarray:
    """Of each class of the labels its column of the scores, -1 for none."""
    names = scores.classes
    if scores.is_detection and all(name.isdecimal() for name in names):
        names = _names_of_numbers(scores, labels, notes)
    elif names is None or are_numbered(names) and not are_numbered(labels.classes):
        return _columns_by_place(scores, labels, notes)

    found = match_classes(names, labels.classes)
    # Detectors may know fewer classes, and a file of boxes lacks those without any.
    fewest = min(len(names), len(labels.classes))
    if not found.matched or found.matched * 2 < fewest:
        raise InputError(
            f"{scores.source}: {found.matched} of the {len(labels.classes)} classes of "
            f"{labels.source} are among its {len(names)}, by name\n"
            f"  scores: {shown(names)}\n"
            f"  labels: {shown(labels.classes)}\n"
            "give the labels' own names of the columns, a line each: --class-names FILE"
        )
    _note_classes(found, labels, notes)
    columns = [-1 if column is None else column for column in found.columns]
    return np.array(columns, dtype=np.int64)


def _columns_by_place(scores: ScoreTable, labels: LabelTable, notes: list[str]) -> np.ndarray:
    columns = scores.values.shape[1]
    classes = len(labels.classes)
    if columns != classes:
        hint = " (is one of them the background?)" if columns == classes + 1 else ""
        raise InputError(
            f"{scores.source}: {columns} columns without names, and {labels.source} has "
            f"{classes} classes{hint}; name the columns, a line each: --class-names FILE"
        )

    if scores.manifest_sha256:
        return np.arange(classes)  # the manifest's, as its rows are
    notes.append(
        f"The scores name no classes: their {columns} columns are taken in the labels' order "
        f"({', '.join(labels.classes[:3])} ...), which the check of the order below judges."
    )
    return np.arange(classes)


def _names_of_numbers(scores: ScoreTable, labels: LabelTable, notes: list[str]) -> list[str]:
    """Class names of columns that are named by category numbers."""
    numbers = [int(name) for name in scores.classes]
    known, whose = _categories(numbers, labels)
    notes.append(f"Category numbers are {whose}.")
    return [known.get(number, f"category {number}") for number in numbers]


def _categories(numbers: list[int], labels: LabelTable) -> tuple[dict[int, str], str]:
    """Names by category number, and whose numbers these are.

    Those of the annotation file; else COCO's, which have gaps, or places in the labels' order, from
    1 or from 0, as exporters of other detectors write: whichever finds most classes of the labels.
    """
    if labels.categories:
        of_file = dict(zip(labels.categories, labels.classes, strict=True))
        if set(numbers) <= set(of_file):
            return of_file, "those of the annotation file"

    candidates = [(COCO, "COCO's own (1 to 90, with gaps)")]
    for first in (1, 0):
        places = dict(enumerate(labels.classes, first))
        candidates.append((places, f"places in the labels' order, from {first}"))

    def found(candidate: tuple[dict[int, str], str]) -> tuple[int, int]:
        names = [candidate[0][number] for number in numbers if number in candidate[0]]
        return len(names), match_classes(names, labels.classes).matched

    # Of equally good ones the first.
    return max(candidates, key=found)


def _note_classes(found: ClassMatch, labels: LabelTable, notes: list[str]) -> None:
    others = [
        f"{ours} is {theirs}"
        for ours, theirs in found.aliases
        if letters_and_digits(ours) != letters_and_digits(theirs)
    ]
    if others:
        notes.append(f"Classes by another name: {', '.join(others)}.")
    if len(found.aliases) > len(others):
        notes.append("Class names agree but for capitals, spaces and signs.")
    if found.extra:
        names = shown(found.extra)
        columns = count_of(found.extra, "column")
        notes.append(f"{columns} of the scores that no class is called like, left out: {names}.")


# ---- Values --------------------------------------------------------------------------------------


def _check_not_labels(scores: ScoreTable, labels: LabelTable) -> None:
    """Raises InputError where the scores look like labels: nothing but -1, 0 and 1."""
    first = scores.values[:SAMPLED]
    if not first.size or not np.isin(first, LABEL_VALUES).all():
        return
    if np.isin(scores.values, LABEL_VALUES).all():
        values = ", ".join(f"{value:g}" for value in np.unique(scores.values))
        raise InputError(
            f"{scores.source}: nothing but {values}: these are labels or decisions, which rank "
            f"nothing; are scores and labels exchanged (the labels are {labels.source})? Give the "
            "scores before a threshold"
        )


def _note_without_evidence(
    ids: list[str], classes: list[str], missing: np.ndarray, absent: np.ndarray, notes: list[str]
) -> None:
    if missing.any():
        names = [ids[row] for row in np.flatnonzero(missing)]
        notes.append(
            f"{count_of(names, 'picture')} of {len(ids):,} without a score, or with the same for "
            f"every class: {shown(names)}."
        )
    if absent.any():
        names = [classes[column] for column in np.flatnonzero(absent)]
        notes.append(
            f"{len(names)} of {len(classes)} classes without a score, or with the same for every "
            f"picture: {shown(names)}."
        )


def _describe(values: np.ndarray, wrong: np.ndarray, ids: list[str], classes: list[str]) -> str:
    """How many scores are no finite numbers, and where."""
    nan = int((np.isnan(values) & wrong).sum())
    infinite = int(wrong.sum()) - nan

    # The classes with most of them first.
    by_class = wrong.sum(axis=0)
    worst_first = np.argsort(-by_class, kind="stable")
    where = [f"{classes[k]} ({by_class[k]:,})" for k in worst_first if by_class[k]]
    pictures = [ids[row] for row in np.flatnonzero(wrong.any(axis=1))]
    return (
        f"{nan:,} scores are NaN and {infinite:,} infinite, of {shown(where)}, in {shown(pictures)}"
    )
