"""A project of the VGG Image Annotator 3: files, views of them, and what was said of each view."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow
from mlrepro_cli.init_data.layouts.via import read_entries

NAME = "VIA 3's project"
KEYS = frozenset({"file", "view", "metadata", "attribute"})


def is_it(content: dict | list) -> bool:
    if not isinstance(content, dict):
        return False
    return all(isinstance(content.get(key), dict) for key in KEYS)


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    entries: dict[str, dict] = {
        number: {"filename": entry.get("src") or entry["fname"], "regions": []}
        for number, entry in content["file"].items()
    }
    for place, said in content["metadata"].items():
        if said.get("z"):
            raise ValueError(f"{place} is of a film or a sound (z); export its frames as pictures")
        attributes = {}
        for number, value in said.get("av", {}).items():
            attribute = content["attribute"][number]
            attributes[attribute["aname"]] = _marked(attribute, str(value))
        for of_file in content["view"][said["vid"]]["fid_list"]:
            entries[str(of_file)]["regions"].append({"region_attributes": attributes})
    yield from read_entries(file, list(entries.values()))


def _marked(attribute: dict, value: str) -> dict[str, bool]:
    """The options that were chosen, by their texts; of what was typed, the text."""
    options = attribute.get("options") or {}
    if not options:
        return {value: True} if value else {}
    return {options[key]: True for key in value.split(",") if key}
