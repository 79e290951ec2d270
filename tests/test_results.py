import json
import math

import pytest

from mlrepro.errors import InputError
from mlrepro.judging import judge, mean_and_std, tolerance
from mlrepro.records import Record, read_record, read_records, write_record

RUN_ID = "linear-bce-efficientnet_lite0-toy-224"


def record(mAP=70.0, seed=0, *, se=0.1, trained=2, scored=50) -> Record:
    measurement = {
        "epoch": 1,
        "metrics": {"mAP": mAP, "mAP_11point": 68.0},
        "mAP_se": se,
        "per_class": [{"name": "cat", "train": 9, "observed": 9, "test": 5, "AP": 0.7}],
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
        {"epoch": e, "lr": 0.001, "train_loss": 0.1, "val_mAP": 60.0} for e in range(1, trained + 1)
    ]
    return Record.model_validate(
        {
            "study": "demo",
            "data_set": "toy",
            "run": run,
            "seed": seed,
            "history": history,
            "splits": {"test": {"expected": 50, "used": scored, "cardinality": 1.5}},
            "measurements": {"best": measurement, "last": measurement},
            "provenance": {
                "commit": "c",
                "dirty": False,
                "settings_sha256": "a",
                "manifest_sha256": "b",
                "pretrained": "none",
                "pretrained_sha256": None,
                "weights_sha256": {},
                "mlflow_run_id": None,
            },
            "environment": {
                "python": "3.12",
                "versions": {},
                "device": "cpu",
                "precision": "float32",
                "threads": 2,
                "train_seconds": 1.0,
                "images_per_second": 10.0,
                "peak_memory_mib": 10.0,
            },
            "cost": {"parameters": 10, "trainable_parameters": 10, "gmacs": 0.5, "gflops": 1.0},
        }
    )


TWO = [
    record(70.0, 0),
    record(71.0, 1),
]  # mean 70.5, s^2 = 0.5, tolerance 2 sqrt(0.25 + 0.01) = 1.02


@pytest.mark.parametrize(
    "records, reported, options, status",
    [
        ([], 70.0, {}, "not-run"),
        ([], 70.0, {"failed": True}, "failed"),
        ([record(None)], 70.0, {}, "failed"),
        ([record(70.0)], 70.0, {"comparable": False}, "not-comparable"),
        ([record(70.0)], None, {}, "not-comparable"),
        ([record(70.0)], 70.0, {"seeds": 2}, "partial"),
        ([record(70.0, trained=1)], 70.0, {}, "partial"),
        ([record(70.0, scored=49)], 70.0, {}, "partial"),
        ([record(70.5)], 70.0, {}, "reproduced"),  # the bound belongs to the tolerance
        ([record(69.5)], 70.0, {}, "reproduced"),
        ([record(70.75)], 70.0, {}, "exceeds"),
        ([record(69.25)], 70.0, {}, "below"),
        ([record(69.25, se=0.5)], 70.0, {}, "reproduced"),
        ([record(69.25)], 70.0, {"reported_std": 0.8}, "reproduced"),
        ([record(69.25)], 70.0, {"minimum": 1.0}, "reproduced"),
        (TWO, 69.5, {"seeds": 2}, "reproduced"),
        (TWO, 69.4, {"seeds": 2}, "exceeds"),
        (TWO, 71.6, {"seeds": 2}, "below"),
        ([record(60.0)], 68.2, {"metric": "mAP_11point"}, "reproduced"),
    ],
)
def test_status(records, reported, options, status):
    assert judge(records, reported, **{"seeds": 1} | options) == status


def test_tolerance_is_the_largest_of_its_three_terms():
    assert tolerance([70.0], 0.1) == 0.5
    assert tolerance([70.0], 0.4) == pytest.approx(0.8)
    assert tolerance([70.0, 71.0, 72.0], 0.4) == pytest.approx(2 * math.sqrt(1 / 3 + 0.16))
    assert tolerance([70.0], 0.4, reported_std=1.5) == 1.5
    assert tolerance([70.0], 0.1, minimum=0.0) == pytest.approx(0.2)


def test_mean_and_std():
    assert mean_and_std([70.0]) == (70.0, None)
    assert mean_and_std([70.0, 71.0]) == (70.5, pytest.approx(math.sqrt(0.5)))


def test_records_return_by_run_and_seed(tmp_path):
    for seed in (10, 2):
        write_record(record(seed=seed), tmp_path / "results" / f"{RUN_ID}-s{seed}.json")
    assert read_records(tmp_path / "results") == {RUN_ID: [record(seed=2), record(seed=10)]}
    assert read_records(tmp_path / "absent") == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:100],
        lambda text: "",
        lambda text: text.replace('"seed"', '"sead"'),
        lambda text: json.dumps(json.loads(text) | {"version": 2}),
    ],
)
def test_unreadable_record_is_named(tmp_path, damage):
    path = tmp_path / f"{RUN_ID}-s0.json"
    write_record(record(), path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(
        InputError, match=f"{path.name}: not a result record; run its evaluate stage again"
    ):
        read_record(path)
    with pytest.raises(InputError, match=path.name):
        read_records(tmp_path)


def test_renamed_record_is_named(tmp_path):
    write_record(record(seed=3), tmp_path / f"{RUN_ID}-s0.json")
    with pytest.raises(InputError, match=f"{RUN_ID}-s0.json: holds {RUN_ID} seed 3; rename it"):
        read_records(tmp_path)
