"""Pooling, Query2Label, ML-Decoder and CSRA heads against vectors of the authors' code."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mlrepro.errors import InputError
from mlrepro.models.heads import HEADS, create_head
from mlrepro.models.heads.csra import TEMPERATURES
from mlrepro.models.heads.query2label import GroupWiseLinear, Transformer, sine_positions
from mlrepro.models.layouts import from_authors_csra

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SHARED_AAM = Path(__file__).resolve().parents[2] / ".." / "shared" / "golden" / "aam"
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
GRAPH = {"words": torch.eye(5), "A": torch.ones(5, 5)}


def tensors(path: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / path) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def below(prefix: str, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The arrays whose keys begin with `prefix`, without it."""
    return {
        key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)
    }


# --- the factory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HEADS)
def test_every_head_gives_trainable_logits(name):
    entry = HEADS[name]
    options = GRAPH if entry.label_graph else {}
    head = create_head(name, 16, 5, (3, 2), **options)
    shape = (2, 16) if entry.reads == "vectors" else (2, 16, 3, 2)
    logits = head(torch.randn(shape))
    assert logits.shape == (2, 5)

    logits.square().sum().backward()
    for parameter in head.parameters():
        if parameter.requires_grad:
            assert torch.isfinite(parameter.grad).all()
            assert parameter.grad.any()


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("query2labels", {}, "did you mean 'query2label'"),
        ("csra", {"head": 4}, "did you mean 'heads'"),
        ("csra", {"heads": 3}, "temperatures"),
        ("gap", {"pooling": "max"}, "'pooling' is none of head 'gap'"),
        ("query2label", {"hidden": 8}, "keep_input_proj"),
        ("query2label", {"keep_self_attention": "first"}, "none, other, both"),
        ("ml_decoder", {"groups": 6}, "number of classes"),
        ("mlgcn", {"words": torch.eye(4), "A": torch.eye(4)}, "classes.json"),
        ("mlgcn", {"words": torch.eye(5), "A": torch.zeros(5, 5)}, "self-loops"),
    ],
)
def test_bad_settings_are_explained(name, options, message):
    with pytest.raises(InputError, match=message):
        create_head(name, 16, 5, (3, 2), **options)


def test_query2label_refuses_a_map_of_another_size():
    head = create_head("query2label", 16, 5, (3, 2))
    with pytest.raises(InputError, match=r"\(3, 2\).*\(2, 3\)"):
        head(torch.zeros(1, 16, 2, 3))


# --- pooling --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, pooled", [("gap", [2.5, 1.0]), ("gmp", [4.0, 3.0]), ("gapgmp", [6.5, 4.0])]
)
def test_pooling(name, pooled):
    head = create_head(name, 2, 3, None)
    first = [[1.0, 2.0], [3.0, 4.0]]
    second = [[3.0, -1.0], [1.0, 1.0]]
    features = torch.tensor([[first, second]])
    torch.testing.assert_close(head(features), head.fc(torch.tensor([pooled])))


def test_angular_layer_gives_cosines():
    path = SHARED_AAM / "aam_loss.npz"
    if not path.exists():
        pytest.skip(
            "no ../shared/golden: the angular layer's golden vectors are not in this checkout"
        )
    golden = np.load(path)
    head = create_head("gap", 12, 5, None, angular=True)
    lengths = torch.arange(1, 6)  # of the weights, which must not matter
    head.fc.weight.data = torch.from_numpy(golden["angle_weight"]) * lengths
    features = torch.from_numpy(golden["angle_x"])[:, :, None, None]
    torch.testing.assert_close(head(features), torch.from_numpy(golden["angle_cos"]), **CLOSE)


# --- Query2Label ----------------------------------------------------------------------------------

Q2L = tensors("q2l/head.npz")
Q2L_CONFIGS = json.loads((GOLDEN / "q2l" / "head_state_dict_keys.json").read_text())
Q2L_NAMES = [name for name in Q2L_CONFIGS if f"{name}/logits" in Q2L]
Q2L_POSITIONS = [key for key in Q2L if key.startswith("pos/") and key.endswith("_sum")]

