"""Commands outside the root, repositories that were moved, two data sets of one name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from picture_files import write_table
from PIL import Image
from test_leaks import photo, to  # noqa: F401 (a fixture)

from mlrepro.data import formats
from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro.settings.data import CsvData
from mlrepro_cli.init_data.data_set_name import data_set_name
from mlrepro_cli.init_data.init_data import init_data
from mlrepro_cli.repository import require_root

CODE = "import sys; from mlrepro_cli.main import main; sys.exit(main())"


def mlrepro(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", CODE, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["init-data", "no-such-folder"],
        ["plan"],
        ["export", "own-data/params.yaml", "any-run"],
        ["launch", "own-data/params.yaml"],
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_other_folders_are_refused_before_anything_is_read(tmp_path, words, inside):
    folder = ROOT / "studies" if inside else tmp_path
    done = mlrepro(folder, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"run `mlrepro {words[0]}` in the root of the repository: cd {ROOT}" in done.stderr


def test_predict_runs_anywhere(tmp_path):
    done = mlrepro(tmp_path, "predict", "no-model", "no-picture.jpg")
    assert "root of the repository" not in done.stderr


def test_a_root_is_one(monkeypatch):
    monkeypatch.chdir(ROOT)
    require_root("plan", Path("no-such-file"))


def own_folder(folder: Path, seed: int = 0) -> Path:
    for number in range(12):
        file = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        photo(100 * seed + number).save(file)
    return folder


def settings_of(to: Path) -> dict:  # noqa: F811
    return yaml.safe_load((to / "params.yaml").read_text())


def test_two_folders_of_one_name_are_two_data_sets(tmp_path, to, capsys):  # noqa: F811
    first = own_folder(tmp_path / "a" / "holiday")
    second = own_folder(tmp_path / "b" / "holiday", seed=1)
    init_data(first, to)
    assert settings_of(to)["name"] == "my-holiday"
    init_data(second, to)
    assert settings_of(to)["name"] == "my-holiday-2"
    assert f"my-holiday is the data set of {first}" in capsys.readouterr().out

    # Each keeps its name, also when the other was described in between.
    init_data(first, to)
    assert settings_of(to)["name"] == "my-holiday"
    init_data(second, to, budget="standard")
    assert settings_of(to)["name"] == "my-holiday-2"
    # A name that a person gives is theirs.
    init_data(second, to, name="holiday")
    assert settings_of(to)["name"] == "my-holiday"


def test_a_folder_that_was_moved_keeps_its_name(tmp_path, to):  # noqa: F811
    first = own_folder(tmp_path / "a" / "holiday")
    init_data(first, to)
    table = settings_of(to)["data"]["my-holiday"]["table"]
    moved = first.rename(tmp_path / "holiday")
    init_data(moved, to)
    data = settings_of(to)["data"]["my-holiday"]
    # The same labels of the same names: nothing that was trained is stale.
    assert data["folder"] == str(moved) and data["table"] == table


@pytest.mark.parametrize("content", ["", "data: 3", "data: {a: {}}", "a: [", "data: {a: 3}"])
def test_older_settings_that_are_no_settings(tmp_path, content):
    (tmp_path / "params.yaml").write_text(content)
    (tmp_path / "params.yaml.bak0").write_bytes(b"\xff")
    assert data_set_name(tmp_path, Path("/a/holiday")) == "my-holiday"


def test_a_repository_that_was_moved_finds_its_table(tmp_path, monkeypatch):
    old, new = tmp_path / "old", tmp_path / "new"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (4, 4)).save(pictures / "a.png")
    table = old / "data" / "own" / "my-own-0.csv"
    write_table(table, [("image", "labels", "split"), ("a.png", "cat", "train")])
    settings = CsvData(format="csv", folder=pictures, table=str(table), separator="|")

    old.rename(new)
    monkeypatch.chdir(new)
    listed, classes = formats.read(settings, pictures)
    assert listed["image"].tolist() == ["a.png"] and classes == ["cat"]


def test_a_name_is_kept_or_what_becomes_of_it_is_said(tmp_path, capsys):
    root = tmp_path / "holiday"
    assert data_set_name(tmp_path, root, "trip-2") == "my-trip-2"
    assert capsys.readouterr().out == ""

    assert data_set_name(tmp_path, root, "Übung, groß") == "my-Ubung-gross"
    assert "--name 'Übung, groß': the data set is called my-Ubung-gross" in capsys.readouterr().out
    assert data_set_name(tmp_path, tmp_path / "写真") == "my-pictures"


def test_what_labels_were_read_from_is_noted(tmp_path, to):  # noqa: F811
    own = tmp_path / "own"
    for seed in range(20):
        (own / "img").mkdir(parents=True, exist_ok=True)
        photo(seed).save(own / "img" / f"{seed}.jpg")
    rows = [(f"img/{seed}.jpg", "cat" if seed % 2 else "dog") for seed in range(20)]
    table = write_table(own / "labels.csv", [("image", "labels"), *rows])
    init_data(own, to)
    [data] = settings_of(to)["data"].values()
    assert data["label_files"] == {str(table): file_sha256(table)}

    # Folders of labels have no file.
    table.unlink()
    for seed in range(20):
        label = own / ("cat" if seed % 2 else "dog")
        label.mkdir(exist_ok=True)
        (own / "img" / f"{seed}.jpg").rename(label / f"{seed}.jpg")
    (own / "img").rmdir()
    init_data(own, to)
    [data] = settings_of(to)["data"].values()
    assert "label_files" not in data


@pytest.mark.parametrize("name", ["..", "写真", "", "/"])
def test_a_name_that_leaves_nothing_is_refused_at_once(tmp_path, name):
    with pytest.raises(InputError, match="--name .* has no letter from a to z and no digit"):
        init_data(tmp_path / "not looked at", tmp_path, name=name)
