"""Prodigy's lines of JSON: a picture, what was chosen or drawn, and whether that was accepted."""

from collections import defaultdict
from collections.abc import Iterator

from mlrepro_cli.init_data.layouts.annotators import agreed
from mlrepro_cli.init_data.layouts.rows import (
    ABSENT,
    PRESENT,
    UNKNOWN,
    LabelFile,
    LabelRow,
    first_record,
)

NAME = "Prodigy's annotations"
ANSWERS = {"accept": PRESENT, "reject": ABSENT, "ignore": UNKNOWN}
KEYS = ("options", "accept", "spans", "label", "_task_hash")
# A picture may stand there as text, and its name elsewhere.
EMBEDDED = "data:"


def is_it(content: dict | list) -> bool:
    first = first_record(content)
    has_answer = first.get("answer") in list(ANSWERS)  # a list, as anything may stand there
    return has_answer and any(key in first for key in KEYS)


def read(file: LabelFile, content: list) -> Iterator[LabelRow]:
    chosen: dict[str, list[set[str]]] = defaultdict(list)
    asked: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for place, record in enumerate(content, start=1):
        picture = _picture(record, place)
        answer = record.get("answer")
        if answer not in ANSWERS:
            raise ValueError(
                f"record {place} has the answer {answer!r}; expected accept, reject or ignore"
            )
        if "accept" in record or "spans" in record:
            # What was drawn or chosen, and then turned down, says nothing of the picture.
            chosen[picture] += [_labels(record)] if answer == "accept" else []
        elif "label" in record:
            asked[picture][record["label"]].add(ANSWERS[answer])
        else:
            raise ValueError(f"record {place} has no label: none of accept, spans and label")

    for picture, said in chosen.items():
        yield from agreed(picture, file.split, said)
    for picture, states in asked.items():
        for label, answers in states.items():
            state = answers.pop() if len(answers) == 1 else UNKNOWN
            yield LabelRow(picture, file.split, label, state)
        # Of each picture one label is asked at a time, and nothing is known of the others.
        yield LabelRow(picture, file.split, "", UNKNOWN)


def _picture(record: dict, place: int) -> str:
    meta = record.get("meta") or {}
    for name in (record.get("path"), meta.get("file"), meta.get("path"), record.get("image")):
        if isinstance(name, str) and name and not name.startswith(EMBEDDED):
            return name
    raise ValueError(
        f"record {place} has no name of a picture in path, image or meta; write it into `path`"
    )


def _labels(record: dict) -> set[str]:
    """Those of options that were chosen, and of regions."""
    # An option that is numbered is called by its text.
    texts = {option["id"]: option.get("text") for option in record.get("options") or []}
    chosen = {
        str(texts.get(key) or key) if isinstance(key, int) else key
        for key in record.get("accept") or []
    }
    return chosen | {span["label"] for span in record.get("spans") or []}
