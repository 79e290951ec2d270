"""A full disk, whoever says it: with the place that the user named, and without a traceback."""

import errno
from pathlib import Path

import pytest

from mlrepro.errors import InputError
from mlrepro.system_errors import in_words
from mlrepro_cli.refused import named_where_refused


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),  # as Python's own `write`
        RuntimeError("I/O error: No space left on device (os error 28)"),  # as safetensors
    ],
)
def test_a_full_disk_is_told_with_its_place(tmp_path, error):
    with pytest.raises(OSError) as raised, named_where_refused(tmp_path / "model"):
        raise error
    message = in_words(raised.value)
    assert message.startswith(f"{tmp_path / 'model'}: No space left on device: ")
    assert f"MiB are free for {tmp_path}" in message


def test_what_is_told_already_stays(tmp_path):
    named = OSError(errno.EACCES, "Permission denied", "other.png")
    with pytest.raises(PermissionError, match="other.png"), named_where_refused(tmp_path):
        raise named

    # A user's error, found while the system's was handled.
    with pytest.raises(InputError, match="mend it"), named_where_refused(Path("model")):
        try:
            raise named
        except OSError:
            raise InputError("mend it") from None

    with pytest.raises(KeyError), named_where_refused(tmp_path):
        raise KeyError("a fault of the program")
