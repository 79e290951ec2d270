"""What the models of a study cost: mAP against GMACs for the figure, and a table of models."""

from mlrepro.judging import mean, metric_values, standard_error
from mlrepro.report.figures import Point
from mlrepro.report.markdown import Markdown, code, name, number, table
from mlrepro.settings.run_id import RunId, parse_run_id
from mlrepro.studies.results import Result, StudyResults, record_metric

# Below it a panel of mAP against cost shows nothing.
FEWEST_COSTS = 3


def cost_points(results: StudyResults, series: str | None = None) -> dict[str, list[Point]]:
    """Points of the figure by data set, one a run: the first row that prints it.

    `series`: of all points; none: each run's head. Data sets with fewer than three different costs
    are left out.
    """
    by_set: dict[str, dict[str, Point]] = {}
    for table_id in results.description.figure:
        for result in results.by_table[table_id]:
            gmacs = results.cost(result.row.run, "gmacs")
            if not gmacs or result.metric != "mAP":
                continue
            points = by_set.setdefault(result.row.data_set, {})
            if result.row.run not in points:
                points[result.row.run] = _point(result, gmacs, series)

    panels = {}
    for data_set, points in by_set.items():
        costs = {number(point.gmacs, 1) for point in points.values()}
        if len(costs) >= FEWEST_COSTS:
            panels[data_set] = list(points.values())
    return panels


def _point(result: Result, gmacs: float, series: str | None) -> Point:
    row = result.row
    cell = result.cells["mAP"]

    # Without the citation, "[12]", that tables put after a name.
    method = row.row.split(" [")[0]
    names = (method, row.backbone, row.resolution)

    metric, _ = record_metric(cell)
    return Point(
        name=" ".join(str(part) for part in names if part),
        series=series or parse_run_id(row.run).head,
        gmacs=gmacs,
        reported=cell.number,
        reproduced=mean(metric_values(result.records, metric)),
        error=standard_error(result.records) or 0.0,
    )


def cost_table(results: StudyResults) -> str | None:
    """A line for each distinct model; none where nothing is measured."""
    # What tells models apart, as it is shown.
    models: dict[tuple, list[RunId]] = {}
    for run_id in _all_runs(results):
        gmacs = results.cost(run_id, "gmacs")
        if not gmacs:
            continue
        run = parse_run_id(run_id)
        parameters = number(results.cost(run_id, "parameters") / 1e6)
        model = (run.head, run.backbone, run.resolution, number(gmacs), parameters)
        models.setdefault(model, []).append(run)
    if not models:
        return None

    rows = []
    for model in sorted(models, key=_by_name_and_cost):
        head, backbone, resolution, gmacs, parameters = model
        runs = models[model]
        data_sets = dict.fromkeys(name(run.data) for run in runs)
        rows.append(
            [
                code(head),
                code(backbone),
                str(resolution),
                Markdown(", ".join(data_sets)),
                str(len(runs)),
                gmacs,
                parameters,
            ]
        )
    headers = ["head", "backbone", "pixels", "data sets", "runs", "GMACs", "M params"]
    return table("llllrrr", headers, rows)


def _all_runs(results: StudyResults) -> list[str]:
    """Those of the printed rows in their order, then the others."""
    printed = [result.row.run for result in results.all]
    return list(dict.fromkeys([*printed, *results.study.runs]))


def _by_name_and_cost(model: tuple) -> tuple:
    head, backbone, resolution, gmacs, _ = model
    return head, backbone, resolution, float(gmacs)
