"""Writes what the models of a study's runs cost (studies/<study>/complexity.json): no data, no weights, no GPU."""

import json
from importlib.metadata import version
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.models.complexity import Complexity, measure
from mlrepro.report.reported import head_options, load_study, parse_run_id
from mlrepro.stage import main

CLASSES = {"voc2007": 20, "voc2012": 20, "coco2014": 80, "coco2017": 80, "nuswide": 81, "vg500": 500, "openimages_v6": 601,
           "cub": 312, "mirflickr25k": 14, "comp5329": 18, "comp5329_1000": 18}  # comp5329: ids 1 to 19, 12 unused


def entry(cost: Complexity, classes: int) -> dict:
    tools = {"ptflops": cost.ptflops, "fvcore": cost.fvcore}
    tools |= {} if cost.fvcore_kkd is None else {"fvcore_kkd": cost.fvcore_kkd}
    return {"classes": classes, "parameters": cost.parameters, "backbone_parameters": cost.backbone_parameters,
            "backbone_bytes": cost.backbone_bytes, "macs": cost.macs, "gmacs": cost.gmacs, **tools}


def stage(folder: str) -> None:
    from tqdm import tqdm  # after mlrepro, which sets how often it writes to a log file
    study, path, models = load_study(Path(folder)), Path(folder) / "complexity.json", {}
    runs = {}
    for run_id in tqdm(study.models, desc=f"complexity {study.name}", unit="run"):
        run = parse_run_id(run_id)
        classes, options = CLASSES[run.data_set], head_options(study.text, run)
        key = json.dumps([run.head, run.backbone, classes, run.size, options], sort_keys=True)
        try:
            models[key] = models.get(key) or measure(run.head, run.backbone, classes, run.size, options)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"{Path(folder) / 'reported.csv'}: run {run_id!r} cannot be built with the head options "
                             f"{options} (study.yaml, `models`): {error}") from None
        runs[run_id] = entry(models[key], classes)
    versions = {name: version(name) for name in ("timm", "torch", "torchvision")}
    path.write_text(json.dumps({"versions": versions, "runs": runs}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"complexity: {path}: {len(runs)} runs of {len(models)} models")


main(stage, "studies/<study>")
