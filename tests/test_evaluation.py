"""The record of a trained run: its numbers are those of its own logits, its facts those of its own files."""

import hashlib
import json

import numpy as np
import pytest
from conftest import LINEAR, PICTURES, run_settings, stage, write_yaml
from safetensors.numpy import load_file
from sklearn.metrics import average_precision_score, f1_score

from mlrepro.data.manifest import read_manifest
from mlrepro.judging import record_shortfalls
from mlrepro.records import read_record


@pytest.mark.parametrize("run_id", [LINEAR, PICTURES])
def test_record_agrees_with_its_logits(repository, run_id):
    for name in ("train", "evaluate"):
        stage(repository, name, "params.yaml", run_id, "0", MLREPRO_TRACKING="none")
    out = repository / "outputs" / "demo" / "digits" / f"{run_id}-s0"
    record = read_record(repository / "results" / "digits" / f"{run_id}-s0.json")
    manifest = read_manifest(repository / "data" / "digits")
    labels = manifest.label_matrix()[manifest.rows("test")]
    logits = load_file(out / "logits.safetensors")
    for selection, measured in record.measurements.items():
        scores = logits[f"test_{selection}"]
        assert scores.dtype == np.float32 and scores.shape == labels.shape
        present = labels.any(0)
        per_class = [
            average_precision_score(labels[:, k], scores[:, k]) for k in np.flatnonzero(present)
        ]
        assert measured.metrics["mAP"] == pytest.approx(
            100 * sum(per_class) / len(present), abs=1e-9
        )
        assert measured.metrics["mAP_nonempty"] == pytest.approx(100 * np.mean(per_class), abs=1e-9)
        micro = f1_score(labels, scores >= 0, average="micro", zero_division=0)
        assert measured.metrics["micro_F1"] == pytest.approx(100 * micro, abs=1e-9)
        digest = hashlib.sha256(
            (out / "training" / f"{selection}.safetensors").read_bytes()
        ).hexdigest()
        assert record.provenance.weights_sha256[selection] == digest
    best = max(record.history, key=lambda epoch: epoch.val_mAP)
    assert (
        record.measurements["best"].epoch == best.epoch and record.measurements["last"].epoch == 2
    )
    assert record.provenance.manifest_sha256 == manifest.digest and not record_shortfalls(record)
    assert record.splits["test"].used == 48 and record.cost.gflops == 2 * record.cost.gmacs > 0


def test_weights_of_other_settings_are_refused(repository):
    stage(repository, "train", "params.yaml", LINEAR, "0", MLREPRO_TRACKING="none")
    write_yaml(repository / "runs" / f"{LINEAR}.yaml", run_settings(LINEAR, epochs=4))
    done = stage(
        repository, "evaluate", "params.yaml", LINEAR, "0", check=False, MLREPRO_TRACKING="none"
    )
    assert (
        done.returncode == 1
        and "settings_sha256" in done.stderr
        and "run its train stage again" in done.stderr
    )


def test_cost_of_the_packaged_backbone(repository):
    """timm's table: EfficientNet-Lite0 has 4.65 M parameters with its 1000-class layer."""
    for name in ("train", "evaluate"):
        stage(repository, name, "params.yaml", LINEAR, "0", MLREPRO_TRACKING="none")
    text = (repository / "results" / "digits" / f"{LINEAR}-s0.json").read_text()
    cost = json.loads(text)["cost"]
    assert cost["parameters"] == 4652008 - 1280 * 1000 - 1000 + 1280 * 10 + 10
    assert cost["trainable_parameters"] == 1280 * 10 + 10
