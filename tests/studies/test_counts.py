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


CLASSES = ["cat", "dog"]


def settings(form: str, **values) -> DataSettings:
    described = {"format": form, "folder": ".", "classes": CLASSES}
    return TypeAdapter(DataSettings).validate_python(described | values)


def voc(**values) -> DataSettings:
    of_voc = {"root": "VOC", "splits": {"train": "trainval", "test": "test"}}
    return settings("voc", **of_voc, difficult="positive", **values)


def mirflickr(**values) -> DataSettings:
    return settings("mirflickr", **{"first": 10, "pictures": 10} | values)


def write_voc_lists(folder: Path, **lists: str) -> None:
    """Lists of three pictures to train on and two to test on; `lists` are other contents."""
    lists_of = {
        "trainval": "1\n2\n3\n",
        "cat_trainval": "1  1\n2 -1\n3 -1\n",
        "dog_trainval": "1  1\n2  0\n3 -1\n",  # 0: difficult
        "test": "4\n5\n",
        "cat_test": "4  1\n5 -1\n",
        "dog_test": "4 -1\n5 -1\n",
    }
    place = folder / "VOC" / "ImageSets" / "Main"
    place.mkdir(parents=True, exist_ok=True)
    for name, text in (lists_of | lists).items():
        (place / f"{name}.txt").write_text(text)


