"""The compiled kernels' pixels are Pillow's, and where they are not used.

Resizing, every kind of JPEG file, augmentation.
"""

import importlib
import io
import re
import sys
from types import SimpleNamespace

import forks
import numpy as np
import pandas
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from torch.utils.data import DataLoader

from mlrepro.data import fast
from mlrepro.data.augment import find_recipe, randaugment
from mlrepro.data.augment.randaugment import FILL, OPERATIONS
from mlrepro.data.images import Augmentation, Pictures, decode
from mlrepro.errors import InputError

kernels = fast.fast_kernels(448)
pytestmark = pytest.mark.skipif(
    kernels is None, reason="numba or simplejpeg is not installed, or another Pillow"
)
BILINEAR = Image.Resampling.BILINEAR
BICUBIC = Image.Resampling.BICUBIC
SIDES = st.integers(1, 90)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def photo(width: int = 250, height: int = 190) -> Image.Image:
    """Smooth as photos are."""
    return noise(width // 8, height // 8).resize((width, height), BICUBIC)


def without_kernels(monkeypatch) -> None:
    """Operations by Pillow alone from here on."""
    monkeypatch.setattr(randaugment, "fast_kernels", lambda side: None)


# --- resizing ------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
def assert_resized_as_pillow_does(picture, side, method):
    resized = kernels.resize(kernels.read(picture), side, method)
    assert np.array_equal(resized, picture.resize((side, side), method))


def black_and_white(picture):
    """Hard edges, at which bicubic weights overshoot."""
    return picture.point(lambda value: 255 if value > 127 else 0)


METHODS = st.sampled_from([BILINEAR, BICUBIC])


@given(SIDES, SIDES, SIDES, METHODS)
@example(1, 1, 90, BICUBIC)
@example(20, 31, 30, BICUBIC)
def test_resizing_is_pillows(width, height, side, method):
    assert_resized_as_pillow_does(noise(width, height), side, method)


@given(SIDES, SIDES, SIDES, METHODS)
@example(7, 7, 7, BILINEAR)
@example(600, 1, 3, BICUBIC)
@example(1, 600, 3, BICUBIC)
@example(40, 50, 30, BILINEAR)  # Pillow 13 goes down first above this height only
@example(40, 51, 30, BILINEAR)
def test_resizing_of_hard_edges_is_pillows(width, height, side, method):
    picture = black_and_white(noise(width, height))
    assert_resized_as_pillow_does(picture, side, method)


# --- files ---------------------------------------------------------------------------------------


def jpeg(picture: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", **options)
    return stream.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


FILES = {
    "4:4:4 30": jpeg(photo(), subsampling=0, quality=30),
    "4:2:2 30": jpeg(photo(), subsampling=1, quality=30),
    "4:2:0 30": jpeg(photo(), subsampling=2, quality=30),
    "4:4:4 95": jpeg(photo(), subsampling=0, quality=95),
    "4:2:2 95": jpeg(photo(), subsampling=1, quality=95),
    "4:2:0 95": jpeg(photo(), subsampling=2, quality=95),
    "progressive": jpeg(photo(), progressive=True),
    "restarts": jpeg(photo(), restart_marker_rows=2),
    "turned": jpeg(photo(), exif=turned()),
    "RGB": jpeg(photo(), keep_rgb=True),
    "odd": jpeg(photo(131, 77)),
    "grey": jpeg(photo().convert("L")),
    "CMYK": jpeg(photo().convert("CMYK")),
    "tall": jpeg(photo(60, 600)),
    "more behind": jpeg(photo()) + b"more",
    "already its size": jpeg(photo(128, 128)),
}


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def outcome(content: bytes, kernels) -> np.ndarray | str:
    """The pixels, or the error without the addresses of the stream."""
    try:
        return decode(io.BytesIO(content), 128, "bicubic", kernels)
    except InputError as error:
        return re.sub("0x[0-9a-f]+", "", str(error))


@pytest.mark.parametrize("kind", FILES)
def test_jpeg_files_are_pillows(kind):
    content = FILES[kind]
    read = kernels.read(opened(content)).view(np.uint8).reshape(-1, 4)[:, :3]
    by_pillow = np.asarray(opened(content).convert("RGB")).reshape(-1, 3)
    assert np.array_equal(read, by_pillow)
    assert np.array_equal(outcome(content, kernels), outcome(content, None))


def test_libjpeg_itself_reads_the_usual_file(monkeypatch):
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("by Pillow"))
    assert kernels.read(opened(FILES["4:2:0 95"])).shape == (190, 250)


@pytest.mark.parametrize("kind", ["4:2:0 30", "progressive", "grey"])
def test_damaged_files_are_what_they_are_by_pillow(kind):
    content = FILES[kind]
    places = np.random.default_rng(1).integers(2, len(content), 40).tolist()
    damaged = []
    for place in [*places, len(content) - 2, len(content) - 1]:
        damaged.append(content[:place])
    for place in places:
        changed = bytes([content[place] ^ 0x5A])
        damaged.append(content[:place] + changed + content[place + 1 :])

    kinds = set()
    for file in damaged:
        ours = outcome(file, kernels)
        assert np.array_equal(ours, outcome(file, None))
        kinds.add(type(ours))
    assert kinds == {str, np.ndarray}  # some can be read, some cannot


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_other_files_are_pillows(mode):
    if mode == "I;16":
        picture = Image.fromarray(np.arange(65500, dtype=np.uint16).reshape(250, 262))
    else:
        picture = photo().convert(mode)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    content = stream.getvalue()
    assert np.array_equal(outcome(content, kernels), outcome(content, None))


# --- augmentation --------------------------------------------------------------------------------


SHEARED_SIZES = [(1, 1), (3, 5), (40, 31), (160, 150)]
SHEARS = [0.3, -0.3, 0.1, -1 / 30, 0.25, -0.5, 1e-12]


def sheared_by_pillow(picture, amount):
    matrix = (1, amount, 0, 0, 1, 0)
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, BICUBIC, fillcolor=FILL)


