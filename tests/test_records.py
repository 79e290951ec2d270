"""Result records: written, read again, and named where they are damaged or misplaced."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from mlrepro.errors import InputError
from mlrepro.json_text import significant
from mlrepro.records import (
    Failure,
    Record,
    read_failures,
    read_record,
    read_records,
    write_failure,
    write_record,
)
from mlrepro.settings.run import Run

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
        "settings_sha256": "a",
        "manifest_sha256": "b",
        "pretrained": "none",
        "pretrained_sha256": None,
    }
    environment = {
        "commit": "c",
        "dirty": False,
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


def measured(record: Record) -> Record:
    """What its file holds."""
    return record.model_copy(update={"environment": None})


def test_records_return_by_run_and_seed(tmp_path):
    results = tmp_path / "results"
    for seed in (10, 2):
        write_record(record(seed=seed), results / f"{RUN_ID}-s{seed}.json")
    assert read_records(results) == {RUN_ID: [measured(record(seed=2)), measured(record(seed=10))]}
    assert read_records(tmp_path / "absent") == {}


# ---- As a file ---------------------------------------------------------------------------------


def written(record: Record, folder: Path) -> str:
    path = folder / f"{record.name}.json"
    write_record(record, path)
    return path.read_text(encoding="utf-8")


def test_a_record_holds_nothing_that_varies_by_nature(tmp_path):
    elsewhere = {"device": "another", "train_seconds": 99.0, "commit": "d", "threads": 64}
    here = record()
    there = here.model_copy(update={"environment": here.environment.model_copy(update=elsewhere)})
    assert written(here, tmp_path) == written(there, tmp_path)
    assert not {"environment", "commit"} & set(re.findall(r'"(\w+)":', written(here, tmp_path)))


def test_measured_numbers_have_six_digits_and_settings_all(tmp_path):
    precise = record(mAP=70.123456789, se=0.00012345678)
    run = precise.run.model_dump(mode="json")
    run["optimizer"]["lr"] = 0.00123456789
    cost = precise.cost.model_copy(update={"parameters": 123456789, "gmacs": 1.23456789})
    changes = {"run": Run.model_validate(run), "cost": cost}
    kept = json.loads(written(precise.model_copy(update=changes), tmp_path))

    best = kept["measurements"]["best"]
    assert best["metrics"]["mAP"] == 70.1235
    assert best["mAP_se"] == 0.000123457
    assert kept["cost"]["gmacs"] == 1.23457
    assert kept["cost"]["parameters"] == 123456789
    assert kept["run"]["optimizer"]["lr"] == 0.00123456789


def test_rounding_noise_of_another_processor_changes_no_file(tmp_path):
    noisy = record(mAP=70.0 * (1 + 1e-9), se=0.1 * (1 - 1e-9))
    assert written(noisy, tmp_path) == written(record(), tmp_path)


def test_what_is_not_finite_is_none():
    assert significant({"a": [math.nan, 1.23456789], "b": math.inf, "c": 7}) == {
        "a": [None, 1.23457],
        "b": None,
        "c": 7,
    }


def test_a_line_an_epoch_and_a_class(tmp_path):
    lines = [line.strip().rstrip(",") for line in written(long_record(), tmp_path).splitlines()]
    epochs = [line for line in lines if line.startswith('{"epoch"')]
    assert [json.loads(line)["epoch"] for line in epochs] == list(range(1, 31))
    assert epochs[0] == '{"epoch": 1, "lr": 0.001, "train_loss": 0.1, "val_mAP": 60.0}'

    classes = [line for line in lines if line.startswith('{"name"')]
    assert len(classes) == 2 * 9

    # Metrics share lines, so that one that changes is easy to see.
    metrics = [line for line in lines if line.startswith('"metric_')]
    assert all(line.count(":") >= 4 for line in metrics[:-1])
    assert max(map(len, metrics)) <= 100


def long_record() -> Record:
    values = record(trained=30).model_dump(mode="json")
    for measurement in values["measurements"].values():
        measurement["metrics"] |= {f"metric_{number}": 12.3456 for number in range(10, 40)}
        measurement["per_class"] *= 9
    return Record.model_validate(values)


def test_resamples_of_the_pictures_are_one_line(tmp_path):
    """So that `git diff` shows a line where another processor swaps two pictures."""
    values = record().model_dump(mode="json")
    values["measurements"]["best"]["resamples"] = [61.25, None, 70.0] * 70
    resampled = Record.model_validate(values)
    text = written(resampled, tmp_path)
    [line] = [line for line in text.splitlines() if "resamples" in line]
    assert line.count("null") == 70 and "61.25" in line
    assert read_record(tmp_path / f"{resampled.name}.json").selected.resamples[:2] == [61.25, None]


def test_every_value_is_read_again(tmp_path):
    path = tmp_path / "record.json"
    write_record(long_record(), path)
    assert read_record(path) == long_record()


# ---- Old, damaged, misplaced -------------------------------------------------------------------


# Kept for a page of docs/: no run replaces it.
OF_VERSION_1 = ROOT / "docs/records/gap-bce-test_resnet-digits-80-s0.json"


def test_a_record_of_version_1_has_its_environment_in_it(tmp_path):
    path = OF_VERSION_1
    shutil.copy(path, tmp_path)
    [[record]] = read_records(tmp_path).values()

    old = json.loads(path.read_text(encoding="utf-8"))
    assert old["version"] == 1
    assert record.environment.device == old["environment"]["device"]
    assert record.environment.train_seconds == old["environment"]["train_seconds"]
    assert record.environment.commit == old["provenance"]["commit"]
    assert record.environment.weights_sha256 == old["provenance"]["weights_sha256"]
    assert record.provenance.manifest_sha256 == old["provenance"]["manifest_sha256"]
    assert len(record.history) == len(old["history"])

    # Written again, it is one of today's.
    write_record(record, tmp_path / path.name)
    assert read_record(tmp_path / path.name).environment is None


def test_a_record_without_an_map_is_readable(tmp_path):
    path = tmp_path / f"{RUN_ID}-s0.json"
    write_record(record(mAP=None, se=None), path)
    assert read_record(path) == measured(record(mAP=None, se=None))


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_record_that_could_not_be_read_is_not_written(tmp_path, number):
    """A copy with changed values is not validated by pydantic. The record that was there stays."""
    path = tmp_path / f"{RUN_ID}-s0.json"
    write_record(record(), path)
    last = record().history[-1].model_copy(update={"val_mAP": number})
    with pytest.raises(InputError, match=f"{path.name}: not written.*\n.*val_mAP"):
        write_record(record().model_copy(update={"history": [last]}), path)
    assert read_record(path) == measured(record())


def cut_off(text: str) -> str:
    return text[:100]


def emptied(text: str) -> str:
    return ""


def with_a_key_renamed(text: str) -> str:
    return text.replace('"seed"', '"sead"')


def of_another_version(text: str) -> str:
    return json.dumps(json.loads(text) | {"version": 3})


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


def not_utf8(text: str) -> bytes:
    return b"\xff" + text.encode()


def too_deep(text: str) -> bytes:
    return b"[" * 100_000


def with_nan(text: str) -> bytes:
    return text.replace("70.0", "NaN").encode()


@pytest.mark.parametrize("damage", [not_utf8, too_deep, with_nan])
def test_content_that_no_record_has(tmp_path, damage):
    path = tmp_path / f"{RUN_ID}-s0.json"
    write_record(record(), path)
    path.write_bytes(damage(path.read_text()))
    with pytest.raises(InputError, match=f"{path.name}: not a result record; run its evaluate"):
        read_record(path)


def test_a_folder_in_the_place_of_a_record(tmp_path):
    path = tmp_path / f"{RUN_ID}-s0.json"
    path.mkdir()
    with pytest.raises(InputError, match=f"{path.name}: no regular file"):
        read_records(tmp_path)


# ---- Failures ----------------------------------------------------------------------------------

FAILURE = Failure(stage="dvc.yaml:train@a-0", error="error: a", host="n1", log="a.log")


def test_a_failure_is_there_until_the_record_is(tmp_path):
    path = tmp_path / f"{RUN_ID}-s3.json"
    write_failure(FAILURE, path)
    assert read_failures(tmp_path) == {RUN_ID: {3: FAILURE}}
    write_record(record(seed=3), path)
    assert read_failures(tmp_path) == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        '{"stage": "a"}',
        '{"stage": "a", "error": null, "host": "a", "log": "a"}',
        '{"stage": "a", "error": "a", "host": "a", "log": "a", "more": 1}',
    ],
)
def test_a_failure_that_is_none_is_named(tmp_path, content):
    path = tmp_path / f"{RUN_ID}-s0.failed"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"{path.name}: not what a launch says .*; delete it"):
        read_failures(tmp_path)


@pytest.mark.parametrize("name", ["a", "-s0", "a-s", "a-s-1", "a-sx", "a-s1e3", "a-s²"])
def test_a_failure_of_no_run_and_seed_is_named(tmp_path, name):
    (tmp_path / f"{name}.failed").write_text(FAILURE.model_dump_json())
    with pytest.raises(InputError, match=f"{name}.failed: not named <run>-s<seed>.failed"):
        read_failures(tmp_path)
