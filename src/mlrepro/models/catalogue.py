"""Backbones of our own by name; all other names are torchvision's or timm's (backbones.py).

The code of a run depends on this, so that nothing here imports torch.
"""

PACKAGE = "mlrepro.models"

# Name -> module in this folder and class of the network without its classifier.
OURS = {
    "cvt_w24": "cvt:CvTW24",
    "small_cnn": "small_cnn:SmallCNN",
    "small_cnn_narrow": "small_cnn:NarrowSmallCNN",
}


def backbone_module(name: str) -> str | None:
    """The module that holds the backbone `name`; none where a library does."""
    if name not in OURS:
        return None
    return f"{PACKAGE}.{OURS[name].partition(':')[0]}"