@pytest.mark.parametrize("size", SHEARED_SIZES)
@pytest.mark.parametrize("amount", SHEARS)
def test_shears_are_pillows(size, amount):
    fill = np.array(FILL, np.uint8)
    for picture in (noise(*size), photo(80, 80).resize(size)):
        sheared = kernels.shear(np.array(picture), amount, fill)
        assert np.array_equal(sheared, sheared_by_pillow(picture, amount))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (3, 3), (40, 31)])
def test_smoothing_is_pillows(size):
    for picture in (noise(*size), photo(80, 80).resize(size)):
        pixels = np.array(picture)
        smoothed = kernels.smooth(pixels.reshape(len(pixels), -1)).reshape(pixels.shape)
        assert np.array_equal(smoothed, picture.filter(ImageFilter.SMOOTH))


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_pillows(monkeypatch, name):
    cases = [
        (picture, magnitude, seed)
        for picture in (noise(130, 140), photo())
        for magnitude in (1, 4, 9)
        for seed in (0, 3)
    ]

    def changed(picture: Image.Image, magnitude: int, seed: int) -> np.ndarray:
        draws = np.random.default_rng(seed)
        return np.asarray(OPERATIONS[name](picture, magnitude / 9, draws))

    ours = [changed(*case) for case in cases]
    without_kernels(monkeypatch)
    for pixels, case in zip(ours, cases, strict=True):
        assert np.array_equal(pixels, changed(*case))


def test_recipes_are_what_pillow_makes_of_them(monkeypatch):
    picture = photo()
    recipe = find_recipe("query2label")
    ours = [np.asarray(recipe(picture, np.random.default_rng(seed))) for seed in range(60)]
    without_kernels(monkeypatch)
    for seed, pixels in enumerate(ours):
        assert np.array_equal(pixels, recipe(picture, np.random.default_rng(seed)))


@pytest.fixture
def pictures(tmp_path) -> Pictures:
    """24 JPEG files, by the recipe aam at 130 px."""
    names = [f"{i}.jpg" for i in range(24)]
    for i, name in enumerate(names):
        picture = noise(12 + i, 20).resize((150 + i, 140))
        (tmp_path / name).write_bytes(jpeg(picture, quality=90))
    manifest = SimpleNamespace(
        frame=pandas.DataFrame({"image": names}), root=tmp_path, appearance="stored"
    )
    return Pictures(manifest, np.arange(24), 130, "bilinear", Augmentation("aam", seed=3, epoch=1))


def pixels_of(pictures: Pictures, workers: int = 0) -> np.ndarray:
    loader = DataLoader(pictures, 6, num_workers=workers)
    return np.concatenate([batch.numpy() for batch, _ in loader])


def test_training_pictures_are_the_same_without_numba(monkeypatch, pictures):
    ours = pixels_of(pictures)
    assert np.array_equal(ours, pixels_of(pictures, workers=2))

    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "mlrepro.data.kernels")
    monkeypatch.delattr("mlrepro.data.kernels")
    fast.fast_kernels.cache_clear()
    try:
        assert fast.fast_kernels(130) is None
        assert np.array_equal(ours, pixels_of(pictures))
    finally:
        fast.fast_kernels.cache_clear()


# --- when ----------------------------------------------------------------------------------------


def test_kernels_are_loaded_where_they_pay():
    code = (
        "import sys\n"
        "from mlrepro.data import images\n"
        "from mlrepro.data.fast import fast_kernels\n"
        "print(fast_kernels(127), 'numba' in sys.modules)\n"
        "print(fast_kernels(128) is not None, 'numba' in sys.modules)\n"
    )
    # Nowhere to keep what is compiled.
    nowhere = {
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CACHE_DIR": "",
    }
    output = forks.run("-c", code, **nowhere)
    assert output.splitlines() == ["None False", "False True"]


def test_another_pillow_is_noticed(monkeypatch):
    """As before 13.0, when all pictures were resized across first."""
    resize = Image.Image.resize

    def across_first(self, size, *rest):
        if self.mode != "I":
            self = resize(self, (size[0], self.height), *rest)
        return resize(self, size, *rest)

    monkeypatch.setattr(Image.Image, "resize", across_first)
    monkeypatch.delitem(sys.modules, "mlrepro.data.kernels")
    with pytest.raises(ImportError, match="Pillow"):
        importlib.import_module("mlrepro.data.kernels")
