"""The page of one study: its printed tables, our records beside them, and what is not run.

The prose is in templates/study.md.j2 and templates/study/; here is what they show.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlrepro.judging import MINIMUM_TOLERANCE, Status, ranked
from mlrepro.records import Records
from mlrepro.report import figures
from mlrepro.report.markdown import Markdown, code, escape, link, name
from mlrepro.report.numbers import every_number, kind_table, sentence
from mlrepro.report.pages import attention_section, counts_section, figure_link, label_sections
from mlrepro.report.render import write_page
from mlrepro.report.study_costs import cost_points, cost_table
from mlrepro.report.study_missing import missing
from mlrepro.report.study_tables import MARKS, OTHER_NETWORK, PrintedTable, printed_table
from mlrepro.report.sweeps import sweep_sections
from mlrepro.report.third_parties import third_party_section
from mlrepro.studies.description import Table, ToolRule
from mlrepro.studies.kinds import SAME_GFLOPS
from mlrepro.studies.numbers import numbers_of
from mlrepro.studies.results import StudyResults

# In the order of the overview, which names these two even where there are none.
STATUSES: tuple[Status, ...] = (
    "reproduced",
    "exceeds",
    "below",
    "partial",
    "failed",
    "not-run",
    "not-comparable",
)
ALWAYS_NAMED = ("reproduced", "not-run")

# What tells the tools' counts of MACs apart.
TOOLS = {
    "gmacs": "all MACs",
    "ptflops": "ptflops, blind to convolutions with TensorFlow padding",
    "fvcore": "fvcore, with normalisation layers",
    "fvcore_kkd": "fvcore, with a dense layer from each query to all classes",
}


def write_study(results: StudyResults, path: Path) -> None:
    """Writes the page to `path` and its figures to `figures/` beside it.

    The same input gives the same bytes.
    """
    description = results.description
    numbers = numbers_of(results)
    write_page(
        "study.md.j2",
        path,
        study=description,
        source=link("Source", description.link),
        folder=results.folder.as_posix(),
        costs_measured=bool(results.costs),
        overview=_overview(results),
        cost_figure=_cost_figure(results, path),
        legend=_legend(results),
        tables=[_table_section(results, table) for table in description.tables],
        third_parties=third_party_section(results),
        measured=_measured_sections(results, path),
        sweeps=sweep_sections(results, path),
        attention=attention_section(path),
        labels=label_sections(_runs_with_epoch_metrics(results), partial(figure_link, path)),
        cost_table=cost_table(results),
        missing=missing(results),
        reasons=_reasons(results),
        findings=_findings(results),
        number_sentence=sentence(numbers),
        kinds=kind_table(numbers),
        every_number=every_number(numbers),
        deviations=[(item.id, escape(item.text)) for item in description.deviations],
    )


def _cost_figure(results: StudyResults, page: Path) -> str | None:
    panels = cost_points(results)
    if not panels:
        return None
    title = "mAP against measured GMACs"
    return figure_link(page, "cost", title, figures.map_against_cost, panels)


# ---- Overview and legend ------------------------------------------------------------------------


@dataclass(frozen=True)
class Overview:
    """Counts. `gflops`: printed ones that could be counted; `gflops_found`: those found so."""

    rows: int
    numbers: int
    results: int
    statuses: str
    findings: int
    found_by_program: int
    gflops: int
    gflops_found: int


def _overview(results: StudyResults) -> Overview:
    description = results.description
    gaps = results.gflops_gaps
    counts = results.statuses
    statuses = [
        f"{counts[status]} {status}"
        for status in STATUSES
        if counts[status] or status in ALWAYS_NAMED
    ]

    return Overview(
        rows=sum(table.rows for table in description.tables),
        numbers=len(results.study.rows),
        results=counts.total(),
        statuses=", ".join(statuses),
        findings=len(description.findings),
        found_by_program=sum(bool(finding.check) for finding in description.findings),
        gflops=len(gaps),
        gflops_found=sum(abs(gap) <= SAME_GFLOPS for gap in gaps),
    )


@dataclass(frozen=True)
class Legend:
    """What the words and marks of the tables mean, as far as they occur.

    judged:  the metrics that rows are judged by.
    f1_of_unknown_average: an F1 is judged whose average the study does not say.
    tools:   what the paper counted as GFLOPs, none without costs or a known tool.
    """

    judged: str
    tolerance: float
    seeds: int
    f1_of_unknown_average: bool
    tools: str | None
    other_network: str | None
    third_party: str | None
    from_memory: str | None


def _legend(results: StudyResults) -> Legend:
    description = results.description
    checked = {row.checked for row in results.study.rows}
    judged = list(dict.fromkeys(result.metric for result in results.all if result.metric))
    shows_tools = results.costs and description.gflops_tool
    return Legend(
        judged=Markdown(_alternatives([code(metric) for metric in judged])),
        tolerance=MINIMUM_TOLERANCE,
        seeds=len(results.seeds),
        f1_of_unknown_average="f1" in judged,
        tools=_tools_text(description.gflops_tool) if shows_tools else None,
        other_network=OTHER_NETWORK if description.gflops_of else None,
        third_party=MARKS["third party"] if "third party" in checked else None,
        from_memory=MARKS["memory"] if "memory" in checked else None,
    )


def _alternatives(words: Sequence[str]) -> str:
    """a, b or c."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _tools_text(rules: Sequence[ToolRule]) -> Markdown:
    """Each tool with the networks that it counts."""
    networks: dict[str, list[str]] = {}
    for rule in rules:
        parts = [name(part) for part in (rule.head, rule.backbone) if part]
        networks.setdefault(rule.tool, []).append(" on ".join(parts))

    texts = []
    for tool, names in networks.items():
        texts.append(f"{TOOLS[tool]}: {', '.join(names)}")
    return Markdown("; ".join(texts))


