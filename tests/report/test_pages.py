"""The page that compares runs, of made-up records."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import ROOT
from PIL import Image
from test_tables import VOC, by_run, cells, made_up_record, ranked_runs

from mlrepro.errors import InputError
from mlrepro.judging import ranked
from mlrepro.records import Failure, Record, Records
from mlrepro.report.comparison import Comparison, write_comparison
from mlrepro.report.figures import drawing
from mlrepro.report.orderings import ordering_section, ordering_table
from mlrepro.report.render import render
from mlrepro.report.summary import summarise
from mlrepro.run_pairs import compare_runs
from mlrepro.settings.pipeline import Ordering

MISSING = "linear-wan-efficientnet_lite0-toy-single-224"
PARTIAL = "query2label-asl-efficientnet_lite0-toy-224"
FIGURES = {"classes", "cost", "curves", "labels"}
SEEDS = [0, 1]


# ---- The page of a made-up study ---------------------------------------------------------------


def study() -> Records:
    """Two seeds of three runs, one of which lacks a metric, and a fourth run that stopped early."""
    records = []
    for seed in SEEDS:
        records += [
            made_up_record("bce", "full", 70.0 + seed, seed),
            made_up_record("asl", "full", 66.0 + seed, seed),
            made_up_record("an", "single", 60.0 + seed, seed, absent=["tuned_CF1"]),
        ]
    stopped = made_up_record("asl", mAP=75.0, head="query2label", gmacs=5.2, epochs=5, trained=3)
    return by_run(*records, stopped)


def comparison(records: Records | None = None, **values) -> Comparison:
    """Of these records, or of those of the study, whose runs are expected with one run more."""
    defaults = {
        "title": "Toy",
        "intro": "What the page is. More.",
        "records": study() if records is None else records,
        "expected": dict.fromkeys([*study(), MISSING], SEEDS),
        "pipeline": "studies/own-data/dvc.yaml",
        "searched": [MISSING],
    }
    return Comparison(**defaults | values)


def write(folder: Path, records: Records | None = None, **values) -> str:
    """The text of the page, written to `folder`."""
    path = folder / "own-data-toy.md"
    write_comparison(comparison(records, **values), path)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> tuple[Path, str]:
    """The folder and the text of the page of `study`."""
    folder = tmp_path_factory.mktemp("reports")
    return folder, write(folder)


def markdown_tables(text: str) -> list[list[list[str]]]:
    return [cells(block) for block in text.split("\n\n") if block.startswith("|")]


def statuses(text: str) -> dict[str, str]:
    """By run id, in the order of the ranking."""
    ranking = next(table for table in markdown_tables(text) if table[0][-1] == "status")
    return {row[1].strip("`"): row[-1] for row in ranking[1:]}


# ---- What it says ------------------------------------------------------------------------------


def test_page_states_every_run_and_what_it_lacks(page):
    _, text = page

    by_run_id = statuses(text)
    incomplete = {run: state for run, state in by_run_id.items() if state != "complete"}
    assert incomplete == {PARTIAL: "partial", MISSING: "not-run"}
    assert len(by_run_id) == 5
    assert list(by_run_id)[0] == PARTIAL and list(by_run_id)[-1] == MISSING

    assert f"- `{PARTIAL}`: seed 1 not run; seed 0: 3 of 5 epochs" in text
    commands = re.findall(r"^dvc repro .*:.*", text, re.M)
    assert commands == [
        f"dvc repro studies/own-data/dvc.yaml:evaluate@{PARTIAL}-1",
        "dvc repro studies/own-data/dvc.yaml:search",
    ]
    assert text.count("```sh\ndvc repro studies/own-data/dvc.yaml\n```") == 1

    tuned = text.split("### Thresholds by class")[1].split("\n\n")[1]
    tuned_cf1 = {row[0]: row[-1] for row in cells(tuned)}
    assert tuned_cf1["`linear-an-efficientnet_lite0-toy-single-224`"] == "-"
    assert "Not shown" not in text


def test_page_without_records_has_the_commands_and_no_figures(tmp_path):
    text = write(tmp_path, records={}, pipeline="dvc.yaml")

    assert "No run has been measured yet. Of 5 runs, 0 complete, 0 partial, 5 not run." in text
    assert len(re.findall(r"^dvc repro dvc\.yaml:evaluate@", text, re.M)) == 8
    assert not (tmp_path / "figures").exists()
    assert len(markdown_tables(text)) == 1


def test_a_run_that_a_launch_could_not_do_is_failed_and_says_why(tmp_path):
    failure = Failure(
        stage=f"dvc.yaml:train@{MISSING}-0",
        error="error: labels.csv: no column",
        host="n1",
        log="outputs/a.log",
    )
    text = write(tmp_path, failures={MISSING: {0: failure}, "unlisted": {0: failure}})

    assert statuses(text)[MISSING] == "failed"
    assert "1 partial, 1 failed, 0 not run." in text
    assert "unlisted" not in text
    assert (
        f"- `{MISSING}` seed 0: error: labels.csv: no column "
        f"(stage `dvc.yaml:train@{MISSING}-0` on n1; what it"
    ) in text


def test_records_that_tell_of_it_show_how_many_labels_are_predicted(page, tmp_path):
    records = by_run(
        made_up_record("role", "single", 62.0, positives=1.4),
        made_up_record("an", "single", positives=0.5),
        made_up_record("bce"),
    )
    text = write(tmp_path, records, expected=dict.fromkeys(records, [0]))

    sections = text.split("\n## ")
    section = next(part for part in sections if part.startswith("Number of labels"))
    predicted, estimated = markdown_tables(section)
    assert [row[1:] for row in predicted[1:]] == [["0.50", "1.50", "-"], ["1.40", "1.50", "1.50"]]
    assert len(estimated) == 2 and "linear-role" in estimated[1][0]

    assert "figures/own-data-toy-positives-curves.svg" in section
    with Image.open(tmp_path / "figures" / "own-data-toy-positives-curves.png") as image:
        assert len(image.convert("RGB").getcolors(10**6)) > 10

    _, of_records_without = page
    assert "Number of labels" not in of_records_without


def test_many_classes_are_folded_and_their_names_stay_literal(tmp_path):
    classes = [f"class {i} $a|b$" for i in range(45)]
    text = write(tmp_path, by_run(made_up_record(classes=classes)))

    assert text.count("<details>") == text.count("</details>") == 2
    assert r"| class 0 $a\|b$ " in text
    assert markdown_tables(text)


def test_records_that_do_not_belong_are_named(tmp_path):
    other_run = made_up_record("bce_ls", seed=0)
    other_seed = made_up_record("bce", seed=7)
    text = write(tmp_path, study() | by_run(other_run, other_seed))
    assert (
        "do not list them: `linear-bce-efficientnet_lite0-toy-224` seed 7, `linear-bce_ls-" in text
    )


def test_records_of_other_classes_cannot_be_on_the_page(tmp_path):
    other = made_up_record("asl", classes=VOC[:5])
    message = r"linear-asl-\S+-s0\.json and linear-bce-\S+-s0\.json: score different"
    with pytest.raises(InputError, match=message):
        write(tmp_path, by_run(made_up_record("bce"), other))


# ---- Its tables and figures --------------------------------------------------------------------


def test_tables_parse_and_links_lead_to_readable_figures(page):
    folder, text = page

    tables = markdown_tables(text)
    assert len(tables) == 13
    assert all(len(table) > 1 and len(table[0]) <= 12 for table in tables)

    links = re.findall(r"\((figures/[^)]+)\)", text)
    expected = [
        f"figures/own-data-toy-{name}.{kind}" for name in FIGURES for kind in ("png", "svg")
    ]
    assert sorted(links) == sorted(expected)

    for link in links:
        if link.endswith("svg"):
            assert ElementTree.parse(folder / link).getroot().tag.endswith("svg")
            continue
        with Image.open(folder / link) as image:
            image.load()
            assert image.width == 1350
            assert len(image.convert("L").getcolors()) > 2


def test_regeneration_is_byte_identical(page, tmp_path):
    folder, _ = page
    write(tmp_path)

    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")]
    assert len([file for file in files if "tables" not in file.parts]) == 1 + 2 * len(FIGURES)
    for file in files:
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes(), file


@pytest.fixture
def drawn_again(tmp_path, monkeypatch):
    """A function that writes the page again, and returns the names of the figures it draws."""
    drawn = []
    write_figure = drawing.write

    def remember(figure, stem: Path) -> None:
        drawn.append(stem.name.removeprefix("own-data-toy-"))
        write_figure(figure, stem)

    def write_again(records: Records | None = None) -> set[str]:
        drawn.clear()
        write(tmp_path, records)
        return set(drawn)

    monkeypatch.setattr(drawing, "write", remember)
    return write_again


def test_figures_are_drawn_again_where_their_files_changed(tmp_path, drawn_again):
    figures = tmp_path / "figures"
    assert drawn_again() == FIGURES
    assert drawn_again() == set()

    before = {path.name: path.read_bytes() for path in figures.glob("*.*")}
    (figures / "own-data-toy-cost.svg").unlink()
    (figures / "own-data-toy-classes.png").write_bytes(before["own-data-toy-classes.png"][:-1])
    (figures / "drawn" / "own-data-toy-labels").unlink()

    assert drawn_again() == {"cost", "classes", "labels"}
    assert {path.name: path.read_bytes() for path in figures.glob("*.*")} == before


def test_a_figure_is_drawn_again_where_its_data_changed(tmp_path, drawn_again):
    curves = tmp_path / "figures" / "own-data-toy-curves.svg"
    drawn_again()
    before = curves.read_bytes()

    # A run that the figures by class do not show.
    changed = study()
    records = changed["linear-asl-efficientnet_lite0-toy-224"]
    records[1] = records[1].model_copy(update={"history": records[1].history[:-1]})

    assert drawn_again(changed) == {"curves"}
    assert drawn_again(changed) == set()
    assert curves.read_bytes() != before


def test_all_figures_are_drawn_again_where_the_code_changed(tmp_path, drawn_again, monkeypatch):
    module = tmp_path / "module.py"
    module.write_text("")
    monkeypatch.setattr(drawing, "CODE", [*drawing.CODE, module])
    drawn_again()
    assert drawn_again() == set()

    module.write_text("# other code")
    assert drawn_again() == FIGURES

    monkeypatch.setattr(drawing, "version", lambda library: "another")
    assert drawn_again() == FIGURES


def test_the_code_that_draws_is_remembered():
    names = {path.name for path in drawing.CODE}
    assert {"curves.py", "drawing.py", "comparison.py", "judging.py", "records.py"} <= names


def test_nothing_that_trains_imports_the_reports():
    package = ROOT / "src" / "mlrepro"
    rooms = ("data", "losses", "metrics", "models", "settings", "training")
    modules = [path for room in rooms for path in (package / room).rglob("*.py")]
    assert len(modules) > 40
    for path in [*modules, package / "records.py", package / "judging.py"]:
        assert "mlrepro.report" not in path.read_text(encoding="utf-8"), path


# ---- The summary -------------------------------------------------------------------------------


def summary_text(*records: Record, expected: list[str] | None = None) -> str:
    """The page's first paragraph, with short names of runs."""
    runs = ranked_runs(*records)
    summary = summarise(runs, compare_runs(runs), dict.fromkeys(expected or runs, SEEDS))
    text = render("summary.md.j2", Path("toy.md"), summary=summary)
    return re.sub(r"-efficientnet_lite0-toy(-single)?-224", "", text.strip())


