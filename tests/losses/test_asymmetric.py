"""ASL against the authors' values, and against the formula with complex-step derivatives."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mlrepro.losses.asymmetric import asl

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
STEP = 1e-30


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "asl" / "asl_loss.npz") as arrays:
        return dict(arrays)


def compute(logits, targets, **options):
    """The loss and its gradient by the logits."""
    logits = torch.tensor(logits, requires_grad=True)
    loss = asl(logits, torch.tensor(targets), **options)
    loss.backward()
    return loss.item(), logits.grad.numpy()


@pytest.mark.parametrize("row", range(6))
def test_loss_and_gradient_of_the_authors(golden, row):
    gamma_neg, gamma_pos, clip, stop = golden["cfg"][row]
    options = dict(gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip)
    logits = golden["logits"]
    targets = golden["targets"]
    ignore = golden["targets_ignore"]

    def assert_close(targets, stop, loss, grad):
        value, gradient = compute(logits, targets, stop_gradient=stop, **options)
        np.testing.assert_allclose(value, golden[loss][row], rtol=1e-10)
        np.testing.assert_allclose(gradient, golden[grad][row], rtol=1e-10, atol=1e-10)

    assert_close(targets, bool(stop), "plain_loss", "plain_grad")
    assert_close(targets, bool(stop), "opt_loss", "opt_grad")
    # deep-object-reid differentiates the weight, and can ignore entries.
    assert_close(targets, False, "dor_loss", "dor_grad")
    assert_close(ignore, False, "dor_ignore_loss", "dor_ignore_grad")

    in_float32, _ = compute(logits.astype(np.float32), targets, **options)
    np.testing.assert_allclose(in_float32, golden["plain_loss_f32"][row], rtol=1e-5)


@pytest.mark.parametrize("stop", [0, 1])
@pytest.mark.parametrize("label", [0, 1])
def test_extreme_logits_of_the_authors(golden, label, stop):
    case = f"y{label}_dis{stop}"
    logits = golden["extreme_logits"]
    options = dict(gamma_neg=4, gamma_pos=1, clip=0.05, stop_gradient=bool(stop))

    _, gradient = compute(logits, np.full_like(logits, label), **options)
    np.testing.assert_allclose(gradient, golden[f"extreme_grad_{case}"], rtol=1e-10, atol=1e-10)

    # The loss of a batch is a sum: each logit's own is that of a batch of it alone.
    single_label = np.full((1, 1), label)
    losses = []
    for i in range(logits.size):
        loss, _ = compute(logits[:, [i]], single_label, **options)
        losses.append(loss)
    np.testing.assert_allclose(losses, golden[f"extreme_elem_{case}"], rtol=1e-10, atol=1e-10)


def test_fractional_gammas_have_a_gradient_at_extreme_logits():
    logits = np.array([[-1e4, 1e4]], dtype=np.float32)
    options = dict(gamma_neg=0.5, gamma_pos=0.5, clip=0.0, stop_gradient=False)
    for targets in ([[0, 1]], [[1, 0]]):
        loss, gradient = compute(logits, targets, **options)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()


def test_batch_mean_divides_by_the_pictures(golden):
    total, gradient = compute(golden["logits"], golden["targets"])
    mean, mean_gradient = compute(golden["logits"], golden["targets"], reduction="batch_mean")
    assert mean == pytest.approx(total / 16)
    np.testing.assert_allclose(mean_gradient, gradient / 16)


def test_query2label_reduction_of_the_authors():
    with np.load(GOLDEN / "q2l" / "loss_sched_ema_cutout.npz") as arrays:
        golden = {
            name.removeprefix("asl/"): array
            for name, array in arrays.items()
            if name.startswith("asl/")
        }
    cases = [name.removesuffix("/loss") for name in golden if name.endswith("/loss")]
    assert len(cases) >= 20

    for case in cases:
        gamma_pos, gamma_neg, clip, stop = map(float, re.findall(r"[a-z]([\d.]+)_", case))
        value, gradient = compute(
            golden["logits"],
            golden["targets_f64"],
            gamma_neg=gamma_neg,
            gamma_pos=gamma_pos,
            clip=clip,
            stop_gradient=bool(stop),
            reduction="query2label",
        )
        np.testing.assert_allclose(value, golden[f"{case}/loss"], rtol=1e-6)
        np.testing.assert_allclose(gradient, golden[f"{case}/grad"], rtol=1e-5, atol=1e-4)


def log_from(epsilon, q):
    return np.log(q if q.real > epsilon else epsilon + 0j)


def loss_of_entry(x, y, gamma_neg, gamma_pos, clip, epsilon):
    """One entry of the loss for a soft target, from the formula.

    Complex x gives the derivative, of the weight too.
    """
    if y < 0:
        return 0

    p = 1 / (1 + np.exp(-x))
    n = 1 - p + clip  # of a negative, its probability moved by the clip
    if n.real >= 1:
        n = 1 + 0j

    of_target = p * y + n * (1 - y)
    gamma = gamma_pos * y + gamma_neg * (1 - y)
    weight = (1 - of_target) ** gamma
    return -weight * (y * log_from(epsilon, p) + (1 - y) * log_from(epsilon, n))


@pytest.mark.parametrize(
    ("reduction", "epsilon", "factor"), [("sum", 1e-8, 1), ("query2label", 1e-5, 1000 / 160)]
)
@pytest.mark.parametrize(
    ("gamma_neg", "gamma_pos", "clip"), [(4, 0, 0.05), (2, 1, 0.0), (0, 0, 0.0)]
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
# All but the fixture are the parameters above.
def test_formula_in_float64_with_smoothed_targets(  # noqa: PLR0913
    golden, reduction, epsilon, factor, gamma_neg, gamma_pos, clip, smoothing
):
    logits = 4 * golden["logits"]
    targets = golden["targets_ignore"]

    soft = np.where(targets == 0, smoothing, targets * (1 - smoothing))
    entries = [
        loss_of_entry(x + 1j * STEP, y, gamma_neg, gamma_pos, clip, epsilon)
        for x, y in zip(logits.flat, soft.flat, strict=True)
    ]
    expected = factor * np.array(entries).reshape(logits.shape)

    value, gradient = compute(
        logits,
        targets,
        gamma_neg=gamma_neg,
        gamma_pos=gamma_pos,
        clip=clip,
        stop_gradient=False,
        reduction=reduction,
        label_smoothing=smoothing,
    )
    np.testing.assert_allclose(value, expected.real.sum(), rtol=1e-10)
    np.testing.assert_allclose(gradient, expected.imag / STEP, rtol=1e-9, atol=1e-9)
