"""What `mlrepro init-data` makes of folders, tables and annotation files, good and bad."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
import pytest
import yaml
from conftest import skip_without
from picture_files import bomb, write_no_pictures, write_picture, write_table
from PIL import Image

from mlrepro.data import formats
from mlrepro.data.images import Pictures
from mlrepro.data.manifest import read_manifest
from mlrepro.data.picture_check import check_pictures
from mlrepro.data.picture_names import picture_file
from mlrepro.data.prepare import prepare
from mlrepro.data.shards import ShardReader
from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.settings.pipeline import load_pipeline
from mlrepro.settings.run import load_run
from mlrepro_cli.export.export import export
from mlrepro_cli.init_data.describe import describe
from mlrepro_cli.init_data.init_data import init_data
from mlrepro_cli.init_data.own_data import OwnData
from mlrepro_cli.init_data.splits import complete_splits
from mlrepro_cli.main import main
from mlrepro_cli.plan.plan import plan
from mlrepro_cli.predict.answer import predict
from mlrepro_cli.predict.model import load_model

ROOT = Path(__file__).resolve().parents[2]
COCO = ROOT / ".." / "shared" / "data" / "coco2014-mini"
TO = Path("studies/own-data")


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    """An empty repository as the present folder; the user's pictures are beside it."""
    folder = tmp_path / "repository"
    (folder / TO).mkdir(parents=True)
    shutil.copy(ROOT / TO / "budgets.yaml", folder / TO)
    monkeypatch.chdir(folder)


@pytest.fixture
def own(tmp_path) -> Path:
    """Where the user's pictures go; not made yet."""
    return tmp_path / "own"


@dataclass
class Written:
    """What init_data wrote, as the pipeline reads it: labels and split by picture."""

    labels: dict[str, list[str]]
    splits: dict[str, str]
    settings: dict

    def pictures_of(self, split: str) -> list[str]:
        return [picture for picture, of_picture in self.splits.items() if of_picture == split]


def read_written() -> Written:
    pipeline = load_pipeline(TO / "params.yaml")
    data = pipeline.data[pipeline.name]
    frame, classes = formats.read(data, data.folder)
    return Written(
        labels={row.image: [classes[i] for i in row.labels] for row in frame.itertuples()},
        splits=dict(zip(frame["image"], frame["split"], strict=True)),
        settings=yaml.safe_load((TO / "params.yaml").read_text()),
    )


# --------------------------------------------------------------------------------- a folder a label


def test_one_folder_a_label(tmp_path, capsys):
    own = tmp_path / "own" / "Mes Photos"
    for i in range(20):
        write_picture(own / ("cat" if i % 2 else "dog, black") / f"{i}.png")
    # The same bytes: one picture with two labels.
    write_picture(own / "cat" / "both.png", seed=1)
    write_picture(own / "dog, black" / "same name, other bytes.png", seed=1)
    write_picture(own / "cat" / "deep" / "er.jpg")
    write_picture(own / "beside.png")
    before = sorted(own.rglob("*"))

    for folder in (own, own / "cat"):
        folder.chmod(0o555)
    init_data(own, TO)
    for folder in (own, own / "cat"):
        folder.chmod(0o755)

    written = read_written()
    assert sorted(own.rglob("*")) == before, "pictures are used in place"
    assert written.settings["name"] == "my-Mes-Photos"
    assert "beside.png" not in written.labels
    assert written.labels["cat/both.png"] == ["cat", "dog, black"]
    assert written.labels["cat/deep/er.jpg"] == ["cat"]
    assert len(written.labels) == 22

    # Of 12 and 11 pictures, a fifth of each is test, and a fifth of the rest validation.
    for name in ("cat", "dog, black"):
        splits = [written.splits[image] for image, names in written.labels.items() if name in names]
        assert 2 <= splits.count("test") <= 3
        assert 1 <= splits.count("val") <= 2

    out = capsys.readouterr().out
    assert "beside.png" in out
    assert "cat + dog, black (1)" in out
    assert "unknown" not in out

    data = load_pipeline(TO / "params.yaml").data["my-Mes-Photos"]
    manifest = prepare(data, Path("data/my-Mes-Photos"))
    assert manifest.classes == ["cat", "dog, black"]
    assert len(manifest.frame) == 22


