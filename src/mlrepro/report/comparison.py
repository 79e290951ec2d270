"""The page that compares runs on one data set, in markdown."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.extras import install_command
from mlrepro.judging import (
    MINIMUM_TOLERANCE,
    REGIMES,
    best_of_regime,
    mean_map,
    ranked,
    shortfalls,
    standard_error,
)
from mlrepro.layout import Layout
from mlrepro.metrics.catalogue import DECISION_TABLES
from mlrepro.pairs import adjust
from mlrepro.records import Failures, Records
from mlrepro.report import figures, tables
from mlrepro.report.claims import Measured, claims_section, measure_claims, with_differences
from mlrepro.report.markdown import Markdown, folded
from mlrepro.report.orderings import ordering_section
from mlrepro.report.pages import (
    attention_section,
    counts_section,
    failed_section,
    figure_link,
    label_sections,
    reference_section,
)
from mlrepro.report.recommend import recommendation_section
from mlrepro.report.render import write_page
from mlrepro.report.shown_classes import ShownClasses, shown_classes
from mlrepro.report.summary import summarise
from mlrepro.resamples import KEPT
from mlrepro.run_pairs import RunPairs, unadjusted_pairs
from mlrepro.settings.pipeline import Claim, Ordering
from mlrepro.studies.reference import compare
from mlrepro.studies.reported import ReportedRow


@dataclass(frozen=True)
class Comparison:
    """What the page is made of.

    records:   by run id, as `records.read_records` gives them.
    expected:  the seeds of each run that the settings list; records of other runs or seeds are
               named, not shown.
    pipeline:  the dvc.yaml whose stages train and score the runs.
    searched:  runs that its search stage gives. zero_shot: that its zero_shot stage gives.
    orderings: claims of a higher mAP to look at.
    claims:    other claims of their metrics.
    neighbours: records of the study's other pipelines, which claims may name, too.
    failures:  of runs without a record, as `records.read_failures` gives them.
    own_data:  where a user's own data are: one of the runs is recommended.
    reference: what runs gave when someone made a reference of them.
    """

    title: str
    intro: str
    records: Records
    expected: dict[str, list[int]]
    pipeline: str
    searched: Container[str] = ()
    zero_shot: Container[str] = ()
    orderings: Sequence[Ordering] = ()
    claims: Sequence[Claim] = ()
    neighbours: Records = field(default_factory=dict)
    failures: Failures = field(default_factory=dict)
    own_data: Layout | None = None
    reference: Sequence[ReportedRow] = ()


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Writes the page to `path` and its figures to `figures/` beside it.

    Raises InputError when the runs do not score the same classes.
    """
    expected = comparison.expected
    runs = listed_runs(comparison.records, expected)
    _check_same_classes(runs)

    claims = measure_claims(comparison.neighbours | runs, comparison.claims)
    pairs, claims = adjusted_together(unadjusted_pairs(runs), claims)
    failures = {run: comparison.failures[run] for run in expected if run in comparison.failures}
    records = [record for group in runs.values() for record in group]
    manifests = {record.provenance.manifest_sha256 for record in records}
    if comparison.own_data:
        recommendation = recommendation_section(runs, path, comparison.own_data)
    else:
        recommendation = []

    write_page(
        "comparison.md.j2",
        path,
        comparison=comparison,
        summary=summarise(runs, pairs, expected, failures),
        several_versions=len(manifests) > 1,
        reference=reference_section(compare(comparison.reference, runs, expected, failures), path),
        recommendation=recommendation,
        ranking=tables.ranking_table(runs, expected, pairs, failures),
        pairs=pairs,
        comparisons=len(pairs.pairs) + sum(one.is_tested for one in claims),
        claims=claims_section(claims, path),
        orderings=ordering_section(runs, pairs, comparison.orderings, path),
        failed=failed_section(failures, path),
        partial_runs=_partial_runs(runs, expected),
        missing_stages=_missing_stages(runs, comparison),
        unlisted=_unlisted(comparison),
        results=_results(runs, path) if runs else None,
        few_positives=tables.FEW_POSITIVES,
        smallest=MINIMUM_TOLERANCE,
        resamples=KEPT,
        zero_shot_extra=install_command("zero-shot"),
    )


def adjusted_together(
    pairs: RunPairs, claims: Sequence[Measured]
) -> tuple[RunPairs, list[Measured]]:
    """Both with p-values that are adjusted for all comparisons of the page."""
    of_claims = [one.difference for one in claims if one.is_tested]
    adjusted = adjust([*pairs.differences, *of_claims])
    count = len(pairs.pairs)
    return pairs.replaced(adjusted[:count]), with_differences(claims, adjusted[count:])


# ---- Which runs are shown ----------------------------------------------------------------------


def listed_runs(records: Records, expected: dict[str, list[int]]) -> Records:
    """The records of expected runs and seeds, in rank order; no run without any."""
    listed = {}
    for run, seeds in expected.items():
        group = [record for record in records.get(run, []) if record.seed in seeds]
        if group:
            listed[run] = group
    return ranked(listed)


def _unlisted(comparison: Comparison) -> list[tuple[str, int]]:
    """(run, seed) of the other records."""
    return [
        (run, record.seed)
        for run, records in sorted(comparison.records.items())
        for record in records
        if record.seed not in comparison.expected.get(run, [])
    ]


def _check_same_classes(runs: Records) -> None:
    """Raises InputError where two records score different classes, and names them."""
    by_classes = {}
    for records in runs.values():
        for record in records:
            for measurement in record.measurements.values():
                classes = tuple(c.name for c in measurement.per_class)
                by_classes[classes] = f"{record.name}.json"

    if len(by_classes) > 1:
        raise InputError(
            f"records {' and '.join(sorted(by_classes.values()))}: score different classes, so "
            "they cannot be on one page; run their evaluate stages again"
        )


