"""The list of losses against the settings, and what it costs to read it."""

import subprocess
import sys
from typing import get_args

import forks
import pytest
import torch

from mlrepro.losses import create_grid_terms, create_loss
from mlrepro.losses.catalogue import LOSSES
from mlrepro.losses.grid_terms import label_states, state_numbers
from mlrepro.settings.losses import Asl, Gr, LabelSmoothing, LossSettings, Plain, Wan


def test_every_loss_has_settings_and_no_settings_are_of_a_loss_that_is_not_listed():
    union, _ = get_args(LossSettings)
    names = [
        name
        for settings in get_args(union)
        for name in get_args(settings.model_fields["name"].annotation)
    ]
    assert sorted(names) == sorted(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_an_entry_has_a_function_or_a_builder(name):
    entry = LOSSES[name]
    assert (entry.function is None) != (entry.builder is None)
    assert entry.module.startswith("mlrepro.losses.")


def test_the_list_is_read_without_torch_and_a_loss_is_made_without_the_others():
    code = "import sys, mlrepro.losses.catalogue; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"

    code = (
        "import sys, torch\n"
        "from mlrepro.settings.losses import Asl\n"
        "from mlrepro.losses import create_loss\n"
        "create_loss(Asl(name='asl'), torch.zeros(1, 2), None, torch.Generator())\n"
        "print(*sys.modules)"
    )
    modules = forks.run("-c", code).split()
    losses = {name for name in modules if name.startswith("mlrepro.losses.")}
    shared = {"mlrepro.losses.catalogue", "mlrepro.losses.base", "mlrepro.losses.numerics"}
    assert losses == shared | {"mlrepro.losses.asymmetric"}


def test_label_states_are_numbered():
    states = label_states()
    numbers = state_numbers(states.full, states.observed, states.iu_negative)
    assert numbers.tolist() == list(range(18))


WITH_GRID_TERMS = [
    Plain(name="bce"),
    LabelSmoothing(name="bce_ls", smoothing=0.2),
    Plain(name="an"),
    LabelSmoothing(name="an_ls", smoothing=0.2),
    Wan(name="wan"),
    Wan(name="wan", negative_weight=0.3),
]


@pytest.mark.parametrize("settings", WITH_GRID_TERMS, ids=str)
def test_grid_terms_are_the_losss_own(settings):
    """The loss of a batch is the sum that its terms describe, in float64 by hand."""
    classes = 6
    states = label_states()
    terms = create_grid_terms(settings, classes)
    labels = states.full if LOSSES[settings.name].full_labels else states.observed

    # All 18 states as 3 pictures of 6 classes.
    targets = labels.view(3, classes)
    p = torch.linspace(0.05, 0.95, 18, dtype=torch.float64)
    loss = create_loss(settings, targets, None, torch.Generator())
    value = loss(torch.logit(p).view(3, classes), targets, torch.arange(3))

    entries = -terms.positive * (p + 1e-5).log() - terms.negative * (1 - p + 1e-5).log()
    torch.testing.assert_close(value, entries.mean(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("settings", [Asl(name="asl"), Gr(name="gr"), Plain(name="pr")], ids=str)
def test_losses_of_another_form_have_no_grid_terms(settings):
    assert create_grid_terms(settings, 6) is None
