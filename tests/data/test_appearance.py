"""Pictures as they are stored and as they are shown: turned, on white, grey of any depth."""

import io
import struct
import zlib

import numpy as np
import pandas
import pytest
from PIL import Image, ImageOps

from mlrepro.data.appearance import turned, whole_picture
from mlrepro.data.fast import fast_kernels
from mlrepro.data.images import decode
from mlrepro.data.manifest import Manifest, read_manifest, write_manifest
from mlrepro.data.picture_check import check_picture

ORIENTATION = 0x0112
NOISE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
# Of what EXIF says of [[1, 2], [3, 4]], by hand from its standard: the stored top row is the visual
# top, top, bottom, bottom, left, right, right, left side.
TURNED = {
    1: [[1, 2], [3, 4]],
    2: [[2, 1], [4, 3]],
    3: [[4, 3], [2, 1]],
    4: [[3, 4], [1, 2]],
    5: [[1, 3], [2, 4]],
    6: [[3, 1], [4, 2]],
    7: [[4, 2], [3, 1]],
    8: [[2, 4], [1, 3]],
}


def saved(picture: Image.Image, form: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, form, **options)
    file.seek(0)
    return file


def with_orientation(value) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return exif


def shown(file: io.BytesIO) -> np.ndarray:
    return np.asarray(whole_picture(file, "shown"))


def grey(values, dtype=np.uint16) -> io.BytesIO:
    return saved(Image.fromarray(np.array(values, dtype)), "TIFF")


@pytest.mark.parametrize("value", TURNED)
def test_every_orientation_of_exif(value):
    assert turned(np.array(TURNED[1]), value).tolist() == TURNED[value]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("value", [3, 6, 7])
def test_a_picture_is_turned_in_every_format(form, value):
    file = saved(Image.fromarray(NOISE), form, exif=with_orientation(value))
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))
    file.seek(0)
    assert np.array_equal(shown(file), wanted)


@pytest.mark.parametrize("interpolation", ["bilinear", "cv2"])
def test_what_is_shown_is_turned_before_it_is_resized(interpolation):
    file = saved(Image.fromarray(NOISE), "JPEG", exif=with_orientation(6))
    upright = saved(ImageOps.exif_transpose(Image.open(file)), "PNG")
    file.seek(0)
    wanted = decode(upright, 130, interpolation)

    fast = fast_kernels(130)
    for kernels in (None, fast):
        file.seek(0)
        pixels = decode(file, 130, interpolation, kernels, appearance="shown")
        assert np.array_equal(pixels, wanted)


def test_what_is_stored_is_not_turned():
    file = saved(Image.fromarray(NOISE), "PNG", exif=with_orientation(6))
    assert np.array_equal(np.asarray(whole_picture(file, "stored")), NOISE)


@pytest.mark.parametrize("exif", [with_orientation(0), with_orientation(99), b"Exif\0\0damaged"])
def test_an_orientation_that_is_none_turns_nothing(exif):
    file = saved(Image.fromarray(NOISE), "PNG", exif=exif)
    assert np.array_equal(shown(file), NOISE)


def test_what_is_transparent_is_white():
    red_and_clear = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)
    picture = Image.fromarray(red_and_clear)
    wanted = [[[255, 0, 0], [255, 255, 255]]]
    assert shown(saved(picture, "PNG")).tolist() == wanted
    assert shown(saved(picture, "GIF")).tolist() == wanted

    black_and_clear = np.array([[[0, 255], [0, 0]]], np.uint8)
    grey = Image.fromarray(black_and_clear, "LA")
    assert shown(saved(grey, "PNG"))[0, :, 0].tolist() == [0, 255]

    # As the papers' code has it: what lies under the transparency shows.
    stored = np.asarray(whole_picture(saved(picture, "PNG"), "stored"))
    assert stored[0, 1].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([[0, 255]], [0, 255]),  # 8 bits
        ([[0, 256, 1023]], [0, 64, 255]),  # 10
        ([[0, 1024, 2048, 4095]], [0, 64, 128, 255]),  # 12: 2048 / 4095 * 255 = 127.5
        ([[0, 4096, 16383]], [0, 64, 255]),  # 14
        ([[0, 16384, 65535]], [0, 64, 255]),  # 16
    ],
)
def test_grey_is_scaled_by_the_depth_that_it_has(values, wanted):
    assert shown(grey(values))[0, :, 0].tolist() == wanted


def test_grey_below_zero_is_stretched():
    assert shown(grey([[-1000, 0, 1000]], np.int32))[0, :, 0].tolist() == [0, 128, 255]
    assert shown(grey([[-5, -5]], np.int32))[0, :, 0].tolist() == [0, 0]


