"""What `mlrepro init-data` and `mlrepro plan` make of folders, tables and annotation files, good and bad."""

import csv
import json
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mlrepro.data import formats
from mlrepro.data.prepare import prepare
from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.settings.pipeline import load_pipeline
from mlrepro.settings.run import load_run
from mlrepro_cli.export import export
from mlrepro_cli.inspect_data import init_data
from mlrepro_cli.plan import plan
from mlrepro_cli.predict import load_model, predict

ROOT = Path(__file__).resolve().parents[2]
COCO = ROOT / ".." / "shared" / "data" / "coco2014-mini"
TO = Path("studies/own-data")


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    """An empty repository as the present folder; the user's pictures are beside it, in tmp_path/own."""
    (tmp_path / "repository" / TO).mkdir(parents=True)
    shutil.copy(ROOT / TO / "budgets.yaml", tmp_path / "repository" / TO)
    monkeypatch.chdir(tmp_path / "repository")


def picture(path: Path, seed: int | None = None) -> Path:
    """A picture of a colour that its path, or the seed, decides."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(str(path).encode()) if seed is None else seed)
    Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8)).save(path)
    return path


def bomb() -> bytes:
    """The beginning of a PNG of 60,000 x 60,000 pixels: what they decompress to is more than any memory holds."""
    chunks = (
        b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00",
        b"IDAT" + zlib.compress(b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        for chunk in chunks
    )


def table(path: Path, rows: list[tuple], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def written() -> tuple[dict[str, list[str]], dict[str, str], dict]:
    """Labels and split of each picture as the pipeline reads what was written, and the settings themselves."""
    pipeline = load_pipeline(TO / "params.yaml")
    settings = pipeline.data[pipeline.name]
    frame, classes = formats.read(settings, settings.folder)
    labels = {row.image: [classes[i] for i in row.labels] for row in frame.itertuples()}
    return (
        labels,
        dict(zip(frame["image"], frame["split"], strict=True)),
        yaml.safe_load((TO / "params.yaml").read_text()),
    )


def test_one_folder_a_label(tmp_path, capsys):
    own = tmp_path / "own" / "Mes Photos"
    for i in range(20):
        picture(own / ("cat" if i % 2 else "dog, black") / f"{i}.png")
    picture(own / "cat" / "both.png", seed=1)
    picture(
        own / "dog, black" / "same name, other bytes.png", seed=1
    )  # the same bytes: one picture with two labels
    picture(own / "cat" / "deep" / "er.jpg")
    picture(own / "beside.png")
    before = sorted(own.rglob("*"))
    for folder in (own, own / "cat"):
        folder.chmod(0o555)
    init_data(own, TO)
    for folder in (own, own / "cat"):
        folder.chmod(0o755)
    labels, splits, settings = written()
    assert (
        sorted(own.rglob("*")) == before
        and settings["name"] == "my-Mes-Photos"
        and "beside.png" not in labels
    )
    assert (
        labels["cat/both.png"] == ["cat", "dog, black"]
        and labels["cat/deep/er.jpg"] == ["cat"]
        and len(labels) == 22
    )
    for name in (
        "cat",
        "dog, black",
    ):  # 12 and 11 pictures: a fifth of each is test, and a fifth of the rest validation
        of_label = [splits[image] for image, names in labels.items() if name in names]
        assert [2 <= of_label.count("test") <= 3, 1 <= of_label.count("val") <= 2] == [True, True]
    out = capsys.readouterr().out
    assert "beside.png" in out and "cat + dog, black (1)" in out and "unknown" not in out
    manifest = prepare(
        load_pipeline(TO / "params.yaml").data["my-Mes-Photos"], Path("data/my-Mes-Photos")
    )
    assert manifest.classes == ["cat", "dog, black"] and len(manifest.frame) == 22


def test_a_part_a_folder_and_one_label_a_picture(tmp_path, capsys):
    for part in ("Train", "val"):
        for i in range(12):
            picture(tmp_path / "own" / part / "абв" / f"{i}.png")
            picture(tmp_path / "own" / part / "x" / f"{i}.png")
    init_data(tmp_path / "own", TO, name="写真")
    labels, splits, settings = written()
    assert labels["val/абв/1.png"] == ["абв"] and settings["name"] == "my-pictures"
    assert settings["corruption"] == {"positives": -1, "negatives": 0}
    assert splits["val/x/1.png"] == "test" and set(splits.values()) == {
        "train",
        "val",
        "test",
    }  # val cut out of train
    assert [loss["name"] for loss in settings["search"]["losses"]][4:] == [
        "wan",
        "role",
        "em",
        "hill",
        "epr",
    ]
    assert (
        "every picture has exactly one" in capsys.readouterr().out
        and "below the truth" in settings["intro"]
    )


@pytest.mark.parametrize(
    "fields, expected",
    [
        (["dog person", "dog", "person", ""], {"dog", "person"}),
        (["polar bear", "grizzly", "polar bear", ""], {"polar bear", "grizzly"}),
        (["dog, red|cat", "cat", "dog, red", ""], {"dog, red", "cat"}),
        (["a; ../b", "../b ", "a", ""], {"a", "../b"}),
    ],
)
def test_the_separator_is_guessed_and_said(tmp_path, capsys, fields, expected):
    own = tmp_path / "own"
    names = [picture(own / "images" / f"{i}.jpg").name for i in range(16)]
    rows = [(name, fields[i % 4], "a, b") for i, name in enumerate(names)]
    table(own / "train.tsv", [("ImageID", "Labels", "Caption"), *rows], "\t")
    table(own / "test.csv", [("ImageID", "Caption"), ("17.jpg", "no labels: not read")])
    init_data(own, TO)
    labels, splits, settings = written()
    assert (
        {name for row in labels.values() for name in row} == expected
        and len(labels) == 16
        and labels["images/3.jpg"] == []
    )
    assert (
        set(splits.values()) == {"train", "val", "test"}
        and "labels in 'Labels' with" in capsys.readouterr().out
    )


def test_splits_and_long_tables(tmp_path):
    own = tmp_path / "own"
    rows = [
        (f"{i}.png", name, "train" if i < 12 else "Validation")
        for i in range(16)
        for name in (("a", "b"), ("a",), ("b",))[i % 3]
    ]
    for i in range(16):
        picture(own / f"{i}.png")
    init_data(table(own / "rows.csv", [("file", "tag", "subset"), *rows]), TO)
    labels, splits, _ = written()
    assert labels["0.png"] == ["a", "b"] and labels["1.png"] == ["a"]  # a row a label
    assert [splits[f"{i}.png"] for i in range(12, 16)] == ["test"] * 4 and "val" in splits.values()


def test_voc_lists(tmp_path):
    lists = tmp_path / "own" / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for i in range(12):
        picture(lists.parents[1] / "JPEGImages" / f"{i:02}.jpg")
    parts = {"train": range(8), "val": range(8, 12), "trainval": range(12)}
    for part, numbers in parts.items():
        for name, flags in (("cat", [1, -1, 0]), ("train", [-1, 1, 1])):
            (lists / f"{name}_{part}.txt").write_text(
                "".join(f"{i:02} {flags[i % 3]:2d}\n" for i in numbers)
            )
    init_data(tmp_path / "own", TO)
    labels, splits, _ = written()
    assert [labels[f"VOCdevkit/VOC2012/JPEGImages/{i:02}.jpg"] for i in range(3)] == [
        ["cat"],
        ["train"],
        ["train"],
    ]
    assert [name[-6:-4] for name, split in splits.items() if split == "test"] == [
        "08",
        "09",
        "10",
        "11",
    ]
    (lists / "cat_val.txt").write_text("08\n")
    with pytest.raises(InputError, match=r"cat_val.txt: cannot be read as VOC's lists"):
        init_data(tmp_path / "own", TO)


def test_coco_annotations(tmp_path):
    own = tmp_path / "own"
    for part in ("train", "valid"):
        for i in range(8):
            picture(own / part / f"{i}.jpg")
        content = {
            "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(8)],
            "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
            "annotations": [{"image_id": i, "category_id": 3 + 4 * (i % 2)} for i in range(7)],
        }
        (own / part / "_annotations.coco.json").write_text(json.dumps(content))
    (own / "latest.json").write_text("{}")  # neither an annotation file nor of a test part
    init_data(own, TO)
    labels, splits, _ = written()
    assert labels["train/1.jpg"] == ["dog"] and labels["valid/7.jpg"] == [] and len(labels) == 16
    assert splits["valid/0.jpg"] == "test" and set(splits.values()) == {"train", "val", "test"}
    (own / "train" / "_annotations.coco.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"train/_annotations.coco.json: cannot be read as COCO's annotations"
    ):
        init_data(own, TO)


def test_real_coco_pictures(tmp_path, capsys):
    if not COCO.is_dir():
        pytest.skip("no ../shared/data/coco2014-mini")
    for archive in COCO.glob("*.zip"):
        zipfile.ZipFile(archive).extractall(tmp_path / "own")
    (tmp_path / "own" / "train2014" / "zz.jpg").write_bytes(b"not a picture")
    init_data(tmp_path / "own" / "annotations" / "instances_val2014.json", TO)
    labels, splits, _ = written()
    assert len(labels) == 446 and sum(not row for row in labels.values()) == 5
    assert {split: [*splits.values()].count(split) for split in splits.values()} == {
        "train": 286,
        "val": 71,
        "test": 89,
    }
    init_data(tmp_path / "own", TO)
    labels, splits, _ = written()
    assert (
        len(labels) == 589
        and [*splits.values()].count("test") == 446
        and (TO / "params.yaml.bak0").exists()
    )
    out = capsys.readouterr().out
    assert (
        "Most often together: cup + person" in out and "too rare" in out.lower() and "zz.jpg" in out
    )


def test_what_is_in_the_way_is_named(tmp_path, capsys):
    own = tmp_path / "own"
    for i in range(30):
        picture(own / f"{i}.png", seed=i // 2)  # each twice
    rows = [(f"{i}.png", "Cat" if i % 4 < 2 else "cat | dog ") for i in range(30)]
    (own / "31.png").write_bytes(b"damaged")
    (own / "bomb.png").write_bytes(bomb())
    Image.fromarray(np.zeros((9, 9), np.float32)).save(own / "float.tif")
    others = [(name, "dog") for name in ("31.png", "gone.png", "bomb.png", "float.tif")]
    table(own / "labels.csv", [("image", "labels"), *rows, *others])
    init_data(own, TO)
    labels, splits, _ = written()
    assert (
        all(splits[f"{i}.png"] == splits[f"{i + 1}.png"] for i in range(0, 30, 2))
        and len(labels) == 30
    )
    out = capsys.readouterr().out
    for text in (
        "is it one label, ['Cat', 'cat ']?",
        "31.png (not a picture)",
        "gone.png (missing)",
        "bomb.png (too large: ",
        "float.tif (floating-point pixels",
        "Copies: 0.png = 1.png",
        "Imbalance 1.1:1: Cat (16), ",
    ):
        assert text in out


def two_layouts(own: Path) -> None:
    table(own / "t.csv", [("image", "labels"), (picture(own / "a.png").name, "x")])
    content = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [], "annotations": []}
    (own / "instances.json").write_text(json.dumps(content))


BAD = {
    "nothing": (lambda own: own.mkdir(), "0 pictures"),
    "text files": (lambda own: table(own / "a.txt", [("x",)]), "0 pictures"),
    "no labels": (lambda own: picture(own / "a.png"), "1 pictures .* no labels"),
    "one picture": (lambda own: picture(own / "cat" / "a.png"), "1 readable pictures"),
    "the same labels": (
        lambda own: [picture(own / "cat" / f"{i}.png") for i in range(12)],
        r"labels \['cat'\]; to",
    ),
    "another place": (
        lambda own: table(
            own / "t.csv", [("image", "labels"), (f"no {picture(own / 'a.png').name}", "x")]
        ),
        "'missing'",
    ),
    "short row": (
        lambda own: table(own / "t.csv", [("image", "labels"), (picture(own / "a.png").name,)]),
        "t.csv: .*row 2",
    ),
    "unknown split": (
        lambda own: table(
            own / "t.csv", [("image", "labels", "split"), (picture(own / "a.png").name, "x", "all")]
        ),
        "t.csv: cannot be read as a table .*row 2 .*split",
    ),
    "two layouts": (two_layouts, "COCO's annotations and a table"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_a_remedy(tmp_path, name):
    make, message = BAD[name]
    make(tmp_path / "own")
    with pytest.raises(InputError, match=message) as error:
        init_data(tmp_path / "own", TO)
    assert str(tmp_path / "own") in str(error.value) and any(
        word in str(error.value) for word in ("give", "add", "mend")
    )
    assert not (TO / "params.yaml").exists()
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        init_data(tmp_path / "nowhere", TO)
    with pytest.raises(InputError, match="--resolution 5: give 32 or more"):
        init_data(tmp_path / "own", TO, resolution=5)


def test_budgets(tmp_path):
    for i in range(24):
        picture(tmp_path / "own" / "ab"[i % 2] / f"{i}.png")
    init_data(tmp_path / "own", TO, budget="thorough")
    layout = read_layout(TO / "params.yaml")
    assert (
        len(layout.pipeline.runs) == 9
        and layout.pipeline.features.maps
        and len(layout.searched) == 9
    )
    for run_id in layout.pipeline.runs:
        run = load_run(TO / "runs" / f"{run_id}.yaml")
        assert run.inputs == ("maps" if run_id.endswith("-maps") else "images")
        assert layout.output(run_id, 1).parent.name == "my-own"
    assert (
        layout.output(min(layout.searched), 1).parent.name == "search"
        and len(layout.expected) == 18
    )
    text = (TO / "params.yaml").read_text()
    (TO / "params.yaml").write_text(text.replace("thorough", "quick"))
    with pytest.raises(
        InputError, match="`budget: quick` has 2 `runs`, not 9; run `mlrepro init-data`"
    ):
        read_layout(TO / "params.yaml")
    (TO / "runs" / f"{layout.pipeline.runs[0]}.yaml").write_text("# mine")
    init_data(tmp_path / "own", TO, budget="standard")
    assert (TO / "runs" / f"{layout.pipeline.runs[0]}.yaml").read_text() == "# mine"
    assert len(read_layout(TO / "params.yaml").pipeline.runs) == 4


def test_plan_of_real_studies(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    plan(Path("params.yaml"))
    plan(Path("studies/single-positive/params.yaml"))
    out = capsys.readouterr().out
    assert "params.yaml: 13 trainings, 13 done\n" in out
    assert "GPU hours left; next: dvc repro studies/single-positive/voc2012" in out
    assert "VOCtrainval_11-May-2012.tar (size not stated)" in out and "GB are free" in out


def test_neither_verb_waits_for_torch():
    code = "import mlrepro_cli.inspect_data, mlrepro_cli.plan, mlrepro.report.recommend, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_from_pictures_to_the_page(tmp_path, monkeypatch):
    """The stages of the pipeline in this process, with a backbone on tiny pictures."""
    for i in range(40):
        picture(tmp_path / "own" / "ab"[i % 2] / f"{i}.png")
    known = yaml.safe_load((TO / "budgets.yaml").read_text())
    known["search"] |= {"epochs": 2, "seeds": [0], "learning_rates": [0.01]}
    (TO / "budgets.yaml").write_text(yaml.safe_dump(known))
    init_data(tmp_path / "own", TO, resolution=32)
    for stage in ("download", "prepare", "corrupt", "extract", "search", "review", "report"):
        arguments = ["my-own"] * (stage in ("download", "prepare"))
        monkeypatch.setattr(sys, "argv", [stage, str(TO / "params.yaml"), *arguments])
        runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")
    page = Path("reports/own-data-my-own.md").read_text()
    assert (
        page.count("| complete |") == 9 and page.count("| not run ") == 2 and "-scores.png" in page
    )
    assert all(
        Path("outputs/own-data/my-own/review", f"{name}.html").is_file()
        for name in ("missing", "mistakes")
    )
    arguments = re.search(
        r"^mlrepro export (\S+) (\S+) --seed 0 --to (.*)$", page, re.MULTILINE
    ).groups()
    export(
        arguments[0], arguments[1], None, arguments[2]
    )  # a run of the search, which has no run file
    config, network = load_model(Path("my-model"))
    assert [
        one["image"] for one in predict(config, network, sorted(map(str, tmp_path.glob("own/a/*"))))
    ][0].endswith("0.png")
