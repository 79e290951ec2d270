import csv
import json
import re
import runpy
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from mlrepro.errors import InputError
from mlrepro.models.complexity import PRODUCTS, Operations
from mlrepro.models.complexity.study import costs_by_convention
from mlrepro.models.complexity.tools import count_as_ptflops

ROOT = Path(__file__).resolve().parents[2]
with (ROOT / "tests/golden/aam_gflops_check.csv").open(newline="") as file:
    CHECKED = list(
        csv.DictReader(file)
    )  # Tables 2 to 5 of the AAM paper, measured by the specification's authors

HEADS = {
    "ASL": ("gap", {}),
    "Q2L": ("query2label", {"keep_input_proj": True}),
    "ML-Decoder": ("ml_decoder", {}),
    "MLD+AAM": ("ml_decoder", {"angular": True}),
    "GAT": ("graph", {"angular": True}),
    "GATN": ("mlgcn", {}),
    "ML-GCN": ("mlgcn", {"hidden": 1280}),
}
BACKBONES = {
    "EffV2-s": "tf_efficientnetv2_s_in21k",
    "EffV2-L": "tf_efficientnetv2_l_in21k",
    "ResNeXt-101": "resnext101_32x16d",
}


@pytest.mark.parametrize("row", CHECKED, ids=lambda row: f"{row['table']} {row['row']}")
def test_printed_gflops_follow_from_the_tools(row):
    """The true GMACs, the tool's number, and whether that is the printed one, as the check table says of each row."""
    method, name, size, *classes = row["row"].replace("*", "").split()
    head, options = HEADS[method]
    backbone = BACKBONES.get(name) or (
        "tresnet_l" if method in ("ASL", "Q2L") else "tresnet_v2_l"
    )  # both are called TResNet-L
    tool = {"ml_decoder": "fvcore", "query2label": "fvcore_kkd"}.get(head, "ptflops")
    if row["row"] in ("ASL TResNet-L 448", "GATN ResNeXt-101 448"):
        tool = "gmacs"
    num_classes = int(classes[0].removeprefix("K=")) if classes else 80
    cost = costs_by_convention(head, backbone, num_classes, int(size), options)
    true = cost["gmacs"] + (
        cost["macs"]["graph"] / 1e9 if head == "mlgcn" else 0
    )  # there the branch was counted
    assert true == pytest.approx(float(row["true_GMACs_aten"].split()[0]), rel=0.005)

    printed_as_measured = abs(cost[tool] - float(row["reported"])) <= 0.01
    assert printed_as_measured == (row["match"] == "yes")
    if other := re.search(r"only at (\d+)", row["match"]):
        cost = costs_by_convention(head, backbone, num_classes, int(other[1]), options)
    low, *high = map(float, row["tool_value"].split()[0].split("-"))
    assert low - 0.01 <= cost[tool] <= (high or [low])[0] + 0.01


def test_the_check_table_is_whole():
    assert (len(CHECKED), sum(row["match"] == "yes" for row in CHECKED)) == (26, 20)


@pytest.mark.parametrize(
    "backbone, size, ffn, parameters, flops, frozen",
    [
        ("resnet101", 448, 8192, 193_801_488, 102_694_912_000, 105_344),
        ("resnet101", 576, 8192, 193_801_488, 161_335_476_224, 105_344),
        ("tresnet_l", 448, 2432, 160_486_512, 118_425_106_688, 0),
        ("tresnet_v2_l", 448, 2048, 120_016_592, 92_865_802_240, 0),
        ("swin_large_patch4_window12_384", 384, 1536, 237_960_836, 217_918_734_336, 0),
        ("cvt_w24", 384, 1024, 295_242_448, 403_599_474_688, 0),
    ],
)
def test_query2label_costs_what_the_authors_code_does(
    backbone, size, ffn, parameters, flops, frozen
):
    """golden/q2l/full_model_state_dict_keys.json. `frozen`: scales and shifts of their FrozenBatchNorm, which are buffers."""
    cost = costs_by_convention("query2label", backbone, 80, size, {"ffn": ffn})
    assert cost["parameters"] - frozen == parameters
    assert 2 * sum(cost["macs"][kind] for kind in PRODUCTS) == flops
    assert (
        all(cost["macs"][kind] for kind in ("attention", "linear", "convolution"))
        and not cost["macs"]["matmul_other"]
    )


@pytest.mark.parametrize(
    "head, backbone, classes, size, options, parameters, gmacs",
    [
        ("gap", "tresnet_m", 80, 224, {}, 29.5, 5.73),
        ("gap", "tresnet_xl", 80, 640, {}, 76.0, 123.8),
        ("gap", "tresnet_l", 9605, 448, {}, 76.9, 43.52),
        ("ml_decoder", "tresnet_m", 80, 224, {}, 36.6, 6.22),
        ("ml_decoder", "tresnet_v2_l", 80, 640, {}, 51.3, 73.42),
        ("gap", "resnet101", 80, 448, {}, 42.7, 31.2),
        ("mlgcn", "resnet101", 80, 448, {}, 45.1, 31.4),
        ("mlgcn", "resnext101_32x16d", 80, 448, {}, 194.6, 144.9),
        ("csra", "resnet101", 80, 448, {"heads": 4}, 43.2, 31.3),
        ("csra", "resnet101", 80, 448, {"heads": 6}, 43.5, 31.4),
    ],
)
def test_costs_of_the_papers_behind(head, backbone, classes, size, options, parameters, gmacs):
    """Specification, section 2: millions of parameters and GMACs, the graph branch counted."""
    cost = costs_by_convention(head, backbone, classes, size, options)
    # The specification's graph models still hold the plain classifier, the word vectors and the adjacency.
    extra = 2048 * 80 + 80 + 80 * 300 + 80 * 80 if head == "mlgcn" else 0
    assert (cost["parameters"] + extra) / 1e6 == pytest.approx(parameters, abs=0.06)
    assert cost["gmacs"] + cost["macs"]["graph"] / 1e9 == pytest.approx(gmacs, abs=0.05)


