from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from mlrepro.losses.binary import bce, bce_ls
from mlrepro.losses.single_positive import (
    RoleLoss,
    an,
    an_ls,
    count_penalty,
    epr,
    iu,
    pr,
    role,
    wan,
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "spml"
DTYPES = {"f64": (torch.float64, 1e-10), "f32": (torch.float32, 1e-5)}
LOSSES = {
    "bce": bce,
    "bce_ls": bce_ls,
    "an": an,
    "an_ls": an_ls,
    "wan": wan,
    "epr": epr,
    "role": role,
    "iu": iu,
    "pr": pr,
    "iun_intended": iu,
    "iun_released": iu,
}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "losses_cole.npz") as arrays:
        return dict(arrays)


def agree(actual, expected, tolerance):
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient_of_the_authors(golden, name, precision):
    dtype, tolerance = DTYPES[precision]
    logits = torch.tensor(golden["logits"], dtype=dtype, requires_grad=True)
    estimates = torch.tensor(golden["g_logits"], dtype=dtype, requires_grad=True)
    k = float(golden["expected_num_pos"])
    observed = torch.tensor(
        golden["true01" if name.startswith("bce") else "obs_iu" if name == "iu" else "obs"]
    )
    if name == "iun_intended":  # what train_targets makes of both label matrices
        observed = torch.where(torch.tensor(golden["true01"]) == 0, -1, observed)
    loss = {
        "epr": partial(epr, expected_positives=k),
        "role": lambda f, z: role(f, estimates, z, k),
    }.get(name, LOSSES[name])(logits, observed)
    loss.backward()
    case = f"{name}/{precision}"
    assert loss.dtype == dtype
    agree(loss, golden[f"{case}/loss"], tolerance)
    agree(logits.grad, golden[f"{case}/grad_logits"], tolerance)
    if name == "role":
        agree(estimates.grad, golden[f"{case}/grad_g_logits"], tolerance)
        p, q = torch.sigmoid(logits), torch.sigmoid(estimates)
        agree((count_penalty(p, k) + count_penalty(q, k)) / 2, golden[f"{case}/reg"], tolerance)
    if name == "epr":
        agree(count_penalty(torch.sigmoid(logits), k), golden[f"{case}/reg"], tolerance)


def test_label_estimator_starts_as_the_authors_does(golden):
    observed = torch.tensor(golden["label_estimator/obs"])
    assert set(observed.unique().tolist()) == {-1, 0, 1}
    start = RoleLoss(observed, 2.0, torch.Generator().manual_seed(0)).logits
    assert start.dtype == torch.float32
    agree(start, golden["label_estimator/logits_seed0"], 1e-6)


def test_label_estimator_restarts_as_the_authors_does(golden):
    loss = RoleLoss(
        torch.tensor(golden["label_estimator/obs"]), 2.0, torch.Generator().manual_seed(0)
    )
    estimates = torch.tensor(golden["label_estimator/estimated_labels"])
    loss.restart(estimates)
    agree(loss.logits, golden["label_estimator/logits_from_estimates"], 1e-6)
    loss.restart(torch.where(torch.arange(7) % 2 == 0, 0.0, torch.ones_like(estimates)))
    assert loss.logits.isfinite().all() and loss.logits.requires_grad


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
                agree(parameter, golden[f"step{step}/{name}"].numpy(), 1e-6)


def test_ignored_and_known_negative_entries():
    logits = torch.tensor([[0.3, -2.0, 1.5]], requires_grad=True)
    targets = torch.tensor([[1, 0, -1]], dtype=torch.int8)
    bce(logits, targets).backward()
    assert logits.grad[0, 2] == 0 and (logits.grad[0, :2] != 0).all()
    assert an(logits, targets) == an(logits, targets.clamp(min=0))
    assert wan(logits, targets) == wan(logits, targets.clamp(min=0))
    extra = epr(logits, targets, 1.0) - epr(logits, targets.clamp(min=0), 1.0)
    torch.testing.assert_close(extra, -torch.log(1 - torch.sigmoid(logits[0, 2]) + 1e-5) / 3)
