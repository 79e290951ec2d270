"""What people call the columns of a table."""

import re

# A word of these: the column may name pictures, where its cells do not show it.
IMAGE_WORDS = frozenset(
    "image images img picture pictures pic photo photos file files filename filepath path fname "
    "imagename imageid imagepath imgname imgid id ids name uri url".split()
)
# Pictures, but not those that labels are about.
OTHER_PICTURE_WORDS = frozenset(
    "mask masks segmentation seg depth thumbnail thumb annotation annotations heatmap overlay "
    "label labels lesion edge edges".split()
)

# The last word of a header of labels, where nothing but `name` follows.
LABEL_HEADERS = ("labels", "label", "tags", "tag", "classes", "class", "categories", "category")
LABEL_WORDS = frozenset(LABEL_HEADERS) | frozenset(
    "finding findings diagnosis diagnoses disease diseases target targets attribute attributes "
    "genre genres species breed choice choices concept concepts keyword keywords truth "
    "classname labelname categoryname diagnostic dx pathology outcome".split()
)
NUMBER_WORDS = frozenset("id ids index idx num number code".split())
# What tells one of several columns of labels from another: all are labels of the picture.
ORDER_WORDS = frozenset(
    "primary secondary tertiary first second third main other others additional extra".split()
)

# Of labels that a program has given.
PREDICTED_WORDS = frozenset("predicted prediction pred preds".split())
# Tags (with commas between them)
IN_BRACKETS = re.compile(r"\s+\([^)]*\)\s*$")

SINGULAR = {
    "classes": "class",
    "categories": "category",
    "diagnoses": "diagnosis",
    "diagnosis": "diagnosis",
    "species": "species",
}

SPLIT_HEADERS = ("split", "set", "subset", "fold", "folds", "kfold", "partition", "phase")
# The parts of CelebA's list_eval_partition.
PARTITION = {"0": "train", "1": "val", "2": "test"}
SPLIT_FLAG = re.compile(r"is (train|training|valid|val|validation|test|testing)( image)?")
SCORE_WORDS = frozenset("score scores confidence conf prob probability likelihood".split())
ANNOTATOR_WORDS = frozenset(
    "annotator annotators worker rater user reader radiologist rad labeler labeller".split()
)
# Of columns of labels: that are not there, or may be.
ABSENT_WORDS = frozenset("negative negatives absent excluded not".split())
UNKNOWN_WORDS = frozenset("unknown uncertain unsure".split())
# Of columns that count labels.
COUNT_WORDS = frozenset("n num number count total".split())
# Of columns that say how much of the label of a row is there.
AMOUNT_WORDS = COUNT_WORDS | frozenset(
    "counts individuals abundance quantity cover coverage percent percentage".split()
)
# Of a column that says whether the label of a row is there.
STATE_WORDS = frozenset("present presence state status value exists answer".split())
# Of a row an object, and not a picture.
BOX_CORNERS = frozenset("xmin ymin xmax ymax bbox left top x1 y1 x2 y2 xtl ytl".split())
# Of a box, and not of its label.
BOX_WORDS = frozenset(
    "occluded truncated crowd iscrowd inside depiction difficult group pose".split()
)
# With marks of 0 and 1, too, and no label more often than not.
DOUBTFUL_WORDS = frozenset(
    "occluded truncated difficult verified reviewed crowd iscrowd sex gender flag duplicate "
    "smoker drinker married deceased "
    "exclude excluded delete deleted reject rejected approve approved ignore ignored skip "
    "frontal lateral inside depiction public private used site hospital scanner batch "
    "train training test val valid validation".split()
)
# `has_label`, `is_annotated`: whether there is any.
ANY_LABEL = re.compile(
    r"(has|have|is|was|any|no) (\w+ )?"
    r"(label|labels|labell?ed|unlabell?ed|annotation|annotations|annotated|object|objects|mask|"
    r"masks|box|boxes|bbox|bboxes|tag|tags|tagged)"
)

