"""Training from shards: the results of files, every row once, two processes, a worker killed.

As a script, it is what two processes run: the rows that each process's workers deliver, in
<folder>/<rank>.npz.
"""

import json
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import LINEAR, PICTURES, run_settings, stage, write_yaml
from safetensors.torch import load_file
from test_distributed import FROZEN, SGD, run_pair, two_ranks
from test_modes import train
from test_resume import CHECKPOINT, KILLED, results
from torch.utils.data import DataLoader

from mlrepro.data.images import Pictures
from mlrepro.data.manifest import Manifest, read_manifest
from mlrepro.data.samplers import sequential_batches, shard_batches
from mlrepro.data.shards import ShardReader
from mlrepro.errors import InputError
from mlrepro.settings.run import Run
from mlrepro.training.distributed import RANK, WORLD, joined, share

DATA = Path("data/digits")


@pytest.fixture
def sharded(repository) -> Path:
    """96 training pictures in 5 shards, of which only the last is not full.

    The files themselves are moved away.
    """
    settings = yaml.safe_load((repository / "params.yaml").read_text())
    settings["data"]["digits"]["shards"] = {"pictures": 20}
    write_yaml(repository / "params.yaml", settings)
    stage(repository, "prepare", "params.yaml", "digits")
    assert len(list((repository / DATA / "shards").glob("train-*.tar"))) == 5
    (repository / DATA / "pictures").rename(repository / DATA / "away")
    return repository


def use_files_again(repository: Path) -> None:
    """As if the data set had been prepared without shards."""
    (repository / DATA / "away").rename(repository / DATA / "pictures")
    shutil.rmtree(repository / DATA / "shards")
    path = repository / DATA / "summary.json"
    summary = json.loads(path.read_text())
    del summary["shards"]
    path.write_text(json.dumps(summary))


def trained(repository: Path) -> tuple:
    """What training and evaluation leave behind."""
    for name in ("train", "evaluate"):
        stage(repository, name, "params.yaml", PICTURES, "0")
    out = repository / "outputs" / "demo" / "digits" / f"{PICTURES}-s0"
    return results(repository, PICTURES), (out / "logits.safetensors").read_bytes()


def test_extracted_features_are_those_of_files(sharded):
    features = next((sharded / DATA / "features").glob("*-32.safetensors"))
    from_files = features.read_bytes()
    features.unlink()
    stage(sharded, "extract", "params.yaml")
    assert features.read_bytes() == from_files


def test_results_are_those_of_files(sharded):
    write_yaml(sharded / "runs" / f"{PICTURES}.yaml", run_settings(PICTURES, augment="flip"))
    from_shards = trained(sharded)
    use_files_again(sharded)
    assert trained(sharded) == from_shards


def test_two_processes_and_a_killed_worker(sharded, monkeypatch):
    settings = run_settings(FROZEN, freeze="backbone", epochs=8, optimizer=SGD, sampler="shards")
    write_yaml(sharded / "runs" / f"{FROZEN}.yaml", settings)
    command = ("stages/train.py", "params.yaml", FROZEN, "0")

    run_pair(sharded, *command)
    folder = sharded / "outputs" / "demo" / "digits" / f"{FROZEN}-s0" / "training"
    wanted = results(sharded, FROZEN)
    by_two = load_file(folder / "last.safetensors")
    for path in folder.iterdir():
        path.unlink()

    # The same bits after one of them was killed, which the other does not survive.
    with two_ranks(sharded, str(KILLED), CHECKPOINT, *command) as (other, killed):
        assert killed.wait() == -signal.SIGKILL, killed.output
        assert other.wait() != 0
    output = run_pair(sharded, *command)
    assert output.count("resumed after epoch") == 1, output
    assert results(sharded, FROZEN) == wanted, output

    # To rounding, the weights that one process trains.
    monkeypatch.chdir(sharded)
    train(Run.model_validate(settings), sharded)
    by_one = load_file(sharded / "out" / "last.safetensors")
    torch.testing.assert_close(by_two, by_one, rtol=0, atol=1e-5)


def test_sampler_without_shards_is_refused(repository, monkeypatch):
    monkeypatch.chdir(repository)
    run = Run.model_validate(run_settings(FROZEN, sampler="shards"))
    with pytest.raises(
        InputError,
        match="`sampler: shards`, but digits has none; set `shards` in the data set's settings",
    ):
        train(run, repository)


def test_sampler_of_shards_needs_pictures():
    with pytest.raises(ValueError, match="`sampler: shards` needs `inputs: images`"):
        Run.model_validate(run_settings(LINEAR, sampler="shards"))


# --- who reads what ------------------------------------------------------------------------------

EPOCHS = (0, 1)


def test_workers_of_two_processes_read_every_row_once(sharded):
    """Five shards, two processes with three workers each; the scored rows keep their order."""
    run_pair(sharded, str(Path(__file__).resolve()), str(sharded))
    manifest = read_manifest(sharded / DATA)
    first, second = (np.load(sharded / f"{rank}.npz") for rank in range(2))

    for epoch in map(str, EPOCHS):
        assert len(first[epoch]) == len(second[epoch])
        together = sorted([*first[epoch], *second[epoch]])
        assert together == manifest.rows("train").tolist()
    assert not np.array_equal(first["0"], second["0"])

    scored = np.concatenate([first["test"], second["test"]])
    np.testing.assert_array_equal(scored, manifest.rows("test"))


def delivered(manifest: Manifest, rows: np.ndarray, batches: list[np.ndarray]) -> np.ndarray:
    """The rows as three workers deliver them."""
    pictures = Pictures(manifest, rows, 32, "bilinear", shards=ShardReader(manifest))
    loader = DataLoader(pictures, batch_sampler=batches, num_workers=3)
    return np.concatenate([batch_rows.numpy() for _, batch_rows in loader])


def deliver(repository: Path) -> None:
    """Writes the rows of two epochs and of test that this process reads."""
    manifest = read_manifest(repository / DATA)
    rows = manifest.rows("train")
    shards = ShardReader(manifest).shard[rows]
    read = {}
    for epoch in EPOCHS:
        batches = shard_batches(len(rows), 16, 0, epoch, shards=shards)
        read[str(epoch)] = delivered(manifest, rows, share(batches))

    own = np.array_split(manifest.rows("test"), WORLD)[RANK]
    read["test"] = delivered(manifest, own, sequential_batches(len(own), 7))
    np.savez(repository / f"{RANK}.npz", **read)


if __name__ == "__main__":
    with joined():
        assert WORLD == 2
        deliver(Path(sys.argv[1]))