def test_a_part_a_folder_and_one_label_a_picture(own, capsys):
    for part in ("Train", "val"):
        for i in range(12):
            write_picture(own / part / "абв" / f"{i}.png")
            write_picture(own / part / "x" / f"{i}.png")
    init_data(own, TO, name="Ausflüge")

    written = read_written()
    assert written.labels["val/абв/1.png"] == ["абв"]
    assert written.settings["name"] == "my-Ausfluge"
    assert written.settings["corruption"] == {"positives": -1, "negatives": 0}
    assert written.splits["val/x/1.png"] == "test"
    # Validation is cut out of train.
    assert set(written.splits.values()) == {"train", "val", "test"}

    losses = [loss["name"] for loss in written.settings["search"]["losses"]]
    assert losses[4:] == ["wan", "role", "em", "hill", "epr"]
    assert "every picture has exactly one" in capsys.readouterr().out
    assert "below the truth" in written.settings["intro"]


# ------------------------------------------------------------------------------------------- tables


SEPARATORS = [
    (["dog person", "dog", "person", ""], {"dog", "person"}),
    (["polar bear", "grizzly", "polar bear", ""], {"polar bear", "grizzly"}),
    (["dog, red|cat", "cat", "dog, red", ""], {"dog, red", "cat"}),
    (["a; ../b", "../b ", "a", ""], {"a", "../b"}),
]


@pytest.mark.parametrize("fields, expected", SEPARATORS)
def test_the_separator_is_guessed_and_said(own, capsys, fields, expected):
    names = [write_picture(own / "images" / f"{i}.jpg").name for i in range(16)]
    rows = [(name, fields[i % 4], "a, b") for i, name in enumerate(names)]
    write_table(own / "train.tsv", [("ImageID", "Labels", "Caption"), *rows], "\t")
    write_table(own / "test.csv", [("ImageID", "Caption"), ("17.jpg", "no labels: not read")])
    init_data(own, TO)

    written = read_written()
    assert {name for labels in written.labels.values() for name in labels} == expected
    assert len(written.labels) == 16
    assert written.labels["images/3.jpg"] == []
    assert set(written.splits.values()) == {"train", "val", "test"}
    assert "labels in 'Labels', " in capsys.readouterr().out


def test_splits_and_long_tables(own):
    label_sets = [("a", "b"), ("a",), ("b",)]
    rows = []
    for i in range(16):
        write_picture(own / f"{i}.png")
        split = "train" if i < 12 else "Validation"
        rows += [(f"{i}.png", label, split) for label in label_sets[i % 3]]  # a row a label
    table = write_table(own / "rows.csv", [("file", "tag", "subset"), *rows])
    init_data(table, TO)

    written = read_written()
    assert written.labels["0.png"] == ["a", "b"]
    assert written.labels["1.png"] == ["a"]
    assert [written.splits[f"{i}.png"] for i in range(12, 16)] == ["test"] * 4
    assert "val" in written.splits.values()


# ---------------------------------------------------------------------------- annotations of others


def test_voc_lists(own):
    year = own / "VOCdevkit" / "VOC2012"
    lists = year / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for i in range(12):
        write_picture(year / "JPEGImages" / f"{i:02}.jpg")
    parts = {"train": range(8), "val": range(8, 12), "trainval": range(12)}
    flags_of_label = {"cat": [1, -1, 0], "train": [-1, 1, 1]}
    for part, numbers in parts.items():
        for name, flags in flags_of_label.items():
            lines = [f"{i:02} {flags[i % 3]:2d}\n" for i in numbers]
            (lists / f"{name}_{part}.txt").write_text("".join(lines))
    init_data(own, TO)

    written = read_written()
    pictures = [f"VOCdevkit/VOC2012/JPEGImages/{i:02}.jpg" for i in range(12)]
    labels = [written.labels[picture] for picture in pictures[:3]]
    assert labels == [["cat"], ["train"], ["train"]]
    assert written.pictures_of("test") == pictures[8:]

    (lists / "cat_val.txt").write_text("08\n")
    with pytest.raises(InputError, match=r"cat_val.txt: cannot be read as VOC's lists"):
        init_data(own, TO)


