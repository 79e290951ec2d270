"""Half of the pictures are mirrored, and half are turned upside down, independently."""

from mlrepro.data.augment.steps import Draws, Picture, maybe_mirrored, maybe_upside_down


def augment(picture: Picture, draws: Draws) -> Picture:
    picture = maybe_mirrored(picture, draws)
    return maybe_upside_down(picture, draws)
