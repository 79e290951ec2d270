"""The page of one study: its printed tables, what our records say of them, what is not run, what does not add up. No torch."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from mlrepro.judging import MINIMUM_TOLERANCE, Status
from mlrepro.report import figures
from mlrepro.report.multilabel_figures import label_sections
from mlrepro.report.pages import (
    attention_section,
    counts_section,
    failed_section,
    figure_link,
    folded,
)
from mlrepro.report.study_tables import MARKS, OTHER_NETWORK, cost_table, kept, render, study_tables
from mlrepro.report.sweeps import missing_runs, sweep_sections
from mlrepro.report.tables import ABSENT, Runs, code, escape, ranked, table
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.reported import Study, Table, last_match
from mlrepro.studies.results import BACKWARD, THROUGHPUT, StudyResults, cost_points, gpu_hours

ORDER: tuple[Status, ...] = (
    "reproduced",
    "exceeds",
    "below",
    "partial",
    "failed",
    "not-run",
    "not-comparable",
)
TOOLS = {
    "gmacs": "all MACs",
    "ptflops": "ptflops, blind to convolutions with TensorFlow padding",
    "fvcore": "fvcore, with normalisation layers",
    "fvcore_kkd": "fvcore, with a dense layer from each query to all classes",
}


def write_study(results: StudyResults, path: Path) -> None:
    """Writes the page to `path` and its figure to `figures/` beside it: the same bytes for the same input."""
    text, name = results.study.text, results.folder.as_posix()
    parts = [
        f"# {text.title}",
        f"{', '.join(text.authors)}{f', {text.year}' if text.year else ''}. [Source]({text.link}). "
        f"{text.summary} This page calls the document {text.document}.",
        _overview(results),
    ]
    if not results.complexity:
        parts.append(
            f"GMACs and parameters are not measured yet: `dvc repro {name}/dvc.yaml:complexity`."
        )
    if panels := cost_points(results):
        parts += [
            "## mAP against cost",
            figure_link(
                path, "cost", "mAP against measured GMACs", figures.map_against_cost, panels
            ),
            "Printed mAP (hollow) and reproduced mAP (filled, bar: 2 SE) at the GMACs that this project measures for the "
            "model that the row names, which are not always those that the paper prints.",
        ]
    parts += ["## The printed tables, and what was reproduced", _legend(results)]
    for listed in text.tables:
        parts += [
            f"### {_name(listed.id)}: {listed.title}",
            _caption(results, listed),
            *study_tables(results, listed),
        ]
    parts += (
        _measured_section(results, path) + sweep_sections(results, path) + attention_section(path)
    )
    runs = {
        r.row.run: r.records
        for r in results.all
        if r.records and r.records[0].history and r.records[0].history[-1].metrics
    }
    parts += label_sections(ranked(runs), partial(figure_link, path))
    if costs := cost_table(results):
        parts += [
            "## What the models cost",
            "For one picture, measured on the built models.",
            costs,
        ]
    parts += _not_run_section(results) + _not_comparable_section(results)
    parts += [
        "## Reading these tables: what does not add up",
        _findings(results.study),
        "### Our deviations",
        "Where this project does other than the paper, knowingly.",
        "\n".join(f"{item.id}. {escape(item.text)}" for item in text.deviations),
    ]
    parts += [
        "## How this page was made",
        f"```sh\ndvc repro {name}/dvc.yaml:report\n```",
        f"From `{name}/reported.csv`, `study.yaml`, `complexity.json` and the records under `{name}/results/`.",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _name(table_id: str) -> str:
    """Tables that the document does not number have a name of this project's."""
    return (
        f"Table {table_id}" if re.fullmatch(r"\d+|[IVX]+", table_id) else f"{table_id} (collected)"
    )


def _overview(results: StudyResults) -> str:
    counts, found, gaps = results.statuses, results.study.text.findings, results.gflops_gaps
    by_status = ", ".join(
        f"{counts[status]} {status}"
        for status in ORDER
        if counts[status] or status in ("reproduced", "not-run")
    )
    gflops = (
        (
            f" Of {len(gaps)} printed GFLOPs of a run, {sum(abs(gap) <= 0.01 for gap in gaps)} are within 0.01 of what is "
            "counted in the paper's way; the others are explained below."
        )
        if gaps
        else ""
    )
    return (
        f"**Overview.** {sum(listed.rows for listed in results.study.text.tables)} printed rows with "
        f"{len(results.study.rows)} numbers. Of {counts.total()} results (a row on one data set): {by_status}. {len(found)} "
        f"things that do not add up, {sum(bool(item.check) for item in found)} of them found by program.{gflops}"
    )


