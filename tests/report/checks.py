"""Checks of printed tables by program: what cannot be right, or cannot be what its label says. No torch.

Each check takes the rows of one study and returns findings with the calculation written out. Rounding is always
granted: a printed 81.6 stands for 81.55 to 81.65."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.reported import ReportedRow

CLASSES = {"voc2007": 20, "coco2014": 80, "coco2017": 80, "nuswide": 81}
# Parameters of the 1000-class ImageNet networks (timm) and pictures with objects or in total (spec, datasets).
PARAMETERS = {
    "resnet50": 25_557_032,
    "vit_base_patch16_224": 86_567_656,
    "deit_small_patch16_224": 22_050_664,
    "swin_base_patch4_window7_224": 87_768_224,
}
COCO_TRAIN_IMAGES = {"2014": (82_783, 82_081), "2017": (118_287, 117_266)}
PERCENT = {
    "mAP",
    "mAP_paper",
    *(p + m for p in ("", "top3_") for m in "CP CR CF1 OP OR OF1".split()),
}
AVERAGED = [
    f"{a}_{m}" for a in ("micro", "macro", "samples") for m in ("f1", "precision", "recall", "iou")
]
FRACTIONS = {f"{p}{m}" for p in ("", "train_") for m in ("accuracy", "f1", *AVERAGED)}
F1_TRIPLES = [(a + "CF1", a + "CP", a + "CR", False) for a in ("", "top3_")]
F1_TRIPLES += [(a + "OF1", a + "OP", a + "OR", True) for a in ("", "top3_")]
F1_TRIPLES += [
    (f"{t}{a}_f1", f"{t}{a}_precision", f"{t}{a}_recall", a == "micro")
    for t in ("", "train_")
    for a in ("micro", "macro", "samples")
]
DIFFERENT_LIMIT = (
    4.0  # mAP points between printed results of one method and protocol that are worth a word
)


@dataclass(frozen=True)
class Finding:
    """`check`: the function that found it; `subject`: row and data set; `evidence`: the calculation with numbers."""

    check: str
    tables: tuple[str, ...]
    subject: str
    evidence: str


Cells = dict[str, ReportedRow]


def _records(rows: list[ReportedRow]) -> Iterator[tuple[str, str, Cells]]:
    """(table, subject, {metric: cell}) of every printed row and data set."""
    groups: dict[tuple, Cells] = defaultdict(dict)
    for row in rows:
        groups[row.cell[:-1]][row.metric] = row
    for (table, row, data_set, backbone, size), cells in groups.items():
        yield table, " ".join(str(part) for part in (row, backbone, size, data_set) if part), cells


def document_of(row: ReportedRow) -> str:
    return re.split(r",| via ", row.source)[0]


def _half_unit(row: ReportedRow) -> float:
    """Half of the last printed digit's place, with a little for binary fractions."""
    decimals = len(row.printed.split("±")[0].partition(".")[2].rstrip("sMB"))
    return 0.5 * 10**-decimals + 1e-9