def test_coco_annotations(own):
    for part in ("train", "valid"):
        for i in range(8):
            write_picture(own / part / f"{i}.jpg")
        content = {
            "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(8)],
            "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
            "annotations": [{"image_id": i, "category_id": 3 + 4 * (i % 2)} for i in range(7)],
        }
        (own / part / "_annotations.coco.json").write_text(json.dumps(content))
    (own / "latest.json").write_text("{}")  # neither an annotation file nor of a test part
    init_data(own, TO)

    written = read_written()
    assert written.labels["train/1.jpg"] == ["dog"]
    assert written.labels["valid/7.jpg"] == []
    assert len(written.labels) == 16
    assert written.splits["valid/0.jpg"] == "test"
    assert set(written.splits.values()) == {"train", "val", "test"}

    (own / "train" / "_annotations.coco.json").write_text("{}")
    message = r"train/_annotations.coco.json: cannot be read as COCO's annotations"
    with pytest.raises(InputError, match=message):
        init_data(own, TO)


def test_real_coco_pictures(own, capsys):
    if not COCO.is_dir():
        pytest.skip("no ../shared/data/coco2014-mini")
    for archive in COCO.glob("*.zip"):
        zipfile.ZipFile(archive).extractall(own)
    (own / "train2014" / "zz.jpg").write_bytes(b"not a picture")

    # One annotation file, whose pictures lie in a folder beside its own.
    init_data(own / "annotations" / "instances_val2014.json", TO)
    written = read_written()
    assert len(written.labels) == 446
    assert sum(not labels for labels in written.labels.values()) == 5
    assert len(written.pictures_of("train")) == 286
    assert len(written.pictures_of("val")) == 71
    assert len(written.pictures_of("test")) == 89

    # Both, with train2014 and val2014 in their names.
    init_data(own, TO)
    written = read_written()
    assert len(written.labels) == 589
    assert len(written.pictures_of("test")) == 446
    assert (TO / "params.yaml.bak0").exists()

    out = capsys.readouterr().out
    assert "Most often together: cup + person" in out
    assert "too rare" in out.lower()
    assert "zz.jpg" in out


# -------------------------------------------------------------------------------------- what is bad


