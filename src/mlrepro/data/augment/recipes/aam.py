"""AAM (Prokofiev and Sovrasov 2022): RandAugment, a hole in half of the pictures, half mirrored."""

from mlrepro.data.augment.randaugment import randaugment
from mlrepro.data.augment.steps import Draws, Picture, hole, maybe_mirrored

HOLE_SHARE = 0.4  # of the picture's side


def augment(picture: Picture, draws: Draws) -> Picture:
    picture = randaugment(picture, draws)
    if draws.random() < 0.5:
        picture = hole(picture, int(HOLE_SHARE * picture.width), draws)
    return maybe_mirrored(picture, draws)
