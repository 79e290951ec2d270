"""From archives or a user's folder to a manifest: bad pictures, counts, the hold-out, and files that do not change."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlrepro.data.corruption import hold_out, observe, write_observed
from mlrepro.data.features import import_published, read_features
from mlrepro.data.manifest import load_observed, read_manifest
from mlrepro.data.prepare import download, prepare
from mlrepro.errors import InputError
from mlrepro.settings.data import Corruption, CsvData, Features, FormattedData, HoldOut
from mlrepro.settings.pipeline import load_pipeline

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / ".." / "shared" / "data"
LABELS = ["cat", "dog", "cat dog", "", "bird"]


def _pictures(folder: Path, n: int = 20) -> Path:
    """A folder as a user has it: pictures and a table; the last quarter is the test set."""
    folder.mkdir(parents=True)
    noise = np.random.RandomState(0)
    lines = ["image,labels,split"]
    for number in range(n):
        name = f"{number:02d}.{'png' if number % 2 else 'jpg'}"
        Image.fromarray(noise.randint(0, 256, (40, 50, 3), np.uint8)).save(folder / name)
        lines.append(f"{name},{LABELS[number % 5]},{'test' if number >= 0.75 * n else 'train'}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder


def _settings(**changes):
    return CsvData(**{"format": "csv", "table": "table.csv"} | changes)


def test_folder_in_place(tmp_path, monkeypatch):
    _pictures(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    settings, folder = _settings(folder="mine", hold_out={"fraction": 0.2}), Path("data/mine")
    download(settings, folder)
    manifest = prepare(settings, folder)
    assert json.loads((folder / "archives.json").read_text()) == {"folder": "mine"}
    assert manifest.summary["pictures"] == "../../mine" and (manifest.root / "00.jpg").is_file()
    assert manifest.classes == ["bird", "cat", "dog"]

    train, val = hold_out(15, 0.2, 1200)
    assert (
        manifest.rows("train").tolist() == train.tolist()
        and manifest.rows("val").tolist() == val.tolist()
    )
    assert (
        manifest.rows("test").tolist() == list(range(15, 20))
        and manifest.rows("test").dtype == np.int64
    )
    assert set(manifest.frame.loc[val, "part"]) == {"train"}
    expected = np.array([[0, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0], [1, 0, 0]] * 4, np.int8)
    np.testing.assert_array_equal(manifest.label_matrix(), expected)
    assert manifest.label_matrix().dtype == np.int8
    assert manifest.frame["width"].eq(50).all() and manifest.frame["height"].eq(40).all()
    assert manifest.frame["bytes"][1] == (tmp_path / "mine" / "01.png").stat().st_size

    write_observed(manifest, Corruption(), folder)
    rows, observed = load_observed(folder)
    assert rows.tolist() == list(range(15))
    np.testing.assert_array_equal(observed, observe(expected[:15], Corruption()))


def test_archives_give_the_same_bytes_twice_and_anywhere(tmp_path):
    source = _pictures(tmp_path / "source")
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in source.iterdir():
            archive.write(path, path.name)
    settings = _settings(archives=[{"name": "pictures.zip", "urls": [str(tmp_path)]}])
    for name in ("one", "two"):
        download(settings, tmp_path / name / "set")
        prepare(settings, tmp_path / name / "set")
    names = ("archives.json", "manifest.parquet", "classes.json", "summary.json")
    first = [(tmp_path / "one" / "set" / name).read_bytes() for name in names]
    assert first == [(tmp_path / "two" / "set" / name).read_bytes() for name in names]
    assert not any(str(tmp_path).encode() in content for content in first)
    shutil.move(tmp_path / "one", tmp_path / "elsewhere")
    moved = read_manifest(tmp_path / "elsewhere" / "set")
    assert (moved.root / moved.frame["image"][0]).is_file()
    assert moved.digest == read_manifest(tmp_path / "two" / "set").digest


def _spoil(folder: Path) -> dict[str, str]:
    """Spoils one picture in each of the ways that happen; gives the reason that is expected for each."""
    (folder / "00.jpg").write_bytes((folder / "00.jpg").read_bytes()[:-900])
    (folder / "01.png").write_bytes((folder / "01.png").read_bytes()[:-900])
    (folder / "02.jpg").write_bytes(b"<html>404 Not Found</html>")
    (folder / "03.png").write_bytes(b"")
    (folder / "04.jpg").unlink()
    Image.new("1", (20_000, 10_000)).save(folder / "05.png")
    return {
        "00.jpg": "damaged: ",
        "01.png": "damaged: ",
        "02.jpg": "not a picture",
        "03.png": "empty file",
        "04.jpg": "missing",
        "05.png": "too large: Image size (200000000 pixels)",
    }


def test_bad_pictures_are_listed_and_left_out_or_stop(tmp_path, capsys):
    folder = _pictures(tmp_path / "mine", 40)
    expected = _spoil(folder)
    with pytest.raises(InputError) as error:
        prepare(_settings(folder=folder, rejected_limit=0.1), tmp_path / "set")
    message = str(error.value)
    assert "6 of 40 pictures cannot be used" in message and "03.png: empty file" in message
    assert "and 1 more" in message and "`rejected_limit`, now 0.1, above 0.15" in message
    assert not (tmp_path / "set" / "manifest.parquet").exists()

    manifest = prepare(_settings(folder=folder, rejected_limit=0.15), tmp_path / "set")
    rejected = {entry["image"]: entry["reason"] for entry in manifest.summary["rejected"]}
    assert rejected.keys() == expected.keys()
    assert all(rejected[image].startswith(reason) for image, reason in expected.items()), rejected
    assert not set(manifest.frame["image"]) & set(expected) and len(manifest.frame) == 34
    counts = {
        split: (found["expected"], found["used"])
        for split, found in manifest.summary["splits"].items()
    }
    assert counts == {"train": (30, 24), "test": (10, 10)}
    assert "6 of 40 pictures cannot be used and are left out" in capsys.readouterr().out


def test_summary_counts_and_warnings(tmp_path):
    folder = _pictures(tmp_path / "mine")
    settings = _settings(folder=folder, classes=["dog", "cat", "bird", "wolf"])
    summary = prepare(settings, tmp_path / "set").summary
    assert summary["classes"] == 4 and summary["splits"]["train"] == {
        "expected": 15,
        "used": 15,
        "unlabelled": 3,
        "cardinality": 1.0,
        "ignored": 0,
        "labels": {"dog": 6, "cat": 6, "bird": 3, "wolf": 0},
    }
    assert summary["warnings"] == [
        "train: no positive picture of wolf",
        "test: no positive picture of wolf",
    ]


def test_settings_that_do_not_fit_the_data(tmp_path):
    folder = _pictures(tmp_path / "mine")
    table = folder / "table.csv"
    table.write_text(table.read_text().replace("test", "val"))
    with pytest.raises(InputError, match="hold_out: .*validation pictures of its own"):
        prepare(_settings(folder=folder, hold_out=HoldOut()), tmp_path / "set")
    with pytest.raises(InputError, match="the split 'test' is empty"):
        prepare(_settings(folder=folder), tmp_path / "set")
    with pytest.raises(InputError, match="no such folder; mend `folder`"):
        download(_settings(folder=tmp_path / "yours"), tmp_path / "set")
    with pytest.raises(
        InputError, match="a.zip: no such file; run `dvc repro -f` on the download stage of set"
    ):
        prepare(_settings(archives=[{"name": "a.zip"}]), tmp_path / "set")
    with pytest.raises(
        InputError,
        match="manifest.parquet: no such file; run `dvc repro` on the prepare stage of set",
    ):
        read_manifest(tmp_path / "set")


def test_rejected_pictures_keep_their_place_in_the_listing(tmp_path):
    folder = _pictures(tmp_path / "mine")
    for name in ("03.png", "16.jpg"):
        (folder / name).unlink()
    manifest = prepare(_settings(folder=folder, rejected_limit=0.1), tmp_path / "set")
    assert [(entry["row"], entry["split"]) for entry in manifest.summary["rejected"]] == [
        (3, "train"),
        (16, "test"),
    ]


def test_arrays_stay_where_they_were_fetched_and_published_features_follow(tmp_path):
    archives = tmp_path / "set" / "archives"
    archives.mkdir(parents=True)
    names = [
        "formatted_train_images.npy",
        "formatted_train_labels.npy",
        "formatted_val_images.npy",
        "formatted_val_labels.npy",
    ]
    for name, content in zip(
        names, (["1.png", "0.png"], [[0, 1], [0, 0]], ["2.png"], [[1, 0]]), strict=True
    ):
        np.save(archives / name, np.array(content))
    for name, rows in (("train", [[1], [0]]), ("val", [[2]])):
        np.save(archives / f"{name}_features.npy", np.array(rows, np.float32))
    settings = FormattedData(
        format="formatted", archives=[{"name": path.name} for path in sorted(archives.iterdir())]
    )
    download(settings, tmp_path / "set")
    for number in range(3):
        (tmp_path / "set" / "pictures").mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "set" / "pictures" / f"{number}.png")
    manifest = prepare(settings, tmp_path / "set")
    assert not list((tmp_path / "set" / "pictures").glob("*.npy"))
    assert {split: found["unlabelled"] for split, found in manifest.summary["splits"].items()} == {
        "train": 1,
        "test": 0,
    }
    published = Features(
        backbone="resnet50",
        resolution=448,
        published={"train": "train_features.npy", "test": "val_features.npy"},
    )
    import_published(published, manifest, archives, tmp_path / "x.safetensors")
    features, _ = read_features(tmp_path / "x.safetensors", manifest, "resnet50", 448)
    assert (
        features[:, 0].tolist()
        == [int(Path(image).stem) for image in manifest.frame["image"]]
        == [1, 0, 2]
    )


def _real(name: str, archives: Path, folder: Path):
    """The settings of the papers on a sample that has the official layout, so without the official sums."""
    if not archives.exists():
        pytest.skip(f"{archives.name} is not beside the repository")
    settings = load_pipeline(ROOT / "data" / "params.yaml").data[name]
    local = [
        archive.model_copy(update={"urls": [str(archives)], "md5": None})
        for archive in settings.archives
    ]
    settings = settings.model_copy(update={"archives": local})
    download(settings, folder)
    return prepare(settings, folder)


def test_real_voc2012_with_the_single_positive_protocol(tmp_path):
    manifest = _real("voc2012", SHARED / "voc2012-animals", tmp_path / "voc2012")
    assert manifest.frame["part"].value_counts().to_dict() == {"train": 1682, "val": 1729}
    assert [len(manifest.rows(split)) for split in ("train", "val", "test")] == [1346, 336, 1729]
    assert not manifest.summary["rejected"]
    assert "test: no positive picture of aeroplane" in manifest.summary["warnings"]
    images = manifest.frame["image"]
    assert images[:1682].is_monotonic_increasing and images[1682:].is_monotonic_increasing
    assert np.minimum(manifest.frame["width"], manifest.frame["height"]).median() == 224


def test_real_coco2014_with_the_single_positive_protocol(tmp_path):
    manifest = _real("coco2014", SHARED / "coco2014-mini", tmp_path / "coco2014")
    assert len(manifest.classes) == 80 and manifest.label_matrix().any(axis=1).all()
    used = manifest.frame["part"].value_counts().to_dict()
    assert sum(used.values()) == 584 and used["train2014"] == len(manifest.rows("train")) + len(
        manifest.rows("val")
    )
    ids = [str(int(Path(image).stem[-12:])) for image in manifest.frame["image"]]
    assert ids[: used["train2014"]] == sorted(ids[: used["train2014"]])  # as strings
