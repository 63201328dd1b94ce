"""Quantise a trained Dense V-Net to INT8 and write what the engine loads.

`python -m training.export_dense_vnet CHECKPOINT`. The exported graph takes the uint8 region and gives int16 logits on
one shared scale, so that neither a float region nor float logits ever exist outside the network.
"""

import argparse
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
import torch
from openvino import opset15 as ops
from torch import Tensor, nn

from training.networks import DenseVNet
from training.train_dense_vnet import draw_crop

MODELS = Path(__file__).parents[1] / "python" / "whs_fast" / "models"
CALIBRATION_SEED = 3  # first number of the seeds of calibration crops
LOGIT_STEPS = 512  # integer steps of a logit of 1


def load_trained(checkpoint: Path) -> DenseVNet:
    """The averaged weights of a training run."""
    state = torch.load(checkpoint, weights_only=True)["averaged"]
    model = DenseVNet()
    model.load_state_dict({key.removeprefix("module."): value for key, value in state.items() if key != "n_averaged"})
    return model.eval()


def accept_uint8(model: DenseVNet) -> DenseVNet:
    """Move the division by 255 into the first weights, so that the graph starts on the input's own integer grid."""
    with torch.no_grad():
        model.entry[0].weight /= 255
        norm = model.pooled[1]
        norm.running_mean *= 255
        norm.running_var.copy_((norm.running_var + norm.eps) * 255**2 - norm.eps)
    return model


class Uint8Region(nn.Module):
    """uint8 region -> float logits."""

    def __init__(self, model: DenseVNet) -> None:
        super().__init__()
        self.model = accept_uint8(model)

    def forward(self, region: Tensor) -> Tensor:
        return self.model(region.float())


def calibration_crops(count: int, side: int) -> list[np.ndarray]:
    """uint8 crops [1, 1, z, y, x] at the region's own spacing from seeds that training never draws."""
    crops = []
    for i in range(count):
        image, _ = draw_crop(np.random.default_rng([CALIBRATION_SEED, i]), side, 1.0)
        crops.append(image[None, None].numpy())
    return crops


def with_integer_logits(model: ov.Model) -> ov.Model:
    """Round the float logits to LOGIT_STEPS a unit inside the graph."""
    result = model.get_results()[0]
    logits = result.input_value(0)
    steps = ops.round(ops.multiply(logits, np.float32(LOGIT_STEPS)), "half_to_even")
    integers = ops.convert(ops.clamp(steps, -32767.0, 32767.0), "i16")
    integers.output(0).get_tensor().set_names({"logits"})
    return ov.Model([ops.result(integers.output(0))], model.get_parameters(), "dense_vnet")


def quantise(model: ov.Model, crops: list[np.ndarray], *, accurate: bool = True) -> ov.Model:
    """INT8 by post-training quantisation; accurate bias correction, because dense connections lose most to the fast one."""
    return nncf.quantize(
        model,
        nncf.Dataset(crops),
        preset=nncf.QuantizationPreset.MIXED,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(crops),
        fast_bias_correction=not accurate,
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.FIRST_LAYER),
    )


def convert(model: DenseVNet, side: int | None) -> ov.Model:
    """Torch -> OpenVINO, input uint8 named "region", static cubes of `side` or any multiples of 8."""
    shape = [1, 1, *[-1 if side is None else side] * 3]
    converted = ov.convert_model(
        Uint8Region(model), example_input=torch.zeros(1, 1, 32, 32, 32, dtype=torch.uint8), input=[(shape, ov.Type.u8)]
    )
    converted.inputs[0].get_tensor().set_names({"region"})
    return converted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=MODELS)
    parser.add_argument("--crops", type=int, default=24)
    parser.add_argument("--side", type=int, default=160)
    options = parser.parse_args()
    crops = calibration_crops(options.crops, options.side)
    quantised = quantise(convert(load_trained(options.checkpoint), options.side), crops)
    options.out.mkdir(parents=True, exist_ok=True)
    ov.save_model(with_integer_logits(quantised), options.out / "dense_vnet.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
