"""Costs of models: against the tools' and the authors' numbers, by hand, and as a stage."""

import csv
import json
import re
import runpy
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn

from mlrepro.errors import InputError
from mlrepro.models.complexity.operations import PRODUCTS, Operations
from mlrepro.models.complexity.study import costs_by_convention
from mlrepro.models.complexity.tools import count_as_ptflops

ROOT = Path(__file__).resolve().parents[2]

# Tables 2 to 5 of the AAM paper, measured by the specification's authors.
with (ROOT / "tests/golden/aam_gflops_check.csv").open(newline="") as file:
    CHECKED = list(csv.DictReader(file))

# The head, and its options, behind each name in that table's rows.
METHODS = {
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


@dataclass
class CheckedModel:
    """What a row of the check table is about, and the tool that its printed number comes from."""

    head: str
    options: dict
    backbone: str
    size: int
    num_classes: int
    tool: str

    def costs(self, size: int | None = None) -> dict:
        return costs_by_convention(
            self.head, self.backbone, self.num_classes, size or self.size, self.options
        )


def checked_model(name: str) -> CheckedModel:
    """A row's name is <method> <backbone> <size> [K=<classes>], with or without asterisks."""
    method, network, size, *classes = name.replace("*", "").split()
    head, options = METHODS[method]
    # Two networks are called TResNet-L.
    tresnet = "tresnet_l" if method in ("ASL", "Q2L") else "tresnet_v2_l"
    if name in ("ASL TResNet-L 448", "GATN ResNeXt-101 448"):
        tool = "gmacs"
    else:
        tool = {"ml_decoder": "fvcore", "query2label": "fvcore_kkd"}.get(head, "ptflops")
    return CheckedModel(
        head=head,
        options=options,
        backbone=BACKBONES.get(network, tresnet),
        size=int(size),
        num_classes=int(classes[0].removeprefix("K=")) if classes else 80,
        tool=tool,
    )


@pytest.mark.parametrize("row", CHECKED, ids=lambda row: f"{row['table']} {row['row']}")
def test_printed_gflops_follow_from_the_tools(row):
    """True GMACs, the tool's number, and whether that is the printed one, as the table says."""
    model = checked_model(row["row"])
    costs = model.costs()
    true = costs["gmacs"]
    if model.head == "mlgcn":
        true += costs["macs"]["graph"] / 1e9  # there the branch was counted
    assert true == pytest.approx(float(row["true_GMACs_aten"].split()[0]), rel=0.005)

    printed_as_measured = abs(costs[model.tool] - float(row["reported"])) <= 0.01
    assert printed_as_measured == (row["match"] == "yes")

    # Some printed numbers are those of another resolution.
    another_size = re.search(r"only at (\d+)", row["match"])
    if another_size:
        costs = model.costs(int(another_size[1]))
    bounds = [float(bound) for bound in row["tool_value"].split()[0].split("-")]
    assert bounds[0] - 0.01 <= costs[model.tool] <= bounds[-1] + 0.01


def test_the_check_table_is_whole():
    assert len(CHECKED) == 26
    assert sum(row["match"] == "yes" for row in CHECKED) == 20


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
    """Numbers of golden/q2l/full_model_state_dict_keys.json.

    frozen: scales and shifts of their FrozenBatchNorm, which are buffers.
    """
    costs = costs_by_convention("query2label", backbone, 80, size, {"ffn": ffn})
    macs = costs["macs"]
    assert costs["parameters"] - frozen == parameters
    assert 2 * sum(macs[kind] for kind in PRODUCTS) == flops
    for kind in ("attention", "linear", "convolution"):
        assert macs[kind]
    assert not macs["matmul_other"]


@dataclass
class PublishedCost:
    """Millions of parameters and GMACs of a model, the graph branch counted."""

    head: str
    backbone: str
    size: int
    parameters: float
    gmacs: float
    classes: int = 80
    options: dict = field(default_factory=dict)


COSTS_OF_THE_PAPERS_BEHIND = [
    PublishedCost("gap", "tresnet_m", 224, 29.5, 5.73),
    PublishedCost("gap", "tresnet_xl", 640, 76.0, 123.8),
    PublishedCost("gap", "tresnet_l", 448, 76.9, 43.52, classes=9605),
    PublishedCost("ml_decoder", "tresnet_m", 224, 36.6, 6.22),
    PublishedCost("ml_decoder", "tresnet_v2_l", 640, 51.3, 73.42),
    PublishedCost("gap", "resnet101", 448, 42.7, 31.2),
    PublishedCost("mlgcn", "resnet101", 448, 45.1, 31.4),
    PublishedCost("mlgcn", "resnext101_32x16d", 448, 194.6, 144.9),
    PublishedCost("csra", "resnet101", 448, 43.2, 31.3, options={"heads": 4}),
    PublishedCost("csra", "resnet101", 448, 43.5, 31.4, options={"heads": 6}),
]


@pytest.mark.parametrize(
    "published",
    COSTS_OF_THE_PAPERS_BEHIND,
    ids=lambda published: f"{published.head}-{published.backbone}-{published.size}",
)
def test_costs_of_the_papers_behind(published):
    """The specification's section 2."""
    costs = costs_by_convention(
        published.head,
        published.backbone,
        published.classes,
        published.size,
        published.options,
    )
    parameters = costs["parameters"]
    if published.head == "mlgcn":
        # The specification's graph models still hold the plain classifier, the word vectors and
        # the adjacency.
        parameters += (2048 * 80 + 80) + 80 * 300 + 80 * 80
    assert parameters / 1e6 == pytest.approx(published.parameters, abs=0.06)
    gmacs = costs["gmacs"] + costs["macs"]["graph"] / 1e9
    assert gmacs == pytest.approx(published.gmacs, abs=0.05)


PLAIN_NETWORKS_OF_THE_CAPTIONS_STUDY = [
    ("resnet50", 25_557_032, 24.37, 98, 2**20),
    ("vit_base_patch16_224", 86_567_656, 82.56, 346, 10**6),
    ("deit_small_patch16_224", 22_050_664, 21.03, 88, 10**6),
    ("swin_base_patch4_window7_224", 87_768_224, 83.70, 353, 10**6),
]


@pytest.mark.parametrize(
    "backbone, parameters, printed_m, printed_mb, mb", PLAIN_NETWORKS_OF_THE_CAPTIONS_STUDY
)
def test_the_captions_study_counts_plain_networks(backbone, parameters, printed_m, printed_mb, mb):
    """Table 1 of the captions + images study.

    "M" is 2^20 parameters in every row, "MB" 2^20 bytes for ResNet-50 and 10^6 for the others.
    """
    costs = costs_by_convention("gap", backbone, 18, 224)
    assert costs["backbone_parameters"] == parameters
    assert round(parameters / 2**20, 2) == printed_m
    assert round(costs["backbone_bytes"] / mb) == printed_mb


def test_linear_head_on_alexnet_as_in_the_voc_transfer_study():
    costs = costs_by_convention("linear", "alexnet", 20, 256)
    published_classes = 1000
    difference = costs["backbone_parameters"] - costs["parameters"]
    assert difference == (published_classes - 20) * (4096 + 1)
    assert costs["macs"]["linear"] == 9216 * 4096 + 4096 * 4096 + 4096 * 20


def test_operations_by_hand():
    """A convolution, norm, activation, pooling and linear layer, small enough to count."""
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

    features = 8 * 25
    convolution = features * 27
    assert operations.counts == {
        "convolution": convolution,
        "batch_norm": features,
        "elementwise": features,
        "pooling": features,
        "linear": 40,
    }
    # For ptflops a bias is one more an output; batch norm counts twice, ReLU and pooling once.
    biases = features + 5
    batch_norm = 2 * features
    assert sum(ptflops) == convolution + batch_norm + features + features + 40 + biases


@pytest.mark.parametrize("backbone, printed", [("resnet18", 1.82), ("resnet50", 4.12)])
def test_ptflops_on_a_batch_normed_network(backbone, printed):
    """Against ptflops' own table, at 224."""
    costs = costs_by_convention("gap", backbone, 1000, 224)
    assert costs["ptflops"] == pytest.approx(printed, abs=0.005)


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


# --- the stage ------------------------------------------------------------------------------------


def run_stage(folder: Path, monkeypatch) -> dict:
    monkeypatch.setattr("sys.argv", ["stages/complexity.py", str(folder)])
    runpy.run_path(str(ROOT / "stages/complexity.py"))
    return json.loads((folder / "complexity.json").read_text())["runs"]


def test_stage_measures_each_model_once_and_names_what_cannot_be_built(
    tmp_path, monkeypatch, capsys
):
    """On the captions + images study, whose complexity.json in git it must give again."""
    study = ROOT / "studies/captions"
    for name in ("study.yaml", "reported.csv"):
        shutil.copy(study / name, tmp_path)
    costs = run_stage(tmp_path, monkeypatch)
    assert costs == json.loads((study / "complexity.json").read_text())["runs"]
    assert "9 runs of 4 models" in capsys.readouterr().out

    written = (tmp_path / "complexity.json").read_bytes()
    run_stage(tmp_path, monkeypatch)
    assert (tmp_path / "complexity.json").read_bytes() == written

    # A misspelt backbone: the run is named, and what was written stays.
    numbers = (tmp_path / "reported.csv").read_text()
    misspelt = numbers.replace(
        "deit_small_patch16_224-comp5329-224-bert_lr0005",
        "deit_small_patch61-comp5329-224-bert_lr0005",
    )
    (tmp_path / "reported.csv").write_text(misspelt)
    message = r"reported.csv: run 'gap-bce-deit_small_patch61-.*' cannot be built .* did you mean"
    with pytest.raises(SystemExit, match=message):
        run_stage(tmp_path, monkeypatch)
    assert (tmp_path / "complexity.json").read_bytes() == written

    # A data set that nobody has described.
    unknown = numbers.replace("-comp5329-224-bert_lr0005", "-comp5330-224-bert_lr0005")
    (tmp_path / "reported.csv").write_text(unknown)
    message = "how many classes 'comp5330' has is not known; .* did you mean 'comp5329'"
    with pytest.raises(SystemExit, match=message):
        run_stage(tmp_path, monkeypatch)
