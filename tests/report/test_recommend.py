"""The recommendation, and the sections on scores, from made-up records and logits."""

import csv
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
import pytest
from conftest import ROOT
from PIL import Image
from safetensors.numpy import load_file, save_file
from test_tables import by_run, cells, made_up_record, ranked_runs

from mlrepro.data.features import features_path, open_features
from mlrepro.data.manifest import Manifest, read_manifest, write_manifest
from mlrepro.layout import Layout, read_layout
from mlrepro.records import Choice, Record, Records, write_record
from mlrepro.report.choose import choose
from mlrepro.report.comparison import Comparison, write_comparison
from mlrepro.report.recommend import recommendation_section

LABELS = ["cat <b>", "dog"]
PAGE = Path("reports/own-data-toy.md")
SETTINGS = """\
name: toy
data: {toy: {format: csv, folder: pictures, table: t.csv}}
features: {backbone: efficientnet_lite0, weights: package, resolution: 224}
search: {losses: [{name: bce}, {name: asl}]}
"""


# ---- The choice --------------------------------------------------------------------------------


def chosen(*records: Record) -> Record | None:
    found = choose(ranked_runs(*records))
    return found.record if found else None


def cheaper(*records: Record) -> str | None:
    found = choose(ranked_runs(*records)).cheaper
    return found.run.loss.name if found else None


def with_choice(record: Record, mAP: float, *changes: float, by: str = "validation") -> Record:
    """changes: by which the mAP differs on each resample of the 500 pictures."""
    choice = Choice(mAP=mAP, pictures=500, resamples=[mAP + change for change in changes])
    return record.model_copy(update={"choices": record.choices | {by: choice}})


def test_the_best_on_validation_is_chosen_whatever_the_test_says():
    first_on_test = with_choice(made_up_record("asl", mAP=80.0), 60.0, -1, 0, 1)
    best = with_choice(made_up_record("bce", mAP=70.0), 61.0, -1, 0, 1)
    assert chosen(first_on_test, best).run.loss.name == "bce"
    assert chosen(made_up_record(absent=["mAP"])) is None


def test_a_cheaper_run_is_named_where_it_is_within_a_standard_error():
    best = with_choice(made_up_record("asl", head="query2label", gmacs=5.2), 71.0, -1.0, 0.0, 1.0)
    # On the resamples the difference is 0, 0.4 and 0.8: its deviation is 0.4.
    near = with_choice(made_up_record("bce"), 70.6, -0.6, 0.0, 0.6)
    assert chosen(best, near).run.loss.name == "asl"
    assert cheaper(best, near) == "bce"
    assert cheaper(best, with_choice(made_up_record("bce"), 70.5, -0.6, 0.0, 0.6)) is None

    # Where both vary alike, a small difference is sure.
    assert cheaper(best, with_choice(made_up_record("bce"), 70.9, -1.0, 0.0, 1.0)) is None

    # A difference in cost that no one can measure is none.
    as_cheap_and_ahead = with_choice(made_up_record("bce_ls", gmacs=1.601), 70.7, -0.6, 0.0, 0.6)
    assert cheaper(best, near, as_cheap_and_ahead) == "bce_ls"
    as_dear = with_choice(made_up_record("bce", gmacs=5.2), 70.9, -0.6, 0.0, 0.6)
    assert cheaper(best, as_dear) is None


def test_cross_validation_decides_where_every_run_has_it():
    best = with_choice(made_up_record("asl"), 61.0, -1, 0, 1)
    other = with_choice(made_up_record("bce"), 60.0, -1, 0, 1)
    other = with_choice(other, 50.0, -1, 0, 1, by="cross_validation")
    assert choose(ranked_runs(best, other)).by == "validation"
    assert chosen(best, other).run.loss.name == "asl"

    best = with_choice(best, 40.0, -1, 0, 1, by="cross_validation")
    assert choose(ranked_runs(best, other)).by == "cross_validation"
    assert chosen(best, other).run.loss.name == "bce"


def test_records_of_older_versions_are_chosen_by_their_history():
    first, second = made_up_record("bce", mAP=71.0), made_up_record("asl", mAP=72.0)
    first.history[2].__dict__["val_mAP"] = 99.0
    assert chosen(first, second).run.loss.name == "bce"


def test_of_seeds_the_best_on_validation():
    records = [made_up_record("bce", mAP=70.0 + seed, seed=seed) for seed in (0, 1, 2)]
    records[1].history[2].__dict__["val_mAP"] = 99.0
    assert chosen(*records).seed == 1


