"""Names of runs and labels that fit beside an axis."""

from mlrepro.records import Records
from mlrepro.settings.run import Run
from mlrepro.terminal import one_line

LABEL_LENGTH = 38  # characters that the right margin of a figure holds


def short_names(runs: Records) -> dict[str, str]:
    """Rank, and those parts of the run id in which the runs differ.

    A name is cut in the middle where it is still too long.
    """
    parts = [_parts(records[0].run) for records in runs.values()]
    differing = [len(set(column)) > 1 for column in zip(*parts, strict=True)]

    names = {}
    for rank, (run, values) in enumerate(zip(runs, parts, strict=True), 1):
        telling = [
            value for value, differs in zip(values, differing, strict=True) if value and differs
        ]
        name = " ".join(telling) or run
        names[run] = f"{rank} {shorten(name, LABEL_LENGTH - 3)}"
    return names


def _parts(run: Run) -> list[str]:
    return [
        run.head,
        run.loss.name,
        run.labels,
        run.backbone,
        str(run.resolution or ""),
        run.variant or "",
    ]


def shorten(text: str, length: int) -> str:
    """The text, with an ellipsis for its middle where it is longer than `length` characters."""
    text = one_line(text)
    if len(text) <= length:
        return text

    head = (length - 1) // 2
    tail = length - 1 - head
    return f"{text[:head]}…{text[-tail:]}"
