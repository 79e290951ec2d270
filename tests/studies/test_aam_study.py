"""AAM's experiments (studies/aam): run files, pipelines, sweeps and reported rows fit together."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml

from mlrepro.data.class_counts import CLASS_COUNTS
from mlrepro.layout import Layout, read_layout
from mlrepro.models.complexity.networks import build
from mlrepro.settings.pipeline import load_pipeline
from mlrepro.settings.run import Run, load_run
from mlrepro.studies.description import Sweep
from mlrepro.studies.reported import ReportedRow
from mlrepro.studies.results import record_metric
from mlrepro.studies.runs import read_run
from mlrepro.studies.study import load_study

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "aam"
PIPELINES = sorted(path.parent.name for path in STUDY.glob("*/params.yaml"))
FILES = {path.stem: path for path in STUDY.glob("*/runs/*.yaml")}
RUNS = {name: load_run(path) for name, path in FILES.items()}
TABLES = [str(number) for number in range(2, 11)]

# Stages that DVC reads in reasonable time (design, section 1).
MOST_STAGES = 60

# The pre-trainings on Open Images, by the file that other runs start from.
PRETRAINED = {
    f"outputs/aam/openimages_v6/{name}-s0/training/best.safetensors": run
    for name, run in RUNS.items()
    if run.data == "openimages_v6"
}

# Prepared data sets of another name than the run id's: another list of the same pictures.
FOLDERS = {"nuswide": "nuswide_aam"}

# Data set -> scale, lr, gamma-, gamma+, EMA decay (the gammas are Table 7's best).
VALUES = {
    "voc2007": (17, 0.005, 2, 1, 0.9993),
    "coco2017": (23, 0.007, 1, 0, 0.9997),
    "nuswide": (23, 0.009, 2, 1, 0.9997),
    "vg500": (25, 0.005, 1, 0, 0.9997),
}


def prepared_name(run: Run) -> str:
    """Of its data set's folder."""
    return FOLDERS.get(run.data, run.data)


# ---- Pipelines ----------------------------------------------------------------------------------


def stage_bodies(pipeline: str) -> dict[str, dict]:
    text = (STUDY / pipeline / "dvc.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["stages"]


def pipeline_layout(name: str, monkeypatch) -> Layout:
    monkeypatch.chdir(ROOT)
    return read_layout(f"studies/aam/{name}/params.yaml")


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_lists_its_run_files(name, monkeypatch):
    layout = pipeline_layout(name, monkeypatch)
    assert layout.study == "aam"
    assert layout.record("x", 0).parent.as_posix() == f"studies/aam/results/{layout.name}"

    files = {path.stem for path in (STUDY / name / "runs").glob("*")}
    assert files == set(layout.pipeline.runs)
    assert len(files) == len(layout.pipeline.runs) > 0
    assert {prepared_name(read_run(layout, run)) for run in files} == {layout.name}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_stays_small(name, monkeypatch):
    pipeline = pipeline_layout(name, monkeypatch).pipeline
    stages = stage_bodies(name)

    count = 0
    for stage in stages.values():
        count += len(pipeline.runs) * len(pipeline.seeds) if "matrix" in stage else 1
    assert count < MOST_STAGES

    settings = f"studies/aam/{name}/params.yaml"
    assert settings in stages["train"]["cmd"]
    assert settings in stages["evaluate"]["cmd"]


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_waits_for_the_pretraining_that_it_starts_from(name, monkeypatch):
    pipeline = pipeline_layout(name, monkeypatch).pipeline
    starts = {RUNS[run].checkpoint for run in pipeline.runs}
    assert len(starts) == 1, "a stage waits for one pre-training only"

    (start,) = starts
    waited_for = [dep for dep in stage_bodies(name)["train"]["deps"] if dep in PRETRAINED]
    assert waited_for == ([start] if start else [])


# ---- Run files ----------------------------------------------------------------------------------


def test_every_run_is_another():
    listed = sum(len(load_pipeline(STUDY / name / "params.yaml").runs) for name in PIPELINES)
    assert len(FILES) == listed == 156

    without_variant = {run.model_copy(update={"variant": None}).digest for run in RUNS.values()}
    assert len(without_variant) == len(RUNS)


def test_data_sets_hold_out_what_chooses_the_epoch():
    described = load_pipeline(ROOT / "data" / "params.yaml").data
    for run in RUNS.values():
        data = described.get(prepared_name(run))
        if data is not None:
            assert data.hold_out, (
                f"data/params.yaml: {run.data} has no validation pictures, and its runs need some"
            )


OF_THE_FOUR_DATA_SETS = [
    name for name, run in RUNS.items() if run.data in VALUES and run.optimizer.name == "sgd"
]


@pytest.mark.parametrize("name", OF_THE_FOUR_DATA_SETS)
def test_training_is_as_in_the_paper(name):
    run = RUNS[name]
    *_, ema = VALUES[run.data]

    optimizer = run.optimizer
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 5e-4)
    assert optimizer.decay == "no_bias"
    assert optimizer.sam_rho == (None if run.variant == "sgd" else 0.05)
    assert optimizer.schedule == "one_cycle"
    assert (optimizer.div_factor, optimizer.final_div_factor) == (100, 1000)

    assert (run.epochs, run.batch_size, run.ema) == (60, 84, ema)
    assert (run.early_stop.rule, run.early_stop.patience) == ("aam", 5)
    assert (run.augment, run.normalise, run.resize) == ("aam", "half", "cv2")
    assert run.select_on_test


