"""Backbones of our own by name; all other names are torchvision's or timm's (backbones.py).

A name may also stand for several networks side by side, and end with `_embedding`, `_mirrored` or
`_root`, in this order.
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

# What a name ends with that gives, in place of a map, its means, of which square roots are taken:
# power normalisation (Perronnin et al. 2010).
ROOT = "_root"

# What the name of an image tower ends with that gives, in place of a map, the one vector which its
# model compares with those of texts.
EMBEDDING = "_embedding"


class Parts(NamedTuple):
    """The networks that a name stands for, and what is made of their outputs.

    mirrored: whether each sees the mirrored picture, too. root: whether square roots are taken.
    """

    networks: tuple[str, ...]
    mirrored: bool = False
    root: bool = False

    @property
    def composed(self) -> bool:
        return self.mirrored or self.root or len(self.networks) > 1


def parts_of(name: str) -> Parts:
    without_root = name.removesuffix(ROOT)
    plain = without_root.removesuffix(MIRRORED)
    return Parts(
        networks=SIDE_BY_SIDE.get(plain, (plain,)),
        mirrored=plain != without_root,
        root=without_root != name,
    )


def backbone_module(name: str) -> str | None:
    """The module that holds the backbone `name`; none where a library does."""
    if name not in OURS:
        return None
    return f"{PACKAGE}.{OURS[name].partition(':')[0]}"
