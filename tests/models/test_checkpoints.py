"""Files of weights: those that authors released load whole, others are refused; none runs code."""

import argparse
import hashlib
import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.layers.pos_embed_rel import gen_relative_position_index
from torch import Tensor

from mlrepro.errors import InputError
from mlrepro.models.backbones import Backbone, create_backbone
from mlrepro.models.checkpoints import head_options, load_network, query2label_options
from mlrepro.models.classifier import Classifier, create_classifier
from mlrepro.models.complexity.cost import measure_cost
from mlrepro.models.complexity.networks import build
from mlrepro.models.heads import create_head
from mlrepro.models.heads.query2label import sine_positions
from mlrepro.models.weight_files import read_state
from mlrepro.settings.run import Run

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
KEYS = json.loads((GOLDEN / "q2l/full_model_state_dict_keys.json").read_text())
NETWORKS = {
    "R101": "resnet101",
    "TResL_22k": "tresnet_v2_l",
    "TResL": "tresnet_l",
    "CvT_w24": "cvt_w24",
    "SwinL": "swin_large_patch4_window12_384",
}
DTYPES = {"torch.float32": torch.float32, "torch.int64": torch.int64}

SMALL = "test_resnet"
CLASSES = 5


class Evil:
    """An object whose pickle touches a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def small(resolution: int = 64, classes: int = CLASSES, seed: int = 0, **options) -> Classifier:
    """A Query2Label network that is made in no time."""
    torch.manual_seed(seed)
    backbone = Backbone(SMALL, resolution)
    side = resolution // 32
    head = create_head("query2label", backbone.channels, classes, (side, side), ffn=24, **options)
    return Classifier(backbone, head).eval()


def in_authors_layout(model: Classifier) -> dict[str, Tensor]:
    """The network's state as Query2Label's code would name it for a ResNet.

    It was trained on several GPUs, and its frozen batch norms have no counters.
    """
    state = {"module.backbone.1.pe": model.head.positions}
    for key, value in model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            inner = key.replace("backbone.net.", "backbone.0.body.").removeprefix("head.")
            state[f"module.{inner}"] = value
    return state


def training_file(path: Path, state: dict, **objects) -> Path:
    """A checkpoint.pkl with what such files hold beside the state dict."""
    content = {
        "epoch": 15,
        "best_mAP": np.float64(84.9),
        "state_dict": state,
        "regular": np.arange(3.0),
        "args": argparse.Namespace(backbone="resnet101", wd=np.float32(0.01)),
    }
    torch.save(content | objects, path)
    return path


def released(name: str) -> tuple[dict[str, Tensor], list[int]]:
    """The state dict of a released model, and the size (h, w) of its maps.

    Zeros that take no memory, but for its constants.
    """
    named = re.compile(re.escape(name) + r"(\(.*\))?")  # some names go on with a remark
    entry = next(value for key, value in KEYS.items() if named.fullmatch(key))
    _, channels, *size = entry["feature_shape"]

    index = gen_relative_position_index((12, 12))
    state = {}
    for key, (shape, dtype) in entry["state_dict"].items():
        if key.endswith("relative_position_index"):
            state[key] = index
        else:
            state[key] = torch.zeros((), dtype=DTYPES[dtype]).expand(shape)
    state["backbone.1.pe"] = sine_positions(channels, *size)
    return state, size


def copied(model: Classifier) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


# --- the released models --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")
@pytest.mark.parametrize(
    "name, resolution, ffn",
    [
        ("Q2L-R101-448", 448, 8192),
        ("Q2L-R101-576", 576, 8192),
        ("Q2L-TResL-448", 448, 2432),
        ("Q2L-TResL_22k-448", 448, 2048),
        ("Q2L-SwinL-384", 384, 1536),
        ("Q2L-CvT_w24-384", 384, 1024),
    ],
)
def test_every_key_of_a_released_model_has_its_place(name, resolution, ffn, tmp_path):
    state, size = released(name)
    path = training_file(tmp_path / "checkpoint.pkl", state)
    options = query2label_options(read_state(path))
    assert options == {"ffn": ffn, "enc_layers": 1, "dec_layers": 2, "keep_self_attention": "none"}

    model = build("query2label", NETWORKS[name.split("-")[1]], 80, resolution, options)
    assert list(model.head.positions.shape[2:]) == size
    sha256, note = load_network(model, path)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert note == ""

    # Without a key of the head, and without one of the backbone.
    biases = [key for key in state if key.startswith("backbone.0.") and key.endswith(".bias")]
    for missing in ("fc.b", biases[-1]):
        rest = {key: value for key, value in state.items() if key != missing}
        left_out = training_file(tmp_path / "less.pkl", rest)
        with pytest.raises(InputError, match="1 missing, first "):
            load_network(model, left_out)


def test_ffn_size_comes_from_the_checkpoint_unless_the_run_file_says_it(tmp_path):
    source = small(keep_self_attention="other")
    path = training_file(tmp_path / "checkpoint.pkl", in_authors_layout(source))
    run = Run(
        data="voc2007",
        inputs="images",
        head="query2label",
        backbone=SMALL,
        weights="none",
        checkpoint=str(path),
        resolution=64,
        loss={"name": "asl"},
        epochs=0,
        batch_size=2,
        selection="last",
    )
    model, _ = create_classifier(run, CLASSES)
    assert load_network(model, path)[1] == ""
    assert head_options(run)["keep_self_attention"] == "other"
    assert measure_cost(run, CLASSES).parameters == sum(p.numel() for p in model.parameters())

    with_ffn = run.model_copy(update={"head_options": {"ffn": 8}})
    assert head_options(with_ffn) == {"ffn": 8}


def test_options_of_a_checkpoint_with_other_layers():
    model = small(
        hidden=8, keep_input_proj=True, enc_layers=0, dec_layers=3, keep_self_attention="other"
    )
    state = dict(model.state_dict())
    assert query2label_options(state) == {
        "ffn": 24,
        "enc_layers": 0,
        "dec_layers": 3,
        "keep_self_attention": "other",
        "keep_input_proj": True,
        "hidden": 8,
    }

    del state["head.transformer.decoder.layers.2.self_attn.in_proj_weight"]
    with pytest.raises(InputError, match=r"\[False, True, False\]"):
        query2label_options(state)


# --- whole networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["authors", "ours"])
def test_a_network_comes_back_from_its_file(layout, tmp_path):
    source = small()
    if layout == "authors":
        path = training_file(tmp_path / "checkpoint.pkl", in_authors_layout(source))
    else:
        path = tmp_path / "last.safetensors"
        save_file(source.state_dict(), path)

    model = small(seed=1)
    pictures = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert not torch.allclose(model(pictures), source(pictures))
        assert load_network(model, path)[1] == ""
        assert torch.equal(model(pictures), source(pictures))


def test_what_is_dropped_starts_anew_and_the_rest_does_not(tmp_path):
    """As from COCO to VOC2007: other classes, and a self-attention that the file has not."""
    source = small()
    path = training_file(tmp_path / "checkpoint.pkl", in_authors_layout(source))
    model = small(classes=3, seed=1, keep_self_attention="other")
    before = copied(model)
    drop = [
        "query_embed",
        "fc",
        "transformer.decoder.layers.1.self_attn",
        "transformer.decoder.layers.1.norm1",
    ]
    assert load_network(model, path, drop)[1] == f"{' and '.join(drop)} started anew"

    loaded = source.state_dict()
    for key, value in model.state_dict().items():
        anew = any(f"{key}.".startswith(f"head.{prefix}.") for prefix in drop)
        expected = before[key] if anew else loaded[key]
        assert torch.equal(value, expected), key

    with pytest.raises(InputError, match="to start anew, but unknown, first query_embde"):
        load_network(model, path, ["query_embde", *drop])


def test_positions_of_another_resolution_are_made_anew_and_it_is_said(tmp_path):
    path = training_file(tmp_path / "checkpoint.pkl", in_authors_layout(small()))
    model = small(resolution=96, seed=1)
    note = load_network(model, path)[1]
    assert note == "positions made anew for maps of [3, 3], the file has [2, 2]"
    channels = model.backbone.channels
    torch.testing.assert_close(model.head.positions, sine_positions(channels, 3, 3))

    state = in_authors_layout(small())
    state["module.backbone.1.pe"] = torch.randn(1, channels, 2, 2)
    learned = training_file(tmp_path / "learned.pkl", state)
    with pytest.raises(InputError, match="not Query2Label's fixed sine table"):
        load_network(model, learned)


# --- bad input ------------------------------------------------------------------------------------


def refusal(model: Classifier, path: Path) -> str:
    """The message with which a file is refused, which names the file."""
    with pytest.raises(InputError) as error:
        load_network(model, path)
    message = str(error.value)
    assert str(path) in message
    return message


def test_files_of_another_network_name_the_first_keys_and_shapes(tmp_path):
    state = in_authors_layout(small())
    model = small(seed=1)
    before = copied(model)
    width = model.backbone.channels

    of_80_classes = in_authors_layout(small(classes=80))
    message = refusal(model, training_file(tmp_path / "classes.pkl", of_80_classes))
    first = f"3 of another shape, first head.query_embed.weight [80, {width}], here [5, {width}]"
    assert first in message
    assert "missing" not in message
    assert "left over" not in message
    assert "checkpoint_drop" in message

    with_a_layer = state | {"module.fc2.weight": torch.ones(2, 3)}
    message = refusal(model, training_file(tmp_path / "extra.pkl", with_a_layer))
    assert "1 left over, first backbone.net.fc2.weight [2, 3]" in message

    with_self_attention = in_authors_layout(small(keep_self_attention="both"))
    message = refusal(model, training_file(tmp_path / "head.pkl", with_self_attention))
    first = "12 left over, first head.transformer.decoder.layers.0.self_attn.in_proj_weight"
    assert first in message

    unknown = {"stem.weight": torch.ones(1)}
    message = refusal(model, training_file(tmp_path / "other.pkl", unknown))
    assert "its keys fit no known model" in message

    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_swin_of_another_window_is_refused(tmp_path):
    state, _ = released("Q2L-SwinL-384")
    for key, value in state.items():
        if key.endswith("bias_table"):
            state[key] = torch.zeros(1).expand(169, value.shape[1])
    path = training_file(tmp_path / "checkpoint.pkl", state)

    model = build("query2label", NETWORKS["SwinL"], 80, 384)
    table = "backbone.net.layers.0.blocks.0.attn.relative_position_bias_table"
    message = rf"24 of another shape, first {table} \[169, 6\], here \[529, 6\]"
    with pytest.raises(InputError, match=message):
        load_network(model, path)


def test_damaged_and_foreign_files(tmp_path):
    whole = training_file(tmp_path / "checkpoint.pkl", in_authors_layout(small()))
    (tmp_path / "truncated.pkl").write_bytes(whole.read_bytes()[:100_000])
    (tmp_path / "page.pkl").write_text("<html>Sign in to Google Drive</html>")
    torch.save([torch.ones(2)], tmp_path / "list.pkl")
    for name in ("truncated.pkl", "page.pkl", "list.pkl"):
        with pytest.raises(InputError, match=f"{name}: not readable as weights"):
            read_state(tmp_path / name)

    with pytest.raises(InputError, match="absent.pkl: no such file"):
        read_state(tmp_path / "absent.pkl")


@pytest.mark.parametrize(
    "protocol, plain_message", [(2, "posix.system"), (4, "not readable as weights")]
)
def test_no_code_from_a_file_is_run(protocol, plain_message, tmp_path):
    ran = tmp_path / "ran"
    pickle.loads(pickle.dumps(Evil(ran), protocol))
    assert ran.exists()  # so the files below would do harm
    ran.unlink()

    whole = training_file(tmp_path / "whole.pkl", in_authors_layout(small()), extra=Evil(ran))
    message = r"whole.pkl: .* it names posix.system, and no code that a file names is run"
    with pytest.raises(InputError, match=message):
        load_network(small(), whole)

    plain = tmp_path / "plain.pkl"
    plain.write_bytes(pickle.dumps({"state_dict": Evil(ran)}, protocol))
    with pytest.raises(InputError, match=plain_message):
        load_network(small(), plain)

    unknown = training_file(tmp_path / "unknown.pkl", {}, extra=Path("x"))
    with pytest.raises(InputError, match=r"it names pathlib\.\S*PosixPath"):
        read_state(unknown)
    assert not ran.exists()


# --- ImageNet weights of the authors --------------------------------------------------------------


def test_weights_in_the_authors_layout_load_into_timms_network(tmp_path):
    """A file like tresnet_l_448.pth, which the recipes start from."""
    torch.manual_seed(0)
    prefix = "backbone.0.body."
    state = {
        key.removeprefix(prefix): torch.rand(shape)
        for key, (shape, _) in KEYS["Q2L-TResL-448"]["state_dict"].items()
        if key.startswith(prefix)
    }
    path = tmp_path / "tresnet_l_448.pth"
    classifier = {"head.fc.weight": torch.ones(1000, 2432)}
    torch.save({"model": state | classifier}, path)

    backbone, pretrained = create_backbone("tresnet_l", str(path), 448)
    assert pretrained[0] == "tresnet_l_448.pth"
    loaded = backbone.net.state_dict()
    torch.testing.assert_close(loaded["body.conv1.bn.weight"], state["body.conv1.1.weight"] + 1e-5)
    convolution = loaded["body.layer4.0.conv1.conv.weight"]
    assert torch.equal(convolution, state["body.layer4.0.conv1.0.weight"])
