"""Pictures as a training sees them: resizing, normalisation, and whose augmentation is whose."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
import torch
from conftest import LINEAR, PICTURES, run_settings
from PIL import Image
from test_augment import RECIPES, RNG
from torch.utils.data import DataLoader

from mlrepro.data.images import Augmentation, Pictures, decode, resize_cv2
from mlrepro.data.manifest import Manifest
from mlrepro.data.samplers import shuffled_batches
from mlrepro.settings.run import Run
from mlrepro.training.inputs.pictures import PictureInputs
from mlrepro.training.task import create_task

# What is read of a backbone.
PLAIN = SimpleNamespace(interpolation="bilinear", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
ROWS = np.arange(12)
NOWHERE = Path("nowhere")


# --- resizing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "size", "wanted"),
    [
        ([0, 100, 200, 40], 2, [50, 120]),
        ([0, 100], 4, [0, 25, 75, 100]),  # edges are repeated
        ([0, 100, 200, 40], 3, [17, 150, 67]),  # at 1/6, 3/2 and 17/6
        ([0, 1, 2, 3], 2, [1, 3]),  # halves are rounded up
        ([255, 0, 0, 0, 0, 0, 0, 200], 2, [0, 0]),  # no antialiasing: between 1 and 2, 5 and 6
    ],
)
def test_cv2_resizes_rows(values, size, wanted):
    row = np.array(values, np.uint8)
    square = np.tile(row[None, :, None], (len(row), 1, 3))
    assert resize_cv2(square, size)[0, :, 0].tolist() == wanted


def test_cv2_resizes_columns_and_channels():
    wide = np.zeros((2, 4, 3), np.uint8)
    wide[1] = 100
    wide[..., 2] = 7
    resized = resize_cv2(wide, 2)
    assert resized[..., 0].tolist() == [[0, 0], [100, 100]]
    assert (resized[..., 2] == 7).all()

    noise = RNG(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(resize_cv2(noise, 32), noise)


# --- inputs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    folder = tmp_path_factory.mktemp("pictures")
    rng = RNG(3)
    for i in ROWS:
        noise = rng.integers(0, 256, (48, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    frame = pandas.DataFrame({"image": [f"{i}.png" for i in ROWS], "split": "train"})
    return Manifest.of_frame(frame, ["a", "b"], folder, {}, "")


def run(**changes) -> Run:
    return Run(**run_settings(PICTURES, **changes))


def inputs(manifest: Manifest, **changes) -> PictureInputs:
    return PictureInputs(manifest, run(**changes), PLAIN, torch.device("cpu"))


def by_row(batches) -> torch.Tensor:
    """All pictures of the batches, in the order of their rows."""
    pictures, rows = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return pictures[rows.argsort()]


def test_flip_is_what_the_recorded_results_were_trained_with(manifest):
    flipped = Pictures(manifest, ROWS, 32, "bilinear", Augmentation("flip", seed=7, epoch=2))
    mirrored = 0
    for i in ROWS:
        pixels, row = flipped[i]
        wanted = np.asarray(decode(manifest.root / f"{row}.png", 32))
        if RNG([7, 2, row]).random() < 0.5:
            wanted = wanted[:, ::-1]
            mirrored += 1
        assert row == i
        assert np.array_equal(pixels.numpy(), wanted)
    assert 0 < mirrored < len(ROWS)


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_reaches_training_pictures_only_and_follows_seed_epoch_and_row(manifest, recipe):
    source = create_task(run(augment=recipe), manifest, NOWHERE).inputs
    without = create_task(run(), manifest, NOWHERE).inputs
    shuffled = by_row(source.shuffled(ROWS, 4, seed=5, epoch=1))
    plain = by_row(source.sequential(ROWS))

    assert torch.equal(plain, by_row(without.shuffled(ROWS, 4, 5, 1)))
    assert torch.equal(shuffled, by_row(source.sequential(ROWS, augmented=(5, 1))))
    some = by_row(source.sequential(ROWS[3:9], augmented=(5, 1)))
    assert torch.equal(shuffled[3:9], some)  # whatever the other rows

    other_epoch = by_row(source.sequential(ROWS, augmented=(5, 2)))
    other_seed = by_row(source.sequential(ROWS, augmented=(6, 1)))
    for other in (plain, other_epoch, other_seed):
        changed = (shuffled != other).flatten(1).any(1)
        assert changed.sum() >= 2  # a flip leaves half of the pictures as they were


def test_number_of_workers_does_not_change_pictures(manifest):
    pictures = Pictures(manifest, ROWS, 32, "cv2", Augmentation("aam", seed=1, epoch=4))
    batches = shuffled_batches(12, 3, 1, 4)
    alone = by_row(DataLoader(pictures, batch_sampler=batches, num_workers=0))
    by_two = by_row(DataLoader(pictures, batch_sampler=batches, num_workers=2))
    assert torch.equal(alone, by_two)


def test_a_row_drawn_again_is_augmented_anew(manifest):
    """As a sampler that repeats pictures needs it.

    Otherwise a class with one picture would show it alike all epoch long.
    """
    source = inputs(manifest, augment="aam")
    source.draw = lambda *_: [np.array([3, 5, 3]), np.array([3, 0])]
    (first, first_rows), (second, second_rows) = source.shuffled(ROWS, 3, 5, 1)
    assert first_rows.tolist() == [3, 5, 3]
    assert second_rows.tolist() == [3, 0]

    once = by_row(inputs(manifest, augment="aam").shuffled(ROWS, 4, 5, 1))
    assert torch.equal(first[0], once[3])
    assert torch.equal(first[1], once[5])
    assert torch.equal(second[1], once[0])
    assert not torch.equal(first[2], first[0])
    assert not torch.equal(second[0], first[2])


NORMALISATIONS = [
    ("half", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ("backbone", PLAIN.mean, PLAIN.std),
    ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
]


@pytest.mark.parametrize(("name", "mean", "std"), NORMALISATIONS)
def test_normalise_settings(manifest, name, mean, std):
    unit = by_row(inputs(manifest, normalise="unit").sequential(ROWS))
    assert 0 <= unit.min() < 0.3
    assert 0.7 < unit.max() <= 1

    normalised = by_row(inputs(manifest, normalise=name).sequential(ROWS))
    wanted = (unit - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(normalised, wanted, atol=1e-6)


def test_resize_settings(manifest):
    def resized(name: str) -> np.ndarray:
        """(12, 32, 32, 3) between 0 and 255."""
        source = inputs(manifest, normalise="unit", resize=name)
        pictures = by_row(source.sequential(ROWS)) * 255
        return pictures.round().numpy().transpose(0, 2, 3, 1)

    bilinear = resized("bilinear")
    bicubic = resized("bicubic")
    cv2 = resized("cv2")

    with Image.open(manifest.root / "5.png") as source:
        assert np.array_equal(bilinear[5], source.resize((32, 32), Image.Resampling.BILINEAR))
        assert np.array_equal(bicubic[5], source.resize((32, 32), Image.Resampling.BICUBIC))
        assert np.array_equal(cv2[5], resize_cv2(np.array(source), 32))
    assert np.array_equal(resized("backbone"), bilinear)  # PLAIN's interpolation
    assert cv2.std() > 1.2 * bilinear.std()  # noise that antialiasing smooths


@pytest.mark.parametrize(
    ("key", "value"), [("resize", "cv2"), ("normalise", "half"), ("augment", "aam")]
)
def test_settings_of_pictures_are_refused_where_features_are_read(key, value):
    with pytest.raises(ValueError, match=f"`{key}` needs `inputs: images`"):
        Run(**run_settings(LINEAR, **{key: value}))
