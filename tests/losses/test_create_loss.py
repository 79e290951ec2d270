import pytest
import torch
from pydantic import TypeAdapter

from mlrepro.errors import InputError
from mlrepro.losses import create_loss
from mlrepro.losses.angular_margin import aam
from mlrepro.losses.asymmetric import asl
from mlrepro.losses.single_positive import epr, wan
from mlrepro.settings.losses import LossSettings

OPTIONS = {
    "epr": {"expected_positives": 1.5},
    "role": {"expected_positives": 1.5},
    "em": {"alpha": 0.2},
    "em_apl": {"alpha": 0.2, "beta": 0.5, "warm_up": 1},
    **{name: {"delta_rel": 5} for name in ("ll_r", "ll_ct", "ll_cp")},
}
NAMES = [*OPTIONS, *"bce an bce_ls an_ls wan asl aam bce_weighted iu iun pr splc hill gr".split()]
TARGETS = torch.eye(4, 6, dtype=torch.int8)
TARGETS[0, 5] = -1  # a known negative, which iu needs, and outside the batch
LOGITS = torch.linspace(-3, 3, 12).reshape(2, 6)
ROWS = torch.tensor([3, 1])


def create(name, targets=TARGETS, measured=None, protocol="corrected", **options):
    settings = TypeAdapter(LossSettings).validate_python(
        {"name": name, **OPTIONS.get(name, {}), **options}
    )
    loss = create_loss(settings, targets, measured, torch.Generator().manual_seed(0), protocol)
    loss.start_epoch(0, 4)
    return loss


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_is_finite_and_computed_in_float32(name):
    loss = create(name)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        logits = LOGITS.to(dtype)
        value = loss(logits, TARGETS[ROWS], ROWS)
        assert value.dtype == torch.float32 and value.shape == ()
        torch.testing.assert_close(value, loss(logits.float(), TARGETS[ROWS], ROWS), rtol=0, atol=0)
        extreme = (
            torch.where(torch.arange(12).reshape(2, 6) % 2 == 0, 1e4, -1e4)
            .to(dtype)
            .requires_grad_()
        )
        value = loss(extreme, TARGETS[ROWS], ROWS)
        value.backward()
        assert value.isfinite() and extreme.grad.isfinite().all()


@pytest.mark.parametrize("epoch", [0, 3])
@pytest.mark.parametrize("name", NAMES)
def test_rows_without_positives_and_batches_without_observations(name, epoch):
    """Valid for every loss, and never NaN: what is said of unobserved entries remains, which for iu, iun and pr is nothing."""
    targets = TARGETS.clone()
    targets[1] = 0
    loss = create(name, targets)
    if name == "em_apl":
        loss.end_epoch(lambda: torch.linspace(-8, 8, 24).reshape(4, 6))
    loss.start_epoch(epoch, 4)
    for rows in (
        torch.tensor([2, 1]),
        torch.tensor([1]),
    ):  # one row without positives; nothing observed at all
        largest = 1 if name == "aam" else 30  # cosines
        logits = (
            torch.linspace(-largest, largest, 6 * len(rows)).reshape(len(rows), 6).requires_grad_()
        )
        value = loss(logits, targets[rows], rows)
        value.backward()
        assert value.isfinite() and logits.grad.isfinite().all()
        if name in ("iu", "iun", "pr"):  # they read the observed entries alone
            assert (logits.grad[rows == 1] == 0).all() and (value == 0) == (len(rows) == 1)
        elif epoch or name != "splc":
            assert (logits.grad != 0).any()


def test_iu_without_known_negatives_is_refused():
    with pytest.raises(InputError, match="use iun or an"):
        create("iu", targets=TARGETS.clamp(min=0))


def test_settings_reach_the_function():
    rows = TARGETS[ROWS]
    actual = create("asl", gamma_neg=2, clip=0.0, stop_gradient=False, reduction="batch_mean")(
        LOGITS, rows, ROWS
    )
    assert actual == asl(LOGITS, rows, 2, 0, 0.0, False, "batch_mean")
    options = dict(
        scale=7.0,
        k=0.8,
        margin=0.1,
        gamma_neg=2.0,
        gamma_pos=1.0,
        clip=0.1,
        version="otx",
        label_smoothing=0.1,
    )
    values = [
        create("aam", **{key: options[key] for key in names})(LOGITS / 3, rows, ROWS)
        for names in ([], *([name] for name in options), options)
    ]
    assert len(set(map(float, values))) == 10 and values[-1] == aam(LOGITS / 3, rows, **options)
    assert create("asl", label_smoothing=0.1)(LOGITS, rows, ROWS) == asl(
        LOGITS, rows, label_smoothing=0.1
    )
    assert create("wan", negative_weight=0.3)(LOGITS, rows, ROWS) == wan(LOGITS, rows, 0.3)
    assert create("bce_ls", smoothing=0.0)(LOGITS, rows, ROWS) == create("bce")(LOGITS, rows, ROWS)
    measured = create("epr", expected_positives="validation", measured=2.5)(LOGITS, rows, ROWS)
    assert measured == epr(LOGITS, rows, 2.5) != create("epr", measured=2.5)(LOGITS, rows, ROWS)


def test_only_role_has_parameters_and_picks_its_rows():
    assert {name: sum(p.numel() for p in create(name).parameters()) for name in NAMES} == {
        **dict.fromkeys(NAMES, 0),
        "role": TARGETS.numel(),
    }
    loss = create("role")
    loss(LOGITS, TARGETS[ROWS], ROWS).backward()
    assert (loss.logits.grad.abs().sum(dim=1) > 0).tolist() == [False, True, False, True]


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_checked_once(name):
    with pytest.raises(ValueError, match=r"1 of 24 entries .* \[2\]"):
        create(name, targets=torch.where(torch.arange(24).reshape(4, 6) == 4, 2, TARGETS))
    with pytest.raises(ValueError, match="nan"):
        create(name, targets=torch.full((2, 3), torch.nan))


@pytest.mark.parametrize("measured", [None, 0.0, 7.0, float("nan")])
def test_expected_positives_must_be_possible(measured):
    with pytest.raises(InputError, match="loss.expected_positives"):
        create("role", measured=measured, expected_positives="validation")


def test_weighted_bce_counts_the_training_rows():
    targets = torch.tensor(
        [[1, 0, 1, -1], [1, 0, 0, 0], [0, 0, 1, 1], [0, -1, 1, 0], [0, 0, -1, 0]]
    )
    loss = create("bce_weighted", targets)
    assert loss.weight.tolist() == pytest.approx([3 / 2, 1, 1 / 3, 3])
    logits = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(2, 4).requires_grad_()
    p, rows = torch.sigmoid(logits.detach()), targets[[0, 2]]
    weight = torch.tensor([3 / 2, 1, 1 / 3, 3], dtype=torch.float64)
    expected = (
        torch.where(rows == 1, -weight * p.log(), torch.where(rows == 0, -(1 - p).log(), 0)).sum()
        / 8
    )
    value = loss(logits, rows, torch.tensor([0, 2]))
    value.backward()
    torch.testing.assert_close(
        value.detach(), expected, rtol=1e-7, atol=0
    )  # the weights are float32
    assert logits.grad[0, 3] == 0 and logits.grad[rows != -1].all()
