"""The compiled kernels' pixels are Pillow's: resizing, every kind of JPEG file, augmentation; and where they are not used."""

import importlib
import io
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from torch.utils.data import DataLoader

from mlrepro.data import augment
from mlrepro.data.augment import FILL, OPERATIONS, RECIPES
from mlrepro.data.images import Pictures, decode
from mlrepro.errors import InputError

kernels = augment.kernels(448)
pytestmark = pytest.mark.skipif(
    kernels is None, reason="numba or simplejpeg is not installed, or another Pillow"
)
BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def photo(width: int = 250, height: int = 190) -> Image.Image:
    return noise(width // 8, height // 8).resize((width, height), Image.Resampling.BICUBIC)


# --- resizing --------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(*[st.integers(1, 90)] * 3, st.sampled_from([BILINEAR, BICUBIC]), st.booleans())
@example(7, 7, 7, BILINEAR, True)
@example(600, 1, 3, BICUBIC, True)
@example(1, 600, 3, BICUBIC, True)
@example(1, 1, 90, BICUBIC, False)
@example(40, 50, 30, BILINEAR, True)  # Pillow 13 goes down first above this height only
@example(40, 51, 30, BILINEAR, True)
@example(20, 31, 30, BICUBIC, False)
def test_resizing_is_pillows(width, height, side, method, hard):
    picture = noise(width, height)
    if hard:  # only black and white: bicubic weights overshoot
        picture = picture.point(lambda value: 255 * (value > 127))
    found = kernels.resize(kernels.read(picture), side, method)
    assert np.array_equal(found, picture.resize((side, side), method))


# --- files -----------------------------------------------------------------------------------------------------------


def jpeg(picture: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", **options)
    return stream.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


FILES = {
    **{
        f"{name} {quality}": jpeg(photo(), subsampling=subsampling, quality=quality)
        for quality in (30, 95)
        for name, subsampling in (("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2))
    },
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


def outcome(content: bytes, fast) -> np.ndarray | str:
    try:
        return decode(io.BytesIO(content), 128, "bicubic", fast)
    except InputError as error:
        return str(error).partition(":")[2]  # without the address of the stream


@pytest.mark.parametrize("kind", FILES)
def test_jpeg_files_are_pillows(kind):
    read = kernels.read(Image.open(io.BytesIO(FILES[kind]))).view(np.uint8).reshape(-1, 4)[:, :3]
    assert np.array_equal(
        read, np.asarray(Image.open(io.BytesIO(FILES[kind])).convert("RGB")).reshape(-1, 3)
    )
    assert np.array_equal(outcome(FILES[kind], kernels), outcome(FILES[kind], None))


def test_libjpeg_itself_reads_the_usual_file(monkeypatch):
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("by Pillow"))
    assert kernels.read(Image.open(io.BytesIO(FILES["4:2:0 95"]))).shape == (190, 250)


@pytest.mark.parametrize("kind", ["4:2:0 30", "progressive", "grey"])
def test_damaged_files_are_what_they_are_by_pillow(kind):
    content, kinds = FILES[kind], set()
    places = np.random.default_rng(1).integers(2, len(content), 40).tolist()
    changed = [
        content[:place] + bytes([content[place] ^ 0x5A]) + content[place + 1 :] for place in places
    ]
    for damaged in [
        *(content[:place] for place in [*places, len(content) - 2, len(content) - 1]),
        *changed,
    ]:
        ours, pillows = outcome(damaged, kernels), outcome(damaged, None)
        assert np.array_equal(ours, pillows)
        kinds.add(type(ours))
    assert kinds == {str, np.ndarray}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_other_files_are_pillows(mode):
    stream = io.BytesIO()
    picture = (
        Image.fromarray(np.arange(65500, dtype=np.uint16).reshape(250, 262))
        if mode == "I;16"
        else photo().convert(mode)
    )
    picture.save(stream, "PNG")
    assert np.array_equal(outcome(stream.getvalue(), kernels), outcome(stream.getvalue(), None))


# --- augmentation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (40, 31), (160, 150)])
@pytest.mark.parametrize("amount", [0.3, -0.3, 0.1, -1 / 30, 0.25, -0.5, 1e-12])
def test_shears_are_pillows(size, amount):
    for picture in (noise(*size), photo(80, 80).resize(size)):
        wanted = picture.transform(
            size, Image.Transform.AFFINE, (1, amount, 0, 0, 1, 0), BICUBIC, fillcolor=FILL
        )
        assert np.array_equal(
            kernels.shear(np.array(picture), amount, np.array(FILL, np.uint8)), wanted
        )


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (3, 3), (40, 31)])
def test_smoothing_is_pillows(size):
    for picture in (noise(*size), photo(80, 80).resize(size)):
        found = kernels.smooth(np.array(picture).reshape(size[1], -1)).reshape(size[1], size[0], 3)
        assert np.array_equal(found, picture.filter(ImageFilter.SMOOTH))


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_pillows(monkeypatch, name):
    def all_of():
        return [
            np.asarray(OPERATIONS[name](picture, magnitude / 9, np.random.default_rng(seed)))
            for picture in (noise(130, 140), photo())
            for magnitude in (1, 4, 9)
            for seed in (0, 3)
        ]

    ours = all_of()
    monkeypatch.setattr(augment, "kernels", lambda side: None)
    for found, wanted in zip(ours, all_of(), strict=True):
        assert np.array_equal(found, wanted)


@pytest.fixture
def files(tmp_path):
    """Pictures of the recipe aam at 130 px."""
    for i in range(24):
        (tmp_path / f"{i}.jpg").write_bytes(
            jpeg(noise(12 + i, 20).resize((150 + i, 140)), quality=90)
        )
    manifest = SimpleNamespace(
        frame=pd.DataFrame({"image": [f"{i}.jpg" for i in range(24)]}), root=tmp_path
    )
    return lambda: Pictures(manifest, np.arange(24), 130, "bilinear", "aam", 3, 1)


def pixels(pictures, workers: int = 0) -> np.ndarray:
    return np.concatenate(
        [batch.numpy() for batch, _ in DataLoader(pictures, 6, num_workers=workers)]
    )


def test_training_pictures_are_the_same_without_numba(monkeypatch, files):
    ours = pixels(files())
    assert np.array_equal(ours, pixels(files(), workers=2))
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "mlrepro.data.kernels")
    monkeypatch.delattr("mlrepro.data.kernels")
    augment.kernels.cache_clear()
    try:
        assert augment.kernels(130) is None
        assert np.array_equal(ours, pixels(files()))
    finally:
        augment.kernels.cache_clear()


def test_recipes_are_what_pillow_makes_of_them(monkeypatch):
    picture, rng = photo(), np.random.default_rng
    ours = [np.asarray(RECIPES["query2label"](picture, rng(seed))) for seed in range(60)]
    monkeypatch.setattr(augment, "kernels", lambda side: None)
    assert all(
        np.array_equal(found, RECIPES["query2label"](picture, rng(seed)))
        for seed, found in enumerate(ours)
    )


# --- when ------------------------------------------------------------------------------------------------------------


def test_kernels_are_loaded_where_they_pay():
    code = (
        "import sys; from mlrepro.data import augment, images; print(augment.kernels(127), 'numba' in sys.modules); "
        "print(augment.kernels(128) is not None, 'numba' in sys.modules)"
    )
    nowhere = {
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CACHE_DIR": "",
    }  # to keep what is compiled
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **nowhere}
    )
    assert done.stdout.splitlines() == ["None False", "False True"], done.stderr


def test_another_pillow_is_noticed(monkeypatch):
    """As before 13.0, when all pictures were resized across first."""
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image,
        "resize",
        lambda self, size, *rest: resize(
            self if self.mode == "I" else resize(self, (size[0], self.height), *rest), size, *rest
        ),
    )
    monkeypatch.delitem(sys.modules, "mlrepro.data.kernels")
    with pytest.raises(ImportError, match="Pillow"):
        importlib.import_module("mlrepro.data.kernels")
