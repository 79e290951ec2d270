"""What a run file may say of its loss: a class a family of options, told apart by `name`.

A loss of the catalogue that no class here names has no options (`Plain`).
"""

import re
from typing import Annotated, Literal, Union, get_args

from pydantic import AfterValidator, Field, PositiveFloat

from mlrepro.losses.catalogue import FULL_LABEL_LOSSES, LOSSES
from mlrepro.settings.base import NOT_EMPTY, Strict

__all__ = ["FULL_LABEL_LOSSES", "LossSettings"]


class LossOptions(Strict):
    """A loss with options. Whatever derives from it may be named by a run file."""


class LabelSmoothing(LossOptions):
    name: Literal["bce_ls", "an_ls"]
    smoothing: float = Field(0.1, ge=0, lt=1)


class Wan(LossOptions):
    """Weak assume negative. `negative_weight`: none is 1 / (classes - 1)."""

    name: Literal["wan"]
    negative_weight: float | None = None


class ExpectedPositives(LossOptions):
    """Losses that know how many labels a picture has on average.

    `expected_positives`: labels a picture, or `validation`: measured on the validation pictures'
    full labels.
    """

    name: Literal["epr", "role"]
    expected_positives: float | Literal["validation"]


class EntropyMaximisation(LossOptions):
    """EM. `alpha`: weight of the unobserved entries' entropy."""

    name: Literal["em"]
    alpha: float = Field(ge=0)


class PseudoLabels(LossOptions):
    """EM with asymmetric pseudo-labels.

    After epoch `warm_up` (the first is 1) and every later one, some unobserved entries become
    negatives. `beta`: weight of the pseudo-labelled entries.
    """

    name: Literal["em_apl"]
    alpha: float = Field(ge=0)
    beta: float = Field(ge=0)
    warm_up: int = Field(ge=1)


class LargeLoss(LossOptions):
    """Large loss matters: rejection, and temporary or permanent correction.

    `delta_rel`: percent of a batch's entries by which the rejected ones grow an epoch.
    `version`: of the authors' code; `ll_cp` writes the threshold's own entry only in 2023's.
    """

    name: Literal["ll_r", "ll_ct", "ll_cp"]
    delta_rel: float = Field(gt=0, le=100)
    version: Literal[2022, 2023] = 2023


class Gr(LossOptions):
    """Generalised robust loss.

    beta:  w in the first epoch and after the last, b in the first and after the last
    alpha: mu and s before the first epoch, mu and s in the last
    q:     q2 and q3
    """

    name: Literal["gr"]
    beta: tuple[float, float, float, float] = (0.0, 2.0, -2.0, -2.0)
    alpha: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat] = (0.5, 2.0, 0.8, 0.5)
    q: tuple[PositiveFloat, PositiveFloat] = (0.01, 1.0)


class Asl(LossOptions):
    """Asymmetric loss.

    `stop_gradient`: the focusing weight is not differentiated (the authors' training setting).
    `reduction: query2label`: 1000 x the mean over entries, logarithms from 1e-5.
    `label_smoothing`: targets are 1 - it and it.
    """

    name: Literal["asl"]
    gamma_neg: float = 4.0
    gamma_pos: float = 0.0
    clip: float = 0.05
    stop_gradient: bool = True
    reduction: Literal["sum", "batch_mean", "query2label"] = "sum"
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class Aam(LossOptions):
    """Asymmetric angular margin loss of logits that are cosines.

    `version`: `released` is deep-object-reid's, `otx` its later form.
    `label_smoothing`: targets are 1 - it and it.
    """

    name: Literal["aam"]
    scale: PositiveFloat = 23.0
    k: float = Field(0.7, ge=0, le=1)
    margin: float = 0.0
    gamma_neg: float = Field(1.0, ge=0)
    gamma_pos: float = Field(0.0, ge=0)
    clip: float = Field(0.05, ge=0, lt=1)
    version: Literal["released", "otx"] = "released"
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class Ridge(LossOptions):
    """Ridge regression of a linear layer, by its closed form.

    `penalty`: of the squared weights, in units of the mean squared norm of the centred features, so
    that one number means the same for every backbone.
    """

    name: Literal["ridge"]
    penalty: PositiveFloat


def check_prompt(prompt: str) -> str:
    """The same text. Raises ValueError where a label would not stand in it once."""
    if prompt.count("{}") != 1 or re.search("[{}]", prompt.replace("{}", "")):
        raise ValueError(f"{prompt!r}: write {{}} once, where the label is to stand")
    return prompt


# A sentence with {} where the label stands.
Prompt = Annotated[str, AfterValidator(check_prompt)]
PROMPT = "a photo of a {}."


class ZeroShot(LossOptions):
    """A linear layer on an image tower's embedding, made of the labels' names by its text tower.

    `text`: hf-hub:OWNER/NAME or local-dir:FOLDER, of the whole model as open_clip loads it.
    `prompts`: of several the mean of their embeddings is taken.
    """

    name: Literal["zero_shot"]
    text: str = Field(pattern="^(hf-hub|local-dir):.")
    prompts: Annotated[list[Prompt], NOT_EMPTY] = [PROMPT]


WITH_OPTIONS = tuple(LossOptions.__subclasses__())


def _names_without_options() -> tuple[str, ...]:
    named = set()
    for options in WITH_OPTIONS:
        named.update(get_args(options.model_fields["name"].annotation))
    return tuple(name for name in LOSSES if name not in named)


class Plain(Strict):
    """Losses without options.

    bce_weighted: positive terms times negatives / positives of their class in the training labels.
    """

    name: Literal[_names_without_options()]


LossSettings = Annotated[Union[(Plain, *WITH_OPTIONS)], Field(discriminator="name")]  # noqa: UP007 (made at run time)
