"""AAM's experiments (studies/aam): run files, pipelines and sweeps fit together, and the page shows what is measured of them."""

import re
import shutil
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from test_tables import cells, made_up_record

from mlrepro.layout import read_layout
from mlrepro.models.complexity import build
from mlrepro.records import write_record
from mlrepro.report.study_page import write_study
from mlrepro.settings.pipeline import load_pipeline
from mlrepro.settings.run import Run, load_run
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.reported import load_study
from mlrepro.studies.results import read_study, record_metric

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "aam"
PIPELINES = sorted(path.parent.name for path in STUDY.glob("*/params.yaml"))
FILES = {path.stem: path for path in STUDY.glob("*/runs/*.yaml")}
RUNS = {name: load_run(path) for name, path in FILES.items()}
PRETRAINED = {
    f"outputs/aam/openimages_v6/{name}-s0/training/best.safetensors": run
    for name, run in RUNS.items()
    if run.data == "openimages_v6"
}
FOLDERS = {
    "nuswide": "nuswide_aam"
}  # run id -> prepared data set, where another list of the same pictures has the name
CLASSES = {"voc2007": 20, "coco2017": 80, "nuswide": 81, "vg500": 500}
TABLES = [str(number) for number in range(2, 11)]
# scale, lr, gamma-, gamma+, EMA decay (spec, 1.1; the gammas are Table 7's best)
VALUES = {
    "voc2007": (17, 0.005, 2, 1, 0.9993),
    "coco2017": (23, 0.007, 1, 0, 0.9997),
    "nuswide": (23, 0.009, 2, 1, 0.9997),
    "vg500": (25, 0.005, 1, 0, 0.9997),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_lists_its_run_files_and_stays_small(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    layout = read_layout(f"studies/aam/{name}/params.yaml")
    assert (
        layout.study == "aam"
        and layout.record("x", 0).parent.as_posix() == f"studies/aam/results/{layout.name}"
    )
    files = {path.stem for path in (STUDY / name / "runs").glob("*")}
    assert files == set(layout.pipeline.runs) and len(files) == len(layout.pipeline.runs) > 0
    assert {FOLDERS.get(layout.run(run).data, layout.run(run).data) for run in files} == {
        layout.name
    }
    stages = yaml.safe_load((STUDY / name / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert {"train", "evaluate"} <= stages.keys()
    assert (
        sum(
            len(files) * len(layout.pipeline.seeds) if "matrix" in stage else 1
            for stage in stages.values()
        )
        < 60
    )
    assert all(
        f"studies/aam/{name}/params.yaml" in stages[stage]["cmd"] for stage in ("train", "evaluate")
    )
    starts = {RUNS[run].checkpoint for run in files}
    assert len(starts) == 1, "a stage waits for one pre-training only"
    assert [dep for dep in stages["train"]["deps"] if dep in PRETRAINED] == [
        start for start in starts if start
    ]


def test_every_run_is_another_and_data_sets_hold_out_what_chooses_the_epoch():
    assert (
        len(FILES)
        == sum(len(load_pipeline(STUDY / name / "params.yaml").runs) for name in PIPELINES)
        == 156
    )
    assert len({run.model_copy(update={"variant": None}).digest for run in RUNS.values()}) == len(
        RUNS
    )
    described = load_pipeline(ROOT / "data" / "params.yaml").data
    for run in RUNS.values():
        if (data := described.get(FOLDERS.get(run.data, run.data))) is not None:
            assert data.hold_out, (
                f"data/params.yaml: {run.data} has no validation pictures, and its runs need some"
            )


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_a_run_file_or_a_reason(table):
    study = load_study(STUDY)
    deviations = {item.id: item.text for item in study.text.deviations}
    for row in (row for row in study.rows if row.table == table):
        if "[" in row.row:  # cited from others: ASL and ML-Decoder have run files
            assert row.run in FILES or row.row.split()[0] in ("Q2L", "GATN", "C-Tran"), row
            assert row.run in FILES or "no run file here" in deviations[13]
        else:
            assert row.run in FILES, row
            joined = "GAN re-weighting" in row.row and "+ MLD" in row.row or row.row == "+ GAT"
            assert joined == row.run.endswith("_mld_as_written") == ("(deviation 9)" in row.note)
            assert not joined or table in deviations[9]


@pytest.mark.parametrize(
    "name",
    [name for name, run in RUNS.items() if run.data in VALUES and run.optimizer.name == "sgd"],
)
def test_settings_are_those_of_the_document(name):
    run, variant = RUNS[name], RUNS[name].variant
    scale, lr, gamma_neg, gamma_pos, ema = VALUES[run.data]
    optimizer, sam = run.optimizer, None if variant == "sgd" else 0.05
    assert (optimizer.momentum, optimizer.weight_decay, optimizer.decay, optimizer.sam_rho) == (
        0.9,
        5e-4,
        "no_bias",
        sam,
    )
    assert (optimizer.schedule, optimizer.div_factor, optimizer.final_div_factor) == (
        "one_cycle",
        100,
        1000,
    )
    assert (run.epochs, run.batch_size, run.ema, run.early_stop.rule, run.early_stop.patience) == (
        60,
        84,
        ema,
        "aam",
        5,
    )
    assert (run.augment, run.normalise, run.resize, run.select_on_test) == (
        "aam",
        "half",
        "cv2",
        True,
    )
    assert (run.checkpoint in PRETRAINED) == variant.startswith("oi")
    assert PRETRAINED.get(run.checkpoint, run).backbone == run.backbone
    if run.loss.name == "asl":
        assert (run.loss.gamma_neg, run.loss.gamma_pos, run.loss.clip, optimizer.lr) == (
            4,
            0,
            0.05,
            2e-4,
        )
        return
    given = {key: int(value) for key, value in re.findall(r"_(gn|gp|s|m|k)(\d+)", variant)}
    assert (
        run.loss.scale,
        run.loss.k,
        run.loss.margin,
        run.loss.gamma_neg,
        run.loss.gamma_pos,
        run.loss.clip,
        optimizer.lr,
    ) == (
        given.get("s", scale),
        given.get("k", 70) / 100,
        given.get("m", 0) / 100,
        given.get("gn", gamma_neg),
        given.get("gp", gamma_pos),
        0.05,
        lr,
    )


def test_graph_rows_as_written_and_as_released():
    graphs = {name: run for name, run in RUNS.items() if run.graph}
    assert {run.data for run in graphs.values()} == {
        "voc2007",
        "coco2017",
        "nuswide",
    }  # vg500's classes have no names
    for name, run in graphs.items():
        released = name.endswith("_as_released")
        assert released or name.endswith("_as_written")
        assert run.graph.counts == ("instances" if released and run.data != "nuswide" else "images")
        assert run.graph.misaligned == (released and run.data == "coco2017")
        if run.head == "graph":
            layer, pooling = (
                ("gcn", "avg")
                if released
                else ("gat", "ml_decoder" if "_mld_" in name else "avg+max")
            )
            assert (
                run.head_options == {"layer": layer, "pooling": pooling, "angular": True}
                and run.loss.name == "aam"
            )


def test_runs_of_a_sweep_differ_in_its_setting_alone():
    along = {"As released": {"variant", "head_options", "graph"}, "Open Images": {"backbone"}}
    for sweep in load_study(STUDY).text.sweeps:
        first, *rest = sweep.setting.split(".")
        for name, series in sweep.series.items():
            rests, values = [], []
            for run in series:
                settings = RUNS[run].model_dump(exclude=along.get(sweep.id, {"variant"}))
                values.append(settings[first].pop(rest[0]) if rest else getattr(RUNS[run], first))
                rests.append(settings)
            assert all(settings == rests[0] for settings in rests), (sweep.id, name)
            assert len(set(values)) == len(series) > 1, (sweep.id, name)


@cache
def pretrained(backbone: str) -> dict[str, torch.Tensor]:
    return build("ml_decoder", backbone, 601, 224).state_dict()


@pytest.mark.parametrize(
    "head, data", sorted({(run.head, run.data) for run in RUNS.values() if run.checkpoint})
)
def test_what_is_kept_of_the_pretrained_network_fits(head, data):
    """The stated parts start anew and are in one of the two networks; everything else has the same name and shape in both."""
    run = next(
        run for run in RUNS.values() if (run.head, run.data) == (head, data) and run.checkpoint
    )
    source = pretrained(run.backbone)
    target = build(head, run.backbone, CLASSES[data], run.resolution, run.head_options).state_dict()

    def kept(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
        return {
            key: value.shape
            for key, value in state.items()
            if not key.endswith(".inp")
            and not any(
                f"{key.removeprefix('head.')}.".startswith(f"{drop}.")
                for drop in run.checkpoint_drop
            )
        }

    assert kept(source) == kept(target)
    for drop in run.checkpoint_drop:
        assert len(kept(source | target)) < len(source | target) and any(
            f".{drop}." in f"{key}." for key in source | target
        )


def measured(folder: Path, run_id: str, mAP: float) -> None:
    run = Run.model_validate(RUNS[run_id].model_dump() | {"epochs": 5, "early_stop": None})
    made = made_up_record("asl", mAP=mAP, head="gap").model_copy(
        update={"run": run, "data_set": run.data}
    )
    write_record(made, folder / "results" / run.data / f"{run_id}-s0.json")


def section(text: str, heading: str) -> str:
    return re.split(r"^##+ ", text.split(f"\n### {heading}", 1)[1], maxsplit=1, flags=re.M)[0]


def test_the_page_draws_and_lists_measured_sweeps_and_gives_commands_for_the_others(tmp_path):
    folder = tmp_path / "studies" / "aam"
    shutil.copytree(STUDY, folder)
    base = "ml_decoder-aam-tf_efficientnetv2_s_in21k-voc2007-224-oi"
    for run_id, mAP in ((f"{base}_s40", 91.0), (base, 93.5), (f"{base}_s5", 90.0)):
        measured(folder, run_id, mAP)
    graph = "graph-aam-tf_efficientnetv2_s_in21k-coco2017-448-oi_as"
    measured(folder, f"{graph}_written", 87.25)
    measured(folder, f"{graph}_released", 87.0)
    results = read_study(folder)
    write_study(results, tmp_path / "reports" / "aam.md")
    text = (tmp_path / "reports" / "aam.md").read_text(encoding="utf-8")

    scale = section(text, "Figure 3")
    rows = cells(next(block for block in scale.split("\n\n") if block.startswith("| ")))
    assert [row[:3] for row in rows] == [
        ["series", "`loss.scale`", "mAP"],
        ["voc2007", "5.0", "90.00"],
        ["voc2007", "17.0", "93.50"],
        ["voc2007", "40.0", "91.00"],
    ]
    assert (
        "25 of 28 runs" in scale
        and f"dvc repro {folder.as_posix()}/nuswide-sweeps/dvc.yaml" in scale
    )
    assert (
        "figures/aam-figure-3.png" in scale
        and (tmp_path / "reports" / "figures" / "aam-figure-3.svg").exists()
    )
    assert "figures/" not in section(text, "Figure 4") and "19 of 20 runs" in section(
        text, "Figure 4"
    )
    released = section(text, "As released")
    assert "| coco2017, GAT re-weighting | oi\\_as\\_released | 87.00 |" in re.sub(
        " +", " ", released
    )
    assert "figures/" not in released and "20 of 22 runs" in released

    listed = text.split("## What is not run", 1)[1]
    assert (
        f"{folder.as_posix()}/voc2007-sweeps/dvc.yaml:evaluate@{base}_s10-0\n" in listed
        and f"{base}_s40" not in listed
    )
    lines = {
        row.split("`")[1]: [cell.strip() for cell in row.split("|")]
        for row in listed.splitlines()
        if row.startswith("| `")
    }
    unmeasured = [run for run in FILES if run not in results.records]
    assert set(unmeasured) <= lines.keys() and all(
        lines[run][5] == "yes" and lines[run][4] != "-" for run in unmeasured
    )
    assert len({parse_run_id(run).data for run in unmeasured}) == 6


def test_table_10_compares_the_mean_over_pictures():
    row = {
        row.metric: row
        for row in load_study(STUDY).rows
        if row.table == "10" and row.data_set == "vg500"
    }
    names = {metric: record_metric(cell)[0] for metric, cell in row.items()}
    assert names == {
        "OF1": "OF1",
        "OF1_adapt": "tuned_OF1",
        "CF1": "sample_F1",
        "CF1_adapt": "tuned_sample_F1",
    }
