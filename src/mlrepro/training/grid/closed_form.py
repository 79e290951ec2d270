"""Ridge regression on features: the layers of all penalties from one decomposition.

The weights w and bias b of a class minimise, over its known training rows,

    sum (x w + b - y)^2 + penalty * scale * |w|^2

where y is 1 for a positive and -1 for a negative, and scale is the mean squared norm of the centred
features. The bias is not penalised. All is computed in float64, and the weights are kept in
float32, as those of every run.
"""

import time

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from mlrepro.training.grid.data import GridData, Member
from mlrepro.training.grid.outcome import SELECTIONS, Outcome
from mlrepro.training.grid.search import ScoredSplit, score_members


def solve(members: list[Member], data: GridData) -> list[Outcome]:
    """The ridge regressions among a search's members, each scored on validation and test.

    In the order of `members`, of which each is a run with a closed form.
    """
    if not members:
        return []

    start = time.perf_counter()
    features = data.features[data.row_tensor("train")].double().cpu().numpy()
    targets = data.targets_by_labels["full"].numpy()
    penalties = [run.loss.penalty for run, _ in members]
    layers = ridge_layers(features, targets, penalties)
    seconds = (time.perf_counter() - start) / len(members)

    outcomes = [Outcome(run, seed, seconds=seconds) for run, seed in members]
    weights = [_as_layer(layer, data.device) for layer in layers]
    val = ScoredSplit(data.features[data.row_tensor("val")], data.labels_of("val"))
    test = ScoredSplit(data.features[data.row_tensor("test")], data.labels_of("test"))
    val_scores = score_members(outcomes, weights, val)
    test_scores = score_members(outcomes, weights, test)

    # A closed form has one step, which is its best and its last epoch.
    for k, outcome in enumerate(outcomes):
        loss = squared_error(features, targets, layers[k])
        outcome.end_epoch(0, loss, val_scores[k], {}, weights[k])

        mAP = test_scores[k].mAP if test_scores[k] else None
        outcome.test_mAP = dict.fromkeys(SELECTIONS, mAP)
    return outcomes


def ridge_layers(
    features: np.ndarray, targets: np.ndarray, penalties: list[float]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights (C, D) and biases (C,) for each penalty.

    features (N, D) float64; targets (N, C): 1 positive, 0 negative, -1 unknown, which weighs
    nothing. Classes that are known for the same rows share a decomposition: one, where no cell is
    unknown. A class that is known for no row gets weights 0 and the bias of a negative.
    """
    classes = targets.shape[1]
    layers = [(np.zeros((classes, features.shape[1])), np.full(classes, -1.0)) for _ in penalties]

    known = targets != -1
    masks, group_of = np.unique(known, axis=1, return_inverse=True)
    group_of = group_of.ravel()  # one version of NumPy gives it two dimensions
    for group, rows in enumerate(masks.T):
        if not rows.any():
            continue
        members = np.flatnonzero(group_of == group)
        wanted = np.where(targets[rows][:, members] == 1, 1.0, -1.0)
        solutions = _solve(features[rows], wanted, penalties)
        for (weight, bias), (group_weight, group_bias) in zip(layers, solutions, strict=True):
            weight[members] = group_weight
            bias[members] = group_bias
    return layers


def _solve(
    features: np.ndarray, wanted: np.ndarray, penalties: list[float]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """As ridge_layers, where every cell is known. wanted (N, C) float64."""
    center = features.mean(0)
    mean_wanted = wanted.mean(0)
    centred = features - center
    wanted = wanted - mean_wanted
    # The penalty's unit: features that are twice as long want four times the penalty.
    scale = (centred**2).sum() / len(centred) or 1.0

    # The smaller of the two Gram matrices, X'X (D, D) or XX' (N, N), has all that is needed.
    rows, channels = centred.shape
    if rows < channels:
        values, vectors = scipy.linalg.eigh(centred @ centred.T)
        projected = vectors.T @ wanted
        basis = centred.T @ vectors
    else:
        values, vectors = scipy.linalg.eigh(centred.T @ centred)
        projected = vectors.T @ (centred.T @ wanted)
        basis = vectors

    solutions = []
    for penalty in penalties:
        # Rounding may leave an eigenvalue of 0 slightly below it.
        shrunk = projected / (values.clip(min=0) + penalty * scale)[:, None]
        weight = (basis @ shrunk).T
        solutions.append((weight, mean_wanted - weight @ center))
    return solutions


def squared_error(
    features: np.ndarray, targets: np.ndarray, layer: tuple[np.ndarray, np.ndarray]
) -> float:
    """The loss of `losses.ridge` on all rows, without the penalty."""
    weight, bias = layer
    errors = features @ weight.T + bias - np.where(targets == 1, 1.0, -1.0)
    return float(np.mean(np.where(targets != -1, errors**2, 0.0)))


def _as_layer(layer: tuple[np.ndarray, np.ndarray], device: torch.device) -> dict[str, Tensor]:
    """Named and shaped as nn.Linear's."""
    weight, bias = layer
    return {
        "weight": torch.from_numpy(weight).float().contiguous().to(device),
        "bias": torch.from_numpy(bias).float().to(device),
    }
