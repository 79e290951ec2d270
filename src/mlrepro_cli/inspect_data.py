"""`mlrepro init-data`: looks at a user's own pictures, says what is there, and writes the settings that compare methods on them.

Whatever the layout, its labels become one table of our own; the pictures are used in place. No torch.
"""

import csv
import io
import json
import re
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas
import yaml
from iterstrat.ml_stratifiers import IterativeStratification

from mlrepro.data.formats import read_text
from mlrepro.data.formats.csv_table import SPLITS
from mlrepro.data.prepare import check_pictures
from mlrepro.errors import InputError
from mlrepro.records import read_records
from mlrepro.report.tables import FEW_POSITIVES
from mlrepro.settings.base import read_yaml
from mlrepro.settings.losses import FULL_LABEL_LOSSES
from mlrepro.settings.pipeline import RUNS_OF_BUDGET
from mlrepro.settings.run import Run
from mlrepro_cli import SUFFIXES

HEADERS = {
    "label": "labels label tags tag classes class categories category".split(),
    "split": "split set subset fold".split(),
}
FEWEST = 10  # pictures that can be trained, validated and tested on


def init_data(
    path: Path,
    to: Path,
    name: str | None = None,
    budget: str = "quick",
    resolution: int | None = None,
    partial: bool = False,
) -> None:
    """Writes `to`/params.yaml and `to`/runs for the pictures of a folder, table or COCO file, and prints what is there.

    partial: labels that are not given are unknown, not absent; so they are, too, where every picture has exactly one.
    An older params.yaml is kept beside the new one. Raises InputError for data on which nothing can be compared.
    """
    if resolution is not None and resolution < 32:
        raise InputError(f"--resolution {resolution}: give 32 or more")
    root, pictures, rows = read_labels(path)
    frame = pandas.DataFrame(rows, columns=["image", "split", "label"]).fillna("")
    bare = frame["label"].str.casefold().str.replace(r"[\s_-]+", " ", regex=True).str.strip()
    for same in (same for same in frame["label"].groupby(bare).unique() if len(same) > 1):
        print(
            f"warning: is it one label, {sorted(same)}? Only spaces around labels are ignored; mend the others"
        )
    frame["label"] = frame["label"].str.strip()
    classes = sorted({*frame["label"]} - {""})
    frame, rejected = check_pictures(
        frame.groupby("image", sort=False).agg({"split": "first", "label": set}).reset_index(), root
    )
    labels = np.array(
        [name in given for given in frame["label"] for name in classes], bool
    ).reshape(len(frame), len(classes))
    if len(frame) < FEWEST or not (labels.any(0) & ~labels.all(0)).any():
        raise InputError(
            f"{path}: {len(frame)} readable pictures, {len(rejected)} others {rejected[:1]}, labels {classes}; to "
            f"compare takes {FEWEST} pictures, and a label that some have and others have not: add pictures"
        )
    frame["digest"] = [sha256((root / image).read_bytes()).hexdigest() for image in frame["image"]]
    frame["split"] = cut(frame, labels)
    describe(
        frame,
        labels,
        np.array(classes),
        rejected,
        sorted(set(pictures) - {image for image, *_ in rows}),
    )
    if (single := bool((labels.sum(1) == 1).all())) or partial:
        print(
            "Labels that are not given are taken as unknown"
            + " (every picture has exactly one)" * single
            + ": single-"
            "positive methods apply and run too.\nThe test labels lack as many, so every score is below the truth."
        )
    latin = (
        re.sub(r"[^A-Za-z0-9]+", "-", name or root.name).strip("-") or "pictures"
    )  # as run ids have it
    write_settings(
        to, f"my-{latin}", root, frame, budget, resolution, single or partial
    )  # no other pipeline's data set is my-


