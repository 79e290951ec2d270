"""Files of weights: those that authors released load whole and exactly, all others are refused by name; none runs code."""

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

from mlrepro.config import Run
from mlrepro.errors import InputError
from mlrepro.models.backbones import Backbone, create_backbone
from mlrepro.models.checkpoints import head_options, load_network, query2label_options
from mlrepro.models.classifier import Classifier, create_classifier
from mlrepro.models.complexity import build, measure_cost
from mlrepro.models.heads import create_head
from mlrepro.models.heads.query2label import sine_positions
from mlrepro.models.weight_files import read_state

KEYS = json.loads(
    (Path(__file__).resolve().parents[1] / "golden/q2l/full_model_state_dict_keys.json").read_text()
)
NETWORKS = {
    "R101": "resnet101",
    "TResL_22k": "tresnet_v2_l",
    "TResL": "tresnet_l",
    "CvT_w24": "cvt_w24",
    "SwinL": "swin_large_patch4_window12_384",
}
SMALL = "test_resnet"
CLASSES = 5


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def small(resolution: int = 64, classes: int = CLASSES, seed: int = 0, **options) -> Classifier:
    torch.manual_seed(seed)
    backbone = Backbone(SMALL, resolution)
    side = resolution // 32
    return Classifier(
        backbone,
        create_head("query2label", backbone.channels, classes, (side, side), ffn=24, **options),
    ).eval()


def in_authors_layout(model: Classifier, wrapper: str = "module.") -> dict[str, torch.Tensor]:
    """The network's state as Query2Label's code would name it for a ResNet, its frozen batch norms without counters."""
    state = {"backbone.1.pe": model.head.positions}
    for key, value in model.state_dict().items():
        state[key.replace("backbone.net.", "backbone.0.body.").removeprefix("head.")] = value
    return {
        wrapper + key: value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }


def training_file(path: Path, state: dict, **more) -> Path:
    """A checkpoint.pkl with what such files hold beside the state dict."""
    torch.save(
        {
            "epoch": 15,
            "best_mAP": np.float64(84.9),
            "state_dict": state,
            "regular": np.arange(3.0),
            "args": argparse.Namespace(backbone="resnet101", wd=np.float32(0.01)),
            **more,
        },
        path,
    )
    return path


def released(name: str) -> tuple[dict[str, torch.Tensor], list[int]]:
    """The state dict of a released model, zeros that take no memory but for its constants, and the size of its maps."""
    entry = next(
        value for key, value in KEYS.items() if re.fullmatch(re.escape(name) + r"(\(.*\))?", key)
    )
    kinds = {"torch.float32": torch.float32, "torch.int64": torch.int64}
    state = {
        key: torch.zeros((), dtype=kinds[kind]).expand(shape)
        for key, (shape, kind) in entry["state_dict"].items()
    }
    _, channels, *size = entry["feature_shape"]
    state["backbone.1.pe"] = sine_positions(channels, *size)
    index = gen_relative_position_index((12, 12))
    return {
        key: index if key.endswith("relative_position_index") else value
        for key, value in state.items()
    }, size


# --- the released models ---------------------------------------------------------------------------------------------


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
    loaded = load_network(model, path)
    assert loaded == (hashlib.sha256(path.read_bytes()).hexdigest(), "")

    for key in (
        "fc.b",
        [key for key in state if key.startswith("backbone.0.") and key.endswith(".bias")][-1],
    ):
        left_out = training_file(
            tmp_path / "less.pkl", {k: v for k, v in state.items() if k != key}
        )
        with pytest.raises(InputError, match="1 missing, first "):
            load_network(model, left_out)


def test_ffn_size_comes_from_the_checkpoint_unless_the_run_file_says_it(tmp_path):
    path = training_file(
        tmp_path / "checkpoint.pkl", in_authors_layout(small(keep_self_attention="other"))
    )
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
    assert head_options(run.model_copy(update={"head_options": {"ffn": 8}})) == {"ffn": 8}


