"""The VOC challenges' results: a file a class, a line a box or a picture (Everingham et al. 2010).

`comp4_det_test_cat.txt` holds lines such as `000004 0.702732 89 112 516 466`: picture, confidence,
box. `comp1_cls_test_cat.txt` has no boxes.
"""

import os.path

from mlrepro.audit.tables import ScoreTable
from mlrepro.data.formats.voc import FLAGS
from mlrepro.errors import InputError
from mlrepro_cli.audit.boxes import BestBoxes
from mlrepro_cli.audit.files import Place, texts
from mlrepro_cli.audit.voc_names import LIST, RESULT

FIELDS = (2, 6)


def read(place: Place, split: str | None) -> ScoreTable:
    """split: of several sets that results are there of."""
    found = texts(place, lambda name: name.endswith(".txt"))
    _check_not_labels(place, found)
    results, notes = _results(place, found, split)

    boxes = BestBoxes()
    for label, name in results.items():
        boxes.add_label(label)
        for number, line in enumerate(found[name].splitlines(), 1):
            fields = line.split()
            if not fields:
                continue
            try:
                if len(fields) not in FIELDS:
                    raise ValueError(f"{len(fields)} fields")
                boxes.add(fields[0], label, float(fields[1]))
            except ValueError as error:
                raise InputError(
                    f"{place.path}: {name}, line {number}: expected `<picture> <confidence> <x1> "
                    f"<y1> <x2> <y2>`, found {line[:80]!r} ({error})"
                ) from None
    if not len(boxes):
        raise InputError(f"{place.path}: its files hold no boxes")
    return boxes.table(str(place), notes)


def _check_not_labels(place: Place, found: dict[str, str]) -> None:
    """Raises InputError for the challenge's lists of labels."""
    lists = [name for name in found if LIST.match(name) and not RESULT.search(name)]
    filled = [found[name] for name in lists if found[name]]
    if filled and all(_begins_with_flag(text) for text in filled):
        raise InputError(
            f"{place.path}: lists of labels ({lists[0]}), no scores; are scores and labels "
            "exchanged?"
        )


def _begins_with_flag(text: str) -> bool:
    """Whether the first line is a picture and 1, 0 or -1."""
    fields = text.partition("\n")[0].split()
    return len(fields) == 2 and fields[1] in FLAGS


def _results(
    place: Place, found: dict[str, str], split: str | None
) -> tuple[dict[str, str], list[str]]:
    """File by class."""
    by_set: dict[str, dict[str, str]] = {}
    for name in found:
        if match := RESULT.search(name):
            by_set.setdefault(match["set"], {})[match["label"]] = name

    if not by_set:
        return _by_stem(place, found)
    if len(by_set) == 1:
        [results] = by_set.values()
        return results, []
    wanted = split or "test"
    if wanted not in by_set:
        raise InputError(f"{place.path}: results of {', '.join(by_set)}; name one: --split")
    return by_set[wanted], [f"Results of the set {wanted!r}, of {', '.join(sorted(by_set))}."]


def _by_stem(place: Place, found: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Files that are called otherwise: by what their names do not share."""
    stems = {name.rpartition("/")[2].removesuffix(".txt"): name for name in found}
    if not stems:
        raise InputError(
            f"{place.path}: no results in it: comp4_det_test_<class>.txt, or a .txt file a class"
        )
    prefix = os.path.commonprefix(list(stems)) if len(stems) > 1 else ""
    shared = prefix[: prefix.rfind("_") + 1]
    return {stem.removeprefix(shared): name for stem, name in stems.items()}, []
