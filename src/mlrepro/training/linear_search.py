"""Linear layers on features held in memory, a whole grid trained together; each gets the numbers that `fit` alone gives it.

Members of one seed and batch size see the same batches, so that a step is one gather of feature rows and one matrix
product forward and back for all of them. All is float32, on the features' device.
"""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from mlrepro.config import LossSettings, Optimizer, Run
from mlrepro.data.images import shuffled_batches
from mlrepro.errors import InputError
from mlrepro.losses import create_loss
from mlrepro.losses.binary import EPSILON
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.models.heads import create_head
from mlrepro.training.optimizers import LOSS_LR_FACTOR
from mlrepro.training.run import expected_positives

BETA1, BETA2, ADAM_EPSILON = 0.9, 0.999, 1e-8
LAG = 160  # 0.9^160 is below float32's rounding: what a row without gradient still moves after so many steps is nothing
STACK_BYTES = 2**22  # of the weights that step together; beyond, weights, gradients and moments leave a processor's cache
SCORED_TOGETHER = 16  # members a scoring product; bounds its memory


@dataclass
class Outcome:
    """What one member reached. best: epoch, val_mAP, weights of its first strict maximum on validation.

    diverged: the epoch whose loss or scores were not finite; `last` and history then end with the epoch before.
    test_mAP: by selection. seconds: of the training of all members that stepped together, divided by their number.
    """

    run: Run
    seed: int
    history: list[dict] = field(default_factory=list)
    best: dict | None = None
    last: dict[str, Tensor] | None = None
    diverged: int | None = None
    test_mAP: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def weights(self, selection: str) -> dict[str, Tensor] | None:
        return self.last if selection == "last" else self.best and self.best["weights"]


def search(members: list[tuple[Run, int]], features: Tensor, targets_by_labels: dict[str, Tensor], labels: np.ndarray,
           rows: dict[str, np.ndarray]) -> list[Outcome]:
    """Trains every (run, seed) of `members` and scores it on test with its best and its last weights; in their order.

    features: (rows of the manifest, D) float32. targets_by_labels: (train rows, C) int8, `full` and, where a run reads
    observed labels, `single`. labels: (rows of the manifest, C) full labels. rows: manifest rows of train, val, test.
    Raises InputError for a run that is not a linear layer under Adam with a constant lr and the corrected protocol.
    """
    outcomes = [Outcome(run, seed) for run, seed in members]
    stacks: dict[tuple, list[Outcome]] = {}
    for outcome in outcomes:
        _check(outcome.run)
        stacks.setdefault((outcome.seed, outcome.run.batch_size, outcome.run.epochs), []).append(outcome)
    val, test = (features[torch.from_numpy(rows[split]).to(features.device)] for split in ("val", "test"))
    most = max(1, STACK_BYTES // (4 * features.shape[1] * labels.shape[1]))
    parts = []
    for group in stacks.values():
        group.sort(key=lambda outcome: outcome.run.loss.name == "role")  # Stack wants them last
        size = math.ceil(len(group) / math.ceil(len(group) / most))  # parts of about equal length keep all threads busy
        parts += [group[start:start + size] for start in range(0, len(group), size)]
    parts.sort(key=lambda part: (part[0].run.batch_size, part[-1].run.loss.name != "role"))  # the longest first
    start = {seed: _first_layer(seed, features.shape[1], labels.shape[1]) for _, seed in members}
    # On a CPU a thread a stack, and not several an operation: its operations are too short to be worth their waiting.
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1 if features.is_cuda else threads, initializer=lambda: torch.set_num_threads(1)) as pool:
        for _ in pool.map(lambda part: _train(part, start[part[0].seed], features, targets_by_labels, labels, rows, val), parts):
            pass
    torch.set_num_threads(threads)
    for selection in ("best", "last"):
        found = [outcome for outcome in outcomes if outcome.weights(selection)]
        values = _score(found, [outcome.weights(selection) for outcome in found], test, labels[rows["test"]])
        for outcome, value in zip(found, values, strict=True):
            outcome.test_mAP[selection] = value
    return outcomes


def _check(run: Run) -> None:
    if run.inputs != "features" or run.protocol != "corrected" or run.stop_below is not None:
        raise InputError(f"{run.run_id}: the search trains linear layers on features, to the last epoch, under the corrected "
                         "protocol; train this run with its train stage")
    if run.optimizer != Optimizer(lr=run.optimizer.lr):
        raise InputError(f"{run.run_id}: the search knows only adam with a constant lr; train this run with its train stage")


