"""Own data: pages that open from disk, of the recommended run's mistakes and of labels that training pictures may lack."""

from html import escape
from pathlib import Path

import numpy as np
import pandas

from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.metrics.thresholds import tune_thresholds
from mlrepro.report.recommend import choose, mistakes, read_scores
from mlrepro.report.tables import ranked, within_noise
from mlrepro.stage import main
from mlrepro.studies.runs import current_records

SHOWN = 400  # on a page; its table holds all


def stage(settings: str) -> None:
    layout = read_layout(settings)
    records, folder = current_records(layout), layout.review
    runs = {
        run: [one for one in records.get(run, []) if one.seed in seeds]
        for run, seeds in layout.expected.items()
    }
    runs = ranked({run: group for run, group in runs.items() if group})
    if not (found := read_scores(layout, choose(runs, within_noise(runs)))):
        raise InputError(
            f"{layout.results}: no run has an mAP, or its logits are of other data; dvc repro {layout.dvc_file}"
        )
    manifest, scores = found
    known, train = manifest.label_matrix(), manifest.rows("train")
    thresholds = tune_thresholds(scores["val"], known[manifest.rows("val")])
    missing = np.argwhere((known[train] == 0) & (scores["train"] >= thresholds))
    missing = missing[np.argsort(-scores["train"][tuple(missing.T)], kind="stable")]
    write(
        folder / "missing",
        "Labels it would add to training pictures, surest first",
        manifest,
        train,
        missing,
        scores["train"],
    )
    wrong = mistakes(scores["test"], known[manifest.rows("test")])
    write(
        folder / "mistakes",
        "Test pictures it is most wrong about",
        manifest,
        manifest.rows("test"),
        wrong,
        scores["test"],
    )
    print(f"review: {len(missing)} labels that may be missing, {len(wrong)} mistakes -> {folder}")


def write(
    stem: Path, title: str, manifest, rows: np.ndarray, found: np.ndarray, scores: np.ndarray
) -> None:
    """stem.html and stem.csv. found (n, 2): positions in rows, and classes; scores (len(rows), C)."""
    names, frame = np.array(manifest.classes), manifest.frame.iloc[rows[found[:, 0]]]
    table = pandas.DataFrame(
        {
            "picture": [(manifest.root / image).resolve().as_uri() for image in frame["image"]],
            "label": names[found[:, 1]],
            "score": scores[tuple(found.T)].round(4),
            "given": [", ".join(names[labels]) for labels in frame["labels"]],
            "is it there?": "",
        }
    )
    stem.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(stem.with_suffix(".csv"), index=False)
    shown = table.head(SHOWN).astype(str).map(escape)
    shown["picture"] = (
        "<a href='"
        + shown["picture"]
        + "'><img height=180 loading=lazy src='"
        + shown["picture"]
        + "'></a>"
    )
    with pandas.option_context("display.max_colwidth", None):
        text = shown.to_html(escape=False, index=False)
    text = f"<meta charset=utf-8><h1>{title}</h1>The first {len(shown)} of {len(table)}; {stem.name}.csv has all.{text}"
    stem.with_suffix(".html").write_text(text, encoding="utf-8")


main(stage, "params.yaml")
