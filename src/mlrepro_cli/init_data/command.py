"""What `mlrepro init-data` takes."""

import argparse
from pathlib import Path

from mlrepro_cli import OWN_DATA

SUMMARY = "Look at your pictures and labels, and write the settings that compare methods on them"
DESCRIPTION = f"""{SUMMARY}: studies/own-data/params.yaml.
It finds a folder a label, VOC's lists, COCO's annotations, or a table with picture names and a
column headed labels, and prints what is there and what is wrong with it. Pictures stay where they
are. Without a split, a fifth is test, stratified.
Example: mlrepro init-data ~/holiday --budget standard"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        type=Path,
        metavar="FOLDER_OR_FILE",
        help="of pictures; or the table or annotation file itself",
    )
    parser.add_argument(
        "--budget",
        choices=("quick", "standard", "thorough"),
        default="quick",
        help="quick: losses on extracted features; standard, thorough: heads on feature maps and "
        "whole networks, too (default: quick)",
    )
    parser.add_argument(
        "--resolution",
        type=int,
        metavar="PX",
        help="that pictures are resized to (default: as in budgets.yaml)",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="labels that are not given are unknown, not absent; so they are without this, too, "
        "where every picture has exactly one",
    )
    parser.add_argument(
        "--name",
        help="of the data set, in run ids and of the report (default: the folder's)",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlrepro_cli.init_data.init_data import init_data

    init_data(
        arguments.path,
        OWN_DATA,
        name=arguments.name,
        budget=arguments.budget,
        resolution=arguments.resolution,
        partial=arguments.partial,
    )
    return 0
