"""Scores from the labels' names: nothing is trained, so that the loss only measures."""

from torch import Tensor

from mlrepro.losses.binary import bce


def zero_shot(logits: Tensor, targets: Tensor, text: str, prompts: list[str]) -> Tensor:
    """`bce` of the scores that a model of pictures and texts gives, as SigLIP's are trained.

    text, prompts: see settings.losses.ZeroShot; they make the layer (training/zero_shot.py).
    Sources: Radford et al. 2021; Zhai et al. 2023.
    """
    return bce(logits, targets)
