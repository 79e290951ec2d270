"""The losses that followed Cole et al. 2021, against their authors' values and their formulas.

The authors' vectors are float32 and there are none of GR, so that float64 is held against a second
implementation in numpy, entry by entry, whose gradients are complex steps (exact to rounding).
"""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from mlrepro.losses import create_loss
from mlrepro.losses.entropy_maximisation import em, em_apl
from mlrepro.losses.generalised_robust import gr
from mlrepro.losses.splc_hill import hill, splc
from mlrepro.settings.losses import LossSettings

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "spml" / "losses_followups.npz"
STEP = 1e-30
ROWS = torch.arange(6)
GR = dict(w=0.5, b=-2.0, mu=0.6, s=1.5, q2=0.01, q3=1.5)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def create(observed, protocol="corrected", **fields):
    settings = TypeAdapter(LossSettings).validate_python(fields)
    return create_loss(settings, observed, None, torch.Generator(), protocol)


def value_and_gradient(loss, logits, dtype=torch.float32):
    logits = torch.tensor(np.asarray(logits), dtype=dtype, requires_grad=True)
    value = loss(logits)
    value.backward()
    assert value.dtype == dtype
    return value.item(), logits.grad.numpy()


def assert_like_authors(golden, case, loss):
    """loss(logits) has the value and the gradient of the authors' code in this case."""
    expected = golden[f"{case}/loss"]
    expected_gradient = golden[f"{case}/grad_logits"]

    value, gradient = value_and_gradient(loss, golden["logits"])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)

    # In float64 the authors' float32 is what limits.
    value, gradient = value_and_gradient(loss, golden["logits"], torch.float64)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 0.1, 0.01])
def test_em_of_the_authors(golden, alpha):
    observed = torch.tensor(golden["obs"])
    assert_like_authors(golden, f"EM_alpha{alpha}", lambda logits: em(logits, observed, alpha))


def test_em_apl_of_the_authors(golden):
    # Their one matrix holds pseudo-labels as negative numbers.
    labels = torch.tensor(golden["EM_APL/label_matrix"])
    soft = torch.where(labels < 0, -labels, -1.0)
    observed = labels.clamp(min=0)
    assert_like_authors(
        golden, "EM_APL_a0.2_b0.02", lambda logits: em_apl(logits, observed, soft, 0.2, 0.02)
    )


def test_hill_and_splc_of_the_authors(golden):
    observed = torch.tensor(golden["obs"])
    assert_like_authors(golden, "Hill_sum", partial(hill, observed=observed))
    assert_like_authors(golden, "SPLC_epoch0", partial(splc, observed=observed, correct=False))
    assert_like_authors(golden, "SPLC_epoch1", partial(splc, observed=observed, correct=True))


# ---- LargeLoss ---------------------------------------------------------------------------------

# The clean rate of the authors' vectors -> (delta_rel in percent, epoch) that lead to it.
LL_EPOCHS = {
    "clean1_delta0.002": (0.2, 0),
    "clean0.996_delta0.002": (0.2, 2),
    "clean0.9_delta0.05": (5, 2),
}


def large_loss(golden, name, delta, epoch, version=2023, protocol="corrected"):
    observed = torch.tensor(golden["obs"])
    loss = create(observed, protocol, name=name, delta_rel=delta, version=version)
    loss.start_epoch(epoch, 10)
    return loss


@pytest.mark.parametrize("when", LL_EPOCHS)
@pytest.mark.parametrize(
    ("version", "name"),
    [(2022, "ll_r"), (2022, "ll_ct"), (2022, "ll_cp"), (2023, "ll_ct"), (2023, "ll_cp")],
)
def test_large_loss_of_the_authors(golden, version, name, when):
    case = f"LL{version}_LL-{name[3:].capitalize()}_{when}"
    delta, epoch = LL_EPOCHS[when]
    observed = torch.tensor(golden["obs"])

    def loss(logits):  # a new one each time: ll_cp remembers
        return large_loss(golden, name, delta, epoch, version, "released")(logits, observed, ROWS)

    assert_like_authors(golden, case, loss)
    if (version, name) == (2023, "ll_cp"):
        kept = large_loss(golden, name, delta, epoch, version)
        kept(torch.tensor(golden["logits"]), observed, ROWS)
        np.testing.assert_array_equal(kept.corrected.nonzero().T, golden[f"{case}/correction_idx"])


