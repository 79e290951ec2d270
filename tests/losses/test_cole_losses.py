"""The losses of Cole et al. 2021 against the authors' values, gradients and label estimates."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mlrepro.losses.assume_negative import an, an_ls, wan
from mlrepro.losses.binary import bce, bce_ls
from mlrepro.losses.expected_positives import count_penalty, epr
from mlrepro.losses.observed_only import iu
from mlrepro.losses.pairwise_ranking import pr
from mlrepro.losses.role import RoleLoss, role

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "spml"
DTYPES = {"f64": (torch.float64, 1e-10), "f32": (torch.float32, 1e-5)}

# By the case's name in the authors' vectors: the loss and the labels that it reads.
LOSSES = {
    "bce": (bce, "true01"),
    "bce_ls": (bce_ls, "true01"),
    "an": (an, "obs"),
    "an_ls": (an_ls, "obs"),
    "wan": (wan, "obs"),
    "epr": (epr, "obs"),
    "role": (role, "obs"),
    "iu": (iu, "obs_iu"),
    "pr": (pr, "obs"),
    "iun_intended": (iu, "obs"),
    "iun_released": (iu, "obs"),
}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "losses_cole.npz") as arrays:
        return dict(arrays)


def assert_close(actual, expected, tolerance):
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


def first_estimates(observed) -> RoleLoss:
    return RoleLoss(observed, 2.0, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient_of_the_authors(golden, name, precision):
    dtype, tolerance = DTYPES[precision]
    logits = torch.tensor(golden["logits"], dtype=dtype, requires_grad=True)
    estimates = torch.tensor(golden["g_logits"], dtype=dtype, requires_grad=True)
    k = float(golden["expected_num_pos"])

    function, labels = LOSSES[name]
    observed = torch.tensor(golden[labels])
    if name == "iun_intended":  # what train_targets makes of both label matrices
        observed = torch.where(torch.tensor(golden["true01"]) == 0, -1, observed)

    if name == "role":
        loss = role(logits, estimates, observed, k)
    elif name == "epr":
        loss = epr(logits, observed, expected_positives=k)
    else:
        loss = function(logits, observed)
    loss.backward()

    case = f"{name}/{precision}"
    assert loss.dtype == dtype
    assert_close(loss, golden[f"{case}/loss"], tolerance)
    assert_close(logits.grad, golden[f"{case}/grad_logits"], tolerance)

    if name == "role":
        assert_close(estimates.grad, golden[f"{case}/grad_g_logits"], tolerance)
        penalties = [count_penalty(torch.sigmoid(z), k) for z in (logits, estimates)]
        assert_close(sum(penalties) / 2, golden[f"{case}/reg"], tolerance)
    if name == "epr":
        assert_close(count_penalty(torch.sigmoid(logits), k), golden[f"{case}/reg"], tolerance)


def test_label_estimator_starts_as_the_authors_does(golden):
    observed = torch.tensor(golden["label_estimator/obs"])
    assert set(observed.unique().tolist()) == {-1, 0, 1}
    start = first_estimates(observed).logits
    assert start.dtype == torch.float32
    assert_close(start, golden["label_estimator/logits_seed0"], 1e-6)


def test_label_estimator_restarts_as_the_authors_does(golden):
    loss = first_estimates(torch.tensor(golden["label_estimator/obs"]))
    estimates = torch.tensor(golden["label_estimator/estimated_labels"])
    loss.restart(estimates)
    assert_close(loss.logits, golden["label_estimator/logits_from_estimates"], 1e-6)

    certain = torch.where(torch.arange(7) % 2 == 0, 0.0, torch.ones_like(estimates))
    loss.restart(certain)
    assert loss.logits.isfinite().all()
    assert loss.logits.requires_grad


def test_adam_steps_of_role_move_rows_outside_the_batch():
    with np.load(GOLDEN / "role_adam_steps.npz") as arrays:
        golden = {name: torch.tensor(array) for name, array in arrays.items()}

    observed = golden["obs"]
    loss = RoleLoss(observed, 1.5, torch.Generator().manual_seed(0))
    classifier = torch.nn.Linear(5, 4)
    parameters = {
        "g.logits": loss.logits,
        "f.linear_classifier.fc.weight": classifier.weight,
        "f.linear_classifier.fc.bias": classifier.bias,
    }
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(golden[f"init/{name}"])

    optimizer = torch.optim.Adam(
        [{"params": classifier.parameters(), "lr": 1e-3}, {"params": loss.parameters(), "lr": 1e-2}]
    )
    for step, rows in enumerate(golden["batches"], start=1):
        value = loss(classifier(golden["feats"][rows]), observed[rows], rows)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

        assert value.item() == pytest.approx(golden["losses"][step - 1].item(), abs=1e-5)
        for name, parameter in parameters.items():
            if f"step{step}/{name}" in golden:
                assert_close(parameter, golden[f"step{step}/{name}"].numpy(), 1e-6)


def test_ignored_and_known_negative_entries():
    logits = torch.tensor([[0.3, -2.0, 1.5]], requires_grad=True)
    targets = torch.tensor([[1, 0, -1]], dtype=torch.int8)
    without_negative = targets.clamp(min=0)

    bce(logits, targets).backward()
    assert logits.grad[0, 2] == 0
    assert (logits.grad[0, :2] != 0).all()

    assert an(logits, targets) == an(logits, without_negative)
    assert wan(logits, targets) == wan(logits, without_negative)

    one_expected = partial(epr, expected_positives=1.0)
    added = one_expected(logits, targets) - one_expected(logits, without_negative)
    torch.testing.assert_close(added, -torch.log(1 - torch.sigmoid(logits[0, 2]) + 1e-5) / 3)