def test_options_of_a_checkpoint_with_other_layers():
    state = {
        key: value
        for key, value in small(
            hidden=8, keep_input_proj=True, enc_layers=0, dec_layers=3, keep_self_attention="other"
        )
        .state_dict()
        .items()
    }
    expected = {
        "ffn": 24,
        "enc_layers": 0,
        "dec_layers": 3,
        "keep_self_attention": "other",
        "keep_input_proj": True,
        "hidden": 8,
    }
    assert query2label_options(state) == expected
    del state["head.transformer.decoder.layers.2.self_attn.in_proj_weight"]
    with pytest.raises(InputError, match=r"\[False, True, False\]"):
        query2label_options(state)


# --- whole networks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["authors", "ours"])
def test_a_network_comes_back_from_its_file(layout, tmp_path):
    source, model, pictures = small(), small(seed=1), torch.randn(2, 3, 64, 64)
    if layout == "authors":
        path = training_file(tmp_path / "checkpoint.pkl", in_authors_layout(source))
    else:
        path = tmp_path / "last.safetensors"
        save_file(source.state_dict(), path)
    with torch.inference_mode():
        assert not torch.allclose(model(pictures), source(pictures))
        assert load_network(model, path)[1] == ""
        assert torch.equal(model(pictures), source(pictures))


def test_what_is_dropped_starts_anew_and_the_rest_does_not(tmp_path):
    """As from COCO to VOC2007: other classes, and a self-attention that the file has not."""
    source, model = small(), small(classes=3, seed=1, keep_self_attention="other")
    path = training_file(tmp_path / "checkpoint.pkl", in_authors_layout(source))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    drop = [
        "query_embed",
        "fc",
        "transformer.decoder.layers.1.self_attn",
        "transformer.decoder.layers.1.norm1",
    ]
    assert load_network(model, path, drop)[1] == f"{' and '.join(drop)} started anew"
    after, loaded = model.state_dict(), source.state_dict()
    for key, value in after.items():
        anew = any(f"{key}.".startswith(f"head.{prefix}.") for prefix in drop)
        assert torch.equal(value, (before if anew else loaded)[key]), key
    with pytest.raises(InputError, match="to start anew, but unknown, first query_embde"):
        load_network(model, path, ["query_embde", *drop])


def test_positions_of_another_resolution_are_made_anew_and_it_is_said(tmp_path):
    path = training_file(tmp_path / "checkpoint.pkl", in_authors_layout(small()))
    model = small(resolution=96, seed=1)
    assert (
        load_network(model, path)[1]
        == "positions made anew for maps of [3, 3], the file has [2, 2]"
    )
    torch.testing.assert_close(model.head.positions, sine_positions(model.backbone.channels, 3, 3))
    learned = in_authors_layout(small()) | {
        "module.backbone.1.pe": torch.randn(1, model.backbone.channels, 2, 2)
    }
    with pytest.raises(InputError, match="not Query2Label's fixed sine table"):
        load_network(model, training_file(tmp_path / "learned.pkl", learned))


# --- bad input -------------------------------------------------------------------------------------------------------


