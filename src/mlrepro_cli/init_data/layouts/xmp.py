"""Tags in `.xmp` beside pictures, as digiKam, darktable and Lightroom write them: only if asked.

They may be names of people and places as well.
"""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, UserFolder
from mlrepro_cli.init_data.layouts.sidecars import read_sidecars, sidecars_of_pictures
from mlrepro_cli.init_data.layouts.xml_files import parsed

NAME = "tags in XMP beside pictures"
OPTION = "xmp"
SUFFIX = ".xmp"
SUBJECT = "{http://purl.org/dc/elements/1.1/}subject"
ENTRY = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"


def read(folder: UserFolder) -> Iterator[LabelRow]:
    if folder.answers.layout == OPTION:
        yield from read_sidecars(folder, SUFFIX, _tags)


def hint(folder: UserFolder) -> list[str]:
    """A clause where there are such files."""
    files = sidecars_of_pictures(folder, SUFFIX)
    if not files:
        return []
    return [
        f"{len(files)} pictures have an {SUFFIX} beside them: if its tags (dc:subject) are labels, "
        f"say --layout {OPTION}"
    ]


def _tags(file: LabelFile) -> Iterator[str]:
    for subject in parsed(file.path).iter(SUBJECT):
        for entry in subject.iter(ENTRY):
            if entry.text and entry.text.strip():
                yield entry.text.strip()
