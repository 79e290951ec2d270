"""The tables of a study's page: as printed, with what our records and the cost measurement say beside or below."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from tabulate import tabulate

from mlrepro.report.tables import ABSENT, code, escape, mean, metric_values, number, spread, table
from mlrepro.settings.run_id import RunId, parse_run_id
from mlrepro.studies.reported import ReportedRow, Table
from mlrepro.studies.results import METRICS, Result, StudyResults, record_metric

WIDTH = 9  # columns that a page shows without scrolling
NOT_MEASURED = "not measured"
OTHER_NETWORK = "°"
MARKS = {"yes": "", "third party": "ᵗ", "memory": "ᵐ"}
AVERAGES = {
    "micro": "",
    "macro": ", macro",
    "sample": ", per sample",
}  # of an F1 whose average the study does not say
HEADERS = {
    "GFLOPs": "GFLOPs, printed",
    "params_m": "M params, printed",
    "samples_f1": "F1",
    "samples_iou": "IoU",
    "samples_precision": "precision",
    "samples_recall": "recall",
    "mAP_paper": "mAP by the paper",
}

Columns = dict[str, Sequence[str]]  # header -> cells
LEFT = {
    "row",
    "model",
    "data set",
    "status",
    "backbone",
    "variant",
    "weights to start from",
}  # the others hold numbers


def kept(columns: Columns) -> Columns:
    return {
        header: cells
        for header, cells in columns.items()
        if set(cells) - {"", ABSENT, NOT_MEASURED}
    }


def render(columns: Columns) -> str:
    sides = ["left" if header in LEFT else "right" for header in columns]
    return tabulate(columns, "keys", tablefmt="pipe", colalign=sides, disable_numparse=True)


def study_tables(results: StudyResults, listed: Table) -> list[str]:
    """The printed table with our columns, split so that no part is wider than WIDTH."""
    group = results.results[listed.id]
    several = max(Counter(result.row.label for result in group).values()) > 1
    if several and len(listed.columns) == 1:
        return _matrix(group, listed) + _reproduced_below(group, listed, primary=True)
    ids = _ids(group)
    printed = {
        HEADERS.get(m, m): [printed_text(r.cells.get(m)) for r in group] for m in listed.columns
    }
    (judged, ours), cost = _our_columns(group), _cost_columns(results, group)
    costs = {
        header: cells
        for header, cells in printed.items()
        if header in (HEADERS["GFLOPs"], HEADERS["params_m"])
    }
    room = WIDTH - len(ids)
    if len(printed | ours | cost) <= room:
        parts = [printed | ours | cost]
    elif len(printed | ours) <= room:
        parts = [printed | ours] + [costs | cost] * bool(cost)
    else:
        parts = (
            _even_parts(printed, room)
            + [judged | ours | ({} if costs else cost)]
            + [costs | cost] * bool(costs and cost)
        )
    return [render(ids | part) for part in parts] + _reproduced_below(group, listed, primary=False)


def _even_parts(columns: Columns, room: int) -> list[Columns]:
    parts = -(-len(columns) // room)
    size = -(-len(columns) // max(1, parts))
    return [dict(list(columns.items())[i * size : (i + 1) * size]) for i in range(parts)]


def _ids(group: list[Result]) -> Columns:
    models = [
        " ".join(
            str(p)
            for p in (r.row.backbone if r.row.backbone != r.row.row else "", r.row.resolution or "")
            if p
        )
        for r in group
    ]
    sets = [
        result.row.data_set if len({r.row.data_set for r in group}) > 1 else "" for result in group
    ]
    return {
        "row": [escape(r.row.row) for r in group],
        **kept({"model": list(map(escape, models)), "data set": sets}),
    }


def _matrix(group: list[Result], listed: Table) -> list[str]:
    """As printed: a line a row, a column a data set."""
    lines: dict[tuple, dict[str, Result]] = {}
    for result in group:
        lines.setdefault(result.row.label, {})[result.row.data_set] = result
    first = _ids([next(iter(line.values())) for line in lines.values()])
    first.pop("data set", None)
    sets = {
        name: [
            printed_text(line[name].cells[listed.columns[0]]) if name in line else ABSENT
            for line in lines.values()
        ]
        for name in listed.data_sets
    }
    counts = [
        Counter(result.status for result in line.values() if result.status)
        for line in lines.values()
    ]
    status = [
        next(iter(count))
        if len(count) == 1
        else ", ".join(f"{n} {word}" for word, n in count.items())
        for count in counts
    ]
    return [f"Printed {listed.columns[0]}:", render(first | sets | {"status": status})]


def printed_text(cell: ReportedRow | None) -> str:
    return escape(cell.printed) + MARKS[cell.checked] if cell else ABSENT


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}"
    return text if float(text) else text[1:]  # no sign before 0.00


def compare(result: Result, metric: str, average: str = "micro") -> tuple[str, str]:
    """Reproduced value and delta, in the printed unit."""
    cell = result.cells.get(metric)
    if not cell or not result.records:
        return ABSENT, ABSENT
    name, unit = record_metric(cell)
    values = [
        value and value * unit
        for value in metric_values(result.records, name.replace("micro", average))
    ]
    decimals = 2 if unit == 1 else 4
    delta = ABSENT if None in values else _signed(mean(values) - cell.number, decimals)
    return spread(values, decimals), delta


def _our_columns(group: list[Result]) -> tuple[Columns, Columns]:
    """The printed number that is judged, and what our records say of it."""
    compared = [compare(result, result.metric) for result in group]
    names = {HEADERS.get(result.metric, result.metric) for result in group} - {None}
    name = f" {names.pop()}" if len(names) == 1 else ""
    labelled = [
        spread(metric_values(r.records, f"{record_metric(r.cells['mAP'])[0]}_annotated"))
        if "mAP" in r.cells
        else ABSENT
        for r in group
    ]
    nothing = [
        spread(metric_values(r.records, "all_negative_accuracy")) if "accuracy" in r.cells else ""
        for r in group
    ]
    others = {
        f"f1{more}": [compare(r, "f1", average)[0] for r in group]
        for average, more in AVERAGES.items()
        if more
    }
    return (
        kept({f"printed{name}": [printed_text(r.cells.get(r.metric)) for r in group]}),
        kept(
            {
                f"reproduced{name}": [value for value, _ in compared],
                "accuracy of nothing (%)": nothing,
                "delta": [delta for _, delta in compared],
                **others,
                "of labelled pictures": labelled,
                "status": [result.status or ABSENT for result in group],
            }
        ),
    )


def _reproduced_below(group: list[Result], listed: Table, primary: bool) -> list[str]:
    """What records give: the judged metric of a matrix, or the other printed metrics of a long table."""
    measured = [result for result in group if result.records]
    if not measured:
        return []
    ids = _ids(measured)
    if primary:
        judged, ours = _our_columns(measured)
        return ["Reproduced:", render(ids | judged | ours)]
    others = kept(
        {
            HEADERS.get(m, m) + more: [
                " / ".join(dict.fromkeys(compare(r, m, average))) for r in measured
            ]
            for m in listed.columns
            if m in METRICS and m not in {r.metric for r in measured}
            for average, more in AVERAGES.items()
            if not more or m.startswith("f1@")
        }
    )
    return ["Reproduced / delta, of the other printed metrics:"] * bool(others) + [
        render(ids | part) for part in _even_parts(others, WIDTH - len(ids))
    ]


def _cost_columns(results: StudyResults, group: list[Result]) -> Columns:
    columns: dict[str, list[str]] = defaultdict(list)
    for result in group:
        run, printed, text = result.row.run, result.cells.get("GFLOPs"), results.study.text
        value = results.printed_way(run) if run and printed else None
        columns["paper's way"].append(
            number(value) + (OTHER_NETWORK if run in text.gflops_of and value else "")
        )
        columns["difference"].append(
            ABSENT if value is None else _signed(value - printed.number, 2)
        )
        network, size = (
            text.plain_network and results.cost(run, f"backbone_{key}")
            for key in ("parameters", "bytes")
        )
        columns["plain network / 2^20"].append(
            number(network / 2**20) if network and "params_m" in result.cells else ABSENT
        )
        columns["its file, MB / MiB"].append(
            f"{size / 1e6:.0f} / {size / 2**20:.0f}"
            if size and "model_size_mb" in result.cells
            else ABSENT
        )
        for header, key, unit in (("GMACs", "gmacs", 1), ("M params", "parameters", 1e6)):
            measured = results.cost(run, key)
            columns[header].append(
                number(measured / unit) if measured else NOT_MEASURED if run else ABSENT
            )
        scored = [
            record.environment.images_per_second
            for record in result.records
            if not record.run.epochs
        ]
        columns["images/s"].append(spread(scored, 1))
    return kept(columns)


def cost_table(results: StudyResults) -> str | None:
    """A line for each distinct model; none where nothing is measured."""
    models: dict[tuple, list[RunId]] = {}
    for run in dict.fromkeys([*(result.row.run for result in results.all), *results.study.runs]):
        if gmacs := results.cost(run, "gmacs"):
            parsed = parse_run_id(run)
            key = (
                parsed.head,
                parsed.backbone,
                str(parsed.resolution),
                number(gmacs),
                number(results.cost(run, "parameters") / 1e6),
            )
            models.setdefault(key, []).append(parsed)
    rows = [
        [
            code(key[0]),
            code(key[1]),
            key[2],
            ", ".join(dict.fromkeys(run.data for run in runs)),
            str(len(runs)),
            *key[3:],
        ]
        for key, runs in sorted(
            models.items(), key=lambda item: (*item[0][:2], int(item[0][2]), float(item[0][3]))
        )
    ]
    return (
        table(
            "llllrrr",
            ["head", "backbone", "pixels", "data sets", "runs", "GMACs", "M params"],
            rows,
        )
        if rows
        else None
    )
