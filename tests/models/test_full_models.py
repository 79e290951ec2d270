"""Complete official models, filled by a rule from their key names, against the authors' logits.

This proves architecture, key mapping and arithmetic together. What float32 cannot see (the eps of a
LayerNorm, InPlaceABN's +1e-5) shows in float64, so the cheaper models run in it.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_models import golden_model, picture
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from mlrepro.errors import InputError
from mlrepro.models.backbones import Backbone
from mlrepro.models.cvt import CvTW24
from mlrepro.models.heads import create_head
from mlrepro.models.layouts import (
    official_to_timm_swin,
    official_to_timm_tresnet,
    split_authors_state,
)

GOLDEN = Path(__file__).resolve().parents[2] / ".." / "shared" / "golden" / "full_models"


def load_golden(name: str) -> tuple[dict, dict, dict[str, Tensor]]:
    path = GOLDEN / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in ../shared/golden/full_models")
    return golden_model(path)


def in_float64(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: value.double() if value.is_floating_point() else value for key, value in state.items()
    }


class WithoutDraws(TorchFunctionMode):
    """Leaves weights undrawn that are loaded in a moment."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        if function in (Tensor.normal_, Tensor.uniform_, Tensor.erfinv_):
            return arguments[0]
        return function(*arguments, **(options or {}))


def check(
    arrays: dict, state: dict, backbone: nn.Module, head: nn.Module, size: int, double: bool
) -> None:
    """Loads the official state strictly into our modules; compares logits of the golden image."""
    image = picture(size)
    if double:
        state = in_float64(state)
        backbone = backbone.double()
        head = head.double()
        image = image.double()

    backbone_state, head_state = split_authors_state(state)
    getattr(backbone, "net", backbone).load_state_dict(backbone_state, assign=True)
    if hasattr(head, "inp"):
        head_state["inp"] = head.inp  # ML-GCN's files do not hold the node features
    head.load_state_dict(head_state, assign=True)

    with torch.inference_mode():
        logits = head.eval()(backbone.eval()(image)).numpy()
    if double:
        np.testing.assert_allclose(logits, arrays["logits_f64"], rtol=0, atol=1e-8)
    else:
        np.testing.assert_allclose(logits, arrays["logits"], rtol=0, atol=1e-4)


def flops(module: nn.Module, inputs: Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(inputs)
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "name, network",
    [
        ("Q2L-R101-448", "resnet101"),
        ("Q2L-TResL_22k-448", "tresnet_v2_l"),
        ("Q2L-TResL-448-K20-keep_other", "tresnet_l"),
        ("Q2L-SwinL-384", "swin_large_patch4_window12_384"),
        ("Q2L-CvT_w24-384", "cvt_w24"),
    ],
)
def test_query2label(name, network):
    arrays, meta, state = load_golden(name)
    config = meta["config"]
    _, channels, *map_size = arrays["feature_shape"].tolist()
    options = {
        "heads": config["nheads"],
        "ffn": config["dim_feedforward"],
        "keep_self_attention": "other" if config["keep_other_self_attn_dec"] else "none",
    }

    with WithoutDraws():
        if network == "cvt_w24":
            with torch.device("meta"):  # it has no buffers that the file does not bring
                backbone = CvTW24()
        else:
            backbone = Backbone(network, config["img_size"])
        head = create_head("query2label", channels, config["num_class"], map_size, **options)

    check(arrays, state, backbone, head, config["img_size"], double=network == "tresnet_v2_l")


OTHER_MODELS = [
    ("MLDecoder-TResNet-M-224", "tresnet_m", "ml_decoder", {}, True),
    (
        "MLDecoder-TResNet-M-224-OpenImages9605",
        "tresnet_m",
        "ml_decoder",
        {"groups": 200},
        False,
    ),
    ("ASL-TResNet-M-224", "tresnet_m", "gap", {}, True),
    ("CSRA-R101-448-H4-lam0.5-K80", "resnet101", "csra", {"heads": 4, "lam": 0.5}, False),
    (
        "CSRA-ViT-B16-224-H1-lam0.3-K14",
        "vit_base_patch16_224",
        "csra",
        {"heads": 1, "lam": 0.3},
        True,
    ),
    ("MLGCN-R101-448-VOC", "resnet101", "mlgcn", {}, True),
    ("SPML-R50-448-K20", "resnet50", "gap", {}, True),
]


@pytest.mark.parametrize("name, network, head, options, double", OTHER_MODELS)
def test_other_models(name, network, head, options, double):
    arrays, meta, state = load_golden(name)
    if head == "mlgcn":
        options = options | {"words": arrays["inp"], "A": arrays["A"]}
        state["A"] = torch.from_numpy(arrays["A"])

    num_classes = arrays["logits"].shape[1]
    channels = arrays["feature_shape"][1].item()
    size = meta["input_size"]
    with WithoutDraws():
        classifier = create_head(head, channels, num_classes, None, **options)
        backbone = Backbone(network, size)
    check(arrays, state, backbone, classifier, size, double)


def test_costs_are_those_of_the_authors_code():
    with torch.device("meta"):
        backbone = CvTW24().eval()
        head = create_head("query2label", 2048, 80, (14, 14), ffn=8192).eval()
        image = torch.empty(1, 3, 384, 384)
        features = torch.empty(1, 2048, 14, 14)

    assert sum(parameter.numel() for parameter in backbone.parameters()) == 276_171_392
    assert flops(backbone, image) == 388_441_260_032
    # Of the whole Query2Label on ResNet-101, and of that network alone.
    assert flops(head, features) == 102_694_912_000 - 62_394_859_520


def test_tresnet_takes_negative_weights_and_either_kind_of_batch_norm():
    norm = "body.layer1.0.conv1.1"
    state = {
        f"{norm}.weight": torch.tensor([-1.5, 2.0]),
        "body.layer1.0.conv1.0.weight": torch.ones(1),
    }
    converted = official_to_timm_tresnet(state)
    assert set(converted) == {"body.layer1.0.conv1.bn.weight", "body.layer1.0.conv1.conv.weight"}
    weights = converted["body.layer1.0.conv1.bn.weight"].tolist()
    assert weights == pytest.approx([1.50001, 2.00001], abs=1e-7)

    counted = official_to_timm_tresnet(state | {f"{norm}.num_batches_tracked": torch.tensor(3)})
    assert counted["body.layer1.0.conv1.bn.num_batches_tracked"] == 3


def test_swin_constants_are_checked_and_dropped():
    window2 = torch.tensor([[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]])
    state = {
        "layers.0.blocks.1.attn.relative_position_index": window2,
        "layers.0.blocks.1.attn_mask": torch.zeros(4, 4, 4),
        "layers.0.downsample.norm.weight": torch.ones(8),
    }
    assert list(official_to_timm_swin(state)) == ["layers.1.downsample.norm.weight"]

    zeros = torch.zeros(144, 144, dtype=torch.long)
    with pytest.raises(InputError, match="relative positions"):
        official_to_timm_swin({"layers.0.blocks.0.attn.relative_position_index": zeros})


def test_unknown_checkpoint_is_refused():
    with pytest.raises(InputError, match="stem.weight"):
        split_authors_state({"stem.weight": torch.zeros(1)})