def test_summary_of_a_clear_winner_and_of_the_price_of_single_positives():
    # Seed by seed the difference is the same, so that SE 0.2 of both is all: 1.96 x 0.2 sqrt(2).
    records = []
    for seed in SEEDS:
        records += [
            made_up_record("asl", "full", 73.0 + seed, seed),
            made_up_record("bce", "full", 70.0 + seed, seed),
            made_up_record("an", "single", 60.0 + seed, seed),
        ]
    assert summary_text(*records) == (
        "`linear-asl` ranks first on test with mAP 73.50, 3.00 points ahead of `linear-bce` (70.50;"
        " 95 %: 2.45 to 3.55): the lead is clear. "
        "The best run with single-positive labels, `linear-an` (60.50), is 13.00 points below "
        "the best with full labels, `linear-asl` (73.50), which is more than chance. "
        "Of 3 runs, 3 complete, 0 partial, 0 not run."
    )


def test_summary_of_ties():
    # of one seed: 1.96 sqrt(2 * 0.04) = 0.554 with SE 0.2, 1.484 against SE 0.73
    first = made_up_record("asl", mAP=71.4)
    near = made_up_record("bce", mAP=70.9)
    unsure = made_up_record("bce_ls", mAP=70.4, se=0.73)

    text = summary_text(first, near)
    assert "`linear-bce` (70.90; 95 %: -0.05 to 1.05): the two cannot be told apart." in text

    text = summary_text(first, near, unsure)
    assert "cannot be told apart; nor can 1 further run be told from the first." in text


