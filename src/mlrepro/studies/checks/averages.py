"""Checks of printed metrics: F1s against their parts, top-3 against all, copies, odd accuracies."""

import itertools
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

from mlrepro.metrics.catalogue import OVERALL_AND_PER_CLASS
from mlrepro.studies.checks.finding import (
    Finding,
    PrintedRow,
    half_unit,
    harmonic_mean,
    printed_rows,
)
from mlrepro.studies.reported import ReportedRow

# ---- Metrics by the names that documents print them by ------------------------------------------

SPLITS = ("", "train_")
TOP = ("", "top3_")
AVERAGES = ("micro", "macro", "samples")


def _percent_metrics() -> set[str]:
    names = {"mAP", "mAP_paper"}
    for top in TOP:
        names.update(top + key for key in OVERALL_AND_PER_CLASS)
    return names


def _fraction_metrics() -> set[str]:
    names = set()
    for split in SPLITS:
        names |= {f"{split}accuracy", f"{split}f1"}
        for average in AVERAGES:
            names.update(f"{split}{average}_{m}" for m in ("f1", "precision", "recall", "iou"))
    return names


PERCENT = _percent_metrics()
FRACTIONS = _fraction_metrics()


@dataclass(frozen=True)
class F1Parts:
    """An F1 and what it is made of, by printed names.

    pooled: over all decisions at once, so that it is the harmonic mean of its parts.
    """

    f1: str
    precision: str
    recall: str
    pooled: bool


def _f1_parts() -> list[F1Parts]:
    parts = [F1Parts(top + "CF1", top + "CP", top + "CR", pooled=False) for top in TOP]
    parts += [F1Parts(top + "OF1", top + "OP", top + "OR", pooled=True) for top in TOP]
    for split in SPLITS:
        for average in AVERAGES:
            name = f"{split}{average}"
            parts.append(
                F1Parts(f"{name}_f1", f"{name}_precision", f"{name}_recall", average == "micro")
            )
    return parts


F1_PARTS = _f1_parts()


# ---- F1 and its parts ---------------------------------------------------------------------------


def f1_against_precision_and_recall(rows: list[ReportedRow]) -> list[Finding]:
    """An F1 that its printed precision and recall exclude.

    Pooled F1 (OF1, micro) is the harmonic mean of its P and R. The harmonic mean is concave, so a
    mean of F1s over classes or samples is never above that of the mean P and R; CF1 as most papers
    define it equals it.
    """
    findings = []
    for row in printed_rows(rows):
        for parts in F1_PARTS:
            if not row.has(parts.f1, parts.precision, parts.recall):
                continue
            evidence = _impossible_f1(row, parts)
            if evidence:
                findings.append(
                    Finding("f1_against_precision_and_recall", (row.table,), row.subject, evidence)
                )
    return findings


def _impossible_f1(row: PrintedRow, parts: F1Parts) -> str | None:
    """The calculation, where the printed F1 is outside what rounding leaves open."""
    f1 = row.cells[parts.f1]
    precision = row.cells[parts.precision]
    recall = row.cells[parts.recall]

    # It grows with both of its parts: its range is that of the ends of theirs.
    lowest_precision = max(precision.number - half_unit(precision), 0)
    lowest_recall = max(recall.number - half_unit(recall), 0)
    low = harmonic_mean(lowest_precision, lowest_recall)
    highest_precision = max(precision.number + half_unit(precision), 0)
    highest_recall = max(recall.number + half_unit(recall), 0)
    high = harmonic_mean(highest_precision, highest_recall)

    # A mean of F1s may be lower, except a CF1, which is one of the means.
    must_equal = parts.pooled or parts.f1.endswith("CF1")
    too_low = must_equal and f1.number + half_unit(f1) < low
    too_high = f1.number - half_unit(f1) > high
    if not too_low and not too_high:
        return None

    exact = harmonic_mean(precision.number, recall.number)
    decimals = 2 if parts.f1 in PERCENT else 4
    evidence = (
        f"{parts.f1}: 2 x {precision.printed} x {recall.printed} "
        f"/ ({precision.printed} + {recall.printed}) = {exact:.{decimals}f} "
        f"({low:.{decimals}f} to {high:.{decimals}f} with rounding), printed {f1.printed}"
    )
    if too_low and not parts.pooled:
        evidence += "; a mean of the classes' F1 could be"
    return evidence


