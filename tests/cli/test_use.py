"""A trained run as a model folder: its weights in our form and timm's, ONNX, the command `mlrepro predict`, MLflow's server."""

import base64
import csv
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
import yaml
from conftest import LINEAR, PICTURES, ROOT, run_settings, write_yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from test_init_data import bomb

from mlrepro.data.images import decode
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.evaluation import evaluate_run, write_logits
from mlrepro.layout import read_layout
from mlrepro.metrics.thresholds import tune_thresholds
from mlrepro.models.complexity import measure_cost
from mlrepro.settings.losses import PseudoLabels
from mlrepro.settings.run import load_run
from mlrepro.tracking import Tracker
from mlrepro.training.run import train_run
from mlrepro_cli import export, predict, throughput
from mlrepro_cli import main as cli

CSRA = "csra-bce-test_resnet-digits-32"
RUNS = [LINEAR, PICTURES, CSRA]
DEMO = "gap-bce-test_resnet-digits-80"


@pytest.fixture(scope="session")
def trained(prepared, tmp_path_factory):
    """A repository with three runs trained, evaluated and exported to models/."""
    folder = tmp_path_factory.mktemp("use") / "repository"
    shutil.copytree(prepared, folder)
    settings = yaml.safe_load((folder / "params.yaml").read_text()) | {"runs": RUNS}
    write_yaml(folder / "params.yaml", settings)
    write_yaml(
        folder / "runs" / f"{CSRA}.yaml",
        run_settings(CSRA, head_options={"heads": 2}, normalise="half", resize="cv2"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLREPRO_TRACKING", "none")
        layout = read_layout("params.yaml")
        for run_id in RUNS:
            run, out, trained = (
                layout.run(run_id),
                layout.output(run_id, 0),
                layout.trained(run_id, 0),
            )
            train_run(run, 0, layout.data, trained, run_id, Tracker("use", run, 0, {}))
            write_logits(
                evaluate_run(run, 0, layout.data, trained, layout.study, layout.name)[1],
                out / "logits.safetensors",
            )
            assert export.export("params.yaml", run_id, None, None) == 0
    return folder


def model(trained: Path, run_id: str) -> Path:
    return trained / "models" / f"{run_id}-s0"


def test_pictures(trained: Path, run_id: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Paths of the test pictures, their evaluated logits, and the thresholds tuned on validation."""
    manifest = read_manifest(trained / "data" / "digits")
    logits = load_file(
        trained / "outputs" / "demo" / "digits" / f"{run_id}-s0" / "logits.safetensors"
    )
    tuned = tune_thresholds(
        logits["val_best"].numpy(), manifest.label_matrix()[manifest.rows("val")]
    )
    paths = [str(manifest.root / manifest.frame["image"][row]) for row in manifest.rows("test")]
    return paths, logits["test_best"].numpy(), tuned


test_pictures.__test__ = False


def mlrepro(*arguments: object, **options) -> subprocess.CompletedProcess:
    """Runs the command in a process of its own."""
    command = [
        sys.executable,
        "-c",
        "import sys; from mlrepro_cli.main import main; sys.exit(main())",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, **options)


def run_here(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["mlrepro", *map(str, arguments)])
    return cli.main()


@pytest.mark.parametrize("run_id", RUNS)
def test_predictions_are_what_was_evaluated(trained, run_id):
    config, network = predict.load_model(model(trained, run_id))
    paths, logits, tuned = test_pictures(trained, run_id)
    entries = list(predict.predict(config, network, paths, batch=7))
    assert [entry["image"] for entry in entries] == paths
    pictures = [decode(path, 32, config["resize"]) for path in paths]
    np.testing.assert_allclose(predict.logits(config, network, pictures), logits, atol=1e-4)
    scores = np.array([list(entry["scores"].values()) for entry in entries])
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits.astype(np.float64))), atol=1e-4)
    clear = np.abs(logits - tuned) > 1e-4  # rounding does not decide
    found = np.array([[name in entry["labels"] for name in config["classes"]] for entry in entries])
    np.testing.assert_array_equal(found[clear], (logits >= tuned)[clear])
    assert found.any() and not found.all()


def test_a_class_that_validation_never_shows_is_never_predicted(trained):
    config, network = predict.load_model(model(trained, PICTURES))
    paths, _, _ = test_pictures(trained, PICTURES)
    never = config | {"thresholds": [None] * len(config["classes"])}
    assert next(predict.predict(never, network, paths[:1]))["labels"] == []


@pytest.mark.parametrize("run_id", [LINEAR, PICTURES])
def test_timm_loads_the_folder(trained, run_id):
    config, _ = predict.load_model(model(trained, run_id))
    network = timm.create_model(f"local-dir:{model(trained, run_id)}", pretrained=True).eval()
    transform = timm.data.create_transform(
        **timm.data.resolve_model_data_config(network), is_training=False
    )
    paths, logits, _ = test_pictures(trained, run_id)
    with torch.inference_mode():
        found = network(torch.stack([transform(Image.open(path).convert("RGB")) for path in paths]))
    np.testing.assert_allclose(found, logits, atol=1e-4)
    assert network.pretrained_cfg["label_names"] == config["classes"]


def test_timm_has_no_such_head(trained):
    config = json.loads((model(trained, CSRA) / "config.json").read_text())
    assert "no head like csra" in config["timm"] and "architecture" not in config


@pytest.mark.parametrize("run_id", [PICTURES, CSRA])
def test_onnx_needs_only_its_metadata(trained, run_id):
    import onnxruntime

    session = onnxruntime.InferenceSession(model(trained, run_id) / "model.onnx")
    about = {
        key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()
    }
    paths, logits, tuned = test_pictures(trained, run_id)
    pictures = np.stack([decode(path, about["resolution"], about["resize"]) for path in paths])
    batch = (
        ((pictures / 255 - about["mean"]) / about["std"]).transpose(0, 3, 1, 2).astype(np.float32)
    )
    for part in (slice(0, 1), slice(0, 5), slice(None)):
        np.testing.assert_allclose(
            session.run(["logits"], {"pictures": batch[part]})[0], logits[part], atol=1e-4
        )
    assert about["thresholds"] == [value if np.isfinite(value) else None for value in tuned]
    assert about["classes"] == read_manifest(trained / "data" / "digits").classes


def test_a_failed_check_leaves_nothing(trained, monkeypatch, tmp_path):
    import onnxruntime

    monkeypatch.chdir(trained)
    session = SimpleNamespace(
        run=lambda _, inputs: [np.zeros((len(inputs["pictures"]), 10), np.float32)]
    )
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda _: session)
    with pytest.raises(InputError, match="model.onnx is not the network: logits"):
        export.export("params.yaml", PICTURES, 0, str(tmp_path / "models" / "new"))
    assert list((tmp_path / "models").iterdir()) == []


def test_export_refuses_what_is_not_there_or_not_the_present_run(trained, monkeypatch, tmp_path):
    monkeypatch.chdir(trained)
    for settings, run_id, seed, message in (
        ("other.yaml", PICTURES, 0, "other.yaml: no such file"),
        ("params.yaml", "gap", 0, "gap.yaml: no such file"),
        ("params.yaml", PICTURES, 5, "not trained and evaluated"),
    ):
        with pytest.raises(InputError, match=message):
            export.export(settings, run_id, seed, str(tmp_path / "new"))
    with pytest.raises(InputError, match="is there already"):
        export.export("params.yaml", PICTURES, 0, None)
    logits = trained / "outputs" / "demo" / "digits" / f"{PICTURES}-s0" / "logits.safetensors"
    good = logits.read_bytes()
    try:
        save_file({key: value + 0.01 for key, value in load_file(logits).items()}, logits)
        with pytest.raises(InputError, match="logits of validation pictures differ by 0.0"):
            export.export("params.yaml", PICTURES, 0, str(tmp_path / "new"))
    finally:
        logits.write_bytes(good)
    captioned = PICTURES.replace("-32", "-32-bert")
    write_yaml(
        trained / "runs" / f"{captioned}.yaml",
        run_settings(
            PICTURES,
            variant="bert",
            captions={"name": "bert", "model": "package://nothing/model", "pooling": "mean"},
        ),
    )
    with pytest.raises(InputError, match="reads captions, too; only runs"):
        export.export("params.yaml", captioned, 0, str(tmp_path / "new"))
    settings = trained / "params.yaml"
    present = settings.read_text()
    try:
        write_yaml(
            settings,
            yaml.safe_load(present)
            | {"features": {"backbone": "efficientnet_lite0", "weights": "none", "resolution": 32}},
        )
        with pytest.raises(
            InputError, match="not from the pictures and `features` of now.*differ by"
        ):
            export.export("params.yaml", LINEAR, 0, str(tmp_path / "new"))
    finally:
        settings.write_text(present)
    assert not (tmp_path / "new").exists()


def odd_pictures(folder: Path) -> dict[str, bool]:
    """Writes pictures of all kinds; returns whether each can be read."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[0x112] = 6
    (folder / "нижняя").mkdir()
    for name, picture, options in (
        ("rgb.jpg", rgb, {}),
        ("cmyk.jpg", rgb.convert("CMYK"), {}),
        ("grey.png", rgb.convert("L"), {}),
        ("palette.png", rgb.convert("P"), {}),
        ("alpha.png", rgb.convert("RGBA"), {}),
        ("rotated.jpg", rgb, {"exif": exif}),
        (
            "animated.gif",
            rgb.convert("P"),
            {"save_all": True, "append_images": [Image.new("P", (30, 40))]},
        ),
        ("deep.png", Image.fromarray(rng.integers(0, 65536, (40, 30), np.uint16)), {}),
        ("12000.png", Image.new("1", (12_000, 8_000), 1), {}),
        ("нижняя/写真 é.JPG", rgb, {}),
    ):
        picture.save(folder / name, **options)
    Image.fromarray(rng.random((9, 9), np.float32)).save(folder / "float.tif")
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "half.jpg").write_bytes((folder / "rgb.jpg").read_bytes()[:500])
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "notes.txt").write_text("left alone: not looked for in a folder")
    bad = {"float.tif", "text.png", "empty.jpg", "half.jpg", "bomb.png"}
    return {
        str(path): path.name not in bad
        for path in folder.rglob("*")
        if path.suffix.lower() in predict.SUFFIXES
    }


def test_the_command_labels_all_that_can_be_read(trained, tmp_path):
    expected = odd_pictures(tmp_path / "odd")
    extra = tmp_path / os.fsdecode(b"\xff.png")  # no name in UTF-8
    Image.new("RGB", (5, 5)).save(extra)
    output = tmp_path / "out.jsonl"
    output.write_text("of an earlier run")
    done = mlrepro(
        "predict",
        model(trained, CSRA),
        tmp_path / "odd",
        tmp_path / "odd" / "**" / "*.JPG",
        extra,
        "--output",
        output,
        "--batch",
        "4",
    )
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    entries = {entry["image"]: entry for entry in lines}
    assert (
        len(lines) == len(entries) == len(expected) + 1
        and not (tmp_path / "out.jsonl.partial").exists()
    )
    assert {name: "scores" in entry for name, entry in entries.items()} == expected | {
        str(extra): True
    }
    assert "5 of 16 pictures could not be read" in done.stderr
    assert "decompression bomb" in entries[str(tmp_path / "odd" / "bomb.png")]["error"]
    for name in (name for name, good in expected.items() if not good):
        assert name in done.stderr
    assert "Traceback" not in done.stderr and "warning" not in done.stderr


def test_csv_to_the_terminal(trained, monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (5, 5)).save("a, b.png")
    Path("text.png").write_text("not a picture")
    assert (
        run_here(
            monkeypatch, "predict", model(trained, CSRA), "*.png", "a, b.png", "--format", "csv"
        )
        == 1
    )
    header, good, bad = csv.reader(io.StringIO(capfd.readouterr().out))
    assert header[:4] == ["image", "error", "labels", "zero"] and len(header) == len(good) == 13
    assert (
        good[0] == "a, b.png"
        and set(good[2].split("|")) <= {"", *header}
        and 0 < float(good[3]) < 1
    )
    assert bad[0] == "text.png" and "cannot identify" in bad[1] and not bad[2]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["predict", "MODEL", "nothing-*.png"], "error: nothing-*.png: no such file"),
        (["predict", "MODEL", "empty"], "error: empty: no such file, or no pictures there"),
        (["predict", "empty", "a.png"], "error: empty: not a model folder"),
        (["predict", "MODEL", "a.png", "--output", "no/where.jsonl"], "error: [Errno 2]"),
        (["predict", "MODEL", "a.png", "--batch", "0"], "error: --batch 0: give 1 or more"),
        (["export", "missing.yaml", "RUN"], "error: missing.yaml: no such file"),
    ],
)
def test_what_the_user_did_wrong_is_told(
    trained, monkeypatch, tmp_path, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (5, 5)).save("a.png")
    assert (
        run_here(
            monkeypatch, *[model(trained, CSRA) if word == "MODEL" else word for word in arguments]
        )
        == 2
    )
    assert message in capsys.readouterr().err


