"""The tables of a study's page: as printed, with what our records and the cost measurement say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlrepro.judging import mean, metric_values
from mlrepro.metrics.catalogue import PERCENT, is_recorded
from mlrepro.report.markdown import ABSENT, Markdown, name, number, signed, spread
from mlrepro.report.markdown import table as markdown_table
from mlrepro.report.tables import environment
from mlrepro.studies.description import Table
from mlrepro.studies.reported import ReportedRow
from mlrepro.studies.results import Result, StudyResults, record_metric

# Columns that a page shows without scrolling.
WIDTH = 9

NOT_MEASURED = "not measured"

# Marks behind numbers; the legend of the page explains them.
OTHER_NETWORK = "°"
MARKS = {
    "yes": "",
    "third party": "ᵗ",
    "memory": "ᵐ",
}

# Printed metrics whose column bears another header.
HEADERS = {
    "GFLOPs": "GFLOPs, printed",
    "params_m": "M params, printed",
    "samples_f1": "F1",
    "samples_iou": "IoU",
    "samples_precision": "precision",
    "samples_recall": "recall",
    "mAP_paper": "mAP by the paper",
}

# Averages that an F1 may be whose average the study does not say: micro is compared, the others
# stand beside it. Each with what its columns' headers end with.
COMPARED_AVERAGE = "micro"
OTHER_AVERAGES = {
    "macro": ", macro",
    "sample": ", per sample",
}

# Header -> cells, one a row.
Columns = dict[str, Sequence[str]]

# The columns that hold no numbers.
LEFT = {"row", "model", "data set", "status", "backbone", "variant", "weights to start from"}


def kept(columns: Columns) -> Columns:
    """Those with something in them."""
    nothing = {"", ABSENT, NOT_MEASURED}
    return {header: cells for header, cells in columns.items() if set(cells) - nothing}


def columns_table(columns: Columns) -> Markdown:
    """Text to the left, numbers to the right."""
    align = "".join("l" if header in LEFT else "r" for header in columns)
    return markdown_table(align, list(columns), list(zip(*columns.values(), strict=True)))


# ---- One printed table --------------------------------------------------------------------------


@dataclass(frozen=True)
class PrintedTable:
    """Markdown of a printed table and of what is reproduced of it.

    matrix_of:     the metric of a table that is printed with a column a data set.
    printed:       the table, in parts none of which is wider than WIDTH.
    reproduced:    of a matrix, its measured rows.
    other_metrics: of any other table: reproduced / delta of printed metrics that are not judged.
    """

    printed: list[str]
    matrix_of: str | None = None
    reproduced: str | None = None
    other_metrics: list[str] = field(default_factory=list)


def printed_table(results: StudyResults, table: Table) -> PrintedTable:
    """The table with our columns."""
    group = results.by_table[table.id]
    lines_of_label = Counter(result.row.label for result in group)
    on_several_sets = max(lines_of_label.values()) > 1

    if on_several_sets and len(table.columns) == 1:
        return PrintedTable(
            printed=[_matrix(group, table)],
            matrix_of=table.columns[0],
            reproduced=_reproduced_rows(group),
        )
    return PrintedTable(
        printed=_parts(results, group, table),
        other_metrics=_other_metrics(group, table),
    )


def _parts(results: StudyResults, group: list[Result], table: Table) -> list[str]:
    """The table as printed, then our columns; split where that is too wide."""
    ids = _id_columns(group)
    printed = {}
    for metric in table.columns:
        cells = [printed_text(result.cells.get(metric)) for result in group]
        printed[HEADERS.get(metric, metric)] = cells
    ours = _our_columns(group)
    measured_costs = _cost_columns(results, group)

    # Costs in a part of their own stand beside the printed ones.
    of_costs = (HEADERS["GFLOPs"], HEADERS["params_m"])
    printed_costs = {header: cells for header, cells in printed.items() if header in of_costs}
    costs = printed_costs | measured_costs

    # Everything in one part, or costs below, or printed numbers, ours and costs below each other.
    room = WIDTH - len(ids)
    if len(printed | ours | measured_costs) <= room:
        parts = [printed | ours | measured_costs]
    elif len(printed | ours) <= room:
        parts = [printed | ours]
        if measured_costs:
            parts.append(costs)
    else:
        parts = _even_parts(printed, room)

        # Ours are compared with a printed number that now stands in another part: once more.
        compared = _judged_column(group) | ours
        if not printed_costs:
            parts.append(compared | measured_costs)
        else:
            parts.append(compared)
            if measured_costs:
                parts.append(costs)
    return [columns_table(ids | part) for part in parts]


def _even_parts(columns: Columns, room: int) -> list[Columns]:
    """As few parts as fit into `room` columns each, of as equal width as can be."""
    if not columns:
        return []
    headers = list(columns)
    count = -(-len(headers) // room)
    size = -(-len(headers) // count)

    parts = []
    for start in range(0, count * size, size):
        parts.append({header: columns[header] for header in headers[start : start + size]})
    return parts


def _id_columns(group: list[Result]) -> Columns:
    """What names a row: its own name, and model and data set where they say more."""
    several_sets = len({result.row.data_set for result in group}) > 1
    models = [_model_name(result.row) for result in group]
    data_sets = [name(result.row.data_set) if several_sets else "" for result in group]
    return {
        "row": [result.row.row for result in group],
        **kept({"model": models, "data set": data_sets}),
    }


def _model_name(row: ReportedRow) -> str:
    """Backbone and pixels; not a backbone that the row is named after."""
    backbone = row.backbone if row.backbone != row.row else ""
    return " ".join(str(part) for part in (backbone, row.resolution) if part)


def _matrix(group: list[Result], table: Table) -> str:
    """As printed: a line a row, a column a data set."""
    lines: dict[tuple, dict[str, Result]] = {}
    for result in group:
        lines.setdefault(result.row.label, {})[result.row.data_set] = result

    # Any of a line's results names it, apart from its data set.
    ids = _id_columns([next(iter(line.values())) for line in lines.values()])
    ids.pop("data set", None)

    metric = table.columns[0]
    numbers = {}
    for data_set in table.data_sets:
        numbers[data_set] = [
            printed_text(line[data_set].cells[metric]) if data_set in line else ABSENT
            for line in lines.values()
        ]

    status = [_statuses_text(list(line.values())) for line in lines.values()]
    return columns_table(ids | numbers | {"status": status})


def _statuses_text(line: list[Result]) -> str:
    """The status of all data sets of a line, or how many have each."""
    counts = Counter(result.status for result in line if result.status)
    if len(counts) == 1:
        (status,) = counts
        return status

    texts = [f"{count} {status}" for status, count in counts.items()]
    return ", ".join(texts)


def printed_text(cell: ReportedRow | None) -> str:
    """What is printed, verbatim, marked where we have not seen it in the original."""
    if cell is None:
        return ABSENT
    return cell.printed + MARKS[cell.checked]


# ---- What our records say -----------------------------------------------------------------------


def compare(result: Result, metric: str, average: str = COMPARED_AVERAGE) -> tuple[str, str]:
    """Reproduced value and delta, in the printed unit."""
    cell = result.cells.get(metric)
    if not cell or not result.records:
        return ABSENT, ABSENT

    # micro_F1 -> macro_F1; names of other metrics hold no average.
    name, unit = record_metric(cell)
    name = name.replace(COMPARED_AVERAGE, average)

    decimals = 2 if unit == PERCENT else 4
    values = []
    for value in metric_values(result.records, name):
        values.append(None if value is None else value * unit)

    if None in values:
        return spread(values, decimals), ABSENT
    delta = mean(values) - cell.number
    return spread(values, decimals), signed(delta, decimals)


def _judged_names(group: list[Result]) -> str:
    """What headers say of the judged metric: its name, if the rows have one in common."""
    names = {HEADERS.get(result.metric, result.metric) for result in group} - {None}
    return f" {names.pop()}" if len(names) == 1 else ""


def _judged_column(group: list[Result]) -> Columns:
    """The printed number that is judged."""
    cells = [printed_text(result.cells.get(result.metric)) for result in group]
    return kept({f"printed{_judged_names(group)}": cells})


def _our_columns(group: list[Result]) -> Columns:
    """What our records say of the judged number."""
    compared = [compare(result, result.metric) for result in group]
    columns = {
        f"reproduced{_judged_names(group)}": [value for value, _ in compared],
        "accuracy of answering nothing": [_accuracy_of_nothing(result) for result in group],
        "delta": [delta for _, delta in compared],
    }
    for average, ending in OTHER_AVERAGES.items():
        columns[f"f1{ending}"] = [compare(result, "f1", average)[0] for result in group]
    columns["third parties"] = [_third_parties(result) for result in group]
    columns["of labelled pictures"] = [_map_of_labelled(result) for result in group]
    columns["status"] = [result.status or ABSENT for result in group]
    return kept(columns)


def _third_parties(result: Result) -> str:
    """The judged metric of scores that claim to be the row, recomputed, in the printed unit."""
    if not result.metric or not result.third_parties:
        return ABSENT
    name, unit = record_metric(result.cells[result.metric])
    decimals = 2 if unit == PERCENT else 4
    texts = []
    for record in result.third_parties:
        value = record.selected.metrics.get(name)
        texts.append(number(None if value is None else value * unit, decimals))
    return ", ".join(texts)


def _accuracy_of_nothing(result: Result) -> str:
    """Label accuracy of "no label" for every picture, in the unit of a printed accuracy."""
    cell = result.cells.get("accuracy")
    if not cell or not result.records:
        return ABSENT
    _, unit = record_metric(cell)
    percents = metric_values(result.records, "all_negative_accuracy")
    values = [None if value is None else value * unit for value in percents]
    return spread(values, 2 if unit == PERCENT else 4)


def _map_of_labelled(result: Result) -> str:
    """mAP of the test pictures that have a label, where mAP is printed."""
    if "mAP" not in result.cells:
        return ABSENT
    name, _ = record_metric(result.cells["mAP"])
    return spread(metric_values(result.records, f"{name}_annotated"))


def _reproduced_rows(group: list[Result]) -> str | None:
    """The judged metric of a matrix's rows, data set by data set, where measured."""
    measured = [result for result in group if result.records or result.third_parties]
    if not measured:
        return None
    columns = _id_columns(measured) | _judged_column(measured) | _our_columns(measured)
    return columns_table(columns)


