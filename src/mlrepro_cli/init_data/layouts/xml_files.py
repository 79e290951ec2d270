"""XML files of annotations."""

from pathlib import Path
from xml.etree import ElementTree

from mlrepro.errors import InputError


def root_tag(path: Path) -> str:
    """The first tag of a file; "" where there is none. Reads no more than it takes."""
    try:
        with path.open("rb") as file:
            for _, element in ElementTree.iterparse(file, events=("start",)):
                return element.tag
    except (ElementTree.ParseError, OSError, LookupError, ValueError):
        pass
    return ""


def parsed(path: Path) -> ElementTree.Element:
    """The root of a file; InputError names the line that is wrong."""
    try:
        return ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        line, column = error.position
        raise InputError(
            f"{path}, line {line}: no valid XML ({error}); fetch or export it again, or move it "
            "away"
        ) from None
    except (LookupError, ValueError) as error:
        raise InputError(
            f"{path}: XML in an encoding that cannot be read ({error}); save it as UTF-8"
        ) from None
