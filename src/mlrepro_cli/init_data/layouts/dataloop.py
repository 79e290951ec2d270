"""Dataloop's JSON: a file a picture, with annotations of any type."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow

NAME = "Dataloop's files"


def is_it(content: dict | list) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("annotations"), list)
        and isinstance(content.get("filename"), str)
        and "_id" in content
    )


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    # With the folders of the data set: /2020/1.jpg.
    picture = content["filename"].lstrip("/")
    labels = {annotation["label"] for annotation in content["annotations"]}
    for label in sorted(labels) or [""]:
        yield LabelRow(picture, file.split, label)
