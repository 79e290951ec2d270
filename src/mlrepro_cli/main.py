"""Compare methods on your own pictures, choose one, use it. In this order, from the repository's root:

  mlrepro init-data ~/holiday                                          look at the pictures and labels, write the settings
  mlrepro plan studies/own-data/params.yaml                            what that would train
  dvc repro studies/own-data/dvc.yaml                                  train and compare: reports/own-data-my-holiday.md
  mlrepro launch studies/own-data/params.yaml --jobs 2                 the same, two trainings at a time
  mlrepro export studies/own-data/params.yaml RUN --to my-model        make the run that the report recommends a folder
  mlrepro predict my-model more/ 'scans/**/*.png' one.jpg              label pictures with it
  mlflow models serve -m my-model/mlflow --env-manager local           label pictures that are posted to it

Exit status: 0 done, 1 some pictures could not be read, 2 refused, 130 interrupted.
"""

import argparse
import signal
import sys
from importlib import import_module
from pathlib import Path

from mlrepro.errors import InputError

OWN = Path("studies/own-data")


def init_data(verb: argparse.ArgumentParser) -> str:
    """Look at your pictures and labels, and write the settings that compare methods on them: studies/own-data/params.yaml.
    It finds a folder a label, VOC's lists, COCO's annotations, or a table with picture names and a column headed labels, and
    prints what is there and what is wrong with it. Pictures stay where they are. Without a split, a fifth is test, stratified.
    Example: mlrepro init-data ~/holiday --budget standard"""
    verb.add_argument(
        "path",
        type=Path,
        metavar="FOLDER_OR_FILE",
        help="of pictures; or the table or annotation file itself",
    )
    verb.add_argument(
        "--budget",
        choices=("quick", "standard", "thorough"),
        default="quick",
        help="quick: losses on extracted "
        "features; standard, thorough: heads on feature maps and whole networks, too (default: quick)",
    )
    verb.add_argument(
        "--resolution",
        type=int,
        metavar="PX",
        help="that pictures are resized to (default: as in budgets.yaml)",
    )
    verb.add_argument(
        "--partial",
        action="store_true",
        help="labels that are not given are unknown, not absent; so they are "
        "without this, too, where every picture has exactly one",
    )
    verb.add_argument(
        "--name", help="of the data set, in run ids and of the report (default: the folder's)"
    )
    verb.set_defaults(to=OWN)
    return "mlrepro_cli.inspect_data:init_data"


def plan(verb: argparse.ArgumentParser) -> str:
    """Print what a study would train and fetch, and what is done: trainings, GPU hours, time on this machine, downloads, disk.
    Example: mlrepro plan studies/single-positive/params.yaml --measure"""
    verb.add_argument(
        "settings",
        type=Path,
        metavar="STUDY_PARAMS",
        nargs="?",
        default=OWN / "params.yaml",
        help="params.yaml of a study or of one of its pipelines (default: %(default)s)",
    )
    verb.add_argument(
        "--measure",
        action="store_true",
        help="time of train stages on this machine, from each run's first steps",
    )
    return "mlrepro_cli.plan:plan"


def launch(verb: argparse.ArgumentParser) -> str:
    """Train and evaluate what is stale of a study, many runs at a time: every such stage becomes a job. Engines: local (this
    machine's GPUs, or --jobs processes on its CPU), ray (a running cluster), slurm (sbatch). Jobs on a cluster share the git
    repository and the DVC remote, nothing else. What is finished is never trained again; failed jobs have a row that says so.
    Example: mlrepro launch studies/aam/params.yaml --engine slurm --set slurm_partition=gpu --set timeout_min=600"""
    verb.add_argument(
        "settings",
        type=Path,
        metavar="STUDY_PARAMS",
        help="params.yaml of a study or of one of its pipelines",
    )
    verb.add_argument(
        "--engine", choices=("local", "ray", "slurm"), default="local", help="default: local"
    )
    verb.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="at a time (default: local: as many as GPUs, or one; else 64)",
    )
    verb.add_argument(
        "--gpus", type=int, metavar="N", help="a job (default: 1; local without a GPU: 0)"
    )
    verb.add_argument(
        "--attempts",
        type=_positive,
        default=3,
        metavar="N",
        help="at a job whose worker is lost (default: 3)",
    )
    verb.add_argument(
        "--repository",
        metavar="URL",
        help="that jobs clone (default: origin, or this folder if it lacks the commit)",
    )
    verb.add_argument("--take-over", action="store_true", help="from a head that is gone")
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="options",
        help="of the engine: ray: address, num_cpus; slurm: submitit's, such as slurm_partition, timeout_min",
    )
    return "mlrepro_cli.launch.head:launch"


