"""Amazon SageMaker Ground Truth's output.manifest: a line of JSON a picture, and its metadata."""

from collections.abc import Iterator

from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.layouts.rows import LabelFile, LabelRow, first_record, unlabelled

NAME = "SageMaker Ground Truth's manifest"
PICTURE = "source-ref"
METADATA = "-metadata"


def is_it(content: dict | list) -> bool:
    return PICTURE in first_record(content)


def read(file: LabelFile, content: list) -> Iterator[LabelRow]:
    job = _job(file, content)
    for place, record in enumerate(content, start=1):
        picture = record[PICTURE]
        metadata = record.get(f"{job}{METADATA}")
        if metadata is None or "failure-reason" in metadata:
            yield unlabelled(picture, file.split)
            continue
        for label in sorted(_labels(record.get(job), metadata, place)) or [""]:
            yield LabelRow(picture, file.split, label)


def _job(file: LabelFile, content: list) -> str:
    """The labelling job, by whose name the labels are kept; "" for a manifest that waits for one.

    Raises Question for several.
    """
    jobs = sorted(
        {key[: -len(METADATA)] for record in content for key in record if METADATA in key}
    )
    wanted = [job for job in file.answers.label_columns if job in jobs]
    if len(wanted or jobs) < 2:
        return (wanted or jobs or [""])[0]
    raise Question(
        f"{file.path}: labels of several jobs ({', '.join(jobs)}); say which with --labels-column"
    )


def _labels(value: object, metadata: dict, place: int) -> set[str]:
    """Of one class, of several, or of boxes; numbers have names in class-map."""
    if "class-name" in metadata:
        return {metadata["class-name"]}

    numbers = value.get("annotations", []) if isinstance(value, dict) else value
    if not isinstance(numbers, list):
        raise ValueError(f"record {place}: {value!r} is no list of classes or boxes")
    numbers = [entry["class_id"] if isinstance(entry, dict) else entry for entry in numbers]
    names = metadata.get("class-map", {})
    for number in numbers:
        if str(number) not in names:
            raise ValueError(
                f"record {place} has class {number}, which its class-map does not name"
            )
    return {names[str(number)] for number in numbers}
