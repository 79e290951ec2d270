"""`mlrepro audit`: every format, odd input, the terminal, the page and the record."""

import gzip
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import audit_files
import numpy as np
import pandas
import pytest
from audit_files import CLASSES, FLAGS, IDS, SCORES, write_lists, write_npz
from conftest import ROOT
from use_runs import run_here

from mlrepro.audit.audit import Question, audit
from mlrepro.audit.join import join
from mlrepro.audit.tables import DIFFICULT, LabelTable
from mlrepro.errors import InputError
from mlrepro.records import ExternalRecord, Record, read_record, write_record
from mlrepro_cli.audit import files, json_stream
from mlrepro_cli.audit.files import read_place
from mlrepro_cli.audit.json_stream import objects
from mlrepro_cli.audit.labels.read import read_labels
from mlrepro_cli.audit.scores.read import Naming, read_scores


@pytest.fixture(scope="module")
def scores(tmp_path_factory) -> dict[str, Path]:
    return audit_files.write_scores(tmp_path_factory.mktemp("scores") / "scores")


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> dict[str, Path]:
    return audit_files.write_labels(tmp_path_factory.mktemp("labels") / "labels")


def read(path: Path | str, **naming):
    return read_scores(read_place(str(path)), Naming(**naming))


def labels_of(path: Path | str, split: str | None = None) -> LabelTable:
    return read_labels(read_place(str(path)), split)


