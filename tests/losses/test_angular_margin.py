"""AAM against deep-object-reid's own values, and its otx version against the formula.

The formula's derivatives are complex steps, exact to rounding.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mlrepro.losses.angular_margin import aam, aam_elements

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "aam" / "aam_loss.npz"
STEP = 1e-30


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def compute(logits, targets, **options):
    """The loss and its gradient by the logits."""
    logits = torch.tensor(logits, requires_grad=True)
    loss = aam(logits, torch.as_tensor(targets), **options)
    loss.backward()
    return loss.item(), logits.grad.numpy()


def assert_close(actual, expected, tolerance=1e-10):
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def scale_for(classes: int) -> float:
    """The scale that deep-object-reid computes when asked to (the paper's runs do not).

    sqrt(5) ln(K - 1), in [7, 30].
    """
    return min(max(math.sqrt(5) * math.log(max(classes - 1, 1)), 7.0), 30.0)


def mix_targets(targets: Tensor, order: Tensor, share: float) -> Tensor:
    """Targets (B, C) of pictures mixed as share * picture + (1 - share) * picture[order].

    order (B,). They are in [0, 1]. An entry that either picture ignores is -1, ignored: a clamp
    alone would make it a negative.
    """
    other = targets[order]
    mixed = (share * targets + (1 - share) * other).clamp(0, 1)
    return torch.where((targets < 0) | (other < 0), -1.0, mixed)


def test_every_configuration_of_the_authors(golden):
    cos = golden["cos"]
    targets = golden["targets"]
    ignore = golden["targets_ignore"]
    assert (ignore < 0).any(axis=1).all()
    assert len(golden["cfg"]) > 80

    names = ("scale", "margin", "k", "gamma_neg", "gamma_pos", "clip")
    for row, values in enumerate(golden["cfg"]):
        options = dict(zip(names, values, strict=True))

        assert_close(compute(cos, targets, **options), (golden["loss"][row], golden["grad"][row]))
        assert_close(
            compute(cos, ignore, **options),
            (golden["loss_ignore"][row], golden["grad_ignore"][row]),
        )

        elements = aam_elements(torch.tensor(cos), torch.tensor(targets), **options)
        np.testing.assert_allclose(elements, golden["elem"][row], rtol=1e-10, atol=1e-10)

        in_float32, _ = compute(cos.astype(np.float32), targets.astype(np.int8), **options)
        np.testing.assert_allclose(in_float32, golden["loss_f32"][row], rtol=1e-5)


def test_smoothed_and_mixed_targets_and_scale_of_the_authors(golden):
    cos = golden["cos"]
    targets = golden["targets"]

    smoothed = compute(cos, targets, label_smoothing=0.1)
    assert_close(smoothed, (golden["smooth_loss"], golden["smooth_grad"]))

    order = torch.tensor(golden["mix_index"])
    mixed = mix_targets(torch.tensor(targets), order, float(golden["mix_lam"]))
    assert_close(compute(cos, mixed), (golden["mix_loss"], golden["mix_grad"]))

    with_scale, _ = compute(cos, targets, scale=11.0)
    assert with_scale == pytest.approx(golden["scale_override_11_loss"], rel=1e-10)

    scales = [scale_for(int(classes)) for classes in golden["compute_s_classes"]]
    assert scales == pytest.approx(golden["compute_s"].tolist(), rel=1e-12)


def test_ignored_entries_are_neither_smoothed_nor_mixed_in():
    targets = torch.tensor([[1, 0, -1], [0, -1, 1]])
    torch.testing.assert_close(
        mix_targets(targets, torch.tensor([1, 0]), 0.3),
        torch.tensor([[0.3, -1, -1], [0.7, -1, -1]]),
    )

    logits = [[0.3, -0.2, 0.9], [0.1, 0.5, -0.7]]
    loss, gradient = compute(logits, targets, label_smoothing=0.1)
    assert loss > 0
    assert ((gradient == 0) == (targets < 0).numpy()).all()

    all_ignored, _ = compute([[0.3, -0.2]], [[-1, -1]])
    assert all_ignored == 0


def otx_entry(x, y, k, gamma_pos, gamma_neg, clip):
    """One entry of the successor's loss from its description; complex x gives the derivative."""
    if y < 0:
        return 0

    positive = 1 / (1 + np.exp(-x))
    negative = 1 / (1 + np.exp(x)) + clip
    if negative.real > 1:
        negative = 1 + 0j

    log_positive, log_negative = (
        np.log(p if p.real > 1e-8 else 1e-8 + 0j) for p in (positive, negative)
    )
    if y:
        return -k * negative**gamma_pos * log_positive
    return -(1 - k) * positive**gamma_neg * log_negative


@pytest.mark.parametrize("clip", [0.0, 0.05])
@pytest.mark.parametrize(("gamma_neg", "gamma_pos"), [(0, 0), (1, 0), (2, 1), (0.5, 0.5)])
def test_otx_follows_its_description(golden, gamma_neg, gamma_pos, clip):
    # The last row is beyond the logarithms' bound.
    logits = np.concatenate([7 * golden["cos"], [[-40, -25, -18, 18, 25, 40]]])
    targets = np.concatenate([golden["targets_ignore"], [[1, 0, 1, 0, 1, 0]]])
    options = dict(k=0.8, gamma_pos=gamma_pos, gamma_neg=gamma_neg, clip=clip)

    entries = [
        otx_entry(x + 1j * STEP, y, **options)
        for x, y in zip(logits.flat, targets.flat, strict=True)
    ]
    expected = np.array(entries).reshape(logits.shape)
    value = expected.real.sum()
    gradient = expected.imag / STEP

    unscaled = compute(logits, targets, scale=1.0, version="otx", **options)
    assert_close(unscaled, (value, gradient))

    scaled = compute(logits / 7, targets, scale=7.0, version="otx", **options)
    assert_close(scaled, (value, 7 * gradient))

    elements = aam_elements(
        torch.tensor(logits), torch.tensor(targets), scale=1.0, version="otx", **options
    )
    np.testing.assert_allclose(elements, expected.real, rtol=1e-10, atol=1e-10)


def test_half_precision_is_right():
    cos = torch.tensor([[-0.9, 0.9]], dtype=torch.float16)
    for targets in ([[1, 0]], [[0, 1]]):
        value = aam(cos, torch.tensor(targets))
        in_float64 = aam(cos.double(), torch.tensor(targets))
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), in_float64, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("version", ["released", "otx"])
def test_fractional_gammas_have_a_gradient_where_probabilities_vanish(version):
    logits = np.array([[-40, 40]], np.float32)
    options = dict(gamma_neg=0.5, gamma_pos=0.5, clip=0.0, version=version)
    for targets in ([[0, 1]], [[1, 0]]):
        loss, gradient = compute(logits, targets, **options)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()
