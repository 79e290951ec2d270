"""A log holds a line a minute of a bar, a terminal the bar itself."""

import io
import sys

import pytest

from mlrepro import progress
from mlrepro.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(stream: io.StringIO, monkeypatch, **options) -> str:
    """What a bar of three steps leaves on `stream`."""
    monkeypatch.setattr(sys, "stderr", stream)
    steps = list(progress_bar(range(3), desc="epochs", mininterval=0, **options))
    assert steps == [0, 1, 2]
    return stream.getvalue()


def test_at_a_terminal(monkeypatch):
    shown = drawn(Terminal(), monkeypatch)
    assert "epochs:   0%" in shown
    assert "3/3" in shown


def test_what_vanishes_at_once_is_not_drawn(monkeypatch):
    assert drawn(Terminal(), monkeypatch, leave=False) == ""


def test_nothing_of_less_than_a_minute_in_a_log(monkeypatch):
    assert drawn(io.StringIO(), monkeypatch) == ""


@pytest.mark.parametrize("leave", [True, False])
def test_a_log_has_what_takes_longer(monkeypatch, leave):
    monkeypatch.setattr(progress, "OF_A_LOG", 0)
    assert "3/3" in drawn(io.StringIO(), monkeypatch, leave=leave)
