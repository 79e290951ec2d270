"""Unknown labels of a user's table: what init-data writes, and what the stages make of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from picture_files import write_picture

from mlrepro.data.corruption import write_observed
from mlrepro.data.manifest import load_observed
from mlrepro.data.prepare import prepare
from mlrepro.settings.pipeline import load_pipeline
from mlrepro_cli.init_data.answers import Answers
from mlrepro_cli.init_data.init_data import init_data

ROOT = Path(__file__).resolve().parents[2]
TO = Path("studies/own-data")
COUNT = 40


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    folder = tmp_path / "repository"
    (folder / TO).mkdir(parents=True)
    shutil.copy(ROOT / TO / "budgets.yaml", folder / TO)
    monkeypatch.chdir(folder)


@pytest.fixture
def own(tmp_path) -> Path:
    for place in range(COUNT):
        write_picture(tmp_path / "own" / f"{place:02}.png")
    return tmp_path / "own"


def write_marks(own: Path, cat_of_tenth: str) -> None:
    """A column a label; of every tenth picture, somebody was not sure about the cat."""
    lines = ["image,cat,dog"]
    for place in range(COUNT):
        cat = cat_of_tenth if place % 10 == 0 else place % 2
        lines.append(f"{place:02}.png,{cat},{int(place % 3 == 0)}")
    (own / "labels.csv").write_text("\n".join(lines))


def written() -> tuple[dict, str]:
    settings = yaml.safe_load((TO / "params.yaml").read_text())
    [data] = settings["data"].values()
    # What the file held is noted, and no stage reads it.
    del data["label_files"]
    return settings, Path(data["table"]).read_text()


def test_what_is_behind_an_unknown_mark_does_not_matter(own):
    unsure = Answers(unknown=("0?", "1?"))
    write_marks(own, "1?")
    init_data(own, TO, answers=unsure)
    was_there = written()
    write_marks(own, "0?")
    init_data(own, TO, answers=unsure)
    was_absent = written()
    # All that follows reads these alone.
    assert was_there == was_absent


def test_unknown_labels_reach_the_stages(own, capsys):
    write_marks(own, "?")
    init_data(own, TO)
    settings, table = written()
    assert settings["corruption"] == {"positives": -1, "negatives": -1, "ignored": "unobserved"}
    losses = [loss["name"] for loss in settings["search"]["losses"]]
    assert {"bce", "asl", "role", "hill"} <= set(losses)
    assert "00.png,dog," in table
    assert "below the truth" not in settings["intro"]
    out = capsys.readouterr().out
    assert "? is unknown (4)" in out
    assert "unknown" in out.partition("pictures  ")[2]

    pipeline = load_pipeline(TO / "params.yaml")
    folder = Path("data") / pipeline.name
    manifest = prepare(pipeline.data[pipeline.name], folder)
    cat = manifest.label_matrix()[:, manifest.classes.index("cat")]
    images = manifest.table["image"].to_pylist()
    number = np.array([int(image.removesuffix(".png")) for image in images])
    np.testing.assert_array_equal(cat, np.where(number % 10 == 0, -1, number % 2))

    write_observed(manifest, pipeline.corruption, folder)
    rows, observed = load_observed(folder)
    states = manifest.label_matrix(rows)
    np.testing.assert_array_equal(observed, np.select([states == 1, states == 0], [1, -1], 0))


def test_a_table_that_says_what_is_absent_is_complete(own):
    """One mark a picture is no reason to take the others for unknown."""
    lines = [f"{place:02}.png,{place % 2},{1 - place % 2}" for place in range(COUNT)]
    (own / "labels.csv").write_text("\n".join(["image,cat,dog", *lines]))
    init_data(own, TO)
    settings, table = written()
    assert settings["corruption"] == {"positives": -1, "negatives": 0}
    assert "unknown" not in table
    assert "role" not in [loss["name"] for loss in settings["search"]["losses"]]
