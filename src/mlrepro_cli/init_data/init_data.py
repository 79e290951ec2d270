"""`mlrepro init-data`: looks at pictures, says what is there, writes settings that compare methods.

Whatever the layout, its labels become one table of our own; the pictures are used in place.
No torch.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.layout import OUTPUTS, OWN_DATA, kept_answers
from mlrepro.settings.losses import PROMPT
from mlrepro_cli.init_data.answers import NO_ANSWERS, Answers
from mlrepro_cli.init_data.backbones import Wanted
from mlrepro_cli.init_data.data_set_name import check_name, data_set_name
from mlrepro_cli.init_data.describe import describe
from mlrepro_cli.init_data.find_labels import FoundLabels, find_labels
from mlrepro_cli.init_data.label_answers import apply_answers
from mlrepro_cli.init_data.leaks import kin_of, tell_leaks, together
from mlrepro_cli.init_data.negatives import take_negatives
from mlrepro_cli.init_data.own_data import OwnData, gather
from mlrepro_cli.init_data.page import Understood, heard, write_examples
from mlrepro_cli.init_data.splits import complete_splits
from mlrepro_cli.init_data.write_settings import write_settings

# Fewer pictures cannot be trained, validated and tested on.
LEAST_PICTURES = 10
LEAST_RESOLUTION = 32
# In a message.
SHOWN_LABELS = 5
PAGE = "init-data.html"


# Each is an option of the command.
def init_data(  # noqa: PLR0913
    path: Path,
    to: Path,
    name: str | None = None,
    budget: str = "quick",
    resolution: int | None = None,
    answers: Answers = NO_ANSWERS,
    backbones: Sequence[str] = (),
    label_answers: Path | None = None,
    prompts: Sequence[str] = (PROMPT,),
) -> None:
    """Writes `to`/params.yaml and `to`/runs for a user's pictures, and prints what is there.

    path:    a folder, or the table or COCO file that lists pictures.
    name:    of the data set; without it, the folder's.
    answers: how the labels are meant, where they can be read in more than one way. Unless they say
             otherwise, labels that are not given are unknown where every picture has exactly one.
    label_answers: a CSV of what a person answered on the review's page; see label_answers.py.
    backbones: of timm's, that are compared in place of those of budgets.yaml.
    prompts: for their text towers; see Wanted.

    An older params.yaml is kept beside the new one. Raises InputError for data on which nothing can
    be compared, and for a name that run ids cannot have.
    """
    if resolution is not None and resolution < LEAST_RESOLUTION:
        raise InputError(f"--resolution {resolution}: give {LEAST_RESOLUTION} or more")
    if name is not None:
        check_name(name)

    with heard() as said:
        # What is there: one row a picture that can be read.
        found = find_labels(path, answers)
        found = replace(found, rows=take_negatives(found.rows, answers))
        own, rejected = gather(found)
        rejected += _left_out(found, rejected)
        _refuse_too_little(path, own, rejected)

        # What is wrong with it. Copies of a picture must not lie in two splits.
        own.frame["digest"] = own.digests()
        kin = kin_of(own, answers.group_column)
        own.frame["together"] = together(kin, len(own.frame))
        own.frame["split"] = complete_splits(own, answers.regroup)

        # Who gives every picture one label has hardly looked for others, unless the data say so.
        one_label_each = bool((own.labels.sum(1) == 1).all()) and not own.says_absent
        partial = answers.partial or (one_label_each and not answers.complete)

        # After the splits, which so stay as they were before anyone answered.
        data_set = data_set_name(to, found.root, name)
        applied = apply_answers(own, label_answers, kept_answers(data_set), partial)
        counts = describe(own, rejected, _unused(found))
        leaking = tell_leaks(own, kin)
        if partial:
            _print_partial(one_label_each)

    wanted = Wanted(budget, resolution, backbones, prompts)
    write_settings(to, data_set, own, wanted, partial, applied)

    page = OUTPUTS / OWN_DATA / data_set / PAGE
    understood = Understood(said.lines, counts, rejected, _unused(found), leaking)
    write_examples(page, data_set, own, understood)
    print(f"Pictures with their labels, to see whether all was read rightly: {page.resolve()}")


def _refuse_too_little(path: Path, own: OwnData, rejected: list[dict]) -> None:
    absent = ~own.labels & ~own.unknown
    is_telling = own.labels.any(0) & absent.any(0)
    if len(own.frame) < LEAST_PICTURES or not is_telling.any():
        left_out = "".join(f" ({entry['image']}: {entry['reason']})" for entry in rejected[:1])
        labels = ", ".join(own.classes[:SHOWN_LABELS]) or "none"
        raise InputError(
            f"{path}: {len(own.frame)} readable pictures, {len(rejected)} others{left_out}, labels "
            f"{labels}; to compare takes {LEAST_PICTURES} pictures, and a label that some have and "
            "others have not: add pictures"
        )


def _left_out(found: FoundLabels, rejected: list[dict]) -> list[dict]:
    """Pictures that are not used and stand in no label file."""
    listed = {row.image for row in found.rows} | {entry["image"] for entry in rejected}
    return [
        {"image": name, "reason": reason}
        for name, reason in found.left_out.items()
        if name not in listed
    ]


def _unused(found: FoundLabels) -> list[str]:
    """Pictures that have no row."""
    listed = {row.image for row in found.rows}
    return sorted(set(found.pictures) - listed)


def _print_partial(one_label_each: bool) -> None:
    reason = " (every picture has exactly one)" if one_label_each else ""
    print(
        f"Labels that are not given are taken as unknown{reason}: single-positive methods apply "
        "and run too.\nThe test labels lack as many, so every score is below the truth. Where "
        "they are absent, as where classes exclude each other, say --complete."
    )
