"""Words by which people call the parts of a data set: in names of folders, files and columns."""

import re
from collections.abc import Iterable

TRAIN = ("train", "training", "trn", "trainval", "trainset", "treino", "entrenamiento")
VAL = ("val", "valid", "validate", "validation", "valset", "dev", "devset", "devel")
VAL += ("development", "minival")
TEST = ("test", "tests", "testing", "testset", "tst", "holdout", "heldout", "teste", "prueba")
# Validation, unless another folder is that already.
EVAL = ("eval", "evaluation")
WORDS = (
    dict.fromkeys(TRAIN, "train")
    | dict.fromkeys(VAL + EVAL, "val")
    | dict.fromkeys(TEST, "test")
    | {"训练集": "train", "训练": "train", "验证集": "val", "验证": "val"}
    | {"测试集": "test", "测试": "test"}
)

# What stands beside such a word and says nothing, as in `train_images`, `Test Set`, `x_train`.
FILLERS = frozenset(
    "set sets data dataset datasets image images img imgs picture pictures photo photos pic pics "
    "jpg jpeg png file files folder split part subset seg x cls class classes classification "
    "labelled labeled raw resized small full simple original cropped new my the all and "
    "public private".split()
)

# Between two words that are one part together.
JOINING = ("", "_", "-", " ", "+", "&")
# A word within one: small letters after at most one large one, or large ones, or letters of others.
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_A-Za-z]+")


def split_word(text: str) -> str:
    """train, val or test for one word or field, such as `Validation` or `hold-out`; else ""."""
    return WORDS.get(_bare(text), "")


def split_in_path(place: str) -> str:
    """train, val or test, as the last word of a path that is one of these says; else ""."""
    for part in reversed(place.split("/")):
        for word in reversed(_words(part)):
            if word in WORDS:
                return WORDS[word]
    return ""


def splits_of(names: Iterable[str]) -> dict[str, str]:
    """The split of each of the folders that lie beside each other, of those that name one.

    `train2017`, `seg_train`, `Test Set` do. A name of the data set before the word is ignored where
    all folders have the same one: `birds_train` and `birds_test`, but not `trainA` and `testB`.
    """
    taken_apart = {name: _taken_apart(name) for name in names}
    splits = {split for split, _ in taken_apart.values()}
    others = {other for _, other in taken_apart.values()}

    same_name = len(others) == 1 and "" not in splits and len(splits) > 1
    found = {
        name: split
        for name, (split, other) in taken_apart.items()
        if split and (same_name or not other)
    }
    return _with_evaluation(found)


def holds_split_word(name: str) -> bool:
    """Whether one of a name's words is of a part, whatever stands beside it."""
    return _taken_apart(name)[0] != ""


def _with_evaluation(found: dict[str, str]) -> dict[str, str]:
    """`eval` is the test part where another folder is for validation, and none for the test."""
    evaluations = {name for name in found if set(_words(name)) & set(EVAL)}
    other_splits = {split for name, split in found.items() if name not in evaluations}
    if "val" in other_splits and "test" not in other_splits:
        found = found | dict.fromkeys(evaluations, "test")
    return found


def _taken_apart(name: str) -> tuple[str, frozenset[str]]:
    """The split that a name says, and its words that are neither of splits nor fillers."""
    splits = set()
    others = set()
    for word in _words(name):
        if word in WORDS:
            splits.add(WORDS[word])
        elif word not in FILLERS:
            others.add(word)

    split = splits.pop() if len(splits) == 1 else ""
    return split, frozenset(others)


def _words(name: str) -> list[str]:
    if _bare(name) in WORDS:
        return [_bare(name)]
    words: list[str] = []
    end = 0
    for match in WORD.finditer(name):
        word = match[0].lower()
        # `train_val` is train and val together, as NIH's train_val_list.txt has them.
        is_joined = name[end : match.start()] in JOINING
        if is_joined and words[-1:] == ["train"] and WORDS.get(word) == "val":
            words[-1] = "trainval"
        else:
            words.append(word)
        end = match.end()
    return words


def _bare(text: str) -> str:
    """Without spaces, hyphens and underscores, and in small letters."""
    return re.sub(r"[\s_-]+", "", text).lower()
