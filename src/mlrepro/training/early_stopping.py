"""When a training ends before its last epoch.

Every rule reads the history alone, so that a resumed training decides alike.
"""

from mlrepro.settings.run import Run

# Shares of a new best and of the former one in deep-object-reid's smoothed best.
NEW_SHARE = 0.8
FORMER_SHARE = 0.2


def stopped(run: Run, history: list[dict]) -> bool:
    """Whether `stop_below` or `early_stop` ends a run after the epochs of `history`."""
    if not history:
        return False
    plain = [entry["val_mAP"] for entry in history]
    averaged = [entry.get("val_mAP_ema", 0.0) for entry in history]  # not there before ema_start
    scores = [max(pair) for pair in zip(plain, averaged, strict=True)]

    if run.stop_below is not None:
        has_fallen = scores[-1] <= max(scores) - run.stop_below
        if has_fallen and _epochs_since_best(scores):
            return True

    if run.early_stop is None:
        return False
    patience = run.early_stop.patience
    if run.early_stop.rule == "aam":
        planned = run.optimizer.planned_epochs or run.epochs
        return _stopped_by_aam(scores, patience, planned)
    return _stopped_by_query2label(plain, averaged, patience)


def _epochs_since_best(scores: list[float]) -> int:
    """Epochs since the first of the best."""
    return len(scores) - 1 - scores.index(max(scores))


def _stopped_by_query2label(plain: list[float], averaged: list[float], patience: int) -> bool:
    """Both kinds of weights were best too long ago, and the averaged ones are below their best."""
    since_best = min(_epochs_since_best(plain), _epochs_since_best(averaged))
    return since_best > patience and averaged[-1] < max(averaged)


def _stopped_by_aam(scores: list[float], patience: int, epochs: int) -> bool:
    """deep-object-reid's rule.

    Epochs not above a smoothed best count once the first fifth of `epochs` is over, one above it
    clears the count, and a perfect score ends at once. scores: in percent.
    """
    smoothed = 0.0
    waited = 0
    for epoch, score in enumerate(scores, 1):
        current = round(score / 100, 4)
        if current > smoothed:
            smoothed = NEW_SHARE * current + FORMER_SHARE * smoothed
            waited = 0
        elif 5 * epoch >= epochs:
            waited += 1
        if waited == patience or current == 1:
            return True
    return False
