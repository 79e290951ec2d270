"""What a ridge regression gains by larger pictures, mirror images and roots of its features.

    python benchmarks/forms.py studies/own-data/params.yaml

In the repository where `init-data` was given the pictures and the stage `prepare` has run; several
params.yaml are measured after each other. Features that are not there yet are extracted, into the
folder of the data. For each seed, a quarter of all pictures is drawn to measure on, a fifth of the
others is validation, which the penalty is chosen on, and the rest is trained on. The first row,
mirror images at 224 px, is what own data began with.

mAP is the mean over seeds. `gain` is the mean difference to the first row on the same pictures, in
points, and its standard error over seeds, which share pictures: it is too small where these are
few. `operations` are those of the networks' multiplications, relative to the first row.
"""

from pathlib import Path

import numpy as np
import yaml
from common import parser, write

from mlrepro.data.features import features_path, read_features
from mlrepro.data.manifest import Manifest, read_manifest
from mlrepro.layout import read_layout
from mlrepro.metrics.average_precision import average_precision, mean_average_precision
from mlrepro.settings.data import Features
from mlrepro.training.device import device
from mlrepro.training.extract_composed import extract_pooled
from mlrepro.training.grid.closed_form import ridge_layers

# (backbone, pixels), the first to compare the others with.
FORMS = (
    ("lites_mirrored", 224),
    ("tf_efficientnet_lite2", 224),
    ("lites", 224),
    ("lites_root", 224),
    ("tf_efficientnet_lite2", 320),
    ("lites", 320),
    ("lites_root", 320),
)

BUDGETS = Path(__file__).resolve().parents[1] / "studies" / "own-data" / "budgets.yaml"

TEST = 0.25
VALIDATION = 0.2


def extract_missing(manifest: Manifest, folder: Path) -> None:
    """All at once, so that forms share the networks that they are composed of."""
    wanted = []
    for backbone, resolution in FORMS:
        if not features_path(folder, backbone, resolution).is_file():
            form = Features(backbone=backbone, weights="package", resolution=resolution)
            wanted.append(form)
    extract_pooled(wanted, manifest, folder, device())


def read_form(
    backbone: str, resolution: int, manifest: Manifest, folder: Path
) -> tuple[np.ndarray, int]:
    """Features (N, D) float64, and the operations of a picture."""
    path = features_path(folder, backbone, resolution)
    features, header = read_features(path, manifest, backbone, resolution)
    return features.double().numpy(), sum(header["cost"]["operations"].values())


def drawn(pictures: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of train, validation and test."""
    order = np.random.default_rng(seed).permutation(pictures)
    of_test = int(TEST * pictures)
    test = order[:of_test]
    others = order[of_test:]

    of_validation = int(VALIDATION * len(others))
    val = others[:of_validation]
    train = others[of_validation:]
    return train, val, test


def test_map(features: np.ndarray, labels: np.ndarray, penalties: list[float], seed: int) -> float:
    """mAP of the ridge regression whose penalty is best on validation.

    labels (N, C): 1 positive, 0 negative, -1 unknown.
    """
    train, val, test = drawn(len(labels), seed)
    layers = ridge_layers(features[train], labels[train], penalties)

    def mAP(layer: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> float:
        weight, bias = layer
        scores = features[rows] @ weight.T + bias
        return mAP_of(scores, labels[rows])

    on_validation = [mAP(layer, val) for layer in layers]
    best = layers[int(np.argmax(on_validation))]
    return mAP(best, test)


def mAP_of(scores: np.ndarray, labels: np.ndarray) -> float:
    """Over the classes that have a positive, each over the pictures for which it is known."""
    by_class = []
    for k in range(labels.shape[1]):
        known = labels[:, k] != -1
        of_class = average_precision(scores[known, k : k + 1], labels[known, k : k + 1])
        by_class.append(of_class[0])
    return mean_average_precision(np.array(by_class), empty="skip")


def measure(settings: Path, seeds: int) -> list[dict]:
    """A row a form: mAP by seed, and operations."""
    layout = read_layout(settings)
    manifest = read_manifest(layout.data)
    labels = manifest.label_matrix()
    penalties = yaml.safe_load(BUDGETS.read_text())["search"]["penalties"]

    extract_missing(manifest, layout.data)
    rows = []
    for backbone, resolution in FORMS:
        features, operations = read_form(backbone, resolution, manifest, layout.data)
        maps = [test_map(features, labels, penalties, seed) for seed in range(seeds)]
        row = {
            "data": f"{layout.name}: {len(labels)} pictures, {labels.shape[1]} labels",
            "backbone": backbone,
            "resolution": resolution,
            "mAP": maps,
            "operations": operations,
        }
        rows.append(row)
        print(f"{layout.name} {backbone} {resolution}: mAP {np.mean(maps):.2f}", flush=True)
    return rows


def main() -> None:
    options = parser(__doc__, repeats=20)
    options.add_argument("settings", nargs="+", type=Path, help="params.yaml of own data")
    given = options.parse_args()

    rows = []
    for settings in given.settings:
        rows += measure(settings, given.repeats)
    write("forms", rows, __doc__, given.out)


if __name__ == "__main__":
    main()
