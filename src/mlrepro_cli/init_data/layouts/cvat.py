"""CVAT for images 1.1: one XML with boxes, shapes and tags of all pictures, and attributes."""

from collections.abc import Iterator
from xml.etree import ElementTree

from mlrepro_cli.init_data.layouts.attributes import (
    Described,
    DescribedPicture,
    read_described,
)
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow
from mlrepro_cli.init_data.layouts.xml_files import parsed, root_tag
from mlrepro_cli.init_data.split_words import split_word

NAME = "CVAT's XML"


def matches(file: LabelFile) -> bool:
    return file.place.lower().endswith(".xml") and root_tag(file.path) == "annotations"


def read(file: LabelFile) -> Iterator[LabelRow]:
    root = parsed(file.path)
    if root.find("track") is not None:
        raise ValueError("it is of a video (tracks); export it as `CVAT for images`")
    yield from read_described(file, _pictures(file, root))


def _pictures(file: LabelFile, root: ElementTree.Element) -> Iterator[DescribedPicture]:
    for image in root.iter("image"):
        name = image.attrib["name"]
        # A subset that is no word for a part, such as Default, says nothing.
        split = split_word(image.get("subset", "")) or file.split
        yield DescribedPicture(name, split, [_described(shape, name) for shape in image])


def _described(shape: ElementTree.Element, name: str) -> Described:
    if "label" not in shape.attrib:
        raise ValueError(f"image {name}: a {shape.tag} without a label")
    attributes = {
        attribute.get("name", ""): (attribute.text or "").strip()
        for attribute in shape.iter("attribute")
    }
    return Described(shape.attrib["label"], attributes)