def test_what_is_in_the_way_is_named(own, capsys):
    for i in range(30):
        write_picture(own / f"{i}.png", seed=i // 2)  # each twice
    rows = [(f"{i}.png", "Cat" if i % 4 < 2 else "cat | dog ") for i in range(30)]
    (own / "31.png").write_bytes(b"damaged")
    (own / "bomb.png").write_bytes(bomb())
    Image.fromarray(np.zeros((9, 9), np.float32)).save(own / "float.tif")
    unreadable = [(name, "dog") for name in ("31.png", "gone.png", "bomb.png", "float.tif")]
    write_table(own / "labels.csv", [("image", "labels"), *rows, *unreadable])
    init_data(own, TO)

    written = read_written()
    assert len(written.labels) == 30
    for i in range(0, 30, 2):
        assert written.splits[f"{i}.png"] == written.splits[f"{i + 1}.png"], "copies stay together"

    out = capsys.readouterr().out
    assert "is it one label, ['Cat', 'cat']?" in out
    assert "31.png (not a picture)" in out
    assert "gone.png (missing)" in out
    assert "bomb.png (too large: " in out
    assert "float.tif (floating-point pixels" in out
    assert "Copies: 0.png = 1.png" in out
    assert "Imbalance 1.1:1: Cat (16), " in out


def test_what_is_no_regular_file_is_listed(own, capsys):
    for i in range(20):
        write_picture(own / "ab"[i % 2] / f"{i}.png")
    write_picture(own / "a" / "folder.jpg" / "inside.png")
    irregular = write_no_pictures(own / "b")
    (own / "a" / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(own / "labels.csv")
    (own / "instances.json").mkdir()
    init_data(own, TO)

    written = read_written()
    assert len(written.labels) == 21
    assert "a/folder.jpg/inside.png" in written.labels
    out = capsys.readouterr().out
    for path in irregular:
        assert f"b/{path.name} (no regular file)" in out
    assert "a/folder.jpg (no regular file)" in out
    assert "a/gone.jpg (missing)" in out
    assert "labels.csv: no regular file, left out" in out
    assert "instances.json: no regular file, left out" in out


def test_a_table_that_lists_what_is_no_regular_file(own, capsys):
    rows = [(write_picture(own / f"{i}.png").name, "cat" if i % 2 else "dog") for i in range(12)]
    irregular = write_no_pictures(own)
    rows += [(path.name, "cat") for path in irregular]
    table = write_table(own / "t.csv", [("image", "labels"), *rows])
    init_data(table, TO)
    assert len(read_written().labels) == 12
    out = capsys.readouterr().out
    for path in irregular:
        assert out.count(f"{path.name} (no regular file)") == 1

    # The prepare stage is told the same of a data set.
    table, rejected = check_pictures(
        pandas.DataFrame({"image": [name for name, _ in rows], "split": "train"}), own
    )
    assert len(table) == 12
    assert {entry["reason"] for entry in rejected} == {"no regular file"}


@pytest.mark.parametrize("name", ["t.csv", "t.json", "x"])
def test_a_named_pipe_instead_of_a_table(own, name):
    own.mkdir()
    os.mkfifo(own / name)
    with pytest.raises(InputError, match=f"{name}: no regular file; give a folder"):
        init_data(own / name, TO)


def test_names_that_are_not_utf8_work_to_the_end(own, monkeypatch, capsys):
    """From the user's folder to the page, whose tables are UTF-8."""
    names = [os.fsdecode(name) for name in (b"caf\xe9", b"\xff")]
    for i in range(40):
        write_picture(own / names[i % 2] / os.fsdecode(b"\xe9%d.png" % i), seed=i)
    write_picture(own / names[0] / "\\xe9.png", seed=100)  # a name that looks like ours
    (own / os.fsdecode(b"\xfe.png")).write_bytes(b"no picture")
    budgets = yaml.safe_load((TO / "budgets.yaml").read_text())
    budgets["search"] |= {"epochs": 1, "seeds": [0], "learning_rates": [0.01]}
    budgets["losses"] = budgets["losses"][:1]
    budgets["partial_losses"] = []
    (TO / "budgets.yaml").write_text(yaml.safe_dump(budgets))
    words = ["init-data", str(own), "--resolution", "32", "--backbone", "tf_efficientnet_lite0"]
    monkeypatch.setattr(sys, "argv", ["mlrepro", *words])
    assert main() == 0
    assert "\\xfe.png" in capsys.readouterr().out
    written = read_written()
    assert len(written.labels) == 41
    assert {name for labels in written.labels.values() for name in labels} == {"caf\\xe9", "\\xff"}

    settings = yaml.safe_load((TO / "params.yaml").read_text())
    settings["data"]["my-own"]["shards"] = {"pictures": 10}
    (TO / "params.yaml").write_text(yaml.safe_dump(settings))
    run_stages(
        monkeypatch, "download", "prepare", "corrupt", "extract", "search", "review", "report"
    )
    assert Path("reports/own-data-my-own.md").is_file()

    manifest = read_manifest(Path("data/my-own"))
    files = [picture_file(manifest.root, name) for name in manifest.frame["image"]]
    assert len({file.read_bytes() for file in files}) == 41
    rows = np.arange(len(files))
    from_shards = Pictures(manifest, rows, 8, "bilinear", shards=ShardReader(manifest))
    from_files = Pictures(manifest, rows, 8, "bilinear")
    for row in rows:
        assert (from_shards[row][0] == from_files[row][0]).all()


def test_a_folder_whose_name_is_not_utf8(tmp_path):
    own = tmp_path / os.fsdecode(b"\xff")
    write_picture(own / "a" / "1.png", seed=0)
    with pytest.raises(InputError, match=r"\\xff: the name of this folder is not UTF-8; rename it"):
        init_data(own, TO)


def nothing(own: Path) -> None:
    own.mkdir()


def text_files(own: Path) -> None:
    write_table(own / "a.txt", [("x",)])


def no_labels(own: Path) -> None:
    write_picture(own / "a.png")


def one_picture(own: Path) -> None:
    write_picture(own / "cat" / "a.png")


def the_same_labels(own: Path) -> None:
    for i in range(12):
        write_picture(own / "cat" / f"{i}.png")


def few_pictures(own: Path) -> None:
    write_picture(own / "cat" / "a.png")
    write_picture(own / "dog" / "b.png")


def another_place(own: Path) -> None:
    write_picture(own / "a.png")
    write_table(own / "t.csv", [("image", "labels"), ("no a.png", "cat")])


def short_row(own: Path) -> None:
    write_picture(own / "a.png")
    write_table(own / "t.csv", [("image", "labels"), ("a.png",)])


def unknown_split(own: Path) -> None:
    write_picture(own / "a.png")
    write_table(own / "t.csv", [("image", "labels", "split"), ("a.png", "cat", "all")])


def two_layouts(own: Path) -> None:
    write_picture(own / "a.png")
    write_table(own / "t.csv", [("image", "labels"), ("a.png", "cat")])
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "y"}],
        "annotations": [{"image_id": 1, "category_id": 1}],
    }
    (own / "instances.json").write_text(json.dumps(content))


