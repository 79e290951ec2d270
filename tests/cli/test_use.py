"""A trained run as a model folder: our form and timm's, ONNX, `mlrepro predict`, MLflow."""

import base64
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from conftest import (
    LINEAR,
    PATIENCE,
    PICTURES,
    ROOT,
    free_port,
    run_settings,
    skip_without,
    write_yaml,
)
from picture_files import write_no_pictures, write_odd_pictures
from PIL import Image
from safetensors.torch import load_file, save_file
from use_runs import CSRA, RUNS, run_here, write_runs

from mlrepro import extras
from mlrepro.data.images import decode
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.evaluation.record import EvaluationPlan, evaluate_run
from mlrepro.evaluation.score import write_logits
from mlrepro.layout import Layout, read_layout
from mlrepro.metrics.thresholds import tune_shrunk_thresholds
from mlrepro.records import write_record
from mlrepro.settings.seed import AVERAGE
from mlrepro.studies.runs import read_run
from mlrepro.terminal import NOBODY_READS
from mlrepro.tracking import Tracker
from mlrepro.training.train import train_run
from mlrepro_cli.export.edges import between_scores
from mlrepro_cli.export.export import export
from mlrepro_cli.predict import answer
from mlrepro_cli.predict.answer import predict
from mlrepro_cli.predict.model import load_model, logits

TOLERANCE = 1e-4
CLASSES = 10


@pytest.fixture(scope="session")
def trained(prepared, tmp_path_factory) -> Path:
    """A repository with three runs trained, evaluated and exported to models/."""
    skip_without("export")
    folder = tmp_path_factory.mktemp("use") / "repository"
    shutil.copytree(prepared, folder)
    write_runs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLREPRO_TRACKING", "none")
        layout = read_layout("params.yaml")
        for run_id in RUNS:
            train_and_evaluate(layout, run_id)
            export("params.yaml", run_id, None, None)
    return folder


def train_and_evaluate(layout: Layout, run_id: str, seed: int = 0) -> None:
    """What the stages of a run do."""
    run = read_run(layout, run_id)
    folder = layout.trained(run_id, seed)
    train_run(run, seed, layout.data, folder, run_id, Tracker("use", run, seed, {}))
    record, scores = evaluate_run(run, seed, layout.data, folder, EvaluationPlan.of(layout))
    write_record(record, layout.record(run_id, seed))
    write_logits(scores, layout.output(run_id, seed) / "logits.safetensors")


def model_folder(trained: Path, run_id: str) -> Path:
    return trained / "models" / f"{run_id}-s0"


def logits_file(trained: Path, run_id: str) -> Path:
    return trained / "outputs" / "demo" / "digits" / f"{run_id}-s0" / "logits.safetensors"


