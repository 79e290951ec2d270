"""An XML a picture, as VOC, LabelImg, Roboflow, CVAT and LabelMe 3 write it."""

from collections.abc import Iterator
from xml.etree import ElementTree

from mlrepro_cli.init_data.layouts.rows import (
    PRESENT,
    UNKNOWN,
    LabelFile,
    LabelRow,
    UserFolder,
)
from mlrepro_cli.init_data.layouts.xml_files import parsed, root_tag
from mlrepro_cli.init_data.name_forms import parts, stem

SUFFIX = ".xml"


def annotation_files(folder: UserFolder) -> list[LabelFile]:
    """The XML files of one picture each; a damaged one is told by a picture of its name."""
    found = []
    for file in folder.files:
        if not file.place.lower().endswith(SUFFIX):
            continue
        tag = root_tag(file.path)
        if tag == "annotation" or (not tag and file.path.stem in folder.stems):
            found.append(file)
    return found


def read_annotation(folder: UserFolder, file: LabelFile, split: str) -> Iterator[LabelRow]:
    """A row a label: there with one clear object, unknown with difficult ones alone."""
    root = parsed(file.path)
    states: dict[str, int] = {}
    for number, entry in enumerate(root.iter("object"), start=1):
        if _flag(entry, "deleted"):
            continue
        label = (entry.findtext("name") or "").strip()
        if not label:
            raise ValueError(f"{file.path}: object {number} has no <name>")
        state = UNKNOWN if _flag(entry, "difficult") else PRESENT
        states[label] = max(state, states.get(label, UNKNOWN))

    picture = _picture(folder, file, (root.findtext("filename") or "").strip())
    for label, state in states.items():
        yield LabelRow(picture, split, label, state, source=file.place)
    if not states:
        yield LabelRow(picture, split, "", source=file.place)


def _picture(folder: UserFolder, file: LabelFile, written: str) -> str:
    """The XML's own name, as pictures and XML are renamed together; else that in <filename>."""
    own = file.path.stem
    last = (parts(written.replace("\\", "/")) or [""])[-1]
    if not last or stem(last) == own:
        return last or own
    if own in folder.stems:
        folder.note("An XML whose <filename> is another is of the picture with the XML's own name")
        return own
    return last


def _flag(entry: ElementTree.Element, name: str) -> bool:
    return (entry.findtext(name) or "0").strip().lower() in ("1", "true")