def all_marks_in_labels(own: Path) -> None:
    for i in range(12):
        write_picture(own / f"{i}.png")
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(12)],
        "categories": [{"id": k, "name": f"a|;,\t\x1f{k}"} for k in (0, 1)],
        "annotations": [{"image_id": i, "category_id": i % 2} for i in range(12)],
    }
    (own / "instances.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "make, message",
    [
        (all_marks_in_labels, "labels hold all of"),
        (nothing, "0 pictures"),
        (text_files, "0 pictures"),
        (no_labels, "1 pictures .* no labels"),
        (one_picture, "1 pictures .* All pictures lie in cat/"),
        (the_same_labels, "12 pictures .* All pictures lie in cat/: one label that all"),
        (few_pictures, "2 readable pictures, .* labels cat, dog; to compare takes 10"),
        (another_place, r"t.csv: none of the 1 names there is a picture below .*'no a.png'"),
        (short_row, "t.csv, line 2: 1 fields where the header has 2"),
        (unknown_split, "t.csv: column 'split' holds all, .*--split-column"),
        (two_layouts, r"a table \(--layout table\) and COCO's annotations"),
    ],
)
def test_bad_input_is_refused_with_a_remedy(own, make, message):
    make(own)
    with pytest.raises(InputError, match=message) as error:
        init_data(own, TO)
    text = str(error.value)
    assert str(own) in text
    assert any(remedy in text for remedy in ("give", "add", "mend", "write"))
    assert not (TO / "params.yaml").exists()


def test_a_place_and_a_resolution_that_cannot_be(own):
    own.mkdir()
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        init_data(own / "nowhere", TO)
    with pytest.raises(InputError, match="--resolution 5: give 32 or more"):
        init_data(own, TO, resolution=5)


def test_ten_thousand_labels(tmp_path, capsys):
    """Some are shown, and some are stratified by; without this it takes hours."""
    random = np.random.default_rng(0)
    names = [f"label {place}" for place in range(10_000)]
    given = [{"label 0", *random.choice(names, 5)} for _ in range(400)]
    places = [[int(name.split()[1]) for name in of_picture] for of_picture in given]
    labels = np.zeros((len(given), len(names)), bool)
    for row, of_picture in enumerate(places):
        labels[row, of_picture] = True
    labels[:60, 9_999] = True
    frame = pandas.DataFrame(
        {
            "image": [f"{row}.jpg" for row in range(len(given))],
            "split": "",
            "label": given,
            "digest": [str(row) for row in range(len(given))],
            "together": range(len(given)),
        }
    )
    own = OwnData(tmp_path, frame, names, labels, np.zeros_like(labels))
    own.frame["split"] = complete_splits(own)
    describe(own, [], [])

    out = capsys.readouterr().out
    assert "10000 labels: below are the 30 most frequent and the 30 rarest" in out
    assert len(out.splitlines()) < 80
    assert "label 0 + label 9999 (60)" in out

    # Of those that are worth it, a fifth of each is test.
    test = (own.frame["split"] == "test").to_numpy()
    assert labels[test, 9_999].sum() == 12
    assert 70 <= test.sum() <= 90


