import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from test_tables import VOC, by_run, cells, made_up_record

from mlrepro.errors import InputError
from mlrepro.records import Failure
from mlrepro.report import figures
from mlrepro.report.orderings import ordering_section
from mlrepro.report.pages import summary, write_comparison
from mlrepro.report.tables import ranked
from mlrepro.settings.pipeline import Ordering

MISSING = "linear-wan-efficientnet_lite0-toy-single-224"
PARTIAL = "query2label-asl-efficientnet_lite0-toy-224"
FIGURES = ("classes", "cost", "curves", "labels")


def study():
    """Two seeds of three runs, one of which lacks a tuned threshold, and one seed of a fourth that stopped early."""
    records = [
        made_up_record(loss, labels, mAP + seed, seed, absent=["tuned_CF1"] if loss == "an" else [])
        for loss, labels, mAP in (
            ("bce", "full", 70.0),
            ("asl", "full", 66.0),
            ("an", "single", 60.0),
        )
        for seed in (0, 1)
    ]
    return by_run(
        *records,
        made_up_record("asl", mAP=75.0, head="query2label", gmacs=5.2, epochs=5, trained=3),
    )


def write(folder: Path, records=None, command="dvc repro studies/own-data/dvc.yaml") -> str:
    records = study() if records is None else records
    path = folder / "own-data-toy.md"
    write_comparison(
        "Toy",
        "What the page is. More.",
        records,
        dict.fromkeys([*study(), MISSING], [0, 1]),
        path,
        command,
        searched=[MISSING],
    )
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> tuple[Path, str]:
    """The folder and the text of the page of `study`."""
    folder = tmp_path_factory.mktemp("reports")
    return folder, write(folder)


def markdown_tables(text: str) -> list[list[list[str]]]:
    return [cells(block) for block in text.split("\n\n") if block.startswith("|")]


def test_page_states_every_run_and_what_it_lacks(page):
    _, text = page
    tables = {table[0][-1]: table for table in markdown_tables(text)}
    status = {row[1].strip("`"): row[-1] for row in tables["status"][1:]}
    assert {run: state for run, state in status.items() if state != "complete"} == {
        PARTIAL: "partial",
        MISSING: "not run",
    }
    assert list(status)[0] == PARTIAL and list(status)[-1] == MISSING and len(status) == 5
    assert f"- `{PARTIAL}`: seed 1 not run; seed 0: 3 of 5 epochs" in text
    commands = re.findall(r"^dvc repro .*:.*", text, re.M)
    assert commands == [
        f"dvc repro studies/own-data/dvc.yaml:{stage}"
        for stage in (f"evaluate@{PARTIAL}-1", "search")
    ]
    tuned = text.split("### Thresholds by class")[1].split("\n\n")[1]
    assert {row[0]: row[-1] for row in cells(tuned)}[
        "`linear-an-efficientnet_lite0-toy-single-224`"
    ] == "-"
    assert "Not shown" not in text


def test_tables_parse_and_links_lead_to_readable_figures(page):
    folder, text = page
    tables = markdown_tables(text)
    assert len(tables) == 13 and all(len(table) > 1 and len(table[0]) <= 12 for table in tables)
    links = re.findall(r"\((figures/[^)]+)\)", text)
    assert sorted(links) == sorted(
        f"figures/own-data-toy-{name}.{kind}" for name in FIGURES for kind in ("png", "svg")
    )
    for link in links:
        if link.endswith("png"):
            with Image.open(folder / link) as image:
                image.load()
                assert image.width == 1350 and len(image.convert("L").getcolors()) > 2
        else:
            assert ElementTree.parse(folder / link).getroot().tag.endswith("svg")


def test_regeneration_is_byte_identical(page, tmp_path):
    write(tmp_path)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")]
    assert len(files) == 1 + 2 * len(FIGURES)
    for file in files:
        assert (tmp_path / file).read_bytes() == (page[0] / file).read_bytes(), file