@pytest.mark.parametrize("name", OF_THE_FOUR_DATA_SETS)
def test_a_run_starts_from_open_images_where_its_variant_says_so(name):
    run = RUNS[name]
    assert (run.checkpoint in PRETRAINED) == run.variant.startswith("oi")
    assert PRETRAINED.get(run.checkpoint, run).backbone == run.backbone


@pytest.mark.parametrize("name", OF_THE_FOUR_DATA_SETS)
def test_loss_and_learning_rate_are_as_in_the_paper(name):
    run = RUNS[name]
    loss = run.loss
    if loss.name == "asl":
        assert (loss.gamma_neg, loss.gamma_pos, loss.clip) == (4, 0, 0.05)
        assert run.optimizer.lr == 2e-4
        return

    # What a variant names, such as _gn0 or _k30, replaces the data set's value.
    scale, lr, gamma_neg, gamma_pos, _ = VALUES[run.data]
    named = {key: int(value) for key, value in re.findall(r"_(gn|gp|s|m|k)(\d+)", run.variant)}
    assert loss.scale == named.get("s", scale)
    assert loss.k == named.get("k", 70) / 100
    assert loss.margin == named.get("m", 0) / 100
    assert loss.gamma_neg == named.get("gn", gamma_neg)
    assert loss.gamma_pos == named.get("gp", gamma_pos)
    assert loss.clip == 0.05
    assert run.optimizer.lr == lr


GRAPH_RUNS = [name for name, run in RUNS.items() if run.graph]


def test_graphs_are_made_for_data_sets_whose_classes_have_names():
    # Those of vg500 have none.
    assert {RUNS[name].data for name in GRAPH_RUNS} == {"voc2007", "coco2017", "nuswide"}


@pytest.mark.parametrize("name", GRAPH_RUNS)
def test_graph_rows_as_written_and_as_released(name):
    run = RUNS[name]
    released = name.endswith("_as_released")
    assert released or name.endswith("_as_written")

    counts_instances = released and run.data != "nuswide"
    assert run.graph.counts == ("instances" if counts_instances else "images")
    assert run.graph.misaligned == (released and run.data == "coco2017")

    if run.head != "graph":
        return
    if released:
        options = {"layer": "gcn", "pooling": "avg"}
    elif "_mld_" in name:
        options = {"layer": "gat", "pooling": "ml_decoder"}
    else:
        options = {"layer": "gat", "pooling": "avg+max"}
    assert run.head_options == options | {"angular": True}
    assert run.loss.name == "aam"


# ---- Reported rows ------------------------------------------------------------------------------