def change_against_parts(rows: list[ReportedRow]) -> list[Finding]:
    """A printed change of F1 is the difference to the table's first row, which is the baseline."""
    findings = []
    baselines: dict[str, ReportedRow] = {}
    for row in printed_rows(rows):
        f1 = row.get("f1")
        if not f1:
            continue
        baseline = baselines.setdefault(row.table, f1)

        change = row.get("f1_change")
        difference = f1.number - baseline.number
        if change and abs(difference - change.number) > half_unit(change):
            evidence = (
                f"{f1.printed} - {baseline.printed} = {difference:+.4f}, printed {change.printed}"
            )
            findings.append(Finding("change_against_parts", (row.table,), row.subject, evidence))
    return findings


# ---- Ranges and columns -------------------------------------------------------------------------


def out_of_range(rows: list[ReportedRow]) -> list[Finding]:
    """Percentages lie in 0 to 100, fractions in 0 to 1, counts and costs above 0."""
    findings = []
    for row in printed_rows(rows):
        for metric, cell in row.cells.items():
            limit = _limit(metric)
            negative = cell.number < 0 and metric != "f1_change"
            if cell.number > limit or negative:
                evidence = f"{metric}: {cell.printed} is not in 0 to {limit}"
                findings.append(Finding("out_of_range", (row.table,), row.subject, evidence))
    return findings


def _limit(metric: str) -> float:
    if metric in PERCENT:
        return 100
    if metric in FRACTIONS:
        return 1
    return float("inf")


def top3_against_all(rows: list[ReportedRow]) -> list[Finding]:
    """Recall that rises, or precision that falls, where only the top 3 of a picture count.

    Top-3 answers are, where they also must pass the threshold, a part of all answers: recall cannot
    rise. Precision nearly always rises, for the three best answers are the surest.
    """
    findings = []
    for row in printed_rows(rows):
        for metric in ("CP", "CR", "OP", "OR"):
            every = row.get(metric)
            top = row.get(f"top3_{metric}")
            if not every or not top:
                continue

            is_precision = metric.endswith("P")
            odd = top.number < every.number if is_precision else top.number > every.number
            if odd:
                evidence = (
                    f"{metric} {every.printed}, of the top three {top.printed} "
                    f"({top.number - every.number:+.1f})"
                )
                findings.append(Finding("top3_against_all", (row.table,), row.subject, evidence))
    return findings


def copied_column(rows: list[ReportedRow]) -> list[Finding]:
    """F1 equal to recall or IoU in ten digits or more, or in all of them but one.

    F1 = IoU is possible only where every sample has both at 0 or 1, and then precision equals them
    too.
    """
    findings = []
    for row in printed_rows(rows):
        for split, other in itertools.product(SPLITS, ("recall", "iou")):
            evidence = _copy_of_f1(row, split, other)
            if evidence:
                findings.append(Finding("copied_column", (row.table,), row.subject, evidence))
    return findings


def _copy_of_f1(row: PrintedRow, split: str, other: str) -> str | None:
    """`other`: the metric that F1 may be a copy of."""
    f1 = row.get(f"{split}samples_f1")
    second = row.get(f"{split}samples_{other}")
    if not f1 or not second:
        return None

    # "0." and ten digits.
    if len(f1.printed) < 12 or len(f1.printed) != len(second.printed):
        return None
    differing = sum(a != b for a, b in zip(f1.printed, second.printed, strict=True))
    if differing > 1:
        return None

    extent = "in all digits but one" if differing else "to the last digit"
    evidence = f"{split}F1 {f1.printed} = {split}{other} {second.printed} {extent}"

    precision = row.get(f"{split}samples_precision")
    if other == "iou" and precision and precision.printed != f1.printed:
        evidence += (
            f"; F1 = IoU needs every sample at 0 or 1, hence precision {f1.printed} too, but it is "
            f"{precision.printed}"
        )
    return evidence


