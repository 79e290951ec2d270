"""Pipelines below studies/ are as their params.yaml say, sweeps' run files as sweeps.yaml says."""

import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

from mlrepro.layout import read_layout
from mlrepro.pipelines import stages_of


@pytest.mark.parametrize("generator", ["pipelines", "sweeps", "variants"])
def test_committed_files_are_those_that_would_be_written(generator):
    done = subprocess.run(
        [sys.executable, f"studies/{generator}.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert not done.returncode, (
        f"run `python studies/{generator}.py`; it would change\n{done.stdout}"
    )


def test_a_pipeline_that_was_edited_by_hand_is_named(tmp_path, monkeypatch):
    import shutil

    shutil.copytree(ROOT / "studies" / "voc-transfer", tmp_path / "studies" / "voc-transfer")
    for name in ("pipelines.py",):
        shutil.copy(ROOT / "studies" / name, tmp_path / "studies" / name)
    file = tmp_path / "studies" / "voc-transfer" / "voc2007" / "dvc.yaml"
    file.write_text(file.read_text() + "# by hand\n")
    done = subprocess.run(
        [sys.executable, "studies/pipelines.py", "--check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout.split() == ["studies/voc-transfer/voc2007/dvc.yaml"]


DVC_FILES = sorted(
    [ROOT / "dvc.yaml", ROOT / "data" / "dvc.yaml", *ROOT.glob("studies/**/dvc.yaml")]
)


@pytest.mark.parametrize("file", DVC_FILES, ids=lambda file: file.parent.name)
def test_stages_stand_in_the_order_in_which_they_need_each_other(file):
    """`dvc repro -s` of a file runs them as they stand, and reads no other file."""
    written_later = []
    for stage in reversed(yaml.safe_load(file.read_text())["stages"].values()):
        stage = stage.get("do", stage)
        written_later += paths_of(stage.get("outs", []))
        for needed in paths_of(stage.get("deps", [])):
            assert not any(overlap(needed, path) for path in written_later), needed


def paths_of(entries: list) -> list[str]:
    """Of outs or deps, of which some have options."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def overlap(first: str, second: str) -> bool:
    """Whether one is the other, or in its folder."""
    shorter, longer = sorted((f"{first}/", f"{second}/"), key=len)
    return longer.startswith(shorter)


PIPELINES = sorted(path.parent for path in ROOT.glob("studies/**/params.yaml"))


@pytest.mark.parametrize("folder", [ROOT, *PIPELINES], ids=lambda folder: folder.name)
def test_runs_depend_on_their_code_and_write_where_the_layout_says(folder, monkeypatch):
    monkeypatch.chdir(ROOT)
    layout = read_layout((folder / "params.yaml").relative_to(ROOT))
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    if "evaluate" not in stages:
        of_a_search = {"corrupt", "code", "extract", "search", "report"}
        assert set(stages) == (of_a_search if "search" in stages else {"complexity", "report"})
        return

    item = ("${item.run}", "${item.seed}")
    output = layout.output(*item)
    trained = layout.trained(*item).as_posix()
    own_code = (layout.code / "${item.run}.json").as_posix()

    assert listed(stages["code"]["outs"], layout) == [layout.code.as_posix()]
    evaluate = stages["evaluate"]
    assert (layout.code / "evaluate.json").as_posix() in evaluate["deps"]
    assert listed(evaluate["outs"], layout) == [
        (output / "logits.safetensors").as_posix(),
        (output / "environment.json").as_posix(),
        layout.record(*item).as_posix(),
    ]

    if "train" in stages:
        train = stages["train"]
        assert own_code in train["deps"]
        environment = (output / "training-environment.json").as_posix()
        assert listed(train["outs"], layout) == [trained, environment]
        assert trained in listed(evaluate["deps"], layout)
    else:
        assert own_code in evaluate["deps"]

    if "search" in stages:
        needed = {"stages/search.py", (layout.code / "search.json").as_posix()}
        assert needed <= set(stages["search"]["deps"])
        written = listed(stages["search"]["outs"], layout)
        assert layout.search_environments.as_posix() in written


def listed(entries: list, layout) -> list[str]:
    """Paths of DVC's entries, which are strings or have options below the path."""
    paths = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    return [path.replace("${name}", layout.name) for path in paths]


def test_the_roots_pipeline_is_as_those_of_studies(monkeypatch):
    """It is written by hand, with comments for a newcomer; its stages follow its params.yaml."""
    monkeypatch.chdir(ROOT)
    by_hand = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(by_hand) == list(stages_of(read_layout("params.yaml")))
