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
from torch.optim.adam import adam

from mlrepro.config import LossSettings, Optimizer, Run
from mlrepro.data.samplers import shuffled_batches
from mlrepro.errors import InputError
from mlrepro.losses import create_loss
from mlrepro.losses.binary import EPSILON
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.models.heads import create_head
from mlrepro.training.fit import expected_labels
from mlrepro.training.optimizers import LOSS_LR_FACTOR
from mlrepro.training.run import expected_positives

BETA1, BETA2, ADAM_EPSILON = 0.9, 0.999, 1e-8
LAG = 160  # 0.9^160 is below float32's rounding: what a row without gradient still moves after so many steps is nothing
CHUNK = 256  # training rows whose features are gathered at once: fewer operations, and still few enough for a processor's cache
STACK_BYTES = (
    2**22
)  # of the weights that step together; beyond, weights, gradients and moments leave a processor's cache
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


def search(
    members: list[tuple[Run, int]],
    features: Tensor,
    targets_by_labels: dict[str, Tensor],
    labels: np.ndarray,
    rows: dict[str, np.ndarray],
) -> list[Outcome]:
    """Trains every (run, seed) of `members` and scores it on test with its best and its last weights; in their order.

    features: (rows of the manifest, D) float32. targets_by_labels: (train rows, C) int8, `full` and, where a run reads observed
    labels, `single` and `iu`. labels: (rows of the manifest, C) full labels. rows: manifest rows of train, val, test.
    Raises InputError for a run that is not a linear layer under Adam with a constant lr and the corrected protocol.
    """
    outcomes = [Outcome(run, seed) for run, seed in members]
    stacks: dict[tuple, list[Outcome]] = {}
    for outcome in outcomes:
        _check(outcome.run)
        stacks.setdefault((outcome.seed, outcome.run.batch_size, outcome.run.epochs), []).append(
            outcome
        )
    scored = {
        split: features[torch.from_numpy(rows[split]).to(features.device)]
        for split in ("val", "test")
    }
    most = max(1, STACK_BYTES // (4 * features.shape[1] * labels.shape[1]))
    parts = []
    for group in stacks.values():
        group.sort(key=lambda outcome: outcome.run.loss.name == "role")  # Stack wants them last
        size = math.ceil(
            len(group) / math.ceil(len(group) / most)
        )  # parts of about equal length keep all threads busy
        parts += [group[start : start + size] for start in range(0, len(group), size)]
    parts.sort(
        key=lambda part: (part[0].run.batch_size, part[-1].run.loss.name != "role")
    )  # the longest first
    start = {}
    for seed in {seed for _, seed in members}:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            start[seed] = create_head("linear", features.shape[1], labels.shape[1], None)
    # On a CPU a thread a stack, and not several an operation: its operations are too short to be worth their waiting.
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(
        1 if features.is_cuda else threads, initializer=lambda: torch.set_num_threads(1)
    ) as pool:
        list(
            pool.map(
                lambda part: _train(
                    part, start[part[0].seed], features, targets_by_labels, labels, rows, scored
                ),
                parts,
            )
        )
    torch.set_num_threads(threads)
    return outcomes


def _check(run: Run) -> None:
    known = {
        *(name for name, field in Run.model_fields.items() if field.is_required()),
        "resolution",
        "labels",
        "empty_classes",
        "selection",
    }
    plain = {name: getattr(run, name) for name in known} | {
        "optimizer": Optimizer(lr=run.optimizer.lr)
    }
    if run.head != "linear" or run != Run(**plain):
        raise InputError(
            f"{run.run_id}: the search trains linear layers on features, by adam with a constant lr, to the last "
            "epoch, under the corrected protocol and with no further setting; train this run with its train stage"
        )


def _train(
    outcomes: list[Outcome],
    layer: torch.nn.Linear,
    features: Tensor,
    targets_by_labels: dict[str, Tensor],
    labels: np.ndarray,
    rows: dict[str, np.ndarray],
    scored: dict[str, Tensor],
) -> None:
    start = time.perf_counter()
    stack = Stack(outcomes, layer, features, targets_by_labels, labels, rows)
    for epoch in range(outcomes[0].run.epochs):
        losses = stack.train_epoch(epoch)
        weights = [stack.weights(i) for i in range(len(outcomes))]
        scores = _score(outcomes, weights, scored["val"], labels[rows["val"]])
        more = stack.diagnostics(labels[rows["train"]])
        for outcome, loss, score, told, reached in zip(
            outcomes, losses, scores, more, weights, strict=True
        ):
            if outcome.diverged is None and (score is None or not np.isfinite(loss)):
                outcome.diverged = epoch
            if outcome.diverged is None:
                outcome.history.append(
                    {
                        "epoch": epoch,
                        "lr": outcome.run.optimizer.lr,
                        "train_loss": loss,
                        **score,
                        **told,
                    }
                )
                outcome.last = reached
                if outcome.best is None or score["val_mAP"] > outcome.best["val_mAP"]:
                    outcome.best = {"epoch": epoch, "val_mAP": score["val_mAP"], "weights": reached}
    for outcome in outcomes:
        outcome.seconds = (time.perf_counter() - start) / len(outcomes)
    for selection in ("best", "last"):
        found = [outcome for outcome in outcomes if outcome.weights(selection)]
        values = _score(
            found,
            [outcome.weights(selection) for outcome in found],
            scored["test"],
            labels[rows["test"]],
        )
        for outcome, value in zip(found, values, strict=True):
            outcome.test_mAP[selection] = value and value["val_mAP"]


def _score(
    outcomes: list[Outcome], weights: list[dict[str, Tensor]], features: Tensor, labels: np.ndarray
) -> list[dict | None]:
    """mAP in percent and mean expected labels of each member's weights on `features` (N, D); none where a score is no number."""

    def judge(outcome: Outcome, scores: np.ndarray) -> dict[str, float] | None:
        if np.isnan(scores).any():
            return None
        mAP = mean_average_precision(average_precision(scores, labels), outcome.run.empty_classes)
        return {"val_mAP": mAP, "val_positives": expected_labels(scores)}

    values = []
    for first in range(0, len(weights), SCORED_TOGETHER):
        part = weights[first : first + SCORED_TOGETHER]
        weight, bias = (torch.cat([w[name] for w in part]) for name in ("weight", "bias"))
        scores = product(features, weight.T, bias).cpu().numpy()
        values += map(judge, outcomes[first:], np.split(scores, len(part), axis=1))
    return values


class Stack:
    """Linear layers of one seed and batch size that step together; those with ROLE come last. The weights are one (D, C * M)
    matrix, class by class, and divided by each member's lr: Adam's step is the lr times something that does not depend on it, so
    that one call with lr 1 serves all members."""

    def __init__(
        self,
        outcomes: list[Outcome],
        layer: torch.nn.Linear,
        features: Tensor,
        targets_by_labels: dict[str, Tensor],
        labels: np.ndarray,
        rows: dict[str, np.ndarray],
    ):
        runs, device = [outcome.run for outcome in outcomes], features.device
        self.seed, self.batch_size, self.epochs = (
            outcomes[0].seed,
            runs[0].batch_size,
            runs[0].epochs,
        )
        self.features = features
        self.train_rows = torch.from_numpy(rows["train"]).to(device)
        self.lr = torch.tensor([run.optimizer.lr for run in runs], device=device)
        self.weight = (
            (layer.weight.detach().to(device).T[..., None] / self.lr).flatten(1).contiguous()
        )  # as its gradient
        self.bias = (layer.bias.detach().to(device)[:, None] / self.lr).flatten()
        self.parameters, self.adam_steps = (
            [self.weight, self.bias],
            [torch.zeros((), device=device) for _ in range(2)],
        )
        self.means, self.squares = (
            [torch.zeros_like(parameter) for parameter in self.parameters] for _ in range(2)
        )
        self._prepare_losses(runs, targets_by_labels, labels, rows["val"])

    def _prepare_losses(
        self,
        runs: list[Run],
        targets_by_labels: dict[str, Tensor],
        labels: np.ndarray,
        val: np.ndarray,
    ) -> None:
        device, classes = self.features.device, labels.shape[1]
        targets = {name: values.to(device) for name, values in targets_by_labels.items()}
        absent = torch.zeros_like(targets["full"])
        self.codes = (
            4
            + 9 * (targets.get("iu", absent) == -1)
            + 3 * targets["full"]
            + targets.get("single", absent)
        ).long()
        tables = [coefficients(run.loss, classes) for run in runs]
        counts = [expected_positives(run, labels, val) for run in runs]
        read = [targets["iu" if run.loss.name == "iu" else run.labels] for run in runs]
        losses = [
            create_loss(run.loss, of_run, k, torch.Generator().manual_seed(self.seed)).to(device)
            for run, of_run, k in zip(runs, read, counts, strict=True)
        ]
        roles = [i for i, run in enumerate(runs) if run.loss.name == "role"]
        self.others = [(i, losses[i], read[i]) for i in range(len(runs)) if tables[i] is None]
        self.roles, every = (
            len(roles),
            [*range(len(runs)), *roles],
        )  # ROLE's label estimators follow the members
        nothing = torch.zeros(18, 2)
        table = torch.stack([nothing if tables[i] is None else tables[i] for i in every], 2).to(
            device
        )
        self.entries = self.batch_size * classes  # of a batch, whose mean the losses are
        self.positive, self.negative = table[:, 0] / self.entries, table[:, 1] / self.entries
        penalty = {"epr": 1.0, "role": 0.5}
        self.penalty = torch.tensor(
            [penalty.get(runs[i].loss.name, 0.0) for i in every], device=device
        )
        self.expected = torch.tensor([counts[i] or 0.0 for i in every], device=device) / classes
        self.penalised = bool(self.penalty.any())
        self.role_losses = [losses[i] for i in roles]
        if roles:
            start = torch.stack([loss.logits.detach() for loss in self.role_losses], 2)
            self.estimates = LazyAdam(start, LOSS_LR_FACTOR * self.lr[-self.roles :])

    def train_epoch(self, epoch: int) -> np.ndarray:
        """One pass over the training rows; each member's mean loss (M,)."""
        order = np.stack(shuffled_batches(len(self.train_rows), self.batch_size, self.seed, epoch))
        total = torch.zeros(len(self.lr), dtype=torch.float64, device=self.features.device)
        for _, loss, _ in self.others:
            loss.start_epoch(epoch, self.epochs)
        for positions in (
            torch.from_numpy(order).to(self.features.device).split(max(1, CHUNK // self.batch_size))
        ):
            total += self.steps(positions)
        for i, loss, _ in self.others:
            loss.end_epoch(lambda i=i: linear(self.features[self.train_rows], **self.weights(i)))
        return (total / len(order)).cpu().numpy()

    def steps(self, positions: Tensor) -> Tensor:
        """A step of every member on each batch of training rows in `positions` (S, B); the sum of each member's losses (M,)."""
        members = len(self.lr)
        batches, transposed, positive, negative = self.gather(positions)
        p, total = torch.empty_like(positive), torch.zeros(members, device=self.lr.device)
        estimates = self.estimates.read(positions) if self.roles else [None] * len(batches)
        moved = []  # the gradients of ROLE's label estimates
        for i, batch in enumerate(batches):
            logits = self.forward(batch)
            gradient = self.differentiate(logits, estimates[i], p[i], positive[i], negative[i])
            if self.roles:
                moved.append(gradient[..., members:])
                gradient = gradient[..., :members].contiguous()
            if self.others:
                self._differentiate_others(logits, positions[i], total, gradient)
            self.update(transposed[i], gradient)
        if self.roles:
            self.estimates.update(positions, torch.stack(moved))
        return total + self.values(p, positive, negative)

    def gather(self, positions: Tensor) -> tuple[Tensor, ...]:
        """Features (S, B, D) and (S, D, B) of the rows, and the factors of -log p and -log(1 - p) of their entries."""
        rows = positions.flatten()
        batches = self.features.index_select(0, self.train_rows[rows]).view(*positions.shape, -1)
        codes, shape = self.codes[rows].flatten(), (*positions.shape, self.codes.shape[1], -1)
        positive, negative = (
            table.index_select(0, codes).view(shape) for table in (self.positive, self.negative)
        )
        return batches, batches.transpose(1, 2).contiguous(), positive, negative

    def forward(self, batch: Tensor) -> Tensor:
        return product(batch, self.weight, self.bias).view(len(batch), -1, len(self.lr)) * self.lr

    def differentiate(
        self,
        logits: Tensor,
        estimates: Tensor | None,
        p: Tensor,
        positive: Tensor,
        negative: Tensor,
    ) -> Tensor:
        """The gradient (B, C, M and ROLE's) of the losses by logits and label estimates; their probabilities are put in `p`."""
        torch.sigmoid(logits if estimates is None else torch.cat([logits, estimates], 2), out=p)
        if self.roles:  # classifier and label estimator are each other's soft targets
            both = p[..., -2 * self.roles :].roll(self.roles, 2)
            positive[..., -2 * self.roles :].add_(both, alpha=0.5 / self.entries)
            negative[..., -2 * self.roles :].add_(1 - both, alpha=0.5 / self.entries)
        absent = 1 - p
        gradient = (negative / (absent + EPSILON)).addcdiv_(positive, p + EPSILON, value=-1)
        if self.penalised:
            gradient += (
                2 * self.penalty / self.entries * (p.sum((0, 1)) / self.entries - self.expected)
            )
        return gradient.mul_(p).mul_(absent)

    def _differentiate_others(
        self, logits: Tensor, positions: Tensor, total: Tensor, gradient: Tensor
    ) -> None:
        columns = [i for i, _, _ in self.others]
        inputs = [logits[..., i].clone().requires_grad_() for i in columns]
        losses = [
            loss(z, targets[positions], positions)
            for z, (_, loss, targets) in zip(inputs, self.others, strict=True)
        ]
        total[columns] += torch.stack(losses).detach()
        gradient[..., columns] = torch.stack(torch.autograd.grad(sum(losses), inputs), 2)

    def update(self, transposed: Tensor, gradient: Tensor) -> None:
        gradient = gradient.flatten(1)
        # Not the optimiser's object, whose bookkeeping takes a tenth of a step's time.
        adam(
            self.parameters,
            [product(transposed, gradient), gradient.sum(0)],
            self.means,
            self.squares,
            [],
            self.adam_steps,
            fused=True,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=1.0,
            weight_decay=0.0,
            eps=ADAM_EPSILON,
            maximize=False,
        )

    def values(self, p: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Each member's losses (M,), added up over the steps, of all (S, B, C, M and ROLE's); 0 for those of `others`."""
        excess = p.sum((1, 2)) / self.entries - self.expected
        entries = positive * (p + EPSILON).log() + negative * (1 - p + EPSILON).log()
        values = (self.penalty * excess**2).sum(0) - entries.sum((0, 1, 2))
        members = len(self.lr)
        values[members - self.roles : members] += values[members:]
        return values[:members]

    def diagnostics(self, labels: np.ndarray) -> list[dict[str, float]]:
        """What each member's loss tells of its state at the end of an epoch, given the training rows' true labels (N, C)."""
        told: list[dict[str, float]] = [{}] * len(self.lr)
        if self.roles:
            every = torch.arange(len(labels), device=self.lr.device).split(32)
            estimates = torch.cat([self.estimates.read(rows[None])[0] for rows in every])
            for i, (loss, estimate) in enumerate(
                zip(self.role_losses, estimates.unbind(2), strict=True), -self.roles
            ):
                loss.logits.data = estimate
                told[i] = {} if estimate.isnan().any() else loss.diagnostics(labels)
        return told

    def weights(self, i: int) -> dict[str, Tensor]:
        """A copy of member i's weights, named and shaped as nn.Linear's."""
        members, lr = len(self.lr), self.lr[i]
        return {
            "weight": (self.weight[:, i::members] * lr).T.contiguous(),
            "bias": self.bias[i::members] * lr,
        }


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left (m, k) @ right (k, n) + bias; on a CPU by oneDNN, as MKL, which torch.mm calls, does without AVX-512 on AMD's."""
    if left.is_cuda or not torch.backends.mkldnn.is_available():
        return torch.mm(left, right) if bias is None else torch.addmm(bias, left, right)
    return torch.ops.mkldnn._linear_pointwise(left, right.T, bias, "none", [], "")


def coefficients(settings: LossSettings, classes: int) -> Tensor | None:
    """What -log(p + eps) and -log(1 - p + eps) of an entry are multiplied with, (18, 2), if the loss is a sum of the two.

    Rows: 4 + 9 * negative known to iu + 3 * full label + observed label. ROLE's cross terms and all penalties come on top.
    """
    full, observed = torch.arange(18) % 9 // 3 - 1, torch.arange(18) % 3 - 1
    smoothing = getattr(settings, "smoothing", 0.0)
    if settings.name in ("bce", "bce_ls", "an", "an_ls"):
        target = (full if settings.name.startswith("bce") else observed) == 1
        positive = torch.where(target, 1 - smoothing, smoothing)
        known = (full != -1) | (not settings.name.startswith("bce"))
        return torch.stack([positive, 1 - positive], 1) * known[:, None]
    if settings.name == "wan":
        weight = (
            1 / max(classes - 1, 1)
            if settings.negative_weight is None
            else settings.negative_weight
        )
        return torch.stack([observed == 1, weight * (observed != 1)], 1)
    if settings.name == "iun":
        return (
            torch.stack([observed == 1, (observed == -1) | ((observed == 0) & (full == 0))], 1)
            * 1.0
        )
    if settings.name == "iu":
        return torch.stack([observed == 1, torch.arange(18) >= 9], 1) * 1.0
    if settings.name in ("epr", "role"):
        return torch.stack([observed == 1, observed == -1], 1) * (
            0.5 if settings.name == "role" else 1.0
        )
    return None


class LazyAdam:
    """Adam on values (N, C, R) of which a step has gradients for a few rows alone; lr (R,). The other rows move, too, through
    their momentum. That movement is a sum of known terms, and is made up for when a row is read the next time: the values then
    are those of the dense Adam, to rounding."""

    def __init__(self, start: Tensor, lr: Tensor):
        self.state = torch.stack(
            [start, torch.zeros_like(start), torch.zeros_like(start)], 1
        )  # value, moments 1 and 2
        self.lr, self.step = lr, 0
        self.seen = torch.zeros(
            len(start), dtype=torch.float64, device=start.device
        )  # the step that a row's state is of
        self.lags = torch.arange(1, LAG + 1, dtype=torch.float64, device=start.device)
        self.powers = BETA1**self.lags, BETA2**self.lags

    def read(self, rows: Tensor) -> Tensor:
        """The values (S, B, C, R) of `rows` (S, B), all different, as they are before each of the next S steps; `update` with
        the same rows must follow."""
        value, first, second = self.state[rows].unbind(2)
        steps = (
            self.step
            + torch.arange(1, len(rows) + 1, dtype=torch.float64, device=rows.device)[:, None]
        )
        seen = self.seen[rows][..., None]
        missed = steps[..., None] - 1 - seen
        mean, root = (
            power / (1 - beta**seen * power)
            for power, beta in zip(self.powers, (BETA1, BETA2), strict=True)
        )
        mean, root = (mean * (self.lags <= missed)).float(), root.sqrt().float()
        # value -= lr * sum over the missed steps of (mean * first) / (root * sqrt(second) + eps)
        size = second.sqrt().flatten(2)[:, :, None]
        moved = [
            torch.bmm(
                m[:, None], (r[..., None] * s).add_(ADAM_EPSILON).reciprocal_()
            )  # (B, 1, lags), (B, lags, C * R)
            for m, r, s in zip(mean, root, size, strict=True)
        ]
        value = value - self.lr * torch.stack(moved).view_as(first) * first
        self.read_state = (
            steps,
            value,
            first * (BETA1**missed)[..., None].float(),
            second * (BETA2**missed)[..., None].float(),
        )
        return value

    def update(self, rows: Tensor, gradient: Tensor) -> None:
        """S steps with the gradients (S, B, C, R) of the rows that were read last."""
        steps, value, first, second = self.read_state
        first = torch.lerp(first, gradient, 1 - BETA1)
        second = BETA2 * second + (1 - BETA2) * gradient**2
        mean, root = ((1 - beta**steps)[..., None, None] for beta in (BETA1, BETA2))
        value = value - self.lr / mean.float() * first / (
            second.sqrt() / root.sqrt().float() + ADAM_EPSILON
        )
        self.state[rows] = torch.stack([value, first, second], 2)
        self.seen[rows] = steps.expand(rows.shape)
        self.step += len(rows)
