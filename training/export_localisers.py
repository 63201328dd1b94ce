"""The localisers as OpenVINO IR, from torch to INT8 and back, and how well they find the valve by themselves.

    python -m training.export_localisers export --pool FOLDER --out FOLDER --backbone squeezenet
    python -m training.export_localisers score --backbone squeezenet

`export` writes the INT8 models of the three axes from their checkpoints into the package; `score` finds the valve of
scans that are drawn anew from validation seeds, with the engine's own search.
"""

import argparse
from functools import partial
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
import torch
import torch.nn.functional as F
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from numpy.typing import NDArray
from torch import nn
from whs_fast.networks.openvino_model import Model, predict_batches
from whs_fast.steps.localise import localise
from whs_fast.volume import Volume

from training.anatomies import SOURCES
from training.hashes import list_hashes
from training.localisers import AXES, BACKBONES, ENTRY_POOL, SIDE, calibration_slices, load_trained
from training.networks import ConvNormReLU2d, SliceRegressor, vgg16
from training.scans import Scan, draw_scan

BATCH = 8  # slices a call when scoring
VALIDATION_SEED, VALIDATION_FAMILY = 1, 3000
MODELS = Path(__file__).parents[1] / "python" / "whs_fast" / "models"


class SliceReader(nn.Module):
    """What the engine runs: uint8 slices [n, 1, 192, 192] -> what they tell of the valve in mm, float32 [n, 4]."""

    def __init__(self, network: SliceRegressor) -> None:
        super().__init__()
        self.network = network

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        return self.network(F.avg_pool2d(slices.float() * (1 / 255), ENTRY_POOL))


def recover(model: Path, slices: NDArray[np.uint8]) -> SliceRegressor:
    """The float VGG-16 of an INT8 model, to train on from: its checkpoints are too large to keep, its integers are not.

    Batch norm was folded into the kernels; it is set to what `slices`, uint8 [n, 1, 192, 192], give in each layer, so
    that the network reads them as the INT8 model does, in training as well.
    """
    shipped = ov.Core().read_model(model)

    def value(output: ov.Output) -> torch.Tensor:
        """Of a constant, dequantised or decompressed."""
        constant = ov.Core().compile_model(ov.Model([output], []), "CPU")
        return torch.from_numpy(np.array(constant({})[0], np.float32))

    def follow(op: ov.Node) -> ov.Node:
        (target,) = op.output(0).get_target_inputs()
        return target.get_node()

    kernels = []  # in the order of the layers, and with what is added to each
    for op in shipped.get_ordered_ops():
        if op.get_type_name() in ("Convolution", "MatMul"):
            added = follow(op)
            if added.get_type_name() == "Multiply":  # the distances' layer has its own unit
                added = follow(added)
            if added.get_type_name() == "Add":
                kernels.append((value(op.input_value(1)), value(added.input_value(1)).flatten()))
    network = vgg16(kernels[0][0].shape[0] / 64).eval()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    norms = {layer[0]: layer[1] for layer in network.modules() if isinstance(layer, ConvNormReLU2d)}

    def settle(norm: nn.Module, inputs: tuple[torch.Tensor], bias: torch.Tensor) -> None:
        assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
        spread, mean = torch.var_mean(inputs[0], (0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(spread)
        norm.weight.copy_((spread + norm.eps).sqrt())
        norm.bias.copy_(mean + bias)

    with torch.no_grad():
        hooks = []
        for layer, (kernel, bias) in zip(layers, kernels, strict=True):
            layer.weight.copy_(kernel)
            if layer in norms:
                hooks.append(norms[layer].register_forward_pre_hook(partial(settle, bias=bias)))
            elif layer is network.distance:
                layer.bias.copy_(bias / 100)
            else:
                layer.bias.copy_(bias)
        SliceReader(network)(torch.from_numpy(slices))
    for hook in hooks:
        hook.remove()
    return network.train()


def slice_predictors(models: Path, localiser: str, threads: int = 1) -> dict[str, partial[NDArray[np.float32]]]:
    """What whs_fast.steps.localise.localise asks of a localiser's three networks, by axis."""
    shape = (BATCH, 1, SIDE, SIDE)
    return {
        axis: partial(
            predict_batches, Model(models / f"{localiser}_{axis}.xml", threads=threads, shapes=(shape,)), batch=BATCH
        )
        for axis in AXES
    }


def convert(network: SliceRegressor) -> ov.Model:
    """Torch -> OpenVINO: "slices" uint8 [n, 1, 192, 192], n open -> "places" float32 [n, 4], mm."""
    example = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8)
    shape = [-1, 1, SIDE, SIDE]
    converted = ov.convert_model(SliceReader(network).eval(), example_input=example, input=[(shape, ov.Type.u8)])
    converted.inputs[0].get_tensor().set_names({"slices"})
    converted.outputs[0].get_tensor().set_names({"places"})
    return converted


def export_localiser(
    checkpoint: Path, backbone: str, axis: str, calibration_slices: NDArray[np.uint8], out_folder: Path
) -> Path:
    """Quantise a trained localiser to INT8 and write OUT_FOLDER/BACKBONE_AXIS.xml and .bin; return the .xml."""
    converted = convert(load_trained(checkpoint, backbone))
    # The whole range of the activations: clipping their rare peaks, which is the default, costs 1.5 mm near the valve
    # and up to 40 mm elsewhere, the whole range 0.13 mm and 1.5 mm. The last layer has 512 weights and stays in float.
    quantised = nncf.quantize(
        converted,
        nncf.Dataset([part[None] for part in calibration_slices]),
        preset=nncf.QuantizationPreset.MIXED,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(calibration_slices),
        ignored_scope=nncf.IgnoredScope(types=["MatMul"]),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=nncf.OverflowFix.FIRST_LAYER,
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        ),
    )
    out_folder.mkdir(parents=True, exist_ok=True)
    path = out_folder / f"{backbone}_{axis}.xml"
    ov.save_model(quantised, path, compress_to_fp16=True)
    return path


