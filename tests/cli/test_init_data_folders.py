"""What init-data makes of folders: labels, parts of the data, and what is neither."""

import shutil
from pathlib import Path

import pytest
from picture_files import write_picture
from test_init_data_tables import read, write

from mlrepro.data.prepare import prepare
from mlrepro.errors import InputError
from mlrepro.settings.pipeline import load_pipeline
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.find_labels import find_labels
from mlrepro_cli.init_data.init_data import init_data
from mlrepro_cli.init_data.split_words import split_in_path, split_word, splits_of

ROOT = Path(__file__).resolve().parents[2]
TO = Path("studies/own-data")


@pytest.fixture
def own(tmp_path) -> Path:
    return tmp_path / "own"


def pictures(root: Path, *folders: str, count: int = 3, suffix: str = ".jpg") -> Path:
    """So many pictures in each folder, no two alike."""
    for folder in folders:
        for number in range(count):
            write_picture(root / folder / f"{number}{suffix}")
    return root


def label_sets(root: Path, **answers) -> dict[str, tuple[str, str]]:
    """The label and split of each folder, all of whose pictures have the same."""
    found = read(root, **answers)
    folders = {}
    for image, labels in found.labels.items():
        said = ("+".join(labels), found.splits[image])
        assert folders.setdefault(image.rpartition("/")[0], said) == said
    return folders


def in_parts(first: str, second: str, *labels: str) -> list[str]:
    return [f"{part}/{label}" for part in (first, second) for label in labels]


# -------------------------------------------------------------------------------- words for parts


@pytest.mark.parametrize(
    "first, second, splits",
    [
        ("Training", "Testing", ("train", "test")),
        ("train2017", "val2017", ("train", "val")),
        ("train_images", "test_images", ("train", "test")),
        ("seg_train", "seg_test", ("train", "test")),
        ("Training Set", "Test Set", ("train", "test")),
        ("TRAIN", "HOLDOUT", ("train", "test")),
        ("train", "hold-out", ("train", "test")),
        ("train", "dev", ("train", "val")),
        ("train", "eval", ("train", "val")),
        ("train", "validation", ("train", "val")),
        ("x_train", "x_test", ("train", "test")),
        ("birds_train", "birds_test", ("train", "test")),
        ("trainingData", "validationData", ("train", "val")),
        ("训练集", "测试集", ("train", "test")),
    ],
)
def test_folders_of_parts(own, first, second, splits):
    pictures(own, *in_parts(first, second, "cat", "dog"))
    expected = {
        f"{part}/{label}": (label, split)
        for part, split in zip((first, second), splits, strict=True)
        for label in ("cat", "dog")
    }
    assert label_sets(own) == expected


def test_words_for_parts():
    assert splits_of(["train", "val", "eval"]) == {"train": "train", "val": "val", "eval": "test"}
    assert splits_of(["train", "bus", "car"]) == {"train": "train"}
    assert splits_of(["trainA", "trainB", "testA", "testB"]) == {}
    assert splits_of(["contest", "trained", "valley"]) == {}
    assert splits_of(["cats_train", "dogs_test"]) == {}
    assert split_word("Validation ") == "val"
    assert split_word("hold out") == "test"
    assert split_word("fold1") == ""
    assert split_in_path("annotations/instances_train2014.json") == "train"
    assert split_in_path("train/latest.csv") == "train"
    assert split_in_path("contest/latest.csv") == ""


def test_one_part_alone_is_no_part(own):
    pictures(own, "train/cat", "train/dog")
    assert label_sets(own) == {"train/cat": ("cat", ""), "train/dog": ("dog", "")}


def test_a_label_that_is_called_train(own):
    pictures(own, "train", "bus", "car")
    assert set(label_sets(own).values()) == {("train", ""), ("bus", ""), ("car", "")}


def test_one_level_more_and_the_same_folder_twice(own, capsys):
    pictures(own, *in_parts("archive/seg_train/seg_train", "archive/seg_test/seg_test", "sea"))
    pictures(own, *in_parts("archive/seg_train/seg_train", "archive/seg_test/seg_test", "wood"))
    pictures(own, "archive/seg_pred/seg_pred")
    assert set(label_sets(own).values()) == {
        (label, split) for label in ("sea", "wood") for split in ("train", "test")
    }
    out = capsys.readouterr().out
    assert "archive/ has all folders in it" in out
    assert "archive/seg_test is test" in out
    assert "archive/seg_pred/: 3 pictures beside the parts" in out


