"""Query2Label's released code as it is (Liu et al. 2021): a hole of one pixel, then RandAugment."""

from mlrepro.data.augment.randaugment import randaugment
from mlrepro.data.augment.steps import Draws, Picture, cutout


def augment(picture: Picture, draws: Draws) -> Picture:
    picture = cutout(picture, 0, draws)
    return randaugment(picture, draws)
