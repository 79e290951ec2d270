"""Augmentation and picture inputs: golden cutout, each operation by hand, recipes' order, effect of each setting."""

import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import LINEAR, PICTURES, run_settings
from PIL import Image
from torch.utils.data import DataLoader

from mlrepro.data import augment
from mlrepro.data.augment import CUTOUT_FILL, FILL, OPERATIONS, RECIPES, cutout, hole, randaugment
from mlrepro.data.images import Pictures, decode, resize_cv2, shuffled_batches
from mlrepro.data.manifest import Manifest
from mlrepro.settings.run import Run
from mlrepro.training.inputs import PictureInputs
from mlrepro.training.run import create_task

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "q2l" / "cutout.npz"
RNG = np.random.default_rng
NOISE = RNG(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
PLAIN = SimpleNamespace(
    interpolation="bilinear", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)
)  # what of a backbone is read
AUGMENTED = [name for name in RECIPES if name != "none"]


def picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels)


def flat(colour: tuple[int, int, int], width: int = 32, height: int = 32) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def signed(sign: int) -> SimpleNamespace:
    """Draws that give the wanted sign."""
    return SimpleNamespace(random=lambda: 0.0 if sign > 0 else 1.0)


def apply(name: str, pixels: np.ndarray, magnitude: int = 9, sign: int = 1) -> np.ndarray:
    return np.asarray(OPERATIONS[name](picture(pixels), magnitude / 9, signed(sign))).astype(int)


# --- cutout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "size", "length", "seed"),
    [
        ("sq32_len16", (32, 32), 16, 0),
        ("sq32_len16_s5", (32, 32), 16, 5),
        ("rect20x12_len6", (20, 12), 6, 1),
    ],
)
def test_cutout_is_query2labels(case, size, length, seed):
    """The released code draws centres from numpy's legacy generator and colours from Python's, both seeded alike."""
    centres, colours = np.random.RandomState(seed), random.Random(seed)
    draws = SimpleNamespace(
        integers=lambda n: colours.randrange(256) if n == 256 else centres.randint(n)
    )
    assert np.array_equal(cutout(flat((1, 2, 3), *size), length, draws), np.load(GOLDEN)[case])


