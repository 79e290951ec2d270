"""Pictures, classes and labels of data sets, counted from label files without any picture."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from pydantic import TypeAdapter

from mlrepro.errors import InputError
from mlrepro.settings.data import DataSettings
from mlrepro.studies.counts import count_data_set, count_study, read_counts

SHARED = ROOT.parent / "shared" / "data"


def mirflickr(**values) -> DataSettings:
    described = {"format": "mirflickr", "folder": ".", "classes": ["sea", "sky"], "first": 10}
    return TypeAdapter(DataSettings).validate_python(described | {"pictures": 10} | values)


def write_lists(folder: Path, sea: str = "1\n3\n", sky: str = "3\n") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sea_r1.txt").write_text(sea)
    (folder / "sky_r1.txt").write_text(sky)


def test_lists_are_counted_without_their_pictures(tmp_path):
    write_lists(tmp_path)
    counts = count_data_set("toy", mirflickr(), tmp_path)
    assert counts.source == "mirflickr"
    assert counts.files == 2
    assert counts.printed("classes") == 2
    assert counts.printed("images") == 10
    assert counts.printed("train_images") == 8
    assert counts.printed("test_images") == 2

    both = counts.splits.values()
    assert sum(split.positives for split in both) == 3
    assert sum(split.without_label for split in both) == 8


def test_labels_a_picture_are_those_of_training_pictures(tmp_path):
    train = np.array([[1, 0, 1], [1, 0, 0]], np.uint8)
    test = np.ones((5, 3), np.uint8)
    np.savez(tmp_path / "labels.npz", train=train, test=test)
    counts = count_data_set("toy", mirflickr(), tmp_path)
    assert counts.source == "label matrix"
    assert counts.printed("labels_per_image") == 1.5


def test_a_matrix_of_val_is_tested_on_where_there_is_no_test(tmp_path):
    arrays = {"train": np.zeros((3, 2)), "val": np.eye(2), "classes": np.array(["a", "b"])}
    np.savez(tmp_path / "labels.npz", **arrays, val_ids=np.array([5, 6]))
    counts = count_data_set("toy", mirflickr(), tmp_path)
    assert counts.printed("test_images") == 2
    assert counts.splits["train"].without_label == 3


def test_what_was_not_counted_is_no_number(tmp_path):
    np.savez(tmp_path / "labels.npz", train=np.eye(2))
    counts = count_data_set("toy", mirflickr(), tmp_path)
    assert counts.printed("test_images") is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": np.eye(2), "train_ids": np.array([4, 4])}, "train_ids holds an id twice"),
        ({"train": np.eye(2), "train_ids": np.array([4])}, "train has 2 rows but 1 ids"),
        ({"train": np.eye(2) * 2}, "train holds values other than 0 and 1"),
        ({"train": np.eye(2), "test": np.eye(3)}, "all with the same K"),
        ({"labels": np.eye(2)}, "holds labels; give one"),
        ({"train": np.arange(3)}, "holds no matrix"),
    ],
)
def test_matrices_that_are_wrong_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "labels.npz", **arrays)
    with pytest.raises(InputError, match=f"labels.npz: .*{message}"):
        count_data_set("toy", mirflickr(), tmp_path)


def test_no_label_files_are_asked_for_with_their_place(tmp_path):
    with pytest.raises(InputError, match="no label files; place those of toy there"):
        count_data_set("toy", mirflickr(), tmp_path / "labels")


def test_lists_of_another_data_set_are_refused(tmp_path):
    write_lists(tmp_path, sky="2008_000003 1\n")
    with pytest.raises(InputError, match="sky_r1.txt, line 1: '2008_000003 1' is no picture"):
        count_data_set("toy", mirflickr(), tmp_path)


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """Two studies and a data set whose lists are placed as a person places them."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "params.yaml").write_text(
        "data: {toy: {format: mirflickr, classes: [sea, sky], first: 10, pictures: 10,"
        " archives: [{name: toy.zip}]}}\n"
    )
    for study in ("first", "second"):
        (tmp_path / "studies" / study).mkdir(parents=True)
    write_lists(tmp_path / "data" / "toy" / "labels")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_study_keeps_its_counts(repository):
    shutil.copytree(ROOT / "stages", repository / "stages")
    command = [sys.executable, "stages/counts.py", "studies/first", "toy"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "studies/first/counts/toy.json" in done.stdout

    counts = read_counts(Path("studies/first"))
    assert counts.keys() == {"toy"}
    assert counts["toy"].printed("images") == 10

    # The same again gives the same bytes, for they are kept in git.
    before = Path("studies/first/counts/toy.json").read_bytes()
    count_study(Path("studies/first"), "toy")
    assert Path("studies/first/counts/toy.json").read_bytes() == before


def test_two_studies_that_count_one_data_set_must_agree(repository):
    path = count_study(Path("studies/first"), "toy")
    count_study(Path("studies/second"), "toy")

    path.write_text(path.read_text().replace('"images": 8', '"images": 9'))
    message = "first/counts/toy.json: says 9 pictures of train, the label files .* say 8"
    with pytest.raises(InputError, match=message):
        count_study(Path("studies/second"), "toy")


def test_counts_that_were_damaged_name_file_and_key(repository):
    path = count_study(Path("studies/first"), "toy")
    path.write_text(path.read_text().replace('"classes"', '"clases"'))
    with pytest.raises(InputError, match="(?s)counts/toy.json:.*clases"):
        read_counts(Path("studies/first"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the label files of shared/data are not here")
@pytest.mark.parametrize(
    ("study", "name", "place"),
    [
        ("single-positive", "coco2014", "labels/coco2014_labels.npz"),
        ("captions", "comp5329", "comp5329/train.csv"),
    ],
)
def test_committed_counts_are_those_of_the_label_files(tmp_path, monkeypatch, study, name, place):
    (tmp_path / "studies" / study).mkdir(parents=True)
    labels = tmp_path / "data" / name / "labels"
    labels.mkdir(parents=True)
    shutil.copy(ROOT / "data" / "params.yaml", tmp_path / "data")
    shutil.copy(SHARED / place, labels)
    monkeypatch.chdir(tmp_path)

    written = count_study(Path("studies") / study, name)
    committed = ROOT / "studies" / study / "counts" / f"{name}.json"
    assert written.read_text() == committed.read_text()
