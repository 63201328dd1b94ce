"""The networks: Dense V-Net (Gibson et al. 2018, doi 10.1109/TMI.2018.2806309) and the slice regressors.

They take the uint8 window of whs_fast (0..255 for -300..800 HU) as float32 in 0..1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRUCTURES = 11  # background and ten
PLACE_FEATURES = 48  # of a slice regressor


class ConvNormReLU(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm3d(outputs), nn.ReLU()
        )


class DenseStack(nn.Module):
    """Each layer sees the input and all layers before it; returns all of them, concatenated."""

    def __init__(self, inputs: int, layers: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConvNormReLU(inputs + i * growth, growth) for i in range(layers))
        self.outputs = inputs + layers * growth

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class DenseVNet(nn.Module):
    """Region [n, 1, z, y, x], sides multiples of 8 -> logits [n, 11, z/2, y/2, x/2]."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Sequential(nn.Conv3d(1, 24, 5, stride=2, padding=2, bias=False), nn.BatchNorm3d(24))
        self.pooled = nn.Sequential(nn.AvgPool3d(3, 2, padding=1, count_include_pad=False), nn.BatchNorm3d(1))
        self.stacks = nn.ModuleList([DenseStack(24, 5, 4), DenseStack(24, 10, 8), DenseStack(24, 10, 16)])
        self.downs = nn.ModuleList(ConvNormReLU(stack.outputs, 24, stride=2) for stack in self.stacks[:2])
        self.skips = nn.ModuleList(
            ConvNormReLU(stack.outputs, width) for stack, width in zip(self.stacks, (12, 24, 24), strict=True)
        )
        self.last = nn.Conv3d(1 + 12 + 24 + 24, STRUCTURES, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.pooled(x)]
        x = self.entry(x)
        for level, (stack, skip) in enumerate(zip(self.stacks, self.skips, strict=True)):
            x = stack(x)
            drawn = skip(x)
            if level:
                drawn = F.interpolate(drawn, scale_factor=2**level, mode="trilinear", align_corners=False)
                x = self.downs[level](x) if level < len(self.downs) else x
            else:
                x = self.downs[level](x)
            features.append(drawn)
        return self.last(torch.cat(features, 1))


class ConvNormReLU2d(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class Fire(nn.Module):
    """Squeeze to few features, expand by 1 x 1 and 3 x 3 convolutions side by side."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = ConvNormReLU2d(inputs, squeezed, 1)
        self.expand1 = ConvNormReLU2d(squeezed, expanded, 1)
        self.expand3 = ConvNormReLU2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return torch.cat([self.expand1(x), self.expand3(x)], 1)


class SliceRegressor(nn.Module):
    """Slices [n, 1, 96, 96] of 4 mm pixels in 0..1 -> what they tell of the valve, in mm [n, 4].

    The first column is the distance to the slice that holds the valve, the second the same with its sign, the last two
    the row and the column of the valve beside the middle of the slice. The sign gives the training a target without a
    kink at the valve, and the search a vote of its own. It would be no substitute: a slice that could lie on either
    side reads zero there, as the valve does, but rightly far away in the other.

    The place in the slice is the mean of a map of chances (Nibali et al. 2018, arXiv:1801.07372) on the grid of the
    first of three taps into the features, to which the deeper ones are added; the distance is read where that map
    looks, beside the whole slice.
    """

    def __init__(self, features: nn.Sequential, taps: tuple[int, int, int], cells: tuple[int, float]) -> None:
        """taps: the layers of 16, 32 and 64 mm; cells: how many the first has along a side, its first one in mm."""
        super().__init__()
        self.features = features
        self.taps = taps
        widths = []
        with torch.no_grad():
            x = torch.zeros(1, 1, 96, 96)
            for index, layer in enumerate(features.eval()):
                x = layer(x)
                widths += [x.shape[1]] if index in taps else []
        features.train()
        self.sideways = nn.ModuleList(nn.Conv2d(width, PLACE_FEATURES, 1) for width in widths)
        self.joined = ConvNormReLU2d(PLACE_FEATURES, PLACE_FEATURES, 3, padding=1)
        self.chances = nn.Conv2d(PLACE_FEATURES, 1, 1)
        self.distance = nn.Linear(widths[-1] + PLACE_FEATURES, 2)
        count, first = cells
        along = first + 16.0 * torch.arange(count)
        self.cells_mm: Tensor  # row and column of each cell
        self.register_buffer("cells_mm", torch.cartesian_prod(along, along), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        tapped = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                tapped.append(x)
        fine, middle, coarse = (sideways(x) for sideways, x in zip(self.sideways, tapped, strict=True))
        joined = F.relu(middle + F.interpolate(coarse, size=middle.shape[2:], mode="bilinear", align_corners=False))
        joined = self.joined(fine + F.interpolate(joined, size=fine.shape[2:], mode="bilinear", align_corners=False))
        chances = self.chances(joined).flatten(1).softmax(1)
        looked = (joined.flatten(2) * chances[:, None]).sum(2)
        distances = 100.0 * self.distance(torch.cat([x.mean((2, 3)), looked], 1))
        return torch.cat([distances, chances @ self.cells_mm], 1)


def squeezenet() -> SliceRegressor:
    """SqueezeNet 1.1 (Iandola et al. 2016, arXiv:1602.07360) for one channel, with batch norm, as a regressor."""
    pool = nn.MaxPool2d(3, 2)
    features = nn.Sequential(
        ConvNormReLU2d(1, 64, 3, stride=2), pool, Fire(64, 16, 64), Fire(128, 16, 64), pool,
        Fire(128, 32, 128), Fire(256, 32, 128), pool,
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip
    return SliceRegressor(features, (3, 6, 11), (23, -178.0))  # unpadded: cells lie 4 mm before the middle


def vgg16(width: float = 0.5) -> SliceRegressor:
    """VGG-16 (Simonyan and Zisserman 2015, arXiv:1409.1556) for one channel, with batch norm, as a regressor.

    width multiplies the features of every layer (1.0 is the published one; 0.5 keeps the INT8 file under 5 MB). The
    huge fully connected layers give way to an average over the slice.
    """
    layers: list[nn.Module] = []
    inputs = 1
    for outputs, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers.append(ConvNormReLU2d(inputs, round(outputs * width), 3, padding=1))
            inputs = round(outputs * width)
        layers.append(nn.MaxPool2d(2))
    return SliceRegressor(nn.Sequential(*layers), (8, 12, 16), (24, -184.0))


def load_imagenet(network: SliceRegressor, weights: dict[str, Tensor]) -> None:
    """Start the convolutions from ImageNet weights, those of the first layer summed over red, green and blue.

    weights: the state of the published network of the same layers and width (as torchvision stores it). Raises
    ValueError where a layer's shape differs.
    """
    kernels = [w for name, w in weights.items() if w.ndim == 4 and "classifier" not in name]
    layers = [m for m in network.features.modules() if isinstance(m, nn.Conv2d)]
    if len(kernels) != len(layers):
        raise ValueError(f"found {len(kernels)} convolutions in the weights, expected {len(layers)}")
    with torch.no_grad():
        for index, (layer, kernel) in enumerate(zip(layers, kernels, strict=True)):
            start = kernel.sum(1, keepdim=True) if index == 0 else kernel
            if start.shape != layer.weight.shape:
                raise ValueError(
                    f"convolution {index}: found {tuple(start.shape)}, expected {tuple(layer.weight.shape)}"
                )
            layer.weight.copy_(start)
