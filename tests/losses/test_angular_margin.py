"""AAM against deep-object-reid's own values, and its otx version against the formula with complex-step derivatives."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mlrepro.losses.angular_margin import aam, aam_elements, mix_targets, scale_for

STEP = 1e-30


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).resolve().parents[1] / "golden" / "aam" / "aam_loss.npz") as arrays:
        return dict(arrays)


def compute(logits, targets, **options):
    logits = torch.tensor(logits, requires_grad=True)
    loss = aam(logits, torch.as_tensor(targets), **options)
    loss.backward()
    return loss.item(), logits.grad.numpy()


def agree(actual, expected, tolerance=1e-10):
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_every_configuration_of_the_authors(golden):
    cos, targets, ignore = golden["cos"], golden["targets"], golden["targets_ignore"]
    assert (ignore < 0).any(axis=1).all() and len(golden["cfg"]) > 80
    for row, cfg in enumerate(golden["cfg"]):
        options = dict(
            zip(("scale", "margin", "k", "gamma_neg", "gamma_pos", "clip"), cfg, strict=True)
        )
        agree(compute(cos, targets, **options), (golden["loss"][row], golden["grad"][row]))
        agree(
            compute(cos, ignore, **options),
            (golden["loss_ignore"][row], golden["grad_ignore"][row]),
        )
        elements = aam_elements(torch.tensor(cos), torch.tensor(targets), **options)
        np.testing.assert_allclose(elements, golden["elem"][row], rtol=1e-10, atol=1e-10)
        in_float32 = compute(cos.astype(np.float32), targets.astype(np.int8), **options)[0]
        np.testing.assert_allclose(in_float32, golden["loss_f32"][row], rtol=1e-5)


def test_smoothed_and_mixed_targets_and_scale_of_the_authors(golden):
    cos, targets = golden["cos"], golden["targets"]
    agree(
        compute(cos, targets, label_smoothing=0.1), (golden["smooth_loss"], golden["smooth_grad"])
    )
    mixed = mix_targets(
        torch.tensor(targets), torch.tensor(golden["mix_index"]), float(golden["mix_lam"])
    )
    agree(compute(cos, mixed), (golden["mix_loss"], golden["mix_grad"]))
    assert compute(cos, targets, scale=11.0)[0] == pytest.approx(
        golden["scale_override_11_loss"], rel=1e-10
    )
    assert [scale_for(int(k)) for k in golden["compute_s_classes"]] == pytest.approx(
        golden["compute_s"].tolist(), rel=1e-12
    )


def test_ignored_entries_are_neither_smoothed_nor_mixed_in():
    targets = torch.tensor([[1, 0, -1], [0, -1, 1]])
    torch.testing.assert_close(
        mix_targets(targets, torch.tensor([1, 0]), 0.3),
        torch.tensor([[0.3, -1, -1], [0.7, -1, -1]]),
    )
    loss, gradient = compute([[0.3, -0.2, 0.9], [0.1, 0.5, -0.7]], targets, label_smoothing=0.1)
    assert loss > 0 and ((gradient == 0) == (targets < 0).numpy()).all()
    assert compute([[0.3, -0.2]], [[-1, -1]])[0] == 0


def otx(x, y, k, gamma_pos, gamma_neg, clip):
    """One entry of the successor's loss from its description; complex x gives the derivative."""
    positive, negative = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x)) + clip
    negative = 1 + 0j if negative.real > 1 else negative
    floored = [np.log(p if p.real > 1e-8 else 1e-8 + 0j) for p in (positive, negative)]
    return (
        -k * negative**gamma_pos * floored[0] if y else -(1 - k) * positive**gamma_neg * floored[1]
    )


@pytest.mark.parametrize("clip", [0.0, 0.05])
@pytest.mark.parametrize(("gamma_neg", "gamma_pos"), [(0, 0), (1, 0), (2, 1), (0.5, 0.5)])
def test_otx_follows_its_description(golden, gamma_neg, gamma_pos, clip):
    logits = np.concatenate(
        [7 * golden["cos"], [[-40, -25, -18, 18, 25, 40]]]
    )  # beyond the logarithms' bound, too
    targets = np.concatenate([golden["targets_ignore"], [[1, 0, 1, 0, 1, 0]]])
    options = dict(k=0.8, gamma_pos=gamma_pos, gamma_neg=gamma_neg, clip=clip)
    expected = np.array(
        [
            0 if y < 0 else otx(x + 1j * STEP, y, **options)
            for x, y in zip(logits.flat, targets.flat, strict=True)
        ]
    ).reshape(logits.shape)
    agree(
        compute(logits, targets, scale=1.0, version="otx", **options),
        (expected.real.sum(), expected.imag / STEP),
    )
    scaled = compute(logits / 7, targets, scale=7.0, version="otx", **options)
    agree(scaled, (expected.real.sum(), 7 * expected.imag / STEP))
    elements = aam_elements(
        torch.tensor(logits), torch.tensor(targets), scale=1.0, version="otx", **options
    )
    np.testing.assert_allclose(elements, expected.real, rtol=1e-10, atol=1e-10)


def test_half_precision_is_right():
    cos = torch.tensor([[-0.9, 0.9]], dtype=torch.float16)
    for targets in ([[1, 0]], [[0, 1]]):
        value = aam(cos, torch.tensor(targets))
        assert value.dtype == torch.float32
        torch.testing.assert_close(
            value.double(), aam(cos.double(), torch.tensor(targets)), rtol=1e-5, atol=1e-12
        )


@pytest.mark.parametrize("version", ["released", "otx"])
def test_fractional_gammas_have_a_gradient_where_probabilities_vanish(version):
    for targets in ([[0, 1]], [[1, 0]]):
        loss, gradient = compute(
            np.array([[-40, 40]], np.float32),
            targets,
            gamma_neg=0.5,
            gamma_pos=0.5,
            clip=0.0,
            version=version,
        )
        assert np.isfinite(loss) and np.isfinite(gradient).all()
