"""Wall times of trainings, predicted by the function of `mlrepro plan --measure` and then taken from the real train stage.

    python benchmarks/estimates.py

Pictures are composed from scikit-learn's digits. For each training, a few steps are measured in this process, its wall time is
predicted from them, and only then does `python stages/train.py` run it in a process of its own, with tracking, as `dvc repro`
does; its wall time is from the start of that process to its end:

    start + epochs x (epoch + MACs x (train pictures / rate of training + scored pictures / rate of scoring))

The goal is a prediction within 30 %. The trainings differ in what they read (features, maps, pictures), network, loss, batch
size, resolution, augmentation, averaged weights and sharpness-aware steps; epochs are as many as take some seconds. Other
programs that come or go between the two change the second: the load of the machine is given below.
"""

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
from mlrepro.tracking import Tracker
from mlrepro_cli.plan.throughput import measure, predict

ROOT = Path(__file__).resolve().parents[1]
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
ROLE = {"name": "role", "expected_positives": "validation"}
DECODER = {"head": "ml_decoder", "head_options": {"embedding": 128, "ffn": 256}}
QUERIES = {
    "head": "query2label",
    "head_options": {"hidden": 64, "ffn": 128, "heads": 4, "keep_input_proj": True},
}
# What is special -> the run's settings.
TRAININGS = {
    "linear layer, bce": FEATURES | {"loss": {"name": "bce"}, "epochs": 25, "batch_size": 16},
    "linear layer, ROLE on single positives": FEATURES
    | {"labels": "single", "loss": ROLE, "epochs": 25, "batch_size": 8},
    "CSRA, bce": MAPS | {"head": "csra", "loss": {"name": "bce"}, "epochs": 20, "batch_size": 32},
    "MLP, smoothed labels, SAM": MAPS
    | SAM
    | {"head": "mlp", "loss": {"name": "bce_ls"}, "epochs": 20, "batch_size": 64},
    "ML-Decoder, ASL, averaged weights": MAPS
    | DECODER
    | {"loss": {"name": "asl"}, "ema": 0.97, "epochs": 6, "batch_size": 32},
    "small network at 80 px, bce": PICTURES
    | {"resolution": 80, "loss": {"name": "bce"}, "epochs": 10, "batch_size": 32},
    "small network at 64 px, WAN on single positives, flips": PICTURES
    | {
        "resolution": 64,
        "labels": "single",
        "loss": {"name": "wan"},
        "augment": "flip",
        "epochs": 10,
        "batch_size": 8,
    },
    "small network at 96 px, AAM, SAM, averaged weights": PICTURES
    | SAM
    | {
        "head_options": {"angular": True},
        "resolution": 96,
        "loss": {"name": "aam"},
        "ema": 0.97,
        "augment": "aam",
        "epochs": 4,
        "batch_size": 32,
    },
    "Query2Label at 128 px, ASL": PICTURES
    | QUERIES
    | {"resolution": 128, "loss": {"name": "asl"}, "epochs": 3, "batch_size": 16},
    "EfficientNet-Lite0 at 96 px, ASL, scored on test, too": PICTURES
    | {
        "backbone": "efficientnet_lite0",
        "weights": "package",
        "resolution": 96,
        "loss": {"name": "asl"},
        "select_on_test": True,
        "epochs": 2,
        "batch_size": 16,
    },
}


def prepare(folder: Path, runs: list[Run], pictures: dict[str, int]) -> Layout:
    """A repository with `runs`, all ready to be trained; it becomes the present folder."""
    shutil.copytree(ROOT / "stages", folder / "stages")
    (folder / "runs").mkdir()
    for run in runs:
        (folder / "runs" / f"{run.run_id}.yaml").write_text(
            yaml.safe_dump(run.model_dump(mode="json", exclude_defaults=True))
        )
    settings = yaml.safe_load((ROOT / "params.yaml").read_text()) | {
        "runs": [run.run_id for run in runs]
    }
    settings["data"]["digits"]["pictures"] = pictures
    for name, maps in (("params.yaml", False), ("maps.yaml", True)):
        (folder / name).write_text(
            yaml.safe_dump(settings | {"features": settings["features"] | {"maps": maps}})
        )
    os.chdir(folder)
    for name, *arguments in (
        ("download", "params.yaml", "digits"),
        ("prepare", "params.yaml", "digits"),
        ("corrupt", "params.yaml"),
        ("extract", "params.yaml"),
        ("extract", "maps.yaml"),
    ):
        stage(name, *arguments)
    Tracker("estimates", runs[0], 0, {})  # makes its store, once for all
    return read_layout("params.yaml")


def stage(name: str, *arguments: str) -> float:
    """Its wall seconds."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, f"stages/{name}.py", *arguments], check=True, capture_output=True
    )
    return time.perf_counter() - start


def compare(layout: Layout, name: str, run: Run) -> dict:
    """A row: the prediction, and what the stage then took."""
    speed = measure(run, layout.data)
    predicted = predict(run, speed)
    actual = stage("train", layout.settings.name, run.run_id, "0")
    print(
        f"{name}: predicted {predicted:.1f} s, took {actual:.1f} s ({100 * (predicted / actual - 1):+.0f} %)",
        flush=True,
    )
    return {
        "name": name,
        "run": run.run_id,
        "epochs": run.epochs,
        "predicted_s": predicted,
        "actual_s": actual,
        "error": predicted / actual - 1,
        **asdict(speed),
    }


def main() -> None:
    given = parser(__doc__, repeats=1).parse_args()
    out, runs = (
        given.out.absolute(),
        {name: Run(data="digits", **settings) for name, settings in TRAININGS.items()},
    )
    with tempfile.TemporaryDirectory() as folder:
        layout = prepare(
            Path(folder), list(runs.values()), {"train": 1200, "val": 300, "test": 100}
        )
        rows = [
            compare(layout, name, run) for _ in range(given.repeats) for name, run in runs.items()
        ]
        os.chdir(ROOT)
    write("estimates", rows, __doc__, out)


if __name__ == "__main__":
    main()
