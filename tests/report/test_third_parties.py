"""Scores of third parties: recomputed from their files, and apart from ours on a study's page."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, stage
from made_up_study import MEASURED, RUN, by_row, made_up_study, section
from sklearn.metrics import average_precision_score

from mlrepro.errors import InputError
from mlrepro.records import read_record
from mlrepro.report.study_page import write_study
from mlrepro.studies.external import External
from mlrepro.studies.results import read_study
from mlrepro_cli.audit.external import fetch_scores, is_at_hand, renew_record, renew_records

PICTURES = 60
CLASSES = ["cat", "dog", "hen"]
NAME = "somebody"


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    """The made-up study in a repository where scores and labels are placed."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    labels = (random.random((PICTURES, len(CLASSES))) < 0.3).astype(np.int8)
    scores = np.round(random.random(labels.shape) * 0.7 + 0.3 * labels, 3)
    ids = [f"{number:04}" for number in range(PICTURES)]

    Path("data", "external").mkdir(parents=True)
    Path("data", "voc2012").mkdir()
    np.savez("data/external/scores.npz", ids=ids, classes=CLASSES, scores=scores)
    np.savez("data/voc2012/labels.npz", ids=ids, classes=CLASSES, labels=labels)
    folder = made_up_study(tmp_path / "studies" / "made-up")
    return folder.relative_to(tmp_path)


def expected_map() -> float:
    scores = np.load("data/external/scores.npz")["scores"]
    labels = np.load("data/voc2012/labels.npz")["labels"]
    by_class = zip(labels.T, scores.T, strict=True)
    return 100 * float(np.mean([average_precision_score(y, s) for y, s in by_class]))


def hand_in(study: Path, **changes) -> Path:
    digest = hashlib.sha256(Path("data/external/scores.npz").read_bytes()).hexdigest()
    values = {
        "scores": "data/external/scores.npz",
        "sha256": digest,
        "labels": "data/voc2012/labels.npz",
        "data_set": "voc2012",
        "run": f"{RUN}-a",
        "who": "A. B. | <b>",
        "link": "https://example.org",
    }
    path = study / "external" / f"{NAME}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(values | changes), encoding="utf-8")
    return path


def page_text(study: Path) -> str:
    page = Path("reports", "made-up.md")
    write_study(read_study(study), page)
    return page.read_text(encoding="utf-8")


# ---- The page ------------------------------------------------------------------------------------


def test_a_row_has_a_column_of_its_own_for_them(study):
    before = page_text(study)
    assert "third parties" not in before and "Scores of third parties" not in before

    assert renew_record(hand_in(study, reported=f"{expected_map():.1f}"))
    text = page_text(study)
    header, *rows = section(text, "Table 1")[0]
    column = header.index("third parties")
    of_claimed = by_row([header, *rows])["reproduced"]
    assert of_claimed["third parties"] == f"{expected_map():.2f}"
    assert [row[column] for row in rows].count("-") == len(rows) - 1

    # Ours stay ours: the mean of both seeds, and the status.
    _, seeds = MEASURED["reproduced"]
    assert f"{np.mean(seeds):.2f}" in of_claimed["reproduced mAP"]
    assert of_claimed["status"] == "reproduced"

    [table] = section(text, "Scores of third parties")
    row = dict(zip(*table, strict=True))
    assert row["claim to be"] == f"`{RUN}-a`"
    assert row["recomputed"] == row["mAP, the default"] == f"{expected_map():.2f}"
    assert row["by the protocol"] == "the default"
    assert row["pictures"] == f"{PICTURES} of {PICTURES}"
    assert r"A. B. | \<b\>" in text


def test_scores_of_no_row_and_without_a_record_are_named(study):
    hand_in(study, run=None)
    text = page_text(study)
    assert f"Without a record: {NAME}." in text
    assert "`python stages/external.py studies/made-up`" in text

    renew_records(study)
    [table] = section(page_text(study), "Scores of third parties")
    assert table[1][1] == "no row"
    assert "third parties" not in section(page_text(study), "Table 1")[0][0]


def test_a_number_that_no_protocol_gives(study):
    renew_record(hand_in(study, reported="12.3"))
    [table] = section(page_text(study), "Scores of third parties")
    row = dict(zip(*table, strict=True))
    assert (row["they print"], row["recomputed"]) == ("12.3", "-")
    assert row["by the protocol"] == "none gives it"