def test_the_part_below_the_label(own):
    pictures(own, *(f"{label}/{part}" for label in ("cat", "dog") for part in ("train", "test")))
    assert label_sets(own)["dog/test"] == ("dog", "test")
    assert label_sets(own)["cat/train"] == ("cat", "train")


def test_a_test_part_without_labels(own, capsys):
    pictures(own, "train/cat", "train/dog", "test")
    assert label_sets(own) == {"train/cat": ("cat", "train"), "train/dog": ("dog", "train")}
    assert "test/: 3 pictures without a folder of a label, left out" in capsys.readouterr().out


def test_pictures_beside_folders_are_named(own, capsys):
    pictures(own, *in_parts("train", "val", "cat", "dog"))
    write_picture(own / "preview.png")
    assert len(read(own).labels) == 12
    assert "no label, 1 left out: preview.png" in capsys.readouterr().out


def test_a_folder_of_no_known_part(own):
    pictures(own, *in_parts("train", "test", "cat", "dog"), "more/cat", "more/dog")
    with pytest.raises(Question, match="test, train look like parts .* more beside them does not"):
        read(own)


def test_parts_that_have_no_label_in_common(own):
    pictures(own, "train/cat", "train/dog", "test/left", "test/right")
    with pytest.raises(Question, match="none is in both"):
        read(own)
    assert label_sets(own, layout="folders")["test/left"] == ("left", "test")


def test_names_of_labels_or_of_parts(own):
    pictures(own, "trainA", "trainB", "testA", "testB")
    with pytest.raises(Question, match="labels or of parts"):
        read(own)


# ------------------------------------------------------------------------------ which is the label


def test_groups_of_labels_are_asked_about(own):
    pictures(own, "animals/cat", "animals/dog", "vehicles/car")
    with pytest.raises(Question, match="--layout folders for .* --layout folders-deepest"):
        read(own)
    assert label_sets(own, layout="folders")["animals/dog"] == ("animals", "")
    assert label_sets(own, layout="folders-deepest")["animals/dog"] == ("dog", "")


def test_pictures_that_lie_deeper(own, capsys):
    pictures(own, "cat", "dog", "cat/from the web")
    assert label_sets(own)["cat/from the web"] == ("cat", "")
    assert "cat/: 3 pictures lie deeper, in from the web" in capsys.readouterr().out


def test_a_folder_of_images_in_each_label(own):
    pictures(own, "train/n01/images", "train/n02/images", "val/n01/images", "val/n02/images")
    assert label_sets(own)["val/n02/images"] == ("n02", "val")


def test_masks_beside_images_in_each_label(own, capsys):
    pictures(own, "covid/images", "covid/masks", "normal/images", "normal/masks")
    assert label_sets(own) == {"covid/images": ("covid", ""), "normal/images": ("normal", "")}
    assert "covid/masks/: no pictures to label, left out" in capsys.readouterr().out


def test_masks_beside_pictures_of_a_label(own, capsys):
    for label in ("benign", "normal"):
        for number in range(2):
            write_picture(own / label / f"{label} ({number}).png")
            write_picture(own / label / f"{label} ({number})_mask.png")
    write_picture(own / "benign/benign (0)_mask_1.png")
    write_picture(own / "benign/thumbs/benign (0).png")
    # No picture is called so without its last word.
    write_picture(own / "normal/left_mask.png")
    found = read(own)
    assert sorted(found.labels) == [
        *(f"benign/benign ({number}).png" for number in range(2)),
        "normal/left_mask.png",
        *(f"normal/normal ({number}).png" for number in range(2)),
    ]
    said = capsys.readouterr().out
    assert "benign/benign (0)_mask.png, benign/benign (0)_mask_1.png, " in said
    assert "and 2 more: left out, as each is called as the picture beside it and `mask`" in said
    assert "benign/thumbs/: no pictures to label, left out" in said


def test_two_pictures_of_one_name_in_a_label(own, capsys):
    pictures(own, "cat", "dog")
    write_picture(own / "cat/0.png")
    assert "cat/0.png" in read(own).labels
    said = "1 names are those of two pictures, such as cat/0.jpg and cat/0.png: both are read"
    assert said in capsys.readouterr().out

    # Where most are, they may be masks.
    pictures(own, "cat", "dog", suffix=".png")
    with pytest.raises(Question, match="is one the mask of the other.* say --layout folders"):
        read(own)
    assert len(read(own, layout="folders").labels) == 12
    # Where folders say no labels, these are asked for.
    with pytest.raises(InputError, match="no labels"):
        read(own / "cat")