# Methods of other papers that have no run file here (deviation 13).
CITED_WITHOUT_RUN = ("Q2L", "GATN", "C-Tran")


def is_joined(row: ReportedRow) -> bool:
    """Whether the row joins the graph branch to ML-Decoder (deviation 9)."""
    return "GAN re-weighting" in row.row and "+ MLD" in row.row or row.row == "+ GAT"


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_a_run_file_or_a_reason(table):
    study = load_study(STUDY)
    deviations = {item.id: item.text for item in study.description.deviations}

    for row in study.rows:
        if row.table != table:
            continue
        cited = "[" in row.row
        if cited and row.run not in FILES:
            assert row.row.split()[0] in CITED_WITHOUT_RUN, row
            assert "no run file here" in deviations[13]
        elif not cited:
            assert row.run in FILES, row
            assert is_joined(row) == row.run.endswith("_mld_as_written"), row
            assert is_joined(row) == ("(deviation 9)" in row.note), row
            assert not is_joined(row) or table in deviations[9]


def test_table_10_compares_the_mean_over_pictures():
    names = {}
    for row in load_study(STUDY).rows:
        if row.table == "10" and row.data_set == "vg500":
            names[row.metric], _ = record_metric(row)

    assert names == {
        "OF1": "OF1",
        "OF1_adapt": "tuned_OF1",
        "CF1": "sample_F1",
        "CF1_adapt": "tuned_sample_F1",
    }


# ---- Sweeps -------------------------------------------------------------------------------------

# What else differs along with a sweep's setting; of the others only the variant does.
ALONG = {
    "As released": {"variant", "head_options", "graph"},
    "Open Images": {"backbone"},
}


def settings_apart(run: Run, sweep: Sweep) -> tuple[object, dict]:
    """The value of the sweep's setting, and all other settings."""
    others = run.model_dump(exclude=ALONG.get(sweep.id, {"variant"}))
    first, _, rest = sweep.setting.partition(".")
    if rest:
        return others[first].pop(rest), others
    return getattr(run, first), others


def test_runs_of_a_sweep_differ_in_its_setting_alone():
    for sweep in load_study(STUDY).description.sweeps:
        for name, series in sweep.series.items():
            apart = [settings_apart(RUNS[run], sweep) for run in series]
            values = [value for value, _ in apart]
            _, first = apart[0]

            assert all(others == first for _, others in apart), (sweep.id, name)
            assert len(set(values)) == len(series) > 1, (sweep.id, name)


# ---- What a run keeps of the pre-trained network ------------------------------------------------


@cache
def pretrained(backbone: str) -> dict[str, torch.Tensor]:
    return build("ml_decoder", backbone, CLASS_COUNTS["openimages_v6"], 224).state_dict()


def kept(state: dict[str, torch.Tensor], dropped: list[str]) -> dict[str, torch.Size]:
    """Names and shapes of what does not start anew, without word vectors: they are no weights."""
    shapes = {}
    for key, value in state.items():
        name = key.removeprefix("head.") + "."
        starts_anew = any(name.startswith(f"{prefix}.") for prefix in dropped)
        if not starts_anew and not key.endswith(".inp"):
            shapes[key] = value.shape
    return shapes


STARTING = sorted({(run.head, run.data) for run in RUNS.values() if run.checkpoint})


@pytest.mark.parametrize("head, data", STARTING)
def test_what_is_kept_of_the_pretrained_network_fits(head, data):
    """The stated parts start anew and are in one of the two networks.

    Everything else has the same name and shape in both.
    """
    starting = (run for run in RUNS.values() if run.checkpoint)
    run = next(run for run in starting if (run.head, run.data) == (head, data))
    source = pretrained(run.backbone)
    network = build(head, run.backbone, CLASS_COUNTS[data], run.resolution, run.head_options)
    target = network.state_dict()
    assert kept(source, run.checkpoint_drop) == kept(target, run.checkpoint_drop)

    both = source | target
    for prefix in run.checkpoint_drop:
        assert len(kept(both, run.checkpoint_drop)) < len(both)
        assert any(f".{prefix}." in f"{key}." for key in both)