# ---- Printed tables -----------------------------------------------------------------------------


@dataclass(frozen=True)
class TableSection:
    """A printed table with what stands over it.

    data_set: where all its rows are of one.
    has_map:  some of its rows print an mAP, of the stated kinds; `kind_unsaid`: or of none.
    findings: numbers of what does not add up in it.
    """

    name: str
    title: str
    source: str
    data_set: str | None
    has_map: bool
    kinds_of_map: str
    kind_unsaid: bool
    findings: str
    content: PrintedTable


def table_name(table_id: str) -> str:
    """Tables that the document does not number have a name of this project's."""
    if re.fullmatch(r"\d+|[IVX]+", table_id):
        return f"Table {table_id}"
    return f"{table_id} (collected)"


def _table_section(results: StudyResults, table: Table) -> TableSection:
    group = results.by_table[table.id]
    data_sets = {result.row.data_set for result in group}
    kinds = {result.cells["mAP"].convention for result in group if "mAP" in result.cells}

    findings = []
    for finding in results.description.findings:
        if table.id in finding.tables:
            findings.append(str(finding.id))

    return TableSection(
        name=table_name(table.id),
        title=table.title,
        source=table.source,
        data_set=data_sets.pop() if len(data_sets) == 1 else None,
        has_map=bool(kinds),
        kinds_of_map=" or ".join(sorted(kinds - {""})),
        kind_unsaid="" in kinds,
        findings=", ".join(findings),
        content=printed_table(results, table),
    )


# ---- What is measured ---------------------------------------------------------------------------


@dataclass(frozen=True)
class MeasuredSection:
    """What the printed tables do not show of our records: curves, and numbers of labels."""

    data_set: str
    curves: str
    counts: list[str]


def _measured_sections(results: StudyResults, page: Path) -> list[MeasuredSection]:
    runs_by_set: dict[str, Records] = {}
    # The curves and the ranking are of mAP, so other rows have no place here.
    for result in results.all:
        if result.records and result.metric == "mAP":
            runs_by_set.setdefault(result.row.data_set, {})[result.row.run] = result.records

    sections = []
    for data_set, measured in sorted(runs_by_set.items()):
        runs = ranked(measured)
        curves = figure_link(
            page,
            f"curves-{data_set}",
            "Validation mAP by epoch, a line a run",
            figures.training_curves,
            runs,
        )
        heading = Markdown(f"### Number of labels on {name(data_set)}")
        counts = counts_section(heading, runs, page, f"-{data_set}")
        sections.append(MeasuredSection(data_set, curves, counts))
    return sections


def _runs_with_epoch_metrics(results: StudyResults) -> Records:
    """Ranked."""
    runs: Records = {}
    for result in results.all:
        if not result.records:
            continue
        # Records of older versions, and runs that do not ask for them, have none.
        history = result.records[0].history
        if history and history[-1].metrics:
            runs[result.row.run] = result.records
    return ranked(runs)


# ---- What nobody can run, and what does not add up ----------------------------------------------


def _reasons(results: StudyResults) -> dict[str, str]:
    """Why no run of ours can give a row: by reason the rows."""
    rows_by_reason: dict[str, list[str]] = {}
    for result in results.all:
        row = result.row
        # Counts of label files need no run, and have a status of their own.
        if not row.run and result.status in (None, "not-comparable"):
            name = " ".join(str(part) for part in (row.row, row.resolution) if part)
            text = f"{escape(name)}, {table_name(row.table)}"
            rows_by_reason.setdefault(row.note, []).append(text)
    return {
        escape(reason): Markdown("; ".join(dict.fromkeys(rows)))
        for reason, rows in rows_by_reason.items()
    }


@dataclass(frozen=True)
class FindingLine:
    """What does not add up, and where."""

    id: int
    verdict: str
    tables: str
    claim: str
    by_program: bool
    calculation: str


def _findings(results: StudyResults) -> list[FindingLine]:
    # Tables in the order of the page, whichever way round study.yaml names them.
    order = [table.id for table in results.description.tables]
    lines = []
    for finding in results.description.findings:
        names = [table_name(table) for table in sorted(finding.tables, key=order.index)]
        lines.append(
            FindingLine(
                id=finding.id,
                verdict=finding.verdict,
                tables=", ".join(names).replace(", Table ", ", "),  # Table 2, 3
                claim=escape(finding.claim),
                by_program=bool(finding.check),
                calculation=escape(finding.calculation),
            )
        )
    return lines
