"""The MIRFLICKR study's RandomHorizontalFlip, RandomVerticalFlip and ColorJitter.

The study does not state the strengths; these are ours.
"""

from PIL import ImageEnhance
from torchvision.transforms.functional import adjust_hue

from mlrepro.data.augment.steps import Draws, Picture, maybe_mirrored, maybe_upside_down

JITTER = 0.2  # of brightness, contrast and saturation: factors 1 +- 0.2
HUE = 0.05  # +- of the colour circle
ENHANCEMENTS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def augment(picture: Picture, draws: Draws) -> Picture:
    picture = maybe_mirrored(picture, draws)
    picture = maybe_upside_down(picture, draws)

    # The three enhancements and the hue, in a random order.
    for step in draws.permutation(len(ENHANCEMENTS) + 1):
        if step < len(ENHANCEMENTS):
            factor = draws.uniform(1 - JITTER, 1 + JITTER)
            picture = ENHANCEMENTS[step](picture).enhance(factor)
        else:
            picture = adjust_hue(picture, draws.uniform(-HUE, HUE))
    return picture