def evaluated(trained: Path, run_id: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Paths of the test pictures, their evaluated logits, and thresholds tuned on validation."""
    manifest = read_manifest(trained / "data" / "digits")
    scores = load_file(logits_file(trained, run_id))
    labels = manifest.label_matrix()[manifest.rows("val")]
    validation = scores["val_best"].numpy()
    thresholds = between_scores(tune_shrunk_thresholds(validation, labels), validation)
    images = manifest.frame["image"]
    paths = [str(manifest.root / images[row]) for row in manifest.rows("test")]
    return paths, scores["test_best"].numpy(), thresholds


def config_temperature(trained: Path, run_id: str) -> float:
    config = json.loads((model_folder(trained, run_id) / "config.json").read_text())
    return config["calibration"]["temperature"]


# ------------------------------------------------------------------------------------- our own form


@pytest.mark.parametrize("run_id", RUNS)
def test_predictions_are_what_was_evaluated(trained, run_id):
    config, network = load_model(model_folder(trained, run_id))
    paths, expected, thresholds = evaluated(trained, run_id)
    pictures = [decode(path, 32, config["resize"]) for path in paths]
    np.testing.assert_allclose(logits(config, network, pictures), expected, atol=TOLERANCE)

    answers = list(predict(config, network, paths, batch=7))
    assert [entry["image"] for entry in answers] == paths
    scores = np.array([list(entry["scores"].values()) for entry in answers])
    # Calibrated: the scale holds the temperature that was fitted on validation.
    assert config["logit_scale"] == pytest.approx(1 / config_temperature(trained, run_id))
    probabilities = 1 / (1 + np.exp(-config["logit_scale"] * expected.astype(np.float64)))
    np.testing.assert_allclose(scores, probabilities, atol=TOLERANCE)

    predicted = np.array(
        [[name in entry["labels"] for name in config["classes"]] for entry in answers]
    )
    clear = np.abs(expected - thresholds) > TOLERANCE  # rounding does not decide
    np.testing.assert_array_equal(predicted[clear], (expected >= thresholds)[clear])
    assert predicted.any()
    assert not predicted.all()


def test_the_average_of_a_run_s_seeds_is_one_model(trained, monkeypatch, tmp_path):
    folder = tmp_path / "repository"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("models"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLREPRO_TRACKING", "none")
    with pytest.raises(InputError, match="has one seed, so there is no average"):
        export("params.yaml", LINEAR, AVERAGE, None)

    settings = yaml.safe_load(Path("params.yaml").read_text())
    write_yaml(Path("params.yaml"), settings | {"seeds": [0, 1]})
    with pytest.raises(InputError, match=f"{LINEAR}-s1: not trained and evaluated"):
        export("params.yaml", LINEAR, AVERAGE, None)
    layout = read_layout("params.yaml")
    train_and_evaluate(layout, LINEAR, seed=1)
    export("params.yaml", LINEAR, AVERAGE, None)

    model = Path("models") / f"{LINEAR}-saverage"
    assert json.loads((model / "config.json").read_text())["averaged_seeds"] == [0, 1]
    config, network = load_model(model)
    of_seeds = [
        load_file(layout.output(LINEAR, seed) / "logits.safetensors")["test_best"].numpy()
        for seed in (0, 1)
    ]
    assert np.abs(of_seeds[0] - of_seeds[1]).max() > TOLERANCE
    paths, _, _ = evaluated(folder, LINEAR)
    pictures = [decode(path, 32, config["resize"]) for path in paths]
    found = logits(config, network, pictures)
    np.testing.assert_allclose(found, np.mean(of_seeds, axis=0), atol=TOLERANCE)

    train_and_evaluate(layout, CSRA, seed=1)
    with pytest.raises(InputError, match="only linear heads have an average"):
        export("params.yaml", CSRA, AVERAGE, None)


def test_a_class_that_validation_never_shows_is_never_predicted(trained):
    config, network = load_model(model_folder(trained, PICTURES))
    paths, _, _ = evaluated(trained, PICTURES)
    config["thresholds"] = [None] * CLASSES
    assert next(predict(config, network, paths[:1]))["labels"] == []


def test_other_versions_and_changed_files(trained, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(model_folder(trained, CSRA), folder)
    config_file = folder / "config.json"
    config = json.loads(config_file.read_text())

    def write_versions(**versions: str) -> None:
        config_file.write_text(json.dumps(config | {"versions": config["versions"] | versions}))

    write_versions(torch="2.0.0", timm="1.0.0")
    load_model(folder)
    warnings = capsys.readouterr().err
    assert "warning" in warnings
    assert "torch 2.0.0, this is" in warnings
    assert "timm 1.0.0, this is" in warnings

    write_versions(mlrepro="7.1.0")
    with pytest.raises(InputError, match="made by mlrepro 7.1.0.*use the mlrepro that made it"):
        load_model(folder)

    write_versions()
    (folder / "model.onnx").unlink()  # not needed
    load_model(folder)
    assert not capsys.readouterr().err

    weights = folder / "model.safetensors"
    save_file({key: value * 1.01 for key, value in load_file(weights).items()}, weights)
    with pytest.raises(InputError, match="model.safetensors: not what was exported.*copy it again"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(InputError, match="No such file"):
        load_model(folder)

    config_file.write_text('{"architecture": "resnet18"}')  # as others write it
    with pytest.raises(InputError, match="not a model folder"):
        load_model(folder)


def test_16_bit_pictures_are_not_clipped(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (8, 8), np.uint16)
    shallow = (deep >> 8).astype(np.uint8)
    Image.fromarray(shallow).save(tmp_path / "shallow.png")
    expected = decode(tmp_path / "shallow.png", 8)
    for name in ("deep.png", "deep.tif", "deep.pgm"):
        Image.fromarray(deep).save(tmp_path / name)
        np.testing.assert_array_equal(decode(tmp_path / name, 8), expected)

    Image.fromarray(deep.astype(np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(InputError, match="floating-point"):
        decode(tmp_path / "float.tif", 8)


# ------------------------------------------------------------------------------------ timm and ONNX


@pytest.mark.parametrize("run_id", RUNS)
def test_whoever_reads_the_folder_reads_the_weights(trained, run_id):
    folder = model_folder(trained, run_id)
    modes = {path.stat().st_mode & 0o444 for path in folder.glob("*.*")}
    assert modes == {folder.stat().st_mode & 0o444}


@pytest.mark.parametrize("run_id", [LINEAR, PICTURES])
def test_timm_loads_the_folder(trained, run_id):
    folder = model_folder(trained, run_id)
    config, _ = load_model(folder)
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    data_config = timm.data.resolve_model_data_config(network)
    transform = timm.data.create_transform(**data_config, is_training=False)

    paths, expected, _ = evaluated(trained, run_id)
    pictures = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])
    with torch.inference_mode():
        np.testing.assert_allclose(network(pictures), expected, atol=TOLERANCE)
    assert network.pretrained_cfg["label_names"] == config["classes"]


def test_timm_has_no_such_head(trained):
    config = json.loads((model_folder(trained, CSRA) / "config.json").read_text())
    assert "no head like csra" in config["timm"]
    assert "architecture" not in config


@pytest.mark.parametrize("run_id", [PICTURES, CSRA])
def test_onnx_needs_only_its_metadata(trained, run_id):
    import onnxruntime

    session = onnxruntime.InferenceSession(model_folder(trained, run_id) / "model.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    config = {key: json.loads(value) for key, value in metadata.items()}

    paths, expected, thresholds = evaluated(trained, run_id)
    pictures = np.stack([decode(path, config["resolution"], config["resize"]) for path in paths])
    normalised = (pictures / 255 - config["mean"]) / config["std"]
    batch = normalised.transpose(0, 3, 1, 2).astype(np.float32)
    for size in (1, 5, len(batch)):
        [answers] = session.run(["logits"], {"pictures": batch[:size]})
        np.testing.assert_allclose(answers, expected[:size], atol=TOLERANCE)

    finite = [value if np.isfinite(value) else None for value in thresholds]
    assert config["thresholds"] == finite
    assert config["classes"] == read_manifest(trained / "data" / "digits").classes


# ----------------------------------------------------------------------------- what is not exported


def test_a_failed_check_leaves_nothing(trained, monkeypatch, tmp_path):
    import onnxruntime

    class WrongSession:
        def __init__(self, path: Path):
            pass

        def run(self, names: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.zeros((len(inputs["pictures"]), CLASSES), np.float32)]

    monkeypatch.chdir(trained)
    monkeypatch.setattr(onnxruntime, "InferenceSession", WrongSession)
    with pytest.raises(InputError, match="model.onnx is not the network: logits"):
        export("params.yaml", PICTURES, 0, str(tmp_path / "models" / "new"))
    assert list((tmp_path / "models").iterdir()) == []


@contextmanager
def kept(path: Path):
    """Puts a file's content back in the end."""
    content = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(content)


def test_export_refuses_what_is_not_there_or_not_the_present_run(trained, monkeypatch, tmp_path):
    monkeypatch.chdir(trained)
    new = str(tmp_path / "new")

    def refused(message: str, settings="params.yaml", run_id=PICTURES, seed=0, folder=new):
        with pytest.raises(InputError, match=message):
            export(settings, run_id, seed, folder)

    refused("other.yaml: no such file", settings="other.yaml")
    refused("gap: no run of params.yaml; valid: ", run_id="gap")
    refused(f"did you mean '{PICTURES}'", run_id=f"{PICTURES}x")
    refused("not trained and evaluated", seed=5)
    refused("is there already", folder=None)

    # Other logits than those of the exported network.
    file = logits_file(trained, PICTURES)
    with kept(file):
        save_file({key: value + 0.01 for key, value in load_file(file).items()}, file)
        refused("logits of validation pictures differ by 0.0")

    captioned = PICTURES.replace("-32", "-32-bert")
    captions = {"name": "bert", "model": "package://nothing/model", "pooling": "mean"}
    settings = run_settings(PICTURES, variant="bert", captions=captions)
    write_yaml(trained / "runs" / f"{captioned}.yaml", settings)
    refused("reads captions, too; only runs", run_id=captioned)

    # What was copied in part.
    for name in ("training.json", "best.safetensors"):
        part = logits_file(trained, PICTURES).parent / "training" / name
        with kept(part):
            part.write_bytes(part.read_bytes()[:100])
            refused("not trained and evaluated")

    # Features of another backbone than that of the trained head.
    params = trained / "params.yaml"
    features = {"backbone": "efficientnet_lite0", "weights": "none", "resolution": 32}
    with kept(params):
        write_yaml(params, yaml.safe_load(params.read_text()) | {"features": features})
        refused("not from the pictures and `features` of now.*differ by", run_id=LINEAR)

    assert not Path(new).exists()


# -------------------------------------------------------------------------------------- the command


def test_the_command_labels_all_that_can_be_read(trained, tmp_path):
    odd = tmp_path / "odd"
    expected = write_odd_pictures(odd)
    no_utf8 = tmp_path / os.fsdecode(b"\xff.png")
    Image.new("RGB", (5, 5)).save(no_utf8)
    expected[str(no_utf8)] = True
    output = tmp_path / "out.jsonl"
    output.write_text("of an earlier run")

    # In a process of its own. The pattern names a picture that the folder holds, too.
    command = [
        sys.executable,
        "-c",
        "import sys; from mlrepro_cli.main import main; sys.exit(main())",
    ]
    arguments = ["predict", model_folder(trained, CSRA), odd, odd / "**" / "*.JPG", no_utf8]
    options = ["--output", output, "--batch", "4"]
    done = subprocess.run([*command, *arguments, *options], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr

    lines = output.read_text("utf-8").splitlines()
    answers = {entry["image"]: entry for entry in map(json.loads, lines)}
    assert len(lines) == len(answers) == len(expected), "each once"
    assert {name: "scores" in entry for name, entry in answers.items()} == expected
    assert not (tmp_path / "out.jsonl.partial").exists()
    assert "decompression bomb" in answers[str(odd / "bomb.png")]["error"]

    assert "5 of 16 pictures could not be read" in done.stderr
    for name, readable in expected.items():
        assert readable or name in done.stderr
    assert "Traceback" not in done.stderr
    assert "warning" not in done.stderr


def test_what_is_no_regular_file_is_told_and_the_rest_goes_on(
    trained, monkeypatch, tmp_path, capfd
):
    pictures = tmp_path / "pictures"
    irregular = {str(path) for path in write_no_pictures(pictures)}
    Image.new("RGB", (5, 5)).save(pictures / "good.jpg")
    Image.new("RGB", (5, 5)).save(pictures / "folder.jpg" / "good.jpg")
    (pictures / "link.png").symlink_to("good.jpg")

    model = model_folder(trained, CSRA)
    assert run_here(monkeypatch, "predict", model, pictures) == 1
    captured = capfd.readouterr()
    answers = {entry["image"]: entry for entry in map(json.loads, captured.out.splitlines())}
    bad = {name for name, entry in answers.items() if entry.get("error") == "no regular file"}
    assert bad == irregular
    good = ("good.jpg", "folder.jpg/good.jpg", "link.png")
    assert answers.keys() - bad == {str(pictures / name) for name in good}
    assert "6 of 9 pictures could not be read" in captured.err

    # Named, and by a pattern.
    pipe, circle = str(pictures / "pipe.jpg"), str(pictures / "circle.jpg")
    assert run_here(monkeypatch, "predict", model, pipe, pictures / "c*.jpg") == 1
    answers = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [entry["image"] for entry in answers] == [pipe, circle]
    assert {entry["error"] for entry in answers} == {"no regular file"}


def test_csv_to_the_terminal(trained, monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (5, 5)).save("a, b.png")
    Path("text.png").write_text("not a picture")
    arguments = [model_folder(trained, CSRA), "*.png", "a, b.png", "--format", "csv"]
    assert run_here(monkeypatch, "predict", *arguments) == 1

    header, good, bad = csv.reader(io.StringIO(capfd.readouterr().out))
    assert header[:4] == ["image", "error", "labels", "zero"]
    assert len(header) == len(good) == 13
    assert good[0] == "a, b.png"
    assert set(good[2].split("|")) <= {"", *header}
    assert 0 < float(good[3]) < 1
    assert bad[0] == "text.png"
    assert "cannot identify" in bad[1]
    assert not bad[2]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["predict", "MODEL", "nothing-*.png"], "error: nothing-*.png: no such file"),
        (["predict", "MODEL", "empty"], "error: empty: no such file, or no pictures there"),
        (["predict", "empty", "a.png"], "error: empty: not a model folder"),
        (["predict", "MODEL", "a.png", "--output", "no/x"], "--output no/x: there is no folder no"),
        (["predict", "MODEL", "a.png", "--output", "empty"], "--output empty: a folder; name a"),
        (["predict", "MODEL", "a.png", "--output", "/dev/null"], "write > /dev/null"),
        (["predict", "MODEL", "a.png", "--batch", "0"], "error: --batch 0: give 1 or more"),
        (["export", "missing.yaml", "RUN"], "run `mlrepro export` in the root of the repository"),
    ],
)
def test_what_the_user_did_wrong_is_told(
    trained, monkeypatch, tmp_path, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (5, 5)).save("a.png")
    folder = model_folder(trained, CSRA)
    words = [folder if word == "MODEL" else word for word in arguments]
    assert run_here(monkeypatch, *words) == 2
    assert message in capsys.readouterr().err


