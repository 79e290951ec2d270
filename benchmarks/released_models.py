"""Query2Label's six released models against the authors' code: writes reports/released-models.md.

    python benchmarks/released_models.py FOLDER

FOLDER holds the golden vectors, a file <model>.npz each: keys, shapes and logits of the authors'
model whose weights follow from the key names (tests/models/golden_models.py). Each is written as
their checkpoint.pkl, loaded as a run loads one and scored. Takes about two minutes and 4 GB.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from mlrepro.models.backbones import Backbone, map_size
from mlrepro.models.checkpoints import load_network, query2label_options
from mlrepro.models.classifier import Classifier
from mlrepro.models.complexity.networks import build, parameters_of
from mlrepro.models.complexity.operations import PRODUCTS, count
from mlrepro.models.heads import create_head
from mlrepro.models.weight_files import read_state

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "models"))
from golden_models import golden_model, picture  # noqa: E402

HEAD = "query2label"
CLASSES = 80  # COCO's
GOAL = 1e-4  # relative difference of the logits
MODELS = {
    "Q2L-R101-448": "resnet101",
    "Q2L-R101-576": "resnet101",
    "Q2L-TResL-448": "tresnet_l",
    "Q2L-TResL_22k-448": "tresnet_v2_l",
    "Q2L-SwinL-384": "swin_large_patch4_window12_384",
    "Q2L-CvT_w24-384": "cvt_w24",
}
PAGE = """# Query2Label's released models against the authors' code

The six networks of the paper's Table I, with weights that a rule makes from the authors' key names, written as their
checkpoint.pkl and loaded as a run loads one. No trained checkpoint is at hand, so this shows that networks, key mapping and
arithmetic are theirs, and no mAP.

{table}

`entries`: of the state dict, all of which are matched. `difference`: the largest of {classes} logits of one picture from those of
the authors' code in float32, and as a share of the largest logit; the goal is 1e-4. Parameters of ResNet-101 include 0.1 M
scales and shifts of batch norms, which the authors freeze and therefore do not count.

```sh
python benchmarks/released_models.py FOLDER
```
"""  # noqa: E501 the page's lines are as long as the reports'


@dataclass(frozen=True)
class Comparison:
    """One model: what it costs, and its logits (1, K) beside those of the authors' code."""

    name: str
    entries: int
    ffn: int
    parameters: int
    macs: int
    logits: np.ndarray
    authors_logits: np.ndarray

    @property
    def difference(self) -> float:
        return np.abs(self.logits - self.authors_logits).max()

    @property
    def relative_difference(self) -> float:
        return self.difference / np.abs(self.authors_logits).max()

    def row(self) -> dict:
        """By heading of the page's table."""
        return {
            "model": self.name,
            "entries": self.entries,
            "FFN": self.ffn,
            "parameters, M": self.parameters / 1e6,
            "GMACs": self.macs / 1e9,
            "first logits": _first(self.logits),
            "the authors'": _first(self.authors_logits),
            "difference": f"{self.difference:.1e}",
            "relative": f"{self.relative_difference:.1e}",
        }


def _first(logits: np.ndarray) -> str:
    return " ".join(f"{value:.4f}" for value in logits[0, :3])


def compare(name: str, backbone: str, folder: Path) -> Comparison:
    arrays, meta, state = golden_model(folder / f"{name}.npz")
    for key in arrays["keys"].tolist():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.int64)
    size = meta["config"]["img_size"]
    classes = meta["config"]["num_class"]

    # As a run does with a checkpoint of the authors: the head's options are read from it.
    with tempfile.TemporaryDirectory() as scratch:
        path = write_checkpoint(state, Path(scratch))
        options = query2label_options(read_state(path))
        network = Backbone(backbone, size)
        head = create_head(HEAD, network.channels, classes, map_size(backbone, size), **options)
        model = Classifier(network, head)
        load_network(model, path)
    with torch.inference_mode():
        logits = model.eval()(picture(size)).numpy()

    operations, _ = count(build(HEAD, backbone, classes, size, options), size)
    return Comparison(
        name=name,
        entries=len(arrays["keys"]),
        ffn=options["ffn"],
        parameters=parameters_of(model),
        macs=sum(operations[kind] for kind in PRODUCTS),
        logits=logits,
        authors_logits=arrays["logits"],
    )


def write_checkpoint(state: dict[str, Tensor], folder: Path) -> Path:
    """A file as the authors' training writes it: of a model that several GPUs share."""
    path = folder / "checkpoint.pkl"
    wrapped = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": wrapped}, path)
    return path


def main(folder: str) -> None:
    comparisons = [compare(name, backbone, Path(folder)) for name, backbone in MODELS.items()]
    rows = [comparison.row() for comparison in comparisons]

    formats = ("", "", "", ".2f", ".2f", "", "", "", "")
    table = tabulate(rows, "keys", "github", floatfmt=formats)
    page = PAGE.format(table=table, classes=CLASSES)
    (ROOT / "reports" / "released-models.md").write_text(page, encoding="utf-8")
    print(table)

    for comparison in comparisons:
        assert comparison.relative_difference < GOAL, (
            f"{comparison.name} does not agree with the authors' code"
        )


main(*sys.argv[1:])