def test_grey_as_stored_is_the_upper_eight_bits():
    stored = np.asarray(whole_picture(grey([[0, 4095, 65535]]), "stored"))
    assert stored[0, :, 0].tolist() == [0, 15, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_other_modes_become_rgb(mode):
    picture = Image.fromarray(NOISE).convert(mode)
    form = "TIFF" if mode == "CMYK" else "PNG"
    assert np.array_equal(shown(saved(picture, form)), np.asarray(picture.convert("RGB")))


def test_the_manifest_says_how_its_pictures_are_read(tmp_path):
    columns = dict.fromkeys(("labels", "difficult", "ignored", "captions"), [[]])
    sizes = dict.fromkeys(("width", "height", "bytes"), [1])
    frame = pandas.DataFrame(
        {"image": ["a.png"], "part": ["train"], "split": ["train"], **columns, **sizes}
    )

    def written(name: str, notes: dict[str, str]) -> Manifest:
        write_manifest(tmp_path / name, frame, ["a"], {"pictures": "."}, notes)
        return read_manifest(tmp_path / name)

    stored = written("stored", {})
    shown = written("shown", {"appearance": "shown"})
    assert (stored.appearance, shown.appearance) == ("stored", "shown")
    # Features of the one are none of the other.
    assert stored.digest != shown.digest
    assert shown.with_frame(shown.frame).appearance == "shown"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (bytes(128) + b"DICM" + bytes(100), "DICOM"),
        (b"words", "not a picture"),
    ],
)
def test_what_is_no_picture_is_said(tmp_path, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    assert reason in check_picture(tmp_path / "a.jpg").problem


# ----------------------------------------------------------------------- colours of 16 bits


def deep_png(pixels: np.ndarray) -> io.BytesIO:
    """(h, w, 2, 3 or 4) uint16, which Pillow does not write."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    colour_type = {2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)

    content = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        check = zlib.crc32(name + data)
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)
    return io.BytesIO(content)


def deep_tiff(pixels: np.ndarray, order: str, packed: bool = False) -> io.BytesIO:
    """(h, w, 3) uint16 in one strip. order: < or >. packed: as libtiff reads it."""
    height, width, _ = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    compression = 1
    if packed:
        compression = 8
        data = zlib.compress(data)

    # Tag, type (3: 16 bits, 4: 32 bits), count, value or where it is: the pixels begin behind the
    # eight bytes of the header, and the depths of the channels behind them.
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, 8 + len(data)),  # bits of each channel
        (259, 3, 1, compression),
        (262, 3, 1, 2),  # RGB
        (273, 4, 1, 8),  # where the strip begins
        (277, 3, 1, 3),  # channels
        (278, 4, 1, height),  # rows of the strip
        (279, 4, 1, len(data)),
        (284, 3, 1, 1),  # channels lie together, pixel by pixel
    ]
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        form = "HHIHxx" if kind == 3 and count == 1 else "HHII"
        directory += struct.pack(f"{order}{form}", tag, kind, count, value)

    depths = struct.pack(f"{order}HHH", 16, 16, 16)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    start = struct.pack(f"{order}I", 8 + len(data) + len(depths))
    return io.BytesIO(mark + start + data + depths + directory + bytes(4))


COLOURS = np.random.default_rng(0).integers(0, 65536, (9, 7, 3), dtype=np.uint16)


@pytest.mark.parametrize(
    "write",
    [
        deep_png,
        lambda pixels: deep_tiff(pixels, "<"),
        lambda pixels: deep_tiff(pixels, ">"),
        lambda pixels: deep_tiff(pixels, "<", packed=True),
        lambda pixels: deep_tiff(pixels, ">", packed=True),
    ],
)
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_colours_of_any_depth(write, bits, tmp_path):
    largest = 2**bits - 1
    pixels = COLOURS >> (16 - bits)
    pixels[0, 0, 0] = largest
    expected = (pixels * (255 / largest)).round()
    assert (shown(write(pixels)) == expected).all()

    # By a path, decoded as for a network; as it is stored, the upper eight bits.
    path = tmp_path / "deep"
    path.write_bytes(write(pixels).getvalue())
    assert (decode(path, 5, appearance="shown") == decode_pixels(expected)).all()
    assert (np.asarray(whole_picture(path, "stored")) == pixels >> 8).all()


def decode_pixels(expected: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(expected.astype(np.uint8))
    return np.asarray(picture.resize((5, 5), Image.Resampling.BILINEAR))


def test_transparent_colours_of_twelve_bits():
    pixels = np.zeros((2, 2, 4), np.uint16)
    pixels[..., 0] = 4095
    pixels[0, :, 3] = 65535
    assert shown(deep_png(pixels))[:, 0].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_transparent_grey_of_twelve_bits():
    grey = np.array([[4095, 2048], [1, 0]], np.uint16)
    alpha = np.array([[65535, 65535], [65535, 0]], np.uint16)
    pixels = np.stack([grey, alpha], axis=-1)
    # 2048 is the middle of 12 bits, 1 next to black, and what is transparent white.
    expected = [[[255] * 3, [128] * 3], [[0] * 3, [255] * 3]]
    assert shown(deep_png(pixels)).tolist() == expected
    # As it is stored, the upper eight bits, whatever is transparent.
    stored = np.asarray(whole_picture(deep_png(pixels), "stored"))
    assert stored[..., 0].tolist() == [[15, 8], [0, 0]]
