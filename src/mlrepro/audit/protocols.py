"""The catalogue of protocols: what published code chooses between scores and a printed number.

A protocol is one choice of each kind. What each is worth on some scores, `evaluate` computes; what
they were worth in this project's own runs stands in docs/protocols.md. To add a choice: an option
below, what it does in `evaluate`, a test.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import product

from mlrepro.errors import InputError
from mlrepro.settings.base import nearest

Value = str | int


@dataclass(frozen=True)
class Protocol:
    """One choice of each kind, by the keys of CHOICES below; the defaults are this project's.

    reading:    which number a metric's name stands for.
    decision:   of metrics of decisions, how they are made; `none` for average precisions.
    difficult, unannotated, empty, missing, absent, form, batch: see CHOICES.
    """

    reading: str = "exact"
    decision: str = "none"
    difficult: str = "ignored"
    unannotated: str = "kept"
    empty: str = "zero"
    missing: str = "lowest"
    absent: str = "left out"
    form: str = "given"
    batch: int = 1


@dataclass(frozen=True)
class Option:
    """words: in a table. who: whose code or devkit does so."""

    words: str
    who: str = ""


@dataclass(frozen=True)
class Choice:
    """field: of Protocol. options: by value, the default first.

    is_minor: worth hundredths of a point as a rule. Each minor choice is varied alone, for all of
    them together would hit any printed number by chance.
    """

    field: str
    heading: str
    options: dict[Value, Option]
    is_minor: bool = False


CHOICES = (
    Choice(
        "difficult",
        "difficult objects",
        {
            "ignored": Option("ignored", "VOC's devkit; ML-GCN and CSRA in the test"),
            "negative": Option("negative", "Cole et al. 2021"),
            "positive": Option("positive", "AAM's label files"),
        },
    ),
    Choice(
        "unannotated",
        "pictures without a label",
        {
            "kept": Option("kept", "Query2Label"),
            "left out": Option("left out", "Cole et al. 2021 (COCO)"),
        },
    ),
    Choice(
        "empty",
        "classes without positives",
        {
            "zero": Option("count 0", "scikit-learn, ASL, Cole et al. 2021"),
            "skip": Option("left out of the mean", "subsets of data sets"),
        },
    ),
    Choice(
        "missing",
        "missing pictures",
        {
            "lowest": Option("scored lowest"),
            "left out": Option("left out"),
        },
    ),
    Choice(
        "absent",
        "missing classes",
        {
            "left out": Option("left out"),
            "zero": Option("count 0"),
            "tied": Option("with all pictures tied"),
        },
    ),
    Choice(
        "form",
        "scores",
        {
            "given": Option("as given"),
            "float32": Option("float32"),
            "float16": Option("float16", "mixed precision"),
            "bfloat16": Option("bfloat16", "mixed precision"),
            "sigmoid": Option("their sigmoid"),
            "sigmoid float16": Option("their sigmoid in float16", "mixed precision"),
            "sigmoid bfloat16": Option("their sigmoid in bfloat16", "mixed precision"),
        },
        is_minor=True,
    ),
    Choice(
        "batch",
        "last incomplete batch",
        {
            1: Option("scored"),
            8: Option("of 8 left out", "Cole et al. 2021"),
            16: Option("of 16 left out", "Cole et al. 2021"),
            32: Option("of 32 left out", "drop_last=True"),
            64: Option("of 64 left out", "drop_last=True"),
            128: Option("of 128 left out", "drop_last=True"),
            256: Option("of 256 left out", "drop_last=True"),
        },
        is_minor=True,
    ),
)

# ---- What a metric's name stands for -------------------------------------------------------------

AVERAGE_PRECISIONS = {
    "exact": Option("mean of classes' exact AP", "scikit-learn, torchmetrics, timm"),
    "by row": Option("exact AP, tied pictures in row order", "ML-GCN's meter"),
    "by row, reversed": Option("exact AP, tied pictures in reversed row order", "ASL, ML-Decoder"),
    "interpolated": Option("interpolated AP", "VOC 2010 on, Query2Label"),
    "11-point": Option("11-point AP", "VOC 2007"),
    "micro": Option("AP of all decisions together", "scikit-learn's micro"),
    "samples": Option("mean of pictures' AP", "scikit-learn's samples"),
}

DECISIONS = {
    "half": Option("at 0.5"),
    "top3": Option("the three best classes", "Wang et al. 2016"),
    "top3 half": Option("the three best classes if above 0.5", "ML-GCN, CSRA"),
    "tuned": Option("at thresholds by class tuned on validation"),
    "tuned released": Option("at thresholds by class as AAM's code tunes them", "AAM's code"),
    "tuned global": Option("at one threshold tuned on validation"),
}
TUNED = ("tuned", "tuned released", "tuned global")
# They retrieve pictures one by one: where no two are tied, they are the exact average precision.
BY_ROW = ("by row", "by row, reversed")

CLASS_F1 = {
    "CF1": Option("CF1 = 2 CP CR / (CP + CR)", "ML-GCN, ASL and most papers"),
    "macro_F1": Option("macro F1: mean of classes' F1", "scikit-learn"),
    "sample_F1": Option("mean of pictures' F1", "AAM's code"),
}

# Means over classes, which ask what a class without positives counts.
CLASS_MEANS = ("exact", *BY_ROW, "interpolated", "11-point", "CF1", "macro_F1", "CP", "CR")


OVERALL_F1 = {"OF1": Option("F1 of all decisions together (micro F1)")}

# Metric of --metric -> readings of its name, the default first.
METRICS: dict[str, dict[str, Option]] = {
    "mAP": AVERAGE_PRECISIONS,
    "CF1": CLASS_F1,
    "OF1": OVERALL_F1,
    "F1": OVERALL_F1 | CLASS_F1,
    "CP": {
        "CP": Option("mean of classes' precision"),
        "sample_precision": Option("mean of pictures' precision", "AAM's code"),
    },
    "CR": {
        "CR": Option("mean of classes' recall"),
        "sample_recall": Option("mean of pictures' recall", "AAM's code"),
    },
    "OP": {"OP": Option("precision of all decisions together")},
    "OR": {"OR": Option("recall of all decisions together")},
    "IoU": {"sample_IoU": Option("mean of pictures' intersection over union")},
}


# How a metric's name says which decisions it is made of.
PREFIXES = {"top3_": ("top3", "top3 half"), "tuned_": TUNED}
# deep-object-reid's (AAM's) name of the same.
TUNED_SUFFIX = "_adapt"


def read_metric(text: str) -> tuple[str, tuple[str, ...]]:
    """The key of METRICS, and the decisions that are meant, none: all.

    CF1 is any CF1, top3_CF1 one of the three best classes, tuned_CF1 one at tuned thresholds.
    Raises InputError for another name.
    """
    name = text
    meant: tuple[str, ...] = ()
    for prefix, decisions in PREFIXES.items():
        if text.startswith(prefix):
            name = text.removeprefix(prefix)
            meant = decisions
    if text.endswith(TUNED_SUFFIX):
        name = text.removesuffix(TUNED_SUFFIX)
        meant = TUNED

    by_letters = {metric.lower(): metric for metric in METRICS}
    metric = by_letters.get(name.lower())
    if metric is None or (meant and metric == "mAP"):
        raise InputError(
            f"--metric {text}: not one of ours; {nearest(name.lower(), list(by_letters))}"
        )
    return metric, meant


# ---- Protocols -----------------------------------------------------------------------------------


def default_protocol(metric: str) -> Protocol:
    reading = next(iter(METRICS[metric]))
    return Protocol(reading=reading, decision="none" if metric == "mAP" else "half")


def protocols(metric: str, options: dict[str, list[Value]]) -> Iterator[Protocol]:
    """Every protocol of a metric, each once, the default first.

    options: by field the values that make a difference to some scores, the default first. Of
    `is_minor` choices only one at a time leaves its default, beside at most one other choice.
    """
    default = default_protocol(metric)
    major = [choice.field for choice in CHOICES if not choice.is_minor]
    major_fields = ["reading", "decision", *major]
    for values in product(*(options[field] for field in major_fields)):
        protocol = replace(default, **dict(zip(major_fields, values, strict=True)))
        yield protocol

        firsts = [options[field][0] for field in major_fields]
        departing = [value for value, first in zip(values, firsts, strict=True) if value != first]
        if len(departing) > 1:
            continue
        for choice in CHOICES:
            if choice.is_minor:
                _, *others = options[choice.field]
                for value in others:
                    yield replace(protocol, **{choice.field: value})


def departures(protocol: Protocol, default: Protocol) -> list[str]:
    """The fields in which a protocol is not the default."""
    return [
        field.name
        for field in fields(Protocol)
        if getattr(protocol, field.name) != getattr(default, field.name)
    ]


def find_option(field: str, value: Value, metric: str) -> Option:
    if field == "reading":
        return METRICS[metric][value]
    if field == "decision":
        return DECISIONS[value]
    choice = next(choice for choice in CHOICES if choice.field == field)
    return choice.options[value]


def heading(field: str) -> str:
    """What a choice is called in a table."""
    for choice in CHOICES:
        if choice.field == field:
            return choice.heading
    return {"reading": "metric", "decision": "decisions"}[field]


def describe(protocol: Protocol, metric: str, only: list[str]) -> str:
    """Its choices in these fields in words; without any it is called the default."""
    parts = []
    for field in only:
        words = find_option(field, getattr(protocol, field), metric).words
        parts.append(words if field in ("reading", "decision") else f"{heading(field)} {words}")
    return "; ".join(parts) or "the default"
