"""Checks of printed costs: parameters, file sizes, times and GFLOPs."""

import itertools
from collections import defaultdict

from mlrepro.data.class_counts import CLASS_COUNTS
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.checks.finding import Finding, half_unit, printed_rows
from mlrepro.studies.reported import ReportedRow

# Parameters of the 1000-class ImageNet networks (timm).
PARAMETERS = {
    "resnet50": 25_557_032,
    "vit_base_patch16_224": 86_567_656,
    "deit_small_patch16_224": 22_050_664,
    "swin_base_patch4_window7_224": 87_768_224,
}
BYTES_OF_FLOAT32 = 4

MEGA = 10**6
MEBI = 2**20


# ---- Parameters and file sizes ------------------------------------------------------------------


def parameters_in_binary_millions(rows: list[ReportedRow]) -> list[Finding]:
    """A count in "M" that is the plain ImageNet network's divided by 2^20, not by 10^6."""
    findings = []
    for row in printed_rows(rows):
        cell = row.get("params_m")
        count = _network_parameters(cell)
        if count is None:
            continue

        binary = count / MEBI
        decimal = count / MEGA
        if abs(binary - cell.number) <= half_unit(cell) < abs(decimal - cell.number):
            evidence = (
                f"{count:,} / 2^20 = {binary:.2f} = printed {cell.printed}; "
                f"{count:,} / 10^6 = {decimal:.2f}"
            )
            findings.append(
                Finding("parameters_in_binary_millions", (row.table,), row.subject, evidence)
            )
    return findings


def mixed_size_units(rows: list[ReportedRow]) -> list[Finding]:
    """Within one table all sizes of float32 weights must fit MB (10^6), or all MiB (2^20)."""
    # By table and unit: what each row prints.
    sizes: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in printed_rows(rows):
        count = _network_parameters(row.get("params_m"))
        size = row.get("model_size_mb")
        if count is None or size is None:
            continue

        decimal = BYTES_OF_FLOAT32 * count / MEGA
        binary = BYTES_OF_FLOAT32 * count / MEBI
        unit = "MB" if abs(size.number - decimal) < abs(size.number - binary) else "MiB"
        sizes[row.table][unit].append(
            f"{size.row}: {BYTES_OF_FLOAT32} x {count:,} bytes = {decimal:.1f} MB = "
            f"{binary:.1f} MiB, printed {size.printed}, nearer to {unit}"
        )

    findings = []
    for table, by_unit in sizes.items():
        if len(by_unit) > 1:
            printed = itertools.chain.from_iterable(by_unit.values())
            evidence = "; ".join(printed)
            findings.append(Finding("mixed_size_units", (table,), "model size", evidence))
    return findings


def _network_parameters(cell: ReportedRow | None) -> int | None:
    """Of the ImageNet network of a printed parameter count's run, where it is listed above."""
    if cell is None or not cell.run:
        return None
    return PARAMETERS.get(parse_run_id(cell.run).backbone)


# ---- Time ---------------------------------------------------------------------------------------


def faster_though_larger(rows: list[ReportedRow]) -> list[Finding]:
    """Three times the parameters or more trained in half the time or less, on the same pictures."""
    tables = defaultdict(list)
    for row in printed_rows(rows):
        if row.has("params_m", "fine_tune_time_s"):
            tables[row.table].append(row)

    findings = []
    for table, members in tables.items():
        for large, small in itertools.permutations(members, 2):
            large_name = large.cells["params_m"].row
            small_name = small.cells["params_m"].row
            large_size = large.cells["params_m"].number
            small_size = small.cells["params_m"].number
            large_time = large.cells["fine_tune_time_s"].number
            small_time = small.cells["fine_tune_time_s"].number

            if large_size >= 3 * small_size and 2 * large_time <= small_time:
                evidence = (
                    f"{large_name} has {large_size:g} / {small_size:g} = "
                    f"{large_size / small_size:.1f} times the parameters of {small_name} and takes "
                    f"{large_time:g} / {small_time:g} = {large_time / small_time:.2f} of its time"
                )
                findings.append(Finding("faster_though_larger", (table,), large_name, evidence))
    return findings