def test_a_figure_is_drawn_again_where_anything_of_it_changed(tmp_path, monkeypatch):
    write(tmp_path)
    drawn = []
    blank = figures.blank_figure
    monkeypatch.setattr(
        figures, "blank_figure", lambda stem, height: drawn.append(stem.name) or blank(stem, height)
    )

    def redrawn(records=None) -> set[str]:
        drawn.clear()
        write(tmp_path, records)
        return {name.removeprefix("own-data-toy-") for name in drawn}

    assert redrawn() == set()
    before = {path.name: path.read_bytes() for path in (tmp_path / "figures").glob("*.*")}
    (tmp_path / "figures" / "own-data-toy-cost.svg").unlink()
    (tmp_path / "figures" / "own-data-toy-classes.png").write_bytes(
        before["own-data-toy-classes.png"][:-1]
    )
    (tmp_path / "figures" / "drawn" / "own-data-toy-labels").unlink()
    assert redrawn() == {"cost", "classes", "labels"}
    assert {path.name: path.read_bytes() for path in (tmp_path / "figures").glob("*.*")} == before

    changed = study()
    of_one = changed["linear-asl-efficientnet_lite0-toy-224"]  # no run of the figures by class
    of_one[1] = of_one[1].model_copy(update={"history": of_one[1].history[:-1]})
    assert redrawn(changed) == {"curves"} and redrawn(changed) == set()
    assert (tmp_path / "figures" / "own-data-toy-curves.svg").read_bytes() != before[
        "own-data-toy-curves.svg"
    ]
    module = tmp_path / "module.py"
    module.write_text("")
    monkeypatch.setattr(figures, "CODE", [*figures.CODE, module])
    assert redrawn(changed) == set()
    module.write_text("# other code")
    assert redrawn(changed) == set(FIGURES)
    monkeypatch.setattr(figures, "version", lambda library: "another")
    assert redrawn(changed) == set(FIGURES)


def test_page_without_records_has_the_commands_and_no_figures(tmp_path):
    text = write(tmp_path, records={}, command="dvc repro")
    assert "No run has been measured yet. Of 5 runs, 0 complete, 0 partial, 5 not run." in text
    assert len(re.findall(r"^dvc repro dvc\.yaml:evaluate@", text, re.M)) == 8
    assert not (tmp_path / "figures").exists() and len(markdown_tables(text)) == 1


def test_a_run_that_a_launch_could_not_do_is_failed_and_says_why(tmp_path):
    failure = Failure(
        stage=f"dvc.yaml:train@{MISSING}-0",
        error="error: labels.csv: no column",
        host="n1",
        log="outputs/a.log",
    )
    write_comparison(
        "Toy",
        "What.",
        study(),
        dict.fromkeys([*study(), MISSING], [0, 1]),
        tmp_path / "a.md",
        "dvc repro",
        failures={MISSING: {0: failure}, "unlisted": {0: failure}},
    )
    text = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert {row[1]: row[-1] for table in markdown_tables(text) for row in table}[
        f"`{MISSING}`"
    ] == "failed"
    assert "1 partial, 1 failed, 0 not run." in text and "unlisted" not in text
    assert (
        f"- `{MISSING}` seed 0: error: labels.csv: no column (stage `dvc.yaml:train@{MISSING}-0` on n1; what it"
        in text
    )


def test_records_that_tell_of_it_show_how_many_labels_are_predicted(page, tmp_path):
    told = by_run(
        made_up_record("role", "single", 62.0, positives=1.4),
        made_up_record("an", "single", positives=0.5),
        made_up_record("bce"),
    )
    write_comparison(
        "Toy", "What.", told, dict.fromkeys(told, [0]), tmp_path / "toy.md", "dvc repro"
    )
    text = (tmp_path / "toy.md").read_text(encoding="utf-8")
    section = next(part for part in text.split("\n## ") if part.startswith("Number of labels"))
    predicted, estimated = markdown_tables(section)
    assert [row[1:] for row in predicted[1:]] == [["0.50", "1.50", "-"], ["1.40", "1.50", "1.50"]]
    assert len(estimated) == 2 and "linear-role" in estimated[1][0]
    assert "figures/toy-positives-curves.svg" in section
    with Image.open(tmp_path / "figures" / "toy-positives-curves.png") as image:
        assert len(image.convert("RGB").getcolors(10**6)) > 10
    assert "Number of labels" not in page[1]


def test_many_classes_are_folded_and_their_names_stay_literal(tmp_path):
    classes = [f"class {i} $a|b$" for i in range(45)]
    text = write(tmp_path, by_run(made_up_record(classes=classes)))
    assert text.count("<details>") == text.count("</details>") == 2
    assert r"| class 0 $a\|b$ " in text and markdown_tables(text)


def test_records_that_do_not_belong_are_named(tmp_path):
    stray = made_up_record("bce_ls", seed=0)
    text = write(tmp_path, study() | by_run(stray, made_up_record("bce", seed=7)))
    assert (
        "do not list them: `linear-bce-efficientnet_lite0-toy-224` seed 7, `linear-bce_ls-" in text
    )
    other = made_up_record("asl", classes=VOC[:5])
    with pytest.raises(
        InputError, match=r"linear-asl-\S+-s0\.json and linear-bce-\S+-s0\.json: score different"
    ):
        write(tmp_path, by_run(made_up_record("bce"), other))


