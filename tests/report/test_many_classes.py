"""Ten thousand classes: pages and figures stay small, and a table beside them has all."""

import csv
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image
from safetensors.numpy import save_file
from test_pages import comparison, markdown_tables
from test_recommend import SETTINGS, write_features
from test_tables import by_run, cells, made_up_record

from mlrepro.data.manifest import write_manifest
from mlrepro.layout import read_layout
from mlrepro.records import Record, write_record
from mlrepro.report.comparison import write_comparison
from mlrepro.report.label_errors import Found
from mlrepro.report.review import SHOWN, write_review
from mlrepro.report.shown_classes import ALL, EACH, chosen_places
from mlrepro.report.tables import label_table

MANY = 10_000
NAMES = [f"class {place}" for place in range(MANY)]

FREQUENT, RARE, WORST = 7_000, 8_000, 9_000


def record_of_many(seed: int = 0, labels: str = "full") -> Record:
    """One class is the most frequent, one the rarest, one the worst; the others are in between."""
    loss = "bce" if labels == "full" else "an"
    record = made_up_record(loss, labels, seed=seed, classes=NAMES)
    changes = {FREQUENT: {"train": 99_999}, RARE: {"train": 0}, WORST: {"AP": 0.0001}}
    classes = [c.model_copy(update={"train": max(1, c.train)}) for c in record.selected.per_class]
    for place, change in changes.items():
        classes[place] = classes[place].model_copy(update=change)
    selected = record.selected.model_copy(update={"per_class": classes})
    return record.model_copy(update={"measurements": {"best": selected, "last": selected}})


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("many") / "reports" / "toy.md"
    records = by_run(record_of_many(0), record_of_many(1), record_of_many(0, "single"))
    expected = {run: [record.seed for record in group] for run, group in records.items()}
    write_comparison(comparison(records, expected=expected), path)
    return path


def test_the_page_shows_the_most_frequent_the_rarest_and_the_worst(page):
    text = page.read_text(encoding="utf-8")
    assert len(text) < 60_000
    assert max(len(table) for table in markdown_tables(text)) < 3 * EACH + 10

    by_class = text.split("## Class by class")[1].split("\n## ")[0]
    positives = text.split("## Data")[1].split("\n## ")[0]
    for section in (by_class, positives):
        assert f"the {EACH} of the lowest AP, of 10,000: [all of them](tables/toy-cl" in section
        for place in (FREQUENT, RARE, WORST):
            assert f"| class {place} " in section
    assert by_class.count("\n| class ") < 3 * EACH

    # Means are of all.
    assert "**mean of the " in by_class
    without_few = sum(c.test >= 10 for c in record_of_many().selected.per_class)
    assert f"**mean of the {without_few} without" in by_class


def test_figures_are_small(page):
    figures = {file.name: file for file in (page.parent / "figures").glob("*.*")}
    assert {"toy-classes.png", "toy-labels.png", "toy-classes.svg", "toy-labels.svg"} <= set(
        figures
    )
    for name, file in figures.items():
        assert file.stat().st_size < 1_000_000, name
    with Image.open(figures["toy-classes.png"]) as picture:
        assert picture.height < 3_000
    drawn = figures["toy-classes.svg"].read_text(encoding="utf-8")
    for place in (FREQUENT, RARE, WORST):
        assert f">class {place}<" in drawn


def test_a_table_has_all(page):
    with (page.parent / "tables" / "toy-classes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == NAMES
    assert rows[FREQUENT]["train"] == "99999"
    assert rows[WORST]["AP, full labels"] == "0.01"
    assert rows[0]["AP, single-positive labels"]
    assert rows[0]["observed"] < rows[0]["train"]


def test_few_classes_are_all_shown():
    record = made_up_record(classes=NAMES[:ALL])
    APs = [c.AP for c in record.selected.per_class]
    assert chosen_places(record.selected.per_class, APs) is None
    assert len(cells(label_table(record))) == 1 + ALL

    record = made_up_record(classes=NAMES[: ALL + 1])
    places = chosen_places(record.selected.per_class, [None] * (ALL + 1))
    assert len(places) == 2 * EACH
    assert places == sorted(places)


def test_own_data_with_many_labels(tmp_path, monkeypatch):
    """The scores' figure and the review's pages."""
    monkeypatch.chdir(tmp_path)
    settings = Path("studies/own-data/params.yaml")
    settings.parent.mkdir(parents=True)
    settings.write_text(SETTINGS)
    layout = read_layout(settings)

    splits = ["train"] * 20 + ["val"] * 10 + ["test"] * 30
    random = np.random.default_rng(0)
    given = [sorted(random.choice(MANY, 5, replace=False).tolist()) for _ in splits]
    frame = pandas.DataFrame({"image": [f"{row}.jpg" for row in range(60)], "part": splits})
    frame = frame.assign(split=splits, labels=given, width=4, height=4, bytes=9)
    for column in ("difficult", "ignored", "captions"):
        frame[column] = [[] for _ in splits]
    manifest = write_manifest(layout.data, frame, NAMES, {"pictures": "pictures"})
    write_features(manifest)

    record = record_of_many()
    provenance = record.provenance.model_copy(update={"manifest_sha256": manifest.digest})
    run = record.run.model_copy(update={"data": "toy"})
    record = record.model_copy(update={"run": run, "provenance": provenance})
    write_record(record, layout.record(run.run_id, 0))
    logits = {
        f"{split}_best": random.normal(-2, 1, (splits.count(split), MANY)).astype(np.float32)
        for split in ("train", "val", "test")
    }
    output = layout.output(run.run_id, 0)
    output.mkdir(parents=True)
    save_file(logits, output / "logits.safetensors")

    page = Path("reports/own-data-toy.md")
    write_comparison(comparison(by_run(record), expected={run.run_id: [0]}, own_data=layout), page)
    text = page.read_text(encoding="utf-8")
    assert "a thin line a label that this page shows" in text
    assert len(text) < 60_000
    for kind in ("png", "svg"):
        assert Path(f"reports/figures/own-data-toy-scores.{kind}").stat().st_size < 1_000_000

    found, mistakes = write_review(layout)
    assert mistakes > SHOWN
    assert found == Found(0, 0, 0), "no label has enough pictures"
    assert (layout.review / "mistakes.html").read_text().count("<img ") == SHOWN