# ---- GFLOPs -------------------------------------------------------------------------------------

# Heads with a query for each class.
QUERY_HEADS = ("query2label", "ml_decoder")


def gflops_copied_between_data_sets(rows: list[ReportedRow]) -> list[Finding]:
    """GFLOPs of heads with a query a class that do not grow with the number of classes.

    A query a class costs something: 20 and 80 classes cannot cost the same, and 81 cost at least
    the mean slope between 20 and 80 more than 80 do (the cost is convex in the number of classes).
    """
    # By document and row label: the cell of each number of classes.
    groups: dict[tuple, dict[int, ReportedRow]] = defaultdict(dict)
    for cell in rows:
        classes = CLASS_COUNTS.get(cell.data_set)
        if cell.metric == "GFLOPs" and classes and _has_queries(cell):
            groups[cell.document, cell.label][classes] = cell

    findings = []
    for (_, (row, backbone, resolution)), cells in groups.items():
        if 20 not in cells or 80 not in cells:
            continue

        few, many, one_more = cells[20], cells[80], cells.get(81)
        if few.number == many.number:
            tables = (many.table, few.table)
            evidence = (
                f"{many.printed} for 80 classes and {few.printed} for 20, as if 60 more queries "
                "cost nothing"
            )
        elif one_more and _is_copy_of_80(few, many, one_more):
            tables = (many.table, one_more.table)
            evidence = _copy_of_80_evidence(few, many, one_more)
        else:
            continue

        subject = f"{row} {backbone} {resolution}"
        findings.append(Finding("gflops_copied_between_data_sets", tables, subject, evidence))
    return findings


def _has_queries(cell: ReportedRow) -> bool:
    return bool(cell.run) and parse_run_id(cell.run).head in QUERY_HEADS


def _least_for_81(few: ReportedRow, many: ReportedRow) -> float:
    """GFLOPs of 81 classes, given those of 20 and 80, as low as rounding allows."""
    half = half_unit(many)
    return (many.number - half) + (many.number - few.number - 2 * half) / 60


def _is_copy_of_80(few: ReportedRow, many: ReportedRow, one_more: ReportedRow) -> bool:
    below = one_more.number + half_unit(many) < _least_for_81(few, many)
    return one_more.number == many.number and below


def _copy_of_80_evidence(few: ReportedRow, many: ReportedRow, one_more: ReportedRow) -> str:
    expected = many.number + (many.number - few.number) / 60
    return (
        f"{many.printed} + ({many.printed} - {few.printed}) / 60 = {expected:.3f} at least for 81 "
        f"classes (rounding granted: {_least_for_81(few, many):.4f}), printed {one_more.printed}, "
        "the number of 80 classes"
    )


def pooling_costs_more(rows: list[ReportedRow]) -> list[Finding]:
    """Two networks that bear one name.

    Pooling is the cheapest head: it cannot cost more than another head on the backbone of the same
    printed name and size.
    """
    groups: dict[tuple, list[ReportedRow]] = defaultdict(list)
    for cell in rows:
        if cell.metric == "GFLOPs" and cell.run:
            groups[cell.table, cell.backbone, cell.resolution].append(cell)

    findings = []
    for (table, backbone, resolution), cells in groups.items():
        pooled = [cell for cell in cells if cell.run.startswith("gap-")]
        if not pooled:
            continue
        pooling = pooled[0]

        cheaper = [c for c in cells if c not in pooled and c.number < pooling.number]
        if cheaper:
            named = ", ".join(f"{cell.row} {cell.printed}" for cell in cheaper)
            evidence = f"{pooling.row} (pooling only) {pooling.printed}, but {named}"
            subject = f"{backbone} {resolution}"
            findings.append(Finding("pooling_costs_more", (table,), subject, evidence))
    return findings
