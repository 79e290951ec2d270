"""How names in label files are matched to pictures: right, or asked, or refused; never guessed."""

import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from picture_files import write_picture
from test_init_data_tables import read, write

from mlrepro.errors import InputError
from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.name_forms import forms, stem
from mlrepro_cli.init_data.picture_matching import NO_MATCH, Ambiguous, PictureNames

COUNT = 6
LABELS = ["cat", "dog"]


@pytest.fixture
def own(tmp_path) -> Path:
    return tmp_path / "own"


def pictures(own: Path, form: str = "{}.jpg") -> list[str]:
    names = [form.format(f"{number:03}") for number in range(COUNT)]
    for name in names:
        write_picture(own / name)
    return names


def table(own: Path, names: list[str], place: str = "labels.csv", first: int = 0) -> Path:
    rows = [f'"{name}",{LABELS[(place + first) % 2]}' for place, name in enumerate(names)]
    return write(own, "\n".join(["image,label", *rows]), place)


def labels_of(path: Path) -> dict[str, str]:
    return {image: "+".join(labels) for image, labels in read(path).labels.items()}


def right(names: list[str], first: int = 0) -> dict[str, str]:
    return {name: LABELS[(place + first) % 2] for place, name in enumerate(names)}


@pytest.mark.parametrize(
    "on_disk, written, how",
    [
        ("img/{}.jpg", "./img/{}.jpg", "6 by name"),
        ("img/{}.jpg", "img\\{}.jpg", "6 with backslashes ('img\\\\000.jpg' is img/000.jpg)"),
        ("img/{}.jpg", "IMG/{}.JPG", "6 without regard to large letters"),
        ("img/{}.jpg", "{}.JPG", "6 without regard to large letters"),
        (
            " {}.jpg",
            " {}.jpg",
            "6 without regard to large letters, accents and blanks around names",
        ),
        ("a photo {}.jpg", "a%20photo%20{}.jpg", "6 with %20 and the like"),
        ("pics/{}.jpg", "C:\\Users\\x\\pics\\{}.jpg", "6 with backslashes"),
        ("pics/{}.jpg", "/content/drive/MyDrive/pics/{}.jpg", "6 by the end of the path"),
        ("{}.jpg", "/content/drive/MyDrive/pics/{}.jpg", "6 by the end of the path"),
        ("img/{}.png", "img/{}.jpg", "6 with another suffix"),
        ("img/{}.jpg", "https://x.org/p/{}.jpg?size=2", "6 by the end of an address"),
        ("img/{}.jpg", "s3://bucket/img/{}.jpg", "6 by the end of an address"),
        ("{}.jpg", "/data/upload/1/0a1b2c3d-{}.jpg", "6 as an upload of Label Studio"),
    ],
)
def test_names_of_all_forms(own, capsys, on_disk, written, how):
    names = pictures(own, on_disk)
    table(own, [written.format(f"{number:03}") for number in range(COUNT)])
    assert labels_of(own) == right(names)
    assert f"Pictures were found: {how}" in capsys.readouterr().out


def test_names_beside_letters_that_are_composed_otherwise(own):
    names = pictures(own, unicodedata.normalize("NFD", "Zürich é {}.jpg"))
    table(own, [unicodedata.normalize("NFC", name) for name in names])
    assert labels_of(own) == right(names)


def test_ids_without_suffix_and_without_zeros(own):
    names = pictures(own, "img/{}.jpg")
    for written in (["img/000", "img/001"], ["000", "001"], ["0", "1"]):
        found = PictureNames(own, names)
        assert [found.match(name).picture for name in written] == names[:2]
    assert PictureNames(own, ["1.2.840.10.png"]).match("1.2.840.10").picture == "1.2.840.10.png"


def test_absolute_names_that_are_right_here(own, tmp_path):
    names = pictures(own, "img/{}.jpg")
    table(own, [str(own / name) for name in names])
    assert labels_of(own) == right(names)

    # By way of a link, too.
    (tmp_path / "link").symlink_to(own)
    table(own, [str(tmp_path / "link" / name) for name in names])
    assert labels_of(own) == right(names)


def test_pictures_outside_the_folder_that_is_given(own, tmp_path, capsys):
    names = pictures(own, "img/{}.jpg")
    lists = tmp_path / "lists"
    for written in ([str(own / name) for name in names], [f"../own/{name}" for name in names]):
        table(lists, written)
        assert labels_of(lists) == right([f"own/{name}" for name in names])
        assert f"all are named from {tmp_path}" in capsys.readouterr().out