# By whether the first, and the other decoder layers keep their self-attention.
KEEP_SELF_ATTENTION = {(False, False): "none", (False, True): "other", (True, True): "both"}


def query2label(config: dict) -> torch.nn.Module:
    kept = (config["keep_first_self_attn_dec"], config["keep_other_self_attn_dec"])
    return create_head(
        "query2label",
        config["in_channels"],
        config["num_class"],
        (config["H"], config["W"]),
        hidden=config["hidden_dim"],
        heads=config["nheads"],
        ffn=config["dim_feedforward"],
        dropout=config["dropout"],
        enc_layers=config["enc_layers"],
        dec_layers=config["dec_layers"],
        keep_input_proj=config["keep_input_proj"],
        keep_self_attention=KEEP_SELF_ATTENTION[kept],
    )


@pytest.mark.parametrize("name", Q2L_CONFIGS)
def test_query2label_parameters_are_the_authors(name):
    state = query2label(Q2L_CONFIGS[name]["config"]).state_dict()
    shapes = dict(Q2L_CONFIGS[name]["state_dict"])
    del shapes["backbone.pos.pe"]
    assert {key: list(value.shape) for key, value in state.items()} == shapes


@pytest.mark.parametrize("name", Q2L_NAMES)
def test_query2label_agrees_with_the_authors(name):
    head = query2label(Q2L_CONFIGS[name]["config"]).eval()
    state = below(f"{name}/state/", Q2L)
    torch.testing.assert_close(head.positions, state.pop("backbone.pos.pe"), **CLOSE)
    head.load_state_dict(state)

    source = Q2L[f"{name}/src"].requires_grad_()
    logits = head(source)
    torch.testing.assert_close(logits, Q2L[f"{name}/logits"], **CLOSE)
    weights = torch.arange(1, logits.numel() + 1) / 10
    (logits.flatten() * weights).sum().backward()
    torch.testing.assert_close(source.grad, Q2L[f"{name}/grad_src"], **CLOSE)


@pytest.mark.parametrize("key", Q2L_POSITIONS)
def test_sine_positions_of_the_real_sizes(key):
    """Keys are pos/<channels>_<height>x<width>_sum."""
    prefix = key.removesuffix("_sum")
    channels, size = prefix.removeprefix("pos/").split("_")
    height, width = map(int, size.split("x"))
    table = sine_positions(int(channels), height, width)[0]

    half = int(channels) // 2
    torch.testing.assert_close(table[:8], Q2L[f"{prefix}_first8ch"], **CLOSE)
    torch.testing.assert_close(table[half : half + 8], Q2L[f"{prefix}_xhalf_first8ch"], **CLOSE)
    torch.testing.assert_close(table.double().sum(), Q2L[key], rtol=0, atol=1e-2)


def test_query2label_starts_from_the_authors_weights():
    torch.manual_seed(0)
    transformer = Transformer(32, 4, 48, 1, [False, False], 0.1).state_dict()
    torch.manual_seed(0)
    groupwise = GroupWiseLinear(5, 32).state_dict()
    drawn = {f"transformer.{key}": value for key, value in transformer.items()}
    drawn |= {f"groupwise.{key}": value for key, value in groupwise.items()}

    initial = below("init_seed0/", Q2L)
    assert initial
    for key, value in initial.items():
        torch.testing.assert_close(drawn[key], value, rtol=0, atol=0)


# --- ML-Decoder -----------------------------------------------------------------------------------

ML_DECODER = sorted(
    path.name.removesuffix("_io.npz") for path in (GOLDEN / "mldecoder").glob("*_io.npz")
)