def test_one_label_is_compared_with_no_other(own, capsys):
    for i in range(24):
        write_picture(own / f"{i}.png")
    lines = [f"{i}.png,{'cat' if i % 2 else ''}" for i in range(24)]
    (own / "labels.csv").write_text("\n".join(["image,labels", *lines]))
    init_data(own, TO)
    out = capsys.readouterr().out
    assert "Imbalance" not in out
    assert "losses on those of the last. Next, about 1 minute on two cores" in out


def test_labels_that_hardly_any_picture_has(tmp_path, capsys):
    """Where each is too rare to be stratified, a fifth of the pictures is drawn all the same."""
    names = [f"label {place}" for place in range(40)]
    frame = pandas.DataFrame(
        {
            "image": [f"{row}.jpg" for row in range(40)],
            "split": "",
            "label": [{name} for name in names],
            "together": range(40),
        }
    )
    labels = np.eye(40, dtype=bool)
    own = OwnData(tmp_path, frame, names, labels, np.zeros_like(labels))
    counts = pandas.Series(complete_splits(own)).value_counts()
    # A fifth of 40, and a fifth of the 32 that remain.
    assert counts.to_dict() == {"train": 26, "test": 8, "val": 6}
    out = capsys.readouterr().out
    assert "Labels are too rare to be stratified" in out
    assert "No test pictures are given: 8 of 40 training pictures are taken" in out
    assert "No val pictures are given: 6 of 32 training pictures are taken" in out

    # One label that six pictures have, by which one would be drawn.
    labels = np.hstack([labels, np.arange(40)[:, None] < 6])
    own = OwnData(tmp_path, frame, [*names, "frequent"], labels, np.zeros_like(labels))
    counts = pandas.Series(complete_splits(own)).value_counts()
    assert counts.to_dict() == {"train": 26, "test": 8, "val": 6}


# ------------------------------------------------------------------------------ from budget to page


def test_budgets(own):
    for i in range(24):
        write_picture(own / "ab"[i % 2] / f"{i}.png")
    init_data(own, TO, budget="thorough")

    layout = read_layout(TO / "params.yaml")
    assert len(layout.pipeline.runs) == 9
    assert len(layout.pipeline.backbones) == 4
    for run_id in layout.pipeline.runs:
        run = load_run(TO / "runs" / f"{run_id}.yaml")
        assert run.inputs == ("maps" if run_id.endswith("-maps") else "images")
        assert layout.output(run_id, 1).parent.name == "my-own"
    assert len(layout.searched) == 14
    assert layout.output(min(layout.searched), 1).parent.name == "search"
    assert len(layout.expected) == 23

    # A budget that a person has changed without its runs.
    text = (TO / "params.yaml").read_text()
    (TO / "params.yaml").write_text(text.replace("thorough", "quick"))
    message = "`budget: quick` has 0 `runs`, not 9; run `mlrepro init-data`"
    with pytest.raises(InputError, match=message):
        read_layout(TO / "params.yaml")

    # Run files that are there stay.
    first = TO / "runs" / f"{layout.pipeline.runs[0]}.yaml"
    first.write_text("# mine")
    init_data(own, TO, budget="standard")
    assert first.read_text() == "# mine"
    assert len(read_layout(TO / "params.yaml").pipeline.runs) == 4