# ---- What numbers betray ------------------------------------------------------------------------


def accuracy_of_nothing(rows: list[ReportedRow]) -> list[Finding]:
    """An accuracy that predicting nothing would have: it shows no skill.

    Accuracy a, micro P and R give the share of positive decisions
    s = (1 - a) / (1 - R + R (1 - P) / P); predicting nothing is right in 1 - s of them.
    """
    findings = []
    for row in printed_rows(rows):
        if not row.has("accuracy", "micro_precision", "micro_recall"):
            continue
        accuracy = row.cells["accuracy"]
        a = accuracy.number
        p = row.cells["micro_precision"].number
        r = row.cells["micro_recall"].number
        if p == 0:
            continue

        # Wrong decisions, 1 - a, are missed positives and false ones; both follow from s, P and R.
        share = (1 - a) / (1 - r + r * (1 - p) / p)
        if abs(1 - share - a) <= half_unit(accuracy):
            evidence = (
                f"(1 - {a:g}) / (1 - {r:g} + {r:g} x (1 - {p:g}) / {p:g}) = {share:.4f} of the "
                f"decisions are positive; predicting nothing gives 1 - {share:.4f} = "
                f"{1 - share:.3f}, printed accuracy {accuracy.printed}"
            )
            findings.append(Finding("accuracy_of_nothing", (row.table,), row.subject, evidence))
    return findings


# Digits that a mean of small ratios must show before its divisor can be told, with "0.".
LONG_DECIMAL = 17
LARGEST_DIVISOR = 100_000

# No picture has more labels: a larger prime comes from the number of pictures or batches.
MOST_LABELS = 20


def other_number_of_samples(rows: list[ReportedRow]) -> list[Finding]:
    """Rows of a table whose means were divided by different numbers of batches or pictures.

    Long decimals that are means of small ratios betray what they were divided by: a prime above 20
    divides the number of batches or pictures, which must be the same for every row of a table.
    """
    # By table and row: the largest prime of each metric's denominator.
    primes: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for cell in rows:
        denominator = _denominator(cell)
        if denominator:
            primes[cell.table][cell.row].add(_largest_prime(denominator))

    findings = []
    for table, by_row in primes.items():
        divisors = {}
        for row, values in by_row.items():
            largest = max(values)
            divisors[row] = largest if largest > MOST_LABELS else 1

        if len(set(divisors.values())) > 1:
            texts = [f"{row}: {_divisor_text(prime)}" for row, prime in divisors.items()]
            evidence = f"divided by {', '.join(texts)}"
            findings.append(Finding("other_number_of_samples", (table,), "denominators", evidence))
    return findings


def _denominator(cell: ReportedRow) -> int | None:
    """Of the fraction that a long decimal is, if it is one."""
    if not cell.metric.startswith("samples_") or len(cell.printed) < LONG_DECIMAL:
        return None
    printed = Fraction(cell.printed)

    # A number that no small fraction comes so near to is none.
    fraction = printed.limit_denominator(LARGEST_DIVISOR)
    if abs(fraction - printed) >= Fraction(1, 10**13):
        return None
    return fraction.denominator


def _largest_prime(number: int) -> int:
    """The largest prime factor, 1 of 1."""
    largest = 1
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            largest = divisor
            number //= divisor
        divisor += 1
    return max(largest, number)


def _divisor_text(prime: int) -> str:
    if prime > 1:
        return f"a multiple of {prime}"
    return f"no prime above {MOST_LABELS}"