def harmonic_mean(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def f1_against_precision_and_recall(rows: list[ReportedRow]) -> list[Finding]:
    """Pooled F1 (OF1, micro) is the harmonic mean of its P and R. The harmonic mean is concave, so a mean of F1s over
    classes or samples is never above that of the mean P and R; CF1 as most papers define it equals it."""
    found = []
    for table, subject, cells in _records(rows):
        for f1, p, r, pooled in F1_TRIPLES:
            if not {f1, p, r} <= cells.keys():
                continue
            low, high = (
                harmonic_mean(
                    *(max(cells[m].number + sign * _half_unit(cells[m]), 0) for m in (p, r))
                )
                for sign in (-1, 1)
            )
            value, half = cells[f1].number, _half_unit(cells[f1])
            too_low = value + half < low and (pooled or f1.endswith("CF1"))
            if value - half > high or too_low:
                exact = harmonic_mean(cells[p].number, cells[r].number)
                unit = 1 if f1 in PERCENT else 3
                reading = "; a mean of the classes' F1 could be" if too_low and not pooled else ""
                found.append(
                    Finding(
                        "f1_against_precision_and_recall",
                        (table,),
                        subject,
                        f"{f1}: 2 x {cells[p].printed} x {cells[r].printed} / ({cells[p].printed} + {cells[r].printed}) = "
                        f"{exact:.{unit + 1}f} ({low:.{unit + 1}f} to {high:.{unit + 1}f} with rounding), "
                        f"printed {cells[f1].printed}{reading}",
                    )
                )
    return found


def out_of_range(rows: list[ReportedRow]) -> list[Finding]:
    """Percentages lie in 0 to 100, fractions in 0 to 1, counts and costs above 0."""
    found = []
    for table, subject, cells in _records(rows):
        for metric, cell in cells.items():
            limit = 100 if metric in PERCENT else 1 if metric in FRACTIONS else float("inf")
            if cell.number > limit or (cell.number < 0 and metric != "f1_change"):
                found.append(
                    Finding(
                        "out_of_range",
                        (table,),
                        subject,
                        f"{metric}: {cell.printed} is not in 0 to {limit}",
                    )
                )
    return found


def copied_column(rows: list[ReportedRow]) -> list[Finding]:
    """F1 equal to recall or IoU in ten digits or more, or in all of them but one. F1 = IoU is possible only where every
    sample has both at 0 or 1, and then precision equals them too."""
    found = []
    for table, subject, cells in _records(rows):
        for train, other in itertools.product(("", "train_"), ("recall", "iou")):
            f1, second = cells.get(f"{train}samples_f1"), cells.get(f"{train}samples_{other}")
            if (
                not f1
                or not second
                or len(f1.printed) < 12
                or len(f1.printed) != len(second.printed)
            ):
                continue
            differing = sum(a != b for a, b in zip(f1.printed, second.printed, strict=True))
            if differing > 1:
                continue
            how = "to the last digit" if not differing else "in all digits but one"
            precision = cells.get(f"{train}samples_precision")
            more = (
                f"; F1 = IoU needs every sample at 0 or 1, hence precision {f1.printed} too, but it is "
                f"{precision.printed}"
                if other == "iou" and precision and precision.printed != f1.printed
                else ""
            )
            found.append(
                Finding(
                    "copied_column",
                    (table,),
                    subject,
                    f"{train}F1 {f1.printed} = {train}{other} {second.printed} {how}{more}",
                )
            )
    return found


def change_against_parts(rows: list[ReportedRow]) -> list[Finding]:
    """A printed change of F1 is the difference to the table's first row, which is the baseline."""
    found, baselines = [], {}
    for table, subject, cells in _records(rows):
        if "f1" not in cells:
            continue
        baseline = baselines.setdefault(table, cells["f1"])
        change = cells.get("f1_change")
        difference = cells["f1"].number - baseline.number
        if change and abs(difference - change.number) > _half_unit(change):
            found.append(
                Finding(
                    "change_against_parts",
                    (table,),
                    subject,
                    f"{cells['f1'].printed} - {baseline.printed} = {difference:+.4f}, printed {change.printed}",
                )
            )
    return found


def same_run_other_number(rows: list[ReportedRow]) -> list[Finding]:
    """One run has one number, in whichever table of a document it stands."""
    groups: dict[tuple, list[ReportedRow]] = defaultdict(list)
    for row in rows:
        if row.run:
            groups[document_of(row), row.run, row.metric].append(row)
    found = []
    for (document, run, metric), cells in groups.items():
        if len({cell.number for cell in cells}) > 1:
            text = ", ".join(f"{cell.printed} ({cell.row}, Table {cell.table})" for cell in cells)
            found.append(
                Finding(
                    "same_run_other_number",
                    tuple(dict.fromkeys(c.table for c in cells)),
                    run,
                    f"{document}, {metric}: {text}",
                )
            )
    return found


def top3_against_all(rows: list[ReportedRow]) -> list[Finding]:
    """Top-3 answers are, where they also must pass the threshold, a part of all answers: recall cannot rise. Precision
    nearly always rises, for the three best answers are the surest."""
    found = []
    for table, subject, cells in _records(rows):
        for metric in ("CP", "CR", "OP", "OR"):
            every, top = cells.get(metric), cells.get(f"top3_{metric}")
            if (
                every
                and top
                and (top.number < every.number if metric[1] == "P" else top.number > every.number)
            ):
                found.append(
                    Finding(
                        "top3_against_all",
                        (table,),
                        subject,
                        f"{metric} {every.printed}, of the top three {top.printed} "
                        f"({top.number - every.number:+.1f})",
                    )
                )
    return found


def parameters_in_binary_millions(rows: list[ReportedRow]) -> list[Finding]:
    """A count in "M" that is the plain ImageNet network's divided by 2^20, not by 10^6."""
    found = []
    for table, subject, cells in _records(rows):
        cell = cells.get("params_m")
        count = PARAMETERS.get(parse_run_id(cell.run).backbone) if cell and cell.run else None
        if count and abs(count / 2**20 - cell.number) <= _half_unit(cell) < abs(
            count / 1e6 - cell.number
        ):
            found.append(
                Finding(
                    "parameters_in_binary_millions",
                    (table,),
                    subject,
                    f"{count:,} / 2^20 = {count / 2**20:.2f} = printed {cell.printed}; "
                    f"{count:,} / 10^6 = {count / 1e6:.2f}",
                )
            )
    return found


def mixed_size_units(rows: list[ReportedRow]) -> list[Finding]:
    """Float32 weights take 4 bytes each: within one table all sizes must fit MB (10^6), or all MiB (2^20)."""
    units: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for table, _, cells in _records(rows):
        cell, size = cells.get("params_m"), cells.get("model_size_mb")
        count = (
            PARAMETERS.get(parse_run_id(cell.run).backbone) if cell and size and cell.run else None
        )
        if count:
            decimal, binary = 4 * count / 1e6, 4 * count / 2**20
            unit = "MB" if abs(size.number - decimal) < abs(size.number - binary) else "MiB"
            units[table][unit].append(
                f"{size.row}: 4 x {count:,} bytes = {decimal:.1f} MB = {binary:.1f} MiB, "
                f"printed {size.printed}, nearer to {unit}"
            )
    return [
        Finding(
            "mixed_size_units", (table,), "model size", "; ".join(itertools.chain(*kinds.values()))
        )
        for table, kinds in units.items()
        if len(kinds) > 1
    ]


def faster_though_larger(rows: list[ReportedRow]) -> list[Finding]:
    """At least three times the parameters trained in half the time or less, on the same pictures."""
    tables: dict[str, list[Cells]] = defaultdict(list)
    for table, _, cells in _records(rows):
        if {"params_m", "fine_tune_time_s"} <= cells.keys():
            tables[table].append(cells)
    found = []
    for table, members in tables.items():
        for large, small in itertools.permutations(members, 2):
            sizes, times = (
                [c[m].number for c in (large, small)] for m in ("params_m", "fine_tune_time_s")
            )
            if sizes[0] >= 3 * sizes[1] and 2 * times[0] <= times[1]:
                found.append(
                    Finding(
                        "faster_though_larger",
                        (table,),
                        large["params_m"].row,
                        f"{large['params_m'].row} has {sizes[0]:g} / {sizes[1]:g} = {sizes[0] / sizes[1]:.1f} times the "
                        f"parameters of {small['params_m'].row} and takes {times[0]:g} / {times[1]:g} = "
                        f"{times[0] / times[1]:.2f} of its time",
                    )
                )
    return found


def gflops_copied_between_data_sets(rows: list[ReportedRow]) -> list[Finding]:
    """A query a class costs something: 20 and 80 classes cannot cost the same, and 81 cost at least the mean slope
    between 20 and 80 more than 80 do (the cost is convex in the number of classes)."""
    groups: dict[tuple, dict[int, ReportedRow]] = defaultdict(dict)
    for row in rows:
        per_class = row.run.startswith(("query2label-", "ml_decoder-"))
        if row.metric == "GFLOPs" and per_class and row.data_set in CLASSES:
            groups[document_of(row), row.label][CLASSES[row.data_set]] = row
    found = []
    for (_, (label, backbone, size)), cells in groups.items():
        if not {20, 80} <= cells.keys():
            continue
        few, many, more = cells[20], cells[80], cells.get(81)
        subject = f"{label} {backbone} {size}"
        half = _half_unit(many)
        least = (many.number - half) + (many.number - few.number - 2 * half) / 60
        if few.number == many.number:
            found.append(
                Finding(
                    "gflops_copied_between_data_sets",
                    (many.table, few.table),
                    subject,
                    f"{many.printed} for 80 classes and {few.printed} for 20, as if 60 more queries cost nothing",
                )
            )
        elif more and more.number == many.number and more.number + half < least:
            expected = many.number + (many.number - few.number) / 60
            found.append(
                Finding(
                    "gflops_copied_between_data_sets",
                    (many.table, more.table),
                    subject,
                    f"{many.printed} + ({many.printed} - {few.printed}) / 60 = {expected:.3f} at least for 81 classes "
                    f"(rounding granted: {least:.4f}), printed {more.printed}, the number of 80 classes",
                )
            )
    return found


def pooling_costs_more(rows: list[ReportedRow]) -> list[Finding]:
    """Pooling is the cheapest head: where it costs more than another head on the backbone of the same printed name and
    size, two networks bear one name."""
    tables: dict[tuple, list[ReportedRow]] = defaultdict(list)
    for row in rows:
        if row.metric == "GFLOPs" and row.run:
            tables[row.table, row.backbone, row.resolution].append(row)
    found = []
    for (table, backbone, size), cells in tables.items():
        pooled = [cell for cell in cells if cell.run.startswith("gap-")]
        cheaper = [
            cell
            for cell in cells
            if cell not in pooled and pooled and cell.number < pooled[0].number
        ]
        if cheaper:
            text = ", ".join(f"{cell.row} {cell.printed}" for cell in cheaper)
            found.append(
                Finding(
                    "pooling_costs_more",
                    (table,),
                    f"{backbone} {size}",
                    f"{pooled[0].row} (pooling only) {pooled[0].printed}, but {text}",
                )
            )
    return found


def data_set_year(rows: list[ReportedRow]) -> list[Finding]:
    """A data set that is labelled with one year and has another year's number of pictures."""
    found = []
    for row in rows:
        for year, counts in COCO_TRAIN_IMAGES.items():
            if (
                row.metric == "train_images"
                and "COCO" in row.row
                and year not in row.row
                and row.number in counts
            ):
                found.append(
                    Finding(
                        "data_set_year",
                        (row.table,),
                        row.row,
                        f"{row.printed} training images are COCO {year}'s ({counts[0]}, or {counts[1]} with objects), "
                        f"labelled {row.row}",
                    )
                )
    return found


def accuracy_of_nothing(rows: list[ReportedRow]) -> list[Finding]:
    """Accuracy a, micro P and R give the share of positive decisions s = (1 - a) / (1 - R + R (1 - P) / P); predicting
    nothing is right in 1 - s of them. An accuracy that equals it shows no skill."""
    found = []
    for table, subject, cells in _records(rows):
        names = ("accuracy", "micro_precision", "micro_recall")
        if not set(names) <= cells.keys() or not cells["micro_precision"].number:
            continue
        accuracy, p, r = (cells[name].number for name in names)
        share = (1 - accuracy) / (1 - r + r * (1 - p) / p)
        if abs(1 - share - accuracy) <= _half_unit(cells["accuracy"]):
            found.append(
                Finding(
                    "accuracy_of_nothing",
                    (table,),
                    subject,
                    f"(1 - {accuracy:g}) / (1 - {r:g} + {r:g} x (1 - {p:g}) / {p:g}) = {share:.4f} of the decisions are "
                    f"positive; predicting nothing gives 1 - {share:.4f} = {1 - share:.3f}, printed accuracy "
                    f"{cells['accuracy'].printed}",
                )
            )
    return found


def _largest_prime(number: int) -> int:
    largest, divisor = 1, 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            largest, number = divisor, number // divisor
        divisor += 1
    return max(largest, number)


def other_number_of_samples(rows: list[ReportedRow]) -> list[Finding]:
    """Long decimals that are means of small ratios betray what they were divided by: a prime above 20 (no picture has
    more labels) divides the number of batches or pictures, which must be the same for every row of a table."""
    tables: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if row.metric.startswith("samples_") and len(row.printed) >= 17:
            fraction = Fraction(row.printed).limit_denominator(100_000)
            if abs(fraction - Fraction(row.printed)) < Fraction(1, 10**13):
                tables[row.table][row.row].add(_largest_prime(fraction.denominator))
    found = []
    for table, members in tables.items():
        primes = {row: max(values) if max(values) > 20 else 1 for row, values in members.items()}
        if len(set(primes.values())) > 1:
            text = ", ".join(
                f"{row}: " + (f"a multiple of {prime}" if prime > 1 else "no prime above 20")
                for row, prime in primes.items()
            )
            found.append(
                Finding("other_number_of_samples", (table,), "denominators", f"divided by {text}")
            )
    return found


def papers_disagree(rows: list[ReportedRow]) -> list[Finding]:
    """Printed mAPs of one run that lie far apart between papers: no proof of an error, but the target is uncertain."""
    groups: dict[str, list[ReportedRow]] = defaultdict(list)
    for row in rows:
        if row.run and row.metric == "mAP":
            groups[row.run].append(row)
    found = []
    for run, cells in groups.items():
        low, high = min(cells, key=lambda c: c.number), max(cells, key=lambda c: c.number)
        if high.number - low.number > DIFFERENT_LIMIT and document_of(high) != document_of(low):
            found.append(
                Finding(
                    "papers_disagree",
                    tuple(dict.fromkeys((high.table, low.table))),
                    run,
                    f"{high.printed} ({document_of(high)}) - {low.printed} ({document_of(low)}) = "
                    f"{high.number - low.number:.1f}",
                )
            )
    return found


CHECKS = (
    f1_against_precision_and_recall,
    out_of_range,
    copied_column,
    change_against_parts,
    same_run_other_number,
    top3_against_all,
    parameters_in_binary_millions,
    mixed_size_units,
    faster_though_larger,
    gflops_copied_between_data_sets,
    pooling_costs_more,
    data_set_year,
    accuracy_of_nothing,
    other_number_of_samples,
    papers_disagree,
)


def check_tables(rows: list[ReportedRow]) -> list[Finding]:
    """All checks on the rows of one study, in a fixed order."""
    return [finding for check in CHECKS for finding in check(rows)]