def _positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def export(verb: argparse.ArgumentParser) -> str:
    """Make a trained run a folder of its own: model.safetensors and config.json (the network, its classes and thresholds),
    model.onnx, and mlflow/, which answers to {"dataframe_split": {"columns": ["image"], "data": [["<base64 of a file>"]]}}.
    Where timm has such a network, timm.create_model('local-dir:FOLDER', pretrained=True) loads it too; config.json says.
    Example: mlrepro export studies/own-data/params.yaml RUN --seed 2 --to my-model"""
    verb.add_argument(
        "settings",
        metavar="STUDY_PARAMS",
        help="params.yaml of the pipeline, from the repository's root",
    )
    verb.add_argument("run_id", metavar="RUN", help="one of its runs, trained and evaluated")
    verb.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="which of its trainings (default: the first of the run's seeds)",
    )
    verb.add_argument(
        "--to", metavar="FOLDER", dest="folder", help="a new folder (default: models/RUN-sSEED)"
    )
    return "mlrepro_cli.export:export"


def predict(verb: argparse.ArgumentParser) -> str:
    """Label pictures with an exported model, a line a picture: {"image": "a.jpg", "labels": ["dog"], "scores": {"dog": 0.97}}
    or {"image": "b.jpg", "error": "not readable: ..."}. Labels are the classes that reach their tuned thresholds. As in training,
    pictures are resized without keeping their aspect ratio, EXIF rotation is ignored, an animation is its first frame.
    Example: mlrepro predict my-model holiday/ 'scans/**/*.png' --output labels.jsonl"""
    verb.add_argument("model", metavar="MODEL", help="a folder that `mlrepro export` made")
    verb.add_argument(
        "paths",
        nargs="+",
        metavar="PATHS",
        help="pictures, folders (and those below), patterns (*, ?, **)",
    )
    verb.add_argument(
        "--format",
        choices=("jsonl", "csv"),
        default="jsonl",
        dest="form",
        help="csv: a column a class",
    )
    verb.add_argument(
        "--output",
        metavar="FILE",
        help="not to the terminal; until it is complete, it is FILE.partial",
    )
    verb.add_argument(
        "--batch", type=int, default=32, metavar="N", help="pictures at a time (default: 32)"
    )
    return "mlrepro_cli.predict:label"


def main() -> int:
    """Runs a verb: its function above names the module and function that do it. A user's error is told without a traceback."""
    parser = argparse.ArgumentParser(
        "mlrepro", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in (init_data, plan, launch, export, predict):
        added = verbs.add_parser(
            verb.__name__.replace("_", "-"),
            help=verb.__doc__.partition(":")[0],
            description=verb.__doc__,
        )
        added.set_defaults(runs=verb(added))
    options = vars(parser.parse_args())
    module, _, name = options.pop("runs").partition(":")
    for number in (
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # as Ctrl-C, so that no job of a launch goes on alone
        if signal.getsignal(number) == signal.SIG_DFL:  # not under nohup
            signal.signal(number, signal.default_int_handler)
    try:
        return (
            getattr(import_module(module), name)(**options) or 0
        )  # imported here and not above, so that --help is quick
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing is half written: run the same command again", file=sys.stderr)
        return 130