# ---- Own data: pictures, a manifest and the logits of one run ----------------------------------


@dataclass
class OwnData:
    layout: Layout
    record: Record

    @property
    def run_id(self) -> str:
        return self.record.run.run_id

    @property
    def runs(self) -> Records:
        return by_run(self.record)

    @property
    def logits(self) -> Path:
        return self.layout.output(self.run_id, self.record.seed) / "logits.safetensors"


@pytest.fixture
def own(tmp_path, monkeypatch) -> OwnData:
    """Four training, two validation and four test pictures."""
    monkeypatch.chdir(tmp_path)
    settings = Path("studies/own-data/params.yaml")
    settings.parent.mkdir(parents=True)
    settings.write_text(SETTINGS)

    manifest = _write_pictures()
    record = made_up_record("bce", mAP=70.0, classes=LABELS)
    run = record.run.model_copy(update={"data": "toy"})
    provenance = record.provenance.model_copy(update={"manifest_sha256": manifest.digest})
    record = record.model_copy(update={"run": run, "provenance": provenance})

    own_data = OwnData(read_layout(settings), record)
    logits = {
        "train_best": [[3, 2], [-3, 2], [-1, 4], [1, 1]],
        "val_best": [[1, -1], [-1, 1]],
        "test_best": [[2, -2], [-2, 2], [-2, 3], [2, -2]],
    }
    arrays = {name: np.array(values, np.float32) for name, values in logits.items()}
    own_data.logits.parent.mkdir(parents=True)
    save_file(arrays, own_data.logits)
    write_features(manifest)
    return own_data


def write_features(manifest: Manifest) -> None:
    """Those that the settings name, made up: a channel is high where a picture has the label."""
    random = np.random.default_rng(0)
    features = random.normal(0, 0.3, (manifest.pictures, 8)).astype(np.float32)
    features[:, :2] += manifest.label_matrix()[:, :2]
    header = {"manifest": manifest.digest, "backbone": "efficientnet_lite0"}
    header["transform"] = {"resize": [224, 224]}
    path = features_path(Path("data/toy"), "efficientnet_lite0", 224)
    open_features(path, header, features.shape)[:] = features


def _write_pictures() -> Manifest:
    splits = ["train"] * 4 + ["val"] * 2 + ["test"] * 4
    labels = [[0], [1], [], [0, 1], [0], [1], [0], [1], [], [0, 1]]

    Path("pictures").mkdir()
    for index in range(len(splits)):
        Image.new("RGB", (4, 4)).save(f"pictures/{index}.png")

    frame = pandas.DataFrame(
        {
            "image": [f"{index}.png" for index in range(len(splits))],
            "part": splits,
            "split": splits,
            "labels": labels,
            "width": 4,
            "height": 4,
            "bytes": range(len(splits)),  # no copies
        }
    )
    for column in ("difficult", "ignored", "captions"):
        frame[column] = [[] for _ in splits]

    summary = {"pictures": "../../pictures", "splits": {}, "rejected": []}
    return write_manifest(Path("data/toy"), frame, LABELS, summary)


# ---- What its page says ------------------------------------------------------------------------


def test_sections_on_scores(own):
    comparison = Comparison(
        title="Toy",
        intro="Intro.",
        records=own.runs,
        expected={own.run_id: [0]},
        pipeline="dvc.yaml",
        own_data=own.layout,
    )
    write_comparison(comparison, PAGE)
    text = PAGE.read_text()

    assert f"Use `{own.run_id}`, seed 0" in text
    assert f"mlrepro export studies/own-data/params.yaml {own.run_id} --seed 0" in text

    after_heading = text.split("### Its greatest mistakes on test\n\n")[1]
    _, *mistakes = cells(after_heading.split("\n\n")[0])
    assert mistakes[:2] == [
        ["`8.png`", "dog", "no", "0.953"],
        ["`9.png`", "dog", "yes", "0.119"],
    ]

    # Scores: 4 of 0.119 (1 positive), 3 of 0.881 (3 positives), 1 of 0.953 (0):
    # |0.477 - 1| + |2.642 - 3| + 0.953, over 8.
    low, high, top = (1 / (1 + np.exp(-logit)) for logit in (-2, 2, 3))
    error = 100 * (abs(4 * low - 1) + abs(3 * high - 3) + top) / 8
    assert f"calibration error is {error:.2f} points" in text

    for kind in ("png", "svg"):
        assert Path(f"reports/figures/own-data-toy-scores.{kind}").stat().st_size > 5000


