"""What `mlrepro predict` takes."""

import argparse

from mlrepro.errors import InputError

SUMMARY = "Label pictures with an exported model, a line a picture"
DESCRIPTION = f"""{SUMMARY}:
{{"image": "a.jpg", "labels": ["dog"], "scores": {{"dog": 0.97}}}}
or {{"image": "b.jpg", "error": "not readable: ..."}}.
Labels are the classes that reach their tuned thresholds. As in training, pictures are resized
without keeping their aspect ratio, and turned as EXIF says if config.json has `appearance: shown`;
an animation is its first frame.
Example: mlrepro predict my-model holiday/ 'scans/**/*.png' --output labels.jsonl
     or: mlrepro predict my-model --serve"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a folder that `mlrepro export` made")
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATHS",
        help="pictures, folders (and those below), patterns (*, ?, **)",
    )
    parser.add_argument(
        "--format",
        choices=("jsonl", "csv", "fiftyone", "label-studio"),
        default="jsonl",
        help="csv: a column a class; fiftyone: labels.json of a FiftyOneImageClassificationDataset;"
        " label-studio: tasks with predictions, and the labelling interface beside FILE",
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
    page = parser.add_argument_group("a page on which one drops pictures")
    page.add_argument(
        "--serve", action="store_true", help="serve it, on this machine alone, until Ctrl-C"
    )
    page.add_argument(
        "--port",
        type=int,
        default=8000,
        metavar="N",
        help="0: any that is free (default: 8000)",
    )
    page.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where it listens; others than this machine reach another one (default: 127.0.0.1)",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.serve:
        if arguments.paths:
            raise InputError("--serve takes no paths: pictures are dropped on its page")
        from mlrepro_cli.predict.web.server import serve

        return serve(arguments.model, arguments.host, arguments.port)

    if not arguments.paths:
        raise InputError("name pictures or folders, or --serve a page to drop them on")
    from mlrepro_cli.predict.label import label

    return label(
        arguments.model,
        arguments.paths,
        output=arguments.output,
        form=arguments.format,
        batch=arguments.batch,
    )
