"""Files that belong to a picture of the same folder, `1_mask.png` beside `1.png`: no pictures."""

import re
from collections import defaultdict

from mlrepro.errors import first_of
from mlrepro_cli.init_data.answers import Answers, Question
from mlrepro_cli.init_data.name_forms import folded, stem

# Such a word at a name's end, and a number where a picture has several, as `1_mask_2`.
LAST_WORD = re.compile(r"^(?P<own>.*\w.*?)[\s_.-]+(?P<word>[a-z]+)(?:[\s_-]*\d+)?$")
WORDS = frozenset(
    "mask masks seg segmentation segmentations gt groundtruth label labels annotation annotations "
    "depth thumb thumbs thumbnail thumbnails superpixels overlay heatmap".split()
)
SHOWN = 3


def masks_beside(pictures: list[str]) -> tuple[set[str], str]:
    """Those that are called as another in their folder and a word, and a line on them."""
    by_name = _by_name(pictures)
    masks = [picture for picture in pictures if _name_of_picture(folded(stem(picture))) in by_name]
    if not masks:
        return set(), ""
    return set(masks), (
        f"{first_of(masks, SHOWN)}: left out, as each is called as the picture beside it and "
        "`mask`, or a word like it; where they are pictures to label, rename them"
    )


def say_pairs(pictures: list[str], answers: Answers) -> str:
    """A line on pictures of a label that have another of the same name beside them; "" for none.

    Raises Question where most have: one may be the mask of the other.
    """
    by_name = _by_name(pictures)
    pairs = [of_name for of_name in by_name.values() if len(of_name) > 1]
    if not pairs:
        return ""
    first, second, *_ = pairs[0]
    said = f"{len(pairs)} names are those of two pictures, such as {first} and {second}"
    if 2 * len(pairs) > len(by_name) and answers.layout is None:
        raise Question(
            f"{said}: is one the mask of the other? Then move the masks out of the folder; where "
            "both are pictures with that label, say --layout folders"
        )
    return f"{said}: both are read; where one is a mask, move the masks out of the folder"


def _by_name(pictures: list[str]) -> dict[str, list[str]]:
    """By path without suffix."""
    by_name = defaultdict(list)
    for picture in pictures:
        by_name[folded(stem(picture))].append(picture)
    return by_name


def _name_of_picture(name: str) -> str:
    """`cat/1` of `cat/1_mask`; "" where the last word is another."""
    place, slash, last = name.rpartition("/")
    match = LAST_WORD.match(last)
    if not match or match["word"] not in WORDS:
        return ""
    return f"{place}{slash}{match['own']}"
