"""Answers to the review's page, read back by `mlrepro init-data --answers`."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from picture_files import write_picture

from mlrepro.errors import InputError
from mlrepro_cli.init_data.init_data import init_data
from mlrepro_cli.init_data.label_answers import read_answers
from mlrepro_cli.main import main

TO = Path("studies/own-data")
KEPT = Path("data/own/my-own-answers.csv")


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """Forty pictures in a table, a tenth with both labels; the repository is the present folder."""
    folder = tmp_path / "repository"
    (folder / TO).mkdir(parents=True)
    shutil.copy(ROOT / TO / "budgets.yaml", folder / TO)
    monkeypatch.chdir(folder)

    own = tmp_path / "own"
    rows = ["image,labels"]
    for i in range(40):
        write_picture(own / f"{i}.png", seed=i)
        labels = "cat|dog, black" if i % 10 == 0 else ("cat", "dog, black")[i % 2]
        rows.append(f'{i}.png,"{labels}"')
    (own / "labels.csv").write_text("\n".join(rows))
    return own


def written() -> dict[str, dict]:
    """The rows of the table that the settings name, by picture."""
    import pandas

    settings = yaml.safe_load((TO / "params.yaml").read_text())
    data = settings["data"]["my-own"]
    table = pandas.read_csv(data["table"], keep_default_na=False)
    return {row["image"]: row for row in table.to_dict("records")}


def answers_file(*rows: str, header: str = "image,label,given,answer") -> Path:
    path = Path("answers.csv")
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    return path


def test_labels_are_added_removed_and_made_unknown(own, capsys):
    init_data(own, TO)
    before = written()
    file = answers_file(
        '2.png,"dog, black",no,yes',
        "4.png,cat,yes,no",
        "6.png,cat,yes,unknown",
        "8.png,cat,yes,yes",
        "12.png,cat,yes,",
    )
    init_data(own, TO, label_answers=file)

    said = capsys.readouterr().out
    assert (
        "Answers: 4 of answers.csv: 1 labels added, 1 removed, 1 made unknown, 1 as they were"
        in said
    )
    now = written()
    assert now["2.png"]["labels"] == "cat|dog, black"
    assert now["4.png"]["labels"] == ""
    assert (now["6.png"]["labels"], now["6.png"]["unknown"]) == ("", "cat")
    changed = {"2.png", "4.png", "6.png"}
    for image, row in before.items():
        assert now[image]["split"] == row["split"], "answers draw no other test pictures"
        assert image in changed or now[image]["labels"] == row["labels"]

    settings = yaml.safe_load((TO / "params.yaml").read_text())
    assert settings["intro"].endswith(
        "4 answers to its label review are applied: 1 labels added, 1 removed, 1 made unknown, "
        "1 as they were."
    )


def test_they_are_kept_for_later_runs_and_newer_ones_win(own, capsys):
    init_data(own, TO, label_answers=answers_file('2.png,"dog, black",no,yes', "4.png,cat,yes,no"))
    init_data(own, TO, budget="standard")
    assert f"2 of earlier runs ({KEPT}; remove it to forget them)" in capsys.readouterr().out
    assert written()["4.png"]["labels"] == ""

    init_data(own, TO, label_answers=answers_file("4.png,cat,no,yes", "8.png,cat,yes,no"))
    assert "2 of answers.csv and 1 of earlier runs" in capsys.readouterr().out
    now = written()
    assert [now[f"{i}.png"]["labels"] for i in (2, 4, 8)] == ["cat|dog, black", "cat", ""]

    # A picture that was removed since, with its row.
    (own / "8.png").unlink()
    rows = (own / "labels.csv").read_text().splitlines()
    (own / "labels.csv").write_text("\n".join(row for row in rows if not row.startswith("8.png")))
    init_data(own, TO)
    assert "warning: 1 answers of" in capsys.readouterr().out

    KEPT.unlink()
    init_data(own, TO)
    assert "Answers" not in capsys.readouterr().out
    assert written()["2.png"]["labels"] == "cat"


def test_one_label_a_picture_stays_partial(tmp_path, own):
    rows = (own / "labels.csv").read_text().splitlines()
    rows = [row.replace("cat|dog, black", "cat").replace("dog, black", "dog") for row in rows]
    (own / "labels.csv").write_text("\n".join(rows))
    init_data(own, TO)
    before = yaml.safe_load((TO / "params.yaml").read_text())
    init_data(own, TO, label_answers=answers_file("2.png,dog,unknown,yes", "4.png,cat,yes,unknown"))
    settings = yaml.safe_load((TO / "params.yaml").read_text())
    assert "Labels that are not given are unknown" in settings["intro"]
    assert settings["corruption"] == before["corruption"]
    assert "unknown_column" not in settings["data"]["my-own"], "it is as all that are not given"
    assert written()["4.png"]["labels"] == ""


def test_a_spreadsheets_table(own):
    file = answers_file(
        "2.png;dog, black;0.93;Yes",
        "4.png;cat;0.1;N",
        header="\ufeffImage;Label;Model;Answer",
    )
    assert [(answer.image, answer.state) for answer in read_answers(file)] == [
        ("2.png", 1),
        ("4.png", 0),
    ]


BAD = {
    "a picture": (["1.png,cat,no,yes", "x.png,cat,no,yes"], "line 3: no picture 'x.png' in"),
    "a label": (["1.png,cow,no,yes"], "line 2: no label 'cow' in"),
    "an answer": (["1.png,cat,no,maybe"], "line 2: answer 'maybe'; say yes, no or unknown"),
    "two": (["1.png,cat,no,yes", "1.png,cat,no,no"], "line 3: 'cat' of '1.png' is no, and yes at"),
    "short": (["1.png,cat"], "line 2: has other fields than line 1"),
    "long": (["1.png,cat,no,yes,7"], "line 2: has other fields than line 1"),
}


@pytest.mark.parametrize("rows, message", BAD.values(), ids=BAD)
def test_what_does_not_match_is_told_with_its_line(own, rows, message):
    with pytest.raises(InputError, match=message):
        init_data(own, TO, label_answers=answers_file(*rows))
    assert not (TO / "params.yaml").exists()
    assert not KEPT.exists()


def test_other_files_are_refused(own, monkeypatch, capsys):
    with pytest.raises(InputError, match="answers.csv: no column image and label in line 1"):
        init_data(own, TO, label_answers=answers_file("x", header="answer"))
    with pytest.raises(InputError, match="gone.csv: no such file; give the answers.csv"):
        init_data(own, TO, label_answers=Path("gone.csv"))
    Path("answers.csv").write_bytes(b"image,label,answer\n\xff,cat,yes\n")
    with pytest.raises(InputError, match="answers.csv, line 2: not UTF-8"):
        init_data(own, TO, label_answers=Path("answers.csv"))

    answers_file("1.png,cow,no,yes")
    monkeypatch.setattr(sys, "argv", ["mlrepro", "init-data", str(own), "--answers", "answers.csv"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("error: answers.csv: line 2: no label 'cow'")
