"""study.yaml: its rules for runs, and that it must agree with reported.csv."""

import shutil
from pathlib import Path

import pytest
import yaml

from mlrepro.errors import InputError
from mlrepro.settings.run_id import parse_run_id
from mlrepro.studies.checks import check_study
from mlrepro.studies.description import Rule, head_options, last_match
from mlrepro.studies.study import load_study

STUDIES = Path(__file__).resolve().parents[2] / "studies"


def options(study: str, run_id: str) -> dict:
    return head_options(load_study(STUDIES / study).description, parse_run_id(run_id))


def test_head_options_of_a_run():
    assert options("query2label", "query2label-asl-resnet101-coco2014-448") == {"ffn": 8192}
    assert options("aam", "graph-aam-tresnet_v2_l-coco2017-448-oi") == {
        "angular": True,
        "layer": "gat",
        "pooling": "avg+max",
    }
    assert options("aam", "csra-bce-resnet101-coco2014-448")["heads"] == 4
    assert options("aam", "csra-bce-resnet101-coco2014-448-cutmix")["heads"] == 6
    assert options("aam", "gap-asl-tresnet_l-voc2007-448") == {}


def test_a_rule_holds_for_runs_that_agree_with_every_part_it_names():
    run = parse_run_id("gap-asl-resnet50-coco2014-448-oi_s10")

    assert Rule().matches(run)
    assert Rule(head="gap", loss="asl", backbone="resnet50", data_set="coco2014").matches(run)
    assert Rule(variant="oi").matches(run)

    assert not Rule(head="gap", loss="bce").matches(run)
    assert not Rule(data_set="coco2017").matches(run)
    assert not Rule(variant="s10").matches(run)
    assert not Rule(variant="oi").matches(parse_run_id("gap-asl-resnet50-coco2014-448"))


def test_the_last_rule_that_matches_wins():
    run = parse_run_id("gap-asl-resnet50-coco2014-448")
    every, gap, csra = Rule(), Rule(head="gap"), Rule(head="csra")

    assert last_match([every, gap, csra], run) is gap
    assert last_match([gap, every], run) is every
    assert last_match([csra], run) is None


def set_value(values, path: tuple, value) -> None:
    """Sets the value at the end of a path of keys and indices."""
    *parents, last = path
    for key in parents:
        values = values[key]
    values[last] = value


COLUMNS = ["fine_tune_time_s", "model_size_mb", "params_m", "f1"]

# A place in the captions study's study.yaml, what stands there instead, and what is said of it.
DISAGREEING = [
    (("tables", 0, "rows"), 5, "says 5 rows, .* has 4"),
    (
        ("tables", 0, "columns"),
        COLUMNS[:-1],
        "has 'f1', which columns in study.yaml does not list",
    ),
    (("tables", 0, "columns"), [*COLUMNS, "f2"], "lists 'f2', .* did you mean 'f1'"),
    (("tables", 0, "id"), "9", "table '1' is not in study.yaml"),
    (("sumary",), "x", "unknown key 'sumary'; did you mean 'summary'"),
    (("findings", 0, "verdict"), "contradictory", "did you mean 'contradiction'"),
    (("findings", 0, "tables"), ["8"], "findings: id 1: no table '8'"),
    (("deviations", 0, "id"), 7, "deviations: ids must run 1, 2, 3"),
]


@pytest.mark.parametrize("path, value, message", DISAGREEING)
def test_a_study_that_disagrees_with_its_numbers(tmp_path, path, value, message):
    shutil.copy(STUDIES / "captions" / "reported.csv", tmp_path)
    text = yaml.safe_load((STUDIES / "captions" / "study.yaml").read_text(encoding="utf-8"))
    assert text["tables"][0]["columns"] == COLUMNS
    set_value(text, path, value)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")

    with pytest.raises(InputError, match=message):
        check_study(tmp_path)
