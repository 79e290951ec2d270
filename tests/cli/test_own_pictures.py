"""Which files of a user's folder are pictures, and what is said of those that are left out."""

from pathlib import Path

import pytest
from picture_files import write_no_pictures
from PIL import Image

from mlrepro.data.appearance import whole_picture
from mlrepro.data.picture_check import check_picture
from mlrepro.data.picture_formats import reads_heif
from mlrepro_cli.init_data.user_folder import look_into
from mlrepro_cli.predict.find_pictures import find_pictures as predicted

PICTURE = Image.new("RGB", (12, 8), "red")


def _found(root: Path) -> tuple[list[str], dict[str, str]]:
    """Pictures below a folder, and why others are left out."""
    folder = look_into(root)
    return folder.pictures, folder.left_out


def test_suffixes_in_any_letters_and_none_at_all(tmp_path):
    names = ["a.JPG", "b.jfif", "c.avif", "d.tiff", "e", "f.webp", "g.jp2"]
    formats = ["JPEG", "JPEG", "AVIF", "TIFF", "PNG", "WEBP", "JPEG2000"]
    for name, form in zip(names, formats, strict=True):
        PICTURE.save(tmp_path / name, form)
    (tmp_path / "README").write_text("BM is how bitmaps begin")
    (tmp_path / "folder").mkdir()

    assert _found(tmp_path) == (names, {})
    assert predicted([str(tmp_path)]) == [str(tmp_path / name) for name in names]
    assert not any(check_picture(tmp_path / name).problem for name in names)


def test_what_is_left_out_has_a_reason(tmp_path):
    PICTURE.save(tmp_path / "a.jpg_large", "JPEG")
    for name in ("scan.dcm", "b.NEF", "film.mov", "notes.txt", "c.svg"):
        (tmp_path / name).write_bytes(b"<svg></svg>")
    irregular = {path.name for path in write_no_pictures(tmp_path)}

    pictures, left_out = _found(tmp_path)
    assert pictures == []
    assert {name for name, why in left_out.items() if why == "no regular file"} == irregular
    for name, word in {
        "a.jpg_large": "rename it",
        "scan.dcm": "DICOM",
        "b.NEF": "raw",
        "film.mov": "frames",
        "c.svg": "PNG",
    }.items():
        assert word in left_out[name]
    assert "notes.txt" not in left_out


def test_hidden_folders_with_pictures_are_named(tmp_path, capsys):
    PICTURE.save(tmp_path / "a.png")
    for name in ("..cat", ".ipynb_checkpoints", ".empty"):
        (tmp_path / name).mkdir()
    PICTURE.save(tmp_path / "..cat" / "b.png")
    PICTURE.save(tmp_path / ".ipynb_checkpoints" / "a-checkpoint.png")

    assert _found(tmp_path) == (["a.png"], {})
    out = capsys.readouterr().out
    assert "in which there are pictures: ..cat; rename those" in out

    # What is labelled of a folder is what init-data sees there, or what is named.
    (tmp_path / "._a.png").write_bytes(b"of a Mac")
    assert predicted([str(tmp_path)]) == [str(tmp_path / "a.png")]
    assert predicted([str(tmp_path / "..cat")]) == [str(tmp_path / "..cat" / "b.png")]


@pytest.mark.skipif(reads_heif(), reason="pillow-heif is installed")
def test_heic_that_cannot_be_read_names_the_extra(tmp_path):
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    (tmp_path / "a.heic").write_bytes(head)
    # Whatever its name says: where a table lists it, its content tells.
    (tmp_path / "b.jpg").write_bytes(head)

    pictures, left_out = _found(tmp_path)
    assert pictures == ["b.jpg"]
    assert "pip install -e '.[heif]'" in left_out["a.heic"]
    assert "pip install -e '.[heif]'" in check_picture(tmp_path / "b.jpg").problem


def test_heic_is_read_where_its_plugin_is(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    heif.from_pillow(PICTURE.resize((64, 48))).save(tmp_path / "a.HEIC")
    assert _found(tmp_path) == (["a.HEIC"], {})
    picture = whole_picture(tmp_path / "a.HEIC", "shown")
    assert picture.size == (64, 48) and picture.getpixel((5, 5))[0] > 240
