"""COCO's results: a list of boxes, each with image_id, category_id and score."""

from mlrepro.audit.tables import ScoreTable
from mlrepro.errors import InputError
from mlrepro_cli.audit.boxes import BestBoxes
from mlrepro_cli.audit.files import Place
from mlrepro_cli.audit.json_stream import objects


def read(place: Place) -> ScoreTable:
    boxes = BestBoxes()
    for where, item in objects(place.path):
        try:
            score = float(item["score"])
            boxes.add(str(item["image_id"]), str(item["category_id"]), score)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{where}: no box of COCO's results ({error!r}): each has image_id, category_id "
                "and score"
            ) from None
    return boxes.table(str(place), [])
