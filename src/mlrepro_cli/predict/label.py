"""`mlrepro predict`: from paths to a line a picture."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.files import is_something_else
from mlrepro.progress import progress_bar
from mlrepro.terminal import ended_where_nobody_reads, one_line
from mlrepro_cli.predict.answer import predict
from mlrepro_cli.predict.find_pictures import find_pictures
from mlrepro_cli.predict.formats import FORMATS
from mlrepro_cli.predict.model import load_model
from mlrepro_cli.refused import named_where_refused


def label(model: str, paths: Sequence[str], output: str | None, form: str, batch: int) -> int:
    """Writes an answer a picture to `output` or stdout; returns 1 if a picture is bad, or else 0.

    `output` has its name when it is complete. form: a key of FORMATS.
    """
    if batch < 1:
        raise InputError(f"--batch {batch}: give 1 or more")
    if output:
        _check_output(Path(output))
    names = find_pictures(paths)
    config, network = load_model(Path(model))

    # Pillow warns of pictures of 12,000 px, and refuses those of more than twice its limit.
    warnings.filterwarnings("ignore", "Image size")
    answers = predict(config, network, names, batch=batch)
    answers = progress_bar(answers, total=len(names), unit="picture")

    bad = _write(answers, config["classes"], form, output)
    if not bad:
        return 0
    print(f"{len(bad)} of {len(names)} pictures could not be read:", file=sys.stderr)
    print(*bad, sep="\n", file=sys.stderr)
    return 1


def _write(answers: Iterator[dict], classes: list[str], form: str, output: str | None) -> list[str]:
    """Writes all answers; returns a line a picture that could not be read.

    The file has its name only when it is complete, so that an earlier one is not lost before.
    """
    bad = []
    partial = f"{output}.partial" if output else sys.stdout.fileno()
    place = Path(partial if output else "the output")
    opened = open(
        partial,
        "w",
        buffering=1,  # by lines, so that what is done is there when this is interrupted
        encoding="utf-8",
        errors="backslashreplace",  # file names may be no text
        newline="",
        closefd=bool(output),
    )
    # Closing writes, too, and is refused as well.
    with named_where_refused(place), opened as file:
        with ended_where_nobody_reads(file):
            lines = FORMATS[form](file, classes)
            for answer in answers:
                lines.write(answer)
                if "error" in answer:
                    bad.append(f"  {one_line(answer['image'])}: {one_line(answer['error'])}")
            lines.end()
    if output:
        os.replace(partial, output)
    return bad


def _check_output(output: Path) -> None:
    """Raises InputError where no file can have that name: at once, and not after all pictures."""
    if output.is_dir():
        example = output / "labels.jsonl"
        raise InputError(f"--output {output}: a folder; name a file, such as {example}")
    if is_something_else(output):
        # The complete file would take its place.
        raise InputError(
            f"--output {output}: a device or a pipe; leave --output out, and write > {output}"
        )
    if not output.parent.is_dir():
        raise InputError(
            f"--output {output}: there is no folder {output.parent}; make it, or name another file"
        )