def _legend(results: StudyResults) -> str:
    text, marks = results.study.text, {row.checked for row in results.study.rows}
    judged = list(dict.fromkeys(result.metric for result in results.all if result.metric))
    *most, last = map(code, judged)
    tools: dict[str, list[str]] = {}
    for rule in text.gflops_tool:
        tools.setdefault(TOOLS[rule.tool], []).append(
            " on ".join(filter(None, (rule.head, rule.backbone)))
        )
    ways = "; ".join(f"{tool}: {', '.join(heads)}" for tool, heads in tools.items())
    lines = {
        "**printed** numbers are verbatim; **reproduced** is mean ± std (n) over n seeds; **delta** is reproduced minus printed, "
        "in the printed unit.": True,
        f"**status**, of {', '.join(most)}{' or ' if most else ''}{last}: *reproduced* when |delta| is at most "
        f"max({MINIMUM_TOLERANCE} points, 2 sqrt(std²/n + SE²), printed std), with SE from resampled test pictures; else "
        f"*exceeds* or *below*; *partial* while any of {len(results.seeds)} seeds, epochs or test pictures is missing; "
        "*not-run*; *not-comparable* where no run of ours can give the number.": True,
        "Which average the printed F1 is, is not said: it is compared with micro F1; macro and per-sample F1 stand beside it.": "f1"
        in judged,
        "**GMACs** are multiply-accumulates of convolutions and matrix products of the built model, head included, for one "
        "picture; FLOPs would be twice as many.": results.complexity,
        f"**paper's way** counts them as the paper counted what it prints as GFLOPs ({ways}); **difference** is that minus the "
        "printed number.": results.complexity and tools,
        f"{OTHER_NETWORK} counted for another network than the row's mAP is of, as the paper does.": text.gflops_of,
        f"{MARKS['third party']} as a third party prints it, not seen in the original.": "third party"
        in marks,
        f"{MARKS['memory']} from memory, not checked.": "memory" in marks,
    }
    return "\n".join(f"- {line}" for line, shown in lines.items() if shown)


def _caption(results: StudyResults, listed: Table) -> str:
    group = results.results[listed.id]
    sets = {result.row.data_set for result in group}
    kinds = {result.cells["mAP"].convention for result in group if "mAP" in result.cells}
    said = " or ".join(sorted(kinds - {""})) + ("; " if len(kinds) > 1 else "")
    found = [str(item.id) for item in results.study.text.findings if listed.id in item.tables]
    parts = {
        f"Source: {listed.source}.": True,
        f"Data set: {', '.join(sets)}.": len(sets) == 1,
        f"AP: {said}{'exact is taken where the kind is not said' if '' in kinds else ''}.": kinds,
        f"See below what does not add up: {', '.join(found)}.": found,
    }
    return " ".join(part for part, shown in parts.items() if shown)


def _findings(study: Study) -> str:
    if not study.text.findings:
        return "Nothing was found."
    order = [listed.id for listed in study.text.tables]
    lines = []
    for item in study.text.findings:
        where = ", ".join(_name(listed) for listed in sorted(item.tables, key=order.index)).replace(
            ", Table ", ", "
        )
        lines.append(
            f"{item.id}. **{item.verdict}**, {where}: {escape(item.claim)}"
            f"{' *(found by program)*' if item.check else ''}<br>{escape(item.calculation)}"
        )
    return "\n".join(lines)


def _measured_section(results: StudyResults, path: Path) -> list[str]:
    """Our records by data set: what the tables above do not show of them."""
    by_set: dict[str, Runs] = {}
    for result in results.all:
        if result.records and result.metric == "mAP":
            by_set.setdefault(result.row.data_set, {})[result.row.run] = result.records
    parts = ["## What is measured", "By data set the runs with records."] if by_set else []
    for name, measured in sorted(by_set.items()):
        runs = ranked(measured)
        parts += [
            f"### On {name}",
            figure_link(
                path,
                f"curves-{name}",
                "Validation mAP by epoch, a line a run",
                figures.training_curves,
                runs,
            ),
            *counts_section(f"### Number of labels on {name}", runs, path, f"-{name}"),
        ]
    return parts


