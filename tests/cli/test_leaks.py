"""Copies, near copies and groups such as patients: in one split where we draw, told where not."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml
from picture_files import write_table
from PIL import Image, ImageEnhance, ImageOps

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Answers
from mlrepro_cli.init_data.init_data import init_data
from mlrepro_cli.init_data.near_copies import near_copies

ROOT = Path(__file__).resolve().parents[2]


def photo(seed: int) -> Image.Image:
    """Smooth colours, as photos have them."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC)


def variants(picture: Image.Image) -> list[Image.Image]:
    return [
        picture.resize((80, 60)),
        ImageEnhance.Brightness(picture).enhance(1.1),
        picture.convert("L"),
    ]


def read_splits(to: Path) -> dict[str, str]:
    [data] = yaml.safe_load((to / "params.yaml").read_text())["data"].values()
    with Path(data["table"]).open(newline="") as file:
        return {row["image"]: row["split"] for row in csv.DictReader(file)}


@pytest.fixture
def to(tmp_path, monkeypatch) -> Path:
    """Where settings go; the working folder is the repository of a test."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "studies" / "own-data"
    folder.mkdir(parents=True)
    (folder / "budgets.yaml").write_bytes((ROOT / "studies/own-data/budgets.yaml").read_bytes())
    return folder


def test_near_copies_are_found_and_nothing_else(tmp_path):
    names = []
    for seed in range(40):
        for number, picture in enumerate([photo(seed), *variants(photo(seed))]):
            names.append(f"{seed}-{number}.jpg")
            picture.save(tmp_path / names[-1], quality=40 + 10 * number)
    pairs = {tuple(pair) for pair in near_copies(tmp_path, names).tolist()}
    wanted = {
        (4 * seed + first, 4 * seed + second)
        for seed in range(40)
        for second in range(4)
        for first in range(second)
    }
    assert pairs <= wanted
    # Grey of bright colours may be another picture.
    assert len(pairs) > 0.95 * len(wanted)


def test_mirror_images_are_near_copies(tmp_path):
    names = []
    for seed in range(30):
        for number, picture in enumerate(
            [photo(seed), ImageOps.mirror(photo(seed).resize((90, 70)))]
        ):
            names.append(f"{seed}-{number}.jpg")
            picture.save(tmp_path / names[-1])
    # One that is its own mirror image is no copy of itself.
    both = Image.new("RGB", (160, 120))
    both.paste(photo(99).crop((0, 0, 80, 120)), (0, 0))
    both.paste(ImageOps.mirror(photo(99).crop((0, 0, 80, 120))), (80, 0))
    names.append("both.png")
    both.save(tmp_path / "both.png")

    pairs = near_copies(tmp_path, names)
    assert pairs.tolist() == [[2 * seed, 2 * seed + 1] for seed in range(30)]


def test_blank_pages_are_no_copies(tmp_path):
    names = [f"{number}.png" for number in range(400)]
    for number, name in enumerate(names):
        page = Image.new("L", (60, 80), "white")
        page.putpixel((number % 60, number // 60), 0)
        page.save(tmp_path / name)
    assert len(near_copies(tmp_path, names)) == 0


def test_groups_lie_in_one_split_where_we_draw(tmp_path, to, capsys):
    rows = [("image", "labels", "patient")]
    for seed in range(60):
        label = ("cat", "dog")[seed % 2]
        name = f"{seed}.jpg"
        (tmp_path / "own").mkdir(exist_ok=True)
        photo(seed).save(tmp_path / "own" / name)
        rows.append((name, label, f"p{seed // 5}"))
    # A small copy of one, said to be another patient's.
    photo(0).resize((100, 75)).save(tmp_path / "own" / "copy.jpg")
    rows.append(("copy.jpg", "cat", "p11"))
    write_table(tmp_path / "own" / "labels.csv", rows)

    init_data(tmp_path / "own", to, answers=Answers(group_column="patient"))
    splits = read_splits(to)
    assert set(splits.values()) == {"train", "val", "test"}
    for patient in range(12):
        members = {splits[f"{seed}.jpg"] for seed in range(60) if seed // 5 == patient}
        assert len(members) == 1
    assert splits["copy.jpg"] == splits["0.jpg"] == splits["59.jpg"]
    assert "LEAK" not in capsys.readouterr().out


def leaking(folder: Path) -> Path:
    """Of 20 pictures three are in test again: the same file, a small copy, and a patient's."""
    folder.mkdir()
    rows = [("image", "labels", "split", "patient")]
    for seed in range(20):
        photo(seed).save(folder / f"{seed}.png")
        split = "test" if seed >= 14 else "train"
        patient = "p2" if seed in (2, 19) else f"q{seed}"
        rows.append((f"{seed}.png", ("cat", "dog")[seed % 2], split, patient))
    (folder / "a.png").write_bytes((folder / "0.png").read_bytes())
    photo(1).resize((80, 60)).save(folder / "b.png")
    rows += [("a.png", "cat", "test", "q0"), ("b.png", "dog", "test", "q1")]
    write_table(folder / "labels.csv", rows)
    return folder


def test_splits_that_leak_are_told_and_kept(tmp_path, to, capsys):
    init_data(leaking(tmp_path / "own"), to, answers=Answers(group_column="patient"))
    out = capsys.readouterr().out
    assert "LEAK: 1 group of the same bytes, 2 pictures, in more than one split" in out
    assert "0.png in train = a.png in test" in out
    assert "LEAK: 1 group of near copies, 2 pictures" in out
    assert "p2: 2.png in train = 19.png in test" in out
    assert "--regroup" in out
    assert read_splits(to)["a.png"] == "test"


def test_splits_that_leak_are_mended_by_an_option(tmp_path, to, capsys):
    answers = Answers(group_column="patient", regroup=True)
    init_data(leaking(tmp_path / "own"), to, answers=answers)
    out = capsys.readouterr().out
    assert "3 pictures come into the split of their group" in out
    assert "LEAK" not in out
    splits = read_splits(to)
    # Of two, as many in train as in test: the test set keeps what it has.
    assert [splits[name] for name in ("0.png", "a.png", "1.png", "b.png", "2.png", "19.png")] == [
        "test"
    ] * 6


def test_one_group_cannot_be_split(tmp_path, to):
    rows = [("image", "labels", "patient")]
    (tmp_path / "own").mkdir()
    for seed in range(12):
        photo(seed).save(tmp_path / "own" / f"{seed}.jpg")
        rows.append((f"{seed}.jpg", ("cat", "dog")[seed % 2], "p0"))
    write_table(tmp_path / "own" / "labels.csv", rows)
    with pytest.raises(InputError, match="12 pictures in 1 groups"):
        init_data(tmp_path / "own", to, answers=Answers(group_column="patient"))
