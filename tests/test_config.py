"""Settings: unknown keys and mistyped names are errors.

They name the file, the key and the nearest valid name.
"""

import math
import os
import time

import numpy as np
import pytest
from conftest import LINEAR, PICTURES, ROOT, run_settings, write_yaml

from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.settings.pipeline import load_data_settings, load_pipeline
from mlrepro.settings.run import load_run
from mlrepro.stage import Arguments
from mlrepro.studies.runs import read_run
from mlrepro_cli.main import create_parser

DIGITS = {
    "format": "digits",
    "archives": [{"name": "digits.csv.gz"}],
    "pictures": {"train": 1, "test": 1},
}


@pytest.mark.parametrize("settings", ["params.yaml", "studies/own-data/params.yaml"])
def test_every_shipped_run_file_loads(settings, monkeypatch):
    monkeypatch.chdir(ROOT)
    layout = read_layout(settings)
    files = {path.stem for path in (layout.folder / "runs").glob("*.yaml")}
    assert files == set(layout.pipeline.runs)
    for run_id in layout.pipeline.runs:
        assert read_run(layout, run_id).run_id == run_id


WRONG_RUN_FILES = [
    ({"epoch": 3}, "unknown key 'epoch'; did you mean 'epochs'?"),
    ({"loss": {"name": "bcee"}}, "loss: 'bcee' is not a valid name; did you mean 'bce'?"),
    (
        {"loss": {"name": "asl", "gama_neg": 1}},
        "loss.asl: unknown key 'gama_neg'; did you mean 'gamma_neg'?",
    ),
    (
        {"optimizer": {"name": "adm", "lr": 1}},
        "optimizer.name: 'adm' is not a valid name; did you mean 'adam'?",
    ),
    (
        {"optimizer": {"name": "adam", "lr": "fast"}},
        "optimizer.lr: Input should be a valid number",
    ),
    ({"head": "gap"}, "`head: linear` and `inputs: features` belong together"),
    ({"loss": {"name": "an"}}, "loss 'an' reads observed labels; set `labels: single`"),
    ({"resolution": 64}, "rename the file to linear-bce-efficientnet_lite0-digits-64.yaml"),
    ({"augment": "flip"}, "`augment` needs `inputs: images`"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_RUN_FILES)
def test_wrong_run_files(tmp_path, changes, message):
    path = tmp_path / f"{LINEAR}.yaml"
    write_yaml(path, run_settings(LINEAR, **changes))
    with pytest.raises(InputError) as error:
        load_run(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_a_learning_rate_that_yaml_reads_as_text(tmp_path):
    path = tmp_path / f"{LINEAR}.yaml"
    write_yaml(path, run_settings(LINEAR))
    path.write_text(path.read_text().replace("lr: 0.001", "lr: 1e-4"))
    assert "lr: 1e-4" in path.read_text() and load_run(path).optimizer.lr == 1e-4


WRONG_PIPELINES = [
    ({"data": {"digits": DIGITS | {"sed": 1}}}, "unknown key 'sed'; did you mean 'seed'?"),
    (
        {"data": {"digits": DIGITS | {"format": "digit"}}},
        "'digit' is not a valid name; did you mean 'digits'?",
    ),
    (
        {"data": {"digits": DIGITS | {"archives": []}}},
        "give either `archives` (to download) or `folder`",
    ),
    ({"dta": {}}, "unknown key 'dta'; did you mean 'data'?"),
]


@pytest.mark.parametrize(("values", "message"), WRONG_PIPELINES)
def test_wrong_pipelines(tmp_path, values, message):
    write_yaml(tmp_path / "params.yaml", values)
    with pytest.raises(InputError) as error:
        load_pipeline(tmp_path / "params.yaml")
    assert message in str(error.value)


def archive_called(name):
    return {"data": {"digits": DIGITS | {"archives": [{"name": name}]}}}


PATHS = [
    "../../outside/x",
    "/outside",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "C:x",
    ".hidden",
    "x\0y",
    "x\ny",
    "x" * 300,
]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("key", ["data", "name", "archives"])
def test_names_are_no_paths(tmp_path, key, name):
    """So that nothing is written outside data/ and the pipeline's folders."""
    values = {
        "data": {"data": {name: DIGITS}},
        "name": {"data": {"digits": DIGITS}, "name": name},
        "archives": archive_called(name),
    }[key]
    write_yaml(tmp_path / "params.yaml", values)
    with pytest.raises(InputError) as error:
        load_pipeline(tmp_path / "params.yaml")
    message = str(error.value)
    assert str(tmp_path / "params.yaml") in message
    assert f"{key}." in message or f"{key}:" in message
    assert "is not the name of a" in message and "give" in message


@pytest.mark.parametrize("name", ["VOCtrainval_11-May-2012.tar", "my pictures (2).zip", "写真.csv"])
def test_names_of_archives(tmp_path, name):
    write_yaml(tmp_path / "params.yaml", archive_called(name))
    [archive] = load_pipeline(tmp_path / "params.yaml").data["digits"].archives
    assert archive.name == name


@pytest.mark.parametrize(
    ("archives", "message"),
    [
        (["a.tar", "a.tar"], "two archives are called 'a.tar'"),
        (["a.tar", "a.tar.part"], "ends as files of incomplete downloads do"),
        (["a.tar", "a.tar.lock"], "ends as files of incomplete downloads do"),
    ],
)
def test_archives_that_would_overwrite_each_other(tmp_path, archives, message):
    described = DIGITS | {"archives": [{"name": name} for name in archives]}
    write_yaml(tmp_path / "params.yaml", {"data": {"digits": described}})
    with pytest.raises(InputError, match=message):
        load_pipeline(tmp_path / "params.yaml")


def test_shards_are_not_at_an_address_with_a_password(tmp_path):
    described = DIGITS | {"shards": {"address": "https://ann:s3cr3t@host/shards"}}
    write_yaml(tmp_path / "params.yaml", {"data": {"digits": described}})
    with pytest.raises(
        InputError, match=r"shards.address: .*write \$\{NAME\} in its place"
    ) as error:
        load_pipeline(tmp_path / "params.yaml")
    assert "s3cr3t" not in str(error.value)


# Where a params.yaml may say a seed, and how the message names the place.
SEEDS = {
    "seeds.0": lambda seed: {"seeds": [seed]},
    "search.seeds.0": lambda seed: {"search": {"losses": [{"name": "bce"}], "seeds": [seed]}},
    "corruption.seed": lambda seed: {"corruption": {"seed": seed}},
    "data.digits.digits.seed": lambda seed: {"data": {"digits": DIGITS | {"seed": seed}}},
    "data.digits.digits.hold_out.seed": lambda seed: {
        "data": {"digits": DIGITS | {"hold_out": {"seed": seed}}}
    },
}


@pytest.mark.parametrize("place", SEEDS)
@pytest.mark.parametrize("seed", [-1, 2**32, 10**400, "abc", 1.5, True, None])
def test_what_is_no_seed(tmp_path, place, seed):
    path = tmp_path / "params.yaml"
    write_yaml(path, {"data": {"digits": DIGITS}} | SEEDS[place](seed))
    with pytest.raises(InputError) as error:
        load_pipeline(path)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{path}:"
    assert lines[1].startswith(f"  {place}: ") and len(lines[1]) < 160
    assert lines[1].endswith("is no seed; write a whole number from 0 to 4294967295")


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_least_and_the_largest_seed(tmp_path, seed):
    path = tmp_path / "params.yaml"
    for changes in SEEDS.values():
        write_yaml(path, {"data": {"digits": DIGITS}} | changes(seed))
        load_pipeline(path)
    assert np.random.RandomState(seed).randint(2) in (0, 1)  # numpy takes them, too


@pytest.mark.parametrize("text", ["abc", "-1", "4294967296", "1.5", "9" * 5000, "٣", ""])
def test_what_is_no_seed_on_a_command_line(text, capsys):
    """Of a stage, as DVC calls it, and of `mlrepro export`."""
    with pytest.raises(SystemExit, match="is no seed; write a whole number from 0 to 4294967295"):
        Arguments(("params.yaml", "run", "seed")).parse_args(["params.yaml", LINEAR, text])

    with pytest.raises(SystemExit) as ended:
        create_parser().parse_args(["export", "params.yaml", LINEAR, "--seed", text])
    assert ended.value.code == 2
    assert "is no seed; write a whole number from 0 to 4294967295" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["losses", "learning_rates", "batch_sizes", "seeds"])
def test_a_grid_without_points(tmp_path, name):
    search = {"losses": [{"name": "bce"}]} | {name: []}
    write_yaml(tmp_path / "params.yaml", {"data": {"digits": DIGITS}, "search": search})
    with pytest.raises(InputError, match=f"search.{name}: the list is empty; write at least one"):
        load_pipeline(tmp_path / "params.yaml")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite(tmp_path, number):
    """A record holds its run's settings, and JSON has no such numbers."""
    path = tmp_path / f"{LINEAR}.yaml"
    loss = {"name": "asl", "gamma_neg": number}
    for changes in ({"optimizer": {"lr": number}}, {"loss": loss}, {"stop_below": number}):
        write_yaml(path, run_settings(LINEAR, **changes))
        with pytest.raises(InputError, match="Input should be a finite number"):
            load_run(path)


# ---- Files that are more than they look --------------------------------------------------------


def nine_of_the_former(levels: int) -> str:
    """9^levels values in some lines."""
    lines = ["a0: &a0 x"]
    for level in range(1, levels + 1):
        former = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} [{former}]")
    return "\n".join(lines)