def _not_run_section(results: StudyResults) -> list[str]:
    tables_of: dict[str, list[str]] = {}
    for result in results.all:
        if result.status in ("not-run", "partial", "failed"):
            tables_of.setdefault(result.row.run, []).append(result.row.table)
    for run, sweep in missing_runs(results):
        tables_of.setdefault(run, []).append(sweep)
    if not tables_of:
        return []
    training = results.study.text.training
    known = [hours for run in tables_of if (hours := gpu_hours(results, run)) is not None]
    together = (
        f" The {len(known)} runs that can be estimated take {sum(known):,.1f} hours together."
        if known
        else ""
    )
    parts = [
        *failed_section(results.failures),
        "## What is not run, and what it takes",
        f"{len(tables_of)} runs. GPU hours are an estimate for one seed on one H200-class card, without any search for "
        f"settings: {BACKWARD} x MACs x 2 x training pictures x epochs x passes a step / {THROUGHPUT / 1e12:.0f} TFLOP/s "
        "(bf16, about a tenth of the card's stated peak, which is what training on pictures reaches); for `linear` runs one "
        f"forward pass over the pictures, as features are extracted once.{together}",
        f"Training pictures: {training.source}. Epochs: {'; '.join(dict.fromkeys(s.source for s in training.schedules))}.",
    ]
    parts += _weights(results, tables_of)
    by_set: dict[str, list[str]] = {}
    for run in tables_of:
        by_set.setdefault(parse_run_id(run).data, []).append(run)
    for data_set, runs in by_set.items():
        count = f"{len(runs)} run{'s' * (len(runs) > 1)}"
        parts += [
            f"### {data_set}: {count}",
            _data_need(results, data_set),
            folded(_run_table(results, runs, tables_of), len(runs), count),
        ]
    ready = list(
        dict.fromkeys(
            f"dvc repro {stage}" for run in tables_of for stage in results.stages.get(run, [])
        )
    )
    together = results.folder / "tables" / "dvc.yaml"  # of studies with a pipeline a data set
    parts += ["### Commands", "```sh\n" + "\n".join(ready) + "\n```"] if ready else []
    return parts + (
        [f"All of them and then this page: `dvc repro {together.as_posix()}`."]
        if together.exists()
        else []
    )


def _run_table(results: StudyResults, runs: list[str], tables_of: dict[str, list[str]]) -> str:
    training, rows = results.study.text.training, []
    for run in runs:
        schedule, hours = last_match(training.schedules, parse_run_id(run)), gpu_hours(results, run)
        epochs = (
            "not stated" if schedule is None or schedule.epochs is None else str(schedule.epochs)
        )
        epochs += f" x {schedule.passes} passes" if schedule and schedule.passes > 1 else ""
        rows.append(
            [
                code(run),
                ", ".join(dict.fromkeys(tables_of[run])),
                epochs,
                ABSENT if hours is None else f"{hours:.1f}" if hours >= 0.1 else "< 0.1",
                "yes" if run in results.stages else "no run file yet",
            ]
        )
    return table("lllrl", ["run", "tables", "epochs", "GPU hours", "run file"], rows)


def _weights(results: StudyResults, runs: Iterable[str]) -> list[str]:
    counts: Counter = Counter()
    for run in runs:
        parsed = parse_run_id(run)
        rule = last_match(results.study.text.needs.weights, parsed)
        variant = code(rule.variant) if rule and rule.variant else ""
        counts[code(parsed.backbone), variant, escape(rule.weights) if rule else ABSENT] += 1
    rows = [[*key, str(n)] for key, n in sorted(counts.items())]
    headers = ("backbone", "variant", "weights to start from", "runs")
    return [render(kept(dict(zip(headers, zip(*rows, strict=True), strict=True))))]


def _data_need(results: StudyResults, data_set: str) -> str:
    need = results.study.text.needs.data.get(data_set)
    if not need:
        return "Not described in `data/params.yaml` yet."
    parts = [
        f"`dvc repro data/dvc.yaml:prepare@{need.set}`"
        if need.set
        else "not described in `data/params.yaml` yet",
        f"about {need.gigabytes:g} GB to download" if need.gigabytes else "",
        escape(need.text),
    ]
    return f"Data: {'; '.join(filter(None, parts))}."


def _not_comparable_section(results: StudyResults) -> list[str]:
    reasons: dict[str, dict[str, None]] = {}
    for row in (result.row for result in results.all if not result.row.run):
        name = " ".join(str(part) for part in (row.row, row.resolution) if part)
        reasons.setdefault(row.note, {})[f"{escape(name)}, {_name(row.table)}"] = None
    lines = [f"- **{escape(reason)}**: {'; '.join(rows)}" for reason, rows in reasons.items()]
    return (
        [
            "### Rows that no run of ours can give",
            "Status not-comparable, by reason.",
            "\n".join(lines),
        ]
        if lines
        else []
    )