# Numbers that describe a picture or a box.
MEASURE_WORDS = SCORE_WORDS | frozenset(
    "id index idx unnamed column age width height size bytes area count x y w h xmin ymin xmax "
    "ymax left top right bottom year month day hour date time lat lon follow number num weight "
    "weights".split()
)
# `Is it sharp?`, as survey tools head the answers to a question.
QUESTION = re.compile(r"\S+\s+\S+.*\?")
# What pictures share that must not lie in two splits.
GROUP_WORDS = frozenset("patient subject person participant".split())
# Of these, too, where a number follows: pictures of one lesion or video are much alike.
GROUP_ID = re.compile(r"(lesion|study|series|video|sequence|scene|specimen|individual) (id|number)")
# Of a person in the picture, and hardly a label where the table has others of these, too.
PERSON_WORDS = frozenset(
    "male female man woman smoking smoke drinking drink alcohol pregnant dead died alive "
    "survived".split()
)
ABOUT_PERSONS = GROUP_WORDS | frozenset(
    "age sex gender ethnicity race bmi birth dob hospital clinic study visit".split()
)


def words(header: str) -> list[str]:
    """`ImageID`, `image_id` and `Image Id` are image, id; `label2` is label, 2."""
    # LABEL(S)
    header = re.sub(r"\((s)\)", r"\1", header, flags=re.IGNORECASE)
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", header)
    return re.findall(r"[^\W\d_]+|\d+", spaced.casefold())


def is_of_any_label(header: str) -> bool:
    """Whether it says that there is a label at all, and not which."""
    return ANY_LABEL.fullmatch(" ".join(words(header))) is not None


def is_question(header: str) -> bool:
    return QUESTION.fullmatch(header) is not None


def is_any(header: str, wanted: frozenset[str]) -> bool:
    return not wanted.isdisjoint(words(header))


def is_of_group(header: str) -> bool:
    """Whether pictures of one cell belong together, as those of a patient do."""
    return is_any(header, GROUP_WORDS) or GROUP_ID.fullmatch(" ".join(words(header))) is not None


def label_family(header: str) -> str | None:
    """What columns of labels have in common, such as `label` of label1 and secondary_labels.

    None for a header that is none of labels.
    """
    plain = IN_BRACKETS.sub("", header)
    of_header = [word for word in words(plain) if word not in ORDER_WORDS and not word.isdecimal()]
    if of_header and of_header[-1] in ("name", "names", "list"):
        of_header.pop()
    # label_annotator1, as annotator1_label.
    if len(of_header) > 1 and of_header[-1] in ANNOTATOR_WORDS:
        of_header.insert(0, of_header.pop())
    if not of_header:
        return None

    *before, last = of_header
    if last not in LABEL_WORDS or of_header[0] in COUNT_WORDS:
        return None
    if not PREDICTED_WORDS.isdisjoint(of_header):
        return None
    return " ".join([*before, _singular(last)])


def is_plural(header: str) -> bool:
    """Whether it is of several labels, as `labels` and `Finding Tags` are."""
    last = words(header)[-1:]
    return bool(last) and last[0].endswith("s") and last[0] not in SINGULAR.values()


def counts_labels(header: str) -> bool:
    """n_labels, num objects."""
    of_header = words(header)
    return len(of_header) > 1 and of_header[0] in COUNT_WORDS


def is_label_number(header: str) -> bool:
    """Whether it is of numbers that stand for labels, such as class_id."""
    of_header = words(header)
    return (
        len(of_header) > 1
        and of_header[-1] in NUMBER_WORDS
        and label_family(" ".join(of_header[:-1])) is not None
    )


def is_of_absent_labels(header: str) -> bool:
    return is_any(header, ABSENT_WORDS) and label_family(header) is not None


def is_of_unknown_labels(header: str) -> bool:
    """`unknown` alone, too, as init-data writes it."""
    is_alone = len(words(header)) == 1
    return is_any(header, UNKNOWN_WORDS) and (is_alone or label_family(header) is not None)


def is_of_other_state(header: str) -> bool:
    return is_of_absent_labels(header) or is_of_unknown_labels(header)


def is_split(header: str) -> bool:
    of_header = words(header)
    return bool(of_header) and of_header[-1] in SPLIT_HEADERS


def flagged_split(header: str) -> str | None:
    """The word of a header such as is_valid, whose cells say yes or no."""
    flag = SPLIT_FLAG.fullmatch(" ".join(words(header)))
    return flag[1] if flag else None


def _singular(word: str) -> str:
    if word in SINGULAR:
        return SINGULAR[word]
    return word if word.endswith("ss") else word.removesuffix("s")
