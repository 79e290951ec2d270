"""What a person answered of labels: read from the CSV of the review's page, and applied.

Its columns are image, label, given and answer, as review/labels.html, missing.csv and wrong.csv
have them; others are ignored. Rows without an answer say nothing.
"""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mlrepro.data.formats import read_text
from mlrepro.errors import InputError
from mlrepro.files import write_bytes
from mlrepro.terminal import one_line
from mlrepro_cli.init_data.layouts.rows import ABSENT, PRESENT, UNKNOWN
from mlrepro_cli.init_data.own_data import OwnData

COLUMNS = ("image", "label", "answer")
DELIMITERS = ",;\t"

# As people write them, in small letters.
MEANINGS = {
    PRESENT: ("yes", "y", "there", "present", "true", "1", "+"),
    ABSENT: ("no", "n", "not there", "absent", "false", "0", "-"),
    UNKNOWN: ("unknown", "u", "?", "can't tell", "cannot tell", "unsure", "-1"),
}
STATE_OF_WORD = {word: state for state, words in MEANINGS.items() for word in words}
WORD = {state: words[0] for state, words in MEANINGS.items()}
MOST_NAMED = 5


@dataclass(frozen=True)
class LabelAnswer:
    """state: PRESENT, ABSENT or UNKNOWN. place: the file and line that say it."""

    image: str
    label: str
    state: int
    place: str


@dataclass(frozen=True)
class Applied:
    """What answers changed: how many labels were added, removed, became unknown, were so already.

    unmatched: answers of earlier runs whose picture or label is no longer there.
    """

    added: int = 0
    removed: int = 0
    unknown: int = 0
    confirmed: int = 0
    unmatched: int = 0

    @property
    def total(self) -> int:
        return self.added + self.removed + self.unknown + self.confirmed

    def __str__(self) -> str:
        return (
            f"{self.added} labels added, {self.removed} removed, {self.unknown} made unknown, "
            f"{self.confirmed} as they were"
        )


# ---- Reading ------------------------------------------------------------------------------------


def read_answers(file: Path) -> list[LabelAnswer]:
    """Raises InputError with the line for what is no such table, or no answer."""
    text = read_text(file, "give the answers.csv that the review's page wrote").lstrip("\ufeff")
    header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = {str(name).strip().lower(): name for name in rows.fieldnames or []}
    absent = [name for name in COLUMNS if name not in columns]
    if absent:
        raise InputError(
            f"{file}: no column {' and '.join(absent)} in line 1; it takes image, label and "
            "answer, as the review's page writes them"
        )

    answers = []
    try:
        for row in rows:
            place = f"{file}: line {rows.line_num}"
            fields = {name: row[columns[name]] for name in COLUMNS}
            if None in row or None in fields.values():
                raise InputError(f"{place}: has other fields than line 1; mend it")
            answers += _answer(fields, place)
    except csv.Error as error:
        raise InputError(f"{file}: line {rows.line_num}: {error}; mend it") from None
    return answers


def _answer(fields: dict[str, str], place: str) -> list[LabelAnswer]:
    """One; none where the row is not answered."""
    said = fields["answer"].strip()
    if not said:
        return []
    state = STATE_OF_WORD.get(said.lower())
    if state is None:
        raise InputError(
            f"{place}: answer {said!r}; say yes, no or unknown, or nothing where it is open"
        )
    return [LabelAnswer(fields["image"], fields["label"].strip(), state, place)]


def _latest(answers: list[LabelAnswer]) -> list[LabelAnswer]:
    """One a picture and label. Raises InputError where one file says two things of it."""
    by_question: dict[tuple[str, str], LabelAnswer] = {}
    for answer in answers:
        earlier = by_question.setdefault((answer.image, answer.label), answer)
        if earlier.state != answer.state:
            raise InputError(
                f"{answer.place}: {answer.label!r} of {answer.image!r} is {WORD[answer.state]}, "
                f"and {WORD[earlier.state]} at {earlier.place}; leave one"
            )
    return list(by_question.values())


# ---- Applying -----------------------------------------------------------------------------------


def apply_answers(
    own: OwnData, file: Path | None, kept: Path, partial: bool = False
) -> Applied | None:
    """Changes the labels of `own` as answers say, and prints what that did. None without answers.

    file: what `--answers` names. kept: where the answers of this data set are kept, so that a later
    `init-data` need not be told again; newer ones replace those of the same picture and label.
    partial: a label that is not given is unknown, and so is one that is answered so.
    Raises InputError, and changes nothing, for an answer of `file` whose picture or label is not
    there.
    """
    row_of_image = {image: row for row, image in enumerate(own.frame["image"])}
    new = _latest(read_answers(file)) if file else []
    for answer in new:
        problem = _problem(own, row_of_image, answer)
        if problem:
            raise InputError(
                f"{answer.place}: {problem}; give the PATH whose review was answered, or remove "
                "the line"
            )

    newly = {(answer.image, answer.label) for answer in new}
    earlier = _latest(read_answers(kept)) if kept.is_file() else []
    earlier = [answer for answer in earlier if (answer.image, answer.label) not in newly]
    matching = [answer for answer in earlier if _problem(own, row_of_image, answer) is None]
    if not new and not earlier:
        if file:
            print(f"{file}: no answers")
        return None

    changes: Counter[str] = Counter()
    for answer in new + matching:
        unknown = answer.state == UNKNOWN and not partial
        changes[_change(own, row_of_image[answer.image], answer, unknown)] += 1
    applied = Applied(**changes, unmatched=len(earlier) - len(matching))
    _print(applied, file, len(new), earlier, kept)
    if new:
        _keep(new + earlier, kept)
    return applied


def _problem(own: OwnData, row_of_image: dict[str, int], answer: LabelAnswer) -> str | None:
    """Why an answer is of something else."""
    if answer.image not in row_of_image:
        return f"no picture {answer.image!r} in {own.root}"
    if answer.label not in own.classes:
        return f"no label {answer.label!r} in {own.root}"
    return None


def _change(own: OwnData, row: int, answer: LabelAnswer, unknown: bool) -> str:
    """Sets one label, in the matrices and in the picture's sets of names.

    unknown: whether it is to be named as unknown. Returns which field of Applied counts it.
    """
    label = own.classes.index(answer.label)
    present = answer.state == PRESENT
    before = (bool(own.labels[row, label]), bool(own.unknown[row, label]))
    own.labels[row, label] = present
    own.unknown[row, label] = unknown

    for column, there in (("label", present), ("unknown", unknown)):
        names = own.frame[column].iat[row]
        names.discard(answer.label)
        if there:
            names.add(answer.label)

    if before == (present, unknown):
        return "confirmed"
    if answer.state == UNKNOWN:
        return "unknown"
    return "added" if present else "removed"


def _print(
    applied: Applied, file: Path | None, new: int, earlier: list[LabelAnswer], kept: Path
) -> None:
    sources = []
    if new:
        sources.append(f"{new} of {file}")
    if earlier:
        sources.append(f"{len(earlier)} of earlier runs ({kept}; remove it to forget them)")
    print(f"Answers: {' and '.join(sources)}: {applied}")

    if applied.unmatched:
        print(
            f"warning: {applied.unmatched} answers of {one_line(str(kept))} are of pictures or "
            "labels that are not there now, and change nothing"
        )


# ---- Keeping ------------------------------------------------------------------------------------


def _keep(answers: list[LabelAnswer], kept: Path) -> None:
    """Writes the answers as they were read."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for answer in answers:
        rows.writerow([answer.image, answer.label, WORD[answer.state]])
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(kept, text.getvalue().encode())