def test_ll_cp_of_2022_as_written_and_as_meant(golden):
    logits = torch.tensor(golden["logits"])
    observed = torch.tensor(golden["obs"])
    assert "corrected" not in large_loss(golden, "ll_cp", 5, 2, 2022, "released").state_dict()

    kept = {}
    for version in (2022, 2023):
        loss = large_loss(golden, "ll_cp", 5, 2, version)
        loss(logits, observed, ROWS)
        kept[version] = loss.corrected
    assert kept[2023].sum() == math.ceil(54 * 0.05) == kept[2022].sum() + 1

    # 2022 leaves out the threshold's own entry, the smallest loss of those rejected.
    losses_of_negatives = torch.where(kept[2023], logits, torch.inf)
    left_out = (kept[2023] & ~kept[2022]).flatten().nonzero().item()
    assert left_out == losses_of_negatives.argmin()


def test_corrections_of_ll_cp_are_permanent_and_saved(golden):
    logits = torch.tensor(golden["logits"])
    observed = torch.tensor(golden["obs"])
    loss = large_loss(golden, "ll_cp", 5, 2)

    # ceil(18 * 0.05) entries are corrected, in the rows that the batch says.
    batch = torch.tensor([5, 0])
    loss(logits[batch], observed[batch], batch)
    assert loss.corrected.sum() == 1
    assert loss.corrected[5, 3] + loss.corrected[0, 1] == 1

    again = large_loss(golden, "ll_cp", 5, 0)
    again.load_state_dict(loss.state_dict())
    as_positive = observed.masked_fill(loss.corrected, 1)
    expected = large_loss(golden, "ll_ct", 5, 0)(logits, as_positive, ROWS)
    assert again(logits, observed, ROWS) == expected


@pytest.mark.parametrize(
    ("name", "rejected"),
    [("ll_r", [0, 6, 11, 17]), ("ll_ct", [0, 6, 11, 17]), ("ll_cp", [0, 6, 6, 6])],
)
def test_rejected_share_grows_from_nothing(golden, name, rejected):
    """Rejected entries of a batch: ceil(entries * epoch * delta).

    ll_cp's stay at ceil(entries * delta).
    """
    observed = torch.tensor(golden["obs"])
    counts = []
    for epoch in range(4):
        loss = partial(
            large_loss(golden, name, 10, epoch),
            observed_rows=observed,
            rows=ROWS,
        )
        _, gradient = value_and_gradient(loss, golden["logits"])
        counts.append(int(((gradient <= 0) & (golden["obs"] == 0)).sum()))
    assert counts == rejected


# ---- The formulas in float64 -------------------------------------------------------------------

# Of one entry each: f is its logit, z what is observed (1, 0 or -1), soft EM's pseudo-label or -1.


def clamped_log(x):
    return -np.log(x + 1e-5)


def em_of_entry(f, z, soft):
    p = 1 / (1 + np.exp(-f))
    if z == 1:
        return clamped_log(p)
    if z == -1:
        return clamped_log(1 - p)
    return -0.2 * (p * clamped_log(p) + (1 - p) * clamped_log(1 - p))


def em_apl_of_entry(f, z, soft):
    if z or soft < 0:
        return em_of_entry(f, z, soft)
    p = 1 / (1 + np.exp(-f))
    return 0.3 * (soft * clamped_log(p) + (1 - soft) * clamped_log(1 - p))


def gr_of_entry(f, z, soft):
    p = 1 / (1 + np.exp(-f))
    if z == 1:
        return -np.log(p + 1e-7)
    if z == -1:
        return -np.log(1 - p)

    # k and v are constants in the gradient: functions of the real part.
    score = GR["w"] * p.real + GR["b"]
    k = 1 / (1 + np.exp(-score))
    distance = p.real - GR["mu"]
    v = np.exp(-(distance**2) / (2 * GR["s"] ** 2))

    q2 = GR["q2"]
    q3 = GR["q3"]
    as_positive = (1 - p**q2) / q2
    as_negative = (1 - (1 - p) ** q3) / q3
    return v * (k * as_positive + (1 - k) * as_negative)


def focal_with_margin(f):
    shifted = 1 / (1 + np.exp(-(f - 1)))
    return -((1 - shifted) ** 2) * np.log(shifted)