def _other_metrics(group: list[Result], table: Table) -> list[str]:
    """Reproduced / delta of the printed metrics that are not judged, where measured."""
    measured = [result for result in group if result.records]
    if not measured:
        return []

    judged = {result.metric for result in measured}
    columns = {}
    for metric in table.columns:
        if not is_recorded(metric) or metric in judged:
            continue
        header = HEADERS.get(metric, metric)
        columns[header] = _compared_cells(measured, metric, COMPARED_AVERAGE)

        # F1 at a stated threshold, whose average is not stated.
        if metric.startswith("f1@"):
            for average, ending in OTHER_AVERAGES.items():
                columns[header + ending] = _compared_cells(measured, metric, average)

    ids = _id_columns(measured)
    parts = _even_parts(kept(columns), WIDTH - len(ids))
    return [columns_table(ids | part) for part in parts]


def _compared_cells(group: list[Result], metric: str, average: str) -> list[str]:
    cells = []
    for result in group:
        value, delta = compare(result, metric, average)
        absent = value == delta == ABSENT
        cells.append(ABSENT if absent else f"{value} / {delta}")
    return cells


# ---- What the models cost -----------------------------------------------------------------------


def _cost_columns(results: StudyResults, group: list[Result]) -> Columns:
    """Measured costs beside the printed rows."""
    gflops = [_gflops_cells(results, result) for result in group]
    return kept(
        {
            "paper's way": [counted for counted, _ in gflops],
            "difference": [difference for _, difference in gflops],
            "plain network / 2^20": [_plain_parameters(results, result) for result in group],
            "its file, MB / MiB": [_plain_file(results, result) for result in group],
            "GMACs": [_measured_cost(results, result, "gmacs", 1) for result in group],
            "M params": [_measured_cost(results, result, "parameters", 1e6) for result in group],
            "images/s": [_scoring_speed(result) for result in group],
        }
    )


