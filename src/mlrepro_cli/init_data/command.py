"""What `mlrepro init-data` takes."""

import argparse
from pathlib import Path

from mlrepro_cli import OWN_DATA

SUMMARY = "Look at your pictures and labels, and write the settings that compare methods on them"
DESCRIPTION = f"""{SUMMARY}: studies/own-data/params.yaml.
It finds a folder a label, a table, or what VOC, COCO, YOLO, CVAT, Label Studio, FiftyOne, LabelMe
and others write, asks what is unclear, and prints what is there and what is wrong with it.
Pictures stay where they are. Without a split, a fifth is test, stratified.
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
    parser.add_argument(
        "--prompt",
        metavar="SENTENCE",
        action="append",
        help="with {} for a label: how the text tower of a --backbone that has one reads the "
        "labels' names, for a row without any training; may be given repeatedly, and '' leaves "
        "the row out (default: 'a photo of a {}.')",
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
    parser.add_argument(
        "--answers",
        type=Path,
        metavar="FILE",
        help="a CSV of answers from the review's page (image, label, given, answer), which labels "
        "are changed by; they are kept for later runs",
    )
    _add_answers(parser.add_argument_group("how labels are meant, where init-data asks"))


def _add_answers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--layout",
        metavar="NAME",
        help="the one layout of labels to read, such as table, folders, voc, coco or yolo",
    )
    group.add_argument(
        "--image-column",
        metavar="COLUMN",
        action="append",
        default=[],
        help="of a table: where the names of pictures stand; several times where a row is of "
        "several pictures",
    )
    group.add_argument(
        "--labels-column",
        metavar="COLUMN",
        action="append",
        default=[],
        help="of a table: where labels stand; of an annotation tool's file: the field, control, "
        "tag or attribute that holds labels; several times for several",
    )
    group.add_argument(
        "--mark-column",
        metavar="COLUMN",
        action="append",
        default=[],
        help="of a table: headed by a label, with marks such as 1 where it is there; several "
        "times, or '*' for all columns of marks",
    )
    for state in ("present", "absent", "unknown"):
        group.add_argument(
            f"--{state}",
            metavar="MARK",
            action="append",
            default=[],
            help=f"in a column of marks: the label is {state}; 'blank' is an empty cell",
        )
    group.add_argument(
        "--ignore-column",
        metavar="COLUMN",
        action="append",
        default=[],
        help="of a table: it says nothing of labels; may be given repeatedly",
    )
    group.add_argument(
        "--header",
        metavar="COLUMNS",
        help="names of the columns of a table without a header, with commas between them",
    )
    group.add_argument(
        "--state-column",
        metavar="COLUMN",
        help="of a table with a row a picture and label: 1 where the label is there, 0 where not",
    )
    group.add_argument("--encoding", help="of tables that are not UTF-8, such as cp1252")
    group.add_argument(
        "--union",
        action="store_true",
        help="a picture that several rows or tables list has the labels of all",
    )
    group.add_argument(
        "--split-column",
        metavar="COLUMN",
        help="of a table: where train, val or test stands; '' for none",
    )
    group.add_argument(
        "--group-column",
        metavar="COLUMN",
        help="of a table: what pictures share that must not lie in two splits, such as a patient",
    )
    group.add_argument(
        "--regroup",
        action="store_true",
        help="where your own splits share copies, near copies or groups: each comes wholly into "
        "the split that has most of it",
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

    group.add_argument(
        "--positive",
        metavar="LABEL",
        action="append",
        default=[],
        help="a label that is one, though it sounds like none, such as 'healthy'",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlrepro.settings.losses import PROMPT
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
            image_columns=tuple(arguments.image_column),
            label_columns=tuple(arguments.labels_column),
            mark_columns=tuple(arguments.mark_column),
            ignore_columns=tuple(arguments.ignore_column),
            header=tuple(arguments.header.split(",")) if arguments.header else (),
            encoding=arguments.encoding,
            state_column=arguments.state_column,
            split_column=arguments.split_column,
            group_column=arguments.group_column,
            regroup=arguments.regroup,
            separator=arguments.separator,
            present=tuple(arguments.present),
            absent=tuple(arguments.absent),
            unknown=tuple(arguments.unknown),
            union=arguments.union,
            negative=tuple(arguments.negative),
            positive=tuple(arguments.positive),
            partial=arguments.partial,
            complete=arguments.complete,
        ),
        label_answers=arguments.answers,
        prompts=arguments.prompt or (PROMPT,),
    )
    return 0
