"""Every protocol on some scores: the table of results."""

from dataclasses import dataclass, replace

import numpy as np

from mlrepro.audit.join import Joined
from mlrepro.audit.protocols import (
    BY_ROW,
    CHOICES,
    CLASS_MEANS,
    DECISIONS,
    METRICS,
    TUNED,
    Protocol,
    Value,
    default_protocol,
    departures,
    describe,
    protocols,
)
from mlrepro.audit.scales import Scale
from mlrepro.audit.views import View, in_form, of_classes, see
from mlrepro.metrics.average_precision import KINDS, average_precisions, mean_average_precision
from mlrepro.metrics.ranked import (
    average_precision_by_row,
    pooled_average_precision,
    sample_average_precision,
)
from mlrepro.metrics.thresholded import thresholded_metrics, top_k_metrics
from mlrepro.metrics.thresholds import (
    tune_global_threshold,
    tune_thresholds,
    tune_thresholds_released,
)

TOP = 3  # labels a picture, in the top-3 metrics of papers on COCO and NUS-WIDE

# Entries beyond which minor choices are not varied: each of them scores the whole set again.
MINOR_ENTRIES = 20_000_000


@dataclass(frozen=True)
class Outcome:
    """What a protocol gives. value: in percent. departures: fields that are not the default's."""

    protocol: Protocol
    value: float
    departures: list[str]

    def describe(self, metric: str) -> str:
        """In words, where it departs."""
        return describe(self.protocol, metric, self.departures)


