"""Two gloo processes and one: weights, state, rows scored; a worker killed under torchrun; the class-uniform sampler.

As a script, it is what torchrun runs: every case of `cases`, each process's outcome in <folder>/<rank>.pt.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from conftest import LINEAR, PICTURES, ROLE, run_settings, write_yaml
from safetensors.torch import load_file
from test_modes import Memory, train
from test_resume import OFF, results, wait_for_checkpoint
from torch import nn

from mlrepro.data.images import class_uniform_batches
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.losses import create_loss
from mlrepro.settings.run import Run
from mlrepro.training import distributed
from mlrepro.training.distributed import RANK, WORLD, fresh, joined
from mlrepro.training.fit import fit, predict
from mlrepro.training.inputs import FeatureInputs
from mlrepro.training.run import prepare, read_labelled

CPU = torch.device("cpu")
FROZEN = "gap-role-test_resnet-digits-single-32"
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


class Spy(FeatureInputs):
    """Writes down which rows are scored."""

    def sequential(self, rows, augmented=None):
        self.scored = [*getattr(self, "scored", []), rows]
        return super().sequential(rows, augmented)


def outcome(changes: dict) -> dict:
    """A fit on 40 vectors without batch norm and dropout, of which 11 validate, and what it scores then."""
    run = Run.model_validate(run_settings(LINEAR, epochs=2, batch_size=6, optimizer=SGD) | changes)
    random = np.random.default_rng(0)
    inputs = Spy(torch.tensor(random.normal(size=(40, 5)), dtype=torch.float32), CPU)
    labels = (random.random((40, 6)) < 0.5).astype(np.int8)
    rows = {"train": np.arange(20), "val": np.arange(39, 28, -1)}
    targets = torch.from_numpy(labels[rows["train"]])
    loss = create_loss(run.loss, targets, None, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6))
    progress = fit(
        run,
        0,
        model,
        loss,
        inputs,
        targets,
        labels,
        rows,
        None if RANK else Memory(),
        CPU,
        lambda _: None,
        lambda _: None,
    )
    scores = predict(model, inputs, rows["val"], CPU)
    one = predict(model, inputs, rows["val"][:1], CPU)  # fewer rows than processes
    return {
        "weights": model.state_dict(),
        "best": progress.best["weights"],
        "loss": loss.state_dict(),
        "scores": scores,
        "one": one,
        "history": progress.history,
        "scored": inputs.scored[-2],
        "val": rows["val"],
    }


ONE_MACHINE = ("--standalone", "--nproc-per-node", "2")


def torchrun(
    repository: Path, *arguments: str, options: tuple[str, ...] = ONE_MACHINE
) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", *options, *arguments]
    environment = (
        os.environ | OFF | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )  # the folders of the tests too
    return subprocess.Popen(
        command,
        cwd=repository,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen) -> str:
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> list[dict]:
    """Of each of two processes: the outcome of every case."""
    folder = tmp_path_factory.mktemp("two")
    finished(torchrun(folder, str(Path(__file__).resolve()), str(folder)))
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_end_with_the_weights_of_one(two, name):
    wanted, ranks = outcome(CASES[name]), [process[name] for process in two]
    for found in ranks:
        for part in ("weights", "best", "loss"):
            torch.testing.assert_close(found[part], wanted[part], rtol=0, atol=1e-5)
        for key in ("val_mAP", "train_loss", "lr"):
            np.testing.assert_allclose(
                [entry[key] for entry in found["history"]],
                [entry[key] for entry in wanted["history"]],
                rtol=1e-5,
            )
    for part in ("weights", "loss"):  # to the bit
        for key in wanted[part]:
            assert torch.equal(ranks[0][part][key], ranks[1][part][key])
    if name == "ll_cp":
        assert wanted["loss"]["corrected"].any()


def test_each_row_is_scored_once_and_the_scores_are_in_the_order_of_the_rows(two):
    ranks, wanted = [process["bce"] for process in two], outcome(CASES["bce"])
    np.testing.assert_array_equal(
        np.concatenate([found["scored"] for found in ranks]), wanted["val"]
    )
    assert [len(found["scored"]) for found in ranks] == [6, 5]
    for found in ranks:
        np.testing.assert_allclose(found["scores"], wanted["scores"], atol=1e-5)
        np.testing.assert_allclose(found["one"], wanted["one"], atol=1e-5)


def test_batch_that_cannot_be_divided(monkeypatch):
    monkeypatch.setattr(distributed, "WORLD", 2)
    assert [batch.tolist() for batch in distributed.share([np.arange(4)])] == [[0, 2]]
    with pytest.raises(InputError, match="batch_size: 5 pictures for 2 processes; set a multiple"):
        distributed.share([np.arange(4), np.arange(5)])


@pytest.fixture
def server() -> dist.TCPStore:
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def parts(
    server: dist.TCPStore, ranks: tuple[int, ...], world: int, seconds: int
) -> list[dist.Store | None]:
    """What processes of these ranks get that come one after the other; None for one that waits in vain."""

    def part(rank: int) -> dist.Store | None:
        store = dist.TCPStore(
            "127.0.0.1", server.port, is_master=False, timeout=timedelta(seconds=seconds)
        )
        try:
            return fresh(store, rank, world)
        except TimeoutError as error:
            assert f"rank {rank} of {world} waited in vain" in str(error)

    with ThreadPoolExecutor() as pool:
        started = []
        for rank in ranks:
            started.append(pool.submit(part, rank))
            time.sleep(0.05)
        return [future.result() for future in started]


@pytest.mark.parametrize("world", [2, 3])
def test_each_start_gets_a_part_of_its_own_of_a_store_that_knows_earlier_ones(server, world):
    for ranks in permutations(range(world)):
        for left in ("a start that was complete", "one that was not"):
            if left == "one that was not":
                former = dist.PrefixStore(f"of {world}", server)
                for key, value in {"start": "former", "former/1": "a", "former/2": "b"}.items():
                    former.set(key, value)
            found = parts(server, ranks, world, 60)
            assert not any(part.check(["address of 0"]) for part in found)
            for rank, part in zip(ranks, found, strict=True):
                part.set(f"address of {rank}", "")
            for part in found:
                part.wait([f"address of {rank}" for rank in range(world)])


@pytest.mark.parametrize("ranks, double", [((1, 1, 0, 2), 1), ((2, 0, 1, 2), 2), ((0, 1, 0, 2), 0)])
def test_of_two_processes_of_one_rank_one_is_left_out_and_fails(server, ranks, double):
    """As when a machine lost its agent and not its worker."""
    found = parts(server, ranks, 3, 3)
    assert [rank for rank, part in zip(ranks, found, strict=True) if part is None] == [double]
    for part in filter(None, found):
        part.add("joined", 1)
    assert all(part.add("joined", 0) == 3 for part in found if part)


def worker(parents: list[int], rank: int) -> int:
    """The process id of the worker of `rank` that torchrun, one of the processes `parents`, has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            started = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) in parents
            if started and f"\0RANK={rank}\0" in (folder / "environ").read_text():
                return int(folder.name)
        except (OSError, IndexError):  # has ended meanwhile
            continue
    raise AssertionError(f"torchrun has no worker of rank {rank}")