def test_a_full_disk_is_told(trained, monkeypatch, tmp_path, capsys):
    Image.new("RGB", (5, 5)).save(tmp_path / "a.png")
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert run_here(monkeypatch, "predict", model(trained, CSRA), tmp_path / "a.png") == 2
    assert "No space left on device" in capsys.readouterr().err


def test_help_and_unknown_verbs(monkeypatch, capsys):
    for arguments, status, said in (
        ([], 2, "VERB"),
        (["predit"], 2, "invalid choice"),
        (["--help"], 0, "mlflow models serve"),
        (["export", "--help"], 0, "Example: mlrepro export"),
        (["predict", "--help"], 0, "EXIF rotation is ignored"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run_here(monkeypatch, *arguments)
        captured = capsys.readouterr()
        assert stopped.value.code == status and said in " ".join(
            (captured.out + captured.err).split()
        )


def test_interrupted(trained, monkeypatch, tmp_path, capsys):
    paths, _, _ = test_pictures(trained, CSRA)
    calls, logits = [], predict.logits

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return logits(*arguments)

    monkeypatch.setattr(predict, "logits", interrupted)
    (tmp_path / "out.jsonl").write_text("of an earlier run")
    status = run_here(
        monkeypatch,
        "predict",
        model(trained, CSRA),
        *paths,
        "--batch",
        "4",
        "--output",
        tmp_path / "out.jsonl",
    )
    assert status == 130 and "run the same command again" in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_text() == "of an earlier run"
    partial = (tmp_path / "out.jsonl.partial").read_text().splitlines()
    assert [json.loads(line)["image"] for line in partial] == paths[:8]


def test_other_versions_and_changed_files(trained, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(model(trained, CSRA), folder)
    good = json.loads((folder / "config.json").read_text())

    def with_versions(**versions):
        (folder / "config.json").write_text(
            json.dumps(good | {"versions": good["versions"] | versions})
        )

    with_versions(torch="2.0.0", timm="1.0.0")
    predict.load_model(folder)
    said = capsys.readouterr().err
    assert "warning" in said and "torch 2.0.0, this is" in said and "timm 1.0.0, this is" in said
    with_versions(mlrepro="7.1.0")
    with pytest.raises(InputError, match="made by mlrepro 7.1.0.*use the mlrepro that made it"):
        predict.load_model(folder)
    with_versions()
    (folder / "model.onnx").unlink()  # not needed
    predict.load_model(folder)
    assert not capsys.readouterr().err
    state = load_file(folder / "model.safetensors")
    save_file({key: value * 1.01 for key, value in state.items()}, folder / "model.safetensors")
    with pytest.raises(InputError, match="model.safetensors: not what was exported.*copy it again"):
        predict.load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="No such file"):
        predict.load_model(folder)
    (folder / "config.json").write_text('{"architecture": "resnet18"}')  # as others write it
    with pytest.raises(InputError, match="not a model folder"):
        predict.load_model(folder)


def test_16_bit_pictures_are_not_clipped(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (8, 8), np.uint16)
    Image.fromarray((deep >> 8).astype(np.uint8)).save(tmp_path / "shallow.png")
    expected = decode(tmp_path / "shallow.png", 8)
    for name in ("deep.png", "deep.tif", "deep.pgm"):
        Image.fromarray(deep).save(tmp_path / name)
        np.testing.assert_array_equal(decode(tmp_path / name, 8), expected)
    Image.fromarray(deep.astype(np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(InputError, match="floating-point"):
        decode(tmp_path / "float.tif", 8)


def test_mlflow_serves_it(trained, tmp_path):
    """A real server: `mlflow models serve` of the exported folder, asked over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths, _, _ = test_pictures(trained, PICTURES)
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        str(model(trained, PICTURES) / "mlflow"),
        "--env-manager",
        "local",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as server:
        try:
            said = ""
            while not (
                "startup complete" in said and "Uvicorn running" in said
            ):  # in this order or the other
                assert (line := server.stdout.readline()), said
                said += line
            images = [base64.b64encode(Path(path).read_bytes()).decode() for path in paths[:2]]
            rows = [*images, base64.b64encode(b"not a picture").decode(), "%"]
            answers = ask(
                port, {"dataframe_split": {"columns": ["image"], "data": [[row] for row in rows]}}
            )
            assert (
                ask(port, {"dataframe_records": [{"image": row} for row in rows[:2]]})
                == answers[:2]
            )
        finally:
            os.killpg(server.pid, 15)
    config, network = predict.load_model(model(trained, PICTURES))
    for answer, expected in zip(answers, predict.predict(config, network, paths[:2]), strict=False):
        assert answer["labels"] == expected["labels"] and answer["scores"] == pytest.approx(
            expected["scores"], abs=1e-4
        )
    assert [sorted(answer) for answer in answers] == [["image", "labels", "scores"]] * 2 + [
        ["error", "image"]
    ] * 2


def ask(port: int, body: dict) -> list[dict]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["predictions"]


def test_estimate_follows_its_formula():
    run = load_run(ROOT / "runs" / f"{DEMO}.yaml")  # 15 epochs, batches of 32
    known = {"gmacs": 0.5, "train": 10.0, "score": 20.0, "epoch": 3.0, "start": 7.0}
    pictures = {"train": 100, "val": 40, "test": 60}

    def estimate(pictures=pictures, **changes) -> float:
        return throughput.predict(run.model_copy(update=changes), pictures, **known)

    scored = 0.5 * 40 / 20
    epoch = 3 + 0.5 * 96 / 10 + scored  # the last four pictures are left out
    assert estimate() == pytest.approx(7 + 15 * epoch) and estimate(epochs=30) == pytest.approx(
        7 + 30 * epoch
    )
    assert estimate(ema=0.9) == pytest.approx(7 + 15 * (epoch + scored))
    assert estimate(ema=0.9, ema_start=10) == pytest.approx(7 + 15 * epoch + 5 * scored)
    assert estimate(select_on_test=True) == pytest.approx(7 + 15 * (epoch + scored * 60 / 40))
    assert estimate(protocol="released") == pytest.approx(
        7 + 15 * (epoch - scored * 8 / 40)
    )  # whole batches
    assert estimate(pictures | {"train": 20}) == pytest.approx(
        7 + 15 * (3 + 0.5 * 20 / 10 + scored)
    )  # less than one
    loss = PseudoLabels(name="em_apl", alpha=1, beta=1, warm_up=5)
    assert estimate(loss=loss) == pytest.approx(7 + 15 * epoch + 10 * scored * 100 / 40)


@pytest.mark.parametrize(
    ("run_id", "gmacs"), [(LINEAR, 1280 * 10 / 1e9), (PICTURES, None)]
)  # the head's alone, and the whole network's
def test_speed_is_that_of_the_later_epochs(trained, monkeypatch, run_id, gmacs):
    clock = [0.0]

    def fit(
        run,
        seed,
        model,
        loss,
        inputs,
        targets,
        labels,
        rows,
        checkpoint,
        device,
        on_start,
        on_epoch,
    ):
        for epoch in range(run.epochs):
            slow = 10 if epoch == 0 else 1
            for _ in inputs.shuffled(rows["train"], run.batch_size, seed, epoch):
                clock[0] += 0.16 * slow
            for _, batch in inputs.sequential(rows["val"]):
                clock[0] += 0.01 * len(batch) * slow
            clock[0] += 5
            on_epoch({})

    monkeypatch.chdir(trained)
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(
        throughput, "stage_start", lambda: clock.__setitem__(0, clock[0] + 4) or 4.0
    )
    monkeypatch.setattr(throughput, "fit", fit)
    layout = read_layout("params.yaml")
    run = layout.run(run_id)
    speed = throughput.measure(run, layout.data)
    expected = gmacs or measure_cost(run, 10).gmacs
    assert speed.pop("pictures") == {"train": 96, "val": 48, "test": 48}
    assert speed == pytest.approx(
        {
            "gmacs": expected,
            "train": expected * 16 / 0.16,
            "score": expected / 0.01,
            "epoch": 5,
            "start": 4,
        }
    )


def test_steps_end_after_a_while(monkeypatch):
    clock, passes = iter([0.0, 0.5, 1.0, 2.0]), []
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    batches = [("batch", [1, 2])] * 9
    assert list(throughput.timed(batches, passes, 1.0)) == batches[:3]
    np.testing.assert_array_equal(passes, [[[0.5, 2], [0.5, 2], [1.0, 2]]])


def test_plan_measures_the_trainings_that_are_left(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    shutil.copy(ROOT / "data" / "params.yaml", trained / "data")
    monkeypatch.setattr(throughput, "SECONDS", 0.01)
    monkeypatch.setattr(throughput, "stage_start", lambda: 60.0)
    assert run_here(monkeypatch, "plan", "params.yaml") == 0
    assert (
        "0 done; next: dvc repro dvc.yaml; time on this machine: mlrepro plan params.yaml --measure"
        in capsys.readouterr().out
    )
    before = sorted(path for path in trained.rglob("*") if path.is_file())
    assert run_here(monkeypatch, "plan", "params.yaml", "--measure") == 0
    out = capsys.readouterr().out
    assert all(
        re.search(rf"^{run_id}: \d+ s a seed, \S+ GMACs a picture, \S+ a s$", out, re.MULTILINE)
        for run_id in RUNS
    )
    assert re.search(
        r"0 done; next: dvc repro dvc.yaml; about \d+\.\d minutes of train stages on this machine",
        out,
    )
    assert (
        sorted(path for path in trained.rglob("*") if path.is_file()) == before
    )  # nothing is kept
    (trained / "data" / "digits" / "manifest.parquet").rename(trained / "manifest")
    try:
        assert run_here(monkeypatch, "plan", "params.yaml", "--measure") == 2
        assert (
            "manifest.parquet: no such file; run `dvc repro` on the prepare stage"
            in capsys.readouterr().err
        )
    finally:
        (trained / "manifest").rename(trained / "data" / "digits" / "manifest.parquet")
