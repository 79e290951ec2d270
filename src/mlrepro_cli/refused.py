"""What the system refuses while a command writes: a full disk, a read-only folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.system_errors import system_error


@contextmanager
def named_where_refused(path: Path) -> Iterator[None]:
    """Around what writes `path`: a refusal of the system becomes an OSError that names a file.

    Python names none when it writes to an open file, and libraries raise errors of their own.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        refused = system_error(error, path)
        if refused is None:
            raise
        raise refused from error
