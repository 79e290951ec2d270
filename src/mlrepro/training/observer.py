"""Who watches a training."""


class Observer:
    """What a training tells as it goes; this one only listens. MLflow's is tracking.Tracker."""

    def start(self, tracking_id: str | None) -> str | None:
        """Before the first epoch. Gets the id of a resumed training; returns the one to keep."""
        return None

    def epoch(self, entry: dict) -> None:
        """After each epoch, once it is saved. entry: its row of the history."""

    def finish(self, status: str = "FINISHED") -> None:
        """When all is written, or with the status FAILED when it ended with an error."""
