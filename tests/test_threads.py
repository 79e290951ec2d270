"""Threads are a setting, and what a feature run gives does not depend on the machine's cores."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LINEAR, PICTURES, run_settings
from safetensors.torch import load_file

from mlrepro import cores
from mlrepro.cores import cpu_quota, physical_cores, usable_processors, worker_threads
from mlrepro.settings.run import Run
from mlrepro.threads import threads_of


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "_own_processors", lambda: set(range(8)))
    monkeypatch.setattr(cores, "_siblings", str)
    monkeypatch.setattr(cores, "cpu_quota", lambda: None)


def run_on(inputs: str, **changes) -> Run:
    run_id = LINEAR if inputs == "features" else PICTURES
    return Run.model_validate(run_settings(run_id, inputs=inputs, **changes))


@pytest.mark.parametrize("inputs, expected", [("features", 1), ("maps", 8), ("images", 8)])
def test_default_is_that_of_the_kind_of_run(eight_cores, inputs, expected):
    assert threads_of(run_on(inputs)) == expected


@pytest.mark.parametrize("inputs", ["features", "images"])
def test_a_run_file_says_otherwise(eight_cores, inputs):
    assert threads_of(run_on(inputs, threads=3)) == 3


@pytest.mark.parametrize(
    ("variable", "of_features", "of_images", "of_images_with_three"),
    [
        ("1", 1, 1, 1),
        ("4", 1, 4, 3),
        ("64", 1, 8, 3),
        ("2,4", 1, 2, 2),  # the second is for parallel regions within parallel regions
        ("", 1, 8, 3),
    ],
)
def test_the_users_variable_is_a_limit(
    eight_cores, monkeypatch, variable, of_features, of_images, of_images_with_three
):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert threads_of(run_on("features")) == of_features
    assert threads_of(run_on("images")) == of_images
    assert threads_of(run_on("images", threads=3)) == of_images_with_three

    # Hashing and decoding follow it, too; processes that a limit of threads says nothing of do not.
    assert worker_threads() == of_images
    assert usable_processors() == 8


def test_a_quota_limits_the_default(eight_cores, monkeypatch):
    monkeypatch.setattr(cores, "cpu_quota", lambda: 2.5)
    assert threads_of(run_on("images")) == worker_threads() == usable_processors() == 2
    monkeypatch.setattr(cores, "cpu_quota", lambda: 0.5)
    assert threads_of(run_on("images")) == 1


def test_hyperthreads_of_a_core_are_one_core(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "CORES", tmp_path)
    for processor in range(4):
        folder = tmp_path / f"cpu{processor}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{processor % 2},{processor % 2 + 2}\n")
    assert physical_cores({0, 1, 2, 3}) == 2
    assert physical_cores({0, 2}) == 1
    assert physical_cores({0, 7, 8}) == 3  # of which two are unknown


VERSION_2 = ("0::/job/step\n", {"job/cpu.max": "150000 100000\n", "job/step/cpu.max": "max 100000"})
VERSION_1 = (
    "3:cpuset:/x\n1:cpu,cpuacct:/job\n",
    {
        "cpu,cpuacct/job/cpu.cfs_quota_us": "150000\n",
        "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    },
)
IN_A_CONTAINER = ("0::/of/the/host\n", {"cpu.max": "150000 100000\n"})
UNLIMITED = ("0::/job\n", {"job/cpu.max": "max 100000\n"})


@pytest.mark.parametrize(
    "cgroups, expected",
    [(VERSION_2, 1.5), (VERSION_1, 1.5), (IN_A_CONTAINER, 1.5), (UNLIMITED, None)],
)
def test_quota_of_control_groups(tmp_path, monkeypatch, cgroups, expected):
    own, files = cgroups
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(cores, "OWN_CGROUPS", tmp_path / "own")
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cpu_quota() == expected


def test_waiting_threads_do_not_spin():
    program = "import os, mlrepro; print(os.environ['OMP_WAIT_POLICY'])"
    unset = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    for variables, policy in (
        (unset, "passive"),
        (unset | {"OMP_WAIT_POLICY": "active"}, "active"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program], env=variables, capture_output=True, text=True
        )
        assert done.stdout.strip() == policy


# ---- The same bits -----------------------------------------------------------------------------

# In one process, and one that has not loaded torch: then it reads OMP_NUM_THREADS.
BOTH_STAGES = """
import runpy, sys
sys.path[0] = "stages"
for name in ("train", "evaluate"):
    sys.argv[0] = f"stages/{name}.py"
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
RESULTS = ("training/best.safetensors", "training/last.safetensors", "logits.safetensors")


def results_of(repository: Path, threads: str | None, processors: set[int] | None = None) -> list:
    """Weights and logits of the linear run, trained and evaluated anew."""
    before = os.sched_getaffinity(0)
    old = os.environ.pop("OMP_NUM_THREADS", None)
    variables = {"OMP_NUM_THREADS": threads} if threads else {}
    try:
        os.sched_setaffinity(0, processors or before)  # processes started from here have the same
        subprocess.run(
            [sys.executable, "-c", BOTH_STAGES, "params.yaml", LINEAR, "0"],
            cwd=repository,
            env=os.environ | variables,
            check=True,
        )
    finally:
        os.sched_setaffinity(0, before)
        if old:
            os.environ["OMP_NUM_THREADS"] = old

    folder = repository / "outputs" / "demo" / "digits" / f"{LINEAR}-s0"
    return [(folder / name).read_bytes() for name in RESULTS]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_feature_run_gives_the_same_bits_on_any_number_of_cores(repository):
    one_core = {min(os.sched_getaffinity(0))}
    expected = results_of(repository, None)
    assert len(load_file(repository / "outputs/demo/digits" / f"{LINEAR}-s0" / RESULTS[0]))
    assert results_of(repository, "1") == expected
    assert results_of(repository, "4") == expected
    assert results_of(repository, None, one_core) == expected
