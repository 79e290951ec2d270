"""Model folders that were changed by hand, damaged, or copied in part: refused, with a reason."""

import hashlib
import json
import math
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import skip_without
from PIL import Image
from safetensors.torch import load_file, save_file

from mlrepro.errors import InputError
from mlrepro.files import file_sha256, write_json
from mlrepro.models.classifier import create_classifier
from mlrepro.settings.run import Run
from mlrepro_cli.export.model import Model
from mlrepro_cli.export.onnx_format import write_onnx
from mlrepro_cli.export.safetensors_format import write_weights
from mlrepro_cli.predict.answer import predict
from mlrepro_cli.predict.config import CONFIG, VERSIONS, WEIGHTS, ModelConfig
from mlrepro_cli.predict.formats import JsonLines
from mlrepro_cli.predict.model import load_model, logits

CLASSES = ["cat", "dog", "polar bear"]
DESCRIBED = {
    "classes": CLASSES,
    "thresholds": [0.5, None, -1.0],
    "logit_scale": 1.0,
    "backbone": "test_resnet",
    "head": "gap",
    "head_options": {},
    "resolution": 32,
    "resize": "bilinear",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2],
    "versions": VERSIONS,
}


def write_model(folder: Path, **changes) -> Path:
    """What `mlrepro export` writes of a network with random weights, without ONNX and MLflow."""
    config = DESCRIBED | changes
    run = Run.model_construct(
        weights="none",
        **{key: config[key] for key in ("backbone", "head", "head_options")},
        resolution=32,
    )
    torch.manual_seed(0)
    network, _ = create_classifier(run, len(CLASSES))
    pictures = list(np.zeros((8, 32, 32, 3), np.uint8))
    network.eval()

    folder.mkdir()
    model = Model(network, config, pictures, logits(config, network, pictures))
    write_weights(model, folder)
    write_json(folder / CONFIG, model.config)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """A folder that timm loads, too, and one with a head of ours."""
    parent = tmp_path_factory.mktemp("models")
    return {
        "timm": write_model(parent / "timm"),
        "ours": write_model(parent / "ours", head="csra", head_options={"heads": 2}),
    }


@pytest.fixture(params=["timm", "ours"])
def folder(models, tmp_path, request) -> Path:
    return Path(shutil.copytree(models[request.param], tmp_path / "model"))


def change(folder: Path, **values) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | values))


def refused(folder: Path) -> str:
    """The message, which is a user's and says what to do."""
    with pytest.raises(InputError) as error:
        load_model(folder)
    message = str(error.value)
    assert message.startswith(f"{folder}: not a model folder that can be used (")
    assert message.endswith("export the run again (mlrepro export)")
    return message


def test_as_it_was_exported(folder, tmp_path):
    config, network = load_model(folder)
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    [answer] = predict(config, network, [tmp_path / "a.png"])
    assert list(answer["scores"]) == CLASSES


# ---- config.json -------------------------------------------------------------------------------


def test_a_key_that_is_missing(folder):
    whole = (folder / CONFIG).read_text()
    needed = [name for name, field in ModelConfig.model_fields.items() if field.is_required()]
    assert len(needed) == 12
    for key in needed:
        config = json.loads(whole)
        del config[key]
        (folder / CONFIG).write_text(json.dumps(config))
        assert f"config.json:\n  {key}: Field required" in refused(folder)


# Each is written as JSON writes it, NaN as Python does.
WRONG = [
    ("classes", []),
    ("classes", "cat"),
    ("classes", ["cat", "dog", 3]),
    ("classes", ["cat", "dog", "dog"]),
    ("classes", ["cat", "dog"]),
    ("thresholds", [0.5, 0.5]),
    ("thresholds", [0.5, 0.5, 0.5, 0.5]),
    ("thresholds", [0.5, 0.5, "0.5"]),
    ("thresholds", [0.5, 0.5, math.nan]),
    ("thresholds", {"cat": 0.5}),
    ("logit_scale", math.inf),
    ("logit_scale", 0),
    ("logit_scale", None),
    ("backbone", "no_such_network"),
    ("backbone", 3),
    ("head", "no_such_head"),
    ("head", "linear"),
    ("head_options", {"no_such_option": 1}),
    ("head_options", [1]),
    ("head_options", None),
    ("resolution", 0),
    ("resolution", "32"),
    ("resolution", 1_000_000),
    ("resolution", 32.5),
    ("resize", "nearest"),
    ("mean", [0.5, 0.5]),
    ("mean", [0.5, 0.5, math.nan]),
    ("std", [0.2, 0.2, 0]),
    ("std", 0.2),
    ("versions", {}),
    ("versions", "1.0"),
    ("versions", VERSIONS | {"mlrepro": None}),
    ("sha256", {}),
    ("sha256", {WEIGHTS: "0"}),
    ("sha256", {"../model/model.safetensors": "0" * 64}),
    ("sha256", None),
]


def test_values_that_cannot_be(folder):
    whole = (folder / CONFIG).read_text()
    heads_without_options = ("no_such_head", "linear")
    for key, value in WRONG:
        (folder / CONFIG).write_text(whole)
        changes = {key: value}
        if value in heads_without_options:
            changes["head_options"] = {}
        # timm's own keys say which network it is.
        if key in ("backbone", "head") and "architecture" in json.loads(whole):
            changes["architecture"] = None
        change(folder, **changes)
        assert refused(folder), (key, value)