@pytest.mark.parametrize(
    "folders",
    [
        ("images", "masks"),
        ("Images", "SegmentationClass"),
        ("JPEGImages", "Ground Truth"),
        ("train/images", "train/masks", "test/images", "test/masks"),
        ("images", "runs/detect/exp"),
        ("images/train", "outputs/1"),
        ("photos", "depth", "labels"),
    ],
)
def test_folders_that_are_no_labels(own, folders):
    pictures(own, *folders)
    with pytest.raises(Question, match="no labels; give the folder or the file"):
        read(own)


def test_outputs_beside_labels(own):
    pictures(own, "cat", "dog", "runs/detect")
    with pytest.raises(Question, match="runs beside cat, dog: .*--layout folders"):
        read(own)
    assert label_sets(own, layout="folders")["runs/detect"] == ("runs", "")


@pytest.mark.parametrize("folder", ["images", "train", "train/images", "photos/2024"])
def test_folders_of_pictures_alone_have_no_labels(own, folder):
    pictures(own, folder)
    with pytest.raises(InputError, match="no labels|readable pictures"):
        init_data(own, TO)


def test_names_of_pictures_that_look_like_labels(own):
    for number in range(6):
        write_picture(own / "train" / f"{'cat' if number % 2 else 'dog'}.{number}.jpg")
    with pytest.raises(InputError, match="end with (cat, dog|dog, cat): .*--layout file-names"):
        read(own)


def test_words_in_names_of_files_as_labels(own, capsys):
    names = ["cat.1.jpg", "dog (2).jpg", "cat_dog_003.jpg", "4-dog.jpg", "005.jpg"]
    for part in ("train", "test"):
        for name in names:
            write_picture(own / part / name)
    got = read(own, layout="file-names", separator="_")
    assert got.labels == {
        f"{part}/{name}": labels
        for part in ("train", "test")
        for name, labels in zip(names, [["cat"], ["dog"], ["cat", "dog"], ["dog"]], strict=False)
    }
    assert got.splits["train/cat.1.jpg"] == "train"
    out = capsys.readouterr().out
    assert "taken as labels: dog (6), cat (4)" in out
    assert "2 pictures have no such word, left out: test/005.jpg" in out
    assert read(own, layout="file-names").labels["test/cat_dog_003.jpg"] == ["cat_dog"]


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ("2021 2022", "years or dates"),
        ("2023-01-05 2023-02-17 2024-03", "years or dates"),
        ("05.01.2023 17.02.2023", "years or dates"),
        ("patient001 patient002", "patient and number"),
        ("Batch_1 Batch_2 Batch_10", "batch and number"),
        ("HAM_images_part_1 HAM_images_part_2", "part and number"),
        ("100CANON 101CANON", "a camera"),
        ("images_001 images_002", "folders of pictures, masks"),
        ("image_2 label_2 depth_2", "folders of pictures, masks"),
        ("cat dog augmented", "augmented beside cat, dog: made of other pictures"),
        ("original augmented", "made of other pictures, or not named yet"),
        ("cat dog New_folder", "New_folder beside cat, dog"),
        ("cat dog cat_copy", "cat_copy beside cat: a copy of that folder"),
        ("cat dog cat(1)", r"cat\(1\) beside cat: a copy of that folder"),
    ],
)
def test_folders_for_order_are_asked_about(own, folders, words):
    names = folders.split()
    pictures(own, *names)
    with pytest.raises(Question, match=f"{words}.*--layout folders"):
        read(own)
    assert label_sets(own, layout="folders") == {name: (name, "") for name in names}


@pytest.mark.parametrize(
    "folders", ["raw cooked", "grade1 grade2", "0 1 2", "2021 cat", "case1 cat", "a(1) a(2)"]
)
def test_folders_that_may_well_be_labels(own, folders):
    pictures(own, *folders.split())
    assert label_sets(own) == {name: (name, "") for name in folders.split()}


def test_a_table_of_all_pictures_beside_folders_is_asked_about(own, capsys):
    """As of HAM10000: folders are there for order, and no header says what is the label."""
    pictures(own, "first", "second")
    rows = [
        f"{folder}/{number}.jpg,{('nv', 'mel')[number % 2]},{number + 40}"
        for folder in ("first", "second")
        for number in range(3)
    ]
    table = write(own, "\n".join(["image,kind,age", *rows]))
    with pytest.raises(Question, match="--labels-column, .*: kind, age; .*--layout folders"):
        read(own)
    assert read(own, label_columns=("kind",)).labels["first/1.jpg"] == ["mel"]
    assert label_sets(own, layout="folders") == {"first": ("first", ""), "second": ("second", "")}

    # Of a few pictures, or without words, it is no such table.
    table.write_text("\n".join(["image,kind,age", *rows[:2]]))
    assert label_sets(own) == {"first": ("first", ""), "second": ("second", "")}
    assert "left out: " in capsys.readouterr().out
    table.write_text(
        "\n".join(["image,age", *[row.replace(",nv", "").replace(",mel", "") for row in rows]])
    )
    assert label_sets(own) == {"first": ("first", ""), "second": ("second", "")}


