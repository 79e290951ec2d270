"""Tags in `.xmp` beside pictures, as digiKam, darktable and Lightroom write them: only if asked.

They may be names of people and places as well.
"""

from collections.abc import Iterator
from xml.etree import ElementTree

from mlrepro_cli.init_data.layouts.rows import LabelRow, UserFolder
from mlrepro_cli.init_data.layouts.sidecars import sidecars_of_pictures
from mlrepro_cli.init_data.layouts.xml_files import parsed
from mlrepro_cli.init_data.split_words import split_in_path

NAME = "tags in XMP beside pictures"
OPTION = "xmp"
SUFFIX = ".xmp"
SUBJECT = "{http://purl.org/dc/elements/1.1/}subject"
ENTRY = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"


def read(folder: UserFolder) -> Iterator[LabelRow]:
    """A row a tag of each picture that has such a file."""
    if folder.answers.layout != OPTION:
        return
    for picture, file in sidecars_of_pictures(folder, SUFFIX).items():
        split = split_in_path(picture.rpartition("/")[0])
        for tag in sorted(set(_tags(parsed(file.path)))) or [""]:
            yield LabelRow(picture, split, tag, source=file.place)


def hint(folder: UserFolder) -> list[str]:
    """A clause where there are such files."""
    files = sidecars_of_pictures(folder, SUFFIX)
    if not files:
        return []
    return [
        f"{len(files)} pictures have an {SUFFIX} beside them: if its tags (dc:subject) are labels, "
        f"say --layout {OPTION}"
    ]


def _tags(root: ElementTree.Element) -> Iterator[str]:
    for subject in root.iter(SUBJECT):
        for entry in subject.iter(ENTRY):
            if entry.text and entry.text.strip():
                yield entry.text.strip()
