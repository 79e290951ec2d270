"""Every protocol of the catalogue against a computation by hand; printed numbers beside them."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from sklearn.metrics import average_precision_score, f1_score

from mlrepro.audit.audit import Question, audit
from mlrepro.audit.compare import compare
from mlrepro.audit.evaluate import Evaluation
from mlrepro.audit.join import Joined, join
from mlrepro.audit.printed import judge_printed, read_printed
from mlrepro.audit.protocols import (
    CHOICES,
    METRICS,
    Protocol,
    default_protocol,
    find_option,
    read_metric,
)
from mlrepro.audit.scales import as_bfloat16, read_scale
from mlrepro.audit.tables import DIFFICULT, LabelTable, ScoreTable
from mlrepro.errors import InputError

PICTURES, CLASSES = 70, 5
EMPTY = 3  # the class without positives
ABSENT = [4]  # not scored
DETECTORS = ROOT / ".." / "shared" / "data" / "voc2007-test-scores.npz"
LISTS = ROOT / ".." / "shared" / "data" / "labels" / "voc2007_ImageSets_Main.tar.xz"


def tables(seed: int = 0, logits: bool = False) -> tuple[ScoreTable, LabelTable]:
    """Pictures without a label, difficult objects, a class without positives, missing pictures."""
    random = np.random.default_rng(seed)
    states = random.choice([0, 1, DIFFICULT], p=[0.75, 0.2, 0.05], size=(PICTURES, CLASSES))
    states[:4] = 0
    states[4] = [DIFFICULT, 0, 0, 0, 0]
    states[:, EMPTY] = 0
    values = np.round(random.random(states.shape) * 0.6 + 0.4 * (states > 0), 2)
    if logits:
        values = 6 * values - 3
    ids = [f"{row:03d}" for row in range(PICTURES)]
    classes = list("abcde")
    scores = ScoreTable("scores", ids[:-3], classes[:-1], values[:-3, :-1].astype(np.float32))
    return scores, LabelTable("labels", ids, classes, states.astype(np.int8))


@pytest.fixture
def joined() -> Joined:
    return join(*tables())


@pytest.fixture
def evaluation(joined) -> Evaluation:
    return Evaluation(joined, read_scale(joined.scores))


def by_hand(joined: Joined, protocol: Protocol) -> float:
    """Exact mAP by scikit-learn, choice by choice."""
    difficult = joined.states == DIFFICULT
    labels = (joined.states == 1).astype(int)
    if protocol.difficult == "positive":
        labels[difficult] = 1
    rows = rows_by_hand(joined, labels, protocol)
    scores = {
        "given": joined.scores,
        "float16": joined.scores.astype(np.float16),
        "bfloat16": as_bfloat16(joined.scores),
    }[protocol.form]

    aps = []
    for k in range(CLASSES):
        judged = rows[~difficult[rows, k]] if protocol.difficult == "ignored" else rows
        if not labels[judged, k].any():
            aps += [0.0] * (protocol.empty == "zero" and k not in ABSENT)
        elif k not in ABSENT or protocol.absent == "tied":
            aps.append(average_precision_score(labels[judged, k], scores[judged, k]))
        elif protocol.absent == "zero":
            aps.append(0.0)
    return 100 * np.mean(aps)


def rows_by_hand(joined: Joined, labels: np.ndarray, protocol: Protocol) -> np.ndarray:
    kept = np.ones(PICTURES, bool)
    if protocol.missing == "left out":
        kept &= ~joined.missing
    if protocol.unannotated == "left out":
        kept &= labels.any(axis=1)
    rows = np.flatnonzero(kept)
    return rows[: len(rows) // protocol.batch * protocol.batch]


def test_every_class_mean_is_that_of_scikit_learn(joined, evaluation):
    outcomes = [o for o in evaluation.outcomes("mAP") if o.protocol.reading == "exact"]
    assert len(outcomes) > 90
    for outcome in outcomes:
        assert outcome.value == pytest.approx(by_hand(joined, outcome.protocol), abs=1e-9), outcome


def test_every_choice_makes_a_difference(evaluation):
    """Each option of the catalogue is tried on these scores, but for those of other numbers."""
    tried = set()
    for outcome in evaluation.outcomes("mAP"):
        for field in outcome.departures:
            tried.add((field, getattr(outcome.protocol, field)))

    for choice in CHOICES:
        _, *departures = choice.options  # the first is the usual one
        for value in departures:
            # Batches that leave as many pictures over as smaller ones are the same protocol.
            if choice.field == "batch" and value > 8 and PICTURES % value in (70 % 8, 70 % 16):
                continue
            of_other_numbers = value == "float32" or "sigmoid" in str(value)
            too_large = choice.field == "batch" and value > PICTURES
            expected = not of_other_numbers and not too_large
            assert ((choice.field, value) in tried) == expected, (choice.field, value)


def test_the_first_is_the_default_and_none_comes_twice(evaluation):
    for metric in METRICS:
        outcomes = evaluation.outcomes(metric)
        assert outcomes[0].protocol == default_protocol(metric)
        assert outcomes[0].departures == []
        protocols = [outcome.protocol for outcome in outcomes]
        assert len(set(protocols)) == len(protocols)
        for outcome in outcomes:
            assert outcome.describe(metric)
            for field in outcome.departures:
                assert find_option(field, getattr(outcome.protocol, field), metric)


def test_readings_of_f1(joined, evaluation):
    kept = ~joined.absent
    labels = joined.labels("negative")[:, kept]
    predicted = joined.scores[:, kept] >= 0.5
    values = {
        (o.protocol.reading, o.protocol.difficult): o.value
        for o in evaluation.outcomes("F1")
        if set(o.departures) <= {"reading", "difficult"}
    }
    for reading, average in (("macro_F1", "macro"), ("OF1", "micro"), ("sample_F1", "samples")):
        expected = 100 * f1_score(labels, predicted, average=average, zero_division=0)
        assert values[reading, "negative"] == pytest.approx(expected)


def by_form(evaluation: Evaluation, metric: str) -> dict[str, float]:
    """Values of the protocols that differ from the usual one in the form of the scores alone."""
    values = {}
    for outcome in evaluation.outcomes(metric):
        if outcome.departures in ([], ["form"]):
            values[outcome.protocol.form] = outcome.value
    return values


def test_logits_have_sigmoids_and_their_threshold():
    joined = join(*tables(logits=True))
    scale = read_scale(joined.scores)
    assert (scale.kind, scale.threshold) == ("logits", 0.0)

    evaluation = Evaluation(joined, scale)
    assert {"sigmoid", "sigmoid float16", "sigmoid bfloat16"} < set(by_form(evaluation, "mAP"))
    of_f1 = by_form(evaluation, "OF1")
    assert of_f1["sigmoid"] == of_f1["given"] > 0


def test_tuned_decisions_need_validation(joined, evaluation):
    assert all("tuned" not in o.protocol.decision for o in evaluation.outcomes("CF1"))
    tuned = Evaluation(joined, evaluation.scale, joined)
    decisions = ("half", "tuned", "tuned global")
    found = {
        decision: tuned.value(replace(default_protocol("CF1"), decision=decision))
        for decision in decisions
    }
    assert found["tuned"] >= max(found["half"], found["tuned global"])


def test_scales_that_are_odd():
    values = np.random.default_rng(0).random((30, 4))
    twice = read_scale(1 / (1 + np.exp(-values)))
    assert "second time" in twice.remarks[0]
    assert "percentages" in read_scale(100 * values).remarks[0]
    assert "neither" in read_scale(3 * values).remarks[0]
    assert read_scale(values).remarks == []
    assert read_scale(values, "logits").threshold == 0


# ---- A printed number ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0.82", "101", "-3", "abc", "82,0", "nan", "1e2", "", "0", "1"])
def test_numbers_that_are_no_percent(text):
    with pytest.raises(InputError, match="--reported"):
        read_printed(text)


def test_a_number_is_given_within_its_rounding(evaluation):
    assert read_printed("82.0").is_given_by(81.95) and not read_printed("82.0").is_given_by(81.949)
    assert read_printed("82").is_given_by(82.5) and read_printed("82.00%").rounding == 0.005

    outcomes = evaluation.outcomes("mAP")
    target = next(o for o in outcomes if o.departures == ["difficult"])
    verdict = judge_printed(outcomes, read_printed(f"{target.value:.2f}"))
    assert target.departures == verdict.given_by[0].departures
    distances = [abs(o.value - verdict.printed.value) for o in verdict.nearest]
    assert distances == sorted(distances)

    none = judge_printed(outcomes, read_printed("3.1"))
    assert none.given_by == [] and none.nearest[0].value == min(o.value for o in outcomes)


def test_names_of_metrics():
    assert read_metric("map") == ("mAP", ())
    assert read_metric("top3_CF1") == ("CF1", ("top3", "top3 half"))
    assert read_metric("OF1_adapt")[1] == read_metric("tuned_OF1")[1] != ()
    with pytest.raises(InputError, match="did you mean 'map'"):
        read_metric("mAPs")


# ---- Whole audits --------------------------------------------------------------------------------


def test_thresholds_are_never_tuned_on_the_test():
    scores, labels = tables()
    with pytest.raises(InputError, match="70 pictures of it are among those of the test"):
        audit(scores, labels, Question(metric="CF1"), (scores, labels))


def test_validation_has_its_own_order_of_classes():
    scores, labels = tables()
    ids = [f"val {name}" for name in labels.ids]
    val_scores = replace(scores, ids=ids[:-3])
    question = Question(metric="OF1", decisions=("tuned",), resamples=100)
    found = []
    for order in (slice(None), slice(None, None, -1)):
        val = replace(
            labels, ids=ids, classes=labels.classes[order], states=labels.states[:, order]
        )
        result = audit(scores, labels, question, (val_scores, val))
        found.append([outcome.value for outcome in result.outcomes])
    assert found[0] == found[1] != []


def test_an_interval_holds_the_number():
    result = audit(*tables(), Question(resamples=200))
    low, high = result.interval
    assert low < result.default.value < high
    assert [row.AP is None for row in result.classes] == [False, False, False, True, True]
    assert result.classes[0].difficult == (tables()[1].states[:, 0] == DIFFICULT).sum()


def test_two_sets_of_scores_on_the_same_pictures():
    scores, labels = tables()
    first = join(scores, labels)
    order = np.random.default_rng(0).permutation(len(scores.ids))
    same = join(
        replace(scores, ids=[scores.ids[row] for row in order], values=scores.values[order]), labels
    )
    worse = join(replace(scores, values=scores.values[::-1].copy()), labels)

    def against(other: Joined) -> list:
        scale = read_scale(first.scores)
        return compare((first, scale), (other, read_scale(other.scores)), resamples=200).rows

    assert all(row.difference.points == 0 and row.difference.p == 1 for row in against(same))
    rows = against(worse)
    assert [row.name for row in rows] == ["mAP", "a", "b", "c"]
    assert rows[0].difference.is_told_apart and rows[0].difference.interval[0] > 0


@pytest.mark.skipif(not DETECTORS.exists(), reason="no ../shared/data: published detectors' scores")
@pytest.mark.parametrize(
    ("name", "printed", "plainest"),
    [
        ("detector_a", "82.0", "exact AP, tied pictures in row order"),
        ("detector_b", "86.2", "the default"),
        ("detector_c", "86.7", "the default"),
    ],
)
def test_published_detectors_on_voc2007(name, printed, plainest):
    """Numbers of another implementation, which ranks tied pictures by row."""
    from mlrepro_cli.audit.files import read_place
    from mlrepro_cli.audit.labels.read import read_labels
    from mlrepro_cli.audit.scores.read import Naming, read_scores

    scores = read_scores(read_place(f"{DETECTORS}#{name}"), Naming())
    labels = read_labels(read_place(str(LISTS)), None)
    joined = join(scores, labels)
    evaluation = Evaluation(joined, read_scale(joined.scores))
    verdict = judge_printed(evaluation.outcomes("mAP"), read_printed(printed))
    assert verdict.given_by[0].describe("mAP") == plainest
    assert joined.missing.sum() == (158 if name == "detector_c" else 0)
    assert joined.absent.sum() == (2 if name == "detector_b" else 0)
