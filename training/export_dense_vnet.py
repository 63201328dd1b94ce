"""Quantise a trained Dense V-Net to INT8, cut it in three, and write what the engine loads.

`python -m training.export_dense_vnet CHECKPOINT`. The encoder (everything at half resolution up to the first stride-2
convolution) and the decoder (upsampled skips and the last convolution) reach only a few rows, so the engine runs them
over slabs; the context (quarter and eighth resolution) runs whole. The cuts lie where the quantised graph holds 8-bit
integers, so cutting changes nothing, and the tensors between the parts are uint8 with the channel last. The decoder
ends in int8 logits on one shared scale, z, y, x, channel, as the label kernel reads them. Last, training.packing
rewrites the parts for the integer kernels without changing their results.
"""

import argparse
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
import torch
from openvino import opset15 as ops
from torch import Tensor, nn

from training.crops import draw_crop
from training.networks import DenseVNet
from training.packing import pack
from training.train_dense_vnet import load_averaged

MODELS = Path(__file__).parents[1] / "python" / "whs_fast" / "models"
CALIBRATION_SEED = 3  # first number of the seeds of calibration crops

# Tensors between the parts: channels, and the node of the quantised graph after which the cut lies.
CUTS = {
    "pooled": (1, "__module.model.pooled.1/aten::batch_norm/BatchNormInference/fq_output_0"),
    "skip_2": (12, "__module.model.skips.0.2/aten::relu/Relu/fq_output_0"),
    "down_4": (24, "__module.model.downs.0.2/aten::relu/Relu/fq_output_0"),
    "skip_4": (24, "__module.model.skips.1.2/aten::relu/Relu/fq_output_0"),
    "skip_8": (24, "__module.model.skips.2.2/aten::relu/Relu/fq_output_0"),
}
PARTS = {  # part: its inputs and its outputs
    "encoder": (("region",), ("pooled", "skip_2", "down_4")),
    "context": (("down_4",), ("skip_4", "skip_8")),
    "decoder": (("pooled", "skip_2", "skip_4", "skip_8"), ("logits",)),
}


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


def quantise(model: ov.Model, crops: list[np.ndarray], *, accurate: bool = True) -> ov.Model:
    """INT8 by post-training quantisation, with the accurate bias correction: dense connections lose by the fast one."""
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


def _as_uint8(node: ov.Node, name: str) -> ov.Node:
    """Result with the integers of a FakeQuantize, channel last."""
    low, high = node.input_value(1), node.input_value(2)
    steps = ops.fake_quantize(node.input_value(0), low, high, np.float32(0), np.float32(255), 256)
    out = ops.transpose(ops.convert(steps, "u8"), np.array([0, 2, 3, 4, 1]))
    out.output(0).get_tensor().set_names({name})
    return ops.result(out.output(0))


def _feed_uint8(node: ov.Node, name: str, channels: int) -> ov.Node:
    """Parameter of integers, channel last, put before a FakeQuantize, which then changes nothing.

    The FakeQuantize stays, because OpenVINO's low-precision passes need it to keep the last convolution in INT8.
    """
    low, high = (float(np.asarray(node.input_value(i).get_node().data).item()) for i in (3, 4))
    scale = (high - low) / 255
    parameter = ops.parameter(ov.PartialShape([1, -1, -1, -1, channels]), np.uint8, name=name)
    parameter.output(0).get_tensor().set_names({name})
    steps = ops.convert(ops.transpose(parameter, np.array([0, 4, 1, 2, 3])), "f32")
    values = ops.multiply(ops.subtract(steps, np.float32(round(-low / scale))), np.float32(scale))
    node.input(0).replace_source_output(values.output(0))
    return parameter


def _as_int8_logits(model: ov.Model, steps: float) -> ov.Node:
    logits = model.get_results()[0].input_value(0)
    rounded = ops.round(ops.multiply(logits, np.float32(steps)), "half_to_even")
    out = ops.transpose(ops.convert(ops.clamp(rounded, -127.0, 127.0), "i8"), np.array([0, 2, 3, 4, 1]))
    out.output(0).get_tensor().set_names({"logits"})
    return ops.result(out.output(0))


def cut(quantised: ov.Model, part: str, steps: float) -> ov.Model:
    """One part of the quantised network; steps: integer steps of a logit of 1."""
    model = quantised.clone()
    nodes = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
    inputs, outputs = PARTS[part]
    results = [
        _as_int8_logits(model, steps) if name == "logits" else _as_uint8(nodes[CUTS[name][1]], name) for name in outputs
    ]
    parameters = [
        model.get_parameters()[0] if name == "region" else _feed_uint8(nodes[CUTS[name][1]], name, CUTS[name][0])
        for name in inputs
    ]
    return ov.Model(results, parameters, f"dense_vnet_{part}")


def logit_steps(quantised: ov.Model, crops: list[np.ndarray]) -> float:
    """Steps that use the whole int8 range: the largest winning logit of the calibration crops becomes 127."""
    compiled = ov.Core().compile_model(quantised, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return 127 / max(float(compiled(crop)[0].max()) for crop in crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, default=MODELS)
    parser.add_argument("--crops", type=int, default=24)
    parser.add_argument("--side", type=int, default=160)
    options = parser.parse_args()
    torch.manual_seed(0)
    crops = calibration_crops(options.crops, options.side)
    quantised = quantise(convert(load_averaged(options.checkpoint).eval(), options.side), crops)
    steps = logit_steps(quantised, crops[:8])
    quantised.reshape([1, 1, -1, -1, -1])
    options.out.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        ov.save_model(pack(cut(quantised, part, steps)), options.out / f"dense_vnet_{part}.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
