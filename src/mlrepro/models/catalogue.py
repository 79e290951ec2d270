"""Backbones of our own by name; all other names are torchvision's or timm's (backbones.py).

A name may also stand for several networks side by side, and end with `_mirrored` or `_embedding`.
The code of a run depends on this, so that nothing here imports torch.
"""

from typing import NamedTuple

PACKAGE = "mlrepro.models"

# Name -> module in this folder and class of the network without its classifier.
OURS = {
    "cvt_w24": "cvt:CvTW24",
    "small_cnn": "small_cnn:SmallCNN",
    "small_cnn_narrow": "small_cnn:NarrowSmallCNN",
}


# Name -> networks whose maps are put side by side. They must want the same normalisation, and give
# maps of one size.
SIDE_BY_SIDE = {
    "lites": ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2"),
}

# What a name ends with whose maps are the mean of those of the picture and of its mirror image.
MIRRORED = "_mirrored"

# What the name of an image tower ends with that gives, in place of a map, the one vector which its
# model compares with those of texts.
EMBEDDING = "_embedding"


class Parts(NamedTuple):
    """The networks that a name stands for, and whether each sees the mirrored picture, too."""

    networks: tuple[str, ...]
    mirrored: bool

    @property
    def composed(self) -> bool:
        return self.mirrored or len(self.networks) > 1


def parts_of(name: str) -> Parts:
    plain = name.removesuffix(MIRRORED)
    return Parts(SIDE_BY_SIDE.get(plain, (plain,)), plain != name)


def backbone_module(name: str) -> str | None:
    """The module that holds the backbone `name`; none where a library does."""
    if name not in OURS:
        return None
    return f"{PACKAGE}.{OURS[name].partition(':')[0]}"