def test_a_folder_a_picture_is_hardly_a_label(own):
    names = [f"S2A_{number}_x" for number in range(12)]
    pictures(own, *names, count=1)
    with pytest.raises(Question, match="12 folders, .* hold 12 pictures: hardly labels"):
        read(own)
    assert len(label_sets(own, layout="folders")) == 12


def test_a_folder_of_what_nobody_knows(own, capsys):
    pictures(own, "cat", "dog", "unknown")
    with pytest.raises(Question, match="unknown: .*--positive 'unknown'.*--unknown 'unknown'"):
        read(own)
    assert "unknown" in label_sets(own, positive=("unknown",))
    assert set(label_sets(own, unknown=("unknown",))) == {"cat", "dog"}
    assert "nobody knows its labels, 3 pictures left out" in capsys.readouterr().out


def test_what_holds_no_labels_is_told(own):
    pictures(own, "images")
    with pytest.raises(InputError, match="0.jpg: no file of labels; give the folder of pictures"):
        read(own / "images" / "0.jpg")
    (own / "labels.zip").write_bytes(b"PK")
    (own / "train.tfrecord").write_bytes(b"x")
    message = "labels.zip is not looked into: unpack it first; train.tfrecord is not .*as files"
    with pytest.raises(InputError, match=message):
        read(own)


def test_two_labels_in_the_name_of_a_folder(own):
    pictures(own, "cat", "dog", "cat+dog")
    with pytest.raises(Question, match=r"cat\+dog: one label, or .* --separator '\+'"):
        read(own)
    assert label_sets(own, separator="+")["cat+dog"] == ("cat+dog", "")
    assert read(own, separator="+").labels["cat+dog/0.jpg"] == ["cat", "dog"]
    assert read(own, separator="").labels["cat+dog/0.jpg"] == ["cat+dog"]


# -------------------------------------------------------------------- what else lies in the folders


def test_hidden_folders_and_those_of_systems(own):
    pictures(own, "cat", "dog")
    hidden = (".ipynb_checkpoints", "__MACOSX/cat", ".thumbnails", "cat/@eaDir", "$RECYCLE.BIN")
    pictures(own, *hidden)
    (own / "cat" / "Thumbs.db").write_bytes(b"thumbs")
    (own / "cat" / "._0.jpg").write_bytes(b"resource fork")
    assert label_sets(own) == {"cat": ("cat", ""), "dog": ("dog", "")}


def test_a_link_to_what_holds_the_folder_ends(own, tmp_path):
    """Such as one to the root of the disk, where all pictures of the machine lie."""
    pictures(own, "cat", "dog")
    pictures(tmp_path / "others", "bird")
    (own / "up").symlink_to(tmp_path)
    (own / "disk").symlink_to("/")
    assert label_sets(own) == {"cat": ("cat", ""), "dog": ("dog", "")}


def test_names_with_the_backslashes_of_an_archive(own):
    for number in range(6):
        write_picture(own / f"{('cat', 'dog')[number % 2]}\\{number}.jpg")
    with pytest.raises(InputError, match="hold backslashes, .*: unpack it again with a program"):
        read(own)