def test_files_of_another_network_name_the_first_keys_and_shapes(tmp_path):
    state, model = in_authors_layout(small()), small(seed=1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    width = model.backbone.channels

    def message(path: Path) -> str:
        with pytest.raises(InputError) as error:
            load_network(model, path)
        assert str(path) in str(error.value)
        return str(error.value)

    classes = message(training_file(tmp_path / "classes.pkl", in_authors_layout(small(classes=80))))
    assert (
        f"3 of another shape, first head.query_embed.weight [80, {width}], here [5, {width}]"
        in classes
    )
    assert "missing" not in classes and "left over" not in classes and "checkpoint_drop" in classes
    extra = message(
        training_file(tmp_path / "extra.pkl", state | {"module.fc2.weight": torch.ones(2, 3)})
    )
    assert "1 left over, first backbone.net.fc2.weight [2, 3]" in extra
    head = message(
        training_file(tmp_path / "head.pkl", in_authors_layout(small(keep_self_attention="both")))
    )
    assert "12 left over, first head.transformer.decoder.layers.0.self_attn.in_proj_weight" in head
    assert "its keys fit no known model" in message(
        training_file(tmp_path / "other.pkl", {"stem.weight": torch.ones(1)})
    )
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_swin_of_another_window_is_refused(tmp_path):
    state, _ = released("Q2L-SwinL-384")
    state |= {
        key: torch.zeros(1).expand(169, value.shape[1])
        for key, value in state.items()
        if key.endswith("bias_table")
    }
    model = build("query2label", NETWORKS["SwinL"], 80, 384)
    table = r"backbone.net.layers.0.blocks.0.attn.relative_position_bias_table \[169, 6\], here \[529, 6\]"
    with pytest.raises(InputError, match=f"24 of another shape, first {table}"):
        load_network(model, training_file(tmp_path / "checkpoint.pkl", state))


def test_damaged_and_foreign_files(tmp_path):
    path = training_file(tmp_path / "checkpoint.pkl", in_authors_layout(small()))
    (tmp_path / "truncated.pkl").write_bytes(path.read_bytes()[:100_000])
    (tmp_path / "page.pkl").write_text("<html>Sign in to Google Drive</html>")
    torch.save([torch.ones(2)], tmp_path / "list.pkl")
    for name in ("truncated.pkl", "page.pkl", "list.pkl"):
        with pytest.raises(InputError, match=f"{name}: not readable as weights"):
            read_state(tmp_path / name)
    with pytest.raises(InputError, match="absent.pkl: no such file"):
        read_state(tmp_path / "absent.pkl")


@pytest.mark.parametrize("protocol", [2, 4])
def test_no_code_from_a_file_is_run(protocol, tmp_path):
    ran = tmp_path / "ran"
    pickle.loads(pickle.dumps(Evil(ran), protocol))
    assert ran.exists()  # so the file below would do harm
    ran.unlink()
    whole = training_file(tmp_path / "whole.pkl", in_authors_layout(small()), extra=Evil(ran))
    with pytest.raises(
        InputError,
        match=r"whole.pkl: .* it names posix.system, and no code that a file names is run",
    ):
        load_network(small(), whole)
    plain = tmp_path / "plain.pkl"
    plain.write_bytes(pickle.dumps({"state_dict": Evil(ran)}, protocol))
    with pytest.raises(
        InputError, match="posix.system" if protocol == 2 else "not readable as weights"
    ):
        load_network(small(), plain)
    unknown = training_file(tmp_path / "unknown.pkl", {}, extra=Path("x"))
    with pytest.raises(InputError, match=r"it names pathlib\.\S*PosixPath"):
        read_state(unknown)
    assert not ran.exists()


# --- ImageNet weights of the authors ---------------------------------------------------------------------------------


def test_weights_in_the_authors_layout_load_into_timms_network(tmp_path):
    """tresnet_l_448.pth and the like: what the recipes start from."""
    entry = KEYS["Q2L-TResL-448"]["state_dict"]
    torch.manual_seed(0)
    state = {
        key.removeprefix("backbone.0.body."): torch.rand(shape)
        for key, (shape, _) in entry.items()
        if key.startswith("backbone.0.body.")
    }
    torch.save(
        {"model": state | {"head.fc.weight": torch.ones(1000, 2432)}},
        tmp_path / "tresnet_l_448.pth",
    )
    backbone, pretrained = create_backbone("tresnet_l", str(tmp_path / "tresnet_l_448.pth"), 448)
    assert pretrained[0] == "tresnet_l_448.pth"
    loaded = backbone.net.state_dict()
    torch.testing.assert_close(loaded["body.conv1.bn.weight"], state["body.conv1.1.weight"] + 1e-5)
    assert torch.equal(
        loaded["body.layer4.0.conv1.conv.weight"], state["body.layer4.0.conv1.0.weight"]
    )
