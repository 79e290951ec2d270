"""Result records: written, read again, and named where they are damaged or misplaced."""

import json
import math

import pytest

from mlrepro.errors import InputError
from mlrepro.records import Record, read_record, read_records, write_record

RUN_ID = "linear-bce-efficientnet_lite0-toy-224"


def record(
    mAP: float | None = 70.0,
    seed: int = 0,
    *,
    se: float | None = 0.1,
    trained: int = 2,
    scored: int = 50,
) -> Record:
    """A record of a run of two epochs on a made-up data set with 50 test pictures.

    se: of its mAP. trained: epochs. scored: test pictures.
    """
    cat = {"name": "cat", "train": 9, "observed": 9, "test": 5, "AP": 0.7}
    measurement = {
        "epoch": 1,
        "metrics": {"mAP": mAP, "mAP_11point": 68.0},
        "mAP_se": se,
        "per_class": [cat],
    }
    run = {
        "data": "toy",
        "inputs": "features",
        "head": "linear",
        "backbone": "efficientnet_lite0",
        "weights": "none",
        "resolution": 224,
        "loss": {"name": "bce"},
        "optimizer": {"lr": 0.001},
        "epochs": 2,
        "batch_size": 8,
    }
    history = [
        {"epoch": epoch, "lr": 0.001, "train_loss": 0.1, "val_mAP": 60.0}
        for epoch in range(1, trained + 1)
    ]
    provenance = {
        "commit": "c",
        "dirty": False,
        "settings_sha256": "a",
        "manifest_sha256": "b",
        "pretrained": "none",
        "pretrained_sha256": None,
        "weights_sha256": {},
        "mlflow_run_id": None,
    }
    environment = {
        "python": "3.12",
        "versions": {},
        "device": "cpu",
        "precision": "float32",
        "threads": 2,
        "train_seconds": 1.0,
        "images_per_second": 10.0,
        "peak_memory_mib": 10.0,
    }
    cost = {"parameters": 10, "trainable_parameters": 10, "gmacs": 0.5, "gflops": 1.0}
    return Record.model_validate(
        {
            "study": "demo",
            "data_set": "toy",
            "run": run,
            "seed": seed,
            "splits": {"test": {"expected": 50, "used": scored, "cardinality": 1.5}},
            "measurements": {"best": measurement, "last": measurement},
            "history": history,
            "provenance": provenance,
            "environment": environment,
            "cost": cost,
        }
    )


def test_records_return_by_run_and_seed(tmp_path):
    results = tmp_path / "results"
    for seed in (10, 2):
        write_record(record(seed=seed), results / f"{RUN_ID}-s{seed}.json")
    assert read_records(results) == {RUN_ID: [record(seed=2), record(seed=10)]}
    assert read_records(tmp_path / "absent") == {}


def test_a_record_without_an_map_is_readable(tmp_path):
    path = tmp_path / f"{RUN_ID}-s0.json"
    write_record(record(mAP=None, se=None), path)
    assert read_record(path) == record(mAP=None, se=None)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_record_that_could_not_be_read_is_not_written(tmp_path, number):
    """A copy with changed values is not validated by pydantic. The record that was there stays."""
    path = tmp_path / f"{RUN_ID}-s0.json"
    write_record(record(), path)
    last = record().history[-1].model_copy(update={"val_mAP": number})
    with pytest.raises(InputError, match=f"{path.name}: not written.*\n.*val_mAP"):
        write_record(record().model_copy(update={"history": [last]}), path)
    assert read_record(path) == record()


def cut_off(text: str) -> str:
    return text[:100]


def emptied(text: str) -> str:
    return ""


def with_a_key_renamed(text: str) -> str:
    return text.replace('"seed"', '"sead"')


def of_another_version(text: str) -> str:
    return json.dumps(json.loads(text) | {"version": 2})


@pytest.mark.parametrize("damage", [cut_off, emptied, with_a_key_renamed, of_another_version])
def test_unreadable_record_is_named(tmp_path, damage):
    path = tmp_path / f"{RUN_ID}-s0.json"
    write_record(record(), path)
    path.write_text(damage(path.read_text()))

    message = f"{path.name}: not a result record; run its evaluate stage again"
    with pytest.raises(InputError, match=message):
        read_record(path)
    with pytest.raises(InputError, match=path.name):
        read_records(tmp_path)


def test_renamed_record_is_named(tmp_path):
    write_record(record(seed=3), tmp_path / f"{RUN_ID}-s0.json")
    with pytest.raises(InputError, match=f"{RUN_ID}-s0.json: holds {RUN_ID} seed 3; rename it"):
        read_records(tmp_path)
