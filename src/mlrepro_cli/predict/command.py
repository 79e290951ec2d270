"""What `mlrepro predict` takes."""

import argparse

SUMMARY = "Label pictures with an exported model, a line a picture"
DESCRIPTION = f"""{SUMMARY}:
{{"image": "a.jpg", "labels": ["dog"], "scores": {{"dog": 0.97}}}}
or {{"image": "b.jpg", "error": "not readable: ..."}}.
Labels are the classes that reach their tuned thresholds. As in training, pictures are resized
without keeping their aspect ratio, and turned as EXIF says if config.json has `appearance: shown`;
an animation is its first frame.
Example: mlrepro predict my-model holiday/ 'scans/**/*.png' --output labels.jsonl"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a folder that `mlrepro export` made")
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATHS",
        help="pictures, folders (and those below), patterns (*, ?, **)",
    )
    parser.add_argument(
        "--format",
        choices=("jsonl", "csv"),
        default="jsonl",
        help="csv: a column a class",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="not to the terminal; until it is complete, it is FILE.partial",
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=32,
        metavar="N",
        help="pictures at a time (default: 32)",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlrepro_cli.predict.label import label

    return label(
        arguments.model,
        arguments.paths,
        output=arguments.output,
        form=arguments.format,
        batch=arguments.batch,
    )
