"""What `mlrepro unpack` takes."""

import argparse
from pathlib import Path

SUMMARY = "Write pictures that are within Parquet as files, which init-data reads"
DESCRIPTION = f"""{SUMMARY}: a folder a split, in each
the pictures and metadata.parquet with all other columns, as Hugging Face's `imagefolder` has them.
Example: mlrepro unpack ~/beans/data --to ~/beans-pictures"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        type=Path,
        metavar="FOLDER_OR_FILE",
        help="a .parquet, or a folder with such in it, also in folders of it",
    )
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", dest="folder", required=True, help="a new folder"
    )
    parser.add_argument(
        "--image-column",
        metavar="COLUMN",
        help="the pictures, where several columns hold some",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlrepro_cli.unpack.unpack import unpack

    unpack(arguments.path, arguments.folder, arguments.image_column)
    return 0
