"""How long a run that nobody has run yet would take."""

from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.description import last_match
from mlrepro.studies.results import StudyResults

# FLOP/s of training on one H200-class card in bf16: an estimate, a tenth of the peak that its maker
# states.
THROUGHPUT = 100e12

# A training pass costs its forward pass and about twice that again.
BACKWARD = 3


def gpu_hours(results: StudyResults, run_id: str) -> float | None:
    """Of one training: 3 x MACs x 2 x pictures x epochs x passes a step / THROUGHPUT.

    Extracted features, and 0 epochs: one forward pass over the pictures. None where the cost is not
    measured or the source states no epochs.
    """
    run = parse_run_id(run_id)
    training = results.description.training

    gmacs = results.cost(run_id, "gmacs")
    schedule = last_match(training.schedules, run)
    if not gmacs or schedule is None or schedule.epochs is None:
        return None
    pictures = schedule.pictures or training.pictures.get(run.data)
    if not pictures:
        return None

    forward_only = run.head == "linear" or schedule.epochs == 0
    passes = 1 if forward_only else BACKWARD * schedule.epochs * schedule.passes

    flops = passes * gmacs * 2e9 * pictures
    return flops / THROUGHPUT / 3600
