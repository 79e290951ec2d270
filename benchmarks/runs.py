"""What a run on features costs beside a process that imports torch and does the same steps.

    python benchmarks/runs.py

In a copy of the repository in a temporary folder, on the demo's digits: its training pictures as
1,280 features each, a linear layer, BCE, Adam, 25 epochs in batches of 16. Ours are the train and
the evaluate stage, each a process as `dvc repro` starts it, with tracking on. The peer is a script
that imports torch and safetensors and nothing else: it loads the same features, takes the same
number of steps in the same batch size, computes the average precision on validation after every
epoch by
numpy and writes the best and the last weights; to evaluate, it loads both, scores validation and
test, and computes average precision. It has no manifest, no settings, no checkpoint, no other
metric, no record.

CPU seconds are those of the process and its children; the process that writes into MLflow's store
outlives the stages and is counted in the time of many runs alone. The limit of a stage is 2 times
the peer's CPU seconds, and beside two busy programs (loops in Python, started and ended here) 2
times its own CPU seconds without them.

Many runs: `dvc repro` trains and evaluates linear runs that differ in their learning rate; features
are extracted before. The time is of `--runs` runs, and scaled to 100. What DVC takes to read the
other studies is scaled with them, and too much; dvc.lock, which DVC reads and writes as a whole
after every stage, grows with the runs of its file, which is missing: `--runs 100` has both as they
are.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml
from common import alone, compare, parser, write
from pipeline import DVC, copy_repository

from mlrepro.data.features import features_path
from mlrepro.data.manifest import read_manifest
from mlrepro.layout import Layout, read_layout
from mlrepro.settings.run import Run
from mlrepro.studies.runs import read_run

RUN_ID = "linear-bce-efficientnet_lite0-digits-96"
PEER = "torch alone, AP by numpy"

# What the peer does, in a process of its own, for any settings that stand in its arguments.
PEER_SCRIPT = """
import json, sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import binary_cross_entropy_with_logits

torch.set_num_threads(1)
stage, settings = sys.argv[1], json.loads(sys.argv[2])
features = load_file(settings["features"])["features"]
data = np.load("peer.npz")
labels = torch.from_numpy(data["labels"])


def average_precision(scores, positive):
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    precision = hits / np.arange(1, len(hits) + 1)
    return precision[positive[order]].mean()


def mean_ap(layer, split):
    with torch.no_grad():
        logits = layer(features[data[split]]).numpy()
    positive = data["labels"][data[split]] == 1
    aps = [average_precision(s, p) for s, p in zip(logits.T, positive.T) if p.any()]
    return np.mean(aps), logits


layer = torch.nn.Linear(features.shape[1], labels.shape[1])
if stage == "train":
    adam = torch.optim.Adam(layer.parameters(), lr=settings["lr"])
    rows = torch.from_numpy(data["train"])
    size = settings["batch_size"]
    best, steps = -1.0, 0
    for epoch in range(settings["epochs"]):
        drawn = rows[torch.randperm(len(rows))]
        for start in range(0, len(rows) - size + 1, size):
            batch = drawn[start : start + size]
            adam.zero_grad()
            loss = binary_cross_entropy_with_logits(layer(features[batch]), labels[batch].float())
            loss.backward()
            adam.step()
            steps += 1
        ap, _ = mean_ap(layer, "val")
        if ap > best:
            best = ap
            save_file(layer.state_dict(), "peer-best.safetensors")
    save_file(layer.state_dict(), "peer-last.safetensors")
    print(json.dumps({"steps": steps, "val_mAP": 100 * best}))
else:
    logits, scores = {}, {}
    for selection in ("best", "last"):
        layer.load_state_dict(load_file(f"peer-{selection}.safetensors"))
        for split in ("val", "test"):
            key = f"{split}_{selection}"
            scores[key], values = mean_ap(layer, split)
            logits[key] = torch.from_numpy(values)
    save_file(logits, "peer-logits.safetensors")
    print(json.dumps({key: 100 * value for key, value in scores.items()}))
