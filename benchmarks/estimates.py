"""Wall times of trainings: predicted as `mlrepro plan --measure` does, then taken from the stage.

    python benchmarks/estimates.py

Pictures are composed from scikit-learn's digits. For each training, a few steps are measured in
this process, its wall time is predicted from them, and only then does `python stages/train.py` run
it in a process of its own, with tracking, as `dvc repro` does; its wall time is from the start of
that process to its end:

    start + epochs x (epoch + MACs x (train pictures / rate of training + scored pictures / rate of scoring))

The goal is a prediction within 30 %. The trainings differ in what they read (features, maps,
pictures), network, loss, batch size, resolution, augmentation, averaged weights and sharpness-aware
steps; epochs are as many as take some seconds. Other programs that come or go between the two
change the second: the load of the machine is given below.
"""  # noqa: E501  (the page shows the formula as it is)

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import yaml
from common import parser, write

from mlrepro.layout import Layout, read_layout
from mlrepro.settings.run import Run
from mlrepro_cli.plan.throughput import measure, predict

ROOT = Path(__file__).resolve().parents[1]
PICTURE_COUNTS = {"train": 1200, "val": 300, "test": 100}

# --- the trainings -------------------------------------------------------------------------------

FEATURES = {
    "inputs": "features",
    "head": "linear",
    "backbone": "efficientnet_lite0",
    "weights": "package",
    "resolution": 96,
    "optimizer": {"lr": 1e-3},
}
MAPS = FEATURES | {
    "inputs": "maps",
    "variant": "maps",
    "optimizer": {"lr": 1e-4, "schedule": "cosine"},
}
PICTURES = {
    "inputs": "images",
    "head": "gap",
    "backbone": "test_resnet",
    "weights": "none",
    "optimizer": {"lr": 3e-3, "schedule": "one_cycle"},
}

SAM = {"optimizer": {"name": "sgd", "lr": 0.01, "sam_rho": 0.05}}
BCE = {"loss": {"name": "bce"}}
ASL = {"loss": {"name": "asl"}}
ROLE = {"loss": {"name": "role", "expected_positives": "validation"}}
ML_DECODER = {"head": "ml_decoder", "head_options": {"embedding": 128, "ffn": 256}}
QUERY2LABEL = {
    "head": "query2label",
    "head_options": {"hidden": 64, "ffn": 128, "heads": 4, "keep_input_proj": True},
}

# What is special about a training, and the run's settings.
TRAININGS = {
    "linear layer, bce": {
        **FEATURES,
        **BCE,
        "epochs": 25,
        "batch_size": 16,
    },
    "linear layer, ROLE on single positives": {
        **FEATURES,
        **ROLE,
        "labels": "single",
        "epochs": 25,
        "batch_size": 8,
    },
    "CSRA, bce": {
        **MAPS,
        **BCE,
        "head": "csra",
        "epochs": 20,
        "batch_size": 32,
    },
    "MLP, smoothed labels, SAM": {
        **MAPS,
        **SAM,
        "head": "mlp",
        "loss": {"name": "bce_ls"},
        "epochs": 20,
        "batch_size": 64,
    },
    "ML-Decoder, ASL, averaged weights": {
        **MAPS,
        **ML_DECODER,
        **ASL,
        "ema": 0.97,
        "epochs": 6,
        "batch_size": 32,
    },
    "small network at 80 px, bce": {
        **PICTURES,
        **BCE,
        "resolution": 80,
        "epochs": 10,
        "batch_size": 32,
    },
    "small network at 64 px, WAN on single positives, flips": {
        **PICTURES,
        "resolution": 64,
        "labels": "single",
        "loss": {"name": "wan"},
        "augment": "flip",
        "epochs": 10,
        "batch_size": 8,
    },
    "small network at 96 px, AAM, SAM, averaged weights": {
        **PICTURES,
        **SAM,
        "head_options": {"angular": True},
        "resolution": 96,
        "loss": {"name": "aam"},
        "ema": 0.97,
        "augment": "aam",
        "epochs": 4,
        "batch_size": 32,
    },
    "Query2Label at 128 px, ASL": {
        **PICTURES,
        **QUERY2LABEL,
        **ASL,
        "resolution": 128,
        "epochs": 3,
        "batch_size": 16,
    },
    "EfficientNet-Lite0 at 96 px, ASL, scored on test, too": {
        **PICTURES,
        **ASL,
        "backbone": "efficientnet_lite0",
        "weights": "package",
        "resolution": 96,
        "select_on_test": True,
        "epochs": 2,
        "batch_size": 16,
    },
}


# --- a repository --------------------------------------------------------------------------------


def prepare(folder: Path, runs: list[Run], pictures: dict[str, int]) -> Layout:
    """A repository with `runs`, all ready to be trained; it becomes the present folder."""
    shutil.copytree(ROOT / "stages", folder / "stages")
    (folder / "runs").mkdir()
    for run in runs:
        values = run.model_dump(mode="json", exclude_defaults=True)
        write_yaml(folder / "runs" / f"{run.run_id}.yaml", values)

    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["runs"] = [run.run_id for run in runs]
    settings["data"]["digits"]["pictures"] = pictures
    write_yaml(folder / "params.yaml", with_maps(settings, False))
    write_yaml(folder / "maps.yaml", with_maps(settings, True))

    os.chdir(folder)
    stage("download", "params.yaml", "digits")
    stage("prepare", "params.yaml", "digits")
    stage("corrupt", "params.yaml")
    stage("extract", "params.yaml")
    stage("extract", "maps.yaml")
    return read_layout("params.yaml")


def with_maps(settings: dict, maps: bool) -> dict:
    return settings | {"features": settings["features"] | {"maps": maps}}


def write_yaml(path: Path, values: dict) -> None:
    path.write_text(yaml.safe_dump(values))


def stage(name: str, *arguments: str) -> float:
    """Its wall seconds."""
    command = [sys.executable, f"stages/{name}.py", *arguments]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


# --- the comparison ------------------------------------------------------------------------------


def compare(layout: Layout, name: str, run: Run) -> dict:
    """A row: the prediction, and what the stage then took."""
    speed = measure(run, layout.data)
    predicted = predict(run, speed)
    actual = stage("train", layout.settings.name, run.run_id, "0")
    error = predicted / actual - 1
    print(
        f"{name}: predicted {predicted:.1f} s, took {actual:.1f} s ({100 * error:+.0f} %)",
        flush=True,
    )
    return {
        "name": name,
        "run": run.run_id,
        "epochs": run.epochs,
        "predicted_s": predicted,
        "actual_s": actual,
        "error": error,
        **asdict(speed),
    }


def main() -> None:
    given = parser(__doc__, repeats=1).parse_args()
    out = given.out.absolute()  # the present folder will be another one
    runs = {name: Run(data="digits", **settings) for name, settings in TRAININGS.items()}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        layout = prepare(Path(folder), list(runs.values()), PICTURE_COUNTS)
        for _ in range(given.repeats):
            rows += [compare(layout, name, run) for name, run in runs.items()]
        os.chdir(ROOT)
    write("estimates", rows, __doc__, out)


if __name__ == "__main__":
    main()
