"""The VGG Image Annotator's JSON: regions and files with attributes."""

from collections.abc import Iterator

from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow

NAME = "VIA's annotations"
PROJECT = "_via_img_metadata"
# Attributes that VIA itself offers for each file.
OF_THE_FILE = {"caption", "public_domain", "image_url"}


def is_it(content: dict | list) -> bool:
    if not isinstance(content, dict):
        return False
    if PROJECT in content:
        return True
    first = next(iter(content.values()), None)
    return isinstance(first, dict) and "filename" in first and "regions" in first


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    yield from read_entries(file, list(content.get(PROJECT, content).values()))


def read_entries(file: LabelFile, entries: list[dict]) -> Iterator[LabelRow]:
    """entries: filename, regions and file_attributes of each picture."""
    attribute = _attribute(file, entries)
    for entry in entries:
        labels = set()
        for attributes in _attributes(entry):
            labels |= _values(attributes.get(attribute))
        for label in sorted(labels) or [""]:
            yield LabelRow(entry["filename"], file.split, label)


def _attributes(entry: dict) -> list[dict]:
    """Those of the file and of its regions, which are a list, or a dictionary in old files."""
    regions = entry["regions"]
    regions = regions.values() if isinstance(regions, dict) else regions
    of_regions = [region.get("region_attributes", {}) for region in regions]
    return [entry.get("file_attributes") or {}, *of_regions]


def _attribute(file: LabelFile, entries) -> str:
    """The attribute that is the label. Raises Question for several."""
    names = {name for entry in entries for found in _attributes(entry) for name in found}
    names -= OF_THE_FILE
    wanted = set(file.answers.label_columns) & names
    if len(wanted or names) == 1:
        return (wanted or names).pop()
    if not names:
        raise ValueError("no region and no file has an attribute")
    raise Question(
        f"{file.path}: several attributes ({', '.join(sorted(names))}); say which holds the label "
        "with --labels-column"
    )


def _values(value) -> set[str]:
    """Text, or {label: whether it is marked} of check boxes."""
    if isinstance(value, dict):
        return {name for name, is_marked in value.items() if is_marked}
    return {value} if value else set()