def merged_nine_times(levels: int) -> str:
    """The same with `<<`, which is a list of mappings to merge."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels + 1):
        former = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level}\n  <<: [{former}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nine_of_the_former(30), "line 7: the aliases down to *a5 stand for more than 100,000"),
        (merged_nine_times(30), "stand for more than 100,000 values; write out what is meant"),
        ("a: &a [x, {b: *a}]", "line 1: *a stands within what it stands for; remove it"),
        ("a: " + "[" * 200_000, "line 1: nested more than 100 deep; write it flat"),
        ("a: " + "{b: " * 200_000, "line 1: nested more than 100 deep; write it flat"),
        ("a: 2026-13-45", "not readable as YAML: month must be in 1..12"),
        ("a: " + "9" * 5000, "not readable as YAML: Exceeds the limit"),
        ("a: *b", "not readable as YAML: found undefined alias"),
    ],
    ids=["aliases", "merges", "circle", "lists", "mappings", "date", "digits", "undefined"],
)
def test_yaml_that_would_not_end(tmp_path, content, message):
    path = tmp_path / "params.yaml"
    path.write_text(content)

    start = time.process_time()
    with pytest.raises(InputError) as error:
        load_pipeline(path)
    assert time.process_time() - start < 5

    said = str(error.value)
    assert said.startswith(f"{path}: ")
    assert message in said


def test_aliases_that_people_write(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        "data:\n"
        "  first: &digits\n"
        "    format: digits\n"
        "    archives: [{name: digits.csv.gz}]\n"
        "    pictures: &counts {train: 1, test: 1}\n"
        "  second: {<<: *digits, seed: 2, pictures: *counts}\n"
        "  third: *digits\n"
    )
    data = load_pipeline(path).data
    assert data["first"] == data["third"]
    assert data["second"].seed == 2 and data["second"].pictures == {"train": 1, "test": 1}


def test_unreadable_files(tmp_path):
    for content, message in (
        ("a: [1", "not readable as YAML"),
        ("just text", "expected `key: value` lines"),
    ):
        (tmp_path / "params.yaml").write_text(content)
        with pytest.raises(InputError, match=message):
            load_pipeline(tmp_path / "params.yaml")
    with pytest.raises(InputError, match="no such file"):
        load_pipeline(tmp_path / "absent.yaml")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    (tmp_path / "zeros.yaml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match=f"{path.name}: no regular file; "):
            load_pipeline(path)


def test_data_set_that_is_not_described(tmp_path):
    write_yaml(tmp_path / "params.yaml", {"data": {"digits": DIGITS}})
    with pytest.raises(InputError, match="data.digit is not described; did you mean 'digits'"):
        load_data_settings(tmp_path / "params.yaml", "digit")


def test_digest_ignores_layout_and_defaults(tmp_path):
    path = tmp_path / f"{PICTURES}.yaml"
    digests = []
    for changes in ({}, {"selection": "best"}, {"epochs": 4}):
        write_yaml(path, dict(reversed(run_settings(PICTURES, **changes).items())))
        digests.append(load_run(path).digest)
    assert digests[0] == digests[1] != digests[2]
