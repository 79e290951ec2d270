"""Own data: pages, from disk, of labels to look at and of the recommended run's mistakes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from mlrepro.data.manifest import Manifest
from mlrepro.data.picture_names import picture_file
from mlrepro.errors import InputError
from mlrepro.layout import Layout
from mlrepro.report.choose import choose
from mlrepro.report.comparison import listed_runs
from mlrepro.report.label_errors import Found, write_label_errors
from mlrepro.report.recommend import Scores, mistakes, read_scores
from mlrepro.report.render import write_page
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


def write_review(layout: Layout) -> tuple[Found | None, int]:
    """Writes pages and tables into the folder `layout.review`: see label_errors.py; mistakes.

    Returns what label errors there may be, and how many mistakes there are. Raises InputError where
    no run can be recommended, or the recommended run has no scores of this manifest.
    """
    runs = listed_runs(current_records(layout), layout.expected)
    chosen = choose(runs)
    scores = read_scores(layout, chosen.record if chosen else None)
    if scores is None:
        raise InputError(
            f"{layout.results}: no run has an mAP, or its logits are of other data; "
            f"dvc repro {layout.dvc_file}"
        )

    wrong = _mistakes(scores)
    _write(wrong, layout.review / "mistakes")
    return write_label_errors(layout, scores.manifest), len(wrong.decided)


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
