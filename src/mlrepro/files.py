"""Files: their kind and digests, written whole or not at all, and those that a package brings."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from mlrepro.addresses import without_secrets
from mlrepro.errors import InputError
from mlrepro.extras import extra_of, install_command
from mlrepro.system_errors import system_error

PACKAGE_SCHEME = "package://"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which is renamed to `path` when all of it is written.

    What was there before stays until then. Raises OSError with the file's name where the system
    refuses something, also where a library has put that into words of its own, and InputError where
    a device, a pipe or a folder has that name: it would be replaced.
    """
    refuse_something_else(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except Exception as error:
        refused = system_error(error, path)
        if refused is None:
            raise
        raise refused from error
    finally:
        # Still there where it was not renamed.
        with suppress(OSError):
            temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name and rename: a file under its own name is always whole."""
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value) -> None:
    """Write a value as indented JSON in UTF-8, whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode())


def is_something_else(path: Path) -> bool:
    """Whether there is something that is no regular file, nor a link to one.

    A folder, a named pipe, a device, a link in a circle: reading such may wait, or go on, for ever.
    """
    return os.path.lexists(path) and not os.path.isfile(path) and not _is_broken_link(path)


def _is_broken_link(path: Path) -> bool:
    """Whether it is a link to what is not there."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return False


def refuse_something_else(path: Path) -> None:
    """Raises InputError where reading could wait for ever; also a folder cannot be read."""
    if is_something_else(path):
        raise InputError(f"{path}: no regular file; put the file itself there")


@contextmanager
def whole_tensors(path: Path, remedy: str) -> Iterator[None]:
    """Around what reads a .safetensors: InputError where it is no file, cut off or damaged.

    remedy: a clause that says how it is made again.
    """
    from safetensors import SafetensorError  # here: what only writes JSON does without

    refuse_something_else(path)
    try:
        yield
    except SafetensorError as error:
        raise InputError(f"{path}: cut off or damaged ({error}); {remedy}") from None


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for the same bytes; a copy where the file system has no such, or is another."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal; the file may be larger than the memory."""
    refuse_something_else(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def address(url: str) -> str:
    """Path of the file that package://module/file names, which an installed package ships.

    Any other address is returned as it is. Raises InputError where the package is not installed.
    """
    if not url.startswith(PACKAGE_SCHEME):
        return url

    module, _, name = url.removeprefix(PACKAGE_SCHEME).partition("/")
    try:
        return str(resources.files(module) / name)
    except ModuleNotFoundError as error:
        extra = extra_of(module)
        install = f"install it ({install_command(extra)})" if extra else "install it"
        raise InputError(
            f"{without_secrets(url)}: {error}; {install}, or mend the address"
        ) from None
