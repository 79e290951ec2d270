"""Label-graph heads against vectors computed with ML-GCN's and deep-object-reid's code."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mlrepro.data.graph import cooccurrence, correlation_matrix
from mlrepro.models.heads import create_head
from mlrepro.models.heads.label_graph import normalize_adjacency

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "mlgcn"
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def tensors(name: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / name) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


ADJACENCY = dict(np.load(GOLDEN / "adjacency.npz"))
ADJACENCY_CASES = [key for key in ADJACENCY if "A_t" in key]
REWEIGHTING = tensors("dor_gcn_gat.npz")
REWEIGHTING_CASES = [key.removesuffix("_logits") for key in REWEIGHTING if key.endswith("_logits")]
LAYERS = {"gan": "gat", "gcn": "gcn"}  # the authors' names and ours


@pytest.mark.parametrize("key", ADJACENCY_CASES)
def test_correlation_matrix_agrees_with_the_authors(key):
    """Keys are [<data set>_|dor_]A_t<tau>[_rho<p>]; `dor_` is deep-object-reid's."""
    source, _, settings = key.partition("A_t")
    tau, _, rho = settings.partition("_rho")
    prefix = "" if source == "dor_" else source
    counts = ADJACENCY[f"{prefix}counts"]
    images = ADJACENCY[f"{prefix}nums"]

    A = correlation_matrix(counts, images, float(tau), float(rho or 0.25))
    np.testing.assert_allclose(A, ADJACENCY[key], rtol=0, atol=1e-12)
    if source != "dor_":
        adjacency = normalize_adjacency(torch.from_numpy(A).float())
        np.testing.assert_allclose(adjacency, ADJACENCY[f"{source}adj_t{tau}"], **CLOSE)


def test_cooccurrence_counts_images():
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, -1]])
    counts, images = cooccurrence(labels)
    assert counts.tolist() == [[0, 2, 1], [2, 0, 1], [1, 1, 0]]
    assert images.tolist() == [3, 2, 1]


def test_ml_gcn_agrees_with_the_authors():
    golden = tensors("gcn_forward.npz")
    head = create_head("mlgcn", 12, 6, None, words=golden["inp"], A=golden["A"], hidden=16)
    weights = {"gc1.weight": golden["w1"], "gc2.weight": golden["w2"]}
    head.load_state_dict(weights, strict=False)

    torch.testing.assert_close(head.class_weights(), golden["x2"], **CLOSE)
    one_position = golden["feat"][:, :, None, None]
    torch.testing.assert_close(head(one_position), golden["logits"], **CLOSE)
    logits = golden["pooled"] @ golden["x2"].T
    torch.testing.assert_close(head(golden["featmap"]), logits, **CLOSE)


@pytest.mark.parametrize("case", REWEIGHTING_CASES)
def test_graph_reweighting_agrees_with_the_authors(case):
    layer, pooling, loss = case.split("_", 2)
    prefix = f"{case}_sd."
    state = {
        key.removeprefix(prefix): value
        for key, value in REWEIGHTING.items()
        if key.startswith(prefix)
    }
    features = REWEIGHTING[f"{case}_feat"]

    head = create_head(
        "graph",
        features.shape[1],
        6,
        None,
        words=REWEIGHTING["word"],
        A=state["A"],
        layer=LAYERS[layer],
        pooling=pooling,
        angular=loss == "am_binary",
    ).eval()
    head.load_state_dict(state)

    torch.testing.assert_close(head.gates(), REWEIGHTING[f"{case}_gate"], **CLOSE)
    torch.testing.assert_close(head(features), REWEIGHTING[f"{case}_logits"], **CLOSE)


def test_graph_attention_runs_in_half_precision():
    A = torch.eye(6) + torch.eye(6).roll(1, 0)
    head = create_head("graph", 12, 6, None, words=torch.randn(6, 8), A=A).eval()
    features = torch.randn(2, 12, 4, 4)
    with torch.autocast("cpu", torch.float16):
        logits = head(features)
    torch.testing.assert_close(logits.float(), head(features), rtol=1e-2, atol=1e-2)


def test_precomputed_gates_serve_inference_only():
    head = create_head("graph", 12, 6, None, words=torch.randn(6, 8), A=torch.eye(6)).eval()
    features = torch.randn(2, 12, 4, 4)
    expected = head(features)
    head.precompute()
    head.gc1.W.data.zero_()  # no longer looked at
    torch.testing.assert_close(head(features), expected)
    head.train()(features).sum().backward()
    assert head.gc1.W.grad is not None


def test_the_gated_map_may_go_to_ml_decoder():
    torch.manual_seed(0)
    size = {"embedding": 16, "ffn": 32, "angular": True}
    graph = {"words": torch.randn(6, 8), "A": torch.eye(6)}
    head = create_head("graph", 12, 6, None, **graph, pooling="ml_decoder", **size).eval()
    features = torch.randn(2, 12, 4, 4)
    decoder = create_head("ml_decoder", 12, 6, None, **size).eval()
    decoder.load_state_dict(head.head.state_dict())

    gated = features * head.gates()[:, None, None]
    torch.testing.assert_close(head(features), decoder(gated))
    head.train()(features).sum().backward()
    assert head.gc1.W.grad.abs().sum() > 0
