"""Single-positive labels and hold-out against vectors made with the authors' code (tests/golden/spml)."""

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

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "spml"
COCO_LABELS = (
    Path(__file__).resolve().parents[2]
    / ".."
    / "shared"
    / "data"
    / "labels"
    / "coco2014_labels.npz"
)
VECTORS = np.load(GOLDEN / "observed_labels_and_splits.npz")


def test_observed_labels_are_the_authors():
    cases = {
        "obs_train_seed1200": ("train_labels", {}),
        "obs_val_seed1200": ("val_labels", {}),
        "obs_train_seed999": ("train_labels", {"seed": 999}),
        "obs_val_seed999": ("val_labels", {"seed": 999}),
        "obs_train_emptyrows_seed1200": ("train_labels_emptyrows", {}),
        "obs_train_allpos_seed1200": ("train_labels", {"positives": -1}),
        "obs_train_int64_seed1200": ("train_labels", {}),
    }
    assert set(cases) == {name for name in VECTORS if name.startswith("obs_")}
    for name, (labels, settings) in cases.items():
        observed = observe(VECTORS[labels], Corruption(**settings))
        assert observed.dtype == np.int8
        np.testing.assert_array_equal(observed, VECTORS[name], err_msg=name)


def test_known_negatives_are_true_negatives():
    labels = VECTORS["train_labels"]
    observed = observe(labels, Corruption(positives=1, negatives=1))
    assert ((observed == 1) & (labels == 1)).sum(axis=1).tolist() == [1] * len(labels)
    assert ((observed == -1) & (labels == 0)).sum(axis=1).tolist() == [1] * len(labels)
    np.testing.assert_array_equal(
        observe(labels, Corruption(positives=-1, negatives=-1)), np.where(labels == 1, 1, -1)
    )


@pytest.mark.parametrize("name", ["pascal", "coco", "nuswide", "cub"])
def test_hold_out_is_the_authors(name):
    expected = json.loads((GOLDEN / "split_hashes.json").read_text())[name]
    train, val = hold_out(expected["n_official_train"], 0.2, 1200)
    np.testing.assert_array_equal(val, VECTORS[f"split_{name}_val_idx"])
    for split, rows in (("train", train), ("val", val)):
        assert len(rows) == expected[f"n_{split}"]
        assert (
            hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()
            == expected[f"sha256_{split}_int64_le"]
        )


def _manifest(parts, splits, labels, ignored=None):
    ignored = ignored or [[] for _ in labels]
    frame = pandas.DataFrame({"part": parts, "split": splits, "labels": labels, "ignored": ignored})
    return Manifest(frame, ["a", "b", "c"], Path(), {}, "")


def test_corruption_comes_before_the_hold_out_with_a_generator_a_part(tmp_path, capsys):
    part, labels = (
        ["x"] * 6 + ["y"] * 6 + ["z"] * 2,
        [[0, 1, 2], [0, 1], [1, 2], [2], [], [0, 2]] * 2 + [[0], [1]],
    )
    splits = ["train", "val"] * 3 + ["val", "train"] * 3 + ["test", "val"]
    manifest = _manifest(part, splits, labels, [[]] * 3 + [[0]] + [[]] * 10)
    write_observed(manifest, Corruption(), tmp_path)
    rows, observed = load_observed(tmp_path)
    assert rows.tolist() == list(
        range(12)
    )  # z has no training picture: its own validation set stays complete
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
    (_, observed), (_, iu) = load_observed(tmp_path), load_observed(tmp_path, "iu")
    np.testing.assert_array_equal(observed, observe(matrix, Corruption()))
    np.testing.assert_array_equal(np.maximum(iu, 0), observed)
    np.testing.assert_array_equal((iu == -1).sum(1), [min(1, 3 - len(row)) for row in labels])
    assert (matrix[iu == -1] == 0).all()
    write_observed(manifest, Corruption(negatives=2), tmp_path)
    np.testing.assert_array_equal(load_observed(tmp_path)[1], load_observed(tmp_path, "iu")[1])
    np.testing.assert_array_equal(
        load_observed(tmp_path)[1], observe(matrix, Corruption(negatives=2))
    )
    np.savez(
        tmp_path / "observed.npz", rows=np.arange(20), observed=observed
    )  # as earlier versions wrote it
    with pytest.raises(InputError, match="without known negatives; run the corrupt stage"):
        load_observed(tmp_path, "iu")


def test_observed_file_holds_no_time_of_writing(tmp_path):
    manifest = _manifest(["x"] * 3, ["train"] * 3, [[0, 1], [1], [2, 0]])
    write_observed(manifest, Corruption(), tmp_path / "a")
    write_observed(manifest, Corruption(), tmp_path / "b")
    first, second = (tmp_path / name / "observed.npz" for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert {member.date_time for member in zipfile.ZipFile(first).infolist()} == {
        (1980, 1, 1, 0, 0, 0)
    }
    with pytest.raises(InputError, match="dvc repro.*corrupt"):
        load_observed(tmp_path)


def test_all_of_coco_has_one_true_label_a_row():
    if not COCO_LABELS.exists():
        pytest.skip("the complete COCO label matrices are not beside the repository")
    with np.load(COCO_LABELS) as arrays:
        labels, ids = arrays["train"], arrays["train_ids"]
    assert labels.shape == (82081, 80)
    order = np.argsort(ids.astype(str))
    assert ids[order].astype(str).tolist() == sorted(map(str, ids.tolist()))
    assert (ids[order[0]], ids[order[-1]]) == (100012, 99999)
    labels = labels[order]
    observed = observe(labels, Corruption())
    assert (observed.sum(axis=1) == 1).all() and observed.min() == 0
    assert (labels[observed == 1] == 1).all()
    np.testing.assert_array_equal(observe(labels, Corruption()), observed)
    columns = observed.argmax(1).astype("<i8")
    assert (
        hashlib.sha256(columns.tobytes()).hexdigest()
        == "c478fc5b20c57edf28991d147376c95cd61bbeaf3cc6b8eb5898f3280d55ec25"
    )
