"""Two gloo processes and one: weights, state, rows scored; a worker killed; class-uniform draws.

As a script, it is what torchrun runs: every case of CASES, each process's outcome in
<folder>/<rank>.pt.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import permutations
from pathlib import Path

import forks
import numpy as np
import pytest
import torch
import torch.distributed as dist
from conftest import LINEAR, PICTURES, ROLE, free_port, run_settings, write_yaml
from forks import Fork
from safetensors.torch import load_file
from test_modes import train
from test_resume import CHECKPOINT, KILLED, results, trained
from torch import nn
from toys import CPU, Interruption, Memory, toy_job

from mlrepro.data.manifest import read_manifest
from mlrepro.data.samplers import class_uniform_batches
from mlrepro.errors import InputError
from mlrepro.settings.run import Run
from mlrepro.training import distributed
from mlrepro.training.distributed import RANK, WORLD, fresh, joined
from mlrepro.training.fit import fit
from mlrepro.training.inputs.features import FeatureInputs
from mlrepro.training.job import prepare
from mlrepro.training.predict import predict
from mlrepro.training.splits import read_labelled

FROZEN = "gap-role-small_cnn_narrow-digits-single-32"
SGD = {"name": "sgd", "lr": 0.05}
SINGLE = {"labels": "single"}
CASES = {
    "bce": {"loss": {"name": "bce"}},
    "asl": {"loss": {"name": "asl"}, "optimizer": {"name": "sgd", "lr": 1e-3}},
    "role": SINGLE | {"loss": {"name": "role", "expected_positives": 2.0}},
    "epr": SINGLE | {"loss": {"name": "epr", "expected_positives": 2.0}},
    "ll_cp": SINGLE | {"loss": {"name": "ll_cp", "delta_rel": 20.0}, "epochs": 3},
    "strategy": {
        "loss": {"name": "bce"},
        "ema": 0.8,
        "optimizer": SGD | {"sam_rho": 0.05, "clip_norm": 0.1},
    },
}


# ---- Two processes and one ---------------------------------------------------------------------


class Spy(FeatureInputs):
    """Writes down which rows are scored."""

    def __init__(self, features: torch.Tensor):
        super().__init__(features, CPU)
        self.scored: list[np.ndarray] = []

    def sequential(self, rows, augmented=None):
        self.scored.append(rows)
        return super().sequential(rows, augmented)


def outcome(changes: dict) -> dict:
    """A fit on 40 vectors without batch norm and dropout, of which 11 validate, and its scores."""
    settings = run_settings(LINEAR, epochs=2, batch_size=6, optimizer=SGD)
    run = Run.model_validate(settings | changes)
    random = np.random.default_rng(0)
    inputs = Spy(torch.tensor(random.normal(size=(40, 5)), dtype=torch.float32))
    labels = (random.random((40, 6)) < 0.5).astype(np.int8)
    rows = {"train": np.arange(20), "val": np.arange(39, 28, -1)}

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6))
    job = toy_job(run, model, inputs, labels, rows)
    progress = fit(job, None if RANK else Memory())

    scores = predict(model, inputs, rows["val"], CPU)
    scored_rows = inputs.scored[-1]
    fewer_than_processes = predict(model, inputs, rows["val"][:1], CPU)
    return {
        "weights": model.state_dict(),
        "best": progress.best["weights"],
        "loss": job.loss.state_dict(),
        "scores": scores,
        "one": fewer_than_processes,
        "history": progress.history,
        "scored": scored_rows,
        "val": rows["val"],
    }


def torchrun(folder: Path, *arguments: str) -> Fork:
    """torchrun in a folder, whose processes find the folders of the tests too."""
    command = ("-m", "torch.distributed.run", *arguments)
    return forks.start(*command, folder=folder, PYTHONPATH=os.pathsep.join(sys.path))


def finished(fork: Fork) -> str:
    """What it printed; it must have succeeded."""
    assert fork.wait() == 0, fork.output
    return fork.output


@contextmanager
def two_ranks(folder: Path, *words: str) -> Iterator[list[Fork]]:
    """Ranks 0 and 1 of two processes, with what torchrun's agent gives its own."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    variables = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_RUN_ID": "pair",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": "2",
    }
    ranks = []
    try:
        for rank in ("0", "1"):
            ranks.append(
                forks.start(*words, folder=folder, **variables, RANK=rank, LOCAL_RANK=rank)
            )
        yield ranks
    finally:
        for fork in ranks:
            fork.kill()