def hill_of_entry(f, z, soft):
    if z == 1:
        return focal_with_margin(f)
    p = 1 / (1 + np.exp(-f))
    return (1.5 - p) * p**2


def splc_of_entry(f, z, soft):
    if z == 1:
        return focal_with_margin(f)
    p = 1 / (1 + np.exp(-f))
    if z == 0 and p.real > 0.6:
        return -((1 - p) ** 2) * np.log(p)
    return -(p**2) * np.log(1 - p)


ENTRIES = {
    "em": em_of_entry,
    "em_apl": em_apl_of_entry,
    "gr": gr_of_entry,
    "hill": hill_of_entry,
    "splc": splc_of_entry,
}


@pytest.mark.parametrize("name", ENTRIES)
def test_float64_agrees_with_the_formulas(golden, name):
    random = np.random.default_rng(0)
    logits = golden["logits"].astype(np.float64) * 2
    observed = np.where(random.random(logits.shape) < 0.2, -1, golden["obs"])  # known negatives too
    observed[2] = 0  # and a row without positives
    soft = np.where(random.random(logits.shape) < 0.5, random.random(logits.shape), -1)

    z = torch.tensor(observed)
    loss = {
        "em": partial(em, observed=z, alpha=0.2),
        "em_apl": partial(em_apl, observed=z, soft=torch.tensor(soft), alpha=0.2, beta=0.3),
        "gr": partial(gr, observed=z, **GR),
        "hill": partial(hill, observed=z),
        "splc": partial(splc, observed=z, correct=True),
    }[name]
    value, gradient = value_and_gradient(loss, logits, torch.float64)

    entry = np.vectorize(ENTRIES[name], otypes=[complex])
    entries = entry(logits + STEP * 1j, observed, soft)
    divisor = 1 if name in ("hill", "splc") else logits.size
    np.testing.assert_allclose(value, entries.real.sum() / divisor, rtol=1e-10)
    np.testing.assert_allclose(gradient, entries.imag / STEP / divisor, rtol=1e-10, atol=1e-12)


# ---- Where an epsilon and a threshold stand -----------------------------------------------------

# Of one logit: value and gradient, with w 0, b -2, mu 0.5, s 2, and q 0.01 and 1.
GR_AT_FIRST = dict(w=0.0, b=-2.0, mu=0.5, s=2.0, q2=0.01, q3=1.0)


