"""Scores and labels of forty pictures for tests, in every format that people have them in."""

import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas

CLASSES = ["aeroplane", "cat", "diningtable", "hot dog"]
IDS = [f"{7 * number:06d}" for number in range(1, 41)]

_random = np.random.default_rng(0)
# VOC's flags: 1 there, 0 difficult, -1 not there.
FLAGS = _random.choice([-1, 0, 1], p=[0.6, 0.1, 0.3], size=(40, 4))
# Of two decimals, so that text and float32 hold the same numbers.
SCORES = np.round(0.05 + 0.5 * _random.random((40, 4)) + 0.4 * (FLAGS == 1), 2)


def frame(ids: list[str] = IDS) -> pandas.DataFrame:
    columns = pandas.DataFrame(SCORES, columns=CLASSES)
    columns.insert(0, "image", ids)
    return columns


# ---- Scores ------------------------------------------------------------------------------------


def write_npz(path: Path, **changes) -> Path:
    arrays = {
        "ids": np.array(IDS),
        "classes": np.array(CLASSES),
        "scores": SCORES.astype(np.float32),
    }
    np.savez(path, **arrays | changes)
    return path


def write_scores(folder: Path) -> dict[str, Path]:
    """A path a format, by name."""
    folder.mkdir(exist_ok=True)
    table = frame()
    table.to_csv(folder / "table.csv", index=False)
    table.to_csv(folder / "numbered.csv")
    table.to_csv(folder / "semicolons.csv", sep=";", decimal=",", index=False)
    table.to_csv(folder / "tabs.tsv.gz", sep="\t", index=False)
    table.to_parquet(folder / "table.parquet")
    table.set_index("image").to_parquet(folder / "indexed.parquet")
    predicted = table.assign(error=None, labels="cat|hot dog")
    predicted.to_csv(folder / "predict.csv", index=False)
    bare = table.set_index("image")
    bare.to_csv(folder / "bare.csv", header=False)
    bare.to_csv(folder / "spaces.txt", header=False, sep=" ")
    lists = pandas.DataFrame({"image": IDS, "scores": list(SCORES)})
    lists.to_parquet(folder / "lists.parquet")
    long = table.melt("image", var_name="LabelName", value_name="Confidence")
    long.to_csv(folder / "long.csv", index=False)

    np.save(folder / "matrix.npy", SCORES)
    (folder / "matrix_ids.txt").write_text("\n".join(IDS) + "\n")
    _write_json(folder)
    _write_detections(folder / "results" / "Main")
    write_npz(folder / "arrays.npz")

    not_formats = {"matrix_ids.txt"}
    paths = [path for path in folder.iterdir() if path.name not in not_formats]
    return {path.name: path for path in sorted(paths)}


def _write_lines(path: Path, items: list[dict]) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))


def _write_json(folder: Path) -> None:
    predicted, lists, flat = [], [], []
    for name, scores in zip(IDS, SCORES.tolist(), strict=True):
        by_class = dict(zip(CLASSES, scores, strict=True))
        predicted.append({"image": f"holiday/{name}.jpg", "labels": [], "scores": by_class})
        lists.append({"image_id": name, "scores": scores})
        flat.append({"id": name} | by_class)

    unread = {"image": "holiday/broken.jpg", "error": "not readable"}
    _write_lines(folder / "predict.jsonl", [*predicted, unread])
    (folder / "lists.json").write_text(json.dumps(lists, indent=1))
    _write_lines(folder / "flat.jsonl", flat)

    # Two boxes of each category a picture, of which the better one counts.
    boxes = []
    for row, name in enumerate(IDS):
        for number, score in enumerate(SCORES[row].tolist(), 1):
            box = {"image_id": int(name), "category_id": number, "bbox": [0, 0, 1, 1]}
            boxes += [box | {"score": score / 2}, box | {"score": score}]
    (folder / "coco_results.json").write_text(json.dumps(boxes))


