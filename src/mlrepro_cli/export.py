"""From a trained run to its model folder: the weights of the run's `selection`, thresholds tuned on validation, ONNX, MLflow."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mlrepro.data.images import decode
from mlrepro.data.manifest import read_manifest
from mlrepro.errors import InputError
from mlrepro.files import file_sha256, write_json
from mlrepro.layout import read_layout
from mlrepro.metrics.thresholds import tune_thresholds
from mlrepro.models.backbones import TIMM_NAMES, create_backbone
from mlrepro.models.checkpoints import head_options
from mlrepro.training.fit import scored_rows
from mlrepro.training.inputs import PictureInputs
from mlrepro.training.run import load_selection
from mlrepro_cli.predict import VERSIONS, build, logits

TOLERANCE = 1e-4  # of logits, relative where they are above 1


def export(settings: str, run_id: str, seed: int | None, folder: str | None) -> int:
    """Makes the model folder of a run, whole or not at all; raises InputError where it is not trained and evaluated as it is
    now, and where the logits of validation pictures are not those that were evaluated, or others in ONNX."""
    layout = read_layout(os.path.relpath(settings))
    seed = layout.expected.get(run_id, layout.pipeline.seeds)[0] if seed is None else seed
    run = layout.run(run_id, seed)
    folder, out, manifest = (
        Path(folder or f"models/{run_id}-s{seed}"),
        layout.output(run_id, seed),
        read_manifest(layout.data),
    )
    trained = layout.trained(run_id, seed)
    if run.captions:
        raise InputError(
            f"{run_id}: reads captions, too; only runs that read pictures alone can be exported"
        )
    if folder.exists():
        raise InputError(f"{folder}: is there already; delete it, or name another folder with --to")
    try:
        facts, rows = (
            json.loads((trained / "training.json").read_bytes()),
            scored_rows(run, manifest.rows("val")),
        )
        evaluated = load_file(out / "logits.safetensors")[f"val_{run.selection}"].numpy()
        state = load_selection(trained, run.selection)
        if (facts["manifest_sha256"], facts["settings_sha256"], len(evaluated)) != (
            manifest.digest,
            run.digest,
            len(rows),
        ):
            raise KeyError("the data or settings are others now")
    except (FileNotFoundError, KeyError) as error:
        raise InputError(
            f"{out}: not trained and evaluated ({error}); run dvc repro {layout.dvc_file}"
        ) from None
    weights = "none" if run.inputs == "images" else layout.pipeline.features.weights or "none"
    backbone, _ = create_backbone(run.backbone, weights, run.resolution)
    if run.inputs != "images":  # only the head was trained
        state = {
            f"head.{'fc.' * (run.head == 'linear')}{key}": value for key, value in state.items()
        }
        state |= {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
    tuned = tune_thresholds(evaluated, manifest.label_matrix(rows))
    inputs = PictureInputs(manifest, run, backbone, torch.device("cpu"))
    config = {  # a class is predicted where logit >= threshold (null: never); its score is sigmoid(logit_scale * logit)
        "classes": manifest.classes,
        "thresholds": [value if np.isfinite(value) else None for value in tuned.tolist()],
        "logit_scale": getattr(run.loss, "scale", 1.0),
        "backbone": run.backbone,
        "head_options": head_options(run),
        "head": "gap" if run.head == "linear" else run.head,
        "resolution": run.resolution,
        "resize": inputs.interpolation,
        "mean": inputs.mean,
        "std": inputs.std,
        "run": run.model_dump(mode="json"),
        "seed": seed,
        "trained": facts,
        "input": "RGB, EXIF rotation ignored, resized to resolution x resolution, (value / 255 - mean) / std",
        "versions": VERSIONS,
    }
    network, some = build(config, state), np.linspace(0, len(rows) - 1, 8).astype(int)
    pictures = [
        decode(
            inputs.shards.read(row)
            if inputs.shards
            else manifest.root / manifest.frame["image"][row],
            run.resolution,
            inputs.interpolation,
        )
        for row in rows[some]
    ]
    exact = (
        facts["environment"]["device"].startswith("CPU")
        and facts["environment"]["precision"] == "float32"
    )  # or bfloat16
    config["checked"] = {
        "evaluate": _check(
            config,
            network,
            pictures,
            evaluated[some],
            f"{out}: not from the pictures and `features` of now, run dvc repro -f "
            f"{layout.dvc_file}",
            TOLERANCE if exact else 0.05,
        )
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as work:
        _write(Path(work), config, network, pictures)
        Path(work, "model").rename(folder)
    print(folder)
    return 0


def _check(
    config: dict,
    network,
    pictures: list[np.ndarray],
    wanted: np.ndarray,
    failed: str,
    tolerance=TOLERANCE,
) -> float:
    """The largest difference of a network's logits to those wanted, in batches of one and of the others."""
    found = np.concatenate([logits(config, network, part) for part in (pictures[:1], pictures[1:])])
    if (
        not (difference := float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())))
        <= tolerance
    ):
        raise InputError(f"{failed}: logits of validation pictures differ by {difference:.2g}")
    return difference


