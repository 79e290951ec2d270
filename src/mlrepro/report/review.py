"""Own data: pages that open from disk, of what the recommended run and the labels differ in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from mlrepro.data.manifest import Manifest
from mlrepro.data.picture_names import picture_file
from mlrepro.errors import InputError
from mlrepro.layout import Layout
from mlrepro.metrics.thresholds import tune_thresholds
from mlrepro.report.comparison import listed_runs
from mlrepro.report.recommend import Scores, choose, mistakes, read_scores
from mlrepro.report.render import write_page
from mlrepro.run_pairs import compare_runs
from mlrepro.studies.runs import current_records

SHOWN = 400  # on a page; its table holds all


@dataclass(frozen=True)
class Decisions:
    """Some decisions on the pictures of one split.

    rows:    of the split, in the manifest.
    decided: positions in `rows`, and classes (n, 2).
    scores:  probabilities (len(rows), C).
    """

    title: str
    manifest: Manifest
    rows: np.ndarray
    decided: np.ndarray
    scores: np.ndarray


def write_review(layout: Layout) -> tuple[int, int]:
    """Writes missing.html, mistakes.html and a CSV of each into the folder `layout.review`.

    Returns how many labels may be missing, and how many mistakes there are. Raises InputError
    where no run can be recommended, or the recommended run has no scores of this manifest.
    """
    runs = listed_runs(current_records(layout), layout.expected)
    scores = read_scores(layout, choose(runs, compare_runs(runs).ties))
    if scores is None:
        raise InputError(
            f"{layout.results}: no run has an mAP, or its logits are of other data; "
            f"dvc repro {layout.dvc_file}"
        )

    missing = _missing(scores)
    wrong = _mistakes(scores)
    _write(missing, layout.review / "missing")
    _write(wrong, layout.review / "mistakes")
    return len(missing.decided), len(wrong.decided)


def _missing(scores: Scores) -> Decisions:
    """Negative training labels whose score passes the threshold of validation."""
    # One threshold a label: what the run itself would answer.
    thresholds = tune_thresholds(scores.by_split["val"], scores.labels("val"))
    train = scores.by_split["train"]
    added = np.argwhere((scores.labels("train") == 0) & (train >= thresholds))
    rows, classes = added.T
    surest_first = np.argsort(-train[rows, classes], kind="stable")
    return Decisions(
        title="Labels it would add to training pictures, surest first",
        manifest=scores.manifest,
        rows=scores.manifest.rows("train"),
        decided=added[surest_first],
        scores=train,
    )


def _mistakes(scores: Scores) -> Decisions:
    test = scores.by_split["test"]
    return Decisions(
        title="Test pictures it is most wrong about",
        manifest=scores.manifest,
        rows=scores.manifest.rows("test"),
        decided=mistakes(test, scores.labels("test")),
        scores=test,
    )


def _write(decisions: Decisions, stem: Path) -> None:
    """Writes stem.csv, and stem.html of its first rows."""
    table = _review_table(decisions)
    stem.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(stem.with_suffix(".csv"), index=False)

    # A longer page is slow to open.
    shown = table.head(SHOWN).astype(str)
    write_page(
        "review.html.j2",
        stem.with_suffix(".html"),
        title=decisions.title,
        columns=list(shown.columns),
        rows=shown.values.tolist(),
        total=len(table),
        csv=f"{stem.name}.csv",
    )


def _review_table(decisions: Decisions) -> pandas.DataFrame:
    """A row a decision, with a column to answer in. The picture comes first, as an address."""
    manifest = decisions.manifest
    names = np.array(manifest.classes)
    positions, classes = decisions.decided.T
    frame = manifest.frame.iloc[decisions.rows[positions]]
    return pandas.DataFrame(
        {
            "picture": [
                picture_file(manifest.root, image).resolve().as_uri() for image in frame["image"]
            ],
            "label": names[classes],
            "score": decisions.scores[positions, classes].round(4),
            "given": [", ".join(names[labels]) for labels in frame["labels"]],
            "is it there?": "",
        }
    )
