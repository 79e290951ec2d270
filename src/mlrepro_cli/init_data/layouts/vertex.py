"""Google's Vertex AI: a line of JSON a picture, with names of labels or boxes."""

from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, first_record, unlabelled
from mlrepro_cli.init_data.split_words import split_word

NAME = "Vertex AI's lines"
PICTURE = "imageGcsUri"
LABELS = ("classificationAnnotations", "boundingBoxAnnotations", "classificationAnnotation")
PART = "aiplatform.googleapis.com/ml_use"


def is_it(content: dict | list) -> bool:
    return PICTURE in first_record(content)


def read(file: LabelFile, content: list) -> Iterator[LabelRow]:
    for record in content:
        part = (record.get("dataItemResourceLabels") or {}).get(PART, "")
        split = split_word(part) or file.split
        if not any(key in record for key in LABELS):
            yield unlabelled(record[PICTURE], split)
            continue
        labels = set()
        for key in LABELS:
            found = record.get(key) or []
            entries = found if isinstance(found, list) else [found]
            labels |= {entry["displayName"] for entry in entries}
        for label in sorted(labels) or [""]:
            yield LabelRow(record[PICTURE], split, label)