@pytest.mark.parametrize("given", [".", "annotations", "annotations/labels.csv"])
def test_names_that_are_relative_to_their_table(own, given):
    names = pictures(own, "img/{}.jpg")
    table(own, [f"../{name}" for name in names], "annotations/labels.csv")
    found = labels_of(own / given)
    assert {name.removeprefix("own/"): label for name, label in found.items()} == right(names)


def test_a_table_in_each_folder(own):
    for site, first in (("siteA", 0), ("siteB", 1)):
        pictures(own, f"{site}/{{}}.jpg")
        table(own, [f"{number:03}.jpg" for number in range(COUNT)], f"{site}/labels.csv", first)
    found = labels_of(own)
    assert found["siteA/000.jpg"] == "cat"
    assert found["siteB/000.jpg"] == "dog"
    assert len(found) == 12


def test_names_that_two_pictures_answer_to(own):
    pictures(own, "photos/{}.jpg")
    pictures(own, "mini/{}.jpg")
    table(own, [f"{number:03}.jpg" for number in range(COUNT)])
    with pytest.raises(Question, match="'000.jpg' may be mini/000.jpg or photos/000.jpg; write"):
        read(own)


def test_copies_are_one_picture_whichever_is_meant(own):
    names = pictures(own, "photos/{}.jpg")
    shutil.copytree(own / "photos", own / "saved")
    table(own, [f"{number:03}.jpg" for number in range(COUNT)])
    assert labels_of(own) == right(names)


def test_masks_answer_to_no_name(own):
    names = pictures(own, "images/{}.png")
    pictures(own, "masks/{}.png")
    table(own, [f"{number:03}.png" for number in range(COUNT)])
    assert labels_of(own) == right(names)


def test_thumbnails_whose_pictures_have_another_suffix(own):
    pictures(own, "img/{}.png")
    pictures(own, "thumbs/{}.jpg")
    table(own, [f"{number:03}.jpg" for number in range(COUNT)])
    with pytest.raises(Question, match="'000.jpg' may be img/000.png or thumbs/000.jpg"):
        read(own)


def test_names_on_the_disk_that_are_written_as_addresses(own):
    names = pictures(own, "my%20photo {}.jpg")
    table(own, [name.replace("%20", " ") for name in names])
    assert labels_of(own) == right(names)


def test_of_two_the_one_in_the_part(own):
    for part in ("train", "test"):
        pictures(own, f"images/{part}/{{}}.jpg")
        table(own, [f"{number:03}.jpg" for number in range(COUNT)], f"{part}.csv", part == "test")
    found = labels_of(own)
    assert found["images/train/000.jpg"] == "cat"
    assert found["images/test/000.jpg"] == "dog"


def test_names_without_a_picture_are_counted_and_named(own, capsys):
    names = pictures(own, "img/{}.jpg")
    table(own, [*names, "img/gone.jpg", "img/lost.jpg"])
    assert labels_of(own) == right(names)
    out = capsys.readouterr().out
    assert "Names without a picture, left out: 2, such as 'img/gone.jpg', 'img/lost.jpg'" in out


def test_names_that_a_spreadsheet_has_rounded(own, capsys):
    names = pictures(own, "1234567890123{}.jpg")
    stems = [name.removesuffix(".jpg") for name in names]
    write(own, "\n".join(["id,label", *(f"{name},cat" for name in [*stems[1:], "1.23457E+15"])]))
    assert len(read(own).labels) == len(names) - 1
    told = "1.23457E+15 is a number that a spreadsheet has rounded: write the names again"
    assert told in capsys.readouterr().out

    write(own, "image,label\n1.23457E+15,cat\n1.23457E+15,dog\n")
    with pytest.raises(InputError, match="no column names pictures"):
        read(own)
    with pytest.raises(InputError, match="a spreadsheet has rounded"):
        read(own, image_columns=("image",))


@pytest.mark.parametrize("mark", [";", ", ", " ", "|"])
def test_several_names_in_a_cell(own, capsys, mark):
    names = pictures(own)
    table(own, [*names[:4], mark.join(names[4:])])
    assert labels_of(own) == right(names[:4])
    told = f"'{mark.join(names[4:])}' are several names: write a row for each"
    assert told in capsys.readouterr().out

    table(own, [mark.join(names[:2]), mark.join(names[2:])])
    with pytest.raises(InputError, match="are several names: write a row for each"):
        read(own)


def test_a_missing_picture_is_not_one_of_another_folder(own, capsys):
    """Of two with one name, in folders that are both there."""
    pictures(own, "a/{}.jpg")
    names = pictures(own, "b/{}.jpg")
    (own / "a" / "003.jpg").unlink()
    table(own, [*names, "a/003.jpg"])
    assert labels_of(own) == right(names)
    assert "left out: 1, such as 'a/003.jpg'" in capsys.readouterr().out


