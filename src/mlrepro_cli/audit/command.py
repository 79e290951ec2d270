"""What `mlrepro audit` takes."""

import argparse
from pathlib import Path

from mlrepro.settings.seed import seed_argument

SUMMARY = "Say which protocols give a printed number, from somebody's scores on a test set"
DESCRIPTION = f"""{SUMMARY}.
SCORES: .npz, .npy, .csv, .tsv, .parquet, JSON lines (also what `mlrepro predict` writes), COCO's
results, a folder of VOC's comp4_det_test_<class>.txt, a run's logits.safetensors. One matrix of
several: FILE#NAME. LABELS: VOC's lists or annotations, COCO's instances_*.json, .csv, .npz,
data/<name>; archives as they are downloaded. Pictures are joined by id, classes by name.
Example: mlrepro audit scores.npz --labels VOCdevkit/VOC2007 --reported 82.0"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scores", metavar="SCORES", help="of the test pictures")
    _add_inputs(parser)
    _add_question(parser)
    _add_outputs(parser)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--labels", metavar="LABELS", help="of the same pictures")
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="of the data set; without --labels, those of data/NAME, which was prepared here",
    )
    parser.add_argument(
        "--split", help="of the labels, where they have several (default: test, or what there is)"
    )
    parser.add_argument(
        "--ids", type=Path, metavar="FILE", help="picture ids of the rows, where SCORES has none"
    )
    parser.add_argument(
        "--class-names", type=Path, metavar="FILE", help="class names of the columns, likewise"
    )
    parser.add_argument("--val-scores", metavar="SCORES", help="to tune thresholds on")
    parser.add_argument("--val-labels", metavar="LABELS", help="(default: LABELS)")
    parser.add_argument("--val-split", default="val", help="of them (default: val)")
    parser.add_argument(
        "--nan",
        choices=("refuse", "zero"),
        default="refuse",
        help="zero: scores that are no finite numbers count as the lowest score",
    )
    parser.add_argument(
        "--kind",
        choices=("probabilities", "logits", "confidences"),
        help="of scores (default: by their range)",
    )


def _add_question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reported", metavar="NUMBER", help="in percent, as it is printed: 82.0")
    parser.add_argument(
        "--metric",
        default="mAP",
        help="whose number it is: mAP, CF1, OF1, CP, CR, OP, OR, F1, IoU; top3_CF1, tuned_CF1 and "
        "so on (default: mAP)",
    )
    parser.add_argument(
        "--against",
        metavar="SCORES",
        help="other scores of the same pictures: which differences are more than chance",
    )
    parser.add_argument(
        "--resamples",
        type=_count,
        default=1000,
        metavar="N",
        help="of the pictures, for intervals (default: 1000)",
    )
    parser.add_argument("--seed", type=seed_argument, default=0, help="of them (default: 0)")


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", type=Path, metavar="PAGE", help="reports/audit-<name>.md")
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="JSON of the schema of a run's (default with --to: beside the page)",
    )
    parser.add_argument("--name", help="of the scores (default: that of the page, or of the file)")
    parser.add_argument("--who", help="made the scores")
    parser.add_argument("--link", help="where they are from")
    parser.add_argument("--licence", help="under which they may be used")


def _count(text: str) -> int:
    if not text.isdecimal() or not 100 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError("give a number from 100 to 100000")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    from mlrepro_cli.audit.audit import run_audit

    return run_audit(arguments)
