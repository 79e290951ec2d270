"""Renders reports/benchmarks.md from the files in benchmarks/results/.

    python benchmarks/report.py

What has no file is shown as not measured, with its command. The page's prose is in
benchmarks/templates/, what a benchmark measures in the docstring of its script.
"""

import argparse
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from common import RESULTS
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tabulate import tabulate

TEMPLATES = Path(__file__).resolve().parent / "templates"
PAGE = Path(__file__).resolve().parents[1] / "reports" / "benchmarks.md"
ABSENT = "—"
YES = "yes"
NO = "**no**"

# Of the time that a training took: the goal of its estimate.
WITHIN = 0.3

MEMORY = {"saved_mib": "kept for the backward pass", "peak_mib": "peak memory"}


@dataclass(frozen=True)
class Benchmark:
    """A section of the page: benchmarks/<what>.py on a device, with options of its command."""

    what: str
    device: str
    title: str
    options: str = ""


BENCHMARKS = [
    Benchmark("pictures", "cpu", "Pictures in"),
    Benchmark("metrics", "cpu", "Metrics"),
    Benchmark("resamples", "cpu", "Paired comparisons"),
    Benchmark("heads", "cpu", "Heads and losses"),
    Benchmark("heads", "cuda", "Heads and losses, GPU", " --device cuda"),
    Benchmark("newcomer", "cpu", "A newcomer's first minutes"),
    Benchmark("pipeline", "cpu", "The pipeline itself"),
    Benchmark("runs", "cpu", "Runs on features"),
    Benchmark("large", "cpu", "Large data"),
    Benchmark("gpu", "cuda", "Training on a GPU"),
    Benchmark("memory", "cpu", "Memory of freed tensors"),
    Benchmark("estimates", "cpu", "Estimates of wall time"),
    Benchmark("linear_search", "cpu", "The grid of the linear mode"),
    Benchmark("label_errors", "cpu", "Errors in labels"),
    Benchmark("rare_labels", "cpu", "Thresholds of rare labels"),
    Benchmark("choice", "cpu", "Which training to take"),
    Benchmark("forms", "cpu", "Larger pictures, mirror images, roots of features"),
    Benchmark("linear_search", "cuda", "The grid of the linear mode, GPU"),
]


# --- cells ---------------------------------------------------------------------------------------


def seconds(value: float | None) -> str:
    if value is None:
        return ABSENT
    if value >= 10:
        return f"{value:.1f} s"
    if value >= 1:
        return f"{value:.2f} s"
    return f"{1000 * value:.3g} ms"


def rate(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.0f} pictures/s"


def ours(row: dict) -> str:
    """Seconds, of a row without a peer with their range, or a rate."""
    if row.get("unit") == "pictures/s":
        return rate(row.get("ours"))
    median = seconds(row.get("ours_s"))
    repeats = sorted(row.get("seconds", []))
    if len(repeats) > 1:
        return f"{median} ({seconds(repeats[0])} to {seconds(repeats[-1])})"
    return median


def peers(row: dict) -> str:
    if row.get("unit") == "pictures/s":
        return rate(row.get("peer_rate"))
    return seconds(row.get("peer_s"))


def ratio(row: dict) -> str:
    """With its range, if there is one."""
    if "ratio" not in row:
        return ABSENT
    median = f"{row['ratio']:.2f}"
    ratios = row.get("ratios", [])
    if len(ratios) > 1:
        return f"{median} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return median


def goal(row: dict) -> tuple[str, str]:
    """What was to be reached, and whether it was."""
    if "goal" in row:
        return f"at least {row['goal']:g} times", yes_or_no(row["ratio"] >= row["goal"])
    if "limit_cpu_s" in row:
        reached = row["ours_cpu_s"] <= row["limit_cpu_s"]
        return f"at most {row['limit_cpu_s']:.3g} CPU s", yes_or_no(reached)
    if "limit_mib" in row:
        reached = row["peak_mib"] <= row["limit_mib"]
        return f"within {row['limit_mib']:,.0f} MiB", yes_or_no(reached)
    if "limit_s" in row:
        reached = row["ours_s"] <= row["limit_s"] and not row.get("torch_imported")
        return f"at most {row['limit_s']:g} s", yes_or_no(reached)
    return ABSENT, ABSENT


def yes_or_no(reached: bool) -> str:
    return YES if reached else NO


def number(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form)


def table(head: list[str], rows: list[list[str]]) -> str:
    # The cells are texts already: tabulate is not to guess numbers in them.
    return tabulate(rows, head, "github", disable_numparse=True)


