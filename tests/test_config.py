"""Settings: unknown keys and mistyped names are errors that name the file, the key and the nearest valid name."""

import pytest
from conftest import LINEAR, PICTURES, ROOT, run_settings, write_yaml

from mlrepro.errors import InputError
from mlrepro.layout import read_layout
from mlrepro.settings.pipeline import load_data_settings, load_pipeline
from mlrepro.settings.run import load_run
from mlrepro.studies.runs import read_run

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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
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
    ],
)
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


@pytest.mark.parametrize(
    ("values", "message"),
    [
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
    ],
)
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
