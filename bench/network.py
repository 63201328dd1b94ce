"""The INT8 Dense V-Net beside what users would otherwise run, in one run, as ratios of CPU seconds.

`python bench/network.py [--threads 2]`. All take the same region of the shipped sample, prepared beforehand:

- whs_fast: our own integer kernel, uint8 region -> int8 logits, 320^3, of which it makes what the sample can ask for
  and copies what sees only air; and the same of a region of noise, where it can skip nothing;
- OpenVINO INT8: the same integers as the graph that ships, whole;
- torch INT8: the same network quantised by torch's own graph mode, on oneDNN, calibrated on the region; upsampling,
  which torch has for floats only, in FP32;
- torch FP32: the same network from its checkpoint, inference mode, contiguous and channels_last_3d;
- OpenVINO FP32: the same network converted without quantisation, whole, precision pinned to f32;
- nnU-Net: the 3D full-resolution U-Net as TotalSegmentator uses it (untrained weights, as many
  classes as here), in torch FP32, on the region at 1.5 mm in patches of 128^3 at half overlap. Its patches
  cost the same, so one is timed and multiplied by their number. Its mirroring (off in
  TotalSegmentator), Gaussian weighting and resampling are left out, in its favour.

One call of each warms up; the rest alternate between the networks; ours, the shortest, is taken five times a round.
Processor time, of all threads together, hardly changes with other load; the least of each counts. Threads of torch that
wait must not spin: set OMP_WAIT_POLICY=passive. To compare as on a lesser processor, cap all three:
WHS_FAST_INSTRUCTIONS=avx2, ATEN_CPU_CAPABILITY=avx2 and ONEDNN_MAX_CPU_ISA=AVX2, which holds for the convolutions of
torch and of OpenVINO (seen in its exec_type; a few of its other layers stay on AVX-512).
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import fx, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.fx.custom_config import PrepareCustomConfig
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.networks.installed import models_folder
from whs_fast.networks.openvino_model import Model, describe_runtime
from whs_fast.reading.scan import read
from whs_fast.steps.region import REGION_SHAPE, REGION_SPACING_MM, region_grid
from whs_fast.steps.segment import read_region, wanted_logits
from whs_fast.volume import Box, index_to_mm

from bench.float_network import openvino_network, torch_network

PATCH, PATCH_MM = 128, 1.5
CAPS = ("WHS_FAST_INSTRUCTIONS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OMP_WAIT_POLICY")


def sample_region(threads: int) -> tuple[NDArray[np.uint8], Box]:
    """The uint8 region about the middle of the shipped sample, and the logits that the sample can ask for."""
    sample = read(str(resources.files("whs_fast") / "data" / "sample.nii.gz"))
    middle = index_to_mm(sample.grid, tuple((n - 1) / 2 for n in sample.array.shape))
    region = region_grid(sample.grid, middle)
    return read_region(sample, region, threads=threads), wanted_logits(sample.grid, region)


def torch_run(region: NDArray[np.uint8], memory_format: torch.memory_format) -> Callable[[], object]:
    model = torch_network().to(memory_format=memory_format)
    x = torch.from_numpy(region)[None, None].float().div(255).contiguous(memory_format=memory_format)

    def run() -> object:
        with torch.inference_mode():
            return model(x)

    return run


class Upsampling(nn.Module):
    """A layer that torch does not look into, and so leaves in FP32."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, scale_factor=self.factor, mode="trilinear", align_corners=False)


def torch_int8_run(region: NDArray[np.uint8]) -> Callable[[], object]:
    torch.backends.quantized.engine = "onednn"
    x = torch.from_numpy(region)[None, None].float().div(255)
    model = fx.symbolic_trace(torch_network())
    for node in model.graph.nodes:
        if node.target is F.interpolate:
            factor = node.kwargs["scale_factor"]
            model.add_submodule(f"upsampling_{factor}", Upsampling(factor))
            node.op, node.target, node.kwargs = "call_module", f"upsampling_{factor}", {}
    model.recompile()
    part = x[..., 96:224, 96:224, 96:224]
    whole = PrepareCustomConfig().set_non_traceable_module_classes([Upsampling])
    prepared = prepare_fx(model, get_default_qconfig_mapping("onednn"), (part,), whole)
    with torch.inference_mode():
        prepared(part)
    quantised = convert_fx(prepared)

    def run() -> object:
        with torch.inference_mode():
            return quantised(x)

    return run


def nnunet_patch(classes: int = 11) -> Callable[[], object]:
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    model = PlainConvUNet(
        input_channels=1,
        n_stages=6,
        features_per_stage=(32, 64, 128, 256, 320, 320),
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=(1, 2, 2, 2, 2, 2),
        n_conv_per_stage=2,
        num_classes=classes,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    ).eval()
    x = torch.randn(1, 1, PATCH, PATCH, PATCH)

    def run() -> object:
        with torch.inference_mode():
            return model(x)

    return run


def nnunet_patches() -> int:
    """Patches of half overlap that cover the region at 1.5 mm."""
    sides = [math.ceil(n * mm / PATCH_MM) for n, mm in zip(REGION_SHAPE, REGION_SPACING_MM[::-1], strict=True)]
    return math.prod(max(1, math.ceil((side - PATCH) / (PATCH / 2)) + 1) for side in sides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    region, wanted = sample_region(options.threads)
    noise = np.random.default_rng(0).integers(1, 256, region.shape).astype(np.uint8)
    patches = nnunet_patches()
    patch = f"nnU-Net torch FP32, {patches} patches"
    network = DenseVNet(models_folder() / "dense_vnet.xml", threads=options.threads)
    graph = Model(models_folder() / "dense_vnet.xml", threads=options.threads)
    compiled = openvino_network(options.threads)
    networks: dict[str, Callable[[], object]] = {
        "whs_fast INT8": lambda: network(region, wanted),
        "whs_fast INT8, nothing skipped": lambda: network(noise),
        "OpenVINO INT8": lambda: graph(region),
        "torch INT8": torch_int8_run(region),
        "torch FP32 contiguous": torch_run(region, torch.contiguous_format),
        "torch FP32 channels_last_3d": torch_run(region, torch.channels_last_3d),
        "OpenVINO FP32": lambda: compiled(region[None, None]),
        patch: nnunet_patch(),
    }
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for round_ in range(options.rounds + 1):
        for name, run in networks.items():
            for _ in range(5 if name.startswith("whs_fast") and round_ else 1):  # short, so the rest can be waited for
                start = time.process_time()
                run()
                took = time.process_time() - start
                if round_:
                    seconds[name].append(took * (patches if name == patch else 1))
    print(f"{describe_runtime()['cpu']}, {options.threads} threads, least of {options.rounds} rounds, warm")
    print(", ".join(f"{cap}={os.environ[cap]}" for cap in CAPS if cap in os.environ) or "nothing capped", "\n")
    print("| network | CPU s | against ours | nothing skipped |\n|---|---|---|---|")
    least = {name: min(took) for name, took in seconds.items()}
    ours, whole = list(least.values())[:2]
    for name, took in least.items():
        print(f"| {name} | {took:.2f} | {took / ours:.1f}x | {took / whole:.1f}x |")


if __name__ == "__main__":
    main()