@pytest.mark.parametrize(
    "backbone, parameters, printed_m, printed_mb, mb",
    [
        ("resnet50", 25_557_032, 24.37, 98, 2**20),
        ("vit_base_patch16_224", 86_567_656, 82.56, 346, 10**6),
        ("deit_small_patch16_224", 22_050_664, 21.03, 88, 10**6),
        ("swin_base_patch4_window7_224", 87_768_224, 83.70, 353, 10**6),
    ],
)
def test_study_004_counts_plain_networks(backbone, parameters, printed_m, printed_mb, mb):
    """Its Table 1: "M" is 2^20 parameters in every row, "MB" 2^20 bytes for ResNet-50 and 10^6 for the others."""
    cost = costs_by_convention("gap", backbone, 18, 224)
    assert cost["backbone_parameters"] == parameters
    assert round(parameters / 2**20, 2) == printed_m
    assert round(cost["backbone_bytes"] / mb) == printed_mb


def test_linear_head_on_alexnet_as_in_study_003():
    cost = costs_by_convention("linear", "alexnet", 20, 256)
    assert cost["backbone_parameters"] - cost["parameters"] == (1000 - 20) * (4096 + 1)
    assert cost["macs"]["linear"] == 9216 * 4096 + 4096 * 4096 + 4096 * 20


def test_operations_by_hand():
    """Convolution, norm, activation, pooling and linear layer of a network that is small enough to count."""
    with torch.device("meta"):
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        ).eval()
        ptflops = count_as_ptflops(net)
        with torch.no_grad(), Operations(net) as operations:
            net(torch.empty(1, 3, 10, 10))
    convolution, features = 8 * 25 * 27, 8 * 25
    assert operations.counts == {
        "convolution": convolution,
        "batch_norm": features,
        "elementwise": features,
        "pooling": features,
        "linear": 40,
    }
    # a bias is one more an output; batch norm twice, ReLU and pooling once an element
    assert sum(ptflops) == convolution + features + 2 * features + features + features + 40 + 5


def test_tools_on_a_batch_normed_network():
    """ptflops' own table prints 1.82 GMACs for ResNet-18 and 4.12 for ResNet-50 at 224."""
    for backbone, printed in (("resnet18", 1.82), ("resnet50", 4.12)):
        assert costs_by_convention("gap", backbone, 1000, 224)["ptflops"] == pytest.approx(printed, abs=0.005)


@pytest.mark.parametrize(
    "head, options, remedy",
    [
        ("ml_decodr", {}, "did you mean 'ml_decoder'"),
        ("csra", {"head": 4}, "did you mean 'heads'"),
    ],
)
def test_unknown_heads_and_options(head, options, remedy):
    with pytest.raises(InputError, match=remedy):
        costs_by_convention(head, "test_resnet", 20, 64, options)


def run_stage(folder: Path, monkeypatch) -> dict:
    monkeypatch.setattr("sys.argv", ["stages/complexity.py", str(folder)])
    runpy.run_path(str(ROOT / "stages/complexity.py"))
    return json.loads((folder / "complexity.json").read_text())["runs"]


def test_stage_measures_each_model_once_and_names_what_cannot_be_built(
    tmp_path, monkeypatch, capsys
):
    """On study 004, whose complexity.json in git it must give again."""
    study = ROOT / "studies/captions"
    for name in ("study.yaml", "reported.csv"):
        shutil.copy(study / name, tmp_path)
    costs = run_stage(tmp_path, monkeypatch)
    assert costs == json.loads((study / "complexity.json").read_text())["runs"]
    assert "9 runs of 4 models" in capsys.readouterr().out
    written = (tmp_path / "complexity.json").read_bytes()
    run_stage(tmp_path, monkeypatch)
    assert (tmp_path / "complexity.json").read_bytes() == written

    numbers = (tmp_path / "reported.csv").read_text()
    (tmp_path / "reported.csv").write_text(
        numbers.replace(
            "deit_small_patch16_224-comp5329-224-bert_lr0005",
            "deit_small_patch61-comp5329-224-bert_lr0005",
        )
    )
    with pytest.raises(
        SystemExit,
        match=r"reported.csv: run 'gap-bce-deit_small_patch61-.*' cannot be built .* did you mean",
    ):
        run_stage(tmp_path, monkeypatch)
    assert (tmp_path / "complexity.json").read_bytes() == written
