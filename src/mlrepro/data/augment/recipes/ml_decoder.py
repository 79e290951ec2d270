"""ML-Decoder (Ridnik et al. 2023): cutout of half the side, always, then RandAugment.

The same steps as Query2Label's code once that is mended.
"""

from mlrepro.data.augment.randaugment import randaugment
from mlrepro.data.augment.steps import Draws, Picture, cutout

CUTOUT_SHARE = 0.5  # of the picture's side


def augment(picture: Picture, draws: Draws) -> Picture:
    picture = cutout(picture, int(CUTOUT_SHARE * picture.width), draws)
    return randaugment(picture, draws)
