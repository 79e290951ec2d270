"""V7's Darwin JSON: a file a picture, with annotations of any kind, of version 1 or 2."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow

NAME = "V7 Darwin's files"


def is_it(content: dict | list) -> bool:
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        return False
    image = content.get("image")
    if isinstance(image, dict) and "filename" in image and "dataset" in content:
        return True  # version 1

    item = content.get("item")
    return isinstance(item, dict) and "slots" in item


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    item = content.get("item")
    name = item["name"] if item else content["image"]["filename"]
    # Folders of the data set, such as /2020/may.
    folder = ((item or content["image"]).get("path") or "").strip("/")
    picture = f"{folder}/{name}" if folder else name

    if any("frames" in annotation for annotation in content["annotations"]):
        raise ValueError("it is of a video; export its frames as pictures, each with a file")
    labels = {annotation["name"] for annotation in content["annotations"]}
    for label in sorted(labels) or [""]:
        yield LabelRow(picture, file.split, label)
