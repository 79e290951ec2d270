"""One audit: everything that a terminal, a page and a record tell of some scores."""

from dataclasses import dataclass, replace

import numpy as np

from mlrepro.audit.class_names import match_classes
from mlrepro.audit.class_order import ClassOrder, judge_order
from mlrepro.audit.evaluate import Evaluation, Outcome
from mlrepro.audit.join import Joined, join
from mlrepro.audit.picture_ids import count_of, shared_pictures, shown
from mlrepro.audit.printed import PrintedNumber, Verdict, judge_printed
from mlrepro.audit.protocols import CHOICES, Protocol, default_protocol, describe
from mlrepro.audit.scales import Kind, Scale, read_scale
from mlrepro.audit.tables import LabelTable, ScoreTable
from mlrepro.errors import InputError
from mlrepro.metrics.bootstrap import (
    RESAMPLES,
    interval,
    resampled_average_precision,
    resampled_map,
)


@dataclass(frozen=True)
class Question:
    """What is asked of scores.

    metric, decisions: as `protocols.read_metric` gives them. kind: what the user says scores are.
    """

    metric: str = "mAP"
    decisions: tuple[str, ...] = ()
    printed: PrintedNumber | None = None
    kind: Kind | None = None
    nan_is_zero: bool = False
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class ClassRow:
    """Of one class under the default protocol. AP, interval: in percent, none where undefined."""

    name: str
    positives: int
    difficult: int
    AP: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Audit:
    """outcomes: the default first. verdict: none where no number was reported.

    interval: of the default protocol's mAP, 95 % of the resamples of the pictures.
    """

    question: Question
    labels: LabelTable
    evaluation: Evaluation
    order: ClassOrder
    outcomes: list[Outcome]
    verdict: Verdict | None
    interval: tuple[float, float]
    classes: list[ClassRow]

    @property
    def joined(self) -> Joined:
        return self.evaluation.joined

    @property
    def scale(self) -> Scale:
        return self.evaluation.scale

    @property
    def default(self) -> Outcome:
        return self.outcomes[0]

    @property
    def least(self) -> float:
        return min(outcome.value for outcome in self.outcomes)

    @property
    def most(self) -> float:
        return max(outcome.value for outcome in self.outcomes)

    @property
    def single_choices(self) -> list[Outcome]:
        """Protocols that depart from the default in one choice, the dearest first."""
        single = [outcome for outcome in self.outcomes if len(outcome.departures) == 1]
        return sorted(single, key=lambda outcome: -abs(outcome.value - self.default.value))

    @property
    def worth(self) -> float:
        """Points between the lowest and the highest of them: what one choice is worth."""
        values = [self.default.value, *(outcome.value for outcome in self.single_choices)]
        return max(values) - min(values)

    @property
    def default_in_words(self) -> str:
        """Every choice of the default that makes a difference here."""
        options = self.evaluation.options(self.question.metric, self.question.decisions)
        fields = ["reading"] if self.question.metric == "mAP" else ["reading", "decision"]
        for choice in CHOICES:
            if len(options[choice.field]) > 1 and not choice.is_minor:
                fields.append(choice.field)
        return describe(self.default.protocol, self.question.metric, fields)


def audit(
    scores: ScoreTable,
    labels: LabelTable,
    question: Question,
    validation: tuple[ScoreTable, LabelTable] | None = None,
) -> Audit:
    """Raises InputError for scores and labels that are not of the same data set, and so on."""
    joined = join(scores, labels, question.nan_is_zero)
    scored = joined.scores[~joined.missing][:, ~joined.absent]
    scale = read_scale(scored, question.kind)
    tuned_on = _join_validation(joined, validation, question) if validation else None
    evaluation = Evaluation(joined, scale, tuned_on)

    outcomes = evaluation.outcomes(question.metric, question.decisions)
    if not outcomes:
        raise InputError(
            f"{scores.source}: {question.metric} is not defined here: no class of the labels has a "
            "positive picture that was scored"
        )
    verdict = judge_printed(outcomes, question.printed) if question.printed else None
    mAP_interval, classes = _resample(evaluation, question)
    return Audit(
        question=question,
        labels=labels,
        evaluation=evaluation,
        order=_judge_order(joined),
        outcomes=outcomes,
        verdict=verdict,
        interval=mAP_interval,
        classes=classes,
    )


def _judge_order(joined: Joined) -> ClassOrder:
    """Of the classes and pictures that are scored."""
    labels = joined.labels(Protocol().difficult)
    kept = ~joined.absent
    rows = ~joined.missing
    classes = [joined.classes[k] for k in np.flatnonzero(kept)]
    return judge_order(joined.scores[rows][:, kept], labels[rows][:, kept], classes)


def _resample(
    evaluation: Evaluation, question: Question
) -> tuple[tuple[float, float], list[ClassRow]]:
    joined = evaluation.joined
    protocol = default_protocol("mAP")
    view = evaluation.counted_view(protocol)
    drawn = resampled_average_precision(view.scores, view.labels, question.resamples, question.seed)
    mAP_interval = interval(resampled_map(drawn, protocol.empty))

    aps = evaluation.class_ap(protocol)
    positives = (joined.labels(protocol.difficult) == 1).sum(axis=0)
    difficult = (joined.labels("positive") == 1).sum(axis=0) - positives

    # Classes that the scores lack have no column.
    columns = iter((100 * drawn).T)
    rows = []
    for k, name in enumerate(joined.classes):
        column = None if joined.absent[k] else next(columns)
        is_known = column is not None and not np.isnan(aps[k])
        row = ClassRow(
            name=name,
            positives=int(positives[k]),
            difficult=int(difficult[k]),
            AP=100 * float(aps[k]) if is_known else None,
            interval=interval(column) if is_known else None,
        )
        rows.append(row)
    return mAP_interval, rows


def _join_validation(
    test: Joined, validation: tuple[ScoreTable, LabelTable], question: Question
) -> Joined:
    """Of the test's classes, in their order. Raises InputError where it shares pictures with it."""
    scores, labels = validation
    shared = shared_pictures(labels.ids, test.ids)
    if shared:
        raise InputError(
            f"{labels.source}: {count_of(shared, 'picture')} of it are among those of the test "
            f"({shown(shared)}); thresholds are never tuned on the test: give scores and labels of "
            "validation (--val-labels, --val-split)"
        )

    joined = join(scores, labels, question.nan_is_zero)
    columns = match_classes(joined.classes, test.classes).columns
    if None in columns:
        lacking = [name for name, k in zip(test.classes, columns, strict=True) if k is None]
        raise InputError(f"{labels.source}: lacks classes of the test: {shown(lacking)}")
    return replace(
        joined,
        classes=test.classes,
        scores=joined.scores[:, columns],
        states=joined.states[:, columns],
        absent=joined.absent[columns],
    )
