"""Quantise a trained Dense V-Net to integers and write what the engine loads: dense_vnet.xml and dense_vnet.bin.

`python -m training.export_dense_vnet CHECKPOINT`. Batch norm is folded into the convolutions. Then, layer by layer over
a batch of calibration crops, the float network and the integer one, as whs_fast._kernels.DenseVNet computes it, go on
side by side: each result gets the 8-bit scale with the least squared error, weights are 8-bit with a scale an output,
and each bias takes up the mean error of the integers so far (sequential bias correction, Nagel et al. 2019,
doi 10.1109/ICCV.2019.00141). Scales of concatenated inputs differ; the weights that read them absorb the difference.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.crops import draw_crop
from training.dense_vnet_ir import Layer, write
from training.hashes import list_hashes
from training.networks import DenseVNet
from training.train_dense_vnet import load_averaged

MODELS = Path(__file__).parents[1] / "python" / "whs_fast" / "models"
CALIBRATION_SEED = 3  # first number of the seeds of calibration crops


@dataclass(frozen=True)
class Features:
    """One tensor twice: as the float network has it, and as integers i that stand for (i - zero) * step."""

    exact: Tensor
    integers: Tensor
    step: float
    zero: int


def fold(convolution: nn.Conv3d, norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Weights and bias of a convolution with the batch norm behind it."""
    if norm is None:
        assert convolution.bias is not None
        return convolution.weight.detach(), convolution.bias.detach()
    assert isinstance(norm, nn.BatchNorm3d) and norm.running_var is not None and norm.running_mean is not None
    gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    return convolution.weight.detach() * gain[:, None, None, None, None], norm.bias.detach() - norm.running_mean * gain


def choose_range(values: Tensor, *, positive: bool) -> tuple[float, int]:
    """Step and zero of the 8-bit integers with the least squared error among cuts of the range."""
    sample = values.flatten()[:: max(1, values.numel() // 200_000)]
    low, high = min(0.0, float(values.min())), max(1e-6, float(values.max()))
    best: tuple[float, float, int] | None = None
    for share in np.linspace(0.2, 1, 33):
        step = share * (high - (0.0 if positive else low)) / 255
        zero = 0 if positive else round(-low * share / step)
        error = float((((sample / step + zero).round().clamp(0, 255) - zero) * step - sample).square().mean())
        if best is None or error < best[0]:
            best = (error, step, zero)
    assert best is not None
    return best[1:]


def round_weights(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weights as integers of -127 to 127 and the scale of each output."""
    scale = weights.abs().amax((1, 2, 3, 4)).clamp_min(1e-12) / 127
    return (weights / scale[:, None, None, None, None]).round(), scale


class Quantiser:
    """Runs both networks over the batch and keeps the integer layers by name."""

    def __init__(self) -> None:
        self.layers: dict[str, Layer] = {}

    def convolve(
        self, name: str, parts: Sequence[Features], folded: tuple[Tensor, Tensor], *, stride: int = 1, relu: bool = True
    ) -> Features:
        weights, bias = folded
        reach = weights.shape[2] // 2
        exact = F.conv3d(torch.cat([part.exact for part in parts], 1), weights, bias, stride, reach)
        steps = torch.cat([torch.full((part.integers.shape[1],), part.step) for part in parts])
        integers, scale = round_weights(weights * steps[None, :, None, None, None])
        signed = torch.cat([part.integers - part.zero for part in parts], 1)
        approximate = F.conv3d(signed, integers, None, stride, reach) * scale[:, None, None, None]
        bias = bias + (exact - bias[:, None, None, None] - approximate).mean((0, 2, 3, 4))
        if relu:
            exact = exact.relu()
        if name == "last":  # the largest winning logit is the largest integer
            step, zero = float(exact.amax(1).max()) / 127, 128
        else:
            step, zero = choose_range(exact, positive=relu)
        shift = bias / step + zero
        rounded = (approximate / step + shift[:, None, None, None]).round().clamp(0, 255)
        # The engine sums the integers as they are: what the zeros of the inputs add is taken off the bias.
        zeros = torch.cat([torch.full((part.integers.shape[1],), float(part.zero)) for part in parts])
        offset = (integers.sum((2, 3, 4)) * zeros).sum(1) * scale / step
        self.layers[name] = (
            integers.to(torch.int8).numpy(),
            (scale / step).numpy().astype(np.float32),
            (shift - offset).numpy().astype(np.float32),
            zero,
        )
        return Features(exact, rounded, step, zero)


def upsample(features: Features, factor: int) -> Features:
    def enlarge(values: Tensor) -> Tensor:
        return F.interpolate(values, scale_factor=factor, mode="trilinear", align_corners=False)

    return Features(enlarge(features.exact), enlarge(features.integers).round(), features.step, features.zero)


def quantise(model: DenseVNet, crops: Tensor) -> dict[str, Layer]:
    """The integer layers by name, "pool" among them with a scale and a bias alone; crops: uint8 [n, 1, z, y, x]."""
    quantiser = Quantiser()
    with torch.no_grad():
        region = Features(crops.float() / 255, crops.float(), 1 / 255, 0)
        gain, shift = _pool_of(model)
        mean = F.avg_pool3d(region.integers, 3, 2, 1, count_include_pad=False)
        exact = mean * gain + shift
        step, zero = choose_range(exact, positive=False)
        scale, bias = gain / step, shift / step + zero
        joined = [Features(exact, (mean * scale + bias).clamp(0, 255).round(), step, zero)]
        no_weights = np.empty((0,) * 5, np.int8)
        quantiser.layers["pool"] = (no_weights, np.array([scale], np.float32), np.array([bias], np.float32), zero)

        convolution, norm = model.entry
        features = [quantiser.convolve("entry", [region], fold(convolution, norm), stride=2, relu=False)]
        for level, (stack, skip) in enumerate(zip(model.stacks, model.skips, strict=True), 1):
            for number, layer in enumerate(stack.layers, 1):
                features.append(quantiser.convolve(f"stack_{level}.{number}", features, fold(layer[0], layer[1])))
            drawn = quantiser.convolve(f"skip_{level}", features, fold(skip[0], skip[1]))
            joined.append(drawn if level == 1 else upsample(drawn, 2 ** (level - 1)))
            if level <= len(model.downs):
                down = model.downs[level - 1]
                features = [quantiser.convolve(f"down_{level}", features, fold(down[0], down[1]), stride=2)]
        quantiser.convolve("last", joined, fold(model.last, None), relu=False)
    return quantiser.layers


def _pool_of(model: DenseVNet) -> tuple[float, float]:
    """What the batch norm of the pooled input makes of a mean of 0 to 255: factor and addend."""
    norm = model.pooled[1]
    gain = float(norm.weight / torch.sqrt(norm.running_var + norm.eps))
    return gain / 255, float(norm.bias - norm.running_mean * gain)


def calibration_crops(count: int, side: int) -> Tensor:
    """uint8 [count, 1, side, side, side] at the region's own spacing from seeds that training never draws."""
    drawn = (draw_crop(np.random.default_rng([CALIBRATION_SEED, i]), side, 1.0) for i in range(count))
    return torch.stack([image[None] for image, _ in drawn])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=MODELS)
    parser.add_argument("--crops", type=int, default=8)
    parser.add_argument("--side", type=int, default=160)
    options = parser.parse_args()
    layers = quantise(load_averaged(options.checkpoint).eval(), calibration_crops(options.crops, options.side))
    options.out.mkdir(parents=True, exist_ok=True)
    write(layers, options.out / "dense_vnet.xml")
    list_hashes(options.out)


if __name__ == "__main__":
    main()