def read_labels(path: Path) -> tuple[Path, list[str], list[tuple[str, str, str]]]:
    """The folder that pictures are named from, those below it, and (picture, split or "", one of its labels or "") of each."""
    layouts = {
        "VOC's lists": (r"ImageSets/Main/[^/]+_(train|val|trainval|test)\.txt$", _voc),
        "a table": (r"\.[ct]sv$", _table),
        "COCO's annotations": (
            r"\.json$" if path.is_file() else r"(^|/)(instances|[^/]*coco)[^/]*\.json$",
            _coco,
        ),
    }
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give one that holds pictures")
    root = path.resolve() if path.is_dir() else path.resolve().parent
    root = root.parent if path.suffix == ".json" and not find_pictures(root) else root
    pictures, found, named = find_pictures(root), {}, {}
    for parts in (picture.split("/") for picture in pictures):
        for i in range(len(parts)):  # by the name alone, and with some of its folders
            named.setdefault("/".join(parts[i:]), []).append("/".join(parts))
    files = root.rglob("[!.]*.*") if path.is_dir() else [path.resolve()]
    # VOC's trainval, which repeats train and val, comes last: the first split that a picture is listed in is its.
    for file in sorted(files, key=lambda file: (file.stem.endswith("_trainval"), file)):
        place = file.relative_to(root).as_posix()
        words = re.findall("[a-z]+", place.lower())
        split = next((SPLITS[word] for word in reversed(words) if word in SPLITS), "")
        for kind, read in (
            (kind, read) for kind, (pattern, read) in layouts.items() if re.search(pattern, place)
        ):
            try:
                rows = [
                    (
                        min(
                            named.get(name, [name]),
                            key=lambda found, split=split: (split not in found, len(found)),
                        ),
                        *more,
                    )
                    for name, *more in read(file, split)
                ]
            except (ValueError, LookupError, TypeError, csv.Error) as error:
                raise InputError(
                    f"{file}: cannot be read as {kind} ({error}); mend it or move it away"
                ) from None
            if rows:
                found.setdefault(kind, []).extend(rows)
    if not found and path.is_dir() and (rows := [*_folders(root, pictures)]):
        found = {"a folder a label": rows}
    if len(found) != 1:
        raise InputError(
            f"{path}: {len(pictures)} pictures ({' '.join(SUFFIXES)}), {' and '.join(found) or 'no'} labels; "
            "give a folder of pictures with one thing that says their labels (a folder a label, VOC's lists, COCO's "
            "annotations, a .csv or .tsv table with a column of picture names and one headed labels), or that file"
        )
    print(f"{path}: {len(pictures)} pictures, {', '.join(found)}")
    return root, pictures, *found.values()


def find_pictures(root: Path) -> list[str]:
    return sorted(
        file.relative_to(root).as_posix()
        for file in root.rglob("[!.]*")
        if file.suffix.lower() in SUFFIXES
    )


def _voc(file: Path, _: str):
    label, _, part = file.stem.rpartition("_")
    for image, flag in map(str.split, read_text(file, "").splitlines()):
        yield (
            f"JPEGImages/{image}.jpg",
            SPLITS.get(part, "train"),
            label if int(flag) == 1 else "",
        )  # 0: hard to see


def _coco(file: Path, split: str):
    content = json.loads(read_text(file, ""))
    labels = {entry["id"]: entry["name"] for entry in content["categories"]}
    images = {entry["id"]: entry["file_name"] for entry in content["images"]}
    yield from ((image, split, "") for image in images.values())  # those without an object stay
    yield from (
        (images[one["image_id"]], split, labels[one["category_id"]])
        for one in content["annotations"]
    )


