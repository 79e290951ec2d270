"""Pages of made-up studies, where every status occurs, and of the real ones, which print what reported.csv holds."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import stage
from dvc.repo import Repo
from networkx import descendants
from study_checks import check_study
from test_tables import cells, made_up_record

from mlrepro.errors import InputError
from mlrepro.records import Failure, write_failure, write_record
from mlrepro.report.overview import write_index
from mlrepro.report.study_page import write_study
from mlrepro.report.study_tables import WIDTH
from mlrepro.report.tables import escape
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.reported import ReportedRow, head_options
from mlrepro.studies.results import THROUGHPUT, gpu_hours, read_study

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["aam", "captions", "mirflickr", "query2label", "single-positive", "voc-transfer"]
RUN = "gap-bce-resnet50-voc2012-224"
# printed mAP 70.0; status -> (variant, mAP of each seed)
MEASURED = {
    "reproduced": ("a", [70.2, 70.4]),
    "exceeds": ("b", [75.0, 75.2]),
    "below": ("c", [60.0, 60.2]),
    "partial": ("d", [70.0]),
    "failed": ("e", [None, None]),
}
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


def reported(
    row: str,
    run: str,
    metric: str,
    printed: str,
    table="1",
    data_set="voc2012",
    note="",
    checked="yes",
) -> dict:
    return {
        "table": table,
        "row": row,
        "run": run,
        "data_set": data_set,
        "backbone": "R50",
        "resolution": "",
        "metric": metric,
        "printed": printed,
        "number": printed,
        "std": "",
        "convention": "",
        "source": "009",
        "checked": checked,
        "note": note,
    }


def made_up_study(folder: Path) -> Path:
    rows = [
        reported(status, f"{RUN}-{variant}", "mAP", "70.0")
        for status, (variant, _) in MEASURED.items()
    ]
    rows += [
        reported("exceeds", f"{RUN}-b", "GFLOPs", "8.00"),
        reported("not-run", f"{RUN}-f", "mAP", "70.0", checked="memory"),
        reported("not-comparable", "", "mAP", "99.0", note="no such head"),
        *(
            reported("F1", f"{RUN}-a", metric, printed, "2")
            for metric, printed in (("micro_f1", "0.61"), ("micro_recall", "0.5"), ("loss", "0.3"))
        ),
        reported("both", RUN, "mAP", "71.5", "wide"),
        reported("both", RUN.replace("12", "07"), "mAP", "72.5", "wide", "voc2007"),
    ]
    (folder / "runs").mkdir(parents=True)
    (folder / "runs" / f"{RUN}-f.yaml").touch()
    with open(folder / "reported.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ReportedRow.model_fields))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "study.yaml").write_text(yaml.safe_dump(TEXT), encoding="utf-8")
    (folder / "params.yaml").write_text(
        f"data: {{}}\nseeds: [0, 1]\nruns: [{RUN}-f]\n", encoding="utf-8"
    )
    for variant, values in MEASURED.values():
        for seed, mAP in enumerate(values):
            record(folder, variant, mAP, seed)
    costs = {
        f"{RUN}-{v}": {"gmacs": g, "ptflops": g - 0.1, "fvcore": g + 0.25, "parameters": 23_500_000}
        for v, g in (("a", 4.0), ("b", 8.0), ("f", 4.0))
    }
    (folder / "complexity.json").write_text(
        json.dumps({"versions": {}, "runs": costs}), encoding="utf-8"
    )
    return folder


def record(folder: Path, variant: str | None, mAP: float | None, seed: int) -> None:
    made = made_up_record("bce", mAP=70.0, seed=seed, head="gap", variant=variant).model_dump()
    made["run"] |= {"backbone": "resnet50", "data": "voc2012"}
    for measurement in made["measurements"].values():
        measurement["metrics"] |= {"mAP": mAP, "micro_F1": 61.25}
    made = type(made_up_record()).model_validate(made)
    write_record(made, folder / "results" / "voc2012" / f"{made.run.run_id}-s{seed}.json")


def section(text: str, heading: str) -> list[list[list[str]]]:
    """The markdown tables below a heading."""
    body = re.split(r"^##+ ", text, flags=re.M)
    return [
        cells(block)
        for block in next(b for b in body if b.startswith(heading)).split("\n\n")
        if block.startswith("|")
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("made") / "study"
    write_study(read_study(made_up_study(folder)), folder.parent / "reports" / "study.md")
    return folder, (folder.parent / "reports" / "study.md").read_text(encoding="utf-8")


def test_every_status_is_computed_and_every_printed_row_stands(page):
    _, text = page
    rows, costs = section(text, "Table 1: One")
    status = {row[0]: row[-1] for row in rows[1:]}
    assert status == {name: name for name in (*MEASURED, "not-run", "not-comparable")}
    line = {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[1:]}
    assert (line["reproduced"]["reproduced mAP"], line["reproduced"]["delta"]) == (
        "70.30 ± 0.14 (2)",
        "+0.30",
    )
    assert (
        line["below"]["delta"] == "-9.90"
        and line["partial"]["delta"] == "0.00"
        and line["failed"]["delta"] == "-"
    )
    assert line["not-run"]["mAP"] == "70.0ᵐ" and "from memory" in text and "ᵗ" not in text
    cost = {row[0]: dict(zip(costs[0], row, strict=True)) for row in costs[1:]}
    assert cost["exceeds"] | {"row": ""} == {
        "row": "",
        "model": "R50",
        "GFLOPs, printed": "8.00",
        "paper's way": "8.25",
        "difference": "+0.25",
        "GMACs": "8.00",
        "M params": "23.50",
    }
    assert cost["below"]["GMACs"] == "not measured" and cost["not-comparable"]["GMACs"] == "-"
    assert (
        "2 reproduced, 1 exceeds, 1 below, 1 partial, 1 failed, 3 not-run, 1 not-comparable" in text
    )


def test_a_run_that_a_launch_could_not_do_is_failed(tmp_path):
    folder = made_up_study(tmp_path / "study")
    failure = Failure(stage="train", error="error: no GPU", host="n1", log="a.log")
    write_failure(failure, folder / "results" / "voc2012" / f"{RUN}-f-s0.json")
    write_study(read_study(folder), tmp_path / "study.md")
    text = (tmp_path / "study.md").read_text(encoding="utf-8")
    assert {row[0]: row[-1] for row in section(text, "Table 1: One")[0]}["not-run"] == "failed"
    assert f"- `{RUN}-f` seed 0: error: no GPU (stage `train` on n1" in text


def test_measured_runs_show_their_curves(page):
    folder, text = page
    assert "### On voc2012" in text
    assert "figures/study-curves-voc2012.svg" in text and "Number of labels" not in text
    assert (
        folder.parent / "reports" / "figures" / "study-curves-voc2012.png"
    ).stat().st_size > 10_000


def test_fractions_are_compared_in_the_printed_unit_and_wide_tables_stay_wide(page):
    _, text = page
    printed, _, other = section(text, "Table 2: Two")
    line = dict(zip(printed[0], printed[1], strict=True))
    assert (line["reproduced micro_f1"], line["delta"]) == ("0.6125 ± 0.0000 (2)", "+0.0025")
    assert other[0][-1] == "micro_recall" and re.fullmatch(
        r"0\.\d{4} ± 0\.\d{4} \(2\) / [+-]0\.\d{4}", other[1][-1]
    )
    assert section(text, "wide (collected): Three")[0][1] == [
        "both",
        "R50",
        "71.5",
        "72.5",
        "not-run",
    ]


def test_what_is_not_run_states_data_cost_and_command(page):
    folder, text = page
    results = read_study(folder)
    assert gpu_hours(results, f"{RUN}-f") == pytest.approx(
        3 * 4e9 * 2 * 5000 * 10 / THROUGHPUT / 3600
    )
    assert gpu_hours(results, f"{RUN}-d") is None  # not measured
    assert "`dvc repro data/dvc.yaml:prepare@voc2012`; about 2 GB to download" in text
    rows = {row[0]: row[1:] for row in section(text, "voc2012: 4 runs")[0]}
    assert rows[f"`{RUN}-f`"] == ["1", "10", "< 0.1", "yes"]
    assert rows[f"`{RUN}-d`"] == ["1", "20 x 2 passes", "-", "no run file yet"]
    commands = re.findall(r"^dvc repro .*evaluate@.*", text, re.M)
    assert commands == [
        f"dvc repro {folder.as_posix()}/dvc.yaml:evaluate@{RUN}-f-{seed}" for seed in (0, 1)
    ]
    assert "- **no such head**: not-comparable, Table 1" in text


def test_without_a_measured_cost_the_page_says_how_to_measure_it(tmp_path):
    folder = made_up_study(tmp_path / "study")
    (folder / "complexity.json").unlink()
    write_study(read_study(folder), tmp_path / "study.md")
    text = (tmp_path / "study.md").read_text(encoding="utf-8")
    assert (
        "study/dvc.yaml:complexity`" in text
        and "not measured |" not in text
        and "study-cost" not in text
    )
    (folder / "complexity.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"complexity\.json: not what stages/complexity\.py writes"
    ):
        read_study(folder)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (
            lambda f: (f / "runs" / f"{RUN}-x.yaml").touch(),
            r"-x\.yaml: no row of reported\.csv names this run; did you mean",
        ),
        (
            lambda f: record(f, "x", 70.0, 0),
            r"voc2012: holds records of gap-bce-resnet50-voc2012-224-x, which no row",
        ),
        (
            lambda f: shutil.copytree(f / "results" / "voc2012", f / "results" / "subset"),
            "and so does another folder",
        ),
        (
            lambda f: spoil_text(f, "gflops_tool", [{"head": "gapp", "tool": "fvcore"}]),
            r"gflops_tool: .*gapp.* matches no run",
        ),
        (
            lambda f: spoil_text(f, "gflops_tool", [{"head": "gap", "tool": "fvcor"}]),
            "did you mean 'fvcore'",
        ),
        (lambda f: spoil_text(f, "figure", ["9"]), "figure: no table '9'"),
    ],
)
def test_what_does_not_fit_together_is_an_error(tmp_path, spoil, message):
    folder = made_up_study(tmp_path / "study")
    spoil(folder)
    with pytest.raises(InputError, match=message):
        read_study(folder)
        check_study(folder)


def spoil_text(folder: Path, key: str, value) -> None:
    (folder / "study.yaml").write_text(yaml.safe_dump(TEXT | {key: value}), encoding="utf-8")


def test_head_options_of_a_run():
    aam, query2label = (
        read_study(ROOT / "studies" / name).study.text for name in ("aam", "query2label")
    )

    def options(text, run):
        return head_options(text, parse_run_id(run))

    assert options(query2label, "query2label-asl-resnet101-coco2014-448") == {"ffn": 8192}
    assert options(aam, "graph-aam-tresnet_v2_l-coco2017-448-oi") == {
        "angular": True,
        "layer": "gat",
        "pooling": "avg+max",
    }
    assert options(aam, "csra-bce-resnet101-coco2014-448")["heads"] == 4
    assert options(aam, "csra-bce-resnet101-coco2014-448-cutmix")["heads"] == 6
    assert options(aam, "gap-asl-tresnet_l-voc2007-448") == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_real_page_prints_every_number_verbatim_and_is_the_same_each_time(name, tmp_path):
    results = read_study(ROOT / "studies" / name)
    for copy in ("one", "two"):
        write_study(results, tmp_path / copy / f"{name}.md")
    text = (tmp_path / "one" / f"{name}.md").read_text(encoding="utf-8")
    for listed in results.study.text.tables:
        tables = section(
            text,
            f"Table {listed.id}: "
            if f"### Table {listed.id}: " in text
            else f"{listed.id} (collected): ",
        )
        assert all(len(table[0]) <= WIDTH for table in tables)
        rows = [row for row in results.study.rows if row.table == listed.id]
        wide = set(listed.data_sets) <= set(tables[0][0])  # a column a data set, as printed
        assert len(tables[0]) - 1 == (listed.rows if wide else len({row.cell[:-1] for row in rows}))
        first = list(dict.fromkeys(escape(row.row) for row in rows))
        assert list(dict.fromkeys(line[0] for line in tables[0][1:])) == first
        shown = [cell.rstrip("ᵐᵗ") for table in tables for line in table[1:] for cell in line]
        for row in rows:
            shown.remove(escape(row.printed))
    for path in (tmp_path / "one").rglob("*.*"):
        assert (
            path.read_bytes()
            == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        ), path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # DVC's own
def test_one_command_reaches_every_stage_of_the_single_positive_study(tmp_path, monkeypatch):
    graph = Repo(ROOT).index.graph
    stages = {stage.addressing: stage for stage in graph}
    path = "studies/single-positive/tables/dvc.yaml"
    reached = {stage.addressing for stage in descendants(graph, stages[f"{path}:tables"])}
    for name in ("voc2012", "coco2014", "nuswide", "cub"):
        pipeline = f"studies/single-positive/{name}/dvc.yaml:"
        assert {address for address in stages if address.startswith(pipeline)} < reached
        assert f"data/dvc.yaml:download@{name}" in reached and f"{pipeline}search" in reached
    page = {
        stage.addressing
        for stage in descendants(graph, stages["studies/single-positive/dvc.yaml:report"])
    }
    assert page == {"studies/single-positive/dvc.yaml:complexity"}  # which needs no data
    monkeypatch.chdir(ROOT)
    write_study(read_study(Path("studies/single-positive")), tmp_path / "single-positive.md")
    assert f"`dvc repro {path}`" in (tmp_path / "single-positive.md").read_text(encoding="utf-8")


def test_index_counts_the_studies_and_lists_other_pages(page, tmp_path):
    folder, _ = page
    (tmp_path / "own-data-toy.md").write_text(
        "# Toy\n\nMade of mAP 0.5\nby e.g. nobody. More.\n\n## Result\n"
    )
    (tmp_path / "demo.md").write_text("# Demo\n\nWhat it is! More.\n")
    for _ in range(2):  # the index does not list itself
        write_index(tmp_path, folder.parent)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    table = cells(next(block for block in text.split("\n\n") if block.startswith("|")))
    assert table[1][0] == "study" and table[1][2:] == [
        "9",
        "13",
        "2",
        "1 / 1",
        "1 / 1",
        "3",
        "1",
        "0",
    ]
    assert text.endswith(
        "- [Demo](demo.md): What it is!\n- [Toy](own-data-toy.md): Made of mAP 0.5 by e.g. nobody.\n"
    )
    write_index(tmp_path, tmp_path / "nothing")
    assert "|" not in (tmp_path / "README.md").read_text(encoding="utf-8")
    (tmp_path / "notes.md").write_text("no title")
    with pytest.raises(InputError, match=r"notes\.md: does not begin with"):
        write_index(tmp_path, folder.parent)


def test_the_stage_makes_a_study_page_and_the_index_without_torch(tmp_path):
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    stage(tmp_path, "report", "studies/aam/params.yaml")
    assert "[aam](aam.md)" in (tmp_path / "reports" / "README.md").read_text(encoding="utf-8")
    code = "import sys, mlrepro.report.overview, mlrepro.report.study_page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src").returncode == 0
