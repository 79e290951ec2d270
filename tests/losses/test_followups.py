"""The follow-ups' losses: the authors' float32 values and gradients, and float64 ones from the formulas, entry by entry.

The authors' vectors are float32 and there are none of GR, so that float64 is held against a second implementation in
numpy, whose gradients are complex steps (exact to rounding).
"""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from mlrepro.losses import create_loss
from mlrepro.losses.followups import em, em_apl, gr, hill, splc
from mlrepro.settings.losses import LossSettings

STEP = 1e-30
ROWS = torch.arange(6)
GR = dict(w=0.5, b=-2.0, mu=0.6, s=1.5, q2=0.01, q3=1.5)


@pytest.fixture(scope="module")
def golden():
    with np.load(
        Path(__file__).resolve().parents[1] / "golden" / "spml" / "losses_followups.npz"
    ) as arrays:
        return dict(arrays)


def value_and_gradient(loss, logits, dtype=torch.float32):
    logits = torch.tensor(np.asarray(logits), dtype=dtype, requires_grad=True)
    value = loss(logits)
    value.backward()
    assert value.dtype == dtype
    return value.item(), logits.grad.numpy()


def agree(golden, case, loss):
    value, gradient = value_and_gradient(loss, golden["logits"])
    np.testing.assert_allclose(value, golden[f"{case}/loss"], rtol=1e-5)
    np.testing.assert_allclose(gradient, golden[f"{case}/grad_logits"], rtol=1e-5, atol=1e-7)
    value, gradient = value_and_gradient(
        loss, golden["logits"], torch.float64
    )  # their float32 is what limits here
    np.testing.assert_allclose(value, golden[f"{case}/loss"], rtol=1e-6)
    np.testing.assert_allclose(gradient, golden[f"{case}/grad_logits"], rtol=1e-5, atol=1e-6)


def large_loss(golden, name, delta, epoch, version=2023, protocol="corrected"):
    settings = {"name": name, "delta_rel": delta, "version": version}
    loss = create_loss(
        TypeAdapter(LossSettings).validate_python(settings),
        torch.tensor(golden["obs"]),
        None,
        torch.Generator(),
        protocol,
    )
    loss.start_epoch(epoch, 10)
    return loss


@pytest.mark.parametrize("alpha", [0.2, 0.1, 0.01])
def test_em_of_the_authors(golden, alpha):
    agree(golden, f"EM_alpha{alpha}", lambda f: em(f, torch.tensor(golden["obs"]), alpha))


def test_em_apl_of_the_authors(golden):
    labels = torch.tensor(golden["EM_APL/label_matrix"])
    soft = torch.where(labels < 0, -labels, -1.0)
    agree(golden, "EM_APL_a0.2_b0.02", lambda f: em_apl(f, labels.clamp(min=0), soft, 0.2, 0.02))


def test_hill_and_splc_of_the_authors(golden):
    observed = torch.tensor(golden["obs"])
    agree(golden, "Hill_sum", lambda f: hill(f, observed))
    for epoch in (0, 1):
        agree(golden, f"SPLC_epoch{epoch}", lambda f, epoch=epoch: splc(f, observed, epoch == 1))


# clean_rate of the authors' vectors -> (delta_rel in percent, epoch) that lead to it
LL_EPOCHS = {
    "clean1_delta0.002": (0.2, 0),
    "clean0.996_delta0.002": (0.2, 2),
    "clean0.9_delta0.05": (5, 2),
}


@pytest.mark.parametrize("when", LL_EPOCHS)
@pytest.mark.parametrize(
    ("version", "name"),
    [(2022, "ll_r"), (2022, "ll_ct"), (2022, "ll_cp"), (2023, "ll_ct"), (2023, "ll_cp")],
)
def test_large_loss_of_the_authors(golden, version, name, when):
    case = f"LL{version}_LL-{name[3:].capitalize()}_{when}"
    observed = torch.tensor(golden["obs"])

    def loss(logits):  # a new one each time: ll_cp remembers
        return large_loss(golden, name, *LL_EPOCHS[when], version, "released")(
            logits, observed, ROWS
        )

    agree(golden, case, loss)
    if (version, name) == (2023, "ll_cp"):
        kept = large_loss(golden, name, *LL_EPOCHS[when], version)
        kept(torch.tensor(golden["logits"]), observed, ROWS)
        np.testing.assert_array_equal(kept.corrected.nonzero().T, golden[f"{case}/correction_idx"])


