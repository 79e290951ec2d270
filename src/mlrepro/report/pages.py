"""The page that compares runs on one data set, in markdown."""

from collections.abc import Callable, Container, Sequence
from functools import partial
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.records import Failures
from mlrepro.report import figures, tables
from mlrepro.report.multilabel_figures import label_sections
from mlrepro.report.orderings import ordering_section
from mlrepro.report.tables import REGIMES, Runs, code, mean_map
from mlrepro.settings.pipeline import Ordering

FOLD_AFTER = 30  # table rows beyond which a table by class is folded away


def write_comparison(
    title: str,
    intro: str,
    records: Runs,
    expected: dict[str, list[int]],
    path: Path,
    command: str,
    searched: Container[str] = (),
    orderings: Sequence[Ordering] = (),
    advise: Callable[[Runs, set[str], Path], list[str]] | None = None,
    failures: Failures | None = None,
) -> None:
    """Writes the page of one data set's runs to `path` and its figures to `figures/` beside it.

    `records`: by run id, as `results.read_records` gives them. `expected`: the seeds of each run that the settings list; records
    of other runs or seeds are named, not shown. `command`: what makes this page, such as `dvc repro data.dvc.yaml`; the dvc.yaml
    that it names (or else `dvc.yaml`) holds the stages. `searched`: runs that its search stage gives. `orderings`: claims to look
    at. advise(runs, those that noise hides from the first, path): sections before the ranking. `failures`: of runs without a
    record, as `results.read_failures` gives them. Raises InputError when the runs do not score the same classes.
    """
    runs = tables.ranked(
        {
            run: group
            for run, seeds in expected.items()
            if (group := [r for r in records.get(run, []) if r.seed in seeds])
        }
    )
    others = [
        f"{code(run)} seed {r.seed}"
        for run, group in sorted(records.items())
        for r in group
        if r.seed not in expected.get(run, [])
    ]
    _check_same_classes(runs)
    failures = {run: failures[run] for run in expected if run in (failures or {})}
    parts = [f"# {title}", intro, "## Result", summary(runs, expected, failures), *_warnings(runs)]
    ties = tables.within_noise(runs)
    parts += advise(runs, ties, path) if advise else []
    parts += [
        "## Ranking",
        tables.ranking_table(runs, expected, ties, failures),
        "`to best`: mAP minus that of the first run, ≈ where the noise hides the difference. `train s`: seconds "
        "of training, mean over seeds.",
    ]
    parts += (
        ordering_section(runs, orderings)
        + failed_section(failures)
        + _incomplete(runs, expected, command, searched)
    )
    if others:
        parts.append(f"Not shown, because the settings do not list them: {', '.join(others)}.")
    if runs:
        parts += _labels_sections(runs, path) + counts_section("## Number of labels", runs, path)
        parts += _metric_sections(runs) + _data_sections(runs, path) + attention_section(path)
        parts += label_sections(runs, partial(figure_link, path))
    parts += [
        "## How this page was made",
        f"```sh\n{command}\n```",
        "From result records alone; runs whose inputs did not "
        "change are not trained again. What its words mean: [reading the reports](../docs/reading-reports.md).",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def failed_section(failures: Failures) -> list[str]:
    """What the last launch could not do, and where it says more; nothing if it did all."""
    lines = [
        f"- {code(run)} seed {seed}: {failure.error} (stage {code(failure.stage)} on {failure.host or 'a lost worker'}; "
        f"what it printed is in {code(failure.log)} where it was launched)"
        for run, seeds in failures.items()
        for seed, failure in seeds.items()
    ]
    return ["Failed:\n\n" + "\n".join(lines)] if lines else []


def summary(runs: Runs, expected: dict[str, list[int]], failures: Container[str] = ()) -> str:
    """One paragraph: who is first and by how much, full against single-positive labels, what is still missing."""
    states = [
        tables.status(runs.get(run, []), seeds, run in failures) for run, seeds in expected.items()
    ]
    missing = (
        f"Of {_count(len(expected), 'run')}, {states.count('complete')} complete, {states.count('partial')} partial, "
        + f"{states.count('failed')} failed, " * ("failed" in states)
        + f"{states.count('not run')} not run."
    )
    return " ".join([_first_place(runs), *_labels_gap(runs), missing])


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _first_place(runs: Runs) -> str:
    means = {
        code(run): mean for run, records in runs.items() if (mean := mean_map(records)) is not None
    }
    if not means:
        return "No measured run has an mAP." if runs else "No run has been measured yet."
    (first, top), *others = means.items()
    if not others:
        return f"{first} is the only run measured so far, with mAP {top:.2f}."
    (second, mean), ties = others[0], set(map(code, tables.within_noise(runs)))
    lead = (
        f"{first} ranks first with mAP {top:.2f}, {top - mean:.2f} points ahead of {second} ({mean:.2f}); the noise is "
        f"{tables.noise(*list(runs.values())[:2]):.2f} points, so "
    )
    if not ties:
        return lead + "the lead is clear."
    if second not in ties:
        return (
            lead
            + f"this lead is clear, but {_count(len(ties), 'run')} further down cannot be told from the first."
        )
    also = (
        f"; nor can {_count(len(ties) - 1, 'further run')} be told from the first"
        if len(ties) > 1
        else ""
    )
    return lead + f"the two cannot be told apart{also}."


def _labels_gap(runs: Runs) -> list[str]:
    best = tables.best_of_regime(runs)
    if len(best) < 2:
        return []
    full, single = (best[regime] for regime in REGIMES)
    (top, low), limit = (
        (mean_map(runs[full]), mean_map(runs[single])),
        tables.noise(runs[full], runs[single]),
    )
    return [
        f"The best run with single-positive labels, {code(single)} ({low:.2f}), is {abs(top - low):.2f} points "
        f"{'below' if top >= low else 'above'} the best with full labels, {code(full)} ({top:.2f}): "
        f"{'within' if abs(top - low) <= limit else 'more than'} the noise."
    ]


def _check_same_classes(runs: Runs) -> None:
    seen = {
        tuple(c.name for c in measurement.per_class): f"{run}-s{record.seed}.json"
        for run, records in runs.items()
        for record in records
        for measurement in record.measurements.values()
    }
    if len(seen) > 1:
        raise InputError(
            f"records {' and '.join(sorted(seen.values()))}: score different classes, so they cannot be "
            "on one page; run their evaluate stages again"
        )


def _warnings(runs: Runs) -> list[str]:
    provenances = [record.provenance for records in runs.values() for record in records]
    versions = len({p.manifest_sha256 for p in provenances})
    return [
        "> **Note.** The records come from different versions of the data set (manifest sha256 below): run the pipeline "
        "again before comparing them."
    ] * (versions > 1) + [
        "> **Note.** Some records were made with uncommitted changes in the checkout."
    ] * any(p.dirty for p in provenances)


def _incomplete(
    runs: Runs, expected: dict[str, list[int]], command: str, searched: Container[str]
) -> list[str]:
    """Why a run is partial, and the commands that give what is missing, with all that they need (hence no -s)."""
    lacks = [
        f"- {code(run)}: {'; '.join(lack)}"
        for run, records in runs.items()
        if (lack := tables.shortfalls(records, expected[run]))
    ]
    pipeline = next((word for word in command.split() if word.endswith("dvc.yaml")), "dvc.yaml")
    missing = dict.fromkeys(
        f"dvc repro {pipeline}:" + ("search" if run in searched else f"evaluate@{run}-{seed}")
        for run, seeds in expected.items()
        for seed in seeds
        if seed not in {record.seed for record in runs.get(run, [])}
    )
    parts = ["Partial:\n\n" + "\n".join(lacks)] if lacks else []
    if missing:
        parts.append(
            "Not run. These commands train and score what is missing; then make this page again:\n\n```sh\n"
            + "\n".join(missing)
            + "\n```"
        )
    return parts


def figure_link(
    path: Path, name: str, alt: str, figure: Callable[..., None], *data, **options
) -> str:
    """Draws figure(*data, stem, **options) for the page `path`."""
    stem = path.parent / "figures" / f"{path.stem}-{name}"
    figures.draw(figure, data, stem, options)
    return f"[![{alt}](figures/{stem.name}.png)](figures/{stem.name}.svg)"


def attention_section(path: Path) -> list[str]:
    """What stages/attention.py has drawn for this page; nothing where it has not."""
    drawn = sorted((path.parent / "figures").glob(f"{path.stem}-attention-*.png"))
    said = "Test pictures under the attention of each of the likeliest labels (last decoder layer, mean over its heads)."
    return (
        [
            "## Where the labels look",
            said,
            *(f"![{file.stem}](figures/{file.name})" for file in drawn),
        ]
        if drawn
        else []
    )


def folded(text: str, rows: int, title: str) -> str:
    return (
        text
        if rows <= FOLD_AFTER
        else f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
    )


def _labels_sections(runs: Runs, path: Path) -> list[str]:
    single = any(records[0].run.labels == "single" for records in runs.values())
    parts = (
        [
            "## Full against single-positive labels",
            "Test mAP of each loss.",
            tables.regime_table(runs),
        ]
        if single
        else []
    )
    best = {run: runs[run] for run in tables.best_of_regime(runs).values()}
    if not best:
        return parts
    text = tables.class_table(best)
    named = " and ".join(
        f"{code(run)} ({REGIMES[records[0].run.labels]})" for run, records in best.items()
    )
    parts += [
        "## Class by class",
        f"The best run of each labels regime: {named}. The counts are positives; † marks "
        f"classes with fewer than {tables.FEW_POSITIVES} test positives, whose AP rests on a few pictures.",
        figure_link(
            path, "classes", "Average precision by class", figures.class_average_precision, best
        ),
        folded(text, text.count("\n"), "AP by class"),
    ]
    return parts


def counts_section(heading: str, runs: Runs, path: Path, suffix: str = "") -> list[str]:
    """How many labels the runs predict, and how good ROLE's estimated ones are; nothing for records without either."""
    told = {
        run: records
        for run, records in runs.items()
        if None not in [r.selected.predicted_positives for r in records]
    }
    if not told:
        return []
    parts = [
        heading,
        "Labels that a picture's probabilities add up to: on test beside the true number and the loss's k, and by "
        "epoch on validation.",
        tables.positives_table(told),
    ]
    if drawn := {
        run: records
        for run, records in told.items()
        if figures.validation_curve(records, "val_positives")
    }:
        parts.append(
            figure_link(
                path,
                f"positives-curves{suffix}",
                "Labels a validation picture by epoch, a line a run",
                figures.training_curves,
                drawn,
                column="val_positives",
                label="labels a validation picture",
            )
        )
    if estimates := tables.estimates_table(told):
        parts += [
            "ROLE's estimated labels of the training pictures, after the first, the best and the last epoch: their mAP "
            "against all true labels (percent), and how many a picture they add up to.",
            estimates,
        ]
    return parts


def _metric_sections(runs: Runs) -> list[str]:
    captioned = any(records[0].run.captions for records in runs.values())
    parts = [
        "## Other metrics",
        "Percent, on the test split; runs in the order of the ranking.",
        "### Variants of mAP",
        tables.selection_table(runs),
    ]
    for heading, columns in tables.METRICS.items():
        if captioned or heading not in tables.ONE_THRESHOLD:
            parts += [f"### {heading}", tables.metric_table(runs, columns)]
    return [
        *parts,
        'The last column is the label accuracy of answering "no label" for every picture.',
    ]


def _data_sections(runs: Runs, path: Path) -> list[str]:
    records = [record for group in runs.values() for record in group]
    parts = [
        "## Training",
        figure_link(
            path, "curves", "Validation mAP by epoch, a line a run", figures.training_curves, runs
        ),
    ]
    observed = next((r for r in records if r.run.labels == "single"), records[0])
    text = tables.label_table(observed)
    parts += [
        "## Data",
        "Pictures expected (annotated), used (readable) and rejected.",
        tables.picture_table(records),
        "Positives by class.",
        figure_link(
            path, "labels", "Positives by class and split", figures.label_distribution, observed
        ),
        folded(text, text.count("\n"), "Positives by class"),
    ]
    parts += ["## Cost and environment", tables.cost_table(runs)]
    names = figures.short_names(runs)
    points = [
        figures.Point(
            names[run],
            REGIMES[r.run.labels],
            r.cost.gmacs,
            None,
            mean_map(group),
            tables.standard_error(group),
        )
        for run, group in runs.items()
        for r in group[:1]
        if mean_map(group) is not None
    ]
    if len({f"{point.gmacs:.2f}" for point in points}) > 1:
        parts.append(
            figure_link(
                path,
                "cost",
                "Test mAP against GMACs a picture",
                figures.map_against_cost,
                {"": points},
            )
        )
    elif points:
        parts.append("All runs cost the same GMACs a picture, so mAP against cost is not drawn.")
    return parts + [tables.environment_table(records)]
