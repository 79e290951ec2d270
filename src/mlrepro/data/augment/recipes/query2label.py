"""Query2Label (Liu et al. 2021): cutout, then RandAugment.

The released code cuts out `--length` pixels, whose default of -1 leaves a hole of about one pixel
(see query2label_released). Here it is mended to half the side.
"""

from mlrepro.data.augment.randaugment import randaugment
from mlrepro.data.augment.steps import Draws, Picture, cutout

CUTOUT_SHARE = 0.5  # of the picture's side


def augment(picture: Picture, draws: Draws) -> Picture:
    picture = cutout(picture, int(CUTOUT_SHARE * picture.width), draws)
    return randaugment(picture, draws)
