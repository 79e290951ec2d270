"""Labels and scores of pictures, from a model folder: those of `mlrepro predict`, and those that `mlflow models serve` gives."""

import base64
import csv
import glob
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from mlrepro.data.images import decode, normalise
from mlrepro.errors import InputError
from mlrepro.files import file_sha256
from mlrepro.models.classifier import create_classifier
from mlrepro.settings.run import Run
from mlrepro_cli import SUFFIXES

VERSIONS = {name: version(name).partition("+")[0] for name in ("mlrepro", "torch", "timm")}


def build(config: dict, state: dict[str, Tensor]) -> nn.Module:
    """The network of a config.json, in eval mode. `state`: the weights of all of it, and its label graph, if any."""
    run = Run.model_construct(
        weights="none",
        **{key: config[key] for key in ("backbone", "head", "head_options", "resolution")},
    )
    graph = {"words": state["head.inp"], "A": state["head.A"]} if "head.inp" in state else {}
    network, _ = create_classifier(run, len(config["classes"]), **graph)
    network.load_state_dict(state)
    return network.eval()


def load_model(folder: Path) -> tuple[dict, nn.Module]:
    """config.json and the network, on the GPU if there is one; InputError where they are not as they were exported."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        made, files = (
            config["versions"],
            [(folder / name, digest) for name, digest in config["sha256"].items()],
        )
        if made["mlrepro"].partition(".")[0] != VERSIONS["mlrepro"].partition(".")[0]:
            raise InputError(
                f"made by mlrepro {made['mlrepro']}, which mlrepro {VERSIONS['mlrepro']} cannot read"
            )
        if wrong := [
            path.name for path, digest in files if path.exists() and file_sha256(path) != digest
        ]:
            raise InputError(
                f"{' and '.join(wrong)}: not what was exported, for the sha256 is another than in config.json"
            )
        network = (
            timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
            if "architecture" in config
            else build(config, load_file(folder / "model.safetensors"))
        )
    except Exception as error:  # what is half copied, or another program's, fails in every way
        raise InputError(
            f"{folder}: not a model folder that can be used ({error}); use the mlrepro that made it, copy it again, "
            "or export the run again (mlrepro export)"
        ) from None
    for name, now in VERSIONS.items():
        if made[name] != now:
            print(
                f"warning: {folder}: exported with {name} {made[name]}, this is {now}; scores may differ",
                file=sys.stderr,
            )
    return config, network.to("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def logits(
    config: dict, network: Callable[[Tensor], Tensor], pictures: Sequence[np.ndarray], device="cpu"
) -> np.ndarray:
    """(B, K) float32 of decoded pictures of S x S; computed in float32 whatever the precision of the training."""
    batch = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2)
    return network(normalise(batch, config["mean"], config["std"])).cpu().numpy()


def find_pictures(paths: Sequence[str]) -> list[str]:
    """Files as given, pictures in folders and below by suffix, what globs match; each once. InputError where that is nothing."""
    found, problems = {}, []
    for path in paths:
        matches = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
        files = [match for match in matches if not os.path.isdir(match)]
        files += sorted(
            os.path.join(parent, name)
            for folder in matches
            if os.path.isdir(folder)
            for parent, _, names in os.walk(folder, onerror=problems.append)
            for name in names
            if name.lower().endswith(SUFFIXES)
        )
        if problems or not files:
            raise InputError(
                f"{path}: {problems[0] if problems else 'no such file, or no pictures there'}"
            )
        found |= dict.fromkeys(files)
    return list(found)


def predict(
    config: dict, network: nn.Module, names: Sequence, read: Callable = Path, batch: int = 32
) -> Iterator[dict]:
    """Yields {image, labels, scores} or {image, error} of each of `names`, in their order; read: a name to a path or a file.
    labels: the classes whose logit reaches their tuned threshold, best first."""

    def picture(name) -> np.ndarray | str:
        try:
            return decode(read(name), config["resolution"], config["resize"])
        except Exception as error:  # decoders raise whatever their damaged input led them to; decode() wraps some of it
            return f"not readable: {error.__context__ or error}"

    device = next(network.parameters()).device
    tuned = np.array([np.inf if value is None else value for value in config["thresholds"]])
    with ThreadPoolExecutor(4) as pool:  # not more: each may hold a picture of 12,000 px
        for start in range(0, len(names), batch):
            pictures = list(pool.map(picture, names[start : start + batch]))
            good = [entry for entry in pictures if not isinstance(entry, str)]
            rows = iter(logits(config, network, good, device).astype(np.float64) if good else [])
            for name, entry in zip(names[start : start + batch], pictures, strict=True):
                if isinstance(entry, str):
                    yield {"image": name, "error": entry}
                    continue
                row = next(rows)
                best, scores = (
                    np.argsort(-row, kind="stable"),
                    1 / (1 + np.exp(-config["logit_scale"] * row)),
                )
                yield {
                    "image": name,
                    "labels": [config["classes"][i] for i in best if row[i] >= tuned[i]],
                    "scores": dict(zip(config["classes"], scores.round(6).tolist(), strict=True)),
                }


def label(model: str, paths: Sequence[str], output: str | None, form: str, batch: int) -> int:
    """Writes a line a picture to `output`, which has its name when it is complete, or to stdout; 1 if a picture is bad, or 0."""
    if batch < 1:
        raise InputError(f"--batch {batch}: give 1 or more")
    names, (config, network), bad = find_pictures(paths), load_model(Path(model)), []
    warnings.filterwarnings(
        "ignore", "Image size"
    )  # of 12,000 px; Pillow refuses those of more than twice its limit
    partial = f"{output}.partial" if output else sys.stdout.fileno()
    entries = tqdm(
        predict(config, network, names, batch=batch), total=len(names), unit="picture", disable=None
    )
    with open(partial, "w", 1, "utf-8", "backslashreplace", "", closefd=bool(output)) as file:
        rows = csv.writer(file, lineterminator="\n")
        if form == "csv":
            rows.writerow(["image", "error", "labels", *config["classes"]])
        for entry in entries:
            if form == "csv":
                labels, scores = "|".join(entry.get("labels", [])), entry.get("scores", {}).values()
                rows.writerow([entry["image"], entry.get("error"), labels, *scores])
            else:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            bad += [f"  {entry['image']}: {entry['error']}"] if "error" in entry else []
    if output:
        os.replace(partial, output)
    if bad:
        print(
            f"{len(bad)} of {len(names)} pictures could not be read:",
            *bad,
            sep="\n",
            file=sys.stderr,
        )
    return int(bool(bad))


def _load_pyfunc(folder: str) -> SimpleNamespace:
    """MLflow calls it with a copy of the model folder. Served: rows with a column `image`, the base64 of a picture's file."""
    config, network = load_model(Path(folder))
    return SimpleNamespace(
        predict=lambda rows: list(
            predict(
                config,
                network,
                range(len(rows)),
                lambda i: io.BytesIO(base64.b64decode(rows["image"].iloc[i], validate=True)),
            )
        )
    )
