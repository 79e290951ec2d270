"""A made-up study in which every status occurs, and how its page's tables are read."""

import csv
import json
import re
from pathlib import Path

import yaml
from test_tables import cells, made_up_record

from mlrepro.records import Record, write_record
from mlrepro.studies.reported import ReportedRow

RUN = "gap-bce-resnet50-voc2012-224"

# Status of a row that prints an mAP of 70.0 -> variant of its run, and mAP of each seed.
MEASURED = {
    "reproduced": ("a", [70.2, 70.4]),
    "exceeds": ("b", [75.0, 75.2]),
    "below": ("c", [60.0, 60.2]),
    "partial": ("d", [70.0]),
    "failed": ("e", [None, None]),
}
MICRO_F1 = 61.25

# GMACs of the variants whose cost is measured.
GMACS = {"a": 4.0, "b": 8.0, "f": 4.0}

TEXT = {
    "title": "Made up",
    "authors": ["A. B."],
    "year": 2020,
    "link": "https://example.org",
    "document": "009",
    "summary": "Text.",
    "tables": [
        {
            "id": "1",
            "title": "One",
            "source": "009",
            "rows": 7,
            "columns": ["mAP", "GFLOPs"],
            "data_sets": ["voc2012"],
        },
        {
            "id": "2",
            "title": "Two",
            "source": "009",
            "rows": 1,
            "columns": ["micro_f1", "micro_recall", "loss"],
            "data_sets": ["voc2012"],
        },
        {
            "id": "wide",
            "title": "Three",
            "source": "009",
            "rows": 1,
            "columns": ["mAP"],
            "data_sets": ["voc2012", "voc2007"],
        },
    ],
    "figure": ["1"],
    "gflops_tool": [
        {"head": "gap", "tool": "ptflops"},
        {"head": "gap", "variant": "b", "tool": "fvcore"},
    ],
    "training": {
        "pictures": {"voc2012": 5000},
        "source": "009",
        "schedules": [
            {"epochs": 10, "source": "ten"},
            {"variant": "d", "epochs": 20, "passes": 2, "source": "twenty"},
        ],
    },
    "needs": {
        "data": {"voc2012": {"set": "voc2012", "gigabytes": 2}},
        "weights": [{"backbone": "resnet50", "weights": "some"}],
    },
    "deviations": [],
    "findings": [],
}


# ---- Its files ----------------------------------------------------------------------------------


def reported(row: str, run: str, metric: str, printed: str, **changes) -> dict:
    """A line of reported.csv."""
    line = {
        "table": "1",
        "row": row,
        "run": run,
        "data_set": "voc2012",
        "backbone": "R50",
        "resolution": "",
        "metric": metric,
        "printed": printed,
        "number": printed,
        "std": "",
        "convention": "",
        "source": "009",
        "checked": "yes",
        "note": "",
    }
    return line | changes


def reported_lines() -> list[dict]:
    lines = []
    for status, (variant, _) in MEASURED.items():
        lines.append(reported(status, f"{RUN}-{variant}", "mAP", "70.0"))

    lines += [
        reported("exceeds", f"{RUN}-b", "GFLOPs", "8.00"),
        reported("not-run", f"{RUN}-f", "mAP", "70.0", checked="memory"),
        reported("not-comparable", "", "mAP", "99.0", note="no such head"),
        reported("F1", f"{RUN}-a", "micro_f1", "0.61", table="2"),
        reported("F1", f"{RUN}-a", "micro_recall", "0.5", table="2"),
        reported("F1", f"{RUN}-a", "loss", "0.3", table="2"),
    ]

    # One row on two data sets: a table with a column for each.
    on_voc2007 = RUN.replace("voc2012", "voc2007")
    lines += [
        reported("both", RUN, "mAP", "71.5", table="wide"),
        reported("both", on_voc2007, "mAP", "72.5", table="wide", data_set="voc2007"),
    ]
    return lines


def costs() -> dict[str, dict]:
    """By run id, as in complexity.json."""
    measured = {}
    for variant, gmacs in GMACS.items():
        measured[f"{RUN}-{variant}"] = {
            "gmacs": gmacs,
            "ptflops": gmacs - 0.1,
            "fvcore": gmacs + 0.25,
            "parameters": 23_500_000,
        }
    return measured


def made_up_study(folder: Path) -> Path:
    """Writes it into `folder`, which it returns."""
    (folder / "runs").mkdir(parents=True)
    (folder / "runs" / f"{RUN}-f.yaml").touch()

    with open(folder / "reported.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ReportedRow.model_fields))
        writer.writeheader()
        writer.writerows(reported_lines())

    write_text(folder)
    pipeline = {"data": {}, "seeds": [0, 1], "runs": [f"{RUN}-f"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(pipeline), encoding="utf-8")
    complexity = {"versions": {}, "runs": costs()}
    (folder / "complexity.json").write_text(json.dumps(complexity), encoding="utf-8")

    for variant, values in MEASURED.values():
        for seed, mAP in enumerate(values):
            measured_record(folder, variant, mAP, seed)
    return folder


def write_text(folder: Path, **changes) -> None:
    """study.yaml, with other values of some keys."""
    (folder / "study.yaml").write_text(yaml.safe_dump(TEXT | changes), encoding="utf-8")


def measured_record(folder: Path, variant: str, mAP: float | None, seed: int) -> None:
    """A record of one of its runs."""
    values = made_up_record("bce", mAP=70.0, seed=seed, head="gap", variant=variant).model_dump()
    values["run"] |= {"backbone": "resnet50", "data": "voc2012"}
    for measurement in values["measurements"].values():
        measurement["metrics"] |= {"mAP": mAP, "micro_F1": MICRO_F1}

    record = Record.model_validate(values)
    write_record(record, folder / "results" / "voc2012" / f"{record.name}.json")


# ---- Its page -----------------------------------------------------------------------------------

Cells = list[list[str]]


def section_text(text: str, heading: str) -> str:
    """What stands below the heading that begins so, up to the next one."""
    for part in re.split(r"^##+ ", text, flags=re.M):
        if part.startswith(heading):
            return part
    raise AssertionError(f"no heading begins with {heading!r}")


def section(text: str, heading: str) -> list[Cells]:
    """The markdown tables below the heading that begins so."""
    blocks = section_text(text, heading).split("\n\n")
    return [cells(block) for block in blocks if block.startswith("|")]


def by_row(table: Cells) -> dict[str, dict[str, str]]:
    """A table's cells by the first cell of their line and their header."""
    headers, *lines = table
    return {line[0]: dict(zip(headers, line, strict=True)) for line in lines}
