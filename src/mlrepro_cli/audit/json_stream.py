"""JSON objects one after the other, of a file that may be larger than the memory."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from mlrepro.errors import InputError
from mlrepro_cli.audit.files import open_text

CHUNK = 1 << 20
# An object of one picture is smaller; without a limit, a broken one would fill the memory.
LARGEST_OBJECT = 1 << 24
BETWEEN = re.compile(r"[\s,]*")


def objects(path: Path) -> Iterator[tuple[str, dict]]:
    """Where each object stands, for messages, and the object.

    The file is a list of objects, or they follow one another, as JSON lines do. Raises InputError
    for any other content.
    """
    decoder = json.JSONDecoder()
    number = 0
    try:
        with open_text(path) as file:
            buffer = _Buffer(file)
            is_list = buffer.starts_with("[")
            while buffer.next_object():
                number += 1
                item = buffer.decode(decoder)
                if item is None:
                    raise InputError(f"{path}: object {number:,} is no whole JSON; mend it")
                if not isinstance(item, dict):
                    raise InputError(f"{path}: object {number:,} is no object of a picture")
                yield f"{path}, object {number:,}", item
            if is_list and not buffer.is_closed:
                raise InputError(f"{path}: ends after {number:,} objects, within its list")
    except (UnicodeDecodeError, EOFError) as error:
        raise InputError(f"{path}: no text in UTF-8 ({error}); write it again") from None


class _Buffer:
    """The part of the text that is looked at."""

    def __init__(self, file: TextIO):
        self._file = file
        self._text = ""
        self._at = 0
        self.is_closed = False

    def starts_with(self, mark: str) -> bool:
        """Whether the text does, behind white space; then the mark is passed over."""
        self._skip()
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) * found
        return found

    def next_object(self) -> bool:
        """Goes to the next object; False at the end of the text or of the list."""
        self._skip()
        if self._text.startswith("]", self._at):
            self.is_closed = True
            return False
        return self._at < len(self._text)

    def decode(self, decoder: json.JSONDecoder) -> object | None:
        """The object that begins here; None where there is no whole one."""
        while True:
            try:
                item, self._at = decoder.raw_decode(self._text, self._at)
                return item
            except (ValueError, RecursionError):
                too_large = len(self._text) - self._at > LARGEST_OBJECT
                if too_large or not self._read():
                    return None

    def _skip(self) -> None:
        """Goes to what is no white space and no comma."""
        while True:
            self._at = BETWEEN.match(self._text, self._at).end()
            if self._at < len(self._text) or not self._read():
                return

    def _read(self) -> bool:
        """Reads on; False at the end."""
        chunk = self._file.read(CHUNK)
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)
