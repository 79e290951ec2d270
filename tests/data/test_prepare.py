"""From archives or a user's folder to a manifest: bad pictures, counts, hold-out, same bytes."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlrepro.data.corruption import hold_out, observe, write_observed
from mlrepro.data.download import download
from mlrepro.data.features import import_published, read_features
from mlrepro.data.manifest import load_observed, read_manifest
from mlrepro.data.prepare import prepare
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
        suffix = "png" if number % 2 else "jpg"
        name = f"{number:02d}.{suffix}"
        Image.fromarray(noise.randint(0, 256, (40, 50, 3), np.uint8)).save(folder / name)
        split = "test" if number >= 0.75 * n else "train"
        lines.append(f"{name},{LABELS[number % 5]},{split}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder


def _settings(**changes):
    return CsvData(**{"format": "csv", "table": "table.csv"} | changes)


def test_folder_in_place(tmp_path, monkeypatch):
    _pictures(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    settings = _settings(folder="mine", hold_out={"fraction": 0.2})
    folder = Path("data/mine")
    download(settings, folder)
    manifest = prepare(settings, folder)
    assert json.loads((folder / "archives.json").read_text()) == {"folder": "mine"}
    assert manifest.summary["pictures"] == "../../mine"
    assert (manifest.root / "00.jpg").is_file()
    assert manifest.classes == ["bird", "cat", "dog"]

    train, val = hold_out(15, 0.2, 1200)
    assert manifest.rows("train").tolist() == train.tolist()
    assert manifest.rows("val").tolist() == val.tolist()
    assert manifest.rows("test").tolist() == list(range(15, 20))
    assert manifest.rows("test").dtype == np.int64
    assert set(manifest.frame.loc[val, "part"]) == {"train"}

    expected = np.array([[0, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0], [1, 0, 0]] * 4, np.int8)
    np.testing.assert_array_equal(manifest.label_matrix(), expected)
    assert manifest.label_matrix().dtype == np.int8
    assert manifest.frame["width"].eq(50).all()
    assert manifest.frame["height"].eq(40).all()
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

    def written(folder):
        download(settings, folder)
        prepare(settings, folder)
        names = ("archives.json", "manifest.parquet", "classes.json", "summary.json")
        return [(folder / name).read_bytes() for name in names]

    first = written(tmp_path / "one" / "set")
    assert first == written(tmp_path / "two" / "set")
    assert not any(str(tmp_path).encode() in content for content in first)

    shutil.move(tmp_path / "one", tmp_path / "elsewhere")
    moved = read_manifest(tmp_path / "elsewhere" / "set")
    assert (moved.root / moved.frame["image"][0]).is_file()
    assert moved.digest == read_manifest(tmp_path / "two" / "set").digest


def _spoil(folder: Path) -> dict[str, str]:
    """Spoil one picture in each of the ways that happen; the reason that is expected for each."""
    for name in ("00.jpg", "01.png"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-900])
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
    reasons = _spoil(folder)
    with pytest.raises(InputError) as error:
        prepare(_settings(folder=folder, rejected_limit=0.1), tmp_path / "set")
    message = str(error.value)
    assert "6 of 40 pictures cannot be used" in message
    assert "03.png: empty file" in message
    assert "and 1 more" in message
    assert "`rejected_limit`, now 0.1, above 0.15" in message
    assert not (tmp_path / "set" / "manifest.parquet").exists()

    manifest = prepare(_settings(folder=folder, rejected_limit=0.15), tmp_path / "set")
    rejected = {entry["image"]: entry["reason"] for entry in manifest.summary["rejected"]}
    assert rejected.keys() == reasons.keys()
    for image, reason in reasons.items():
        assert rejected[image].startswith(reason)
    assert not set(manifest.frame["image"]) & set(reasons)
    assert len(manifest.frame) == 34

    splits = manifest.summary["splits"]
    assert (splits["train"]["expected"], splits["train"]["used"]) == (30, 24)
    assert (splits["test"]["expected"], splits["test"]["used"]) == (10, 10)
    assert splits.keys() == {"train", "test"}
    assert "6 of 40 pictures cannot be used and are left out" in capsys.readouterr().out


def test_summary_counts_and_warnings(tmp_path):
    folder = _pictures(tmp_path / "mine")
    settings = _settings(folder=folder, classes=["dog", "cat", "bird", "wolf"])
    summary = prepare(settings, tmp_path / "set").summary
    assert summary["classes"] == 4
    assert summary["splits"]["train"] == {
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

    message = "a.zip: no such file; run `dvc repro -f` on the download stage of set"
    with pytest.raises(InputError, match=message):
        prepare(_settings(archives=[{"name": "a.zip"}]), tmp_path / "set")
    message = "manifest.parquet: no such file; run `dvc repro` on the prepare stage of set"
    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path / "set")


def test_rejected_pictures_keep_their_place_in_the_listing(tmp_path):
    folder = _pictures(tmp_path / "mine")
    for name in ("03.png", "16.jpg"):
        (folder / name).unlink()
    manifest = prepare(_settings(folder=folder, rejected_limit=0.1), tmp_path / "set")
    places = [(entry["row"], entry["split"]) for entry in manifest.summary["rejected"]]
    assert places == [(3, "train"), (16, "test")]


def test_arrays_stay_where_they_were_fetched_and_published_features_follow(tmp_path):
    folder = tmp_path / "set"
    archives = folder / "archives"
    archives.mkdir(parents=True)
    arrays = {
        "formatted_train_images": ["1.png", "0.png"],
        "formatted_train_labels": [[0, 1], [0, 0]],
        "formatted_val_images": ["2.png"],
        "formatted_val_labels": [[1, 0]],
        "train_features": np.array([[1], [0]], np.float32),
        "val_features": np.array([[2]], np.float32),
    }
    for name, content in arrays.items():
        np.save(archives / f"{name}.npy", np.array(content))
    settings = FormattedData(
        format="formatted", archives=[{"name": path.name} for path in sorted(archives.iterdir())]
    )
    download(settings, folder)

    (folder / "pictures").mkdir()
    for number in range(3):
        Image.new("RGB", (9, 9)).save(folder / "pictures" / f"{number}.png")
    manifest = prepare(settings, folder)
    assert not list((folder / "pictures").glob("*.npy"))
    splits = manifest.summary["splits"]
    assert splits.keys() == {"train", "test"}
    assert splits["train"]["unlabelled"] == 1
    assert splits["test"]["unlabelled"] == 0

    published = Features(
        backbone="resnet50",
        resolution=448,
        published={"train": "train_features.npy", "test": "val_features.npy"},
    )
    import_published(published, manifest, archives, tmp_path / "x.safetensors")
    features, _ = read_features(tmp_path / "x.safetensors", manifest, "resnet50", 448)
    numbers = [int(Path(image).stem) for image in manifest.frame["image"]]
    assert numbers == [1, 0, 2]
    assert features[:, 0].tolist() == numbers


def _real(name: str, archives: Path, folder: Path):
    """The settings of the papers on a sample in the official layout, so without official sums."""
    if not archives.exists():
        pytest.skip(f"{archives.name} is not beside the repository")
    settings = load_pipeline(ROOT / "data" / "params.yaml").data[name]
    local = {"urls": [str(archives)], "md5": None}
    settings = settings.model_copy(
        update={"archives": [archive.model_copy(update=local) for archive in settings.archives]}
    )
    download(settings, folder)
    return prepare(settings, folder)


def test_real_voc2012_with_the_single_positive_protocol(tmp_path):
    manifest = _real("voc2012", SHARED / "voc2012-animals", tmp_path / "voc2012")
    frame = manifest.frame
    assert frame["part"].value_counts().to_dict() == {"train": 1682, "val": 1729}
    assert [len(manifest.rows(split)) for split in ("train", "val", "test")] == [1346, 336, 1729]
    assert not manifest.summary["rejected"]
    assert "test: no positive picture of aeroplane" in manifest.summary["warnings"]
    assert frame["image"][:1682].is_monotonic_increasing
    assert frame["image"][1682:].is_monotonic_increasing
    assert np.minimum(frame["width"], frame["height"]).median() == 224


def test_real_coco2014_with_the_single_positive_protocol(tmp_path):
    manifest = _real("coco2014", SHARED / "coco2014-mini", tmp_path / "coco2014")
    assert len(manifest.classes) == 80
    assert manifest.label_matrix().any(axis=1).all()

    used = manifest.frame["part"].value_counts().to_dict()
    train = used["train2014"]
    assert sum(used.values()) == 584
    assert train == len(manifest.rows("train")) + len(manifest.rows("val"))

    ids = [str(int(Path(image).stem[-12:])) for image in manifest.frame["image"]]
    assert ids[:train] == sorted(ids[:train])  # as strings