def test_an_archive_is_to_be_unpacked(own):
    pictures(own, "cat", "dog")
    (own / "all.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="all.zip: is not looked into; unpack it"):
        find_labels(own / "all.zip")


def test_links_to_folders_are_followed_and_circles_end(own, tmp_path):
    pictures(tmp_path / "store", "cat", "dog")
    own.mkdir()
    (own / "cat").symlink_to(tmp_path / "store" / "cat")
    (own / "dog").symlink_to("../store/dog")
    (tmp_path / "store" / "dog" / "again").symlink_to(own)
    (own / "cat" / "gone.jpg").symlink_to("nowhere")
    found = label_sets(own)
    assert found == {"cat": ("cat", ""), "dog": ("dog", "")}


def test_a_folder_that_is_called_as_a_picture(own):
    pictures(own, "cat", "dog", "cat/scans.jpg")
    assert label_sets(own)["cat/scans.jpg"] == ("cat", "")


def test_a_label_that_begins_with_a_space(own, tmp_path, monkeypatch):
    """Up to the manifest, whose reader takes spaces around names away."""
    (tmp_path / "repository" / TO).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repository")
    shutil.copy(ROOT / TO / "budgets.yaml", TO)
    pictures(own, " cat", "dog", count=10)
    init_data(own, TO)
    data = load_pipeline(TO / "params.yaml").data["my-own"]
    manifest = prepare(data, Path("data/my-own"))
    assert manifest.classes == ["cat", "dog"]
    assert len(manifest.frame) == 20
    assert " cat/3.jpg" in set(manifest.frame["image"])


def test_without_a_part_to_train_on(own, tmp_path, monkeypatch, capsys):
    (tmp_path / "repository" / TO).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repository")
    shutil.copy(ROOT / TO / "budgets.yaml", TO)
    pictures(own, *in_parts("val", "test", "cat", "dog"), count=8)
    init_data(own, TO)
    assert "No train pictures are given: those of val are taken" in capsys.readouterr().out

    shutil.move(own / "test", own / "train")
    init_data(own, TO)
    out = capsys.readouterr().out
    assert "No test pictures are given: val is used as test, and a new val is cut" in out


# -------------------------------------------------------------------------- folders and label files


def table(own: Path, rows: list[tuple[str, str]], name: str = "labels.csv") -> Path:
    return write(own, "".join(f"{','.join(row)}\n" for row in [("image", "labels"), *rows]), name)


def test_a_table_that_says_otherwise_than_the_folders(own):
    pictures(own, "cat", "dog")
    rows = [(f"{label}/{number}.jpg", "cat") for label in ("cat", "dog") for number in range(3)]
    table(own, rows)
    with pytest.raises(Question, match="are labels .* labels.csv says otherwise: .*--layout table"):
        read(own)
    assert read(own, layout="folders").labels["dog/1.jpg"] == ["dog"]
    assert read(own, layout="table").labels["dog/1.jpg"] == ["cat"]


def test_a_table_that_lists_only_some_of_the_pictures(own):
    pictures(own, "cat", "dog")
    table(own, [("cat/0.jpg", "cat"), ("dog/0.jpg", "dog")])
    with pytest.raises(Question, match="has no row there"):
        read(own)


def test_a_table_that_says_what_folders_say(own, capsys):
    pictures(own, "cat", "dog")
    labels = {"cat": "cat|dog", "dog": "dog"}
    rows = [(f"{name}/{number}.jpg", labels[name]) for name in labels for number in range(3)]
    table(own, rows)
    assert read(own).labels["cat/0.jpg"] == ["cat", "dog"]
    assert "Folders say the same labels" in capsys.readouterr().out


def test_folders_for_order_alone(own):
    pictures(own, "monday", "tuesday")
    rows = [
        (f"{day}/{n}.jpg", "cat" if n else "dog")
        for day in ("monday", "tuesday")
        for n in (0, 1, 2)
    ]
    table(own, rows)
    assert read(own).labels["tuesday/0.jpg"] == ["dog"]


def test_a_layout_that_is_not_there(own):
    pictures(own, "cat", "dog")
    with pytest.raises(InputError, match="--layout yollo: not one of cvat, .*table, .*yolo"):
        read(own, layout="yollo")
    with pytest.raises(InputError, match="no labels"):
        read(own, layout="yolo")


def test_a_part_whose_pictures_lie_in_a_folder_of_its_own_name(own, capsys):
    pictures(own, "train/cat", "train/dog", "test/test")
    assert label_sets(own) == {"train/cat": ("cat", "train"), "train/dog": ("dog", "train")}
    told = capsys.readouterr().out
    assert "test/: 3 pictures without a folder of a label, left out" in told


def test_all_pictures_in_one_folder(own):
    """A folder around all pictures is no label; what was left out may be what is meant."""
    pictures(own, "stage_1")
    write(own, "when,where\n1,2\n", "notes.csv")
    with pytest.raises(InputError, match="notes.csv: no column names pictures"):
        read(own)

    (own / "notes.csv").unlink()
    with pytest.raises(InputError, match="no labels; All pictures lie in stage_1/: one label"):
        read(own)
    assert label_sets(own, layout="folders") == {"stage_1": ("stage_1", "")}


def test_a_question_about_folders_names_the_files_that_were_left_out(own):
    pictures(own, "p10/s1", "p10/s2", "p11/s3")
    write(own, "study,Edema\ns1,1\ns2,0\n", "findings.csv")
    with pytest.raises(Question, match="--layout folders-deepest.*findings.csv: no column names"):
        read(own)