def write_numbers(folder: Path, cat: str = "1\n3\n", dog: str = "3\n") -> None:
    """MIRFLICKR's lists."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cat_r1.txt").write_text(cat)
    (folder / "dog_r1.txt").write_text(dog)


def test_lists_are_counted_without_their_pictures(tmp_path):
    write_voc_lists(tmp_path)
    counts = count_data_set("toy", voc(), tmp_path)
    assert (counts.source, counts.files) == ("voc", 6)
    assert counts.rules == {"difficult": "positive"}
    assert counts.printed("classes") == 2
    assert counts.printed("images") == 5
    assert counts.printed("train_images") == 3
    assert counts.printed("test_images") == 2
    assert counts.printed("labels_per_image") == 1.0

    train = counts.splits["train"]
    assert (train.positives, train.without_label) == (3, 1)
    assert (train.labels_per_image, train.share_without_label) == (1.0, 0.3333)


def test_what_settings_give_is_no_count(tmp_path):
    write_numbers(tmp_path)
    counts = count_data_set("toy", mirflickr(), tmp_path)
    # Its lists name pictures that have a label; that there are ten, the settings say.
    assert counts.printed("images") is None
    assert "is our setting" in counts.by_settings["images"]
    assert counts.printed("classes") == 2

    write_voc_lists(tmp_path / "voc")
    hold_out = {"fraction": 0.4, "split": "test"}
    drawn = voc(hold_out=hold_out).model_copy(update={"splits": {"train": ["trainval", "test"]}})
    counts = count_data_set("toy", drawn, tmp_path / "voc")
    assert counts.printed("images") == 5
    assert counts.printed("train_images") is None


def test_labels_a_picture_are_those_of_training_pictures(tmp_path):
    train = np.array([[1, 1], [1, 0]], np.uint8)
    np.savez(tmp_path / "labels.npz", train=train, test=np.ones((5, 2), np.uint8))
    counts = count_data_set("toy", voc(), tmp_path)
    assert counts.source == "label matrix"
    assert counts.printed("labels_per_image") == 1.5


def test_a_matrix_of_val_is_tested_on_where_there_is_no_test(tmp_path):
    arrays = {"train": np.zeros((3, 2)), "val": np.eye(2), "classes": np.array(CLASSES)}
    np.savez(tmp_path / "labels.npz", **arrays, val_ids=np.array([5, 6]))
    counts = count_data_set("toy", voc().model_copy(update={"format": "coco"}), tmp_path)
    assert counts.printed("test_images") == 2
    assert counts.splits["train"].without_label == 3

    # VOC's val is a part of what is trained on.
    counts = count_data_set("toy", voc(), tmp_path)
    assert counts.printed("test_images") is None
    assert counts.printed("train_images") == 5


def test_what_was_not_counted_is_no_number(tmp_path):
    np.savez(tmp_path / "labels.npz", train=np.eye(2))
    counts = count_data_set("toy", voc(), tmp_path)
    assert counts.printed("test_images") is None
    assert counts.printed("images") is None  # of train alone


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": np.eye(2), "train_ids": np.array([4, 4])}, "train_ids holds an id twice"),
        ({"train": np.eye(2), "train_ids": np.array([4])}, "train has 2 rows but 1 ids"),
        ({"train": np.eye(2) * 2}, "train holds values other than 0 and 1"),
        ({"train": np.eye(2), "test": np.eye(3)}, "all with the same K"),
        ({"labels": np.eye(2)}, "holds labels; give one"),
        ({"train": np.arange(3)}, "holds no matrix"),
        ({"train": np.eye(3)}, "3 columns, but this data set has 2 classes"),
        ({"train": np.eye(2), "classes": np.array(["cat", "cow"])}, "'cow' in `classes` is no"),
        ({"train": np.eye(2), "classes": np.array(["cat"])}, "1 names, the matrices have 2"),
        ({"train": np.zeros((0, 2))}, "train has no rows"),
        (
            {"train": np.eye(2), "train_ids": [4, 5], "test": np.eye(2), "test_ids": [5, 6]},
            "5 is in test_ids and in train_ids",
        ),
        ({"train": np.array([[{}, {}]])}, "not readable as a label matrix"),  # a pickle
    ],
)
def test_matrices_that_are_wrong_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "labels.npz", **arrays)
    with pytest.raises(InputError, match=f"labels.npz: .*{message}"):
        count_data_set("toy", voc(), tmp_path)


def test_no_label_files_are_asked_for_with_their_place(tmp_path):
    with pytest.raises(InputError, match="no label files; place those of toy there"):
        count_data_set("toy", mirflickr(), tmp_path / "labels")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"text"])
def test_a_damaged_matrix_is_refused(tmp_path, content):
    (tmp_path / "labels.npz").write_bytes(content)
    with pytest.raises(InputError, match="labels.npz: not readable as a label matrix"):
        count_data_set("toy", voc(), tmp_path)


def test_a_matrix_beside_lists_is_refused(tmp_path):
    write_voc_lists(tmp_path)
    np.savez(tmp_path / "labels.npz", train=np.eye(2))
    with pytest.raises(InputError, match="holds the label matrix labels.npz and other files"):
        count_data_set("toy", voc(), tmp_path)


def test_lists_of_another_data_set_are_refused(tmp_path):
    write_numbers(tmp_path, dog="2008_000003 1\n")
    with pytest.raises(InputError, match="dog_r1.txt, line 1: '2008_000003 1' is no picture"):
        count_data_set("toy", mirflickr(), tmp_path)


def test_a_list_of_a_class_that_the_settings_lack_is_refused(tmp_path):
    write_numbers(tmp_path)
    (tmp_path / "cow_r1.txt").write_text("1\n")
    with pytest.raises(InputError, match="cow_r1.txt: 'cow' is none of this data set's 2 classes"):
        count_data_set("toy", mirflickr(), tmp_path)


def test_a_listed_picture_without_annotation_is_refused(tmp_path):
    write_voc_lists(tmp_path, trainval="1\n2\n3\n9\n")
    with pytest.raises(InputError, match="trainval.txt: lists 4 pictures, .* 3; 9 is in one"):
        count_data_set("toy", voc(), tmp_path)


def test_what_a_system_leaves_in_a_folder_changes_nothing(tmp_path):
    write_voc_lists(tmp_path)
    before = count_data_set("toy", voc(), tmp_path)
    (tmp_path / ".DS_Store").write_text("x")
    assert count_data_set("toy", voc(), tmp_path) == before


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """Two studies and a data set whose lists are placed as a person places them."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "params.yaml").write_text(
        "data: {toy: {format: voc, classes: [cat, dog], root: VOC, difficult: positive,"
        " splits: {train: trainval, test: test}, archives: [{name: toy.tar}]}}\n"
    )
    for study in ("first", "second"):
        (tmp_path / "studies" / study).mkdir(parents=True)
    write_voc_lists(tmp_path / "data" / "toy" / "labels")
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
    assert counts["toy"].printed("images") == 5

    # The same again gives the same bytes, for they are kept in git.
    before = Path("studies/first/counts/toy.json").read_bytes()
    count_study(Path("studies/first"), "toy")
    assert Path("studies/first/counts/toy.json").read_bytes() == before


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (
            {"trainval": "1\n2\n", "cat_trainval": "1 1\n2 -1\n", "dog_trainval": "1 1\n2 0\n"},
            "says 3 pictures of train, the label files .* say 2",
        ),
        ({"cat_trainval": "1 1\n2 1\n3 -1\n"}, "says 3 labels of train, .* say 4"),
    ],
)
def test_two_studies_that_count_one_data_set_must_agree(repository, lists, message):
    count_study(Path("studies/first"), "toy")
    count_study(Path("studies/second"), "toy")

    write_voc_lists(Path("data/toy/labels"), **lists)
    with pytest.raises(InputError, match=f"first/counts/toy.json: {message}"):
        count_study(Path("studies/second"), "toy")


def test_a_study_that_is_not_there_is_asked_for(repository):
    with pytest.raises(InputError, match="studies/frist: no such study; did you mean 'first'"):
        count_study(Path("studies/frist"), "toy")


def test_a_record_whose_ratios_were_edited_is_refused(repository):
    path = count_study(Path("studies/first"), "toy")
    path.write_text(path.read_text().replace('"images": 3', '"images": 9'))
    with pytest.raises(InputError, match="splits.train: labels_per_image is 1.0, but its counts"):
        read_counts(Path("studies/first"))


def test_a_record_under_anothers_name_is_refused(repository):
    path = count_study(Path("studies/first"), "toy")
    path.rename(path.with_name("other.json"))
    with pytest.raises(InputError, match="other.json: holds the counts of 'toy'"):
        read_counts(Path("studies/first"))


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
