"""What the members of a search reached, and which of them is kept."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor

from mlrepro.errors import InputError
from mlrepro.settings.run import Run

SELECTIONS = ("best", "last")


@dataclass(frozen=True)
class Score:
    """mAP in percent, and the mean number of labels that a picture's probabilities add up to."""

    mAP: float
    positives: float


@dataclass(frozen=True)
class Best:
    """The first strict maximum of a member on validation."""

    epoch: int
    val_mAP: float
    weights: dict[str, Tensor]


@dataclass
class Outcome:
    """What one member reached.

    diverged: the epoch whose loss or scores were not finite; `last` and history then end with the
    epoch before. test_mAP: by selection. seconds: of the training of all members that stepped
    together, divided by their number.
    """

    run: Run
    seed: int
    history: list[dict] = field(default_factory=list)
    best: Best | None = None
    last: dict[str, Tensor] | None = None
    diverged: int | None = None
    test_mAP: dict[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0

    def weights(self, selection: str) -> dict[str, Tensor] | None:
        if selection == "last":
            return self.last
        return self.best.weights if self.best else None

    def end_epoch(
        self,
        epoch: int,
        loss: float,
        score: Score | None,
        diagnostics: dict[str, float],
        weights: dict[str, Tensor],
    ) -> None:
        """Records an epoch, unless the member has diverged.

        score: on validation; none where it is no number.
        """
        # A diverged member goes on being stepped with the others, and counts no more.
        if self.diverged is not None:
            return
        if score is None or not math.isfinite(loss):
            self.diverged = epoch
            return

        self.history.append(
            {
                "epoch": epoch,
                "lr": self.run.optimizer.lr if self.run.optimizer else 0.0,
                "train_loss": loss,
                "val_mAP": score.mAP,
                "val_positives": score.positives,
                **diagnostics,
            }
        )
        self.last = weights

        # A tie goes to the earlier epoch.
        if self.best is None or score.mAP > self.best.val_mAP:
            self.best = Best(epoch, score.mAP, weights)


def select(outcomes: Iterable[Outcome]) -> dict[tuple[str, int], Outcome]:
    """The grid point of each loss and seed, by run id and seed.

    It is the first strict maximum of the best epochs' validation mAP, in the order of the outcomes:
    batch size, then lr (Cole et al. 2021). Raises InputError where every member of a loss and seed
    diverged.
    """
    outcomes = list(outcomes)
    chosen: dict[tuple[str, int], Outcome] = {}
    for outcome in outcomes:
        key = outcome.run.run_id, outcome.seed
        if outcome.diverged is not None:
            continue
        if key not in chosen or outcome.best.val_mAP > chosen[key].best.val_mAP:
            chosen[key] = outcome

    # A loss without a member left would be missing from the page without a word.
    for outcome in outcomes:
        if (outcome.run.run_id, outcome.seed) not in chosen:
            raise InputError(
                f"{outcome.run.run_id} seed {outcome.seed}: no grid point has a finite loss; lower "
                "search.learning_rates, or look at the features"
            )
    return chosen
