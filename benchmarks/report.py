"""Renders reports/benchmarks.md from the files in benchmarks/results/.

    python benchmarks/report.py

What has no file is shown as not measured, with its command.
"""

import argparse
import json
import statistics
from pathlib import Path

from common import RESULTS
from tabulate import tabulate

PAGE = Path(__file__).resolve().parents[1] / "reports" / "benchmarks.md"
ABSENT = "—"
WITHIN = 0.3  # of the time that a training took: the goal of its estimate
# what, device, title, options of its command
BENCHMARKS = [
    ("pictures", "cpu", "Pictures in", ""),
    ("metrics", "cpu", "Metrics", ""),
    ("heads", "cpu", "Heads and losses", ""),
    ("heads", "cuda", "Heads and losses, GPU", " --device cuda"),
    ("pipeline", "cpu", "The pipeline itself", ""),
    ("large", "cpu", "Large data", ""),
    ("gpu", "cuda", "Training on a GPU", ""),
    ("estimates", "cpu", "Estimates of wall time", ""),
    ("linear_search", "cpu", "The grid of the linear mode", ""),
    ("linear_search", "cuda", "The grid of the linear mode, GPU", ""),
]


def seconds(value: float | None) -> str:
    if value is None:
        return ABSENT
    return (
        f"{value:.1f} s"
        if value >= 10
        else f"{value:.2f} s"
        if value >= 1
        else f"{1000 * value:.3g} ms"
    )


def amount(row: dict, key: str) -> str:
    """Seconds, or a rate where the row has a unit of its own."""
    if row.get("unit") == "pictures/s":
        value = row.get({"ours_s": "ours", "peer_s": "peer_rate"}[key])
        return ABSENT if value is None else f"{value:,.0f} pictures/s"
    several = sorted(row.get("seconds", ())) if key == "ours_s" else ()  # of a row without a peer
    return seconds(row.get(key)) + (
        f" ({seconds(several[0])} to {seconds(several[-1])})" if len(several) > 1 else ""
    )


def spread(row: dict) -> str:
    if "ratio" not in row:
        return ABSENT
    ratios = row.get("ratios", [])
    return f"{row['ratio']:.2f}" + (
        f" ({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
    )


def goal(row: dict) -> tuple[str, str]:
    """What was to be reached, and whether it was."""
    if "goal" in row:
        return f"at least {row['goal']:g} times", "yes" if row["ratio"] >= row["goal"] else "**no**"
    if "limit_mib" in row:
        return f"within {row['limit_mib']:,.0f} MiB", "yes" if row["peak_mib"] <= row[
            "limit_mib"
        ] else "**no**"
    if "limit_s" in row:
        reached = row["ours_s"] <= row["limit_s"] and not row.get("torch_imported")
        return f"at most {row['limit_s']:g} s", "yes" if reached else "**no**"
    return ABSENT, ABSENT


def compared(result: dict) -> list[str]:
    """The table of a file whose rows `common.compare` and `common.alone` made."""
    table, notes = [], []
    for row in result["rows"]:
        cpu, difference = row.get("cpu_ratio"), row.get("difference")
        table.append(
            [
                row["name"],
                amount(row, "ours_s"),
                row.get("peer", ABSENT),
                amount(row, "peer_s"),
                spread(row),
                ABSENT if cpu is None else f"{cpu:.2f}",
                *goal(row),
                ABSENT if difference is None else f"{difference:.2g}",
            ]
        )
        memory = [
            f"{label} {row[key]:.1f} against {row['peer_' + key]:.1f} MiB"
            for key, label in (
                ("saved_mib", "kept for the backward pass"),
                ("peak_mib", "peak memory"),
            )
            if key in row
        ]
        if note := "; ".join(filter(None, [row.get("note"), *memory])):
            notes.append(f"- {row['name']}: {note}")
    head = [
        "what",
        "ours",
        "peer",
        "peer's",
        "ratio (range)",
        "of CPU seconds",
        "goal",
        "reached",
        "largest difference",
    ]
    parts = [tabulate(table, head, "github", disable_numparse=True)]
    if "difference" in result:
        parts.append(f"Largest difference: {result['difference']}.")
    parts += ["\n".join(notes)] if notes else []
    if left_out := result.get("left_out"):
        parts.append("Left out: " + "; ".join(left_out) + ".")
    if profile := result.get("profile"):
        parts.append("Where a step's time goes: " + "; ".join(profile) + ".")
    return parts


