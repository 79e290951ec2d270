"""Files: written whole or not at all, their digests, and those that a package brings with it."""

import hashlib
import json
import os
from importlib import resources
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.extras import extra_of, install_command

PACKAGE_SCHEME = "package://"


def write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name and rename: a file under its own name is always whole."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def write_json(path: Path, value) -> None:
    """Write a value as indented JSON in UTF-8, whole or not at all."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode())


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal; the file may be larger than the memory."""
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
        raise InputError(f"{url}: {error}; {install}, or mend the address") from None
