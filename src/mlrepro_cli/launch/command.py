"""What `mlrepro launch` takes."""

import argparse
from pathlib import Path

SUMMARY = "Train and evaluate what is stale of a study, many runs at a time"
DESCRIPTION = f"""{SUMMARY}: every such stage becomes a job.
Engines: local (this machine's GPUs, or --jobs processes on its CPU), ray (a running cluster), slurm
(sbatch). Jobs on a cluster share the git repository and the DVC remote, nothing else. What is
finished is never trained again; failed jobs have a row that says so.
Example: mlrepro launch studies/aam/params.yaml --engine slurm --set slurm_partition=gpu
--set timeout_min=600"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "settings",
        type=Path,
        metavar="STUDY_PARAMS",
        help="params.yaml of a study or of one of its pipelines",
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray", "slurm"),
        default="local",
        help="default: local",
    )
    parser.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="at a time (default: local: as many as GPUs, or one; else 64)",
    )
    parser.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="a job (default: 1; local without a GPU: 0)",
    )
    parser.add_argument(
        "--attempts",
        type=_positive,
        default=3,
        metavar="N",
        help="at a job whose worker is lost (default: 3)",
    )
    parser.add_argument(
        "--repository",
        metavar="URL",
        help="that jobs clone (default: origin, or this folder if it lacks the commit)",
    )
    parser.add_argument("--take-over", action="store_true", help="from a head that is gone")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="options",
        help="of the engine: ray: address, num_cpus; slurm: submitit's, such as slurm_partition, "
        "timeout_min",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlrepro_cli.launch.head import Request, launch

    return launch(
        Request(
            settings=arguments.settings,
            engine=arguments.engine,
            jobs=arguments.jobs,
            gpus=arguments.gpus,
            attempts=arguments.attempts,
            repository=arguments.repository,
            take_over=arguments.take_over,
            options=arguments.options,
        )
    )


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        # Of another error argparse tells the name of this function.
        raise argparse.ArgumentTypeError(f"{text}: give a whole number, 1 or more")
    return int(text)
