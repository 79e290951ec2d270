"""The tables of a study's page: as printed, with what our records and the cost measurement say beside or below."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from mlrepro.report.reported import ReportedRow, RunId, Table, parse_run_id
from mlrepro.report.study_results import METRICS, Result, StudyResults, record_metric
from mlrepro.report.tables import ABSENT, code, escape, metric_values, number, spread, table
from mlrepro.results import Status, mean_and_std

WIDTH = 9  # columns that a page shows without scrolling
NOT_MEASURED = "not measured"
OTHER_NETWORK = "°"
MARKS = {"yes": "", "third party": "ᵗ", "memory": "ᵐ"}
AVERAGES = {"micro": "", "macro": ", macro", "sample": ", per sample"}  # of an F1 whose average the study does not say
HEADERS = {"GFLOPs": "GFLOPs, printed", "params_m": "M params, printed", "samples_f1": "F1", "samples_iou": "IoU",
           "samples_precision": "precision", "samples_recall": "recall", "mAP_paper": "mAP by the paper"}


class Column(NamedTuple):
    header: str
    align: str
    cells: list[str]


def kept(columns: list[Column]) -> list[Column]:
    return [column for column in columns if set(column.cells) - {"", ABSENT, NOT_MEASURED}]


def render(columns: list[Column]) -> str:
    return table("".join(column.align for column in columns), [column.header for column in columns],
                 [list(cells) for cells in zip(*(column.cells for column in columns), strict=True)])


def study_tables(results: StudyResults, listed: Table) -> list[str]:
    """The printed table with our columns, split so that no part is wider than WIDTH."""
    group = results.results[listed.id]
    several = max(Counter(result.row.label for result in group).values()) > 1
    if several and len(listed.columns) == 1:
        return _matrix(group, listed) + _reproduced_below(group, listed, primary=True)
    ids = _ids(group)
    printed = [Column(HEADERS.get(m, m), "r", [printed_text(r.cells.get(m)) for r in group]) for m in listed.columns]
    (judged, ours), cost = _our_columns(group), _cost_columns(results, group)
    costs = [column for column in printed if column.header in (HEADERS["GFLOPs"], HEADERS["params_m"])]
    room = WIDTH - len(ids)
    if len(printed + ours + cost) <= room:
        parts = [printed + ours + cost]
    elif len(printed + ours) <= room:
        parts = [printed + ours, costs + cost] if cost else [printed + ours]
    else:
        parts = _even_parts(printed, room) + [judged + ours + ([] if costs else cost)]
        parts += [costs + cost] if costs and cost else []
    return [render(ids + part) for part in parts] + _reproduced_below(group, listed, primary=False)


def _even_parts(columns: list[Column], room: int) -> list[list[Column]]:
    size = -(-len(columns) // -(-len(columns) // room)) if columns else 1
    return [columns[i:i + size] for i in range(0, len(columns), size)]


def _ids(group: list[Result]) -> list[Column]:
    models = [" ".join(str(p) for p in (r.row.backbone if r.row.backbone != r.row.row else "", r.row.resolution or "") if p)
              for r in group]
    sets = [result.row.data_set if len({r.row.data_set for r in group}) > 1 else "" for result in group]
    return [Column("row", "l", [escape(r.row.row) for r in group]),
            *kept([Column("model", "l", [escape(model) for model in models]), Column("data set", "l", sets)])]


def _matrix(group: list[Result], listed: Table) -> list[str]:
    """As printed: a line a row, a column a data set."""
    lines: dict[tuple, dict[str, Result]] = {}
    for result in group:
        lines.setdefault(result.row.label, {})[result.row.data_set] = result
    first = _ids([next(iter(line.values())) for line in lines.values()])[:2]
    first = [column for column in first if column.header != "data set"]
    sets = [Column(name, "r", [printed_text(line[name].cells[listed.columns[0]]) if name in line else ABSENT
                               for line in lines.values()]) for name in listed.data_sets]
    status = Column("status", "l", [_summary(result.status for result in line.values()) for line in lines.values()])
    return [f"Printed {listed.columns[0]}:", render([*first, *sets, status])]


def _summary(statuses: Iterable[Status | None]) -> str:
    counts = Counter(status for status in statuses if status)
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{n} {status}" for status, n in counts.items())


def printed_text(cell: ReportedRow | None) -> str:
    return escape(cell.printed) + MARKS[cell.checked] if cell else ABSENT


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}"
    return text if float(text) else text[1:]  # no sign before 0.00


def _compared(result: Result, metric: str, average: str = "micro") -> tuple[str, str]:
    """Reproduced value and delta, in the printed unit."""
    cell = result.cells.get(metric)
    if not cell or not result.records:
        return ABSENT, ABSENT
    name, unit = record_metric(cell)
    values = [value and value * unit for value in metric_values(result.records, name.replace("micro", average))]
    decimals = 2 if unit == 1 else 4
    delta = ABSENT if None in values else _signed(mean_and_std(values)[0] - cell.number, decimals)
    return spread(values, decimals), delta


def _our_columns(group: list[Result]) -> tuple[list[Column], list[Column]]:
    """The printed number that is judged, and what our records say of it."""
    compared = [_compared(result, result.metric) for result in group]
    names = {HEADERS.get(result.metric, result.metric) for result in group} - {None}
    name = f" {names.pop()}" if len(names) == 1 else ""
    labelled = [spread(metric_values(r.records, f"{record_metric(r.cells['mAP'])[0]}_annotated")) if "mAP" in r.cells else ABSENT
                for r in group]
    others = [Column(f"f1{more}", "r", [_compared(r, "f1", average)[0] for r in group])
              for average, more in AVERAGES.items() if more]
    return (kept([Column(f"printed{name}", "r", [printed_text(r.cells.get(r.metric)) for r in group])]),
            kept([Column(f"reproduced{name}", "r", [value for value, _ in compared]),
                   Column("accuracy of nothing (%)", "r", [spread(metric_values(r.records, "all_negative_accuracy"))
                                                           if "accuracy" in r.cells else "" for r in group]),
                   Column("delta", "r", [delta for _, delta in compared]), *others,
                   Column("of labelled pictures", "r", labelled),
                   Column("status", "l", [result.status or ABSENT for result in group])]))


def _reproduced_below(group: list[Result], listed: Table, primary: bool) -> list[str]:
    """What records give: the judged metric of a matrix, or the other printed metrics of a long table."""
    measured = [result for result in group if result.records]
    if not measured:
        return []
    if primary:
        return ["Reproduced:", render(_ids(measured) + sum(_our_columns(measured), []))]
    ids = _ids(measured)
    others = kept([Column(HEADERS.get(m, m) + more, "r", [" / ".join(dict.fromkeys(_compared(r, m, average))) for r in measured])
                    for m in listed.columns if m in METRICS and m not in {r.metric for r in measured}
                    for average, more in AVERAGES.items() if not more or m.startswith("f1@")])
    return ["Reproduced / delta, of the other printed metrics:"] * bool(others) + [
        render(ids + part) for part in _even_parts(others, WIDTH - len(ids))]


def _cost_columns(results: StudyResults, group: list[Result]) -> list[Column]:
    counted, differences, plain, sizes, gmacs, parameters = [], [], [], [], [], []
    scored = [spread([x.environment.images_per_second for x in result.records if not x.run.epochs], 1) for result in group]
    for result in group:
        run, printed = result.row.run, result.cells.get("GFLOPs")
        value = results.printed_way(run) if run and printed else None
        counted.append(number(value) + (OTHER_NETWORK if run in results.study.text.gflops_of and value else ""))
        differences.append(ABSENT if value is None else _signed(value - printed.number, 2))
        plain_run = run if results.study.text.plain_network else ""
        network, size = results.cost(plain_run, "backbone_parameters"), results.cost(plain_run, "backbone_bytes")
        plain.append(number(network / 2**20) if network and "params_m" in result.cells else ABSENT)
        sizes.append(f"{size / 1e6:.0f} / {size / 2**20:.0f}" if size and "model_size_mb" in result.cells else ABSENT)
        for cells, key, unit in ((gmacs, "gmacs", 1), (parameters, "parameters", 1e6)):
            measured = results.cost(run, key)
            cells.append(number(measured / unit) if measured else NOT_MEASURED if run else ABSENT)
    return kept([Column("paper's way", "r", counted), Column("difference", "r", differences),
                 Column("plain network / 2^20", "r", plain), Column("its file, MB / MiB", "r", sizes),
                 Column("GMACs", "r", gmacs), Column("M params", "r", parameters),
                 Column("images/s", "r", scored)])


def cost_table(results: StudyResults) -> str | None:
    """A line for each distinct model; none where nothing is measured."""
    models: dict[tuple, list[RunId]] = {}
    for run in dict.fromkeys([*(result.row.run for result in results.all), *results.study.runs]):
        if gmacs := results.cost(run, "gmacs"):
            parsed = parse_run_id(run)
            key = (parsed.head, parsed.backbone, str(parsed.size), number(gmacs), number(results.cost(run, "parameters") / 1e6))
            models.setdefault(key, []).append(parsed)
    rows = [[code(key[0]), code(key[1]), key[2], ", ".join(dict.fromkeys(run.data_set for run in runs)), str(len(runs)), *key[3:]]
            for key, runs in sorted(models.items(), key=lambda item: (*item[0][:2], int(item[0][2]), float(item[0][3])))]
    return table("llllrrr", ["head", "backbone", "pixels", "data sets", "runs", "GMACs", "M params"], rows) if rows else None
