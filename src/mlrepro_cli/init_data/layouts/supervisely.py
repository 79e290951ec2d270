"""Supervisely's JSON: a file a picture, `1.jpg.json`, with objects and tags."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow

NAME = "Supervisely's files"


def is_it(content: dict | list) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("objects"), list)
        and isinstance(content.get("tags"), list)
        and "size" in content
    )


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    picture = file.path.stem
    labels = {entry["classTitle"] for entry in content["objects"]}
    labels |= {tag["name"] for tag in content["tags"]}
    for label in sorted(labels) or [""]:
        yield LabelRow(picture, file.split, label)
