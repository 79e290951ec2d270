"""Query2Label's six released models, rebuilt and compared with logits of the authors' code: writes reports/released-models.md.

    python benchmarks/released_models.py FOLDER

FOLDER holds the golden vectors, a file <model>.npz each: keys, shapes and logits of the authors' model whose weights follow
from the key names (tests/models/golden_models.py). Each is written as their checkpoint.pkl, loaded as a run loads one and scored.
Takes about two minutes and 4 GB.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from mlrepro.models.backbones import Backbone, map_size
from mlrepro.models.checkpoints import load_network, query2label_options, read_state
from mlrepro.models.classifier import Classifier
from mlrepro.models.complexity import PRODUCTS, build, count, parameters_of
from mlrepro.models.heads import create_head

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "models"))
from golden_models import golden_model, picture  # noqa: E402

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
"""


def row(name: str, backbone: str, folder: Path) -> list:
    arrays, meta, state = golden_model(folder / f"{name}.npz")
    for key in arrays["keys"].tolist():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.int64)
    size, classes = meta["config"]["img_size"], meta["config"]["num_class"]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "checkpoint.pkl"
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
        options = query2label_options(read_state(path))
        network = Backbone(backbone, size)
        model = Classifier(
            network,
            create_head(
                "query2label", network.channels, classes, map_size(backbone, size), **options
            ),
        )
        load_network(model, path)
    with torch.inference_mode():
        logits = model.eval()(picture(size)).numpy()
    difference, largest = np.abs(logits - arrays["logits"]).max(), np.abs(arrays["logits"]).max()
    operations, _ = count(build("query2label", backbone, classes, size, options), size)
    gmacs = sum(operations[kind] for kind in PRODUCTS) / 1e9
    ours, theirs = (
        " ".join(f"{value:.4f}" for value in row[0, :3]) for row in (logits, arrays["logits"])
    )
    return [
        name,
        len(arrays["keys"]),
        options["ffn"],
        parameters_of(model) / 1e6,
        gmacs,
        ours,
        theirs,
        f"{difference:.1e}",
        f"{difference / largest:.1e}",
    ]


def main(folder: str) -> None:
    rows = [row(name, backbone, Path(folder)) for name, backbone in MODELS.items()]
    headers = [
        "model",
        "entries",
        "FFN",
        "parameters, M",
        "GMACs",
        "first logits",
        "the authors'",
        "difference",
        "relative",
    ]
    text = tabulate(rows, headers, "github", floatfmt=("", "", "", ".2f", ".2f", "", "", "", ""))
    (ROOT / "reports" / "released-models.md").write_text(
        PAGE.format(table=text, classes=80), encoding="utf-8"
    )
    print(text)
    assert all(float(line[-1]) < 1e-4 for line in rows), (
        "a model does not agree with the authors' code"
    )


main(*sys.argv[1:])
