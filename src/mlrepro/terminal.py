"""What is printed cannot steer the terminal: names of files and of labels are others' texts.

Within `safe_output`, which every stage and every command of `mlrepro` is, control characters are
printed as `\\x1b`. Nothing has to remember it. Where whoever reads it has had enough, as `| head`
has, the program ends without a word.
"""

import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import NoReturn, TextIO

# Control characters but tab and line end, line ends of Unicode alone, what turns the direction of a
# text, and halves of characters, which are what is left of names that are no UTF-8.
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

# The status of a program whose output nobody reads, as shells have it: 128 and SIGPIPE.
NOBODY_READS = 141

# How tqdm goes to where a bar is drawn, before it draws it.
TO_THE_BAR = re.compile("(\r|\x1b\\[A)*")


def visible(text: str) -> str:
    r"""The text with every character that steers a terminal as Python writes it, such as \x1b."""
    return STEERING.sub(_as_python_writes_it, text)


def one_line(text: str) -> str:
    r"""The same for text that is a part of a line, as a name is: a line end is shown as \n."""
    return visible(text).replace("\n", "\\n")


def _as_python_writes_it(match: re.Match) -> str:
    return match[0].encode("unicode_escape").decode()


class Visible:
    """A stream whose text becomes `visible`. All else is the stream's own.

    bars: whether progress bars are drawn on it, which begin by going to their place.
    """

    def __init__(self, stream: TextIO, bars: bool = False):
        self._stream = stream
        self._bars = bars

    def write(self, text: str) -> int:
        start = TO_THE_BAR.match(text).end() if self._bars else 0
        try:
            self._stream.write(text[:start] + visible(text[start:]))
        except BrokenPipeError:
            self._end()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._end()

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def _end(self) -> NoReturn:
        _end_unread(self._stream)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def _end_unread(stream: TextIO) -> NoReturn:
    """Ends the program, whose last flush must not fail, too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    sys.exit(NOBODY_READS)


@contextmanager
def ended_where_nobody_reads(file: TextIO) -> Iterator[None]:
    """Around what writes to a file of its own that may be a pipe."""
    try:
        yield
    except BrokenPipeError:
        _end_unread(file)


@contextmanager
def safe_output() -> Iterator[None]:
    """What is printed inside is `visible`, also a traceback, which quotes others' texts, too."""
    output = Visible(sys.stdout)
    errors = Visible(sys.stderr, bars=True)
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            yield
        except Exception:
            traceback.print_exc()
            sys.exit(1)
        finally:
            output.flush()