def _table(file: Path, split: str):
    """Guesses the column of pictures by its first field's end, those of labels and split by their headers, and what is between
    labels. Nothing for a table without such columns."""
    text = read_text(file, "")
    rows = [
        *csv.DictReader(
            io.StringIO(text, newline=""), delimiter=max(",\t;", key=text.partition("\n")[0].count)
        )
    ]
    names = {str(name).strip().lower(): name for name in (rows or [{}])[0]}
    image = next(
        (name for name in names.values() if str(rows[0][name]).strip().lower().endswith(SUFFIXES)),
        None,
    )
    label, part = (
        next((names[name] for name in HEADERS[kind] if name in names), None)
        for kind in ("label", "split")
    )
    if image and label:
        if broken := [
            line
            for line, row in enumerate(rows, 2)
            if None in row
            or None in row.values()
            or (part and row[part].strip().lower() not in SPLITS)
        ]:
            raise ValueError(
                f"row {broken[0]} has other fields than the header, or a split that is none of {', '.join(SPLITS)}"
            )
        fields = {row[label].strip() for row in rows} - {""}
        marks = [mark for mark in "|;,\t" if any(mark in field for field in fields)]
        if not marks and len({word for field in fields for word in field.split()}) <= len(fields):
            marks = [
                " "
            ]  # with more words than different fields, they are parts of names as `polar bear`
        print(
            f"{file}: pictures in column {image!r}, labels in {label!r} with {marks[:1]} between them, split in {part!r}"
        )
        for row in rows:
            for one in re.split(f"{re.escape(marks[0])} ?", row[label]) if marks else [row[label]]:
                yield row[image].strip(), SPLITS[row[part].strip().lower()] if part else split, one


def _folders(root: Path, pictures: list[str]):
    """A folder a label, also in folders train, val, test. Files of the same bytes are one picture with all their labels."""
    depth, first = int({picture.split("/")[0].lower() for picture in pictures} <= set(SPLITS)), {}
    for picture in (picture for picture in pictures if picture.count("/") > depth):
        folders, digest = picture.split("/"), sha256((root / picture).read_bytes()).digest()
        split = SPLITS[folders[0].lower()] if depth else ""
        yield first.setdefault((split, digest), picture), split, folders[depth]


def cut(frame: pandas.DataFrame, labels: np.ndarray) -> np.ndarray:
    """The splits as given: none, or a part alone, is train, and validation is test where there is none. Of test and validation,
    what lacks is a fifth of train, of each label alike (Sechidis et al. 2011), copies of a picture together."""
    split = frame["split"].replace("", "train").to_numpy(object, copy=True)
    split[:] = "train" if len(set(split)) == 1 else split
    split[(split == "val") & ("test" not in split)] = "test"
    for part in (part for part in ("test", "val") if part not in split):
        rows = np.flatnonzero(split == "train")
        fold = pandas.Series(
            IterativeStratification(labels[rows], np.array([0.8, 0.2]), np.random.RandomState(1200))
        )
        split[rows[fold.groupby(frame["digest"].to_numpy()[rows]).transform("first") == 1]] = part
        print(
            f"No {part} pictures are given: a fifth of the training pictures is taken, stratified by label (seed 1200)"
        )
    return split


def describe(
    frame: pandas.DataFrame,
    labels: np.ndarray,
    classes: np.ndarray,
    rejected: list[dict],
    unused: list[str],
) -> None:
    splits = {name: labels[frame["split"] == name] for name in ("train", "val", "test")}
    facts = {
        name: (
            len(rows),
            f"{rows.sum() / max(1, len(rows)):.2f}",
            (~rows.any(1)).sum(),
            *rows.sum(0),
        )
        for name, rows in splits.items()
    }
    print(
        pandas.DataFrame(
            facts, ["pictures", "labels a picture", "without a label", *classes]
        ).to_string()
    )
    total, floats = labels.sum(0), labels.astype(np.float32)
    together = np.triu(floats.T @ floats, 1).astype(int)
    most = [divmod(int(place), len(classes)) for place in np.argsort(-together, axis=None)[:5]]
    copies = [group for _, group in frame.groupby("digest", sort=False) if len(group) > 1]
    named = {
        f"Imbalance {max(total) / max(1, min(total)):.1f}:1": [
            f"{classes[i]} ({total[i]})" for i in np.argsort(-total)[[0, -1]]
        ],
        "Most often together": [
            f"{classes[i]} + {classes[j]} ({together[i, j]})" for i, j in most if together[i, j]
        ],
        f"Too rare to measure, fewer than {FEW_POSITIVES} in test": [
            *classes[splits["test"].sum(0) < FEW_POSITIVES]
        ],
        "On every picture, or on none that can be read": [*classes[labels.all(0) | ~labels.any(0)]],
        "Cannot be read, left out": [f"{entry['image']} ({entry['reason']})" for entry in rejected],
        "Not used, without a label or copies of one that is": unused,
        "Copies": [" = ".join(group["image"]) for group in copies],
        "Copies in two splits or with different labels": [
            group["image"].iloc[0]
            for group in copies
            if max(group["split"].nunique(), group["label"].map(sorted).map(str).nunique()) > 1
        ],
    }
    for what, names in named.items():
        if names:
            print(
                f"{what}: {', '.join(names[:20])}"
                + f" and {len(names) - 20} more" * (len(names) > 20)
            )


