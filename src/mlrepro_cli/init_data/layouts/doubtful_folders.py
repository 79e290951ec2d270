"""Folders that people make for order, and that look like labels: by date, by patient, copies."""

import re

from mlrepro_cli.init_data.answers import Question
from mlrepro_cli.init_data.not_labels import bare

# What folders are numbered by, as in patient001, batch2, day3.
COUNTED = frozenset(
    "patient subject person participant case user annotator batch part chunk shard block fold "
    "folder dir directory archive upload session visit scan scene day week month site hospital "
    "images pictures photos "
    "camera cam device video clip seq sequence frame roll disk disc volume vol".split()
)
WORD_AND_NUMBER = re.compile(r"(?P<before>|.*[\W_])(?P<word>[^\W\d_]+)[\W_]*\d+")
# Years, and dates with the year first or last.
DATE = re.compile(
    r"(19|20)\d\d([-_. ]?(0?[1-9]|1[0-2])([-_. ]?(0?[1-9]|[12]\d|3[01]))?)?"
    r"|(0?[1-9]|[12]\d|3[01])[-_. ](0?[1-9]|1[0-2])[-_. ](19|20)\d\d"
)
# 100CANON, 101_PANA, 100APPLE: a camera's own.
CAMERA = re.compile(r"\d{3}[A-Z0-9_]{5}")

# What was made of other folders, or has no name yet; in small letters and without spaces.
MADE = frozenset(
    "augmented augmentation augmentations augs resized rescaled cropped preprocessed processed "
    "converted backup backups bak tmp temp newfolder untitledfolder neuerordner nouveaudossier "
    "nuevacarpeta original originals raw unedited edited".split()
)
# Of these, one alone beside others may be a label.
MADE_OR_LABEL = frozenset("original originals raw processed cropped".split())
COPY = re.compile(
    r"(?P<of>.+?)( ?\(\d+\)|[ _-]+(copy|kopie|copie|backup|bak)( ?\(?\d+\)?)?)"
    r"|(copy|kopie|copie) (of|von|de) (?P<also>.+)",
    re.IGNORECASE,
)
SHOWN = 3


def refuse_doubtful(names: list[str]) -> None:
    """Raises Question where folders, which lie beside each other, are hardly labels.

    names: their names.
    """
    _refuse_for_order(names)
    _refuse_made(names)
    _refuse_copies(names)


def _refuse_for_order(names: list[str]) -> None:
    kind = _what_all_are(names)
    if kind:
        raise Question(
            f"{', '.join(names[:SHOWN])}: folders that are called by {kind}, which hardly are "
            "labels; if they are, say --layout folders; if the labels lie deeper, --layout "
            "folders-deepest; if neither, give the folder or the file that says the labels"
        )


def _refuse_made(names: list[str]) -> None:
    made = [name for name in names if _kind(name) in MADE]
    others = [name for name in names if name not in made]
    # One of them beside others may be a label, as raw beside cooked is.
    may_be_labels = others and all(_kind(name) in MADE_OR_LABEL for name in made)
    if made and not may_be_labels:
        beside = f" beside {', '.join(others[:SHOWN])}" if others else ""
        raise Question(
            f"{', '.join(made[:SHOWN])}{beside}: made of other pictures, or not named yet? Move "
            "such a folder away, or, where it is a label, say --layout folders"
        )


def _refuse_copies(names: list[str]) -> None:
    known = {name.casefold(): name for name in names}
    for name in names:
        match = COPY.fullmatch(name)
        original = match and known.get((match["of"] or match["also"]).casefold())
        if original:
            raise Question(
                f"{name} beside {original}: a copy of that folder? Move its pictures there, or "
                "away; where it is a label of its own, say --layout folders"
            )


def _kind(name: str) -> str:
    """Without a number behind it."""
    return bare(name).rstrip("0123456789")


def _what_all_are(names: list[str]) -> str:
    """What all folders are called by; "" where that may be a label."""
    if len(names) < 2:
        return ""
    if all(map(DATE.fullmatch, names)):
        return "years or dates"
    if all(map(CAMERA.fullmatch, names)) and any(name[3:].isalpha() for name in names):
        return "a camera"
    counted = [WORD_AND_NUMBER.fullmatch(name) for name in names]
    if all(counted):
        # As HAM10000_images_part_1: the same but for the number.
        before = {match["before"].casefold() for match in counted}
        words = {match["word"].casefold() for match in counted}
        if len(before) == len(words) == 1 and words <= COUNTED:
            return f"{words.pop()} and number"
    return ""
