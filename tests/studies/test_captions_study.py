"""The captions + images study, also on real captions: run files and pipelines fit together."""

from pathlib import Path

import pytest
import yaml

from mlrepro.layout import Layout, read_layout
from mlrepro.settings.run import Run, load_run
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.reported import ReportedRow
from mlrepro.studies.runs import read_run
from mlrepro.studies.study import load_study

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "captions"
PIPELINES = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob("studies/captions*/*/params.yaml")
)
RUNS = {path.stem: load_run(path) for path in STUDY.glob("*/runs/*.yaml")}

# Stages that DVC reads in reasonable time (design, section 1).
MOST_STAGES = 60


# ---- Pipelines ----------------------------------------------------------------------------------


def pipeline_layout(path: str, monkeypatch) -> Layout:
    monkeypatch.chdir(ROOT)
    return read_layout(path)


def stage_bodies(path: str) -> dict[str, dict]:
    """Of the dvc.yaml beside a params.yaml."""
    text = (ROOT / path).with_name("dvc.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["stages"]


@pytest.mark.parametrize("path", PIPELINES)
def test_a_pipeline_lists_its_run_files(path, monkeypatch):
    layout = pipeline_layout(path, monkeypatch)
    pipeline = layout.pipeline
    files = {file.stem for file in (ROOT / path).parent.glob("runs/*")}
    assert files == set(pipeline.runs)
    assert len(files) == len(pipeline.runs)

    for run_id in files:
        run = read_run(layout, run_id)
        assert run.data == layout.name
        assert run.captions in (None, pipeline.captions)
        if run.inputs == "features":
            wanted = pipeline.features
            assert (run.backbone, run.weights) == (wanted.backbone, wanted.weights)
            assert run.resolution == wanted.resolution


@pytest.mark.parametrize("path", PIPELINES)
def test_a_pipeline_embeds_what_its_runs_read(path, monkeypatch):
    layout = pipeline_layout(path, monkeypatch)
    stages = stage_bodies(path)

    vectors = f"data/{layout.name}/captions/${{captions.name}}.safetensors"
    assert vectors in stages["embed"]["outs"]
    assert vectors in stages["train"]["deps"]
    assert all(path in stage["cmd"] for stage in stages.values())
    if "report" in stages:
        assert list(stages["report"]["outs"][0]) == [layout.page.as_posix()]


@pytest.mark.parametrize("path", PIPELINES)
def test_a_pipeline_stays_small(path, monkeypatch):
    pipeline = pipeline_layout(path, monkeypatch).pipeline
    count = 0
    for stage in stage_bodies(path).values():
        count += len(pipeline.runs) * len(pipeline.seeds) if "matrix" in stage else 1
    assert count < MOST_STAGES


# ---- Reported rows and run files ----------------------------------------------------------------


def trained_on(run: Run) -> int:
    """Pictures, held-out ones among them."""
    if run.data != "comp5329_1000":
        return 27_000
    layout = read_layout(STUDY / "comp5329_1000/params.yaml")
    return layout.pipeline.data["comp5329_1000"].hold_out.train


def test_every_row_has_a_run_file():
    study = load_study(STUDY)
    assert set(study.runs) == set(RUNS)
    of_runs = {row.table for row in study.rows if row.run}
    assert of_runs == {"1", "2", "3", "4", "5"}


ROWS_OF_RUNS = [row for row in load_study(STUDY).rows if row.run]


@pytest.mark.parametrize("row", ROWS_OF_RUNS, ids=lambda row: f"{row.row}-{row.metric}")
def test_a_run_file_has_what_the_row_prints(row: ReportedRow):
    run = RUNS[row.run]
    settings = {
        "batch_size": run.batch_size,
        "learning_rate": run.optimizer.lr,
        "epochs": run.epochs,
        "train_images": trained_on(run),
    }
    if row.metric in settings:
        assert settings[row.metric] == row.number

    without_captions = row.row == "Model 3"
    assert (run.captions is None) == without_captions


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_run_is_trained_as_in_the_document(run: Run):
    assert (run.loss.name, run.optimizer.name, run.epochs) == ("bce", "adam", 10)
    if run.inputs != "captions":
        assert (run.augment, run.normalise, run.weights) == ("flip_both", "imagenet", "timm")
    if run.captions:
        assert (run.captions.model, run.captions.pooling) == ("bert-base-uncased", "cls")


def test_ids_of_captions_alone():
    assert parse_run_id("linear-bce-bert-comp5329").resolution is None
    for wrong in ("gap-bce-bert-comp5329", "linear-bce-bert-comp5329-lr01"):
        with pytest.raises(ValueError, match="is not of the form"):
            parse_run_id(wrong)