@pytest.mark.parametrize(("length", "side"), [(0, 1), (16, 17), (5, 5)])
def test_cutout_includes_both_ends_and_clips_at_the_borders(length, side):
    areas = Counter()
    for seed in range(300):
        cut = (np.asarray(cutout(flat((1, 2, 3)), length, RNG(seed))) != (1, 2, 3)).any(2)
        ys, xs = cut.any(1).sum(), cut.any(0).sum()
        assert cut.sum() == ys * xs and max(ys, xs) <= side
        areas[cut.sum()] += 1
    assert max(areas) == side**2 and min(areas) >= ((side + 1) // 2) ** 2


def test_hole_has_its_exact_side_and_leaves_the_given_picture_alone():
    whole, areas = flat((1, 2, 3)), set()
    for seed in range(200):
        cut = (np.asarray(hole(whole, 6, RNG(seed), CUTOUT_FILL)) == CUTOUT_FILL).all(2)
        areas.add(int(cut.sum()))
    assert max(areas) == 36 and min(areas) >= 9 and whole.getcolors() == [(32 * 32, (1, 2, 3))]
    colours = {
        hole(whole, 64, RNG(seed)).getpixel((16, 16)) for seed in range(50)
    }  # beyond every border
    assert len(colours) == 50


# --- operations ------------------------------------------------------------------------------------------------------


def test_operations_on_values():
    x = NOISE.astype(int)
    luma = np.asarray(picture(NOISE).convert("L")).astype(int)[..., None]
    assert np.array_equal(apply("invert", NOISE), 255 - x)
    assert np.array_equal(apply("solarize", NOISE, 9), 255 - x)  # from threshold 0
    assert np.array_equal(apply("solarize", NOISE, 3), np.where(x < 256 - 256 * 3 / 9, x, 255 - x))
    for magnitude, bits in zip(range(1, 10), (8, 7, 7, 6, 6, 5, 5, 4, 4), strict=True):
        assert np.array_equal(apply("posterize", NOISE, magnitude), x >> (8 - bits) << (8 - bits))
    for sign in (1, -1):
        factor = 1 + sign * 0.9 * 4 / 9
        assert np.abs(apply("brightness", NOISE, 4, sign) - np.clip(x * factor, 0, 255)).max() <= 1
        assert (
            np.abs(
                apply("color", NOISE, 4, sign) - np.clip(luma + (x - luma) * factor, 0, 255)
            ).max()
            <= 1
        )
        mean = int(luma.mean() + 0.5)
        assert (
            np.abs(
                apply("contrast", NOISE, 4, sign) - np.clip(mean + (x - mean) * factor, 0, 255)
            ).max()
            <= 1
        )
    assert apply("sharpness", NOISE, 9, 1).std() > x.std() > apply("sharpness", NOISE, 9, -1).std()
    narrow = (NOISE // 4 + 100).astype(np.uint8)
    stretched, low, high = apply("auto_contrast", narrow), narrow.min((0, 1)), narrow.max((0, 1))
    assert (
        np.abs(stretched - (narrow - low) * (255 / (high - low))).max() <= 1
    )  # each channel by itself
    dark = (RNG(2).integers(0, 32, (64, 64, 3))).astype(np.uint8)  # even, but in the lowest eighth
    assert np.abs(apply("equalize", dark) - dark.astype(int) * 255 / 31).max() < 16


def test_translations_and_shears_move_by_the_stated_amount():
    big = RNG(1).integers(0, 100, (331, 331, 3), dtype=np.uint8)  # 150 / 331 of it is 150 pixels
    for magnitude in (9, 3):
        pixels = 150 * magnitude // 9
        right, down = (
            apply("translate_x", big, magnitude, -1),
            apply("translate_y", big, magnitude, -1),
        )
        assert (
            np.array_equal(right[:, pixels:], big[:, :-pixels])
            and (right[:, :pixels] == FILL).all()
        )
        assert np.array_equal(down[pixels:], big[:-pixels]) and (down[:pixels] == FILL).all()
        left = apply("translate_x", big, magnitude, 1)
        assert (
            np.array_equal(left[:, :-pixels], big[:, pixels:]) and (left[:, -pixels:] == FILL).all()
        )
    stripe = np.zeros((100, 100, 3), np.uint8)
    stripe[:, 48:52] = 255
    sheared, back = apply("shear_x", stripe, 9, 1)[..., 0], apply("shear_x", stripe, 9, -1)[..., 0]
    for row in (10, 50, 90):
        assert abs((np.argwhere(sheared[row] == 255).mean() + 0.3 * row) - 49.5) < 1
        assert abs((np.argwhere(back[row] == 255).mean() - 0.3 * row) - 49.5) < 1
    assert np.array_equal(apply("shear_y", stripe.transpose(1, 0, 2), 9, 1)[..., 0], sheared.T)


def test_rotation_is_counter_clockwise_by_at_most_30_degrees_on_grey():
    disc = np.zeros((101, 101, 3), np.uint8)
    disc[50, 60:100] = 255  # a ray to the right of the centre
    for magnitude in (3, 9):
        turned = apply("rotate", disc, magnitude, -1)  # no sign is drawn
        ys, xs = np.nonzero((turned == 255).all(2))
        assert abs(np.degrees(np.arctan2(50 - ys.mean(), xs.mean() - 50)) - 30 * magnitude / 9) < 1
        assert tuple(turned[0, 0]) == FILL


@pytest.mark.parametrize("size", [(32, 32), (33, 35), (8, 8), (3, 3)])
def test_nothing_fails_on_small_and_flat_pictures(size):
    for pixels in (
        np.asarray(flat((128, 128, 128), *size)),
        np.asarray(flat((0, 0, 0), *size)),
        NOISE[: size[1], : size[0]],
    ):
        for operation in OPERATIONS.values():
            for magnitude in (1, 9):
                for seed in range(3):
                    changed = operation(
                        picture(np.ascontiguousarray(pixels)), magnitude / 9, RNG(seed)
                    )
                    assert changed.mode == "RGB" and changed.size == (
                        pixels.shape[1],
                        pixels.shape[0],
                    )
        for recipe in RECIPES.values():
            for seed in range(10):
                assert recipe(picture(np.ascontiguousarray(pixels)), RNG(seed)).size == (
                    pixels.shape[1],
                    pixels.shape[0],
                )


# --- recipes ---------------------------------------------------------------------------------------------------------


def record(monkeypatch) -> list:
    """Operations that note (name, level) and leave the picture as it is."""
    noted = []
    for name in OPERATIONS:
        monkeypatch.setitem(
            OPERATIONS, name, lambda p, level, rng, name=name: noted.append((name, level)) or p
        )
    return noted


def test_randaugment_draws_its_135_pairs_uniformly(monkeypatch):
    noted, applied, joint, n = record(monkeypatch), Counter(), Counter(), 40_000
    rng, blank = RNG(0), flat((0, 0, 0), 1, 1)
    for _ in range(n):
        start = len(noted)
        randaugment(blank, rng)
        applied[len(noted) - start] += 1
        if len(noted) == start + 2:
            joint[noted[start][0], noted[start + 1][0]] += 1
    pairs, wanted = Counter(noted), n / 135
    assert len(pairs) == 135 and {round(level * 9, 9) for _, level in pairs} == set(range(1, 10))
    assert (
        sum((count - wanted) ** 2 / wanted for count in pairs.values()) < 200
    )  # chi2, 134 degrees: p below 0.001
    assert all(abs(applied[k] / n - share) < 0.01 for k, share in ((0, 0.25), (1, 0.5), (2, 0.25)))
    wanted = applied[2] / 225
    assert (
        sum((joint[a, b] - wanted) ** 2 / wanted for a in OPERATIONS for b in OPERATIONS) < 295
    )  # 224 degrees


@pytest.mark.parametrize(
    ("recipe", "order"),
    [
        ("query2label", ["cutout 32", "randaugment"]),
        ("query2label_released", ["cutout 0", "randaugment"]),
        ("ml_decoder", ["cutout 32", "randaugment"]),
        ("aam", ["randaugment", "hole 25", "mirror"]),
        ("flip_both", ["mirror", "flip"]),
    ],
)
def test_recipes_order(monkeypatch, recipe, order):
    steps = []

    def note(name, sized=False):
        return lambda p, *rest: steps.append(f"{name} {rest[0]}" if sized else name) or p

    for name, sized in (("cutout", True), ("hole", True), ("randaugment", False)):
        monkeypatch.setattr(augment, name, note(name, sized))
    for name in ("mirror", "flip"):
        monkeypatch.setattr(augment.ImageOps, name, note(name))
    seen = Counter()
    for seed in range(400):
        steps.clear()
        RECIPES[recipe](flat((0, 0, 0), 64, 64), RNG(seed))
        assert steps == [step for step in order if step in steps]  # this order, none twice
        seen.update(steps)
    always = (
        order
        if recipe in ("query2label", "query2label_released", "ml_decoder")
        else ["randaugment"]
    )
    for step in order:
        assert seen[step] == 400 if step in always else 150 < seen[step] < 250


def test_jitter_changes_each_property_within_its_strength():
    grey, blue = flat((100, 100, 100)), flat((60, 90, 150))
    values = np.array(
        [RECIPES["flip_jitter"](grey, RNG(seed)).getpixel((0, 0)) for seed in range(300)]
    )
    assert np.ptp(values, axis=1).max() == 0  # neither saturation nor hue colours a grey picture
    assert values.min() >= 79 and values.max() <= 121 and np.ptp(values) > 35
    hues = np.array(
        [
            RECIPES["flip_jitter"](blue, RNG(seed)).convert("HSV").getpixel((0, 0))
            for seed in range(300)
        ]
    )
    start = blue.convert("HSV").getpixel((0, 0))[0]
    assert 8 < np.abs(hues[:, 0] - start).max() <= 0.05 * 255 + 3 and np.ptp(hues[:, 1]) > 40


# --- resizing --------------------------------------------------------------------------------------------------------


def test_cv2_resize_by_hand():
    def rows(*values):
        return np.repeat(np.array([values] * len(values), np.uint8)[..., None], 3, 2)

    def resized(size, *values):
        return resize_cv2(rows(*values), size)[0, :, 0].tolist()

    assert resized(2, 0, 100, 200, 40) == [50, 120]
    assert resized(4, 0, 100) == [0, 25, 75, 100]  # edges are repeated
    assert resized(3, 0, 100, 200, 40) == [17, 150, 67]  # at 1/6, 3/2 and 17/6
    assert resized(2, 0, 1, 2, 3) == [1, 3]  # halves are rounded up
    assert resized(2, 255, 0, 0, 0, 0, 0, 0, 200) == [
        0,
        0,
    ]  # no antialiasing: between pixels 1 and 2, 5 and 6
    wide = np.zeros((2, 4, 3), np.uint8)
    wide[1], wide[..., 2] = 100, 7
    assert (
        resize_cv2(wide, 2)[..., 0].tolist() == [[0, 0], [100, 100]]
        and (resize_cv2(wide, 2)[..., 2] == 7).all()
    )
    assert np.array_equal(resize_cv2(NOISE, 32), NOISE)


# --- inputs ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Manifest:
    folder, rng = tmp_path_factory.mktemp("pictures"), RNG(3)
    for i in range(12):
        picture(rng.integers(0, 256, (48, 80, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    frame = pd.DataFrame({"image": [f"{i}.png" for i in range(12)], "split": "train"})
    return Manifest(frame, ["a", "b"], folder, {}, "")


def run(**changes) -> Run:
    return Run(**run_settings(PICTURES, **changes))


def inputs(manifest: Manifest, **changes) -> PictureInputs:
    return PictureInputs(manifest, run(**changes), PLAIN, torch.device("cpu"))


def by_row(batches) -> torch.Tensor:
    pictures, rows = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return pictures[rows.argsort()]


ROWS = np.arange(12)


def test_flip_is_what_the_recorded_results_were_trained_with(manifest):
    flipped = Pictures(manifest, ROWS, 32, "bilinear", "flip", seed=7, epoch=2)
    mirrored = 0
    for i in ROWS:
        pixels, row = flipped[i]
        wanted = np.asarray(decode(manifest.root / f"{row}.png", 32))
        if RNG([7, 2, row]).random() < 0.5:
            wanted, mirrored = wanted[:, ::-1], mirrored + 1
        assert row == i and np.array_equal(pixels.numpy(), wanted)
    assert 0 < mirrored < len(ROWS)


@pytest.mark.parametrize("recipe", AUGMENTED)
def test_recipe_reaches_training_pictures_only_and_follows_seed_epoch_and_row(manifest, recipe):
    task = create_task(run(augment=recipe), manifest, Path("nowhere"))
    shuffled = by_row(task.inputs.shuffled(ROWS, 4, seed=5, epoch=1))
    plain = by_row(task.inputs.sequential(ROWS))
    assert torch.equal(shuffled, by_row(task.inputs.sequential(ROWS, augmented=(5, 1))))
    assert torch.equal(
        shuffled[3:9], by_row(task.inputs.sequential(ROWS[3:9], augmented=(5, 1)))
    )  # whatever the other rows
    assert torch.equal(
        plain, by_row(create_task(run(), manifest, Path("nowhere")).inputs.shuffled(ROWS, 4, 5, 1))
    )
    for other in (
        plain,
        *(by_row(task.inputs.sequential(ROWS, augmented=of)) for of in ((5, 2), (6, 1))),
    ):
        assert (shuffled != other).flatten(1).any(
            1
        ).sum() >= 2  # a flip leaves half of the pictures as they were


def test_number_of_workers_does_not_change_pictures(manifest):
    pictures = Pictures(manifest, ROWS, 32, "cv2", "aam", seed=1, epoch=4)
    batches = shuffled_batches(12, 3, 1, 4)
    alone, two = (
        by_row(DataLoader(pictures, batch_sampler=batches, num_workers=n)) for n in (0, 2)
    )
    assert torch.equal(alone, two)


def test_a_row_drawn_again_is_augmented_anew(manifest):
    """As a sampler that repeats pictures needs it: otherwise a class with one picture would show it alike all epoch long."""
    source = inputs(manifest, augment="aam")
    source.draw = lambda *_: [np.array([3, 5, 3]), np.array([3, 0])]
    (first, rows), (second, more) = source.shuffled(ROWS, 3, 5, 1)
    assert torch.cat([rows, more]).tolist() == [3, 5, 3, 3, 0]
    drawn = torch.cat([first, second])
    once = by_row(inputs(manifest, augment="aam").shuffled(ROWS, 4, 5, 1))
    assert torch.equal(drawn[[0, 1, 4]], once[[3, 5, 0]])
    assert not torch.equal(drawn[2], drawn[0]) and not torch.equal(drawn[3], drawn[2])


def test_normalise_settings(manifest):
    unit = by_row(inputs(manifest, normalise="unit").sequential(ROWS))
    assert 0 <= unit.min() < 0.3 and 0.7 < unit.max() <= 1
    for name, mean, std in (
        ("half", (0.5,) * 3, (0.5,) * 3),
        ("backbone", PLAIN.mean, PLAIN.std),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ):
        wanted = (unit - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        assert torch.allclose(
            by_row(inputs(manifest, normalise=name).sequential(ROWS)), wanted, atol=1e-6
        )


def test_resize_settings(manifest):
    images = {
        name: by_row(inputs(manifest, normalise="unit", resize=name).sequential(ROWS)) * 255
        for name in ("backbone", "bilinear", "bicubic", "cv2")
    }
    source = Image.open(manifest.root / "5.png")
    for name, method in (
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
    ):
        assert np.array_equal(
            images[name][5].round().numpy().transpose(1, 2, 0),
            np.asarray(source.resize((32, 32), method)),
        )
    assert torch.equal(images["backbone"], images["bilinear"])  # PLAIN's interpolation
    assert np.array_equal(
        images["cv2"][5].round().numpy().transpose(1, 2, 0), resize_cv2(np.array(source), 32)
    )
    assert images["cv2"].std() > 1.2 * images["bilinear"].std()  # noise that antialiasing smooths


@pytest.mark.parametrize("changes", [{"resize": "cv2"}, {"normalise": "half"}, {"augment": "aam"}])
def test_settings_of_pictures_are_refused_where_features_are_read(changes):
    with pytest.raises(ValueError, match=f"`{next(iter(changes))}` needs `inputs: images`"):
        Run(**run_settings(LINEAR, **changes))