def draw_validation_scan(index: int) -> Scan:
    """A scan as in the held-out set, of a validation seed, each source in turn; every other field is under 200 mm."""
    rng = np.random.default_rng([VALIDATION_SEED, VALIDATION_FAMILY, index])
    small = index % 2 == 0
    side, height = rng.uniform(160, 199, 2) if small else (rng.uniform(200, 320), rng.uniform(180, 300))
    in_plane, slices = max(rng.uniform(0.4, 1.2), side / 320), max(rng.uniform(0.4, 2.0), height / 300)
    return draw_scan(
        rng,
        (float(in_plane), float(in_plane), float(slices)),
        (float(side), float(side), float(height)),
        tilt_rad=float(rng.choice([0, 0.08])),
        cut=index % 8 >= 6,
        source=SOURCES[index % len(SOURCES)],
    )


def score(models: Path, backbone: str, count: int, threads: int) -> dict[str, float | int]:
    """Errors of the whole search in mm on validation scans; one line a scan goes to standard output."""
    predict = slice_predictors(models, backbone, threads)
    errors, confident = [], []
    for index in range(count):
        scan = draw_validation_scan(index)
        direction = tuple(scan.direction.ravel().tolist())
        found = localise(Volume(scan.hu, scan.spacing_mm, scan.origin_mm, direction), predict, threads=threads)
        off = np.subtract(found.point_mm, scan.valve_mm)
        errors.append(float(np.linalg.norm(off)))
        confident.append(found.confident)
        print(f"{index:2d} {errors[-1]:6.1f} mm {off.round(1)} {found.slices_read} slices {found.warnings}", flush=True)
    figures = {
        "scans": count,
        "median_mm": round(float(np.median(errors)), 2),
        "worst_mm": round(max(errors), 2),
        "within_10_mm": sum(e <= 10 for e in errors),
        "within_10_mm_small": sum(e <= 10 for e in errors[::2]),
        "confident": sum(confident),
        "confident_but_beyond_10_mm": sum(c and e > 10 for c, e in zip(confident, errors, strict=True)),
    }
    print(figures)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    exporting = commands.add_parser("export")
    exporting.add_argument("--pool", type=Path, required=True)
    exporting.add_argument("--out", type=Path, required=True, help="folder of the checkpoints")
    scoring = commands.add_parser("score")
    scoring.add_argument("--count", type=int, default=20)
    for command in (exporting, scoring):
        command.add_argument("--models", type=Path, default=MODELS)
        command.add_argument("--backbone", choices=tuple(BACKBONES), default="squeezenet")
        command.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.command == "score":
        score(options.models, options.backbone, options.count, options.threads)
        return
    for axis in AXES:
        checkpoint = options.out / f"{options.backbone}_{axis}.pt"
        slices = calibration_slices(options.pool, axis)
        export_localiser(checkpoint, options.backbone, axis, slices, options.models)
    list_hashes(options.models)


if __name__ == "__main__":
    main()