def test_two_names_for_one_picture_are_asked_about(own):
    names = pictures(own)
    table(own, [*names, "old/000.jpg"])
    with pytest.raises(Question, match="'000.jpg' .* and 'old/000.jpg' .* both lead to 000.jpg"):
        read(own)


def test_none_of_the_names_has_a_picture(own):
    pictures(own)
    table(own, ["a.jpg", "b.jpg"])
    with pytest.raises(
        InputError, match="'a.jpg', 'b.jpg'; 6 pictures lie there, such as '000.jpg'"
    ):
        read(own)


def test_addresses_of_pictures_that_are_not_here(own):
    pictures(own)
    table(own, ["https://x.org/a.jpg", "https://x.org/b.jpg"])
    with pytest.raises(InputError, match="given by addresses .*; fetch them, so that they lie as"):
        read(own)


@pytest.mark.parametrize("header", ["folder", "RelativePath", "site directory"])
def test_folders_in_a_column_of_their_own(own, capsys, header):
    """Where pictures of several folders have one name."""
    names = [*pictures(own, "site1/{}.jpg"), *pictures(own, "site2/{}.jpg")]
    rows = [
        f"{folder},{name},{LABELS[place % 2]}"
        for place, (folder, name) in enumerate(name.split("/") for name in names)
    ]
    write(own, "\n".join([f"{header},file,label", *rows]))
    assert labels_of(own) == right(names)
    assert f"folders of pictures in '{header}', as site1/000.jpg" in capsys.readouterr().out

    # Of something else.
    write(own, "\n".join([f"{header},file,label", *(f"x{row}" for row in rows)]))
    with pytest.raises(Question, match="'000.jpg' may be site1/000.jpg or site2/000.jpg"):
        read(own)


def test_names_that_are_not_utf8(own):
    path = own / "cat" / os.fsdecode(b"caf\xe9.jpg")
    write_picture(path, seed=1)
    pictures(own, "dog/{}.jpg")
    assert labels_of(own)["cat/caf\\xe9.jpg"] == "cat"


# -------------------------------------------------------------------------------------- the matcher


def test_what_is_nearest_to_the_file_goes_first():
    names = PictureNames(Path("/"), ["a/img/1.jpg", "b/img/1.jpg", "b/1.jpg"])
    assert names.match("1.jpg", "b/labels.csv").picture == "b/1.jpg"
    assert names.match("img/1.jpg", "a/lists/labels.csv").picture == "a/img/1.jpg"
    assert names.match("x/img/1.jpg", "b/lists/labels.csv").picture == "b/img/1.jpg"
    with pytest.raises(Ambiguous) as error:
        names.match("img/1.jpg")
    assert error.value.candidates == ["a/img/1.jpg", "b/img/1.jpg"]


def test_a_name_as_it_is_goes_before_what_it_may_mean():
    names = PictureNames(
        Path("/"), ["50%20.jpg", "50 .jpg", "a\\b.jpg", "a/b.jpg", "A.jpg", "a.jpg"]
    )
    assert names.match("50%20.jpg").picture == "50%20.jpg"
    assert names.match("a\\b.jpg").picture == "a\\b.jpg"
    assert names.match("A.jpg").picture == "A.jpg"
    assert names.match("b.jpg").picture == "a/b.jpg"
    assert names.match("") == NO_MATCH
    assert names.match("../..") == NO_MATCH


def test_a_file_that_is_listed_under_any_suffix(own):
    names = pictures(own, "img/{}.jpg")
    (own / "img" / "000.jpg").rename(own / "img" / "000.dat")
    table(own, ["img/000.dat", *names[1:]])
    assert labels_of(own) == right(["img/000.dat", *names[1:]])


def test_forms_of_names():
    assert list(forms("/data/local-files/?d=a%20b/1.jpg")) == ["a b/1.jpg"]
    assert "/home/x/1.jpg" in forms("file:///home/x/1.jpg")
    assert stem("1.2.jpg") == "1.2"
    assert stem("1.2") == "1.2"


@pytest.mark.parametrize(
    ("on_disk", "written"),
    [("{}a.png", "{}a.dcm"), ("{}a.png", "{}a.nii.gz"), ("{}a.jpg.png", "{}a.jpg")],
)
def test_names_of_what_pictures_were_made_of(tmp_path, on_disk, written):
    own = tmp_path / "own"
    lines = []
    for place in range(4):
        write_picture(own / "pictures" / on_disk.format(place))
        lines.append(f"{written.format(place)},{'cat' if place % 2 else 'dog'}")
    write(own, "\n".join(["image,label", *lines]))
    labels = read(own).labels
    assert labels[f"pictures/{on_disk.format(1)}"] == ["cat"]
    assert len(labels) == 4
