"""Pages of a made-up study, and of the real ones, which print what reported.csv holds."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import stage
from dvc.repo import Repo
from made_up_study import (
    MEASURED,
    RUN,
    by_row,
    made_up_study,
    measured_record,
    reported,
    section,
    write_text,
)
from networkx import descendants

from mlrepro.errors import InputError
from mlrepro.records import Failure, write_failure
from mlrepro.report import study_page
from mlrepro.report.markdown import escape
from mlrepro.report.study_page import table_name, write_study
from mlrepro.report.study_tables import WIDTH
from mlrepro.studies.checks import check_study
from mlrepro.studies.description import Table
from mlrepro.studies.estimates import THROUGHPUT, gpu_hours
from mlrepro.studies.reported import ReportedRow
from mlrepro.studies.results import Result, read_study

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["aam", "captions", "mirflickr", "query2label", "single-positive", "voc-transfer"]


def page_text(folder: Path, page: Path) -> str:
    """The page of the study in `folder`, written to `page`."""
    write_study(read_study(folder), page)
    return page.read_text(encoding="utf-8")


# ---- The made-up study --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    return made_up_study(tmp_path_factory.mktemp("made") / "study")


@pytest.fixture(scope="module")
def page(study) -> Path:
    path = study.parent / "reports" / "study.md"
    write_study(read_study(study), path)
    return path


@pytest.fixture(scope="module")
def text(page) -> str:
    return page.read_text(encoding="utf-8")


def test_every_status_is_computed_and_every_printed_row_stands(text):
    rows = by_row(section(text, "Table 1: One")[0])

    names = [*MEASURED, "not-run", "not-comparable"]
    assert list(rows) == names
    assert {name: row["status"] for name, row in rows.items()} == {name: name for name in names}
    assert (
        "2 reproduced, 1 exceeds, 1 below, 1 partial, 1 failed, 3 not-run, 1 not-comparable" in text
    )


def test_reproduced_values_stand_beside_the_printed_ones(text):
    rows = by_row(section(text, "Table 1: One")[0])

    assert rows["reproduced"]["reproduced mAP"] == "70.30 ± 0.14 (2)"
    assert rows["reproduced"]["delta"] == "+0.30"
    assert rows["below"]["delta"] == "-9.90"
    assert rows["partial"]["delta"] == "0.00"
    assert rows["failed"]["delta"] == "-"


def test_what_is_not_seen_in_the_original_is_marked(text):
    rows = by_row(section(text, "Table 1: One")[0])

    assert rows["not-run"]["mAP"] == "70.0ᵐ"
    assert "from memory" in text
    assert "ᵗ" not in text


def test_costs_stand_beside_the_printed_gflops(text):
    costs = by_row(section(text, "Table 1: One")[1])

    assert costs["exceeds"] == {
        "row": "exceeds",
        "model": "R50",
        "GFLOPs, printed": "8.00",
        "paper's way": "8.25",
        "difference": "+0.25",
        "GMACs": "8.00",
        "M params": "23.50",
    }
    assert costs["below"]["GMACs"] == "not measured"
    assert costs["not-comparable"]["GMACs"] == "-"


def test_a_run_that_a_launch_could_not_do_is_failed(tmp_path):
    folder = made_up_study(tmp_path / "study")
    failure = Failure(stage="train", error="error: no GPU", host="n1", log="a.log")
    write_failure(failure, folder / "results" / "voc2012" / f"{RUN}-f-s0.json")

    text = page_text(folder, tmp_path / "study.md")

    rows = by_row(section(text, "Table 1: One")[0])
    assert rows["not-run"]["status"] == "failed"
    assert f"- `{RUN}-f` seed 0: error: no GPU (stage `train` on n1" in text


def test_measured_runs_show_their_curves(page, text):
    assert "### On voc2012" in text
    assert "figures/study-curves-voc2012.svg" in text
    assert "Number of labels" not in text

    figure = page.parent / "figures" / "study-curves-voc2012.png"
    assert figure.stat().st_size > 10_000


def test_fractions_are_compared_in_the_printed_unit(text):
    printed, _, others = section(text, "Table 2: Two")

    f1 = by_row(printed)["F1"]
    assert f1["reproduced micro_f1"] == "0.6125 ± 0.0000 (2)"
    assert f1["delta"] == "+0.0025"

    assert others[0][-1] == "micro_recall"
    value_and_delta = r"0\.\d{4} ± 0\.\d{4} \(2\) / [+-]0\.\d{4}"
    assert re.fullmatch(value_and_delta, others[1][-1])


def test_wide_tables_stay_wide(text):
    table = section(text, "wide (collected): Three")[0]
    assert table[1] == ["both", "R50", "71.5", "72.5", "not-run"]


def test_gpu_hours_are_estimated_from_cost_pictures_and_epochs(study):
    results = read_study(study)
    flops = 3 * 4e9 * 2 * 5000 * 10
    assert gpu_hours(results, f"{RUN}-f") == pytest.approx(flops / THROUGHPUT / 3600)

    not_measured = f"{RUN}-d"
    assert gpu_hours(results, not_measured) is None


def test_what_is_not_run_states_data_cost_and_command(study, text):
    assert "`dvc repro data/dvc.yaml:prepare@voc2012`; about 2 GB to download" in text

    runs = {row[0]: row[1:] for row in section(text, "voc2012: 4 runs")[0]}
    assert runs[f"`{RUN}-f`"] == ["1", "10", "< 0.1", "yes"]
    assert runs[f"`{RUN}-d`"] == ["1", "20 x 2 passes", "-", "no run file yet"]

    commands = re.findall(r"^dvc repro .*evaluate@.*", text, re.M)
    dvc_file = f"{study.as_posix()}/dvc.yaml"
    assert commands == [f"dvc repro {dvc_file}:evaluate@{RUN}-f-{seed}" for seed in (0, 1)]


def test_rows_without_a_run_are_listed_by_reason(text):
    assert "- **no such head**: not-comparable, Table 1" in text


def test_rows_that_are_counted_are_not_listed_as_rows_without_a_run():
    cell = ReportedRow.model_validate(reported("pictures", "", "images", "20", note="counted"))
    of_status = {}
    for status in ("reproduced", "not-comparable"):
        counted = Result(cells={"images": cell}, records=[], metric=None, status=status)
        of_status[status] = study_page._reasons(SimpleNamespace(all=[counted]))
    assert of_status == {"reproduced": {}, "not-comparable": {"counted": "pictures, Table 1"}}


def test_partial_is_explained_for_the_seeds_of_the_study(text):
    assert "*partial* with fewer than 2 seeds, or where epochs or test pictures are missing" in text


def test_without_a_measured_cost_the_page_says_how_to_measure_it(tmp_path):
    folder = made_up_study(tmp_path / "study")
    (folder / "complexity.json").unlink()

    text = page_text(folder, tmp_path / "study.md")

    assert "study/dvc.yaml:complexity`" in text
    assert "not measured |" not in text
    assert "study-cost" not in text


# ---- What does not fit together -----------------------------------------------------------------


def test_costs_that_are_none_are_an_error(tmp_path):
    folder = made_up_study(tmp_path / "study")
    (folder / "complexity.json").write_text("{}")

    message = r"complexity\.json: not what stages/complexity\.py writes"
    with pytest.raises(InputError, match=message):
        read_study(folder)


def test_a_run_file_that_no_row_names_is_an_error(tmp_path):
    folder = made_up_study(tmp_path / "study")
    (folder / "runs" / f"{RUN}-x.yaml").touch()

    message = r"-x\.yaml: no row of reported\.csv names this run; did you mean"
    with pytest.raises(InputError, match=message):
        check_study(folder)


def test_records_that_no_row_names_are_an_error(tmp_path):
    folder = made_up_study(tmp_path / "study")
    measured_record(folder, "x", 70.0, 0)

    message = r"voc2012: holds records of gap-bce-resnet50-voc2012-224-x, which no row"
    with pytest.raises(InputError, match=message):
        read_study(folder)


def test_records_in_two_folders_are_an_error(tmp_path):
    folder = made_up_study(tmp_path / "study")
    shutil.copytree(folder / "results" / "voc2012", folder / "results" / "subset")

    with pytest.raises(InputError, match="and so does another folder"):
        read_study(folder)


# A key of study.yaml, what stands there instead, and what is said of it.
SLIPS = [
    ("gflops_tool", [{"head": "gapp", "tool": "fvcore"}], "gflops_tool: .*gapp.* matches no run"),
    ("gflops_tool", [{"head": "gap", "tool": "fvcor"}], "did you mean 'fvcore'"),
    ("figure", ["9"], "figure: no table '9'"),
]


@pytest.mark.parametrize("key, value, message", SLIPS)
def test_a_slip_in_the_description_is_an_error(tmp_path, key, value, message):
    folder = made_up_study(tmp_path / "study")
    write_text(folder, **{key: value})

    with pytest.raises(InputError, match=message):
        check_study(folder)


# ---- The real studies ---------------------------------------------------------------------------


def check_printed_table(text: str, table: Table, rows: list[ReportedRow]) -> None:
    """Every printed row and number of a table stands below its heading, in the printed order."""
    parts = section(text, f"{table_name(table.id)}: ")
    assert all(len(part[0]) <= WIDTH for part in parts)

    headers, *lines = parts[0]
    column_a_data_set = set(table.data_sets) <= set(headers)
    places = {row.place for row in rows}
    assert len(lines) == (table.rows if column_a_data_set else len(places))

    names = dict.fromkeys(escape(row.row) for row in rows)
    assert list(dict.fromkeys(line[0] for line in lines)) == list(names)

    shown = []
    for part in parts:
        for line in part[1:]:
            shown += [cell.rstrip("ᵐᵗ") for cell in line]
    for row in rows:
        shown.remove(escape(row.printed))


@pytest.mark.parametrize("name", NAMES)
def test_a_real_page_prints_every_number_verbatim(name, tmp_path):
    results = read_study(ROOT / "studies" / name)
    text = page_text(ROOT / "studies" / name, tmp_path / f"{name}.md")

    for table in results.description.tables:
        rows = [row for row in results.study.rows if row.table == table.id]
        check_printed_table(text, table, rows)


@pytest.mark.parametrize("name", NAMES)
def test_a_real_page_is_the_same_each_time(name, tmp_path):
    results = read_study(ROOT / "studies" / name)
    for copy in ("one", "two"):
        write_study(results, tmp_path / copy / f"{name}.md")

    files = list((tmp_path / "one").rglob("*.*"))
    assert files
    for path in files:
        again = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == again.read_bytes(), path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # DVC's own
def test_one_command_reaches_every_stage_of_the_single_positive_study():
    graph = Repo(ROOT).index.graph
    stages = {stage.addressing: stage for stage in graph}

    def reached_from(address: str) -> set[str]:
        return {stage.addressing for stage in descendants(graph, stages[address])}

    reached = reached_from("studies/single-positive/tables/dvc.yaml:tables")
    for name in ("voc2012", "coco2014", "nuswide", "cub"):
        pipeline = f"studies/single-positive/{name}/dvc.yaml:"
        assert {address for address in stages if address.startswith(pipeline)} < reached
        assert f"data/dvc.yaml:download@{name}" in reached
        assert f"{pipeline}search" in reached

    # The page itself needs no data.
    page = reached_from("studies/single-positive/dvc.yaml:report")
    assert page == {"studies/single-positive/dvc.yaml:complexity"}


def test_the_page_of_the_single_positive_study_names_the_command_for_all(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = page_text(Path("studies/single-positive"), tmp_path / "single-positive.md")
    assert "`dvc repro studies/single-positive/tables/dvc.yaml`" in text


def test_the_stage_makes_a_study_page_and_the_index(tmp_path):
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    shutil.copytree(ROOT / "studies", tmp_path / "studies")

    stage(tmp_path, "report", "studies/aam/params.yaml")

    index = (tmp_path / "reports" / "README.md").read_text(encoding="utf-8")
    assert "[aam](aam.md)" in index


def test_pages_are_made_without_torch():
    code = """\
import sys
import mlrepro.report.overview
import mlrepro.report.study_page
import mlrepro.studies.checks
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src").returncode == 0
