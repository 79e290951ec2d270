"""The record of scores from outside, of the schema of a run's."""

import hashlib
from dataclasses import replace

import numpy as np

from mlrepro.audit.evaluate import Evaluation, Outcome
from mlrepro.audit.protocols import (
    CHOICES,
    Protocol,
    default_protocol,
)
from mlrepro.audit.scales import Scale, probabilities
from mlrepro.audit.tables import LabelTable
from mlrepro.audit.views import View
from mlrepro.metrics.bootstrap import standard_error
from mlrepro.metrics.catalogue import (
    F1_AVERAGES,
    MEAN_AVERAGE_PRECISIONS,
    OVERALL_AND_PER_CLASS,
    PROBABILITIES,
    TUNED,
    metric_functions,
)
from mlrepro.metrics.thresholded import thresholded_metrics
from mlrepro.records import (
    Audited,
    ClassResult,
    Counts,
    ExternalRecord,
    ExternalRun,
    Measurement,
    Provenance,
    Source,
)
from mlrepro.resamples import resampled_maps
from mlrepro.training.references import resolve

STUDY = "audit"
SELECTION = "last"


def external_record(
    name: str,
    data: str,
    source: Source,
    labels: LabelTable,
    evaluation: Evaluation,
    audited: Audited,
) -> ExternalRecord:
    """Its metrics are those of the default protocol, under the keys of a run's record.

    name: of the scores. data: the data set's.
    """
    choices = {choice.field: getattr(Protocol(), choice.field) for choice in CHOICES}
    run = ExternalRun(name=name, data=data, protocol=choices)
    joined = evaluation.joined
    shown = joined.labels(Protocol().difficult) == 1
    counts = Counts(
        expected=joined.pictures,
        used=joined.pictures - int(joined.missing.sum()),
        cardinality=float(shown.sum(axis=1).mean()),
    )
    return ExternalRecord(
        study=STUDY,
        data_set=data,
        run=run,
        seed=0,
        splits={"test": counts},
        measurements={SELECTION: measure(evaluation)},
        history=[],
        provenance=Provenance(
            settings_sha256=run.digest,
            manifest_sha256=labels.manifest_sha256 or labels_sha256(labels),
            pretrained="unknown",
            pretrained_sha256=None,
        ),
        source=source,
        audited=audited,
    )


def audited(metric: str, outcomes: list[Outcome], reported: str | None, given_by: list) -> Audited:
    """given_by: the outcomes that round to the reported number."""
    return Audited(
        metric=metric,
        reported=reported,
        given_by=[outcome.describe(metric) for outcome in given_by],
        protocols={outcome.describe(metric): outcome.value for outcome in outcomes},
    )


def labels_sha256(labels: LabelTable) -> str:
    """Of pictures, classes and labels; neither their order nor their file counts."""
    columns = sorted(range(len(labels.classes)), key=lambda column: labels.classes[column])
    rows = sorted(range(len(labels.ids)), key=lambda row: labels.ids[row])
    names = [labels.classes[column] for column in columns]
    names += [labels.ids[row] for row in rows]

    digest = hashlib.sha256()
    for name in names:
        # No name holds the zero byte, so that two names are not taken for one longer one.
        digest.update(name.encode("utf-8", errors="surrogateescape") + b"\0")
    states = labels.states[rows][:, columns]
    digest.update(np.ascontiguousarray(states).tobytes())
    return digest.hexdigest()


# ---- Its measurement -----------------------------------------------------------------------------


def measure(evaluation: Evaluation) -> Measurement:
    """Under the default protocol, every key that scores alone give."""
    protocol = default_protocol("mAP")
    view = evaluation.counted_view(protocol)
    aps = evaluation.class_ap(protocol)
    metrics = {
        key: evaluation.value(replace(protocol, reading=kind))
        for key, kind in MEAN_AVERAGE_PRECISIONS.items()
    }
    metrics["mAP_nonempty"] = evaluation.value(replace(protocol, empty="skip"))
    metrics |= _annotated(evaluation, protocol)
    metrics |= _decided(evaluation, protocol)
    for key, reference in metric_functions().items():
        function = resolve(reference)
        metrics[key] = function(view.scores, view.labels)
    maps = resampled_maps(view.scores, view.labels, protocol.empty)

    return Measurement(
        epoch=-1,
        metrics={key: _none_if_nan(value) for key, value in metrics.items()},
        mAP_se=_none_if_nan(standard_error(maps)),
        predicted_positives=_predicted_positives(evaluation.scale, view),
        per_class=_class_results(evaluation, protocol, aps),
    )


def _predicted_positives(scale: Scale, view: View) -> float | None:
    """Mean sum of a picture's probabilities, where scores are such or logits of such."""
    if scale.kind == "confidences":
        return None
    scores = view.scores.astype(np.float64)
    chances = probabilities(scores) if scale.kind == "logits" else scores
    return float(chances.sum(axis=1).mean())


def _annotated(evaluation: Evaluation, protocol: Protocol) -> dict[str, float]:
    """mAP of the pictures that have a label, where there are others."""
    labels = evaluation.joined.labels(protocol.difficult)
    if (labels == 1).any(axis=1).all():
        return {}
    annotated = replace(protocol, unannotated="left out")
    interpolated = replace(annotated, reading="interpolated")
    return {
        "mAP_annotated": evaluation.value(annotated),
        "mAP_interpolated_annotated": evaluation.value(interpolated),
    }


def _decided(evaluation: Evaluation, protocol: Protocol) -> dict[str, float]:
    """Metrics of decisions; see `mlrepro.metrics.catalogue` for their keys."""

    def of(decision: str) -> dict[str, float]:
        return evaluation.decided(replace(protocol, decision=decision))

    metrics = dict(of("half"))
    metrics |= {f"top3_{key}": of("top3")[key] for key in OVERALL_AND_PER_CLASS}
    if evaluation.validation:
        for prefix in ("tuned", "tuned_released", "tuned_global"):
            values = of(prefix.replace("_", " "))
            metrics |= {f"{prefix}_{key}": values[key] for key in TUNED}

    view = evaluation.counted_view(protocol)
    for p in PROBABILITIES:
        threshold = np.log(p / (1 - p)) if evaluation.scale.kind == "logits" else p
        at_p = thresholded_metrics(view.scores, view.labels, threshold)
        metrics |= {f"{key}_at_{p}": at_p[key] for key in F1_AVERAGES}
    return metrics


def _class_results(
    evaluation: Evaluation, protocol: Protocol, aps: np.ndarray
) -> list[ClassResult]:
    joined = evaluation.joined
    positives = (joined.labels(protocol.difficult) == 1).sum(axis=0)
    results = []
    for k, name in enumerate(joined.classes):
        ap = None if joined.absent[k] else _none_if_nan(aps[k])
        result = ClassResult(name=name, train=None, observed=None, test=int(positives[k]), AP=ap)
        results.append(result)
    return results


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
