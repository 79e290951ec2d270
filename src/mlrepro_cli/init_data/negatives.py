"""Labels that say that a picture has none, such as `No Finding`."""

from collections import Counter
from collections.abc import Iterable

from mlrepro.errors import InputError
from mlrepro.settings.base import nearest
from mlrepro_cli.init_data.answers import Answers, Question, option
from mlrepro_cli.init_data.layouts.rows import ABSENT, PRESENT, UNKNOWN, LabelRow

# As people write them, in small letters and with spaces between words.
NEGATIVE_NAMES = frozenset(
    (
        *("no finding", "no findings", "no disease", "no label", "no labels", "no object"),
        *("no tag", "no tags", "none", "nothing", "normal", "healthy", "negative", "background"),
        *("empty", "clean", "neutral", "none of these", "none of the above", "unremarkable"),
        *("no defect", "no defects", "no abnormality", "no pathology", "nothing found"),
        *("no animal", "no animals", "no objects", "no tumor", "no tumour", "no lesion", "no dr"),
        # In other languages.
        *("kein", "keine", "keines", "nichts", "kein befund", "kein tier", "gesund"),
        *("aucun", "aucune", "rien", "sain", "ninguno", "ninguna", "nada", "sano", "nessuno"),
    )
)
# What programs write where there is nothing; a label, where pictures have others beside it.
EMPTY_NAMES = frozenset(("null", "na", "nil", "#n/a", "<na>", "missing"))
NEGATIVE_SIGNS = frozenset(("-", "--", "."))
# And what says that nobody knows of any.
UNKNOWN_NAMES = frozenset(
    (
        *("unknown", "unlabeled", "unlabelled", "unsure", "uncertain", "undefined", "not sure"),
        *("nan", "n/a", "?", "tbd", "todo", "skip", "pending", "not labeled", "not labelled"),
        *("not annotated", "not tagged", "to do", "unk", "unclear", "cannot tell", "can't tell"),
        *("don't know", "do not know", "not applicable", "no answer", "illegible"),
        *("unbekannt", "unklar", "inconnu", "inconnue", "desconocido", "desconocida"),
    )
)


def sounds_unknown(label: str) -> bool:
    return _plain(label) in UNKNOWN_NAMES


def _plain(label: str) -> str:
    small = label.casefold().replace("_", " ").replace("-", " ").replace("’", "'")
    return " ".join(small.split()).rstrip(".!")


def ask_about_negatives(rows: Iterable[LabelRow], answers: Answers) -> None:
    """Raises Question for a label that sounds like none, unless the user has said what it is."""
    answered = {*answers.negative, *answers.positive, *answers.unknown}
    shown = [row for row in rows if row.state == PRESENT and row.label]
    pictures = Counter(row.label for row in shown)
    labels_of_picture = Counter(row.image for row in shown)
    beside_others = {row.label for row in shown if labels_of_picture[row.image] > 1}
    are_numbers = all(label.isdecimal() for label in pictures)

    for label, count in pictures.items():
        plain = _plain(label)
        is_word = plain in NEGATIVE_NAMES | UNKNOWN_NAMES
        is_sign = label in NEGATIVE_SIGNS or (label == "0" and not are_numbers)
        is_empty = plain in EMPTY_NAMES and label not in beside_others
        if not (is_word or is_sign or is_empty) or label in answered:
            continue

        unknown = ""
        if plain in UNKNOWN_NAMES | EMPTY_NAMES:
            unknown = f", or that nobody knows ({option('unknown', label)})"
        raise Question(
            f"{count} pictures have the label {label!r}: is it a label as the others are "
            f"({option('positive', label)}), or does it say that there is none "
            f"({option('negative', label)}){unknown}?"
        )


def take_unknown(rows: list[LabelRow], answers: Answers) -> list[LabelRow]:
    """The rows in which labels that say that nobody knows of any say just that."""
    return [
        row._replace(label="", state=UNKNOWN) if row.label in answers.unknown else row
        for row in rows
    ]


def take_negatives(rows: list[LabelRow], answers: Answers) -> list[LabelRow]:
    """The rows without the labels that say that there is none.

    A picture that has one has no other label, unless another row says so: not even an unknown one.
    """
    if not answers.negative:
        return rows
    _refuse_unknown(rows, answers.negative)
    negative = set(answers.negative)
    without = {row.image for row in rows if row.label in negative and row.state == PRESENT}

    kept = []
    labelled = set()
    for row in rows:
        is_negative = row.label in negative
        is_unknown = row.state == UNKNOWN and row.image in without
        if is_negative or is_unknown:
            row = row._replace(label="", state=ABSENT if row.image in without else PRESENT)
        elif row.label and row.state == PRESENT and row.image in without:
            labelled.add(row.image)
        kept.append(row)

    _say(answers.negative, len(without), labelled)
    return kept


def _refuse_unknown(rows: list[LabelRow], negative: tuple[str, ...]) -> None:
    known = {row.label for row in rows}
    for label in negative:
        if label not in known:
            raise InputError(f"--negative {label}: no such label; {nearest(label, sorted(known))}")


def _say(negative: tuple[str, ...], count: int, labelled: set[str]) -> None:
    print(f"{count} pictures have no label, as {' or '.join(negative)} says")
    if labelled:
        print(
            f"warning: {len(labelled)} of them have other labels all the same, which stay, such as "
            f"{min(labelled)}"
        )