def test_all_that_is_wrong_is_said_at_once(folder):
    change(folder, thresholds=[0.5, math.inf, "a"], std=[1, 1, -1], resize=None)
    message = refused(folder)
    for part in ("thresholds.1: ", "thresholds.2: ", "std.2: ", "resize: "):
        assert f"\n  {part}" in message


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"versions": 1e999}']
)
def test_no_config(folder, content):
    (folder / CONFIG).write_bytes(content)
    assert "config.json:" in refused(folder)


# ---- Weights -----------------------------------------------------------------------------------


def write_weights_of(folder: Path, state: dict) -> None:
    """And their digest, as somebody would who is not to be noticed."""
    save_file(state, folder / WEIGHTS)
    digests = json.loads((folder / CONFIG).read_text())["sha256"]
    change(folder, sha256=digests | {WEIGHTS: file_sha256(folder / WEIGHTS)})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers(folder, number):
    state = load_file(folder / WEIGHTS)
    key = next(key for key, value in state.items() if value.is_floating_point())
    state[key].view(-1)[-1] = number
    write_weights_of(folder, state)
    assert f"{WEIGHTS}: {key} has values that are no finite numbers" in refused(folder)


def test_weights_of_another_network(folder):
    state = load_file(folder / WEIGHTS)
    key = next(key for key in state if key.endswith(".weight"))
    write_weights_of(folder, {name: value for name, value in state.items() if name != key})
    assert key in refused(folder)

    write_weights_of(folder, state | {key: torch.zeros(2, 2)})
    assert key in refused(folder)


def test_answers_that_are_no_numbers(folder, tmp_path):
    """Of finite weights whose sums are beyond float32: an error, in JSON that others can read."""
    state = load_file(folder / WEIGHTS)
    weights = {
        key: torch.full_like(value, 3e38) if value.is_floating_point() else value
        for key, value in state.items()
    }
    write_weights_of(folder, weights)
    config, network = load_model(folder)
    Image.effect_noise((9, 9), 90).convert("RGB").save(tmp_path / "a.png")
    [answer] = predict(config, network, [str(tmp_path / "a.png")], read=Path)
    assert "no finite number" in answer["error"]

    with open(tmp_path / "lines", "w+") as file:
        JsonLines(file, CLASSES).write(answer)
        file.seek(0)
        assert json.loads(file.read(), parse_constant=pytest.fail) == answer


def test_what_is_copied_in_part(folder):
    for name in (CONFIG, WEIGHTS):
        whole = (folder / name).read_bytes()
        for length in (0, 1, 8, 100, len(whole) // 2, len(whole) - 2):
            (folder / name).write_bytes(whole[:length])
            refused(folder)
        (folder / name).unlink()
        assert "No such file" in refused(folder)
        (folder / name).write_bytes(whole)
    load_model(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_waited_for(folder, name, make):
    (folder / name).unlink()
    make(folder / name)
    assert f"{name}: no regular file" in refused(folder)


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def test_no_other_file_is_loaded_in_place_of_the_weights(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / WEIGHTS).unlink()
    for name in ("pytorch_model.bin", "model.pth", "open_clip_pytorch_model.bin"):
        (folder / name).write_bytes(pickle.dumps(Evil()))
    refused(folder)
    assert not (folder / "ran").exists()


def test_onnx_says_nothing_of_the_machine_that_made_it(tmp_path):
    skip_without("export")
    run = Run.model_construct(weights="none", backbone="test_resnet", head="gap", head_options={})
    network, _ = create_classifier(run.model_copy(update={"resolution": 32}), len(CLASSES))
    pictures = list(np.zeros((8, 32, 32, 3), np.uint8))
    config = DESCRIBED | {"checked": {}, "sha256": {}}
    network.eval()
    write_onnx(Model(network, config, pictures, logits(config, network, pictures)), tmp_path)

    content = (tmp_path / "model.onnx").read_bytes()
    for folder in (Path(torch.__file__).parents[1], Path(__file__).parents[2], Path.home()):
        assert bytes(folder) not in content
    assert b".py" not in content
    assert b"polar bear" in content, "its classes are there"


def test_digests_are_those_of_the_files(folder):
    config = json.loads((folder / CONFIG).read_text())
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert config["sha256"][WEIGHTS] == digest
    with (folder / WEIGHTS).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    assert f"{WEIGHTS}: not what was exported" in refused(folder)


def test_the_folder_says_how_pictures_are_read(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    upright, turned = tmp_path / "upright.png", tmp_path / "turned.png"
    Image.fromarray(pixels).save(upright)
    # Lying on its side, and EXIF says so.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(pixels).copy()).save(turned, exif=exif)

    def scores(folder: Path) -> list[dict]:
        config, network = load_model(folder)
        return [answer["scores"] for answer in predict(config, network, [upright, turned])]

    shown = scores(write_model(tmp_path / "shown", appearance="shown"))
    assert shown[0] == shown[1]
    # One that says nothing was made before there was a choice.
    stored = scores(write_model(tmp_path / "stored"))
    assert stored[0] == shown[0] != stored[1]
