"""A training ends when the DVC that runs it is gone: nobody would take what it gives."""

from pathlib import Path

from mlrepro import dvc
from mlrepro.errors import InputError
from mlrepro.training.observer import Observer


class WithRunner(Observer):
    """Tells another observer, and after each epoch looks whether its DVC is still there.

    runner: that DVC; none where a person has started the training.
    """

    def __init__(self, observer: Observer, runner: dvc.Runner | None):
        self.observer = observer
        self.runner = runner

    def start(self, tracking_id: str | None) -> str | None:
        return self.observer.start(tracking_id)

    def epoch(self, entry: dict) -> None:
        """Raises InputError where it is gone; the epoch is saved by then."""
        self.observer.epoch(entry)
        check_runner(self.runner, f"it ends after epoch {entry['epoch']}, which is saved")

    def finish(self, status: str = "FINISHED") -> None:
        self.observer.finish(status)


def check_runner(runner: dvc.Runner | None, end: str) -> None:
    """Raises InputError where the DVC that runs this stage is gone. end: what becomes of its work.

    SIGKILL and SIGTERM reach DVC alone, unlike Ctrl-C; the stage would go on, beside the next one.
    """
    if runner is None or not runner.is_gone():
        return
    locks = Path(dvc.LOCKS).as_posix()
    raise InputError(
        f"the dvc that ran this stage (process {runner.process}) is gone; {end}: `dvc repro` goes "
        f"on from there. If it says that something is busy and names process {runner.process}, "
        f"remove {locks}"
    )