# --- files of results ----------------------------------------------------------------------------


@dataclass
class Measured:
    """One file of results, as the page shows it."""

    table: str
    difference: str | None = None  # what the column `largest difference` counts
    within: str | None = None  # how many estimates came near enough
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    profile: list[str] = field(default_factory=list)
    description: list[str] = field(default_factory=list)
    command: str = ""
    file: str = ""
    machine: str = ""


def compared(result: dict) -> Measured:
    """A file whose rows `common.compare` and `common.alone` made."""
    head = ["what", "ours", "peer", "peer's", "ratio (range)", "of CPU seconds"]
    head += ["goal", "reached", "largest difference"]

    rows = []
    notes = []
    for row in result["rows"]:
        wanted, reached = goal(row)
        rows.append(
            [
                row["name"],
                ours(row),
                row.get("peer", ABSENT),
                peers(row),
                ratio(row),
                number(row.get("cpu_ratio"), ".2f"),
                wanted,
                reached,
                number(row.get("difference"), ".2g"),
            ]
        )
        note = note_of(row)
        if note:
            notes.append(f"{row['name']}: {note}")

    return Measured(
        table(head, rows),
        difference=result.get("difference"),
        notes=notes,
        left_out=result.get("left_out", []),
        profile=result.get("profile", []),
    )


def note_of(row: dict) -> str:
    """What a row says beside its cells: a remark, CPU seconds and memory against the peer's."""
    parts = []
    if row.get("note"):
        parts.append(row["note"])
    if "limit_cpu_s" in row:
        parts.append(f"CPU seconds {row['ours_cpu_s']:.3g}, the peer's {row['peer_cpu_s']:.3g}")
    for key, label in MEMORY.items():
        if key in row:
            parts.append(f"{label} {row[key]:.1f} against {row['peer_' + key]:.1f} MiB")
    return "; ".join(parts)


def estimated(result: dict) -> Measured:
    """The file of estimates.py: a row a training."""
    head = ["training", "epochs", "GMACs a picture", "predicted", "took", "error", "within 30 %"]

    rows = []
    near = 0
    for row in result["rows"]:
        reached = abs(row["error"]) <= WITHIN
        near += reached
        rows.append(
            [
                row["name"],
                row["epochs"],
                f"{row['gmacs']:.3g}",
                seconds(row["predicted_s"]),
                seconds(row["actual_s"]),
                f"{100 * row['error']:+.0f} %",
                yes_or_no(reached),
            ]
        )
    return Measured(table(head, rows), within=f"{near} of {len(rows)}")


def searched(result: dict) -> Measured:
    """The file of linear_search.py, which has a form of its own."""
    head = ["what", "ours", "peer", "peer's", "ratio (range)", "of CPU seconds"]
    rows = []
    for row in result["results"]:
        ratios = {"ratio": statistics.median(row["ratios"]), "ratios": row["ratios"]}
        rows.append(
            [
                f"{row['size']}, {row['members']} members, {row['grid']}",
                seconds(row["search_s"]),
                "one run after the other",
                seconds(row["usual_s"]),
                ratio(ratios),
                f"{statistics.median(row['cpu_ratios']):.1f}",
            ]
        )
    return Measured(table(head, rows))


def found_errors(result: dict) -> Measured:
    """The file of label_errors.py: a row for each kind of errors and each question."""
    # What the page did before answers some of the questions alone: a row may lack a ranking.
    rankings = {}
    for row in result["rows"]:
        rankings |= dict.fromkeys(row["precision"])

    rows = []
    for row in result["rows"]:
        of_rankings = [percents(row["precision"].get(ranking)) for ranking in rankings]
        rows.append([row["errors"], row["asked_for"], *of_rankings])
    head = ["errors", "asked for", *rankings]
    return Measured(table(head, rows), notes=[result["data"]])


def percents(values: list[float] | None) -> str:
    if not values:
        return ABSENT
    return f"{statistics.mean(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def thresholds_of_rare_labels(result: dict) -> Measured:
    """The file of rare_labels.py: a row for each data set and rule."""
    rows = []
    for row in result["rows"]:
        for rule, macro in row["macro_F1"].items():
            overall = row["OF1"][rule]
            ahead = ABSENT  # the last rule is not ahead of itself
            if rule in row["ahead"]:
                mean, lowest, highest = row["ahead"][rule]
                ahead = f"{mean:+.1f} ({lowest:+.1f} to {highest:+.1f})"
            rows.append([row["data"], rule, f"{macro:.1f}", f"{overall:.1f}", ahead])
    head = ["data", "rule", "macro F1", "OF1", "the last rule is ahead"]
    return Measured(table(head, rows))