def _gflops_cells(results: StudyResults, result: Result) -> tuple[str, str]:
    """GFLOPs counted the paper's way, and that minus what is printed."""
    run = result.row.run
    printed = result.cells.get("GFLOPs")
    counted = results.gflops_as_printed(run) if run and printed else None
    if counted is None:
        return ABSENT, ABSENT

    text = number(counted)
    if counted and run in results.description.gflops_of:
        text += OTHER_NETWORK
    return text, signed(counted - printed.number, 2)


def _plain_parameters(results: StudyResults, result: Result) -> str:
    """In binary millions, where the study prints those of the plain ImageNet network."""
    parameters = results.cost(result.row.run, "backbone_parameters")
    shown = results.description.plain_network and "params_m" in result.cells
    if not shown or not parameters:
        return ABSENT
    return number(parameters / 2**20)


def _plain_file(results: StudyResults, result: Result) -> str:
    size = results.cost(result.row.run, "backbone_bytes")
    shown = results.description.plain_network and "model_size_mb" in result.cells
    if not shown or not size:
        return ABSENT
    return f"{size / 1e6:.0f} / {size / 2**20:.0f}"


def _measured_cost(results: StudyResults, result: Result, key: str, unit: float) -> str:
    measured = results.cost(result.row.run, key)
    if measured:
        return number(measured / unit)
    return NOT_MEASURED if result.row.run else ABSENT


def _scoring_speed(result: Result) -> str:
    """Pictures a second of runs that score a checkpoint as it is."""
    speeds = [
        environment(record).images_per_second for record in result.records if not record.run.epochs
    ]
    return spread(speeds, 1)
