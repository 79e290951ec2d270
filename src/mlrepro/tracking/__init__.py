"""MLflow, for looking at runs: it mirrors history.csv and the records, and stops no training.

Importing MLflow and opening its SQL store takes several CPU seconds, more than a training on
extracted features. So no stage does: a `Tracker` appends events to a spool file (spool.py), and one
process of its own, which the first stage starts and the next ones share, writes them into the store
(writer.py). What is in the spool is written sooner or later, also if stage or writer are killed.

MLREPRO_TRACKING=none turns it off; MLFLOW_TRACKING_URI names another store than mlflow.db.
"""

from mlrepro.tracking.tracker import Tracker, open_tracker

__all__ = ["Tracker", "open_tracker"]