def test_the_stages_compute_records_and_show_them(study):
    """The report, too, where scores and labels are at hand."""
    hand_in(study)
    Path("stages").symlink_to(ROOT / "stages")
    assert stage(Path.cwd(), "external", str(study)).stdout.endswith("somebody.json, written\n")
    assert "as it was" in stage(Path.cwd(), "external", str(study)).stdout

    record = study / "external" / f"{NAME}.json"
    written = record.read_bytes()
    record.unlink()
    stage(Path.cwd(), "report", f"{study}/params.yaml")
    assert record.read_bytes() == written
    assert f"{expected_map():.2f}" in Path("reports", "made-up.md").read_text()


# ---- The record ----------------------------------------------------------------------------------


def test_the_same_scores_leave_the_record_as_it_was(study):
    path = hand_in(study)
    assert renew_record(path)
    record_file = path.with_suffix(".json")
    record_file.write_text(record_file.read_text().replace(_date(record_file), "2001-02-03"))
    before = record_file.read_bytes()

    assert not renew_record(path)
    assert record_file.read_bytes() == before

    # A number that somebody has typed is computed again, on another day.
    record_file.write_text(record_file.read_text().replace('"used": 60', '"used": 59'))
    assert renew_record(path)
    assert read_record(record_file).splits["test"].used == PICTURES
    assert _date(record_file) != "2001-02-03"


def _date(path: Path) -> str:
    return read_record(path).source.date


def test_without_the_scores_the_record_is_shown(study):
    path = hand_in(study)
    renew_records(study)
    text = page_text(study)
    shutil.rmtree("data")
    renew_records(study)
    assert page_text(study) == text
    with pytest.raises(InputError, match="data/external/scores.npz: no such file"):
        renew_record(path)


def test_other_scores_than_those_that_are_named_are_refused(study):
    path = hand_in(study)
    with Path("data/external/scores.npz").open("ab") as file:
        file.write(b" ")
    with pytest.raises(InputError, match=r"its sha256 is \w+, not that of .*somebody.yaml"):
        renew_record(path)


def test_a_record_of_other_scores_is_not_shown(study):
    renew_record(hand_in(study))
    hand_in(study, sha256="0" * 64)
    with pytest.raises(InputError, match="is not the record of the scores that somebody.yaml"):
        page_text(study)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"run": "gap-bce-resnet50-voc2012-225"}, "no row of .*reported.csv is of"),
        ({"scores": "/etc/passwd"}, "no path below data/"),
        ({"labels": "data/../../labels.npz"}, "no path below data/"),
        ({"reported": "0.82x"}, "not a number as it is printed"),
        ({"sha256": "abc"}, "sha256"),
        ({"licens": "CC0"}, "licence"),
    ],
)
def test_settings_that_cannot_be(study, changes, said):
    hand_in(study, **changes)
    with pytest.raises(InputError, match=said):
        page_text(study)


def test_scores_on_the_web_are_fetched_once_and_checked(study, tmp_path):
    digest = hashlib.sha256(Path("data/external/scores.npz").read_bytes()).hexdigest()
    external = External(
        scores="https://example.org/s/scores.npz?raw=1#scores",
        sha256=digest,
        labels="data/voc2012/labels.npz",
        data_set="voc2012",
    )
    assert external.place == f"data/external/{digest[:12]}-scores.npz#scores"
    assert not is_at_hand(external)
    shutil.copy("data/external/scores.npz", external.place.removesuffix("#scores"))
    fetch_scores(external)  # what is there is checked, and nothing asked of the web
    assert is_at_hand(external)


# ---- The real ones -------------------------------------------------------------------------------

SHARED = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not SHARED.exists(), reason="no ../shared/data: published detectors' scores")
def test_committed_records_are_those_of_the_scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "studies" / "aam" / "external", "studies/aam/external")
    for source, target in (
        ("voc2007-test-scores.npz", "data/external"),
        ("labels/voc2007_ImageSets_Main.tar.xz", "data/voc2007/labels"),
    ):
        Path(target).mkdir(parents=True)
        shutil.copy(SHARED / source, target)
    changed = [renew_record(path) for path in sorted(Path("studies/aam/external").glob("*.yaml"))]
    assert changed == [False] * 3
