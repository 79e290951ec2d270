"""The text of a file in the encodings that spreadsheets write."""

import codecs
import gzip
import zlib
from pathlib import Path

from mlrepro.errors import InputError

# A label table of a million pictures has some 100 MB. In memory its cells take ten times as much.
MOST_BYTES = 5 * 10**8

MARKED = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Of UTF-16 without a mark, every other byte of English text is 0.
SAMPLE_BYTES = 1000


def read_bytes(path: Path) -> bytes:
    """A file's content, unpacked where its name ends in .gz."""
    if path.stat().st_size > MOST_BYTES:
        raise InputError(
            f"{path}: more than {MOST_BYTES:,} bytes; give a table of what is needed, a row a "
            "picture, or move it away"
        )
    if not path.name.lower().endswith(".gz"):
        return path.read_bytes()

    # One byte more than is read at most tells a file that goes on, whatever size it says.
    try:
        with gzip.open(path) as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); pack it again") from None
    if len(content) > MOST_BYTES:
        raise InputError(
            f"{path}: more than {MOST_BYTES:,} bytes when unpacked; give a smaller table"
        )
    return content


def decode(path: Path, content: bytes, encoding: str | None) -> tuple[str, bool]:
    """A file's text, and whether its encoding had to be guessed.

    encoding: as the user says; none: as a byte order mark says, else UTF-8. What is neither is read
    as Latin-1, in which no byte is wrong, and some letters may be: the caller must refuse those.
    """
    try:
        if encoding:
            return content.decode(encoding), False
        for mark, name in MARKED:
            if content.startswith(mark):
                return content.decode(name), False
        return _without_mark(content)
    except LookupError:
        raise InputError(
            f"--encoding {encoding}: no such encoding; usual ones are utf-8, cp1252, cp1251, "
            "shift_jis, gb18030"
        ) from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: not {error.encoding} ({error.reason}); save the file as UTF-8, "
            "or say what it is: --encoding"
        ) from None
    except UnicodeError as error:
        # Codecs that are hardly of files, such as punycode, do not say where.
        raise InputError(
            f"{path}: not {encoding} ({error}); save the file as UTF-8, or say what it is: "
            "--encoding"
        ) from None


def _without_mark(content: bytes) -> tuple[str, bool]:
    start = content[:SAMPLE_BYTES]
    if start[1::2].count(0) > len(start) // 4:
        return content.decode("utf-16-le"), False
    if start[::2].count(0) > len(start) // 4:
        return content.decode("utf-16-be"), False
    try:
        return content.decode("utf-8"), False
    except UnicodeDecodeError:
        return content.decode("latin-1"), True
