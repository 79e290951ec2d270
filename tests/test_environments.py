"""What varies by nature: kept beside the record it was written with, gathered in a table."""

import csv

import pytest
from test_records import RUN_ID, record

from mlrepro.environments import (
    TABLE,
    Environment,
    gather_environments,
    read_environment,
    read_environments,
    write_environment,
)
from mlrepro.errors import InputError
from mlrepro.records import read_records, write_record

HERE = Environment(
    commit="c",
    dirty=True,
    device="CPU (x86_64)",
    precision="float32",
    threads=2,
    python="3.12.3",
    versions={"torch": "2.14.1", "numpy": "2.4.6"},
    train_seconds=1.25,
    images_per_second=10.0,
    peak_memory_mib=512.0,
    weights_sha256={"best": "aa", "last": "bb"},
)


def make(folder, seed: int, environment: Environment = HERE) -> dict:
    """A record of the seed and its environment; returns that as it is at hand."""
    of_seed = record(seed=seed)
    path = folder / "results" / f"{of_seed.name}.json"
    write_record(of_seed, path)
    at_hand = folder / "outputs" / of_seed.name / "environment.json"
    write_environment(environment, at_hand, path)
    return {of_seed.name: at_hand}


def lines(folder) -> list[str]:
    return (folder / "results" / TABLE).read_text(encoding="utf-8").splitlines()


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "deep" / "environment.json"
    write_environment(HERE, path)
    assert read_environment(path) == HERE
    assert read_environment(tmp_path / "absent") == Environment()


def test_the_table_has_a_line_a_run_and_seed(tmp_path):
    at_hand = make(tmp_path, 10) | make(tmp_path, 2, Environment(commit="d"))
    gather_environments(tmp_path / "results", at_hand)

    with (tmp_path / "results" / TABLE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["seed"]) for row in rows] == [(RUN_ID, "2"), (RUN_ID, "10")]
    assert rows[1]["versions"] == "torch=2.14.1 numpy=2.4.6"
    assert rows[0]["device"] == ""

    assert read_environments(tmp_path / "results") == {
        f"{RUN_ID}-s2": Environment(commit="d"),
        f"{RUN_ID}-s10": HERE,
    }


def test_records_have_the_environments_of_the_table(tmp_path):
    make(tmp_path, 3)
    gather_environments(tmp_path / "results", make(tmp_path, 2))
    [records] = read_records(tmp_path / "results").values()
    assert [each.environment for each in records] == [HERE, None]


def test_lines_that_are_not_at_hand_stay(tmp_path):
    results = tmp_path / "results"
    gather_environments(results, make(tmp_path, 2) | make(tmp_path, 3))
    before = lines(tmp_path)
    gather_environments(results, make(tmp_path, 3, Environment(device="another")))
    assert lines(tmp_path)[:2] == before[:2]
    assert "another" in lines(tmp_path)[2]

    gather_environments(results, {})
    assert len(lines(tmp_path)) == 3


def test_a_line_goes_with_its_record(tmp_path):
    results = tmp_path / "results"
    gather_environments(results, make(tmp_path, 2) | make(tmp_path, 3))
    (results / f"{RUN_ID}-s2.json").unlink()
    gather_environments(results, {})
    assert len(lines(tmp_path)) == 2


def test_an_environment_of_another_record_is_left(tmp_path):
    """One that git brought from another machine, say."""
    at_hand = make(tmp_path, 2)
    write_record(record(mAP=71.0, seed=2), tmp_path / "results" / f"{RUN_ID}-s2.json")
    gather_environments(tmp_path / "results", at_hand)
    assert not (tmp_path / "results" / TABLE).exists()


def test_a_table_that_would_not_change_is_not_written(tmp_path):
    at_hand = make(tmp_path, 2)
    gather_environments(tmp_path / "results", at_hand)
    table = tmp_path / "results" / TABLE
    before = table.stat().st_mtime_ns
    gather_environments(tmp_path / "results", at_hand)
    assert table.stat().st_mtime_ns == before


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_no_table_without_environments(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    gather_environments(tmp_path / folder, {})
    assert not list(tmp_path.rglob(TABLE))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"threads": "many"}', '{"sth": 1}'])
def test_a_damaged_environment_is_named(tmp_path, content):
    path = tmp_path / "environment.json"
    path.write_text(content)
    with pytest.raises(InputError, match="environment.json: not an environment .*; delete it"):
        read_environment(path)


@pytest.mark.parametrize(
    "line",
    [
        "<<<<<<< HEAD",
        "a",
        "a,x,c",
        "a,0,c,perhaps",
        'a,0,"c\n',
    ],
)
def test_a_damaged_table_is_named(tmp_path, line):
    gather_environments(tmp_path / "results", make(tmp_path, 0))
    table = tmp_path / "results" / TABLE
    table.write_text(table.read_text() + line)
    with pytest.raises(InputError, match=rf"{TABLE}, line \d: not a line of this table; mend it"):
        read_environments(tmp_path / "results")