def _first_layer(seed: int, channels: int, classes: int) -> torch.nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create_head("linear", channels, classes, None)


def _train(outcomes: list[Outcome], layer: torch.nn.Linear, features: Tensor, targets_by_labels: dict[str, Tensor],
           labels: np.ndarray, rows: dict[str, np.ndarray], val: Tensor) -> None:
    start = time.perf_counter()
    stack = Stack(outcomes, layer, features, targets_by_labels, labels, rows)
    for epoch in range(outcomes[0].run.epochs):
        losses = stack.train_epoch(epoch)
        weights = [stack.weights(i) for i in range(len(outcomes))]
        val_mAP = _score(outcomes, weights, val, labels[rows["val"]])
        for outcome, loss, score, reached in zip(outcomes, losses, val_mAP, weights, strict=True):
            if outcome.diverged is None and (score is None or not np.isfinite(loss)):
                outcome.diverged = epoch
            if outcome.diverged is None:
                outcome.history.append({"epoch": epoch, "lr": outcome.run.optimizer.lr, "train_loss": loss, "val_mAP": score})
                outcome.last = reached
                if outcome.best is None or score > outcome.best["val_mAP"]:
                    outcome.best = {"epoch": epoch, "val_mAP": score, "weights": reached}
    for outcome in outcomes:
        outcome.seconds = (time.perf_counter() - start) / len(outcomes)


def _score(outcomes: list[Outcome], weights: list[dict[str, Tensor]], features: Tensor, labels: np.ndarray) -> list[float | None]:
    """mAP in percent of each member's weights on `features` (N, D); none where a score is not a number."""
    def mean(outcome: Outcome, scores: np.ndarray) -> float | None:
        if np.isnan(scores).any():
            return None
        return mean_average_precision(average_precision(scores, labels), outcome.run.empty_classes)

    values = []
    for first in range(0, len(weights), SCORED_TOGETHER):
        part = weights[first:first + SCORED_TOGETHER]
        weight, bias = (torch.cat([w[name] for w in part]) for name in ("weight", "bias"))
        scores = linear(features, weight, bias).cpu().numpy()
        values += map(mean, outcomes[first:], np.split(scores, len(part), axis=1))
    return values