"""

# Ends with the process that started it, also where that was killed.
BUSY_PROGRAM = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"
BUSY = 2

# Goals: of a stage's CPU seconds against the peer's, of a busy machine against an idle one, and
# seconds of 100 runs.
OF_PEER = 2.0
OF_IDLE = 2.0
MANY = 100
MANY_LIMIT = 12 * 60


# --- processes -----------------------------------------------------------------------------------


def execute(command: list[str], folder: Path) -> str:
    """What it printed. Raises RuntimeError where it failed."""
    # The copy's package, not the installed one.
    environment = os.environ | {"DVC_NO_ANALYTICS": "true", "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        last_words = f"{done.stdout[-500:]}{done.stderr[-500:]}"
        raise RuntimeError(f"{command[:3]}: {last_words}")
    return done.stdout


def timed_children(function: Callable) -> tuple[float, float]:
    """Wall seconds, and CPU seconds of the processes that `function` started and waited for."""
    wall = time.perf_counter()
    cpu = _cpu_of_children()
    function()
    return time.perf_counter() - wall, _cpu_of_children() - cpu


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """Beside as many programs that never wait."""
    command = [sys.executable, "-c", BUSY_PROGRAM, str(os.getpid())]
    started = [subprocess.Popen(command) for _ in range(programs)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


# --- one run beside the peer ---------------------------------------------------------------------


def prepare(folder: Path) -> None:
    """Data, observed labels and features of the pipeline in `folder`, by its own stages."""
    name = read_layout(folder / "params.yaml").name
    for stage, *arguments in (["download", name], ["prepare", name], ["corrupt"], ["extract"]):
        execute([sys.executable, f"stages/{stage}.py", "params.yaml", *arguments], folder)


def write_peers_data(folder: Path, layout: Layout) -> None:
    """Labels and rows of the splits: the peer reads no manifest."""
    manifest = read_manifest(folder / layout.data)
    rows = {split: manifest.rows(split) for split in ("train", "val", "test")}
    np.savez(folder / "peer.npz", labels=manifest.label_matrix(), **rows)


def peers_command(stage: str, layout: Layout, run: Run) -> list[str]:
    features = features_path(layout.data, run.backbone, run.resolution)
    settings = {
        "features": str(features),
        "lr": run.optimizer.lr,
        "batch_size": run.batch_size,
        "epochs": run.epochs,
    }
    return [sys.executable, "-c", PEER_SCRIPT, stage, json.dumps(settings)]


def beside_peer(folder: Path, run_id: str, repeats: int) -> list[dict]:
    """Train and evaluate, on the machine as it is and beside two busy programs."""
    layout = in_folder(folder)
    run = read_run(Layout(folder / "params.yaml", layout.pipeline), run_id)
    write_peers_data(folder, layout)

    rows = []
    idle = {}
    for programs in (0, BUSY):
        for stage in ("train", "evaluate"):
            ours = [sys.executable, f"stages/{stage}.py", "params.yaml", run_id, "0"]
            peers = peers_command(stage, layout, run)
            name = f"{stage} a linear run"
            with busy(programs):
                row = compare(
                    name if not programs else f"{name}, two programs beside it",
                    lambda command=ours: execute(command, folder),
                    lambda command=peers: execute(command, folder),
                    repeats,
                    clock=timed_children,
                    peer=PEER,
                )
            if programs:
                row["limit_cpu_s"] = OF_IDLE * idle[stage]
            else:
                idle[stage] = row["ours_cpu_s"]
                row["limit_cpu_s"] = OF_PEER * row["peer_cpu_s"]
            rows.append(row)
    return rows


def in_folder(folder: Path) -> Layout:
    """The layout of the root pipeline there; its paths are relative to `folder`."""
    return Layout(Path("params.yaml"), read_layout(folder / "params.yaml").pipeline)


# --- many runs -----------------------------------------------------------------------------------


def create_runs(folder: Path, run_id: str, runs: int) -> list[str]:
    """The demo's pipeline with as many runs like `run_id`, told apart by their learning rates."""
    params = folder / "params.yaml"
    settings = yaml.safe_load(params.read_text())
    example = yaml.safe_load((folder / "runs" / f"{run_id}.yaml").read_text())

    run_ids = []
    for number in range(runs):
        # The variant tells their ids apart, which bear no learning rate.
        values = example | {
            "optimizer": {"name": "adam", "lr": 1e-3 / (1 + number)},
            "variant": f"lr{number}",
        }
        run = Run.model_validate(values)
        text = yaml.safe_dump(values, sort_keys=False)
        (folder / "runs" / f"{run.run_id}.yaml").write_text(text)
        run_ids.append(run.run_id)

    params.write_text(yaml.safe_dump(settings | {"runs": run_ids}, sort_keys=False))
    return run_ids


def many_runs(folder: Path, run_id: str, runs: int) -> dict:
    """Trained and evaluated by one `dvc repro`, scaled to 100."""
    run_ids = create_runs(folder, run_id, runs)
    if not (folder / ".dvc" / "config").exists():
        execute([*DVC, "init", "-q"], folder)
    execute([*DVC, "repro", "-q", "extract", "code"], folder)

    wall, cpu = timed_children(lambda: execute([*DVC, "repro", "evaluate"], folder))

    layout = in_folder(folder)
    missing = [one for one in run_ids if not (folder / layout.record(one, 0)).is_file()]
    if missing:
        raise RuntimeError(f"dvc repro left no record of {', '.join(missing)}")

    scaled = wall * MANY / runs
    note = (
        f"{runs} runs were trained and evaluated in {wall:.0f} s ({cpu:.0f} CPU seconds without "
        f"the writer of MLflow's store), which makes {scaled / 60:.1f} minutes of {MANY}"
    )
    return alone(f"{MANY} linear runs by dvc repro", [scaled], limit_s=MANY_LIMIT, note=note)


def main() -> None:
    given = parser(__doc__, runs=10, repeats=5).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_repository(folder)
        prepare(folder)
        rows = beside_peer(folder, RUN_ID, given.repeats)
        rows.append(many_runs(folder, RUN_ID, given.runs))
    write("runs", rows, __doc__, given.out)


if __name__ == "__main__":
    main()