def _partial_runs(runs: Records, expected: dict[str, list[int]]) -> dict[str, list[str]]:
    """What a run lacks to be complete, by run."""
    lacks = {run: shortfalls(records, expected[run]) for run, records in runs.items()}
    return {run: lack for run, lack in lacks.items() if lack}


def _missing_stages(runs: Records, comparison: Comparison) -> list[str]:
    """The stages that give the records which are missing, without those that they need."""
    stages = []
    for run, seeds in comparison.expected.items():
        measured = {record.seed for record in runs.get(run, [])}
        for seed in seeds:
            if seed not in measured:
                stages.append(_stage_of(run, seed, comparison))

    # One search gives many runs; it is named once.
    return list(dict.fromkeys(stages))


def _stage_of(run: str, seed: int, comparison: Comparison) -> str:
    if run in comparison.searched:
        return "search"
    if run in comparison.zero_shot:
        return "zero_shot"
    return f"evaluate@{run}-{seed}"


# ---- Tables and figures ------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassSection:
    """Average precision by class of the best run of each labels regime. best: regime -> run id."""

    best: dict[str, str]
    figure: str
    aps: str


@dataclass(frozen=True)
class Results:
    """The tables and figures of measured runs, each as markdown, in the order of the page.

    regimes:     none where all labels are full. classes: none where no run has an mAP.
    shown:       of thousands of classes; none: all are shown.
    decisions:   heading -> table.
    uncommitted: whether code differed from its commit when a record was made.
    cost_figure: none where no run has an mAP, or all cost the same.
    """

    regimes: str | None
    classes: ClassSection | None
    shown: ShownClasses | None
    counts: list[str]
    selections: str
    decisions: dict[str, str]
    curves: str
    pictures: str
    label_figure: str
    labels: str
    costs: str
    cost_figure: str | None
    same_cost: bool
    environment: str
    uncommitted: bool
    attention: list[str]
    labels_by_epoch: list[str]


def _results(runs: Records, path: Path) -> Results:
    records = [record for group in runs.values() for record in group]
    single = [record for record in records if record.run.labels == "single"]

    # One threshold for all classes is of interest to the captions + images study alone.
    with_captions = any(group[0].run.captions for group in runs.values())

    # Observed labels are worth showing where they are not all labels.
    observed = single[0] if single else records[0]
    points = _cost_points(runs)

    # Of thousands of classes the same ones are shown everywhere.
    best = _best_runs(runs)
    shown = shown_classes(best or {observed.run.run_id: [observed]}, path)
    places = {"places": shown.places} if shown else {}
    labels = tables.label_table(observed, **places)

    # As the page prints them, to two decimals.
    costs_differ = len({f"{point.gmacs:.2f}" for point in points}) > 1

    return Results(
        regimes=tables.regime_table(runs) if single else None,
        classes=_class_section(best, path, places) if best else None,
        shown=shown,
        counts=counts_section(Markdown("## Number of labels"), runs, path),
        selections=tables.selection_table(runs),
        decisions={
            metrics.heading: tables.metric_table(runs, metrics.columns)
            for metrics in DECISION_TABLES
            if with_captions or not metrics.captions_only
        },
        curves=figure_link(
            path, "curves", "Validation mAP by epoch, a line a run", figures.training_curves, runs
        ),
        pictures=tables.picture_table(records),
        label_figure=figure_link(
            path,
            "labels",
            "Positives by class and split",
            figures.label_distribution,
            observed,
            **places,
        ),
        labels=folded(labels, labels.count("\n"), "Positives by class"),
        costs=tables.cost_table(runs),
        cost_figure=_cost_figure(points, path) if costs_differ else None,
        same_cost=bool(points) and not costs_differ,
        environment=tables.environment_table(records),
        uncommitted=any(tables.environment(record).dirty for record in records),
        attention=attention_section(path),
        labels_by_epoch=label_sections(runs, partial(figure_link, path), path),
    )


def _best_runs(runs: Records) -> Records:
    """That of each labels regime; none where no run has an mAP."""
    return {run: runs[run] for run in best_of_regime(runs).values()}


def _class_section(best: Records, path: Path, places: dict[str, list[int]]) -> ClassSection:
    """places: of the classes that are shown, by that name; empty: all."""
    aps = tables.class_table(best, **places)
    return ClassSection(
        best={REGIMES[records[0].run.labels]: run for run, records in best.items()},
        figure=figure_link(
            path,
            "classes",
            "Average precision by class",
            figures.class_average_precision,
            best,
            **places,
        ),
        aps=folded(aps, aps.count("\n"), "AP by class"),
    )


def _cost_points(runs: Records) -> list[figures.Point]:
    """Of the runs with an mAP, in a series a labels regime; of one regime alone, one a head."""
    names = figures.short_names(runs)
    one_regime = len({records[0].run.labels for records in runs.values()}) == 1
    points = []
    for run, records in runs.items():
        mAP = mean_map(records)
        if mAP is not None:
            settings = records[0].run
            point = figures.Point(
                name=names[run],
                series=settings.head if one_regime else REGIMES[settings.labels],
                gmacs=records[0].cost.gmacs,
                reported=None,
                reproduced=mAP,
                error=standard_error(records) or 0.0,
            )
            points.append(point)
    return points


def _cost_figure(points: list[figures.Point], path: Path) -> str:
    return figure_link(
        path, "cost", "Test mAP against GMACs a picture", figures.map_against_cost, {"": points}
    )