def gr_of_one(logit, z, dtype=torch.float32):
    loss = partial(gr, observed=torch.tensor([[z]]), **GR_AT_FIRST)
    value, gradient = value_and_gradient(loss, [[logit]], dtype)
    return value, gradient.item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gr_has_no_epsilon_in_unobserved_entries(dtype):
    """The probability of logit -16 is 1.1e-7, that of -20 is 2.1e-9: 1e-7 beside them shows."""
    assert gr_of_one(-16.0, 0, dtype) == pytest.approx((1.70826, -0.09845), abs=1e-5)
    assert gr_of_one(-20.0, 0, dtype) == pytest.approx((2.09430, -0.09459), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gr_has_an_epsilon_in_observed_positives_alone(dtype):
    """-log(p + 1e-7), whose gradient is -p (1 - p) / (p + 1e-7); a known negative's is p."""
    p = 1 / (1 + math.exp(16))
    positive = (-math.log(p + 1e-7), -p * (1 - p) / (p + 1e-7))
    assert gr_of_one(-16.0, 1, dtype) == pytest.approx(positive, rel=1e-5)

    # Of a probability that is nothing beside the epsilon.
    only_epsilon = (-math.log(1e-7), 0.0)
    assert gr_of_one(-100.0, 1, dtype) == pytest.approx(only_epsilon, rel=1e-5)

    negative = (-math.log(p), 1 - p)
    assert gr_of_one(16.0, -1, dtype) == pytest.approx(negative, rel=1e-5)


@pytest.mark.parametrize("logit", [-1000.0, -104.0, -100.0, -90.0, 90.0, 100.0, 1000.0])
@pytest.mark.parametrize("z", [-1, 0, 1])
def test_gr_stays_finite_in_float32(logit, z):
    """p is 0, or its power has no finite derivative; float64 knows the true value and gradient."""
    value, gradient = gr_of_one(logit, z)
    assert math.isfinite(value) and math.isfinite(gradient)
    assert (value, gradient) == pytest.approx(
        gr_of_one(logit, z, torch.float64), rel=1e-5, abs=1e-6
    )


def test_splc_relabels_above_a_probability_of_six_tenths():
    """Just below it an entry is a negative, whose gradient is positive; just above a positive."""
    unobserved = torch.zeros(1, 2)
    logits = [[math.log(p / (1 - p)) for p in (0.599, 0.601)]]
    _, gradient = value_and_gradient(partial(splc, observed=unobserved, correct=True), logits)
    assert gradient[0, 0] > 0 > gradient[0, 1]


# ---- What changes from epoch to epoch ----------------------------------------------------------


# w, b, mu and s by epoch, ours counting from 0. The authors' count from 1, so that mu and s have
# moved in the first epoch.
GR_DEFAULTS_OF_8 = {
    0: (0, -2, 0.5375, 1.8125),
    1: (0.25, -2, 0.575, 1.625),
    7: (1.75, -2, 0.8, 0.5),
}
GR_OTHERS_OF_4 = {
    0: (0, -2, 0.575, 1.625),
    1: (2.5, -3.5, 0.65, 1.25),
    3: (7.5, -6.5, 0.8, 0.5),
}


@pytest.mark.parametrize(
    ("options", "epochs", "expected"),
    [({}, 8, GR_DEFAULTS_OF_8), ({"beta": [0, 10, -2, -8]}, 4, GR_OTHERS_OF_4)],
)
def test_schedule_of_gr(golden, options, epochs, expected):
    observed = torch.tensor(golden["obs"])
    logits = torch.tensor(golden["logits"])
    loss = create(observed, name="gr", **options)
    for epoch, values in expected.items():
        loss.start_epoch(epoch, epochs)
        assert loss.values == pytest.approx(values)
        torch.testing.assert_close(
            loss(logits, observed, ROWS), gr(logits, observed, *values, 0.01, 1)
        )


def test_splc_relabels_from_the_second_epoch_on(golden):
    observed = torch.tensor(golden["obs"])
    logits = torch.tensor(golden["logits"])
    loss = create(observed, name="splc")
    for epoch in range(3):
        loss.start_epoch(epoch, 3)
        expected = golden["SPLC_epoch1/loss"] if epoch else golden["SPLC_epoch0/loss"]
        assert loss(logits, observed, ROWS).item() == pytest.approx(expected, rel=1e-5)


def test_pseudo_labels_of_em_apl():
    """9 of 10 unobserved entries in 2 rounds, after the second and the third of 4 epochs.

    That is 0.9 * 10 / 2, rounded down, a round.
    """
    observed = torch.zeros(12, 2, dtype=torch.int8)
    observed[0] = 1
    observed[1, 0] = 1
    observed[2, 1] = -1
    fields = {"name": "em_apl", "alpha": 0.1, "beta": 0.5, "warm_up": 2}
    loss = create(observed, **fields)

    logits = torch.stack([torch.linspace(-3, 3, 12), torch.linspace(3, -3, 12)], 1)
    stored = []
    for epoch in range(4):
        loss.start_epoch(epoch, 4)
        loss.end_epoch(lambda: logits)
        stored.append((loss.soft >= 0).sum(0).tolist())
    assert stored == [[0, 0], [4, 4], [8, 8], [8, 8]]

    # They are the least probable of those without label, with their own probability.
    labelled = loss.soft >= 0
    assert labelled[2:10, 0].all()
    assert labelled[4:12, 1].all()
    torch.testing.assert_close(loss.soft[labelled], torch.sigmoid(logits)[labelled])

    again = create(observed, **fields)
    again.load_state_dict(loss.state_dict())
    rows = torch.tensor([3, 0])
    expected = em_apl(logits[rows], observed[rows], loss.soft[rows], 0.1, 0.5)
    assert again(logits[rows], observed[rows], rows) == expected


def test_pseudo_labels_of_a_round_are_rounded_down():
    """0.9 * 6 / 2 = 2.7 of six unobserved entries are 2 a round, and 4 in the end."""
    loss = create(torch.zeros(6, 1), name="em_apl", alpha=0.1, beta=0.5, warm_up=1)
    counts = []
    for epoch in range(3):
        loss.start_epoch(epoch, 3)
        loss.end_epoch(lambda: torch.arange(6.0)[:, None])
        counts.append(int((loss.soft >= 0).sum()))
    assert counts == [2, 4, 4]