def estimated(result: dict) -> list[str]:
    """A row a training."""
    table = [
        [
            row["name"],
            row["epochs"],
            f"{row['gmacs']:.3g}",
            seconds(row["predicted_s"]),
            seconds(row["actual_s"]),
            f"{100 * row['error']:+.0f} %",
            "yes" if abs(row["error"]) <= WITHIN else "**no**",
        ]
        for row in result["rows"]
    ]
    head = ["training", "epochs", "GMACs a picture", "predicted", "took", "error", "within 30 %"]
    within = sum(row[-1] == "yes" for row in table)
    return [
        tabulate(table, head, "github", disable_numparse=True),
        f"{within} of {len(table)} within 30 %.",
    ]


def searched(result: dict) -> list[str]:
    """The file of linear_search.py, which has a form of its own."""
    table = [
        [
            f"{row['size']}, {row['members']} members, {row['grid']}",
            seconds(row["search_s"]),
            "one run after the other",
            seconds(row["usual_s"]),
            spread(row | {"ratio": statistics.median(row["ratios"])}),
            f"{statistics.median(row['cpu_ratios']):.1f}",
        ]
        for row in result["results"]
    ]
    head = ["what", "ours", "peer", "peer's", "ratio (range)", "of CPU seconds"]
    return [tabulate(table, head, "github", disable_numparse=True)]


def measured_where(result: dict) -> str:
    facts = result.get("environment")
    if not facts:
        return f"{result['machine']}, torch {result['torch']}."
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    load = f"; load of the machine at the end {facts['load']}"
    return f"{facts.get('gpu') or facts['processor']}, {facts['cores']} cores{load}; Python {facts['python']}, {versions}."


def section(what: str, device: str, title: str, options: str, folder: Path) -> list[str]:
    files = sorted(folder.glob(f"{what}-{device}-torch*.json"))
    if not files:
        where = " on a machine with a GPU." * (device == "cuda")
        return [f"## {title}", f"Not measured: `python benchmarks/{what}.py{options}`{where}"]
    parts = [f"## {title}"]
    for path in files:
        result = json.loads(path.read_text(encoding="utf-8"))
        how = result.get("how", "").split("\n\n")
        command = f"`python benchmarks/{what}.py{result.get('options', options)}`"  # with the options that it was given
        made = {"estimates": estimated, "linear_search": searched}.get(what, compared)(result)
        # The docstring's first paragraph says what, those that are indented are commands or formulas, the others how.
        texts = [
            text if text.startswith("    ") else " ".join(text.split())
            for text in how
            if "python benchmarks/" not in text
        ]
        parts += [
            *filter(None, texts),
            *made,
            f"Command: {command}, its output: `{path.name}`. {measured_where(result)}",
        ]
    return parts


def render(folder: Path) -> str:
    intro = (
        "Ours and a named peer on the same inputs, in turn, in one command each; ratios are peer / ours (for rates, ours / "
        "peer), medians of several repeats with their range (without one: once). Where other programs were running (a load "
        "above the number of cores in use), the ratio of CPU seconds says more than that of wall time. Made by `python "
        "benchmarks/report.py`."
    )
    parts = ["# Benchmarks", intro]
    for benchmark in BENCHMARKS:
        parts += section(*benchmark, folder)
    return "\n\n".join(parts) + "\n"


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
