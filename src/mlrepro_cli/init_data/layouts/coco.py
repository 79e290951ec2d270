"""Annotations of COCO (Lin et al. 2014): one JSON with images, categories and objects."""

import json
import re
from collections.abc import Iterator

from mlrepro.data.formats import read_text
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow

NAME = "COCO's annotations"
# Beside annotations lie captions and other JSON files. A file that the user names may be called
# otherwise.
ANNOTATIONS = re.compile(r"(^|/)(instances|[^/]*coco)[^/]*\.json$")


def matches(file: LabelFile) -> bool:
    if file.given:
        return file.place.endswith(".json")
    return ANNOTATIONS.search(file.place) is not None


def read(file: LabelFile) -> Iterator[LabelRow]:
    content = json.loads(read_text(file.path, ""))
    labels = {category["id"]: category["name"] for category in content["categories"]}
    images = {image["id"]: image["file_name"] for image in content["images"]}

    # Pictures without an object stay, as pictures without a label.
    for image in images.values():
        yield LabelRow(image, file.split, "")

    for annotation in content["annotations"]:
        image = images[annotation["image_id"]]
        label = labels[annotation["category_id"]]
        yield LabelRow(image, file.split, label)
