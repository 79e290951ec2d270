"""When a training ends before its last epoch. Every rule reads the history alone, so that a resumed training decides alike."""

from mlrepro.settings.run import Run


def stopped(run: Run, history: list[dict]) -> bool:
    """Whether `stop_below` or `early_stop` ends a run after the epochs of `history`."""
    plain = [entry["val_mAP"] for entry in history]
    averaged = [entry.get("val_mAP_ema", 0.0) for entry in history]  # not there before ema_start
    scores = [max(pair) for pair in zip(plain, averaged, strict=True)]
    if not scores:
        return False
    if run.stop_below is not None and _age(scores) and scores[-1] <= max(scores) - run.stop_below:
        return True
    if run.early_stop is None:
        return False
    if run.early_stop.rule == "aam":
        return _aam(scores, run.early_stop.patience, run.optimizer.planned_epochs or run.epochs)
    return min(_age(plain), _age(averaged)) > run.early_stop.patience and averaged[-1] < max(
        averaged
    )


def _age(scores: list[float]) -> int:
    """Epochs since the first of the best."""
    return len(scores) - 1 - scores.index(max(scores))


def _aam(scores: list[float], patience: int, epochs: int) -> bool:
    """deep-object-reid's rule: epochs not above a smoothed best count once the first fifth of `epochs` is over, one above
    it clears the count, and a perfect score ends at once. scores: in percent."""
    smoothed, waited = 0.0, 0
    for epoch, score in enumerate(scores, 1):
        current = round(score / 100, 4)
        if current > smoothed:
            smoothed, waited = 0.8 * current + 0.2 * smoothed, 0
        elif 5 * epoch >= epochs:
            waited += 1
        if waited == patience or current == 1:
            return True
    return False
