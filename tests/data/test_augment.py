"""Augmentation: golden cutout, each operation by hand, the order of the recipes' steps."""

import importlib
import pkgutil
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from mlrepro.data.augment import find_recipe, randaugment, recipe_module, recipes, steps
from mlrepro.data.augment.randaugment import CUTOUT_FILL, FILL, OPERATIONS
from mlrepro.data.augment.steps import cutout, hole
from mlrepro.settings.run import Run

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "q2l" / "cutout.npz"
RNG = np.random.default_rng
NOISE = RNG(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
BLACK = (0, 0, 0)
DARK = (1, 2, 3)
RECIPES = [name for name in get_args(Run.model_fields["augment"].annotation) if name != "none"]


def picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels))


def flat(colour: tuple[int, int, int], width: int = 32, height: int = 32) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def signed(sign: int) -> SimpleNamespace:
    """Draws that give the wanted sign."""
    number = 0.0 if sign > 0 else 1.0
    return SimpleNamespace(random=lambda: number)


def apply(name: str, pixels: np.ndarray, magnitude: int = 9, sign: int = 1) -> np.ndarray:
    changed = OPERATIONS[name](picture(pixels), magnitude / 9, signed(sign))
    return np.asarray(changed).astype(int)


def assert_within_one(changed: np.ndarray, wanted: np.ndarray) -> None:
    """Equal to rounding."""
    assert np.abs(changed - wanted).max() <= 1


# --- cutout --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "size", "length", "seed"),
    [
        ("sq32_len16", (32, 32), 16, 0),
        ("sq32_len16_s5", (32, 32), 16, 5),
        ("rect20x12_len6", (20, 12), 6, 1),
    ],
)
def test_cutout_is_query2labels(case, size, length, seed):
    """The released code draws centres by numpy's legacy generator, colours by Python's.

    Both are seeded alike.
    """
    centres = np.random.RandomState(seed)
    colours = random.Random(seed)

    def integers(n: int) -> int:
        return colours.randrange(256) if n == 256 else centres.randint(n)

    cut = cutout(flat(DARK, *size), length, SimpleNamespace(integers=integers))
    assert np.array_equal(cut, np.load(GOLDEN)[case])


