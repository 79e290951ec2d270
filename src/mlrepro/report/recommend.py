"""Own data: which of the compared runs to use and why, and what its scores are worth."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file

from mlrepro.errors import first_of
from mlrepro.files import whole_tensors
from mlrepro.judging import mean_map, metric_values
from mlrepro.layout import Layout
from mlrepro.metrics.calibration import BINS, calibration_error
from mlrepro.metrics.catalogue import EXPORTED
from mlrepro.records import Record, Records
from mlrepro.report.choose import Chosen, choose
from mlrepro.report.figures.scores import scores_on_test
from mlrepro.report.markdown import code, number, spread, table
from mlrepro.report.pages import figure_link
from mlrepro.report.render import render_section
from mlrepro.report.seeds_average import SeedsAverage, average_of_seeds
from mlrepro.report.shown_classes import record_places
from mlrepro.report.tables import FEW_POSITIVES, environment
from mlrepro.report.worth import worth_table
from mlrepro.settings.seed import AVERAGE

if TYPE_CHECKING:
    from mlrepro.data.manifest import Manifest

LISTED_MISTAKES = 20  # on the page
NAMED_ZEROS = 5  # labels in the sentence on those without a test picture

# Header -> metric of the table of runs to choose from.
METRICS = {"mAP": "mAP", "CF1": f"{EXPORTED}CF1", "OF1": f"{EXPORTED}OF1"}


# ---- The choice --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recommendation:
    """A training, and why it.

    first_on_test: the run that ranks first there, which had no part in the choice.
    lost:          mAP points on test from it to the chosen run.
    rare_labels:   how many labels have too few test pictures to judge them by.
    zeros:         labels that no test picture has, and whose AP counts as 0 in the mAP.
    average:       of the layers of its seeds; none where it has one seed, or another head.
    """

    chosen: Chosen
    first_on_test: str
    lost: float
    rare_labels: int
    zeros: list[str]
    average: SeedsAverage | None

    @property
    def record(self) -> Record:
        return self.chosen.record

    @property
    def seed(self) -> str:
        """As `mlrepro export` takes it."""
        if self.average and self.average.is_better:
            return AVERAGE
        return str(self.record.seed)


def recommend(runs: Records, layout: Layout) -> Recommendation | None:
    """`runs` in rank order. None: see `choose`."""
    chosen = choose(runs)
    if chosen is None:
        return None

    first = next(iter(runs))
    return Recommendation(
        chosen=chosen,
        first_on_test=first,
        lost=mean_map(runs[first]) - mean_map(runs[chosen.run_id]),
        rare_labels=sum(c.test < FEW_POSITIVES for c in chosen.record.selected.per_class),
        zeros=_labels_counted_as_zero(chosen.record),
        average=average_of_seeds(runs[chosen.run_id], layout),
    )


def _labels_counted_as_zero(record: Record) -> list[str]:
    if record.run.empty_classes != "zero":
        return []
    return [label.name for label in record.selected.per_class if label.test == 0]


def recommendation_section(runs: Records, path: Path, layout: Layout) -> list[str]:
    """Part of the page `path`; nothing where no run has an mAP.

    What it says of scores needs the manifest, and logits of the recommended training that were made
    with it.
    """
    recommendation = recommend(runs, layout)
    if recommendation is None:
        return []

    section = render_section(
        "recommendation.md.j2",
        path,
        recommendation=recommendation,
        chosen=recommendation.chosen,
        record=recommendation.record,
        environment=environment(recommendation.record),
        few_positives=FEW_POSITIVES,
        zeros=first_of(recommendation.zeros, NAMED_ZEROS),
        layout=layout,
        candidates=candidates_table(runs, recommendation.chosen),
        worth=worth_table(runs, recommendation.chosen),
        score_review=_score_review(recommendation.record, layout, path),
    )
    return [section]


def candidates_table(runs: Records, chosen: Chosen) -> str:
    """What there is to choose from: what it is chosen by, quality, cost and measured speed."""
    # In the order of the choice; runs that could not be compared come last.
    not_compared = [run for run in runs if run not in chosen.maps]
    rows = []
    for run in [*chosen.maps, *not_compared]:
        records = runs[run]
        speeds = [environment(record).forward_per_second for record in records]
        rows.append(
            [
                code(run),
                number(chosen.maps.get(run)),
                *(spread(metric_values(records, metric)) for metric in METRICS.values()),
                number(records[0].cost.gmacs),
                spread(speeds, 0),
            ]
        )
    return table("lrrrrrr", ["run", "chosen by", *METRICS, "GMACs", "pictures/s"], rows)


# ---- Its scores --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """Of one training. by_split: calibrated probabilities (rows of the split, C)."""

    manifest: "Manifest"
    by_split: dict[str, np.ndarray]

    def labels(self, split: str) -> np.ndarray:
        """(rows, C): 1 positive, 0 negative, -1 not known."""
        return self.manifest.label_matrix(self.manifest.rows(split))


def read_scores(layout: Layout, record: Record | None) -> Scores | None:
    """None where there are none, or they are of another manifest than that of now."""
    if record is None:
        return None
    logits_file = layout.output(record.run.run_id, record.seed) / "logits.safetensors"
    if not logits_file.exists():
        return None

    # A page without scores would wait for SciPy and pandas.
    from scipy.special import expit

    from mlrepro.data.manifest import MANIFEST, read_manifest

    if not (layout.data / MANIFEST).exists():
        return None
    manifest = read_manifest(layout.data)
    if manifest.digest != record.provenance.manifest_sha256:
        return None

    # The logits of the AAM paper are cosines, which its loss scales.
    with whole_tensors(logits_file, "run its evaluate stage again"):
        logits = load_file(logits_file)
    scale = getattr(record.run.loss, "scale", 1.0)
    if record.calibration:
        scale /= record.calibration.temperature

    by_split = {}
    for split in ("train", "val", "test"):
        of_split = logits[f"{split}_{record.run.selection}"].astype(float)
        by_split[split] = expit(scale * of_split)
    return Scores(manifest, by_split)


@dataclass(frozen=True)
class ScoreReview:
    """What the page says of scores on test.

    figure, mistakes:  markdown; the greatest mistakes.
    calibration_error: in points, of the calibrated scores. bins: that it is computed with.
    wrong:             how many decisions are wrong.
    some_labels:       whether the figure shows some of the labels alone.
    """

    figure: str
    calibration_error: float
    bins: int
    mistakes: str
    wrong: int
    some_labels: bool


def _score_review(record: Record, layout: Layout, path: Path) -> ScoreReview | None:
    scores = read_scores(layout, record)
    if scores is None:
        return None

    # Of thousands of labels, those that the page shows.
    places = record_places(record)
    options = {} if places is None else {"places": places}

    test = scores.by_split["test"]
    labels = scores.labels("test")
    wrong = mistakes(test, labels)
    return ScoreReview(
        figure=figure_link(
            path,
            "scores",
            "Precision against recall, and reliability",
            scores_on_test,
            test,
            labels,
            **options,
        ),
        calibration_error=calibration_error(test, labels),
        bins=BINS,
        mistakes=_mistakes_table(scores, wrong[:LISTED_MISTAKES]),
        wrong=len(wrong),
        some_labels=places is not None,
    )


def mistakes(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Row and class (n, 2) of the decisions at 0.5 that are wrong, the surest first."""
    known = labels >= 0
    gaps = np.abs(scores - labels) * known
    wrong = np.argwhere(gaps > 0.5)

    rows, classes = wrong.T
    surest_first = np.argsort(-gaps[rows, classes], kind="stable")
    return wrong[surest_first]


def _mistakes_table(scores: Scores, wrong: np.ndarray) -> str:
    """`wrong`: row of test and class (n, 2)."""
    manifest = scores.manifest
    pictures = manifest.frame["image"].iloc[manifest.rows("test")].to_numpy()
    test = scores.by_split["test"]
    labels = scores.labels("test")

    rows = []
    for row, label in wrong:
        # No listed decision is of an unknown label.
        rows.append(
            [
                code(pictures[row]),
                manifest.classes[label],
                "yes" if labels[row, label] else "no",
                number(test[row, label], 3),
            ]
        )
    return table("llrr", ["picture", "label", "given", "score"], rows)