def _write(work: Path, config: dict, network: nn.Module, pictures: list[np.ndarray]) -> None:
    """Writes work/model: config.json, model.safetensors (as timm's, where timm has the network), model.onnx, mlflow/."""
    import mlflow.pyfunc
    import onnxruntime

    model, wanted, example = (
        work / "model",
        logits(config, network, pictures),
        [{"image": "base64 of a picture's file"}],
    )
    model.mkdir()
    try:
        config = _write_timm(model, config, network, pictures, wanted)
    except Exception as error:  # timm's networks refuse in many ways what they do not fit
        save_file(network.state_dict(), model / "model.safetensors")
        config["timm"] = f"cannot load this folder: {error}"
    config["sha256"] = {"model.safetensors": file_sha256(model / "model.safetensors")}
    write_json(model / "config.json", config)
    mlflow.pyfunc.save_model(
        work / "mlflow",
        loader_module="mlrepro_cli.predict",
        data_path=str(model),
        input_example=example,
        signature=mlflow.models.infer_signature(example),
        pip_requirements=[f"{name}=={now}" for name, now in VERSIONS.items()],
    )
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 3, *[config["resolution"]] * 2),),
        dynamo=True,
        verbose=False,
        input_names=["pictures"],
        output_names=["logits"],
        dynamic_shapes=[{0: "batch"}],
    )
    program.model.metadata_props.update({key: json.dumps(value) for key, value in config.items()})
    program.save(model / "model.onnx")
    session = onnxruntime.InferenceSession(model / "model.onnx")
    config["checked"]["onnx"] = _check(
        config,
        lambda batch: torch.from_numpy(session.run(None, {"pictures": batch.numpy()})[0]),
        pictures,
        wanted,
        "model.onnx is not the network",
    )
    config["sha256"]["model.onnx"] = file_sha256(model / "model.onnx")
    write_json(model / "config.json", config)
    (work / "mlflow").rename(model / "mlflow")


def _write_timm(
    folder: Path, config: dict, network: nn.Module, pictures: list[np.ndarray], wanted: np.ndarray
) -> dict:
    """Writes the weights as timm's and returns the config with what timm reads; raises where timm has no such network."""
    if config["head"] != "gap" or config["head_options"]:
        raise InputError(
            f"it has no head like {config['head']} {config['head_options'] or ''}".rstrip()
        )
    net, size, classes = network.backbone.net, config["resolution"], config["classes"]
    sized = {"img_size": size} if net.pretrained_cfg["fixed_input_size"] else {}
    norm = (
        {"fc_norm": False} if hasattr(net, "fc_norm") else {}
    )  # of ViTs: before the pooling, as without a classifier
    name, last = (
        TIMM_NAMES.get(config["backbone"], config["backbone"]),
        net.pretrained_cfg["classifier"],
    )
    same = timm.create_model(
        name, num_classes=len(classes), global_pool="avg", **sized, **norm
    ).eval()
    same.load_state_dict(
        net.state_dict()
        | {f"{last}.{key}": value for key, value in network.head.fc.state_dict().items()}
    )
    _check(config, same, pictures, wanted, "it arranges its last layers in another way")
    timm.models.save_for_hf(
        same,
        folder,
        {"label_names": classes},
        safe_serialization=True,
        data_config={
            "input_size": [3, size, size],
            "mean": config["mean"],
            "std": config["std"],
            "crop_mode": "squash",
            "crop_pct": 1.0,
            "interpolation": config["resize"].replace("cv2", "bilinear"),
        },
    )
    timms = json.loads((folder / "config.json").read_bytes())
    return timms | config | {"timm": "timm.create_model('local-dir:FOLDER', pretrained=True)"}