def test_init_data_and_plan_do_not_wait_for_torch():
    code = (
        "import mlrepro_cli.main, mlrepro_cli.init_data.init_data, mlrepro_cli.plan.plan\n"
        "import mlrepro.report.recommend, sys\n"
        "assert 'torch' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def run_stages(monkeypatch, *stages: str) -> None:
    """The stages of the pipeline, in this process."""
    for stage in stages:
        arguments = [stage, str(TO / "params.yaml")]
        if stage in ("download", "prepare"):
            arguments.append("my-own")
        monkeypatch.setattr(sys, "argv", arguments)
        runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")


def test_from_pictures_to_the_page(own, monkeypatch, capsys):
    """The stages of the pipeline in this process, with a backbone on tiny pictures."""
    for i in range(40):
        write_picture(own / "ab"[i % 2] / f"{i}.png")
    budgets = yaml.safe_load((TO / "budgets.yaml").read_text())
    budgets["search"] |= {"epochs": 2, "seeds": [0], "learning_rates": [0.01]}
    budgets["backbones"] = budgets["backbones"][:1]  # beside the composed one
    (TO / "budgets.yaml").write_text(yaml.safe_dump(budgets))
    init_data(own, TO, resolution=32)

    run_stages(monkeypatch, "download", "prepare", "corrupt", "extract", "search", "review")
    # Both depend on the records' folder: the last must not change it behind the other.
    records = Path("studies/own-data/results/my-own")
    before = {file.name: file.read_bytes() for file in records.iterdir()}
    run_stages(monkeypatch, "report")
    assert {file.name: file.read_bytes() for file in records.iterdir()} == before

    page = Path("reports/own-data-my-own.md").read_text()
    assert page.count("| complete |") == 11
    assert "-scores.png" in page
    review = Path("outputs/own-data/my-own/review")
    assert (review / "labels.html").is_file()
    assert (review / "missing.csv").read_text().startswith("image,label,given,answer,")
    assert (review / "mistakes.html").is_file()

    # The command that the page recommends, of a run of the search, which has no run file.
    skip_without("export")
    command = r"^mlrepro export (\S+) (\S+) --seed 0 --to (.*)$"
    settings, run_id, folder = re.search(command, page, re.MULTILINE).groups()
    export(settings, run_id, None, folder)
    config, network = load_model(Path("my-model"))
    pictures = sorted(str(path) for path in own.glob("a/*"))
    answers = list(predict(config, network, pictures))
    assert answers[0]["image"].endswith("0.png")

    # What was trained on other pictures is not done.
    shutil.copy(ROOT / "data" / "params.yaml", "data")
    plan(TO / "params.yaml")
    assert "11 trainings, 11 done" in capsys.readouterr().out
    write_picture(own / "a" / "0.png", seed=7)
    plan(TO / "params.yaml")
    out = capsys.readouterr().out
    assert "pictures or labels are others than those that were trained on" in out
    assert "11 trainings, 0 done; next: dvc repro" in out

    # One that is gone stops the stage, before which DVC removes what it makes.
    (own / "a" / "0.png").unlink()
    (Path("data/my-own") / "manifest.parquet").unlink()
    with pytest.raises(SystemExit, match="or run `mlrepro init-data` again, which leaves them out"):
        run_stages(monkeypatch, "prepare")
    plan(TO / "params.yaml")
    out = capsys.readouterr().out
    assert "data/my-own/manifest.parquet is not there), so that all of it counts as not done" in out
    assert "11 trainings, 0 done; next: dvc repro" in out


def test_plan_says_which_label_files_have_changed(own, capsys):
    for i in range(24):
        write_picture(own / f"{i}.png")
    table = own / "labels.csv"
    lines = [f"{i}.png,{'ab'[i % 2]}" for i in range(24)]
    table.write_text("\n".join(["image,labels", *lines]))
    init_data(own, TO)
    shutil.copy(ROOT / "data" / "params.yaml", "data")
    plan(TO / "params.yaml")
    assert "has changed" not in capsys.readouterr().out

    table.write_text("\n".join(["image,labels", *reversed(lines)]))
    plan(TO / "params.yaml")
    assert f"{table.resolve()} has changed since `mlrepro init-data`" in capsys.readouterr().out


# ------------------------------------------------------------------------------ networks to compare


def test_networks_that_the_user_names(own, capsys):
    """Each with its own resolution; weights of a package where there is one, else timm's."""
    for i in range(24):
        write_picture(own / "ab"[i % 2] / f"{i}.png")
    names = ["vit_base_patch16_siglip_256.v2_webli", "tf_efficientnet_lite2"]
    init_data(own, TO, budget="standard", backbones=names)

    pipeline = read_layout(TO / "params.yaml").pipeline
    siglip = "vit_base_patch16_siglip_256__v2_webli"
    embedding = f"{siglip}_embedding"  # of an image tower, whose text tower is known
    assert (pipeline.features.backbone, pipeline.features.weights) == (embedding, "timm")
    assert pipeline.features.resolution == 256
    first, second = pipeline.backbones
    assert (first.backbone, first.resolution) == ("tf_efficientnet_lite0", 320)
    assert (second.backbone, second.weights) == ("tf_efficientnet_lite2", "package")
    assert second.resolution == 260
    assert all(f"-{siglip}-own-" in run_id for run_id in pipeline.runs)
    [zero_shot] = pipeline.zero_shot
    assert (zero_shot.backbone, zero_shot.resolution) == (embedding, 256)
    assert zero_shot.text == "hf-hub:timm/ViT-B-16-SigLIP2-256"
    assert zero_shot.prompts == ["a photo of a {}."]
    assert "hf-hub:timm/ViT-B-16-SigLIP2-256, as 'a photo of a {}.'" in capsys.readouterr().out

    init_data(own, TO, resolution=128, backbones=["resnet18"])
    pipeline = read_layout(TO / "params.yaml").pipeline
    assert {pipeline.features.resolution, pipeline.backbones[0].resolution} == {128}

    assert pipeline.zero_shot == []

    with pytest.raises(InputError, match="--backbone resnet1: none of timm's networks"):
        init_data(own, TO, backbones=["resnet1"])
    with pytest.raises(InputError, match="did you mean vit_base_patch16_siglip_224.webli or "):
        init_data(own, TO, backbones=["vit_base_patch16_siglip_24"])
    with pytest.raises(InputError, match="timm has no weights of it"):
        init_data(own, TO, backbones=["vit_small_patch16_36x1_224"])
    with pytest.raises(InputError, match="cannot take 100 x 100"):
        init_data(own, TO, resolution=100, backbones=["maxvit_tiny_tf_224"])


def test_how_text_towers_read_the_labels(own, capsys, monkeypatch):
    for i in range(24):
        write_picture(own / "ab"[i % 2] / f"{i}.png")
    right = "vit_base_patch32_clip_quickgelu_224.openai"
    monkeypatch.setattr("mlrepro.extras.find_spec", lambda module: None)
    init_data(own, TO, backbones=[right], prompts=["a drawing of a {}", "{}"])
    [zero_shot] = read_layout(TO / "params.yaml").pipeline.zero_shot
    assert zero_shot.prompts == ["a drawing of a {}", "{}"]
    assert "not installed here: pip install -e '.[zero-shot]'" in capsys.readouterr().out

    init_data(own, TO, backbones=[right], prompts=[""])
    assert read_layout(TO / "params.yaml").pipeline.zero_shot == []
    assert "zero-shot" not in capsys.readouterr().out

    # Mirrored, twice the same, and beside it.
    siglip = "vit_base_patch16_siglip_224.webli"
    names = [f"{siglip}_mirrored", "resnet18_mirrored", siglip, f"{siglip}_embedding"]
    init_data(own, TO, backbones=names)
    pipeline = read_layout(TO / "params.yaml").pipeline
    written = siglip.replace(".", "__")
    assert pipeline.features.backbone == f"{written}_embedding_mirrored"
    assert [features.backbone for features in pipeline.backbones] == [
        "tf_efficientnet_lite0",
        "resnet18_mirrored",
        f"{written}_embedding",
    ]
    assert [entry.backbone for entry in pipeline.zero_shot] == [f"{written}_embedding"]
    capsys.readouterr()

    # The same weights in a network that computes another activation.
    init_data(own, TO, backbones=[right.replace("_quickgelu", "")])
    assert read_layout(TO / "params.yaml").pipeline.zero_shot == []
    assert f"--backbone {right} computes what they were trained for" in capsys.readouterr().out

    with pytest.raises(InputError, match="--prompt 'a photo': write {} once"):
        init_data(own, TO, backbones=[right], prompts=["a photo"])
    with pytest.raises(InputError, match="no --backbone is named whose text tower is known"):
        init_data(own, TO, backbones=["resnet18"], prompts=["some {}"])