def test_summary_of_a_tie_behind_a_clear_second():
    first = made_up_record("asl", mAP=71.4)
    far = made_up_record("bce", mAP=70.6)
    unsure = made_up_record("bce_ls", mAP=70.4, se=0.73)

    text = summary_text(first, far, unsure)
    assert "this lead is clear, but 1 run further down cannot be told from the first." in text


def test_of_one_seed_half_a_point_is_nothing():
    first = made_up_record("asl", mAP=70.4, se=0.0)
    second = made_up_record("bce", mAP=70.0, se=0.0)
    text = summary_text(first, second)
    assert "95 %: 0.40 to 0.40): the two cannot be told apart." in text


def test_summary_of_little():
    text = summary_text(expected=["a"])
    assert text == "No run has been measured yet. Of 1 run, 0 complete, 0 partial, 1 not run."

    text = summary_text(made_up_record(mAP=70.0))
    assert text.startswith("`linear-bce` is the only run measured so far, with mAP 70.00. ")

    text = summary_text(made_up_record(absent=["mAP"]))
    assert text.startswith("No measured run has an mAP. ")


# ---- Claimed orderings -------------------------------------------------------------------------


def seeds_of(loss: str, values: list[float], se: float = 0.3) -> tuple[str, list[Record]]:
    """Run id and records, one for each mAP."""
    records = [
        made_up_record(loss, mAP=value, seed=seed, se=se) for seed, value in enumerate(values)
    ]
    return records[0].run.run_id, records