def rules_of_choice(result: dict) -> Measured:
    """The file of choice.py: a row for each data set, number of pictures and rule."""
    rows = []
    for row in result["rows"]:
        pictures = f"{row['pictures']:,}"
        for rule, by_seed in row["lost"].items():
            lost = f"{statistics.mean(by_seed):.2f} (at most {max(by_seed):.2f})"
            agrees = f"{statistics.mean(row['agrees'][rule]):.2f}"
            rows.append([row["data"], pictures, rule, lost, agrees])
    head = ["data", "pictures", "rule", "lost", "agrees"]
    return Measured(table(head, rows))


def forms_of_features(result: dict) -> Measured:
    """The file of forms.py: a row for each data set and form, against the data set's first."""
    first_of = {}
    rows = []
    for row in result["rows"]:
        first = first_of.setdefault(row["data"], row)
        gain = ABSENT
        if row is not first:
            gains = [ours - peer for ours, peer in zip(row["mAP"], first["mAP"], strict=True)]
            error = statistics.stdev(gains) / len(gains) ** 0.5
            gain = f"{statistics.mean(gains):+.2f} ± {error:.2f}"
        mAP = f"{statistics.mean(row['mAP']):.2f}"
        operations = f"{row['operations'] / first['operations']:.2f}"
        cells = [row["data"], f"`{row['backbone']}`", str(row["resolution"])]
        rows.append([*cells, mAP, gain, operations])
    head = ["data", "features", "px", "mAP", "gain", "operations"]
    return Measured(table(head, rows))


READERS = {
    "choice": rules_of_choice,
    "estimates": estimated,
    "forms": forms_of_features,
    "label_errors": found_errors,
    "linear_search": searched,
    "rare_labels": thresholds_of_rare_labels,
}


def read_measured(benchmark: Benchmark, path: Path) -> Measured:
    result = json.loads(path.read_text(encoding="utf-8"))
    reader = READERS.get(benchmark.what, compared)
    measured = reader(result)
    measured.description = description(result.get("how", ""))
    measured.command = command(benchmark, result.get("options", benchmark.options))
    measured.file = path.name
    measured.machine = machine(result)
    return measured


def description(docstring: str) -> list[str]:
    """The paragraphs of a script's docstring, a line each, without its command.

    Those that are indented are formulas, and stay as they are.
    """
    paragraphs = []
    for paragraph in docstring.split("\n\n"):
        if not paragraph or "python benchmarks/" in paragraph:
            continue
        formula = paragraph.startswith("    ")
        paragraphs.append(paragraph if formula else " ".join(paragraph.split()))
    return paragraphs


def command(benchmark: Benchmark, options: str) -> str:
    return f"python benchmarks/{benchmark.what}.py{options}"


def machine(result: dict) -> str:
    """Where it was measured, and with which versions."""
    facts = result.get("environment")
    if not facts:
        return f"{result['machine']}, torch {result['torch']}"
    processor = facts.get("gpu") or facts["processor"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{processor}, {facts['cores']} cores; load of the machine at the end {facts['load']}; "
        f"Python {facts['python']}, {versions}"
    )


# --- the page ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Section:
    """One benchmark on the page: what was measured, or how to measure it."""

    title: str
    command: str
    needs_gpu: bool
    measured: list[Measured]


def section(benchmark: Benchmark, folder: Path) -> Section:
    files = sorted(folder.glob(f"{benchmark.what}-{benchmark.device}-torch*.json"))
    return Section(
        title=benchmark.title,
        command=command(benchmark, benchmark.options),
        needs_gpu=benchmark.device == "cuda",
        measured=[read_measured(benchmark, path) for path in files],
    )


def render(folder: Path) -> str:
    """The page of the results in `folder`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # markdown, not HTML
    )
    template = environment.get_template("benchmarks.md.j2")
    return template.render(sections=[section(benchmark, folder) for benchmark in BENCHMARKS])


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--results", type=Path, default=RESULTS)
    options.add_argument("--page", type=Path, default=PAGE)
    given = options.parse_args()
    given.page.write_text(render(given.results), encoding="utf-8")
    print(f"written: {given.page.name}")


if __name__ == "__main__":
    main()
