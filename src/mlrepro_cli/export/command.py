"""What `mlrepro export` takes."""

import argparse

from mlrepro.settings.seed import seed_or_average

SUMMARY = "Make a trained run a folder of its own"
DESCRIPTION = f"""{SUMMARY}: model.safetensors and config.json (the network, its classes and
thresholds), model.onnx, and mlflow/, which answers to
{{"dataframe_split": {{"columns": ["image"], "data": [["<base64 of a file>"]]}}}}.
Where timm has such a network, timm.create_model('local-dir:FOLDER', pretrained=True) loads it too;
config.json says.
Example: mlrepro export studies/own-data/params.yaml RUN --seed 2 --to my-model"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "settings",
        metavar="STUDY_PARAMS",
        help="params.yaml of the pipeline, from the repository's root",
    )
    parser.add_argument("run_id", metavar="RUN", help="one of its runs, trained and evaluated")
    parser.add_argument(
        "--seed",
        type=seed_or_average,
        metavar="N",
        help="which of its trainings, or `average`: of all seeds' linear layers (default: the "
        "first of the run's seeds)",
    )
    parser.add_argument(
        "--to",
        metavar="FOLDER",
        dest="folder",
        help="a new folder (default: models/RUN-sSEED)",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlrepro_cli.export.export import export

    export(arguments.settings, arguments.run_id, arguments.seed, arguments.folder)
    return 0