class Stack:
    """Linear layers of one seed and batch size that step together; those with ROLE come last.

    The weights are one (D, C * M) matrix, class by class, and divided by each member's lr: Adam's step is the lr times
    something that does not depend on it, so that one call with lr 1 serves all members.
    """

    def __init__(self, outcomes: list[Outcome], layer: torch.nn.Linear, features: Tensor, targets_by_labels: dict[str, Tensor],
                 labels: np.ndarray, rows: dict[str, np.ndarray]):
        runs, device = [outcome.run for outcome in outcomes], features.device
        self.seed, self.batch_size, self.epochs = outcomes[0].seed, runs[0].batch_size, runs[0].epochs
        self.features = features
        self.train_rows = torch.from_numpy(rows["train"]).to(device)
        self.lr = torch.tensor([run.optimizer.lr for run in runs], device=device)
        self.weight = (layer.weight.detach().to(device).T[..., None] / self.lr).flatten(1)
        self.bias = (layer.bias.detach().to(device)[:, None] / self.lr).flatten()
        self.weight.grad, self.bias.grad = torch.empty_like(self.weight), torch.empty_like(self.bias)
        self.optimizer = torch.optim.Adam([self.weight, self.bias], lr=1.0, betas=(BETA1, BETA2), eps=ADAM_EPSILON, fused=True)
        self._prepare_losses(runs, targets_by_labels, labels, rows["val"])

    def _prepare_losses(self, runs: list[Run], targets_by_labels: dict[str, Tensor], labels: np.ndarray, val: np.ndarray) -> None:
        device, classes = self.features.device, labels.shape[1]
        targets = {name: values.to(device) for name, values in targets_by_labels.items()}
        absent = torch.zeros_like(targets["full"])
        self.codes = (4 + 3 * targets["full"] + targets.get("single", absent)).long()
        tables = [coefficients(run.loss, classes) for run in runs]
        counts = [expected_positives(run, labels, val) for run in runs]
        losses = [create_loss(run.loss, targets[run.labels], k, torch.Generator().manual_seed(self.seed)).to(device)
                  for run, k in zip(runs, counts, strict=True)]
        roles = [i for i, run in enumerate(runs) if run.loss.name == "role"]
        self.others = [(i, losses[i], targets[run.labels]) for i, run in enumerate(runs) if tables[i] is None]
        self.roles, every = len(roles), [*range(len(runs)), *roles]  # ROLE's label estimators follow the members
        nothing = torch.zeros(9, 2)
        table = torch.stack([nothing if tables[i] is None else tables[i] for i in every], 2).to(device)
        self.positive, self.negative = table[:, 0].contiguous(), table[:, 1].contiguous()
        penalty = {"epr": 1.0, "role": 0.5}
        self.penalty = torch.tensor([penalty.get(runs[i].loss.name, 0.0) for i in every], device=device)
        self.expected = torch.tensor([counts[i] or 0.0 for i in every], device=device)
        if roles:
            start = torch.stack([losses[i].logits.detach() for i in roles], 2)
            self.estimates = LazyAdam(start, LOSS_LR_FACTOR * self.lr[-self.roles:])

    def train_epoch(self, epoch: int) -> np.ndarray:
        """One pass over the training rows; each member's mean loss (M,)."""
        order = np.stack(shuffled_batches(len(self.train_rows), self.batch_size, self.seed, epoch))
        batches = torch.from_numpy(order).to(self.features.device)
        total = torch.zeros(len(self.lr), dtype=torch.float64, device=self.features.device)
        for _, loss, _ in self.others:
            loss.start_epoch(epoch, self.epochs)
        for positions in batches:
            total += self.step(positions)
        for i, loss, _ in self.others:
            loss.end_epoch(lambda i=i: linear(self.features[self.train_rows], **self.weights(i)))
        return (total / len(batches)).cpu().numpy()

    def step(self, positions: Tensor) -> Tensor:
        """One step of every member on the training rows `positions` (B,); each member's loss (M,)."""
        batch = self.gather(positions)
        values, gradient = self.loss(self.forward(batch), positions)
        self.backward(batch, gradient)
        self.update()
        return values

    def gather(self, positions: Tensor) -> Tensor:
        return self.features.index_select(0, self.train_rows[positions])

    def forward(self, batch: Tensor) -> Tensor:
        return torch.addmm(self.bias, batch, self.weight).view(len(batch), -1, len(self.lr)) * self.lr

    def backward(self, batch: Tensor, gradient: Tensor) -> None:
        torch.mm(batch.T, gradient.flatten(1), out=self.weight.grad)
        torch.sum(gradient.flatten(1), 0, out=self.bias.grad)

    def update(self) -> None:
        self.optimizer.step()

    def loss(self, logits: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (M,) of the logits (B, C, M), and their gradient (B, C, M). Moves ROLE's label estimates, too."""
        members, shape = len(self.lr), (*logits.shape[:2], -1)
        codes = self.codes[positions].flatten()
        positive, negative = (table.index_select(0, codes).view(shape) for table in (self.positive, self.negative))
        every = torch.cat([logits, self.estimates.read(positions)], 2) if self.roles else logits
        p = torch.sigmoid(every)
        if self.roles:  # classifier and label estimator are each other's soft targets
            both = p[..., -2 * self.roles:].roll(self.roles, 2)
            positive[..., -2 * self.roles:].add_(both, alpha=0.5)
            negative[..., -2 * self.roles:].add_(1 - both, alpha=0.5)
        high, low = p + EPSILON, (1 - p) + EPSILON
        excess = (p.sum(1).mean(0) - self.expected) / p.shape[1]
        values = self.penalty * excess**2 - (positive * high.log() + negative * low.log()).mean((0, 1))
        gradient = (negative / low - positive / high + 2 * self.penalty * excess) * (p * (1 - p)) / codes.numel()
        if self.roles:
            values[members - self.roles:members] += values[members:]
            self.estimates.update(positions, gradient[..., members:])
            values, gradient = values[:members], gradient[..., :members].contiguous()
        if self.others:
            self._differentiate_others(logits, positions, values, gradient)
        return values, gradient

    def _differentiate_others(self, logits: Tensor, positions: Tensor, values: Tensor, gradient: Tensor) -> None:
        columns = [i for i, _, _ in self.others]
        inputs = [logits[..., i].clone().requires_grad_() for i in columns]
        losses = [loss(z, targets[positions], positions) for z, (_, loss, targets) in zip(inputs, self.others, strict=True)]
        values[columns] = torch.stack(losses).detach()
        gradient[..., columns] = torch.stack(torch.autograd.grad(sum(losses), inputs), 2)

    def weights(self, i: int) -> dict[str, Tensor]:
        """A copy of member i's weights, named and shaped as nn.Linear's."""
        members, lr = len(self.lr), self.lr[i]
        return {"weight": (self.weight[:, i::members] * lr).T.contiguous(), "bias": self.bias[i::members] * lr}


def coefficients(settings: LossSettings, classes: int) -> Tensor | None:
    """What -log(p + eps) and -log(1 - p + eps) of an entry are multiplied with, (9, 2), if the loss is a sum of the two.

    Rows: 4 + 3 * full label + observed label. ROLE's cross terms and the penalties of EPR and ROLE come on top.
    """
    full, observed = torch.arange(9) // 3 - 1, torch.arange(9) % 3 - 1
    smoothing = getattr(settings, "smoothing", 0.0)
    if settings.name in ("bce", "bce_ls", "an", "an_ls"):
        target = (full if settings.name.startswith("bce") else observed) == 1
        positive = torch.where(target, 1 - smoothing, smoothing)
        known = (full != -1) | (not settings.name.startswith("bce"))
        return torch.stack([positive, 1 - positive], 1) * known[:, None]
    if settings.name == "wan":
        weight = 1 / max(classes - 1, 1) if settings.negative_weight is None else settings.negative_weight
        return torch.stack([observed == 1, weight * (observed != 1)], 1)
    if settings.name == "iun":
        return torch.stack([observed == 1, (observed == -1) | ((observed == 0) & (full == 0))], 1) * 1.0
    if settings.name in ("iu", "epr", "role"):
        return torch.stack([observed == 1, observed == -1], 1) * (0.5 if settings.name == "role" else 1.0)
    return None


class LazyAdam:
    """Adam on values (N, C, R) of which a step has gradients for a few rows alone; lr (R,).

    The other rows move, too, through their momentum. That movement is a sum of known terms, and is made up for when a row
    is read the next time: the values then are those of the dense Adam, to rounding.
    """

    def __init__(self, start: Tensor, lr: Tensor):
        self.state = torch.stack([start, torch.zeros_like(start), torch.zeros_like(start)], 1)  # value, moments 1 and 2
        self.lr, self.step = lr, 0
        self.seen = torch.zeros(len(start), dtype=torch.float64, device=start.device)  # the step that a row's state is of
        self.lags = torch.arange(1, LAG + 1, dtype=torch.float64, device=start.device)
        self.log_betas = self.lags.new_tensor([BETA1, BETA2]).log()
        self.powers = BETA1**self.lags, BETA2**self.lags

    def read(self, rows: Tensor) -> Tensor:
        """The values (B, C, R) of `rows` as they are before the next step; `update` with the same rows must follow."""
        value, first, second = self.state[rows].unbind(1)
        seen = self.seen[rows][:, None]
        missed = self.step - seen
        mean, root = (power / (1 - beta**seen * power) for power, beta in zip(self.powers, (BETA1, BETA2), strict=True))
        mean, root = (mean * (self.lags <= missed)).float(), root.sqrt().float()
        # value -= lr * sum over the missed steps of (mean * first) / (root * sqrt(second) + eps)
        scale = (second.sqrt().flatten(1)[..., None] * root[:, None]).add_(ADAM_EPSILON).reciprocal_()
        moved = torch.bmm(mean[:, None], scale.transpose(1, 2)).view_as(first) * first
        decay = (missed[..., None] * self.log_betas).exp().float()
        self.read_state = value - self.lr * moved, first * decay[:, :, :1], second * decay[:, :, 1:]
        return self.read_state[0]

    def update(self, rows: Tensor, gradient: Tensor) -> None:
        """One step with the gradient (B, C, R) of the rows that were read last."""
        self.step += 1
        value, first, second = self.read_state
        first = torch.lerp(first, gradient, 1 - BETA1)
        second = BETA2 * second + (1 - BETA2) * gradient**2
        root = second.sqrt() / (1 - BETA2**self.step) ** 0.5 + ADAM_EPSILON
        value = value - self.lr / (1 - BETA1**self.step) * first / root
        self.state[rows] = torch.stack([value, first, second], 1)
        self.seen[rows] = float(self.step)
