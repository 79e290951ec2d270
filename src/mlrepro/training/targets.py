"""The labels that a run's loss reads."""

import numpy as np

from mlrepro.data.manifest import Labels, Manifest, load_observed
from mlrepro.settings.run import Run

# In place of the observed labels of a row that has none; losses refuse it.
NOT_OBSERVED = 2


def read_targets(run: Run, manifest: Manifest) -> np.ndarray:
    """(train rows, K) int8 in manifest order: full labels, or the observed ones.

    Raises InputError where the observed ones were not drawn.
    """
    rows = manifest.rows("train")
    full = manifest.label_matrix(rows)
    if run.labels == "full":
        return full

    kind = "iu" if run.loss.name == "iu" else "observed"
    observed_rows, observed = load_observed(manifest.folder, kind)
    # Of each row of the manifest its place among those that are observed.
    place = np.full(manifest.pictures, -1)
    place[observed_rows] = np.arange(len(observed_rows))
    targets = observed[place[rows]]
    targets[place[rows] < 0] = NOT_OBSERVED

    if run.loss.name == "iun":
        return _with_all_negatives(targets, full, run.protocol)
    return targets


def _with_all_negatives(observed: np.ndarray, full: np.ndarray, protocol: str) -> np.ndarray:
    """Targets of iun, which observes all true negatives.

    Under the released protocol none of them is: its code looks for them in vain (see Run.protocol).
    """
    if protocol == "released":
        return np.maximum(observed, 0)
    true_negative = (observed == 0) & (full == 0)
    return np.where(true_negative, np.int8(-1), observed)


def expected_positives(run: Run, labels: Labels | np.ndarray, val_rows: np.ndarray) -> float | None:
    """EPR's and ROLE's k: as the run says, or the mean number of labels of a validation picture.

    None for other losses.
    """
    value = getattr(run.loss, "expected_positives", None)
    if value == "validation":
        return float((labels[val_rows] > 0).sum(1).mean())
    return value
