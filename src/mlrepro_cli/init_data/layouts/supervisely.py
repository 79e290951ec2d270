"""Supervisely's JSON: a file a picture, `1.jpg.json`, with objects and tags."""

from collections.abc import Iterator

from mlrepro_cli.init_data.answers import Question
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
    tags = content["tags"]
    wanted = file.answers.label_columns
    if wanted:
        labels = {tag["value"] for tag in tags if tag["name"] in wanted and tag.get("value")}
    else:
        _ask_about_values(file, tags)
        labels = {entry["classTitle"] for entry in content["objects"]}
        labels |= {tag["name"] for tag in tags}
    for label in sorted(labels) or [""]:
        yield LabelRow(picture, file.split, label)


def _ask_about_values(file: LabelFile, tags: list[dict]) -> None:
    """Raises Question for a tag with a text, which may be the label in place of its name."""
    for tag in tags:
        name, value = tag["name"], tag.get("value")
        if isinstance(value, str) and value:
            raise Question(
                f"{file.path}: the tag {name!r} has the value {value!r}; if values are the labels, "
                f"name their tags, all of them, as --labels-column {name!r}; if not, take the "
                "values out"
            )