def test_settings_that_are_not_there(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(extras, "missing", lambda extra: [])  # they are not reached
    assert run_here(monkeypatch, "export", "missing.yaml", "RUN") == 2
    assert "error: missing.yaml: no such file" in capsys.readouterr().err


def test_a_full_disk_is_told(trained, monkeypatch, tmp_path, capsys):
    picture = tmp_path / "a.png"
    Image.new("RGB", (5, 5)).save(picture)
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert run_here(monkeypatch, "predict", model_folder(trained, CSRA), picture) == 2
    assert "No space left on device" in capsys.readouterr().err

    # A file is named, and so is the disk that it is on.
    (tmp_path / "full.jsonl.partial").symlink_to("/dev/full")
    output = tmp_path / "full.jsonl"
    arguments = ["predict", model_folder(trained, CSRA), picture, "--output", output]
    assert run_here(monkeypatch, *arguments) == 2
    assert f"{output}.partial: No space left on device: " in capsys.readouterr().err
    assert not output.exists()


def test_who_reads_no_further_ends_it_without_a_word(trained, tmp_path):
    """`| head`: a line is read of many."""
    for place in range(40):
        Image.new("RGB", (5, 5)).save(tmp_path / f"{place}.png")
    code = "import sys; from mlrepro_cli.main import main; sys.exit(main())"
    arguments = ["predict", model_folder(trained, CSRA), tmp_path, "--batch", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert process.returncode == NOBODY_READS
    assert "error" not in errors
    assert "Traceback" not in errors


HELP_AND_UNKNOWN_VERBS = [
    ([], 2, "VERB"),
    (["predit"], 2, "invalid choice"),
    (["--help"], 0, "mlflow models serve"),
    (["init-data", "--help"], 0, "a folder a label"),
    (["plan", "--help"], 0, "default: studies/own-data/params.yaml"),
    (["launch", "--help"], 0, "ray (a running cluster), slurm (sbatch)"),
    (["export", "--help"], 0, "Example: mlrepro export"),
    (["predict", "--help"], 0, "as EXIF says"),
    (["launch", "p.yaml", "--jobs", "0"], 2, "--jobs: 0: give a whole number, 1 or more"),
    (["launch", "p.yaml", "--jobs", "two"], 2, "--jobs: two: give a whole number, 1 or more"),
]


@pytest.mark.parametrize("arguments, status, text", HELP_AND_UNKNOWN_VERBS)
def test_help_and_unknown_verbs(monkeypatch, capsys, arguments, status, text):
    with pytest.raises(SystemExit) as stopped:
        run_here(monkeypatch, *arguments)
    captured = capsys.readouterr()
    assert stopped.value.code == status
    # Lines are as long as the terminal is wide.
    assert text in " ".join((captured.out + captured.err).split())


def test_help_waits_for_nothing_heavy():
    code = (
        "import sys, mlrepro_cli.main\n"
        "mlrepro_cli.main.create_parser()\n"
        "heavy = {'torch', 'pandas', 'numpy', 'dvc', 'mlflow', 'mlrepro.layout'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_interrupted(trained, monkeypatch, tmp_path, capsys):
    batches = []

    def interrupted(*arguments) -> np.ndarray:
        batches.append(1)
        if len(batches) == 3:
            raise KeyboardInterrupt
        return logits(*arguments)

    monkeypatch.setattr(answer, "logits", interrupted)
    paths, _, _ = evaluated(trained, CSRA)
    output = tmp_path / "out.jsonl"
    output.write_text("of an earlier run")
    arguments = [model_folder(trained, CSRA), *paths, "--batch", "4", "--output", output]

    assert run_here(monkeypatch, "predict", *arguments) == 130
    assert "run the same command again" in capsys.readouterr().err
    assert output.read_text() == "of an earlier run"
    partial = (tmp_path / "out.jsonl.partial").read_text().splitlines()
    assert [json.loads(line)["image"] for line in partial] == paths[:8]


# ------------------------------------------------------------------------------------------- MLflow


@contextmanager
def serving(folder: Path):
    """A real server, `mlflow models serve`; gives its port."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as server:
        try:
            wait_for(server, "startup complete", "Uvicorn running")
            yield port
        finally:
            os.killpg(server.pid, 15)


def wait_for(server: subprocess.Popen, *texts: str) -> None:
    """Until it has printed all of them, in any order."""
    output = ""
    while not all(text in output for text in texts):
        line = server.stdout.readline()
        assert line, output
        output += line


def ask(port: int, body: dict) -> list[dict]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)["predictions"]


def test_mlflow_serves_it(trained):
    folder = model_folder(trained, PICTURES)
    paths, _, _ = evaluated(trained, PICTURES)
    pictures = [base64.b64encode(Path(path).read_bytes()).decode() for path in paths[:2]]
    no_picture = base64.b64encode(b"not a picture").decode()
    no_base64 = "%"
    rows = [*pictures, no_picture, no_base64]

    with serving(folder / "mlflow") as port:
        split = {"columns": ["image"], "data": [[row] for row in rows]}
        answers = ask(port, {"dataframe_split": split})
        records = [{"image": row} for row in pictures]
        assert ask(port, {"dataframe_records": records}) == answers[:2]

    config, network = load_model(folder)
    for served, expected in zip(answers[:2], predict(config, network, paths[:2]), strict=True):
        assert served["labels"] == expected["labels"]
        assert served["scores"] == pytest.approx(expected["scores"], abs=TOLERANCE)
    assert [sorted(served) for served in answers] == [
        ["image", "labels", "scores"],
        ["image", "labels", "scores"],
        ["error", "image"],
        ["error", "image"],
    ]