def words(*records, expected=None) -> str:
    runs = ranked(by_run(*records))
    return re.sub(
        r"-efficientnet_lite0-toy(-single)?-224",
        "",
        summary(runs, dict.fromkeys(expected or runs, [0, 1])),
    )


def test_summary_of_a_clear_winner_and_of_the_price_of_single_positives():
    # noise: both runs have s = 0.707 over 2 seeds and SE 0.2: 2 sqrt(2 (0.5 / 2 + 0.04)) = 1.523
    records = [
        made_up_record(loss, labels, mAP + seed, seed)
        for loss, labels, mAP in (
            ("asl", "full", 73.0),
            ("bce", "full", 70.0),
            ("an", "single", 60.0),
        )
        for seed in (0, 1)
    ]
    assert words(*records) == (
        "`linear-asl` ranks first with mAP 73.50, 3.00 points ahead of `linear-bce` (70.50); the noise is 1.52 points, "
        "so the lead is clear. The best run with single-positive labels, `linear-an` (60.50), is 13.00 points below "
        "the best with full labels, `linear-asl` (73.50): more than the noise. "
        "Of 3 runs, 3 complete, 0 partial, 0 not run."
    )


def test_summary_of_ties():
    # one seed: 2 sqrt(2 * 0.04) = 0.566 with SE 0.2, 1.513 against SE 0.73
    first, near, unsure = (
        made_up_record("asl", mAP=71.4),
        made_up_record("bce", mAP=70.9),
        made_up_record("bce_ls", mAP=70.4, se=0.73),
    )
    assert (
        "`linear-bce` (70.90); the noise is 0.57 points, so the two cannot be told apart."
        in words(first, near)
    )
    assert "cannot be told apart; nor can 1 further run be told from the first." in words(
        first, near, unsure
    )
    far = made_up_record("bce", mAP=70.8)
    assert "so this lead is clear, but 1 run further down cannot be told from the first." in words(
        first, far, unsure
    )
    precise = [made_up_record("asl", mAP=70.4, se=0.0), made_up_record("bce", mAP=70.0, se=0.0)]
    assert "the noise is 0.50 points, so the two cannot be told apart." in words(*precise)


def test_summary_of_little():
    assert (
        words(expected=["a"])
        == "No run has been measured yet. Of 1 run, 0 complete, 0 partial, 1 not run."
    )
    assert words(made_up_record(mAP=70.0)).startswith(
        "`linear-bce` is the only run measured so far, with mAP 70.00. "
    )
    assert words(made_up_record(absent=["mAP"])).startswith("No measured run has an mAP. ")


def test_claimed_orderings_are_judged_by_seeds_and_by_test_pictures():
    def run(loss, values, se):
        records = [
            made_up_record(loss, mAP=value, seed=seed, se=se) for seed, value in enumerate(values)
        ]
        return records[0].run.run_id, records

    (high, first), (low, second) = run("asl", [75, 75.2], 0.3), run("bce", [73, 73.2], 0.3)
    single, third = run("bce_ls", [70], 0.3)
    runs = {high: first, low: second, single: third}
    wider = {**runs, high: run("asl", [75, 75.2], 1.5)[1]}
    claims = [
        Ordering(claim="a | b", pairs=[(high, low), (low, high), (high, single), (low, "other")])
    ]

    def verdicts(runs, claims=claims):
        return [row[1:] for row in cells(ordering_section(runs, claims)[-1])[1:]]

    # noise of seeds: s = 0.141 twice over 2 seeds, 2 sqrt(2 x 0.02 / 2) = 0.28; with SE 0.3 twice: 2 sqrt(0.02 + 0.18) = 0.89
    assert verdicts(runs)[0] == ["holds", "+2.00", "0.28", "0.89", f"`{high}`", f"`{low}`"]
    assert [row[0] for row in verdicts(runs)] == ["holds", "reversed", "one seed", "not run"]
    assert [row[0] for row in verdicts(wider)][:2] == [
        "holds on these pictures",
        "reversed on these pictures",
    ]
    near = {**runs, low: run("bce", [74.9, 75.1], 0.3)[1]}
    assert verdicts(near)[0][0] == "cannot be told" and ordering_section(runs, []) == []