def test_ll_cp_of_2022_as_written_and_as_meant(golden):
    logits, observed = torch.tensor(golden["logits"]), torch.tensor(golden["obs"])
    assert "corrected" not in large_loss(golden, "ll_cp", 5, 2, 2022, "released").state_dict()
    kept = {}
    for version in (2022, 2023):
        loss = large_loss(golden, "ll_cp", 5, 2, version)
        loss(logits, observed, ROWS)
        kept[version] = loss.corrected
    negative_losses = torch.where(kept[2023], logits, torch.inf)
    assert kept[2023].sum() == math.ceil(54 * 0.05) == kept[2022].sum() + 1
    assert (
        kept[2023] & ~kept[2022]
    ).flatten().nonzero().item() == negative_losses.argmin()  # the threshold's own entry


def test_corrections_of_ll_cp_are_permanent_and_saved(golden):
    logits, observed = torch.tensor(golden["logits"]), torch.tensor(golden["obs"])
    loss = large_loss(golden, "ll_cp", 5, 2)
    loss(logits[[5, 0]], observed[[5, 0]], torch.tensor([5, 0]))
    assert (
        loss.corrected.sum() == 1 and loss.corrected[5, 3] + loss.corrected[0, 1] == 1
    )  # ceil(18 * 0.05): rows are theirs
    again = large_loss(golden, "ll_cp", 5, 0)
    again.load_state_dict(loss.state_dict())
    as_positive = observed.masked_fill(loss.corrected, 1)
    assert again(logits, observed, ROWS) == large_loss(golden, "ll_ct", 5, 0)(
        logits, as_positive, ROWS
    )


def test_rejected_share_grows_from_nothing(golden):
    """Zeroed entries of an ll_r batch: ceil(entries * epoch * delta), and ll_cp's stay at ceil(entries * delta)."""
    logits, observed = torch.tensor(golden["logits"]), torch.tensor(golden["obs"])
    for name, wanted in (
        ("ll_r", [0, 6, 11, 17]),
        ("ll_ct", [0, 6, 11, 17]),
        ("ll_cp", [0, 6, 6, 6]),
    ):
        counts = []
        for epoch in range(4):
            loss = large_loss(golden, name, 10, epoch)
            _, gradient = value_and_gradient(
                partial(loss, observed_rows=observed, rows=ROWS), logits
            )
            counts.append(int(((gradient <= 0) & (golden["obs"] == 0)).sum()))
        assert counts == wanted


def numpy_loss(name, f, z, soft, correct):
    """One entry of each loss, from the formulas; complex f gives the derivative."""
    p = 1 / (1 + np.exp(-f))

    def nl(x):
        return -np.log(x + 1e-5)

    if name in ("em", "em_apl"):
        if z:
            return nl(p) if z == 1 else nl(1 - p)
        if name == "em_apl" and soft >= 0:
            return 0.3 * (soft * nl(p) + (1 - soft) * nl(1 - p))
        return -0.2 * (p * nl(p) + (1 - p) * nl(1 - p))
    if name == "gr":
        if z:
            return -np.log((p if z == 1 else 1 - p) + 1e-7)
        k = 1 / (1 + np.exp(-(GR["w"] * p.real + GR["b"])))
        v = np.exp(-((p.real - GR["mu"]) ** 2) / (2 * GR["s"] ** 2))
        q2, q3 = GR["q2"], GR["q3"]
        return v * (k * (1 - (p + 1e-7) ** q2) / q2 + (1 - k) * (1 - (1 - p + 1e-7) ** q3) / q3)
    shifted = 1 / (1 + np.exp(-(f - 1)))
    if name == "hill":
        return -((1 - shifted) ** 2) * np.log(shifted) if z == 1 else (1.5 - p) * p**2
    if z == 1:
        return -((1 - shifted) ** 2) * np.log(shifted)
    positive = correct and z == 0 and p.real > 0.6
    return -((1 - p) ** 2) * np.log(p) if positive else -(p**2) * np.log(1 - p)


