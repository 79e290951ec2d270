"""`mlrepro predict`: from paths to a line a picture."""

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.progress import progress_bar
from mlrepro.terminal import one_line
from mlrepro_cli.predict.answer import predict
from mlrepro_cli.predict.find_pictures import find_pictures
from mlrepro_cli.predict.formats import FORMATS
from mlrepro_cli.predict.model import load_model


def label(model: str, paths: Sequence[str], output: str | None, form: str, batch: int) -> int:
    """Writes an answer a picture to `output` or stdout; returns 1 if a picture is bad, or else 0.

    `output` has its name when it is complete. form: a key of FORMATS.
    """
    if batch < 1:
        raise InputError(f"--batch {batch}: give 1 or more")
    names = find_pictures(paths)
    config, network = load_model(Path(model))

    # Pillow warns of pictures of 12,000 px, and refuses those of more than twice its limit.
    warnings.filterwarnings("ignore", "Image size")
    answers = predict(config, network, names, batch=batch)
    answers = progress_bar(answers, total=len(names), unit="picture")

    # The file has its name only when it is complete, so that an earlier one is not lost before.
    bad = []
    partial = f"{output}.partial" if output else sys.stdout.fileno()
    with open(
        partial,
        "w",
        buffering=1,  # by lines, so that what is done is there when this is interrupted
        encoding="utf-8",
        errors="backslashreplace",  # file names may be no text
        newline="",
        closefd=bool(output),
    ) as file:
        lines = FORMATS[form](file, config["classes"])
        for answer in answers:
            lines.write(answer)
            if "error" in answer:
                bad.append(f"  {one_line(answer['image'])}: {one_line(answer['error'])}")
        lines.end()
    if output:
        os.replace(partial, output)

    if not bad:
        return 0
    print(f"{len(bad)} of {len(names)} pictures could not be read:", file=sys.stderr)
    print(*bad, sep="\n", file=sys.stderr)
    return 1