def run_pair(folder: Path, *words: str) -> str:
    """What both have printed; they must have succeeded."""
    with two_ranks(folder, *words) as ranks:
        return "".join([finished(fork) for fork in ranks])


@pytest.fixture(scope="module")
def outcomes_of_two(tmp_path_factory) -> list[dict]:
    """Of each of two processes: the outcome of every case."""
    folder = tmp_path_factory.mktemp("two")
    script = str(Path(__file__).resolve())
    finished(torchrun(folder, "--standalone", "--nproc-per-node", "2", script, str(folder)))
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def column(history: list[dict], name: str) -> list[float]:
    return [entry[name] for entry in history]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_end_with_the_weights_of_one(outcomes_of_two, name):
    wanted = outcome(CASES[name])
    ranks = [process[name] for process in outcomes_of_two]
    for rank in ranks:
        for part in ("weights", "best", "loss"):
            torch.testing.assert_close(rank[part], wanted[part], rtol=0, atol=1e-5)
        for key in ("val_mAP", "train_loss", "lr"):
            found = column(rank["history"], key)
            np.testing.assert_allclose(found, column(wanted["history"], key), rtol=1e-5)

    # Both have the same, to the bit.
    for part in ("weights", "loss"):
        for key in wanted[part]:
            assert torch.equal(ranks[0][part][key], ranks[1][part][key])
    if name == "ll_cp":
        assert wanted["loss"]["corrected"].any()


def test_each_row_is_scored_once_and_the_scores_are_in_the_order_of_the_rows(outcomes_of_two):
    ranks = [process["bce"] for process in outcomes_of_two]
    wanted = outcome(CASES["bce"])

    stretches = [rank["scored"] for rank in ranks]
    assert [len(stretch) for stretch in stretches] == [6, 5]
    np.testing.assert_array_equal(np.concatenate(stretches), wanted["val"])
    for rank in ranks:
        np.testing.assert_allclose(rank["scores"], wanted["scores"], atol=1e-5)
        np.testing.assert_allclose(rank["one"], wanted["one"], atol=1e-5)


def test_batch_that_cannot_be_divided(monkeypatch):
    monkeypatch.setattr(distributed, "WORLD", 2)
    (share,) = distributed.share([np.arange(4)])
    assert share.tolist() == [0, 2]
    with pytest.raises(InputError, match="batch_size: 5 pictures for 2 processes; set a multiple"):
        distributed.share([np.arange(4), np.arange(5)])


# ---- Processes that find each other ------------------------------------------------------------


@pytest.fixture
def server() -> dist.TCPStore:
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def parts_of_store(
    server: dist.TCPStore, ranks: Sequence[int], world: int, seconds: int
) -> list[dist.Store | None]:
    """What processes of these ranks get that come one after the other.

    None for one that waits in vain, for so many seconds.
    """

    def join(rank: int) -> dist.Store | None:
        timeout = timedelta(seconds=seconds)
        store = dist.TCPStore("127.0.0.1", server.port, is_master=False, timeout=timeout)
        try:
            return fresh(store, rank, world)
        except TimeoutError as error:
            assert f"rank {rank} of {world} waited in vain" in str(error)
            return None

    with ThreadPoolExecutor() as pool:
        started = []
        for rank in ranks:
            started.append(pool.submit(join, rank))
            time.sleep(0.05)  # so that they come in this order
        return [future.result() for future in started]


def leave_incomplete_start(server: dist.TCPStore, world: int) -> None:
    """Puts there what a start leaves whose rank 0 did not see the others."""
    store = dist.PrefixStore(f"of {world}", server)
    store.set("start", "former")
    store.set("former/1", "a")
    store.set("former/2", "b")


def check_own_part(server: dist.TCPStore, ranks: Sequence[int], world: int) -> None:
    """A start gets a part in which nothing is yet, and in which all its processes meet."""
    found = parts_of_store(server, ranks, world, 60)
    assert not any(part.check(["address of 0"]) for part in found)
    for rank, part in zip(ranks, found, strict=True):
        part.set(f"address of {rank}", "")
    for part in found:
        part.wait([f"address of {rank}" for rank in range(world)])


@pytest.mark.parametrize("world", [2, 3])
def test_each_start_gets_a_part_of_its_own_of_a_store_that_knows_earlier_ones(server, world):
    for ranks in permutations(range(world)):
        check_own_part(server, ranks, world)  # after one that was complete
        leave_incomplete_start(server, world)
        check_own_part(server, ranks, world)


