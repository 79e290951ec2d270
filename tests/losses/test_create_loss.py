"""What `create_loss` makes of every loss of the catalogue, with settings, targets and precision."""

import pytest
import torch
from pydantic import TypeAdapter

from mlrepro.errors import InputError
from mlrepro.losses import create_loss
from mlrepro.losses.angular_margin import aam
from mlrepro.losses.assume_negative import wan
from mlrepro.losses.asymmetric import asl
from mlrepro.losses.catalogue import LOSSES
from mlrepro.losses.expected_positives import epr
from mlrepro.settings.losses import LossSettings

NAMES = list(LOSSES)

# What a run file must say of the losses that have settings without a default.
REQUIRED = {
    "epr": {"expected_positives": 1.5},
    "role": {"expected_positives": 1.5},
    "em": {"alpha": 0.2},
    "em_apl": {"alpha": 0.2, "beta": 0.5, "warm_up": 1},
    "ll_r": {"delta_rel": 5},
    "ll_ct": {"delta_rel": 5},
    "ll_cp": {"delta_rel": 5},
    "ridge": {"penalty": 1.0},
    "zero_shot": {"text": "hf-hub:owner/name"},
}

TARGETS = torch.eye(4, 6, dtype=torch.int8)
TARGETS[0, 5] = -1  # a known negative, which iu needs, and outside the batch
LOGITS = torch.linspace(-3, 3, 12).reshape(2, 6)
ROWS = torch.tensor([3, 1])


def create(name, targets=TARGETS, measured=None, protocol="corrected", **options):
    fields = {"name": name, **REQUIRED.get(name, {}), **options}
    settings = TypeAdapter(LossSettings).validate_python(fields)
    loss = create_loss(settings, targets, measured, torch.Generator().manual_seed(0), protocol)
    loss.start_epoch(0, 4)
    return loss


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_is_finite_and_computed_in_float32(name):
    loss = create(name)
    targets = TARGETS[ROWS]
    even_entries = torch.arange(12).reshape(2, 6) % 2 == 0

    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        logits = LOGITS.to(dtype)
        value = loss(logits, targets, ROWS)
        assert value.dtype == torch.float32
        assert value.shape == ()
        in_float32 = loss(logits.float(), targets, ROWS)
        torch.testing.assert_close(value, in_float32, rtol=0, atol=0)

        extreme = torch.where(even_entries, 1e4, -1e4).to(dtype).requires_grad_()
        value = loss(extreme, targets, ROWS)
        value.backward()
        assert value.isfinite()
        assert extreme.grad.isfinite().all()


@pytest.mark.parametrize("epoch", [0, 3])
@pytest.mark.parametrize("name", NAMES)
def test_rows_without_positives_and_batches_without_observations(name, epoch):
    """Valid for every loss, and never NaN.

    What is said of unobserved entries remains, which for iu, iun and pr is nothing.
    """
    targets = TARGETS.clone()
    targets[1] = 0
    loss = create(name, targets)
    if name == "em_apl":
        loss.end_epoch(lambda: torch.linspace(-8, 8, 24).reshape(4, 6))
    loss.start_epoch(epoch, 4)

    largest = 1 if name == "aam" else 30  # aam's are cosines
    one_without_positives = torch.tensor([2, 1])
    nothing_observed = torch.tensor([1])
    for rows in (one_without_positives, nothing_observed):
        logits = torch.linspace(-largest, largest, 6 * len(rows)).reshape(len(rows), 6)
        logits.requires_grad_()
        value = loss(logits, targets[rows], rows)
        value.backward()

        assert value.isfinite()
        assert logits.grad.isfinite().all()
        if name in ("iu", "iun", "pr"):  # they read the observed entries alone
            assert (logits.grad[rows == 1] == 0).all()
            assert (value == 0) == (len(rows) == 1)
        elif epoch or name != "splc":
            assert (logits.grad != 0).any()


def test_iu_without_known_negatives_is_refused():
    with pytest.raises(InputError, match="use iun or an"):
        create("iu", targets=TARGETS.clamp(min=0))


def test_settings_reach_the_function():
    targets = TARGETS[ROWS]

    def value(name, **options):
        return create(name, **options)(LOGITS, targets, ROWS)

    released = value("asl", gamma_neg=2, clip=0.0, stop_gradient=False, reduction="batch_mean")
    assert released == asl(LOGITS, targets, 2, 0, 0.0, False, "batch_mean")
    assert value("asl", label_smoothing=0.1) == asl(LOGITS, targets, label_smoothing=0.1)

    assert value("wan", negative_weight=0.3) == wan(LOGITS, targets, 0.3)
    assert value("bce_ls", smoothing=0.0) == value("bce")

    measured = value("epr", expected_positives="validation", measured=2.5)
    assert measured == epr(LOGITS, targets, 2.5)
    assert measured != value("epr", measured=2.5)


def test_every_setting_of_aam_reaches_the_function():
    targets = TARGETS[ROWS]
    cosines = LOGITS / 3
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
    choices = [{}, *({key: value} for key, value in options.items()), options]
    values = [float(create("aam", **chosen)(cosines, targets, ROWS)) for chosen in choices]

    assert len(set(values)) == len(choices) == 10
    assert values[-1] == aam(cosines, targets, **options)


def test_only_role_has_parameters_and_picks_its_rows():
    sizes = {name: sum(p.numel() for p in create(name).parameters()) for name in NAMES}
    assert sizes == {**dict.fromkeys(NAMES, 0), "role": TARGETS.numel()}

    loss = create("role")
    loss(LOGITS, TARGETS[ROWS], ROWS).backward()
    moved = loss.logits.grad.abs().sum(dim=1) > 0
    assert moved.tolist() == [False, True, False, True]


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_checked_once(name):
    first_of_row = torch.arange(24).reshape(4, 6) == 4
    with pytest.raises(ValueError, match=r"1 of 24 entries .* \[2\]"):
        create(name, targets=torch.where(first_of_row, 2, TARGETS))
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
    weight = [3 / 2, 1, 1 / 3, 3]
    assert loss.weight.tolist() == pytest.approx(weight)

    batch = targets[[0, 2]]
    logits = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(2, 4).requires_grad_()
    value = loss(logits, batch, torch.tensor([0, 2]))
    value.backward()

    p = torch.sigmoid(logits.detach())
    positive_terms = -torch.tensor(weight, dtype=torch.float64) * p.log()
    terms = torch.where(batch == 1, positive_terms, torch.where(batch == 0, -(1 - p).log(), 0))
    # The weights are float32.
    torch.testing.assert_close(value.detach(), terms.sum() / 8, rtol=1e-7, atol=0)
    assert logits.grad[0, 3] == 0
    assert logits.grad[batch != -1].all()