@pytest.mark.parametrize(("length", "side"), [(0, 1), (16, 17), (5, 5)])
def test_cutout_includes_both_ends_and_clips_at_the_borders(length, side):
    areas = []
    for seed in range(300):
        pixels = np.asarray(cutout(flat(DARK), length, RNG(seed)))
        cut = (pixels != DARK).any(2)
        height = cut.any(1).sum()
        width = cut.any(0).sum()
        assert cut.sum() == height * width
        assert max(height, width) <= side
        areas.append(cut.sum())

    assert max(areas) == side**2
    assert min(areas) >= ((side + 1) // 2) ** 2


def test_hole_has_its_exact_side_and_leaves_the_given_picture_alone():
    whole = flat(DARK)
    areas = []
    for seed in range(200):
        pixels = np.asarray(hole(whole, 6, RNG(seed), CUTOUT_FILL))
        areas.append((pixels == CUTOUT_FILL).all(2).sum())
    assert max(areas) == 36
    assert min(areas) >= 9
    assert whole.getcolors() == [(32 * 32, DARK)]

    # A hole beyond every border, of a random colour.
    colours = {hole(whole, 64, RNG(seed)).getpixel((16, 16)) for seed in range(50)}
    assert len(colours) == 50


# --- operations ----------------------------------------------------------------------------------


def test_values_are_inverted_and_cut_to_fewer_bits():
    x = NOISE.astype(int)
    assert np.array_equal(apply("invert", NOISE), 255 - x)

    assert np.array_equal(apply("solarize", NOISE, 9), 255 - x)  # from threshold 0
    above_a_third = np.where(x < 256 - 256 * 3 / 9, x, 255 - x)
    assert np.array_equal(apply("solarize", NOISE, 3), above_a_third)

    bits_of_magnitude = {1: 8, 2: 7, 3: 7, 4: 6, 5: 6, 6: 5, 7: 5, 8: 4, 9: 4}
    for magnitude, bits in bits_of_magnitude.items():
        cut = x >> (8 - bits) << (8 - bits)
        assert np.array_equal(apply("posterize", NOISE, magnitude), cut)


@pytest.mark.parametrize("sign", [1, -1])
def test_enhancements_go_away_from_black_grey_and_the_mean(sign):
    x = NOISE.astype(int)
    luma = np.asarray(picture(NOISE).convert("L")).astype(int)[..., None]
    mean = int(luma.mean() + 0.5)
    factor = 1 + sign * 0.9 * 4 / 9

    assert_within_one(apply("brightness", NOISE, 4, sign), np.clip(x * factor, 0, 255))
    assert_within_one(apply("color", NOISE, 4, sign), np.clip(luma + (x - luma) * factor, 0, 255))
    of_contrast = np.clip(mean + (x - mean) * factor, 0, 255)
    assert_within_one(apply("contrast", NOISE, 4, sign), of_contrast)


def test_sharpness_raises_and_lowers_the_spread():
    sharp = apply("sharpness", NOISE, 9, 1)
    smooth = apply("sharpness", NOISE, 9, -1)
    assert sharp.std() > NOISE.std() > smooth.std()


def test_values_are_stretched_over_the_whole_range():
    narrow = (NOISE // 4 + 100).astype(np.uint8)
    low = narrow.min((0, 1))  # each channel by itself
    high = narrow.max((0, 1))
    assert_within_one(apply("auto_contrast", narrow), (narrow - low) * (255 / (high - low)))

    dark = RNG(2).integers(0, 32, (64, 64, 3)).astype(np.uint8)  # even, but in the lowest eighth
    assert np.abs(apply("equalize", dark) - dark.astype(int) * 255 / 31).max() < 16


@pytest.mark.parametrize("magnitude", [9, 3])
def test_translations_move_by_the_stated_amount(magnitude):
    big = RNG(1).integers(0, 100, (331, 331, 3), dtype=np.uint8)  # 150 / 331 of it is 150 pixels
    moved = 150 * magnitude // 9

    right = apply("translate_x", big, magnitude, -1)
    assert np.array_equal(right[:, moved:], big[:, :-moved])
    assert (right[:, :moved] == FILL).all()

    left = apply("translate_x", big, magnitude, 1)
    assert np.array_equal(left[:, :-moved], big[:, moved:])
    assert (left[:, -moved:] == FILL).all()

    down = apply("translate_y", big, magnitude, -1)
    assert np.array_equal(down[moved:], big[:-moved])
    assert (down[:moved] == FILL).all()


def test_shears_move_each_row_by_the_stated_amount():
    stripe = np.zeros((100, 100, 3), np.uint8)
    stripe[:, 48:52] = 255
    to_the_left = apply("shear_x", stripe, 9, 1)[..., 0]
    to_the_right = apply("shear_x", stripe, 9, -1)[..., 0]
    for row in (10, 50, 90):
        left_centre = np.argwhere(to_the_left[row] == 255).mean()
        right_centre = np.argwhere(to_the_right[row] == 255).mean()
        assert abs(left_centre + 0.3 * row - 49.5) < 1
        assert abs(right_centre - 0.3 * row - 49.5) < 1

    lying = stripe.transpose(1, 0, 2)
    assert np.array_equal(apply("shear_y", lying, 9, 1)[..., 0], to_the_left.T)


@pytest.mark.parametrize("magnitude", [3, 9])
def test_rotation_is_counter_clockwise_by_at_most_30_degrees_on_grey(magnitude):
    ray = np.zeros((101, 101, 3), np.uint8)
    ray[50, 60:100] = 255  # to the right of the centre

    turned = apply("rotate", ray, magnitude, -1)  # no sign is drawn
    ys, xs = np.nonzero((turned == 255).all(2))
    degrees = np.degrees(np.arctan2(50 - ys.mean(), xs.mean() - 50))
    assert abs(degrees - 30 * magnitude / 9) < 1
    assert tuple(turned[0, 0]) == FILL


@pytest.mark.parametrize("kind", ["grey", "black", "noise"])
@pytest.mark.parametrize("size", [(32, 32), (33, 35), (8, 8), (3, 3)])
def test_nothing_fails_on_small_and_flat_pictures(size, kind):
    width, height = size
    before = {
        "grey": flat((128, 128, 128), width, height),
        "black": flat(BLACK, width, height),
        "noise": picture(NOISE[:height, :width]),
    }[kind]
    size = before.size  # NOISE is not higher than 32

    for operation in OPERATIONS.values():
        for magnitude in (1, 9):
            for seed in range(3):
                changed = operation(before, magnitude / 9, RNG(seed))
                assert changed.mode == "RGB"
                assert changed.size == size
    for name in RECIPES:
        for seed in range(10):
            assert find_recipe(name)(before, RNG(seed)).size == size


# --- recipes -------------------------------------------------------------------------------------


def test_each_recipe_of_the_settings_is_a_module():
    modules = [module.name for module in pkgutil.iter_modules(recipes.__path__)]
    assert sorted(modules) == sorted(RECIPES)


@pytest.fixture
def noted(monkeypatch) -> list:
    """(name, level) of each operation that was called; the picture stays as it is."""
    calls = []

    def note(name):
        def operation(picture, level, draws):
            calls.append((name, level))
            return picture

        return operation

    for name in OPERATIONS:
        monkeypatch.setitem(OPERATIONS, name, note(name))
    return calls


def chi_square(counts: list[int], expected: float) -> float:
    return sum((count - expected) ** 2 / expected for count in counts)


def test_randaugment_draws_its_135_pairs_uniformly(noted):
    n = 40_000
    rng = RNG(0)
    blank = flat(BLACK, 1, 1)
    applied = Counter()  # how many operations a picture
    both = Counter()  # the two names, where both were applied
    for _ in range(n):
        start = len(noted)
        randaugment.randaugment(blank, rng)
        names = [name for name, _ in noted[start:]]
        applied[len(names)] += 1
        if len(names) == 2:
            both[tuple(names)] += 1

    pairs = Counter(noted)
    magnitudes = {round(level * 9, 9) for _, level in pairs}
    assert len(pairs) == 135
    assert magnitudes == set(range(1, 10))
    assert chi_square(pairs.values(), n / 135) < 200  # 134 degrees of freedom: p below 0.001

    assert abs(applied[0] / n - 0.25) < 0.01
    assert abs(applied[1] / n - 0.5) < 0.01
    assert abs(applied[2] / n - 0.25) < 0.01

    of_two_names = [both[first, second] for first in OPERATIONS for second in OPERATIONS]
    assert chi_square(of_two_names, applied[2] / 225) < 295  # 224 degrees of freedom


def observe_steps(monkeypatch, recipe: str) -> list[str]:
    """Fills the returned list with the steps of a recipe, which leave the picture as it is."""
    called = []

    def note(name: str, sized: bool = False):
        def step(picture, *arguments):
            called.append(f"{name} {arguments[0]}" if sized else name)
            return picture

        return step

    module = importlib.import_module(recipe_module(recipe))
    for name, sized in (("cutout", True), ("hole", True), ("randaugment", False)):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, note(name, sized))
    for name in ("mirror", "flip"):
        monkeypatch.setattr(steps.ImageOps, name, note(name))
    return called


@pytest.mark.parametrize(
    ("recipe", "always", "order"),
    [
        ("query2label", {"cutout 32", "randaugment"}, ["cutout 32", "randaugment"]),
        ("query2label_released", {"cutout 0", "randaugment"}, ["cutout 0", "randaugment"]),
        ("ml_decoder", {"cutout 32", "randaugment"}, ["cutout 32", "randaugment"]),
        ("aam", {"randaugment"}, ["randaugment", "hole 25", "mirror"]),
        ("flip_both", set(), ["mirror", "flip"]),
    ],
)
def test_recipes_order(monkeypatch, recipe, always, order):
    called = observe_steps(monkeypatch, recipe)
    seen = Counter()
    for seed in range(400):
        called.clear()
        find_recipe(recipe)(flat(BLACK, 64, 64), RNG(seed))
        assert called == [step for step in order if step in called]  # this order, none twice
        seen.update(called)

    for step in order:
        if step in always:
            assert seen[step] == 400
        else:
            assert 150 < seen[step] < 250


def test_jitter_changes_each_property_within_its_strength():
    jitter = find_recipe("flip_jitter")
    grey = flat((100, 100, 100))
    values = np.array([jitter(grey, RNG(seed)).getpixel((0, 0)) for seed in range(300)])
    assert np.ptp(values, axis=1).max() == 0  # neither saturation nor hue colours a grey picture
    assert values.min() >= 79
    assert values.max() <= 121
    assert np.ptp(values) > 35

    blue = flat((60, 90, 150))
    changed = [jitter(blue, RNG(seed)).convert("HSV").getpixel((0, 0)) for seed in range(300)]
    hue, saturation, _ = np.array(changed).T
    hue_before = blue.convert("HSV").getpixel((0, 0))[0]
    assert 8 < np.abs(hue - hue_before).max() <= 0.05 * 255 + 3
    assert np.ptp(saturation) > 40