def test_where_nothing_is_wrong_no_table_is_empty(own, monkeypatch):
    """What a person sees of few and easy pictures: sentences, and no table without a row."""
    logits = load_file(own.logits)
    manifest = read_manifest(Path("data/toy"))
    given = manifest.label_matrix(manifest.rows("test"))
    save_file(logits | {"test_best": np.where(given, 2, -2).astype(np.float32)}, own.logits)
    same = with_choice(made_up_record("asl", mAP=70.0, classes=LABELS), 60.0, -1, 0, 1)
    best = with_choice(own.record, 61.0, -1, 0, 1)

    (section,) = recommendation_section(by_run(same, best), PAGE, own.layout)
    assert "It makes none: on test pictures" in section
    assert "| picture " not in section
    assert "shows all" not in section
    assert "points higher" not in section
    assert f"On test `{same.run.run_id}` is as good." in section

    write_record(own.record, own.layout.record(own.run_id, 0))
    monkeypatch.setattr(sys, "argv", ["review", str(own.layout.settings)])
    runpy.run_path(str(ROOT / "stages" / "review.py"), run_name="__main__")
    page = Path("outputs/own-data/toy/review/mistakes.html").read_text()
    assert "There are none" in page
    assert "<table" not in page


def test_labels_that_no_test_picture_has_are_named(own):
    """Each counts as 0: a mAP of 50 may be of a model that is always right."""
    cat, dog = own.record.selected.per_class
    assert cat.test and dog.test
    (section,) = recommendation_section(own.runs, PAGE, own.layout)
    assert "No test picture has" not in section

    never = dog.model_copy(update={"test": 0})
    metrics = own.record.selected.metrics | {"mAP_nonempty": 99.5}
    for measured in own.record.measurements.values():
        measured.__dict__.update(per_class=[cat, never], metrics=metrics)
    (section,) = recommendation_section(own.runs, PAGE, own.layout)
    assert "No test picture has 1 of them (dog): each counts as 0 in every mAP" in section
    assert "which is 99.50 for the recommended training over the other labels" in section


def test_with_logits_of_other_data_the_page_has_the_recommendation_alone(own):
    provenance = own.record.provenance.model_copy(update={"manifest_sha256": "other"})
    other = own.record.model_copy(update={"provenance": provenance})

    (section,) = recommendation_section(by_run(other), PAGE, own.layout)
    assert_recommendation_alone(section)


def test_without_logits_the_page_has_the_recommendation_alone(own):
    own.logits.unlink()

    (section,) = recommendation_section(own.runs, PAGE, own.layout)
    assert_recommendation_alone(section)


def assert_recommendation_alone(section: str) -> None:
    parts = section.split("\n\n")
    assert len(parts) == 5
    assert parts[0] == "## Recommendation"
    assert "\n### " not in section


def test_without_runs_nothing_is_recommended(own):
    assert recommendation_section({}, PAGE, own.layout) == []


# ---- The pages for review ----------------------------------------------------------------------


def read_table(path: Path) -> list[dict[str, str]]:
    """Its rows, with the name of the picture for its address."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["picture"] = Path(row["picture"]).name
    return rows


def test_the_greatest_mistakes(own, monkeypatch, capsys):
    write_record(own.record, own.layout.record(own.run_id, 0))
    unlisted = made_up_record("bce_ls", mAP=99.0)
    write_record(unlisted, own.layout.record(unlisted.run.run_id, 0))

    monkeypatch.setattr(sys, "argv", ["review", str(own.layout.settings)])
    runpy.run_path(str(ROOT / "stages" / "review.py"), run_name="__main__")
    folder = Path("outputs/own-data/toy/review")
    assert "2 mistakes of the recommended run" in capsys.readouterr().out

    page = (folder / "mistakes.html").read_text()
    assert "cat &lt;b&gt;" in page and "<b>" not in page
    assert f"src='{Path('pictures/8.png').resolve().as_uri()}'" in page
    assert (folder / "labels.html").is_file()

    mistakes = read_table(folder / "mistakes.csv")
    shown = [(row["picture"], row["label"], row["score"], row["given"]) for row in mistakes]
    assert shown == [
        ("8.png", "dog", "0.9526", ""),
        ("9.png", "dog", "0.1192", "cat <b>, dog"),
    ]