def write_settings(
    to: Path,
    name: str,
    root: Path,
    frame: pandas.DataFrame,
    budget: str,
    resolution: int | None,
    partial: bool,
) -> None:
    """The table, and runs as `to`/budgets.yaml says, with the losses that the search found best on validation, if it has run."""
    mark = next(
        mark
        for mark in "|;,\t\x1f"
        if not any(mark in label for given in frame["label"] for label in given)
    )
    frame["labels"] = [mark.join(sorted(given - {""})) for given in frame["label"]]
    text = frame[["image", "labels", "split"]].to_csv(index=False)
    table = (
        Path("data/own").resolve() / f"{name}-{sha256(text.encode()).hexdigest()[:8]}.csv"
    )  # by which DVC notices a change
    known, measured = read_yaml(to / "budgets.yaml"), read_records(to / "results" / name).values()
    known["features"] |= {"resolution": resolution} if resolution else {}
    scores = {
        record.run.loss.name: max(epoch.val_mAP for epoch in record.history)
        for record, *_ in measured
        if record.run.inputs == "features"
    }
    losses, runs = known["losses"] + known["partial_losses"] * partial, []
    for entry in known["runs"][: RUNS_OF_BUDGET[budget]]:
        loss = sorted(losses, key=lambda loss: -scores.get(loss["name"], 0))[entry["loss"]]
        regime = "full" if loss["name"] in FULL_LABEL_LOSSES else "single"
        runs.append(
            Run(**known["features"] | entry | {"data": "own", "loss": loss, "labels": regime})
        )
    settings = {
        "name": name,
        "title": f"Own data: {name}",
        "budget": budget,
        "intro": f"Methods compared on {len(frame)} pictures with `budget: {budget}`, at {known['features']['resolution']} px."
        + " Labels that are not given are unknown, also of test pictures: every score is below the truth."
        * partial,
        "data": {
            name: {
                "format": "csv",
                "folder": root.as_posix(),
                "table": table.as_posix(),
                "separator": mark,
            }
        },
        "corruption": {"positives": -1, "negatives": 0},
        "features": known["features"] | {"maps": True},
        "search": known["search"] | {"losses": losses},
        "seeds": known["seeds"],
        "runs": [run.run_id for run in runs],
    }
    if (file := to / "params.yaml").exists():
        file.rename(to / f"params.yaml.bak{len([*to.glob('params.yaml.bak*')])}")
    files = {
        table: text,
        file: "# Written by `mlrepro init-data`: run that again when pictures or labels change.\n"
        + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True),
    }
    files |= {
        other: yaml.safe_dump(run.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
        for run in runs
        if not (other := to / "runs" / f"{run.run_id}.yaml").exists()
    }
    for place, content in files.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")
    print(
        f"Written: {file}, with {len(losses)} losses on extracted features and {len(runs)} more runs. Next, about "
        f"{known['minutes'][budget] * len(frame) // 1000 + 1} minutes on two cores: dvc repro {to / 'dvc.yaml'}"
    )