def _write_detections(folder: Path) -> None:
    folder.mkdir(parents=True)
    for k, label in enumerate(CLASSES):
        lines = []
        for row, name in enumerate(IDS):
            lines += [f"{name} {SCORES[row, k]} 1 2 3 4\n", f"{name} 0.01 5 6 7 8\n"]
        (folder / f"comp4_det_test_{label}.txt").write_text("".join(lines))


# ---- Labels ------------------------------------------------------------------------------------


def write_lists(folder: Path) -> Path:
    """VOC's, with a trainval of other pictures."""
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for k, label in enumerate(CLASSES):
        lines = [f"{name} {flag:2d}\n" for name, flag in zip(IDS, FLAGS[:, k], strict=True)]
        (lists / f"{label}_test.txt").write_text("".join(lines))
        (lists / f"{label}_trainval.txt").write_text("".join(f"9{line}" for line in lines))
    return folder


def write_labels(folder: Path) -> dict[str, Path]:
    """A path a format, by name; those of `VOC` say which objects are difficult."""
    folder.mkdir()
    write_lists(folder / "VOC lists")
    with tarfile.open(folder / "VOC archive.tar.xz", "w:xz") as archive:
        archive.add(folder / "VOC lists" / "ImageSets", "VOCdevkit/VOC2007/ImageSets")
    _write_annotations(folder / "VOC annotations" / "Annotations")

    flags = pandas.DataFrame(FLAGS, columns=CLASSES)
    flags.insert(0, "image", IDS)
    flags.to_csv(folder / "VOC flags.csv", index=False)
    shown = flags.copy()
    shown[CLASSES] = (FLAGS == 1).astype(int)
    shown.to_csv(folder / "columns.csv", index=False)
    shown.astype(dict.fromkeys(CLASSES, bool)).to_parquet(folder / "columns.parquet")

    names = [
        "|".join(label for label, flag in zip(CLASSES, row, strict=True) if flag == 1)
        for row in FLAGS
    ]
    pandas.DataFrame({"file_name": IDS, "tags": names}).to_csv(folder / "lists.csv", index=False)
    shown_long = shown.melt("image", var_name="label", value_name="there")
    rows = shown_long.loc[shown_long["there"] == 1, ["image", "label"]]
    rows.to_csv(folder / "long.csv", index=False)
    np.savez(
        folder / "VOC arrays.npz",
        ids=np.array(IDS),
        classes=np.array(CLASSES),
        labels=(FLAGS == 1).astype(np.uint8),
        difficult=FLAGS == 0,
    )
    _write_coco(folder)
    return {path.name: path for path in sorted(folder.iterdir())}


def _write_annotations(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, row in zip(IDS, FLAGS, strict=True):
        objects = [
            f"<object><name>{label}</name><difficult>{int(flag == 0)}</difficult></object>"
            for label, flag in zip(CLASSES, row, strict=True)
            if flag >= 0
        ]
        # A part of an object is none.
        text = f"<annotation>{''.join(objects)}<part><name>head</name></part></annotation>"
        (folder / f"{name}.xml").write_text(text)


def coco_annotations() -> dict:
    """Category numbers as the results have them."""
    images = [{"id": int(name), "file_name": f"COCO_val2014_000000{name}.jpg"} for name in IDS]
    categories = [{"id": k, "name": label} for k, label in enumerate(CLASSES, 1)]
    annotations = [
        {"id": number, "image_id": int(IDS[row]), "category_id": int(k) + 1}
        for number, (row, k) in enumerate(np.argwhere(FLAGS == 1))
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def _write_coco(folder: Path) -> None:
    text = json.dumps(coco_annotations())
    (folder / "coco.json").write_text(text)
    with zipfile.ZipFile(folder / "coco archive.zip", "w") as archive:
        archive.writestr("annotations/instances_val2014.json", text)
        archive.writestr("annotations/instances_train2014.json", "{}")