@pytest.mark.parametrize(
    ("ranks", "left_out"),
    [((1, 1, 0, 2), 1), ((2, 0, 1, 2), 2), ((0, 1, 0, 2), 0)],
)
def test_of_two_processes_of_one_rank_one_is_left_out_and_fails(server, ranks, left_out):
    """As when a machine lost its agent and not its worker."""
    found = parts_of_store(server, ranks, 3, 3)
    in_vain = [rank for rank, part in zip(ranks, found, strict=True) if part is None]
    assert in_vain == [left_out]

    together = [part for part in found if part is not None]
    for part in together:
        part.add("joined", 1)
    assert all(part.add("joined", 0) == 3 for part in together)


# ---- Train stages under torchrun ---------------------------------------------------------------


def test_pictures_like_in_one_process_and_the_same_on_two_machines_of_which_one_lost_its_worker(
    repository, monkeypatch
):
    """The machines are two agents of torchrun, which meet on loopback.

    The backbone is frozen: batch norm that learns would see shares on a CPU.
    """
    settings = run_settings(FROZEN, freeze="backbone", epochs=8, optimizer=SGD)
    write_yaml(repository / "runs" / f"{FROZEN}.yaml", settings)
    arguments = ("stages/train.py", "params.yaml", FROZEN, "0")

    # Two processes of one machine.
    run_pair(repository, *arguments)
    folder = trained(repository, FROZEN)
    wanted = results(repository, FROZEN)
    used = json.loads(folder.with_name("training-environment.json").read_text())
    assert used["device"].startswith("2 x CPU")
    of_two = load_file(folder / "last.safetensors")
    for path in folder.iterdir():
        path.unlink()

    # Two machines of one process each.
    machines = ["--nnodes", "2", "--rdzv-backend", "c10d", "--max-restarts", "3"]
    machines += ["--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    killed_once = (str(KILLED), CHECKPOINT, *arguments)
    agents = [torchrun(repository, *machines, *killed_once) for _ in range(2)]
    output = "".join(finished(agent) for agent in agents)
    assert (repository / "killed-once").exists()
    assert output.count("resumed after epoch") == 1, output
    assert output.count("best validation mAP") == 1, output
    assert results(repository, FROZEN) == wanted
    assert not list((repository / ".checkpoints").glob("*/state-*.pt"))

    # One process.
    monkeypatch.chdir(repository)
    train(Run.model_validate(settings), repository)
    of_one = load_file(repository / "out" / "last.safetensors")
    torch.testing.assert_close(of_two, of_one, rtol=0, atol=1e-5)


# ---- The class-uniform sampler -----------------------------------------------------------------


@pytest.mark.parametrize("run_id", [LINEAR, ROLE, PICTURES])
def test_class_uniform_draws_what_the_run_sees(repository, monkeypatch, run_id):
    monkeypatch.chdir(repository)
    folder = repository / "data" / "digits"
    data = read_labelled(folder)
    run = Run.model_validate(run_settings(run_id, sampler="class_uniform"))
    job = prepare(run, 0, data)
    train_rows = data.rows["train"]
    seen = [rows.numpy() for _, rows in job.task.inputs.shuffled(train_rows, 16, 3, 1)]

    positives = np.nonzero(job.targets.numpy() > 0)
    classes = read_manifest(folder).classes
    size = len(job.targets)
    drawn = class_uniform_batches(size, 16, 3, 1, positives=positives, classes=classes)
    np.testing.assert_array_equal(seen, [train_rows[batch] for batch in drawn])

    # With replacement, unlike a permutation.
    assert len(np.unique(np.concatenate(seen))) < 16 * len(seen)


def test_class_uniform_changes_the_training_and_survives_an_interruption(repository, monkeypatch):
    monkeypatch.chdir(repository)
    weights = repository / "out" / "last.safetensors"

    def digest() -> str:
        return hashlib.sha256(weights.read_bytes()).hexdigest()

    train(Run.model_validate(run_settings(LINEAR)), repository)
    uniform = digest()
    run = Run.model_validate(run_settings(LINEAR, sampler="class_uniform"))
    train(run, repository)
    wanted = digest()
    assert wanted != uniform

    with pytest.raises(KeyboardInterrupt):
        train(run, repository, Interruption())
    weights.unlink()
    assert len(train(run, repository).history) == 3
    assert digest() == wanted


if __name__ == "__main__":
    with joined():
        assert WORLD == 2
        outcomes = {name: outcome(changes) for name, changes in CASES.items()}
        torch.save(outcomes, Path(sys.argv[1]) / f"{RANK}.pt")
