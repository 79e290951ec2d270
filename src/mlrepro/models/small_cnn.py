"""The plain CNN of the MIRFLICKR study."""

from torch import nn

WIDTHS = (32, 64, 128, 256)


class SmallCNN(nn.Sequential):
    """Pictures (B, 3, S, S) to maps (B, 256, S / 16, S / 16), in four blocks.

    A block is a 3 x 3 convolution, batch norm, ReLU and max-pooling. The study only draws its CNN:
    blocks and widths are this project's choice.
    """

    num_features = WIDTHS[-1]

    def __init__(self):
        blocks = []
        in_channels = 3
        for out_channels in WIDTHS:
            blocks.append(_block(in_channels, out_channels))
            in_channels = out_channels
        super().__init__(*blocks)


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    # Batch norm has a bias of its own.
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    norm = nn.BatchNorm2d(out_channels)
    layer = nn.Sequential(convolution, norm, nn.ReLU(inplace=True))
    return nn.Sequential(layer, nn.MaxPool2d(2))