@pytest.fixture
def audited(monkeypatch, tmp_path, capsys):
    """Runs the command in a folder of its own; gives the status, and what was printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str]:
        status = run_here(monkeypatch, "audit", *arguments, "--resamples", 100)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


# ---- Formats -------------------------------------------------------------------------------------

SCORE_FORMATS = (
    *("arrays.npz", "bare.csv", "coco_results.json", "flat.jsonl", "indexed.parquet", "lists.json"),
    *("lists.parquet", "long.csv", "matrix.npy", "numbered.csv", "predict.csv", "predict.jsonl"),
    *("results", "semicolons.csv", "spaces.txt", "table.csv", "table.parquet", "tabs.tsv.gz"),
)
LABEL_FORMATS = (
    *("VOC annotations", "VOC archive.tar.xz", "VOC arrays.npz", "VOC flags.csv", "VOC lists"),
    *("coco archive.zip", "coco.json", "columns.csv", "columns.parquet", "lists.csv", "long.csv"),
)


def test_no_format_is_forgotten(scores, labels):
    assert set(scores) == set(SCORE_FORMATS)
    assert set(labels) == set(LABEL_FORMATS)


@pytest.mark.parametrize("name", SCORE_FORMATS)
def test_scores_are_the_same_in_every_format(name, scores, labels):
    joined = join(read(scores[name]), labels_of(labels["VOC lists"]))
    order = [IDS.index(picture) for picture in joined.ids]
    np.testing.assert_allclose(joined.scores, SCORES[order], rtol=0, atol=1e-7)
    assert joined.classes == CLASSES and not joined.missing.any()


@pytest.mark.parametrize("name", LABEL_FORMATS)
def test_labels_are_the_same_in_every_format(name, labels):
    table = labels_of(labels[name])
    states = np.where(FLAGS == 1, 1, 0)
    if name.startswith("VOC"):
        states[FLAGS == 0] = DIFFICULT
    assert table.classes == CLASSES
    shown = (states > 0).any(axis=1) if name == "long.csv" else np.ones(40, bool)
    expected = {
        name.lstrip("0"): row for name, row, s in zip(IDS, states.tolist(), shown, strict=True) if s
    }
    found = dict(zip([name.lstrip("0") for name in table.ids], table.states.tolist(), strict=True))
    assert found == expected


def test_other_splits_of_labels(labels, tmp_path):
    assert labels_of(labels["VOC lists"], "trainval").ids[0] == f"9{IDS[0]}"
    with pytest.raises(InputError, match="nothing of the split 'val'; there are test, trainval"):
        labels_of(labels["VOC lists"], "val")

    table = tmp_path / "split.csv"
    table.write_text("image,labels,split\na,cat dog,train\nb,cat,test\nc,,test\nd,owl,train\n")
    test = labels_of(table)
    assert test.ids == ["b", "c"] and test.classes == ["cat", "dog", "owl"]
    assert test.other_splits == {"train": ["a", "d"]}
    assert labels_of(table, "train").states.tolist() == [[1, 1, 0], [0, 0, 1]]


def test_several_matrices_are_named(tmp_path):
    path = write_npz(tmp_path / "two.npz", other=SCORES)
    with pytest.raises(
        InputError, match=r"2 matrices of scores \(scores, other\); name one: .*#sc"
    ):
        read(path)
    np.testing.assert_array_equal(read(f"{path}#other").values, SCORES)
    with pytest.raises(InputError, match="no matrix of scores of this name"):
        read(f"{path}#third")


def test_labels_beside_scores_in_one_file(tmp_path, labels):
    path = write_npz(tmp_path / "both.npz", targets=(FLAGS == 1).astype(np.float32))
    assert read(path).source.endswith("#scores")
    table = labels_of(f"{path}#targets")
    np.testing.assert_array_equal(table.states, FLAGS == 1)


def test_names_that_stand_elsewhere(tmp_path, labels):
    path = tmp_path / "alone.npy"
    np.save(path, SCORES[:, ::-1])
    with pytest.raises(InputError, match="does not name its 40 pictures.*--ids FILE"):
        read(path)
    (tmp_path / "pictures.txt").write_text("\n".join(f"{name}.jpg" for name in IDS))
    (tmp_path / "names.json").write_text(json.dumps(CLASSES[::-1]))
    named = read(path, ids=tmp_path / "pictures.txt", classes=tmp_path / "names.json")
    joined = join(named, labels_of(labels["VOC lists"]))
    np.testing.assert_array_equal(joined.scores, SCORES)

    (tmp_path / "few.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match="few.txt: 2 names, and .* has 40 rows"):
        read(path, ids=tmp_path / "few.txt")
    with pytest.raises(InputError, match="few.txt: 2 names, and .* has 4 columns"):
        read(path, ids=tmp_path / "pictures.txt", classes=tmp_path / "few.txt")


def test_boxes_below_zero(tmp_path, labels):
    """Support vector machines: no box must be below all of them, and is not 0."""
    folder = tmp_path / "results"
    folder.mkdir()
    for k, label in enumerate(CLASSES):
        (folder / f"mine_{label}.txt").write_text(f"{IDS[0]} -0.{k}\n{IDS[1]} -0.9{k} 1 2 3 4\n")
    (folder / "mine_cat.txt").write_text("")
    table = read(folder)
    assert table.classes == sorted(CLASSES)
    joined = join(table, labels_of(labels["VOC lists"]))
    assert joined.absent.tolist() == [False, True, False, False]
    assert joined.missing.sum() == 38
    assert joined.scores[2, 0] < -0.94 < joined.scores[1, 0]


def test_the_same_objects_of_a_long_file(tmp_path, monkeypatch):
    """Read in pieces that end anywhere, also within an object and within a letter."""
    items = [{"image": f"ü{number}", "scores": [0.5, number]} for number in range(50)]
    for text in (json.dumps(items), "\n".join(map(json.dumps, items)), json.dumps(items, indent=2)):
        path = tmp_path / "items.json"
        path.write_bytes(text.encode())
        for chunk in (1, 7, 1000):
            monkeypatch.setattr(json_stream, "CHUNK", chunk)
            assert [item for _, item in objects(path)] == items


# ---- Bad input -----------------------------------------------------------------------------------


def npz(folder: Path, **changes) -> Path:
    return write_npz(folder / "bad.npz", **changes)


BROKEN = {
    "text.csv": (
        "image,cat,hot dog\n1,0.5,0.2\n2,oops,0.1\n3,0.3,0.2\n",
        "'oops' in the column 'cat' of 2",
    ),
    "ragged.csv": ("image,cat\n1,0.5\n2\n", "cannot be read as a table"),
    "twice.csv": ("image,cat,cat\n1,0.5,0.1\n", "columns of the same name: cat"),
    "empty.csv": ("", "empty"),
    "head.csv": ("image,cat\n", "no column of numbers"),
    "noid.csv": ("image,cat,dog\n1,0.5,0.1\n,0.5,0.2\n", "1 rows without a picture"),
    "cut.json": ('[{"image": "a", "scores": [1, 2]}, {"image"', "object 2 is no whole JSON"),
    "open.json": ('[{"image": "a", "scores": [1, 2]}', "ends after 1 objects, within its list"),
    "uneven.jsonl": (
        '{"id": 1, "scores": [1, 2]}\n{"id": 2, "scores": [1]}\n',
        "object 2: 1 scores",
    ),
    "words.jsonl": ('{"id": 1, "scores": ["a", 2]}\n', "scores that are no numbers"),
    "nameless.jsonl": ('{"scores": [1, 2]}\n', "names no picture"),
    "box.json": (
        '[{"image_id": 1, "category_id": 2, "score": "high"}]',
        "no box of COCO's results",
    ),
    "annotations.json": ('{"images": [], "annotations": []}', "are scores and labels exchanged"),
    "weights.pt": ("x", r"\.pt is not read; convert it once"),
    "unknown.xyz": ("x", "not a format of scores"),
    "array.npy": ("x" * 200, "not a plain .npy"),
    "arrays.npz": ("x" * 200, "not a whole .npz"),
    "table.parquet": ("x" * 200, "cannot be read as a table"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_scores_say_where(name, tmp_path):
    content, message = BROKEN[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        read(tmp_path / name)
    assert name in str(raised.value)


def test_bytes_that_are_no_text(tmp_path):
    for name in ("a.csv", "a.jsonl", "a.json"):
        (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(3000))
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"image,cat\n" * 999)[:20])
    with pytest.raises(InputError, match="cut.csv.gz"):
        read(tmp_path / "cut.csv.gz")


def test_arrays_of_python_objects_are_not_read(tmp_path):
    with pytest.raises(InputError, match="ids of Python objects, which are not read"):
        read(npz(tmp_path, ids=np.array(IDS, dtype=object)))


def test_what_would_be_read_for_ever(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", Path("/dev/zero")):
        with pytest.raises(InputError, match="no regular file"):
            read_place(str(path))
    with pytest.raises(InputError, match="no such file"):
        read_place(str(tmp_path / "absent.npz"))


def test_files_of_gigabytes_of_nothing(tmp_path, monkeypatch):
    """Sparse: a line without an end is never read whole."""
    monkeypatch.setattr(json_stream, "LARGEST_OBJECT", 1 << 20)
    for name in ("a.csv", "a.jsonl", "a.npz", "a.parquet"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2 << 30)
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


def test_what_unpacks_to_more_than_scores_do(tmp_path, monkeypatch):
    """A thousandth of each is on the disk: the memory is not filled to find that out."""
    monkeypatch.setattr(files, "LARGEST_UNPACKED", 1000)
    zeros = np.zeros((100_000, 4), np.float32)
    np.savez_compressed(tmp_path / "a.npz", scores=zeros)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"image,cat\n" + b"1,0\n" * 500_000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b" " * 1_000_000))
    pandas.DataFrame(zeros, columns=list("abcd")).to_parquet(tmp_path / "a.parquet")
    for name in ("a.npz", "a.csv.gz", "a.jsonl.gz", "a.parquet"):
        with pytest.raises(InputError, match=f"{name}: its .* bytes unpack to .* or more"):
            read(tmp_path / name)

    # As large, and full.
    full = np.random.default_rng(0).random((1000, 4))
    np.savez_compressed(tmp_path / "b.npz", scores=full, ids=np.arange(1000))
    assert read(tmp_path / "b.npz").values.shape == (1000, 4)


def npy(header: str, version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize(
    "content",
    [
        npy("(" * 9000),
        npy("[" * 9000 + "]" * 9000),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-5, 4)}\n"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4)}\n"),
        npy("__import__('os').system('touch ran')\n"),
        npy("{}\n", version=b"\3\0"),
        npy("{}\n", version=b"\x99\0"),
        npy("")[:7],
    ],
)
def test_headers_of_arrays_that_lie(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    Path("a.npy").write_bytes(content)
    with zipfile.ZipFile("a.npz", "w") as archive:
        archive.writestr("scores.npy", content)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match=name):
            read(Path(name))
    assert not Path("ran").exists()


def test_too_much_text_in_an_archive(labels, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_TEXT", 100)
    for name in ("VOC lists", "VOC archive.tar.xz"):
        with pytest.raises(InputError, match="more than"):
            labels_of(labels[name])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("scores.csv", "image,cat,dog\n1,0.3,0.7\n2,0.1,0.25\n", "are scores and labels exchanged"),
        ("results.json", '[{"image_id": 1}]', "a list of results, no labels"),
        ("captions.json", '{"images": [], "annotations": []}', "not an annotation file"),
        ("words.csv", "image,colour\n1,red\n", "neither a column of labels"),
        ("labels.h5", "x", "not a format of labels"),
    ],
)
def test_broken_labels_say_what_is_wrong(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        labels_of(tmp_path / name)


def test_scores_and_labels_exchanged(scores, labels):
    with pytest.raises(InputError, match="lists of labels .*are scores and labels exchanged"):
        read(labels["VOC lists"])
    with pytest.raises(InputError, match="are scores and labels exchanged"):
        labels_of(scores["results"])
    with pytest.raises(InputError, match="are scores and labels exchanged"):
        join(read(labels["columns.csv"]), labels_of(labels["VOC lists"]))


# ---- The command ---------------------------------------------------------------------------------


def test_what_the_terminal_says(audited, tmp_path):
    lists = write_lists(tmp_path / "voc")
    path = write_npz(tmp_path / "scores.npz")
    status, printed = audited(path, "--labels", lists)
    assert status == 0
    expected = audit(read(path), labels_of(lists), Question(resamples=100))
    assert f"mAP {expected.default.value:.2f} (95 % of resampled pictures: " in printed
    assert "40 pictures x 4 classes" in printed and "difficult objects negative" in printed
    assert f"{len(expected.outcomes)} protocols give" in printed

    status, printed = audited(
        path, "--labels", lists, "--reported", f"{expected.default.value:.1f}"
    )
    assert status == 0 and "the plainest: the default" in printed
    status, printed = audited(path, "--labels", lists, "--reported", "3.1")
    assert status == 0 and "No protocol gives 3.1; the nearest, " in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reported", "0.82"], "reads as a fraction"),
        (["--reported", "182"], "above 100"),
        (["--metric", "maap"], "did you mean 'map'"),
        (["--metric", "tuned_CF1"], "never on the test"),
        (["--val-scores", "scores.npz", "--val-split", "test"], "are among those of the test"),
        (["--split", "val"], "nothing of the split 'val'"),
        (["--labels", "absent"], "absent: no such file or folder"),
    ],
)
def test_what_cannot_be_audited_ends_in_words(arguments, message, audited, tmp_path):
    write_lists(tmp_path / "voc")
    write_npz(tmp_path / "scores.npz")
    status, printed = audited("scores.npz", "--labels", "voc", *arguments)
    assert status == 2
    assert message in printed and "Traceback" not in printed


def test_labels_of_a_prepared_set(audited, tmp_path):
    write_npz(tmp_path / "scores.npz")
    assert "give the labels" in audited("scores.npz")[1]
    assert "dvc repro data/dvc.yaml:prepare@mine" in audited("scores.npz", "--data", "mine")[1]


def test_the_page_and_the_record(audited, tmp_path):
    write_lists(tmp_path / "voc")
    write_npz(tmp_path / "scores.npz")
    noisy = SCORES + np.random.default_rng(0).normal(0, 0.3, SCORES.shape)
    write_npz(tmp_path / "others.npz", scores=noisy)
    given = ["scores.npz", "--labels", "voc", "--data", "voc-2007", "--reported", "50.0"]
    told = ["--who", "A. Nobody | et al.", "--link", "https://example.org", "--licence", "MIT"]
    page = tmp_path / "reports" / "audit-mine.md"
    status, printed = audited(*given, *told, "--against", "others.npz", "--to", page)
    assert status == 0 and "told apart" in printed

    record = read_record(page.with_suffix(".json"))
    assert isinstance(record, ExternalRecord) and record.origin == "external"
    assert (record.name, record.data_set) == ("mine", "voc-2007")
    assert record.source.licence == "MIT" and len(record.source.scores_sha256) == 64
    assert record.audited.reported == "50.0"
    expected = audit(read("scores.npz"), labels_of("voc"), Question())
    assert record.selected.metrics["mAP"] == pytest.approx(expected.default.value, rel=1e-5)
    assert len(record.audited.protocols) == len(expected.outcomes)

    text = page.read_text()
    assert text.startswith("# Audit: mine\n\nmAP is ")
    for words in ("A. Nobody", "https://example.org", "What each choice is worth", "Against other"):
        assert words in text
    assert str(tmp_path) not in text and str(tmp_path) not in page.with_suffix(".json").read_text()
    [figure] = re.findall(r"\(figures/(audit-mine-protocols.svg)\)", text)
    assert (page.parent / "figures" / figure).exists()
    for row in (row for row in text.splitlines() if row.startswith("|")):
        assert row.count("|") - row.count("\\|") in (5, 6, 9, 3), row

    before = page.read_bytes(), page.with_suffix(".json").read_bytes()
    audited(*given, *told, "--against", "others.npz", "--to", page)
    assert (page.read_bytes(), page.with_suffix(".json").read_bytes()) == before


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["--to", "scores.npz"], "--to scores.npz: give the name of a file that ends in .md"),
        (["--to", "notes.md"], "notes.md: is there, and no page of an audit; name another"),
        (["--to", "instances.md"], "instances.json: not the record of an audit"),
        (["--record", "instances.json"], "instances.json: not the record of an audit"),
        (["--record", "scores.npz"], "--record scores.npz: give the name of a file that ends in"),
        (["--to", "pipe.md"], "pipe.md: no regular file"),
        (["--to", "folder.md"], "folder.md: no regular file"),
    ],
)
def test_nothing_else_is_written_over(audited, tmp_path, outputs, message):
    """Neither what the user has given nor notes of his; a device would be replaced by a file."""
    write_lists(tmp_path / "voc")
    write_npz(tmp_path / "scores.npz")
    (tmp_path / "notes.md").write_text("# Notes\n")
    (tmp_path / "instances.json").write_text('{"images": []}')
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    status, printed = audited("scores.npz", "--labels", "voc", *outputs)
    assert status == 2
    assert message in printed
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_record_is_written_and_read_as_a_runs_is(audited, tmp_path):
    write_lists(tmp_path / "voc")
    write_npz(tmp_path / "scores.npz")
    audited("scores.npz", "--labels", "voc", "--record", "kept/mine.json")
    path = Path("kept/mine.json")
    record = read_record(path)
    write_record(record, Path("again.json"))
    assert Path("again.json").read_bytes() == path.read_bytes()
    # What an audit has none of, and what records of own data alone have.
    lacking = {"environment", "cost", "choices", "calibration"}
    assert set(json.loads(path.read_text())) > set(Record.model_fields) - lacking


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom mlrepro_cli.main import create_parser\ncreate_parser()\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert not {"numpy", "pyarrow", "torch", "pydantic"} & set(done.stdout.split())


def test_an_audit_needs_no_torch():
    code = "import sys\nimport mlrepro_cli.audit.audit\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert not {"torch", "mlflow", "matplotlib", "sklearn"} & set(done.stdout.split())
