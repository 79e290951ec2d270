"""Which column of the scores is which class of the labels: by name, however it is spelt."""

import re
from dataclasses import dataclass

# Names of one thing in the data sets of the papers. VOC's stands first, where it has one.
ALIASES = (
    ("aeroplane", "airplane", "plane", "aircraft"),
    ("bicycle", "bike"),
    ("motorbike", "motorcycle"),
    ("tvmonitor", "tv", "television", "tv/monitor", "monitor"),
    ("diningtable", "table"),
    ("pottedplant", "plant", "houseplant"),
    ("sofa", "couch"),
    ("person", "people", "human"),
    ("car", "automobile"),
    ("cow", "cattle"),
    ("cell phone", "mobile phone", "phone"),
    ("donut", "doughnut"),
    ("hair drier", "hair dryer", "hairdryer", "blow dryer"),
    ("remote", "remote control"),
    ("hot dog", "hotdogs"),
    ("sports ball", "ball"),
    ("skis", "ski"),
    ("fire hydrant", "hydrant"),
    ("wine glass", "wineglass"),
    ("baseball glove", "glove"),
    ("microwave", "microwave oven"),
    ("refrigerator", "fridge"),
    ("teddy bear", "teddy"),
)

# COCO's categories by their numbers, in which detections name them.
COCO = {
    1: "person",
    2: "bicycle",
    3: "car",
    4: "motorcycle",
    5: "airplane",
    6: "bus",
    7: "train",
    8: "truck",
    9: "boat",
    10: "traffic light",
    11: "fire hydrant",
    13: "stop sign",
    14: "parking meter",
    15: "bench",
    16: "bird",
    17: "cat",
    18: "dog",
    19: "horse",
    20: "sheep",
    21: "cow",
    22: "elephant",
    23: "bear",
    24: "zebra",
    25: "giraffe",
    27: "backpack",
    28: "umbrella",
    31: "handbag",
    32: "tie",
    33: "suitcase",
    34: "frisbee",
    35: "skis",
    36: "snowboard",
    37: "sports ball",
    38: "kite",
    39: "baseball bat",
    40: "baseball glove",
    41: "skateboard",
    42: "surfboard",
    43: "tennis racket",
    44: "bottle",
    46: "wine glass",
    47: "cup",
    48: "fork",
    49: "knife",
    50: "spoon",
    51: "bowl",
    52: "banana",
    53: "apple",
    54: "sandwich",
    55: "orange",
    56: "broccoli",
    57: "carrot",
    58: "hot dog",
    59: "pizza",
    60: "donut",
    61: "cake",
    62: "chair",
    63: "couch",
    64: "potted plant",
    65: "bed",
    67: "dining table",
    70: "toilet",
    72: "tv",
    73: "laptop",
    74: "mouse",
    75: "remote",
    76: "keyboard",
    77: "cell phone",
    78: "microwave",
    79: "oven",
    80: "toaster",
    81: "sink",
    82: "refrigerator",
    84: "book",
    85: "clock",
    86: "vase",
    87: "scissors",
    88: "teddy bear",
    89: "hair drier",
    90: "toothbrush",
}

# A class that is called after its place: 7, class_7, score7.
NUMBERED = re.compile(r"([A-Za-z]*)[ _.-]*(\d+)")


@dataclass(frozen=True)
class ClassMatch:
    """Columns of the scores by class of the labels.

    columns: by place of the class; none where the scores lack it.
    aliases: (name in the scores, name in the labels) of pairs that are spelt otherwise.
    extra:   columns' names that no label has.
    """

    columns: list[int | None]
    aliases: list[tuple[str, str]]
    extra: list[str]

    @property
    def matched(self) -> int:
        return sum(column is not None for column in self.columns)


def match_classes(scored: list[str], labelled: list[str]) -> ClassMatch:
    """Pairs by the same name, then by the same letters and digits, then by aliases.

    A column and a class are paired once at most. Where two names of a side mean the same, neither
    is paired by it.
    """
    columns: dict[int, int] = {}
    aliases = []
    for spelling in (str, letters_and_digits, _thing):
        free_columns = _by_spelling(scored, spelling, set(columns.values()))
        free_classes = _by_spelling(labelled, spelling, set(columns))
        for name, place in free_classes.items():
            column = free_columns.get(name)
            if column is None:
                continue
            columns[place] = column
            if scored[column] != labelled[place]:
                aliases.append((scored[column], labelled[place]))

    used = set(columns.values())
    return ClassMatch(
        columns=[columns.get(place) for place in range(len(labelled))],
        aliases=aliases,
        extra=[name for column, name in enumerate(scored) if column not in used],
    )


def _by_spelling(names: list[str], spelling, taken: set[int]) -> dict[str, int]:
    """Place by spelling, of names that are not taken; a spelling of two of them is left out."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if place not in taken:
            places.setdefault(spelling(name), []).append(place)

    unique = {}
    for spelt, found in places.items():
        if len(found) == 1:
            unique[spelt] = found[0]
    return unique


def letters_and_digits(name: str) -> str:
    """`Dining_Table`, `dining table` and `diningtable` alike; of any alphabet."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _thing(name: str) -> str:
    """The first of a name's aliases."""
    plain = letters_and_digits(name)
    for group in ALIASES:
        if plain in map(letters_and_digits, group):
            return letters_and_digits(group[0])
    return plain


def are_numbered(names: list[str]) -> bool:
    """Whether the names are places alone, such as 0, 1, 2 or class_1, class_2."""
    matches = [NUMBERED.fullmatch(name.strip()) for name in names]
    if not names or None in matches:
        return False

    prefixes = {match[1] for match in matches}
    numbers = [int(match[2]) for match in matches]
    in_turn = list(range(numbers[0], numbers[0] + len(names)))
    return len(prefixes) == 1 and numbers == in_turn
