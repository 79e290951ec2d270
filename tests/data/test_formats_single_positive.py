"""The single-positive papers' other data sets (besides VOC and COCO), and the papers' pipelines."""

import csv
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mlrepro.data import formats
from mlrepro.data.archives import extract
from mlrepro.data.corruption import observe
from mlrepro.data.prepare import prepare
from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.settings.data import Corruption, CubData, FormattedData
from mlrepro.settings.pipeline import load_pipeline
from mlrepro.settings.run import load_run
from mlrepro.studies.runs import read_run

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "single-positive"
# Data set -> expected positives a picture (Cole et al. 2021).
EXPECTED_POSITIVES = {"voc2012": 1.5, "coco2014": 2.9, "nuswide": 1.9, "cub": 31.4}


# --- formatted (NUS-WIDE) -------------------------------------------------------------------------

LABELS = {
    "train": np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1]], float),
    "val": np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0]], np.int64),
}


def _formatted(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for part, labels in LABELS.items():
        # From 9 down: not in the order of their names.
        names = [f"{part}/{9 - row}.jpg" for row in range(len(labels))]
        np.save(folder / f"formatted_{part}_images.npy", np.array(names))
        np.save(folder / f"formatted_{part}_labels.npy", labels)
        (folder / part).mkdir(exist_ok=True)
        for name in names:
            Image.new("RGB", (9, 8)).save(folder / name)
    return folder


def _settings(**changes):
    return FormattedData(**{"format": "formatted", "folder": "."} | changes)


def test_formatted_files_keep_their_order_and_their_empty_rows(tmp_path, capsys):
    frame, classes = formats.read(_settings(), _formatted(tmp_path))
    train = [f"train/{number}.jpg" for number in (9, 8, 7, 6, 5)]
    val = [f"val/{number}.jpg" for number in (9, 8, 7)]
    assert classes == ["0", "1", "2"]
    assert frame["image"].tolist() == train + val
    assert frame["labels"].tolist() == [[1, 2], [], [0], [2], [0, 1, 2], [0], [], [1]]
    assert frame["split"].tolist() == ["train"] * 5 + ["test"] * 3
    assert frame["part"].tolist() == ["train"] * 5 + ["val"] * 3

    remark = "pictures have no label and stay as rows without positives"
    assert capsys.readouterr().out.splitlines() == [
        f"formatted_train_labels.npy: 1 of 5 {remark}",
        f"formatted_val_labels.npy: 1 of 3 {remark}",
    ]


def test_formatted_files_are_read_where_they_were_fetched(tmp_path):
    _formatted(tmp_path / "archives")
    names = tmp_path / "pictures" / "concepts.txt"
    names.parent.mkdir()
    names.write_text("sky\nsea\n\nsun\n")
    settings = _settings(
        folder=None,
        archives=[{"name": "formatted_train_images.npy"}],
        pictures="flickr",
        class_names="concepts.txt",
    )
    frame, classes = formats.read(settings, tmp_path / "pictures")
    assert classes == ["sky", "sea", "sun"]
    assert frame["image"][0] == "flickr/train/9.jpg"

    names.write_text("sky\nsea\nsea\n")
    message = "concepts.txt: 2 different names in 3 lines, the labels have 3 classes"
    with pytest.raises(InputError, match=message):
        formats.read(settings, tmp_path / "pictures")


def test_formatted_observed_labels_are_checked_against_the_draw(tmp_path, capsys):
    folder = _formatted(tmp_path)
    path = folder / "formatted_train_labels_obs.npy"
    observed = observe(LABELS["train"], Corruption())
    np.save(path, observed.astype(float))
    formats.read(_settings(), folder)
    assert "formatted_train_labels_obs.npy: the same draw" in capsys.readouterr().out

    # The other one of the first row's two positives.
    observed[0] = [0, 1, 0] if observed[0, 2] else [0, 0, 1]
    np.save(path, observed)
    formats.read(_settings(), folder)
    assert "formatted_train_labels_obs.npy: not the draw" in capsys.readouterr().out

    observed[1, 0] = 1  # a positive in a row that has none
    np.save(path, observed)
    with pytest.raises(InputError, match="labels_obs.npy: contradicts the full labels"):
        formats.read(_settings(), folder)


MALFORMED_FORMATTED_FILES = [
    (
        "train_labels",
        LABELS["train"][:4],
        "train_labels.npy: 4 rows, but the pictures beside it are 5",
    ),
    (
        "train_labels",
        LABELS["train"] * 2,
        "train_labels.npy: row 0, class 1 is 2.0, but a label is one of",
    ),
    ("train_labels", np.where(LABELS["train"] == 1, 1, np.nan), "row 0, class 0 is nan"),
    ("val_labels", LABELS["val"][:, :2], "differ in their number of classes"),
    ("val_labels", LABELS["val"][0], "expected 2 dimension.s. of numbers"),
    (
        "val_images",
        np.array(["val/9.jpg", "../8.jpg", "val/7.jpg"]),
        "'../8.jpg' is not the name of a picture below",
    ),
    (
        "val_images",
        np.array(["val/9.jpg", "train/9.jpg", "val/7.jpg"]),
        "in more than one split, e.g. train/9.jpg",
    ),
    ("val_images", np.arange(3), "expected 1 dimension.s. of text"),
    (
        "val_images",
        np.array(["val/9.jpg", None, 1], object),
        "val_images.npy: not a plain .npy array",
    ),
    ("val_images", None, "val_images.npy: no such file; place it there by hand"),
]


@pytest.mark.parametrize(("name", "content", "message"), MALFORMED_FORMATTED_FILES)
def test_malformed_formatted_files(tmp_path, name, content, message):
    path = _formatted(tmp_path) / f"formatted_{name}.npy"
    path.unlink()
    if content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        formats.read(_settings(), tmp_path)


def test_formatted_picture_is_missing(tmp_path):
    folder = _formatted(tmp_path / "mine")
    (folder / "train" / "8.jpg").unlink()
    with pytest.raises(InputError, match="1 of 8 pictures cannot be used:\n  train/8.jpg: missing"):
        prepare(_settings(folder=folder), tmp_path / "set")

    manifest = prepare(_settings(folder=folder, rejected_limit=0.2), tmp_path / "set")
    all_labels = np.concatenate([LABELS["train"], LABELS["val"]])
    assert manifest.label_matrix().tolist() == np.delete(all_labels, 1, axis=0).tolist()


# --- CUB ------------------------------------------------------------------------------------------

ATTRIBUTES = 312


@pytest.fixture
def cub(tmp_path):
    """Four pictures, 312 attributes, as they lie in the archive; and which attributes are there."""
    present = (np.random.RandomState(0).rand(4, ATTRIBUTES) < 0.1).astype(int)
    label_lines = []
    for picture, row in enumerate(present):
        for attribute, value in enumerate(row):
            # A few lines of the real file have a field too many.
            surplus = " 0 " if attribute == 9 else ""
            certainty = attribute % 4 + 1
            label_lines.append(f"{picture + 1} {attribute + 1} {value} {certainty} {surplus}2.5")

    files = {
        "CUB_200_2011/images.txt": ["1 a/x.jpg", "2 a/y.jpg", "3 b/x.jpg", "4 b/z.jpg"],
        "CUB_200_2011/train_test_split.txt": ["1 0", "2 1", "3 1", "4 0"],
        "CUB_200_2011/attributes/image_attribute_labels.txt": label_lines,
        "attributes.txt": [
            f"{number + 1} has_thing::colour_{number}" for number in range(ATTRIBUTES)
        ],
    }
    with tarfile.open(tmp_path / "CUB_200_2011.tgz", "w:gz") as archive:
        for name, lines in files.items():
            path = tmp_path / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")
            archive.add(path, name)
    extract(tmp_path / "CUB_200_2011.tgz", tmp_path / "pictures")
    return tmp_path / "pictures", present


def test_cub_has_312_attributes_in_the_order_of_its_lists(cub):
    root, present = cub
    frame, classes = formats.read(CubData(format="cub", folder="."), root)
    assert len(classes) == 312
    assert classes[:2] == ["has_thing::colour_0", "has_thing::colour_1"]
    names = ("a/x", "a/y", "b/x", "b/z")
    assert frame["image"].tolist() == [f"CUB_200_2011/images/{name}.jpg" for name in names]
    assert frame["split"].tolist() == ["test", "train", "train", "test"]
    assert frame["labels"].tolist() == [np.flatnonzero(row).tolist() for row in present]


MALFORMED_CUB_FILES = [
    (
        "attributes/image_attribute_labels.txt",
        "\n2 1 ",
        "\n2 2 ",
        r"line 313: found \[2, 2, .*expected picture 2, attribute 1",
    ),
    (
        "attributes/image_attribute_labels.txt",
        "\n4 312 0",
        "\n4 312 3",
        r"line 1248: found \[4, 312, 3\]",
    ),
    (
        "attributes/image_attribute_labels.txt",
        "\n4 312 0 4 2.5\n",
        "\n",
        "1247 lines, expected 312 for each of 4 pictures",
    ),
    (
        "attributes/image_attribute_labels.txt",
        "\n4 312 0 4 2.5\n",
        "\n4 312\n",
        "expected `<picture> <attribute> <is_present>",
    ),
    ("train_test_split.txt", "\n4 0", "\n5 0", "lists other pictures than images.txt, e.g. 4"),
    ("train_test_split.txt", "\n4 0", "\n4 2", "picture 4 has '2'"),
    ("images.txt", "\n2 a/y.jpg", "\n1 a/y.jpg", "images.txt, line 2: expected a new number"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), MALFORMED_CUB_FILES)
def test_malformed_cub_files(cub, name, old, new, message):
    root, _ = cub
    path = root / "CUB_200_2011" / name
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        formats.read(CubData(format="cub", folder="."), root)


# --- the pipelines --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPECTED_POSITIVES)
def test_every_shipped_run_is_one_of_a_printed_row(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    layout = read_layout(f"studies/single-positive/{name}/params.yaml")
    assert (layout.study, layout.name) == ("single-positive", name)
    assert layout.record("x", 0).as_posix() == f"studies/single-positive/results/{name}/x-s0.json"
    assert layout.dvc_file == f"studies/single-positive/{name}/dvc.yaml"
    assert name in load_pipeline(Path("data/params.yaml")).data
    assert layout.data == Path("data") / name

    runs = {path.stem for path in (STUDY / name / "runs").glob("*.yaml")}
    assert runs == set(layout.pipeline.runs)
    assert len(runs) >= 15
    for run_id in runs:
        run = read_run(layout, run_id)
        expected = EXPECTED_POSITIVES[name]
        assert run.data == name
        assert run.backbone == layout.pipeline.features.backbone
        assert getattr(run.loss, "expected_positives", expected) == expected

    # DVC becomes slow with more stages in one file.
    stages = yaml.safe_load((STUDY / name / "dvc.yaml").read_text())["stages"]
    stages_of_matrix = len(runs) * len(layout.pipeline.seeds)
    count = sum(stages_of_matrix if "matrix" in stage else 1 for stage in stages.values())
    assert count < 60


@pytest.mark.parametrize("name", EXPECTED_POSITIVES)
def test_every_shipped_run_file_names_a_row(name):
    if not (STUDY / "reported.csv").exists():
        pytest.skip("reported.csv of the study is not there yet")
    with (STUDY / "reported.csv").open(newline="", encoding="utf-8") as file:
        printed = {row["run"] for row in csv.DictReader(file)}
    for path in (STUDY / name / "runs").glob("*.yaml"):
        assert load_run(path).run_id in printed, path.name
