"""Datumaro's own JSON: categories, and items with annotations; a file a part."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.attributes import (
    Described,
    DescribedPicture,
    read_described,
)
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow

NAME = "Datumaro's items"


def is_it(content: dict | list) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("items"), list)
        and isinstance(content.get("categories"), dict)
    )


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    names = [label["name"] for label in content["categories"]["label"]["labels"]]
    yield from read_described(file, (_picture(file, item, names) for item in content["items"]))


def _picture(file: LabelFile, item: dict, names: list[str]) -> DescribedPicture:
    # The older key is `image`, the newer one `media`.
    media = item.get("image") or item.get("media") or {}

    objects = []
    for annotation in item.get("annotations", []):
        number = annotation.get("label_id")
        if number is None:
            continue
        if not 0 <= number < len(names):
            raise ValueError(
                f"item {item['id']} has label_id {number}, and there are {len(names)} labels"
            )

        attributes = {}
        for name, value in annotation.get("attributes", {}).items():
            text = str(value)
            # True and False as JSON has them.
            attributes[name] = text.lower() if isinstance(value, bool) else text
        objects.append(Described(names[number], attributes))
    return DescribedPicture(media.get("path") or item["id"], file.split, objects)
