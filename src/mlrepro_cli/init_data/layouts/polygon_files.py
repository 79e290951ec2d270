"""Cityscapes (Cordts et al. 2016) and Mapillary Vistas: a JSON a picture, with polygons."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow

NAME = "Cityscapes' or Vistas' polygons"
HEIGHTS = ("imgHeight", "height")
# `aachen_1_gtFine_polygons.json` is of `aachen_1_leftImg8bit.png`.
POLYGONS = "_polygons"
KINDS = ("_gtFine", "_gtCoarse", "_gtBbox")
PICTURE = "_leftImg8bit"


def is_it(content: dict | list) -> bool:
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        return False
    objects = content["objects"]
    is_of_polygons = all(isinstance(entry, dict) and "polygon" in entry for entry in objects)
    return is_of_polygons and any(key in content for key in HEIGHTS)


def read(file: LabelFile, content: dict) -> Iterator[LabelRow]:
    picture = file.path.stem.removesuffix(POLYGONS)
    for kind in KINDS:
        if picture.endswith(kind):
            picture = picture.removesuffix(kind) + PICTURE
    labels = {entry["label"] for entry in content["objects"]}
    for label in sorted(labels) or [""]:
        yield LabelRow(picture, file.split, label)
