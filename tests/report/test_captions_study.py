"""Study 004 and its real input: run files and pipelines fit together, and the page shows every average of the printed F1."""

import shutil
from pathlib import Path

import pytest
import yaml
from test_study_pages import section
from test_tables import made_up_record

from mlrepro.layout import read_layout
from mlrepro.records import Record, write_record
from mlrepro.report.comparison import Comparison, write_comparison
from mlrepro.report.study_page import write_study
from mlrepro.settings.run import load_run
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.reported import load_study
from mlrepro.studies.results import read_study

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "studies" / "captions"
PIPELINES = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob("studies/captions*/*/params.yaml")
)
RUNS = {path.stem: load_run(path) for path in STUDY.glob("*/runs/*.yaml")}
FINAL = "gap-bce-deit_small_patch16_224-comp5329-224-bert"
AT = {"micro": 81.0, "macro": 72.0, "sample": 83.0}


@pytest.mark.parametrize("path", PIPELINES)
def test_a_pipeline_lists_its_run_files_and_embeds_what_they_read(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    layout, stages = (
        read_layout(path),
        yaml.safe_load((ROOT / path).with_name("dvc.yaml").read_text(encoding="utf-8"))["stages"],
    )
    files = {file.stem for file in (ROOT / path).parent.glob("runs/*")}
    assert files == set(layout.pipeline.runs) and len(files) == len(layout.pipeline.runs)
    for run in map(layout.run, files):
        assert run.data == layout.name and run.captions in (None, layout.pipeline.captions)
        if run.inputs == "features":
            wanted = layout.pipeline.features
            assert (run.backbone, run.weights, run.resolution) == (
                wanted.backbone,
                wanted.weights,
                wanted.resolution,
            )
    vectors = f"data/{layout.name}/captions/${{captions.name}}.safetensors"
    assert vectors in stages["embed"]["outs"] and vectors in stages["train"]["deps"]
    assert all(path in stage["cmd"] for stage in stages.values())
    assert (
        sum(
            len(files) * len(layout.pipeline.seeds) if "matrix" in stage else 1
            for stage in stages.values()
        )
        < 60
    )
    if "report" in stages:
        assert list(stages["report"]["outs"][0]) == [layout.page.as_posix()]


def test_every_row_has_a_run_file_with_what_the_row_prints():
    study = load_study(STUDY)
    assert set(study.runs) == set(RUNS) and {row.table for row in study.rows} == {
        "1",
        "2",
        "3",
        "4",
        "5",
    }
    described = (
        read_layout(STUDY / "comp5329_1000/params.yaml").pipeline.data["comp5329_1000"].hold_out
    )
    for row in study.rows:
        run = RUNS[row.run]
        printed = {
            "batch_size": run.batch_size,
            "learning_rate": run.optimizer.lr,
            "epochs": run.epochs,
            "train_images": described.train if run.data == "comp5329_1000" else 27_000,
        }
        assert printed.get(row.metric, row.number) == row.number, row
        assert (run.captions is None) == (row.row == "Model 3"), row
    for run in RUNS.values():
        assert (run.loss.name, run.optimizer.name, run.epochs) == ("bce", "adam", 10)
        assert run.inputs == "captions" or (run.augment, run.normalise, run.weights) == (
            "flip_both",
            "imagenet",
            "timm",
        )
        assert run.captions is None or (run.captions.model, run.captions.pooling) == (
            "bert-base-uncased",
            "cls",
        )


def record(run_id: str, seed: int, **metrics) -> Record:
    made = made_up_record(seed=seed, epochs=10).model_dump()
    made["run"] = RUNS[run_id].model_dump()
    for measurement in made["measurements"].values():
        measurement["metrics"] |= metrics
    return Record.model_validate(made)


def test_page_compares_every_average_at_the_printed_threshold(tmp_path):
    folder = shutil.copytree(STUDY, tmp_path / "captions")
    for seed in (0, 1, 2):
        metrics = {
            f"{average}_F1_at_0.{i}": value + i
            for average, value in AT.items()
            for i in range(1, 6)
        }
        made = record(FINAL, seed, **metrics, micro_F1=10.0)
        write_record(made, folder / "results" / "comp5329" / f"{FINAL}-s{seed}.json")
    write_study(read_study(folder), tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    lines = [
        dict(zip(table[0], row, strict=True))
        for table in section(text, "Table 2")
        for row in table[1:]
    ]
    final = {
        key: value for line in lines if line["row"] == "Model 2" for key, value in line.items()
    }
    assert (
        final["reproduced f1"] == "0.8500 ± 0.0000 (3)"
        and final["delta"] == "+0.0026"
        and final["status"] == "reproduced"
    )
    assert (final["f1, macro"], final["f1, per sample"]) == (
        "0.7600 ± 0.0000 (3)",
        "0.8700 ± 0.0000 (3)",
    )
    sweep = [
        dict(zip(table[0], row, strict=True))
        for table in section(text, "Table 3")
        for row in table[1:]
    ]
    found = {key: value for line in sweep for key, value in line.items()}
    assert found["f1@0.2"].endswith("/ +0.0075") and found["f1@0.2, macro"].startswith("0.7400")
    assert found["f1@0.5, per sample"] == "0.8800 ± 0.0000 (3) / +0.0439"
    assert "linear-bce-bert-comp5329" in text and "Captions alone" in text


def comparison_of(record: Record) -> Comparison:
    return Comparison(
        title="t",
        intro="i",
        records={record.run.run_id: [record]},
        expected={record.run.run_id: [0]},
        pipeline="dvc.yaml",
    )


def test_comparison_of_runs_with_captions_shows_one_threshold_for_all_classes(tmp_path):
    alone = record(
        "linear-bce-bert-comp5329", 0, **{"tuned_global_macro_F1": 71.25, "sample_F1_at_0.4": 88.5}
    )
    write_comparison(comparison_of(alone), tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    ((header, line),) = section(text, "macro F1 by one threshold")
    assert line[header.index("tuned")] == "71.25"
    ((header, line),) = section(text, "sample F1 by one threshold")
    assert line[header.index("0.4")] == "88.50" and "None" not in text
    other = made_up_record()
    write_comparison(comparison_of(other), tmp_path / "page.md")
    assert "by one threshold" not in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_ids_of_captions_alone():
    assert parse_run_id("linear-bce-bert-comp5329").resolution is None
    for wrong in ("gap-bce-bert-comp5329", "linear-bce-bert-comp5329-lr01"):
        with pytest.raises(ValueError, match="is not of the form"):
            parse_run_id(wrong)