def verdict_rows(runs: Records, orderings: list[Ordering]) -> list[list[str]]:
    """Without the claim."""
    _, *rows = cells(ordering_table(runs, compare_runs(ranked(runs)), orderings))
    return [row[1:] for row in rows]


def test_claimed_orderings_are_judged_by_seeds_and_by_test_pictures():
    high, first = seeds_of("asl", [75, 75.2])
    low, second = seeds_of("bce", [73, 73.2])
    single, third = seeds_of("bce_ls", [70])
    runs = {high: first, low: second, single: third}
    pairs = [(high, low), (low, high), (high, single), (low, "other")]
    orderings = [Ordering(claim="a | b", pairs=pairs)]

    # Noise of seeds: s = 0.141 twice over 2 seeds, 2 sqrt(2 x 0.02 / 2) = 0.28. Seed by seed the
    # difference is the same; SE 0.3 twice: 1.96 x 0.424 = 0.83.
    rows = verdict_rows(runs, orderings)
    assert rows[0] == ["holds", "+2.00 ± 0.83", "0.28", f"`{high}`", f"`{low}`"]
    assert [row[0] for row in rows] == ["holds", "reversed", "one seed", "not-run"]

    _, unsure = seeds_of("asl", [75, 75.2], se=1.5)
    rows = verdict_rows({**runs, high: unsure}, orderings)
    assert [row[0] for row in rows][:2] == ["holds on these pictures", "reversed on these pictures"]

    _, near = seeds_of("bce", [74.9, 75.1])
    rows = verdict_rows({**runs, low: near}, orderings)
    assert rows[0][0] == "cannot be told"


def test_a_claim_is_named_beside_its_first_pair_alone():
    high, first = seeds_of("asl", [75, 75.2])
    low, second = seeds_of("bce", [73, 73.2])
    runs = {high: first, low: second}
    orderings = [Ordering(claim="a | b", pairs=[(high, low), (low, high)])]

    (section,) = ordering_section(runs, compare_runs(runs), orderings)
    (table,) = markdown_tables(section)
    assert [row[0] for row in table[1:]] == ["a ¦ b", ""]
    assert ordering_section(runs, compare_runs(runs), []) == []
