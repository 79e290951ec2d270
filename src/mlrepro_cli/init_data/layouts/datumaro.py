"""Datumaro's own JSON: categories, and items with annotations; a file a part."""

from collections.abc import Iterator

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
    for item in content["items"]:
        place = item.get("image", {}).get("path") or item["id"]
        labels = set()
        for annotation in item.get("annotations", []):
            number = annotation.get("label_id")
            if number is None:
                continue
            if not 0 <= number < len(names):
                raise ValueError(
                    f"item {item['id']} has label_id {number}, and there are {len(names)} labels"
                )
            labels.add(names[number])
        for label in sorted(labels) or [""]:
            yield LabelRow(place, file.split, label)
