"""Training from shards: the results of files, every row once, two processes, a worker killed.

As a script, it is what torchrun runs: the rows that each process's workers deliver, in <folder>/<rank>.npz.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import PICTURES, run_settings, stage, write_yaml
from safetensors.torch import load_file
from test_distributed import FROZEN, ONE_MACHINE, SGD, finished, torchrun, worker
from test_modes import train
from test_resume import OFF, results, wait_for_checkpoint
from torch.utils.data import DataLoader

from mlrepro.data.images import Pictures, sequential_batches, shard_batches
from mlrepro.data.manifest import read_manifest
from mlrepro.data.shards import Shards
from mlrepro.errors import InputError
from mlrepro.settings.run import Run
from mlrepro.training.distributed import RANK, WORLD, joined, share

DATA = Path("data/digits")


@pytest.fixture
def sharded(repository) -> Path:
    """96 training pictures in 5 shards, of which only the last is not full; the files themselves are moved away."""
    settings = yaml.safe_load((repository / "params.yaml").read_text())
    settings["data"]["digits"]["shards"] = {"pictures": 20}
    write_yaml(repository / "params.yaml", settings)
    stage(repository, "prepare", "params.yaml", "digits")
    assert len(list((repository / DATA / "shards").glob("train-*.tar"))) == 5
    (repository / DATA / "pictures").rename(repository / DATA / "away")
    return repository


def test_results_are_those_of_files(sharded):
    """Training, evaluation and extraction; the features that are there were extracted from files."""
    features = next((sharded / DATA / "features").glob("*-32.safetensors"))
    extracted = features.read_bytes()
    features.unlink()
    stage(sharded, "extract", "params.yaml")
    assert features.read_bytes() == extracted
    write_yaml(sharded / "runs" / f"{PICTURES}.yaml", run_settings(PICTURES, augment="flip"))
    from_shards = trained(sharded)
    (sharded / DATA / "away").rename(sharded / DATA / "pictures")
    shutil.rmtree(sharded / DATA / "shards")
    summary = json.loads((sharded / DATA / "summary.json").read_text())
    del summary["shards"]
    (sharded / DATA / "summary.json").write_text(json.dumps(summary))
    assert trained(sharded) == from_shards


def trained(repository: Path) -> tuple:
    for name in ("train", "evaluate"):
        stage(repository, name, "params.yaml", PICTURES, "0", **OFF)
    logits = (
        repository / "outputs/demo/digits" / f"{PICTURES}-s0" / "logits.safetensors"
    ).read_bytes()
    return results(repository, PICTURES), logits


def test_two_processes_and_a_killed_worker(sharded, monkeypatch):
    settings = run_settings(FROZEN, freeze="backbone", epochs=8, optimizer=SGD, sampler="shards")
    write_yaml(sharded / "runs" / f"{FROZEN}.yaml", settings)
    finished(torchrun(sharded, "stages/train.py", "params.yaml", FROZEN, "0"))
    folder, wanted = (
        sharded / "outputs/demo/digits" / f"{FROZEN}-s0/training",
        results(sharded, FROZEN),
    )
    two = load_file(folder / "last.safetensors")
    for path in folder.iterdir():
        path.unlink()
    process = torchrun(
        sharded,
        "stages/train.py",
        "params.yaml",
        FROZEN,
        "0",
        options=(*ONE_MACHINE, "--max-restarts", "1"),
    )
    wait_for_checkpoint(sharded, process)
    os.kill(worker([process.pid], 1), signal.SIGKILL)
    output = finished(process)
    assert output.count("resumed after epoch") == 1 and results(sharded, FROZEN) == wanted, output
    monkeypatch.chdir(sharded)
    train(Run.model_validate(settings), sharded)
    torch.testing.assert_close(
        two, load_file(sharded / "out" / "last.safetensors"), rtol=0, atol=1e-5
    )


def test_sampler_without_shards_is_refused(repository, monkeypatch):
    monkeypatch.chdir(repository)
    with pytest.raises(
        InputError,
        match="`sampler: shards`, but digits has none; set `shards` in the data set's settings",
    ):
        train(Run.model_validate(run_settings(FROZEN, sampler="shards")), repository)
    with pytest.raises(ValueError, match="`sampler: shards` needs `inputs: images`"):
        Run.model_validate(
            run_settings("linear-bce-efficientnet_lite0-digits-32", sampler="shards")
        )


def test_workers_of_two_processes_read_every_row_once(sharded):
    """Five shards, two processes with three workers each; the scored rows keep their order."""
    finished(torchrun(sharded, str(Path(__file__).resolve()), str(sharded)))
    manifest, ranks = (
        read_manifest(sharded / DATA),
        [np.load(sharded / f"{rank}.npz") for rank in range(2)],
    )
    for epoch in ("0", "1"):
        assert len(ranks[0][epoch]) == len(ranks[1][epoch])
        assert (
            sorted(np.concatenate([found[epoch] for found in ranks]))
            == manifest.rows("train").tolist()
        )
    assert not np.array_equal(ranks[0]["0"], ranks[0]["1"])
    np.testing.assert_array_equal(
        np.concatenate([found["test"] for found in ranks]), manifest.rows("test")
    )


def deliver(repository: Path) -> None:
    """The rows of two epochs and of test as this process's workers read them."""
    manifest = read_manifest(repository / DATA)
    shards, rows, seen = Shards(manifest), manifest.rows("train"), {}
    own = np.array_split(manifest.rows("test"), WORLD)[RANK]
    wanted = {
        str(epoch): (rows, share(shard_batches(len(rows), 16, 0, epoch, shards=shards.shard[rows])))
        for epoch in range(2)
    }
    for name, (given, batches) in (
        wanted | {"test": (own, sequential_batches(len(own), 7))}
    ).items():
        loader = DataLoader(
            Pictures(manifest, given, 32, "bilinear", shards=shards),
            batch_sampler=batches,
            num_workers=3,
        )
        seen[name] = np.concatenate([found.numpy() for _, found in loader])
    np.savez(repository / f"{RANK}.npz", **seen)


if __name__ == "__main__":
    with joined():
        assert WORLD == 2
        deliver(Path(sys.argv[1]))
