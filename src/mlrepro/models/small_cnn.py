"""The plain CNN of the MIRFLICKR study, in two widths."""

from torch import nn


class SmallCNN(nn.Sequential):
    """Pictures (B, 3, S, S) to maps (B, 256, S / 16, S / 16), in four blocks.

    A block is a 3 x 3 convolution, batch norm, ReLU and max-pooling. The study only draws its CNN:
    blocks and widths are this project's choice.
    """

    widths = (32, 64, 128, 256)

    def __init__(self):
        blocks = []
        in_channels = 3
        for out_channels in self.widths:
            blocks.append(_block(in_channels, out_channels))
            in_channels = out_channels
        super().__init__(*blocks)

    @property
    def num_features(self) -> int:
        return self.widths[-1]


class NarrowSmallCNN(SmallCNN):
    """Half of SmallCNN's widths, a quarter of its MACs: maps (B, 128, S / 16, S / 16)."""

    widths = (16, 32, 64, 128)


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    # Batch norm has a bias of its own.
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    norm = nn.BatchNorm2d(out_channels)
    layer = nn.Sequential(convolution, norm, nn.ReLU(inplace=True))
    return nn.Sequential(layer, nn.MaxPool2d(2))
