"""The list of heads agrees with their constructors, and each process imports only what it uses."""

import importlib
import inspect
import subprocess
import sys

import forks
import pytest

from mlrepro.errors import InputError
from mlrepro.models.heads.catalogue import HEADS, check_head_options

# What the network or the data gives, beside the options of a run file.
GIVEN = {"channels", "num_classes", "map_size", "words", "A", "text_dim"}

# Seconds to import, and needed only where a network or model of theirs is built.
HEAVY = ("timm", "torchvision", "transformers", "torch._dynamo")
MODULES = (
    "mlrepro.models.attention",
    "mlrepro.models.backbones",
    "mlrepro.models.checkpoints",
    "mlrepro.models.classifier",
    "mlrepro.models.complexity.cost",
    "mlrepro.models.complexity.study",
    "mlrepro.models.heads",
    "mlrepro.models.layouts",
    "mlrepro.models.pretrained",
    "mlrepro.models.small_cnn",
    "mlrepro.models.text",
    "mlrepro.models.weight_files",
)


def imported_by(code: str) -> set[str]:
    """Names of the modules that a process holds after `code`, and after torch."""
    return set(forks.run("-c", f"{code}\nimport sys\nprint(*sys.modules)").split())


@pytest.mark.parametrize("name", HEADS)
def test_an_entry_says_what_the_constructor_takes(name):
    entry = HEADS[name]
    head_class = getattr(importlib.import_module(entry.module), entry.class_name)
    arguments = set(inspect.signature(head_class).parameters)

    given = arguments & GIVEN
    assert arguments - given == {*entry.options, *entry.fixed}
    assert entry.label_graph == ({"words", "A"} <= given)
    assert entry.joins_captions == ("text_dim" in given)


def test_captions_go_to_pooled_outputs_and_to_vectors():
    taking = [name for name, entry in HEADS.items() if entry.takes_captions]
    assert taking == ["gap", "gmp", "gapgmp", "linear"]


@pytest.mark.parametrize(
    "head, option, message",
    [
        ("csra", "head", "'head' is none of head 'csra'; did you mean 'heads'"),
        ("linear", "angular", "'angular' is none of head 'linear'; it has none"),
        ("gmp", "pooling", "'pooling' is none of head 'gmp'"),
        ("csar", "heads", "head: 'csar' is not known; did you mean 'csra'"),
    ],
)
def test_options_that_a_run_file_cannot_set(head, option, message):
    with pytest.raises(InputError, match=message):
        check_head_options(head, [option])


def test_settings_can_read_the_catalogue_without_torch():
    code = "import sys, mlrepro.models.heads.catalogue; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_a_head_is_imported_alone():
    modules = imported_by(
        "from mlrepro.models.heads import create_head\ncreate_head('linear', 8, 5, None)"
    )
    heads = {name for name in modules if name.startswith("mlrepro.models.heads.")}
    assert heads == {"mlrepro.models.heads.catalogue", "mlrepro.models.heads.linear"}


def test_models_are_imported_without_the_libraries_of_networks():
    imports = "\n".join(f"import {module}" for module in MODULES)
    modules = imported_by(imports)
    assert modules >= set(MODULES)
    assert not modules & set(HEAVY)


def test_our_own_networks_are_built_without_timm_and_torchvision():
    modules = imported_by(
        "from mlrepro.models.backbones import create_backbone\n"
        "create_backbone('small_cnn', 'none', 64)"
    )
    assert "mlrepro.models.small_cnn" in modules
    assert not modules & {"timm", "torchvision"}