@pytest.mark.parametrize("name", ["em", "em_apl", "gr", "hill", "splc"])
def test_float64_agrees_with_the_formulas(golden, name):
    random = np.random.default_rng(0)
    logits = golden["logits"].astype(np.float64) * 2
    observed = np.where(random.random(logits.shape) < 0.2, -1, golden["obs"])  # known negatives too
    observed[2] = 0  # and a row without positives
    soft = np.where(random.random(logits.shape) < 0.5, random.random(logits.shape), -1)
    z, s = torch.tensor(observed), torch.tensor(soft)
    loss = {
        "em": lambda f: em(f, z, 0.2),
        "em_apl": lambda f: em_apl(f, z, s, 0.2, 0.3),
        "gr": lambda f: gr(f, z, **GR),
        "hill": lambda f: hill(f, z),
        "splc": lambda f: splc(f, z, True),
    }[name]
    value, gradient = value_and_gradient(loss, logits, torch.float64)
    entries = np.vectorize(partial(numpy_loss, name), otypes=[complex])(
        logits + STEP * 1j, observed, soft, True
    )
    divisor = 1 if name in ("hill", "splc") else logits.size
    np.testing.assert_allclose(value, entries.real.sum() / divisor, rtol=1e-10)
    np.testing.assert_allclose(gradient, entries.imag / STEP / divisor, rtol=1e-10, atol=1e-12)


def test_schedule_of_gr(golden):
    settings = {"name": "gr", "beta": [0, 10, -2, -8], "alpha": [0.5, 2, 0.8, 0.5], "q": [0.01, 1]}
    observed, logits = torch.tensor(golden["obs"]), torch.tensor(golden["logits"])
    loss = create_loss(
        TypeAdapter(LossSettings).validate_python(settings), observed, None, torch.Generator()
    )
    for epoch, values in (
        (0, (0, -2, 0.5, 2.0)),
        (1, (0, -2, 0.575, 1.625)),
        (3, (5, -5, 0.725, 0.875)),
    ):
        loss.start_epoch(epoch, 4)
        torch.testing.assert_close(
            loss(logits, observed, ROWS), gr(logits, observed, *values, 0.01, 1)
        )


def test_pseudo_labels_of_em_apl():
    """9 of 10 unobserved entries in 2 rounds: 0.9 * 10 / 2, rounded down, after the second and the third of 4 epochs."""
    observed = torch.zeros(12, 2, dtype=torch.int8)
    observed[0], observed[1, 0], observed[2, 1] = 1, 1, -1
    settings = TypeAdapter(LossSettings).validate_python(
        {"name": "em_apl", "alpha": 0.1, "beta": 0.5, "warm_up": 2}
    )
    loss = create_loss(settings, observed, None, torch.Generator())
    logits = torch.stack([torch.linspace(-3, 3, 12), torch.linspace(3, -3, 12)], 1)
    stored = []
    for epoch in range(4):
        loss.start_epoch(epoch, 4)
        loss.end_epoch(lambda: logits)
        stored.append((loss.soft >= 0).sum(0).tolist())
    assert stored == [[0, 0], [4, 4], [8, 8], [8, 8]]
    assert (loss.soft[2:10, 0] >= 0).all() and (
        loss.soft[4:12, 1] >= 0
    ).all()  # the least probable of those without label
    labelled = loss.soft >= 0
    torch.testing.assert_close(loss.soft[labelled], torch.sigmoid(logits)[labelled])
    again = create_loss(settings, observed, None, torch.Generator())
    again.load_state_dict(loss.state_dict())
    rows = torch.tensor([3, 0])
    assert again(logits[rows], observed[rows], rows) == em_apl(
        logits[rows], observed[rows], loss.soft[rows], 0.1, 0.5
    )
