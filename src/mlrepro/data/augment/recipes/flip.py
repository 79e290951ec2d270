"""Half of the pictures are mirrored."""

from mlrepro.data.augment.steps import Draws, Picture, maybe_mirrored


def augment(picture: Picture, draws: Draws) -> Picture:
    return maybe_mirrored(picture, draws)
