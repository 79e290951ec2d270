"""Trains the members of a search, in stacks that step together, and scores them."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mlrepro.errors import InputError
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.models.heads import create_head
from mlrepro.settings.run import Optimizer, Run
from mlrepro.threads import threads_of_search
from mlrepro.training.grid.data import GridData, Member
from mlrepro.training.grid.layers import product
from mlrepro.training.grid.outcome import SELECTIONS, Outcome, Score
from mlrepro.training.grid.stack import Stack, has_label_estimates
from mlrepro.training.predict import expected_labels

# Bytes of the weights that step together: beyond, weights, gradients and moments leave a
# processor's cache.
STACK_BYTES = 2**22

SCORED_TOGETHER = 16  # members a scoring product; bounds its memory

# The settings of a run that the search takes as they are.
FREE_SETTINGS = {"resolution", "labels", "empty_classes", "selection"}


@dataclass(frozen=True)
class ScoredSplit:
    """The features (N, D) and full labels (N, C) of val or test."""

    features: Tensor
    labels: np.ndarray


def search(members: list[Member], data: GridData) -> list[Outcome]:
    """Trains every (run, seed) of `members`, and scores its best and its last weights on test.

    In the order of `members`. Raises InputError for a run that is not a linear layer under Adam
    with a constant lr and the corrected protocol.
    """
    for run, _ in members:
        _check(run)
    outcomes = [Outcome(run, seed) for run, seed in members]
    stacks = _divide(outcomes, data)
    layers = {seed: _first_layer(seed, data) for _, seed in members}
    scored = {
        split: ScoredSplit(data.features[data.row_tensor(split)], data.labels_of(split))
        for split in ("val", "test")
    }

    # The stacks write into their outcomes, which no other stack has.
    def train(stack: list[Outcome]) -> None:
        train_stack(stack, layers[stack[0].seed], data, scored)

    # On a CPU a thread a stack, and not several an operation: its operations are too short to be
    # worth their waiting. A GPU takes one stack after the other.
    threads = torch.get_num_threads()
    workers = 1 if data.features.is_cuda else threads_of_search()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(train, stacks))  # a list, which raises what a stack has raised
    torch.set_num_threads(threads)
    return outcomes


def _check(run: Run) -> None:
    # A run is known if nothing but required and free settings differs from the defaults.
    required = {name for name, field in Run.model_fields.items() if field.is_required()}
    known = {name: getattr(run, name) for name in required | FREE_SETTINGS}
    known["optimizer"] = Optimizer(lr=run.optimizer.lr)
    if run.head != "linear" or run != Run(**known):
        raise InputError(
            f"{run.run_id}: the search trains linear layers on features, by adam with a constant "
            "lr, to the last epoch, under the corrected protocol and with no further setting; "
            "train this run with its train stage"
        )


def _divide(outcomes: list[Outcome], data: GridData) -> list[list[Outcome]]:
    """Members that step together: of one seed, batch size and number of epochs, and not too many.

    The stacks that take longest come first.
    """

    def estimates(outcome: Outcome) -> bool:
        return has_label_estimates(outcome.run, data.classes)

    groups: dict[tuple, list[Outcome]] = {}
    for outcome in outcomes:
        key = outcome.seed, outcome.run.batch_size, outcome.run.epochs
        groups.setdefault(key, []).append(outcome)

    layer_bytes = 4 * data.features.shape[1] * data.classes
    most = max(1, STACK_BYTES // layer_bytes)
    stacks = []
    for group in groups.values():
        group.sort(key=estimates)  # Stack wants them last
        # Parts of about equal length keep all threads busy: not full ones and a short last one.
        parts = math.ceil(len(group) / most)
        size = math.ceil(len(group) / parts)
        stacks += [group[start : start + size] for start in range(0, len(group), size)]

    # Small batches make more steps, and label estimates cost the most.
    stacks.sort(key=lambda stack: (stack[0].run.batch_size, not estimates(stack[-1])))
    return stacks


def _first_layer(seed: int, data: GridData) -> nn.Linear:
    """The layer that `train_run` starts from with this seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create_head("linear", data.features.shape[1], data.classes, None)


def train_stack(
    outcomes: list[Outcome],
    layer: nn.Linear,
    data: GridData,
    scored: dict[str, ScoredSplit],
) -> None:
    """Trains members that step together, and writes what they reach into `outcomes`."""
    start = time.perf_counter()
    stack = Stack(outcomes, layer, data)
    train_labels = data.labels_of("train")

    for epoch in range(outcomes[0].run.epochs):
        losses = stack.train_epoch(epoch)
        weights = [stack.layers.weights(member) for member in range(len(outcomes))]
        scores = score_members(outcomes, weights, scored["val"])
        diagnostics = stack.diagnostics(train_labels)
        for member, outcome in enumerate(outcomes):
            outcome.end_epoch(
                epoch, losses[member], scores[member], diagnostics[member], weights[member]
            )

    for outcome in outcomes:
        outcome.seconds = (time.perf_counter() - start) / len(outcomes)

    # A member that diverged at once has no weights to score.
    for selection in SELECTIONS:
        trained = [outcome for outcome in outcomes if outcome.weights(selection)]
        weights = [outcome.weights(selection) for outcome in trained]
        scores = score_members(trained, weights, scored["test"])
        for outcome, score in zip(trained, scores, strict=True):
            outcome.test_mAP[selection] = score.mAP if score else None


def score_members(
    outcomes: list[Outcome], weights: list[dict[str, Tensor]], split: ScoredSplit
) -> list[Score | None]:
    """The score of each member's weights on a split; none where one of its logits is no number."""
    scores = []
    for first in range(0, len(weights), SCORED_TOGETHER):
        together = slice(first, first + SCORED_TOGETHER)
        weight = torch.cat([of_member["weight"] for of_member in weights[together]])
        bias = torch.cat([of_member["bias"] for of_member in weights[together]])

        logits = product(split.features, weight.T, bias).cpu().numpy()
        by_member = np.split(logits, len(weights[together]), axis=1)
        for outcome, own_logits in zip(outcomes[together], by_member, strict=True):
            scores.append(_score(own_logits, split.labels, outcome.run.empty_classes))
    return scores


def _score(logits: np.ndarray, labels: np.ndarray, empty_classes: str) -> Score | None:
    if np.isnan(logits).any():
        return None
    mAP = mean_average_precision(average_precision(logits, labels), empty_classes)
    return Score(mAP, expected_labels(logits))
