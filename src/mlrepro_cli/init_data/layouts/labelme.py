"""LabelMe's JSON: a file a picture, with shapes and flags."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import ABSENT, LabelFile, LabelRow

NAME = "LabelMe's files"


def is_it(content: dict | list) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("shapes"), list)
        and "imagePath" in content
    )


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    # The file is called as its picture is; the path in it may be that of another machine.
    picture = file.path.stem
    labels = {shape["label"] for shape in content["shapes"]}
    flags = content.get("flags") or {}
    labels |= {flag for flag, is_set in flags.items() if is_set}

    for label in sorted(labels) or [""]:
        yield LabelRow(picture, file.split, label)
    for flag in sorted(set(flags) - labels):
        yield LabelRow(picture, file.split, flag, ABSENT)