@pytest.mark.parametrize("case", ML_DECODER)
def test_ml_decoder_agrees_with_the_authors(case):
    golden = tensors(f"mldecoder/{case}_io.npz")
    state = load_file(GOLDEN / "mldecoder" / f"{case}_state.safetensors")
    state = {key.removeprefix("decoder."): value for key, value in state.items()}
    features = golden["x"].requires_grad_()
    head = create_head(
        "ml_decoder",
        features.shape[1],
        golden["logits"].shape[1],
        None,
        embedding=32,
        groups=len(state["query_embed.weight"]),
        angular=case.startswith("aam"),
    ).eval()
    head.load_state_dict(state)

    logits = head(features)
    torch.testing.assert_close(logits, golden["logits"], **CLOSE)
    (logits * golden["cot"]).sum().backward()
    torch.testing.assert_close(features.grad, golden["grad_x"], **CLOSE)
    torch.testing.assert_close(head.duplicate_pooling.grad, golden["grad_dup"], **CLOSE)
    assert head.query_embed.weight.grad is None
    if "grad_bias" in golden:
        torch.testing.assert_close(head.duplicate_pooling_bias.grad, golden["grad_bias"], **CLOSE)


@pytest.mark.parametrize(
    "num_classes, channels, groups, parameters",
    [(80, 2048, None, 7_212_112), (20, 1280, None, 6_530_068), (9605, 2048, 200, 14_778_757)],
)
def test_ml_decoder_has_as_many_parameters_as_the_authors(
    num_classes, channels, groups, parameters
):
    with torch.device("meta"):
        head = create_head("ml_decoder", channels, num_classes, None, groups=groups)
    assert sum(parameter.numel() for parameter in head.parameters()) == parameters


def test_ml_decoder_cuts_the_surplus_of_the_last_group():
    """10 classes in 4 groups are 3 a group, 2 too many: class c is column c % 3 of group c // 3."""
    head = create_head("ml_decoder", 24, 10, None, groups=4, embedding=32, ffn=64).eval()
    features = torch.randn(2, 24, 3, 3)
    decoded = head.decode(features)
    expected = []
    for c in range(10):
        group, column = divmod(c, 3)
        expected.append(decoded[:, group] @ head.duplicate_pooling[group, :, column])
    torch.testing.assert_close(head(features), torch.stack(expected, 1), **CLOSE)


@pytest.mark.parametrize("embedding", [8, 32])
def test_ml_decoder_adds_each_query_to_itself_before_it_is_normalised(embedding):
    """A norm hides a factor, except for its epsilon: it shows with queries near zero.

    The authors' removed self-attention leaves q + q, of which the norm is taken.
    """
    head = create_head("ml_decoder", 6, 4, None, embedding=embedding, ffn=16).eval()
    queries = head.query_embed.weight
    queries.data *= 3e-3

    seen = []

    def keep_query(module, arguments):
        seen.append(arguments[0][0])

    head.layers[0].multihead_attn.register_forward_pre_hook(keep_query)
    head(torch.randn(1, 6, 2, 2))

    doubled = 2 * queries
    centred = doubled - doubled.mean(1, keepdim=True)
    variance = centred.square().mean(1, keepdim=True)
    expected = centred / (variance + 1e-5).sqrt()
    torch.testing.assert_close(seen[0], expected, **CLOSE)


# --- CSRA -----------------------------------------------------------------------------------------

CSRA = tensors("csra/csra.npz")
CSRA_CASES = [key.removesuffix("_logits") for key in CSRA if key.endswith("_logits")]


@pytest.mark.parametrize("case", CSRA_CASES)
def test_csra_agrees_with_the_authors(case):
    weights = CSRA[f"{case}_weights"]
    heads, num_classes, channels = weights.shape
    temperatures = [99 if t == torch.inf else t for t in TEMPERATURES[heads]]
    assert temperatures == CSRA[f"{case}_T"].tolist()

    lam = float(case.split("lam")[1])
    head = create_head("csra", channels, num_classes, None, heads=heads, lam=lam)
    authors = {
        f"multi_head.{i}.head.weight": weight[:, :, None, None] for i, weight in enumerate(weights)
    }
    head.load_state_dict(from_authors_csra(authors))

    features = CSRA[f"{case}_x"].requires_grad_()
    logits = head(features)
    torch.testing.assert_close(logits, CSRA[f"{case}_logits"], **CLOSE)
    (logits * CSRA[f"{case}_cot"]).sum().backward()
    torch.testing.assert_close(features.grad, CSRA[f"{case}_grad_x"], **CLOSE)
    torch.testing.assert_close(head.weight.grad, CSRA[f"{case}_grad_w"], **CLOSE)