def test_pictures_like_in_one_process_and_the_same_on_two_machines_of_which_one_lost_its_worker(
    repository, monkeypatch
):
    """The machines: two agents of torchrun, which meet on loopback. The backbone is frozen: batch norm that learns would see
    shares on a CPU."""
    settings = run_settings(FROZEN, freeze="backbone", epochs=8, optimizer=SGD)
    write_yaml(repository / "runs" / f"{FROZEN}.yaml", settings)
    finished(torchrun(repository, "stages/train.py", "params.yaml", FROZEN, "0"))
    folder, wanted = (
        repository / "outputs/demo/digits" / f"{FROZEN}-s0/training",
        results(repository, FROZEN),
    )
    facts = json.loads((folder / "training.json").read_text())
    two = load_file(folder / "last.safetensors")
    assert facts["environment"]["device"].startswith("2 x CPU")
    for path in folder.iterdir():
        path.unlink()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    machines = (
        "--nnodes",
        "2",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        f"127.0.0.1:{port}",
        "--max-restarts",
        "3",
    )
    agents = [
        torchrun(repository, "stages/train.py", "params.yaml", FROZEN, "0", options=machines)
        for _ in range(2)
    ]
    wait_for_checkpoint(repository, agents[0])
    os.kill(worker([agent.pid for agent in agents], 1), signal.SIGKILL)
    output = "".join(map(finished, agents))
    assert (output.count("resumed after epoch"), output.count("best validation mAP")) == (1, 1), (
        output
    )
    assert results(repository, FROZEN) == wanted
    assert not list((repository / ".checkpoints").glob("*/state.pt"))
    monkeypatch.chdir(repository)
    train(Run.model_validate(settings), repository)
    torch.testing.assert_close(
        two, load_file(repository / "out" / "last.safetensors"), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("run_id", [LINEAR, ROLE, PICTURES])
def test_class_uniform_draws_what_the_run_sees(repository, monkeypatch, run_id):
    monkeypatch.chdir(repository)
    folder = repository / "data" / "digits"
    data = read_labelled(folder)
    run = Run.model_validate(run_settings(run_id, sampler="class_uniform"))
    task, _, targets, _ = prepare(run, 0, data)
    seen = [rows.numpy() for _, rows in task.inputs.shuffled(data.rows["train"], 16, 3, 1)]
    drawn = class_uniform_batches(
        len(targets),
        16,
        3,
        1,
        positives=np.nonzero(targets.numpy() > 0),
        classes=read_manifest(folder).classes,
    )
    np.testing.assert_array_equal(seen, [data.rows["train"][batch] for batch in drawn])
    assert len(np.unique(np.concatenate(seen))) < 16 * len(
        seen
    )  # with replacement, unlike a permutation


def test_class_uniform_changes_the_training_and_survives_an_interruption(repository, monkeypatch):
    monkeypatch.chdir(repository)
    run = Run.model_validate(run_settings(LINEAR, sampler="class_uniform"))

    def weights() -> str:
        return hashlib.sha256((repository / "out" / "last.safetensors").read_bytes()).hexdigest()

    def interrupt(entry):
        raise KeyboardInterrupt

    train(Run.model_validate(run_settings(LINEAR)), repository)
    uniform = weights()
    train(run, repository)
    wanted = weights()
    with pytest.raises(KeyboardInterrupt):
        train(
            run,
            repository,
            SimpleNamespace(start=lambda _: None, epoch=interrupt, finish=lambda *_: None),
        )
    (repository / "out" / "last.safetensors").unlink()
    assert len(train(run, repository).history) == 3
    assert weights() == wanted != uniform


if __name__ == "__main__":
    with joined():
        assert WORLD == 2
        torch.save(
            {name: outcome(changes) for name, changes in CASES.items()},
            Path(sys.argv[1]) / f"{RANK}.pt",
        )
