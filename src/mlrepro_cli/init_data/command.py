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
        "--backbone",
        metavar="NAME",
        action="append",
        default=[],
        help="a frozen network of timm's to compare, with its own resolution and normalisation; "
        "may be given repeatedly, and losses are searched on the first (default: three packaged "
        "EfficientNet-Lites, and all three side by side)",
    )
    unnamed = parser.add_mutually_exclusive_group()
    unnamed.add_argument(
        "--partial",
        action="store_true",
        help="labels that are not given are unknown, not absent; so they are without this, too, "
        "where every picture has exactly one",
    )
    unnamed.add_argument(
        "--complete",
        action="store_true",
        help="labels that are not given are absent, even where every picture has exactly one",
    )
    parser.add_argument(
        "--name",
        help="of the data set, in run ids and of the report (default: the folder's)",
    )
    _add_answers(parser.add_argument_group("how labels are meant, where init-data asks"))


def _add_answers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--layout", metavar="NAME", help="the one layout of labels to read, as init-data names it"
    )
    group.add_argument(
        "--image-column", metavar="COLUMN", help="of a table: where the names of pictures stand"
    )
    group.add_argument(
        "--labels-column",
        metavar="COLUMN",
        action="append",
        default=[],
        help="of a table: where labels stand; several times for several columns",
    )
    group.add_argument(
        "--split-column", metavar="COLUMN", help="of a table: where train, val or test stands"
    )
    group.add_argument(
        "--group-column",
        metavar="COLUMN",
        help="of a table: what pictures share that must not lie in two splits, such as a patient",
    )
    group.add_argument(
        "--separator",
        metavar="MARK",
        help="between the labels of a field; '' where a field is one label",
    )
    group.add_argument(
        "--negative",
        metavar="LABEL",
        action="append",
        default=[],
        help="a label that says that there is none, such as 'No Finding'; may be given repeatedly",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlrepro_cli.init_data.answers import Answers
    from mlrepro_cli.init_data.init_data import init_data

    init_data(
        arguments.path,
        OWN_DATA,
        name=arguments.name,
        budget=arguments.budget,
        resolution=arguments.resolution,
        backbones=arguments.backbone,
        answers=Answers(
            layout=arguments.layout,
            image_column=arguments.image_column,
            label_columns=tuple(arguments.labels_column),
            split_column=arguments.split_column,
            group_column=arguments.group_column,
            separator=arguments.separator,
            negative=tuple(arguments.negative),
            partial=arguments.partial,
            complete=arguments.complete,
        ),
    )
    return 0
