"""Single-positive labels and hold-out against vectors made with the authors' code (golden/spml)."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas
import pytest

from mlrepro.data.corruption import hold_out, observe, write_observed
from mlrepro.data.manifest import Manifest, load_observed
from mlrepro.errors import InputError
from mlrepro.settings.data import Corruption

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = TESTS / "golden" / "spml"
COCO_LABELS = TESTS.parent / ".." / "shared" / "data" / "labels" / "coco2014_labels.npz"
VECTORS = np.load(GOLDEN / "observed_labels_and_splits.npz")

# Name of a vector -> labels that it was drawn from, and the settings other than the defaults.
OBSERVED = {
    "obs_train_seed1200": ("train_labels", {}),
    "obs_val_seed1200": ("val_labels", {}),
    "obs_train_seed999": ("train_labels", {"seed": 999}),
    "obs_val_seed999": ("val_labels", {"seed": 999}),
    "obs_train_emptyrows_seed1200": ("train_labels_emptyrows", {}),
    "obs_train_allpos_seed1200": ("train_labels", {"positives": -1}),
    "obs_train_int64_seed1200": ("train_labels", {}),
}


def test_observed_labels_are_the_authors():
    assert set(OBSERVED) == {name for name in VECTORS if name.startswith("obs_")}
    for name, (labels, settings) in OBSERVED.items():
        observed = observe(VECTORS[labels], Corruption(**settings))
        assert observed.dtype == np.int8
        np.testing.assert_array_equal(observed, VECTORS[name], err_msg=name)


def test_known_negatives_are_true_negatives():
    labels = VECTORS["train_labels"]
    observed = observe(labels, Corruption(positives=1, negatives=1))
    true_positives = (observed == 1) & (labels == 1)
    true_negatives = (observed == -1) & (labels == 0)
    assert true_positives.sum(axis=1).tolist() == [1] * len(labels)
    assert true_negatives.sum(axis=1).tolist() == [1] * len(labels)

    everything = observe(labels, Corruption(positives=-1, negatives=-1))
    np.testing.assert_array_equal(everything, np.where(labels == 1, 1, -1))


@pytest.mark.parametrize("name", ["pascal", "coco", "nuswide", "cub"])
def test_hold_out_is_the_authors(name):
    expected = json.loads((GOLDEN / "split_hashes.json").read_text())[name]
    train, val = hold_out(expected["n_official_train"], 0.2, 1200)
    np.testing.assert_array_equal(val, VECTORS[f"split_{name}_val_idx"])
    for split, rows in (("train", train), ("val", val)):
        digest = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()
        assert len(rows) == expected[f"n_{split}"]
        assert digest == expected[f"sha256_{split}_int64_le"]


def _manifest(parts, splits, labels, ignored=None):
    ignored = ignored or [[] for _ in labels]
    frame = pandas.DataFrame({"part": parts, "split": splits, "labels": labels, "ignored": ignored})
    return Manifest.of_frame(frame, ["a", "b", "c"], Path(), {}, "")


def test_corruption_comes_before_the_hold_out_with_a_generator_a_part(tmp_path, capsys):
    parts = ["x"] * 6 + ["y"] * 6 + ["z"] * 2
    splits = ["train", "val"] * 3 + ["val", "train"] * 3 + ["test", "val"]
    labels = [[0, 1, 2], [0, 1], [1, 2], [2], [], [0, 2]] * 2 + [[0], [1]]
    ignored = [[] for _ in labels]
    ignored[3] = [0]
    manifest = _manifest(parts, splits, labels, ignored)

    write_observed(manifest, Corruption(), tmp_path)
    rows, observed = load_observed(tmp_path)
    # z has no training picture: its own validation set stays complete.
    assert rows.tolist() == list(range(12))
    matrix = manifest.label_matrix()
    np.testing.assert_array_equal(observed[:6], observe(matrix[:6], Corruption()))
    np.testing.assert_array_equal(observed[6:], observe(matrix[6:12], Corruption()))
    assert observed[3].tolist() == [0, 0, 1]
    assert "1 ignored labels count as negative" in capsys.readouterr().out


def test_iu_reads_the_same_positives_and_a_known_negative(tmp_path):
    labels = [[0], [1], [0, 1], [0, 1, 2], []] * 4
    manifest = _manifest(["x"] * 20, ["train"] * 20, labels)
    matrix = manifest.label_matrix()

    write_observed(manifest, Corruption(), tmp_path)
    _, observed = load_observed(tmp_path)
    _, iu = load_observed(tmp_path, "iu")
    np.testing.assert_array_equal(observed, observe(matrix, Corruption()))
    np.testing.assert_array_equal(np.maximum(iu, 0), observed)
    np.testing.assert_array_equal((iu == -1).sum(1), [min(1, 3 - len(row)) for row in labels])
    assert (matrix[iu == -1] == 0).all()

    two_negatives = Corruption(negatives=2)
    write_observed(manifest, two_negatives, tmp_path)
    _, observed_with_negatives = load_observed(tmp_path)
    _, iu = load_observed(tmp_path, "iu")
    np.testing.assert_array_equal(observed_with_negatives, iu)
    np.testing.assert_array_equal(observed_with_negatives, observe(matrix, two_negatives))

    # As earlier versions wrote it.
    np.savez(tmp_path / "observed.npz", rows=np.arange(20), observed=observed)
    with pytest.raises(InputError, match="without known negatives; run the corrupt stage"):
        load_observed(tmp_path, "iu")


def test_observed_file_holds_no_time_of_writing(tmp_path):
    manifest = _manifest(["x"] * 3, ["train"] * 3, [[0, 1], [1], [2, 0]])
    first = tmp_path / "a" / "observed.npz"
    second = tmp_path / "b" / "observed.npz"
    write_observed(manifest, Corruption(), first.parent)
    write_observed(manifest, Corruption(), second.parent)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        times = {member.date_time for member in archive.infolist()}
    assert times == {(1980, 1, 1, 0, 0, 0)}

    with pytest.raises(InputError, match="dvc repro.*corrupt"):
        load_observed(tmp_path)


def test_all_of_coco_has_one_true_label_a_row():
    if not COCO_LABELS.exists():
        pytest.skip("the complete COCO label matrices are not beside the repository")
    with np.load(COCO_LABELS) as arrays:
        labels = arrays["train"]
        ids = arrays["train_ids"]
    assert labels.shape == (82081, 80)

    # As Cole et al. have them: sorted as text.
    order = np.argsort(ids.astype(str))
    assert ids[order].astype(str).tolist() == sorted(str(key) for key in ids.tolist())
    assert (ids[order[0]], ids[order[-1]]) == (100012, 99999)
    labels = labels[order]

    observed = observe(labels, Corruption())
    assert (observed.sum(axis=1) == 1).all()
    assert observed.min() == 0
    assert (labels[observed == 1] == 1).all()
    np.testing.assert_array_equal(observe(labels, Corruption()), observed)

    columns = observed.argmax(axis=1).astype("<i8")
    digest = hashlib.sha256(columns.tobytes()).hexdigest()
    assert digest == "c478fc5b20c57edf28991d147376c95cd61bbeaf3cc6b8eb5898f3280d55ec25"