@dataclass
class Evaluation:
    """One set of scores under many protocols; what two of them share is computed once.

    validation: what thresholds are tuned on, of the same classes and scale.
    """

    joined: Joined
    scale: Scale
    validation: Joined | None = None

    def __post_init__(self):
        # By what a protocol leaves in sight; see `_sight`.
        self._class_aps: dict[Protocol, dict[str, np.ndarray]] = {}
        self._decided: dict[Protocol, dict[str, float]] = {}

    def outcomes(self, metric: str, decisions: tuple[str, ...] = ()) -> list[Outcome]:
        """A row a protocol, the default first; none whose number is not defined.

        decisions: those that a metric is meant at, by default all.
        """
        default = default_protocol(metric)
        if decisions:
            default = replace(default, decision=decisions[0])
        rows = []
        for protocol in protocols(metric, self.options(metric, decisions)):
            if not self._is_another(protocol):
                continue
            value = self.value(protocol)
            if not np.isnan(value):
                rows.append(Outcome(protocol, value, departures(protocol, default)))
        return rows

    def value(self, protocol: Protocol) -> float:
        """In percent; NaN where it is not defined."""
        if protocol.decision != "none":
            # Of the three best classes there are no means over pictures.
            return self.decided(protocol).get(protocol.reading, np.nan)

        if protocol.reading == "micro":
            view = self.counted_view(protocol)
            return pooled_average_precision(view.scores, view.labels)
        if protocol.reading == "samples":
            view = self.counted_view(protocol)
            return sample_average_precision(view.scores, view.labels)

        counted = self.class_ap(protocol)[self._counts(protocol)]
        return mean_average_precision(counted, protocol.empty)

    def class_ap(self, protocol: Protocol) -> np.ndarray:
        """Of all classes, as fractions (K,), NaN without positives."""
        aps = self._all_class_aps(protocol)[protocol.reading]
        if protocol.absent == "zero":
            return np.where(self.joined.absent & ~np.isnan(aps), 0.0, aps)
        return aps

    def decided(self, protocol: Protocol) -> dict[str, float]:
        """The metrics of decisions, see `mlrepro.metrics.thresholded`."""
        key = replace(protocol, reading="")
        if key not in self._decided:
            view = self.counted_view(protocol)
            self._decided[key] = self._decide(view, protocol)
        return self._decided[key]

    # ---- Which protocols there are ------------------------------------------------------------

    def options(self, metric: str, decisions: tuple[str, ...] = ()) -> dict[str, list[Value]]:
        """By field, the values that can make a difference to these scores, the default first."""
        options: dict[str, list[Value]] = {
            "reading": list(METRICS[metric]),
            "decision": self._decisions(metric, decisions),
        }
        for choice in CHOICES:
            default, *others = choice.options
            kept = [value for value in others if self._can_matter(choice.field, value)]
            options[choice.field] = [default, *kept]
        return options

    def _decisions(self, metric: str, decisions: tuple[str, ...]) -> list[Value]:
        if metric == "mAP":
            return ["none"]
        meant = decisions or DECISIONS
        return [name for name in meant if name not in TUNED or self.validation]

    def _can_matter(self, field: str, value: Value) -> bool:
        joined = self.joined
        shown = joined.states == 1
        if field == "difficult":
            return joined.has_difficult
        if field == "unannotated":
            return not shown.any(axis=1).all()
        if field == "empty":
            return not shown.any(axis=0).all()
        if field == "missing":
            return bool(joined.missing.any())
        if field == "absent":
            return bool(joined.absent.any())

        if joined.scores.size > MINOR_ENTRIES:
            return False
        if field == "batch":
            return self._leaves_others_out(value)
        if str(value).startswith("sigmoid"):
            return self.scale.kind == "logits"
        rounded, _ = in_form(joined.scores, str(value), self.scale)
        return not np.array_equal(rounded, joined.scores)

    def _leaves_others_out(self, batch: int) -> bool:
        """Whether whole batches leave pictures out, and not as many as smaller ones do."""
        pictures = self.joined.pictures
        sizes = next(choice.options for choice in CHOICES if choice.field == "batch")
        smaller = [pictures % size for size in sizes if size < batch]
        return batch <= pictures and pictures % batch not in smaller

    def _is_another(self, protocol: Protocol) -> bool:
        """Whether it is another protocol than one that departs less from the default."""
        is_class_mean = protocol.reading in CLASS_MEANS
        is_class_ap = is_class_mean and protocol.decision == "none"
        if protocol.absent == "tied" and not is_class_ap:
            return False  # as "zero"

        if protocol.empty == "skip":
            if not is_class_mean:
                return False
            if not np.isnan(self._all_class_aps(protocol)["exact"]).any():
                return False

        if protocol.unannotated == "left out":
            positives = self.joined.labels(protocol.difficult) == 1
            if positives.any(axis=1).all():
                return False
        if protocol.reading in BY_ROW and not self._has_ties(protocol):
            return False
        return protocol.form != "float32" or self._is_rounded(protocol)

    def _is_rounded(self, protocol: Protocol) -> bool:
        """Whether float32 ties scores that float64 does not."""
        rounded = self._all_class_aps(protocol)["exact"]
        given = self._all_class_aps(replace(protocol, form="given"))["exact"]
        return not np.array_equal(rounded, given, equal_nan=True)

    def _has_ties(self, protocol: Protocol) -> bool:
        """Of pictures whose order changes an average precision."""
        aps = self._all_class_aps(protocol)
        by_row = aps[protocol.reading]
        # The two sum in another order: what differs by less is rounding.
        return not np.allclose(aps["exact"], by_row, rtol=0, atol=1e-9, equal_nan=True)

    # ---- What is computed once ----------------------------------------------------------------

    def _all_class_aps(self, protocol: Protocol) -> dict[str, np.ndarray]:
        key = _sight(protocol)
        if key not in self._class_aps:
            view = see(self.joined, self.scale, protocol)
            aps = average_precisions(view.scores, view.labels, KINDS)
            aps["by row"] = average_precision_by_row(view.scores, view.labels)
            aps["by row, reversed"] = average_precision_by_row(view.scores, view.labels, True)
            self._class_aps[key] = aps
        return self._class_aps[key]

    def _counts(self, protocol: Protocol) -> np.ndarray:
        """Which classes are in a mean over them, (K,); those without positives: `empty`."""
        if protocol.absent == "left out":
            return ~self.joined.absent
        return np.ones(len(self.joined.classes), bool)

    def counted_view(self, protocol: Protocol) -> View:
        """Of the classes that a metric of decisions, or of all scores together, is made of."""
        view = see(self.joined, self.scale, protocol)
        kept = self._counts(protocol)
        if protocol.empty == "skip":
            kept = kept & (view.labels == 1).any(axis=0)
        return of_classes(view, kept)

    def _decide(self, view: View, protocol: Protocol) -> dict[str, float]:
        scores, labels = view.scores, view.labels
        k = min(TOP, labels.shape[1])
        if protocol.decision == "half":
            return thresholded_metrics(scores, labels, view.threshold)
        if protocol.decision == "top3":
            return top_k_metrics(scores, labels, k)
        if protocol.decision == "top3 half":
            return top_k_metrics(scores, labels, k, view.threshold)

        val = self._validation_view(protocol)
        if protocol.decision == "tuned":
            return thresholded_metrics(scores, labels, tune_thresholds(*val))
        if protocol.decision == "tuned global":
            return thresholded_metrics(scores, labels, tune_global_threshold(*val))
        thresholds = tune_thresholds_released(*val)
        return thresholded_metrics(scores, labels, thresholds, strict=True)

    def _validation_view(self, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
        """Scores and labels of validation: all its pictures that are scored, the same classes."""
        seen = replace(protocol, missing="left out", unannotated="kept", batch=1)
        view = see(self.validation, self.scale, seen)
        kept = self._counts(protocol)
        if protocol.empty == "skip":
            test = see(self.joined, self.scale, protocol)
            kept = kept & (test.labels == 1).any(axis=0)
        view = of_classes(view, kept)
        return view.scores, view.labels


def _sight(protocol: Protocol) -> Protocol:
    """What `see` looks at: protocols with the same have the same average precisions by class."""
    unseen = Protocol()
    return replace(
        protocol,
        reading=unseen.reading,
        decision=unseen.decision,
        empty=unseen.empty,
        absent=unseen.absent,
    )
