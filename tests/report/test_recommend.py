"""The recommendation, and the sections on scores, from made-up records and logits."""

import csv
import runpy
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image
from safetensors.numpy import save_file
from test_tables import by_run, cells, made_up_record

from mlrepro.data.manifest import write_manifest
from mlrepro.layout import Layout, read_layout
from mlrepro.records import write_record
from mlrepro.report.pages import write_comparison
from mlrepro.report.recommend import advice, choose
from mlrepro.report.tables import ranked, within_noise

LABELS = ["cat <b>", "dog"]
SETTINGS = """\
name: toy
data: {toy: {format: csv, folder: pictures, table: t.csv}}
features: {backbone: efficientnet_lite0, weights: package, resolution: 224}
search: {losses: [{name: bce}, {name: asl}]}
"""


def chosen(*records):
    runs = ranked(by_run(*records))
    return choose(runs, within_noise(runs))


def test_of_runs_that_noise_hides_from_the_first_the_cheapest():
    best, near = (
        made_up_record("asl", mAP=71.0, head="query2label", gmacs=5.2),
        made_up_record("bce", mAP=70.6),
    )
    assert chosen(best, near).run.loss.name == "bce"
    assert (
        chosen(best, made_up_record("bce", mAP=69.0)).run.loss.name == "asl"
    )  # 2 points are more than the noise
    assert (
        chosen(best, near, made_up_record("bce_ls", mAP=70.9, gmacs=1.601)).run.loss.name
        == "bce_ls"
    )  # as cheap, and ahead
    assert chosen(made_up_record(absent=["mAP"])) is None


def test_of_seeds_the_best_on_validation():
    records = [made_up_record("bce", mAP=70.0 + seed, seed=seed) for seed in (0, 1, 2)]
    records[1].history[2].__dict__["val_mAP"] = 99.0
    assert chosen(*records).seed == 1


@pytest.fixture
def own(tmp_path, monkeypatch) -> tuple[Layout, dict]:
    """A manifest of four training, two validation and four test pictures, and the logits of one run."""
    monkeypatch.chdir(tmp_path)
    Path("studies/own-data").mkdir(parents=True)
    Path("studies/own-data/params.yaml").write_text(SETTINGS)
    Path("pictures").mkdir()
    for i in range(10):
        Image.new("RGB", (4, 4)).save(f"pictures/{i}.png")
    splits = ["train"] * 4 + ["val"] * 2 + ["test"] * 4
    labels = [[0], [1], [], [0, 1], [0], [1], [0], [1], [], [0, 1]]
    frame = pandas.DataFrame(
        {
            "image": [f"{i}.png" for i in range(10)],
            "part": splits,
            "split": splits,
            "labels": labels,
            "width": 4,
            "height": 4,
            "bytes": 9,
        }
    )
    frame = frame.assign(**{name: [[]] * 10 for name in ("difficult", "ignored", "captions")})
    manifest = write_manifest(
        Path("data/toy"),
        frame,
        LABELS,
        {"pictures": "../../pictures", "splits": {}, "rejected": []},
    )
    record = made_up_record("bce", mAP=70.0, classes=LABELS)
    record = record.model_copy(
        update={
            "run": record.run.model_copy(update={"data": "toy"}),
            "provenance": record.provenance.model_copy(update={"manifest_sha256": manifest.digest}),
        }
    )
    layout = read_layout("studies/own-data/params.yaml")
    logits = {
        "train_best": [[3, 2], [-3, 2], [-1, 4], [1, 1]],
        "val_best": [[1, -1], [-1, 1]],
        "test_best": [[2, -2], [-2, 2], [-2, 3], [2, -2]],
    }
    out = layout.output(record.run.run_id, 0)
    out.mkdir(parents=True)
    save_file(
        {key: np.array(value, np.float32) for key, value in logits.items()},
        out / "logits.safetensors",
    )
    return layout, by_run(record)


def test_sections_on_scores(own):
    layout, runs = own
    path = Path("reports/own-data-toy.md")
    write_comparison(
        "Toy",
        "Intro.",
        runs,
        {run: [0] for run in runs},
        path,
        "dvc repro",
        advise=partial(advice, layout=layout),
    )
    text = path.read_text()
    run = next(iter(runs))
    assert (
        f"Use `{run}`, seed 0" in text
        and f"mlrepro export studies/own-data/params.yaml {run} --seed 0" in text
    )
    mistakes = cells(text.split("### Its greatest mistakes on test\n\n")[1].split("\n\n")[0])
    assert mistakes[1] == ["`8.png`", "dog", "no", "0.953"] and mistakes[2] == [
        "`9.png`",
        "dog",
        "yes",
        "0.119",
    ]
    # Scores: 4 of 0.119 (1 positive), 3 of 0.881 (3 positives), 1 of 0.953 (0): |0.477 - 1| + |2.642 - 3| + 0.953, over 8.
    low, high, top = (1 / (1 + np.exp(-x)) for x in (-2, 2, 3))
    error = 100 * (abs(4 * low - 1) + abs(3 * high - 3) + top) / 8
    assert f"calibration error is {error:.2f} points" in text
    for kind in ("png", "svg"):
        assert Path(f"reports/figures/own-data-toy-scores.{kind}").stat().st_size > 5000


def test_labels_that_training_pictures_lack(own, monkeypatch):
    layout, runs = own
    record = next(iter(runs.values()))[0]
    write_record(record, layout.record(record.run.run_id, 0))
    other = made_up_record("bce_ls", mAP=99.0)  # which the settings do not list
    write_record(other, layout.record(other.run.run_id, 0))
    monkeypatch.setattr(sys, "argv", ["review", str(layout.settings)])
    runpy.run_path(
        str(Path(__file__).resolve().parents[2] / "stages" / "review.py"), run_name="__main__"
    )
    folder = Path("outputs/own-data/toy/review")
    rows = list(csv.DictReader((folder / "missing.csv").open(encoding="utf-8")))
    # Thresholds are those of validation: logit 1 for both labels. Row 3 has both labels already.
    assert [
        (Path(row["picture"]).name, row["label"], row["given"], row["is it there?"]) for row in rows
    ] == [("2.png", "dog", "", ""), ("0.png", "dog", "cat <b>", "")]
    assert float(rows[0]["score"]) == pytest.approx(0.982, abs=1e-3)
    page = (folder / "missing.html").read_text()
    assert (
        "cat &lt;b&gt;" in page
        and "<b>" not in page
        and f"src='{Path('pictures/2.png').resolve().as_uri()}'" in page
    )
    mistakes = list(csv.DictReader((folder / "mistakes.csv").open(encoding="utf-8")))
    assert [
        (Path(row["picture"]).name, row["label"], row["score"], row["given"]) for row in mistakes
    ] == [("8.png", "dog", "0.9526", ""), ("9.png", "dog", "0.1192", "cat <b>, dog")]


def test_without_logits_or_with_those_of_other_data_the_page_has_the_recommendation_alone(own):
    layout, runs = own
    path, run = Path("reports/own-data-toy.md"), next(iter(runs))
    provenance = runs[run][0].provenance.model_copy(update={"manifest_sha256": "other"})
    assert (
        len(
            advice(
                {run: [runs[run][0].model_copy(update={"provenance": provenance})]},
                set(),
                path,
                layout,
            )
        )
        == 5
    )
    (layout.output(run, 0) / "logits.safetensors").unlink()
    assert len(advice(runs, set(), path, layout)) == 5 and advice({}, set(), path, layout) == []
