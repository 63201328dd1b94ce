"""The INT8 Dense V-Net over slabs beside what users would otherwise run, in one run, as ratios.

`python bench/network.py [--threads 4]`. All take the same region of the shipped sample, prepared beforehand:

- whs_fast: the three INT8 parts over slabs, uint8 region -> int8 logits, 320^3;
- torch FP32: the same network from its checkpoint, inference mode, contiguous and channels_last_3d;
- OpenVINO FP32: the same network converted without quantisation, whole, precision pinned to f32;
- nnU-Net: the 3D full-resolution U-Net as TotalSegmentator uses it (untrained weights, as many
  classes as here), in torch FP32, on the region at 1.5 mm in patches of 128^3 at half overlap. Its patches
  cost the same, so a few are timed and the median is multiplied by their number. Its mirroring (off in
  TotalSegmentator), Gaussian weighting and resampling are left out, in its favour.

One call of each warms up; the rest alternate between the networks, so that other load falls on all of them;
ours, the shortest, is taken five times a round.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from whs_fast.dense_vnet import DenseVNet
from whs_fast.network import describe_runtime, models_folder, openvino
from whs_fast.reading import read
from whs_fast.segmentation import REGION_SHAPE, REGION_SPACING_MM, region_grid, region_reader
from whs_fast.volume import index_to_mm

from training.export_dense_vnet import convert
from training.train_dense_vnet import load_averaged

CHECKPOINT = Path(__file__).parents[1] / "training" / "checkpoints" / "dense_vnet.pt"
PATCH, PATCH_MM = 128, 1.5


def sample_region(threads: int) -> NDArray[np.uint8]:
    """The uint8 region about the middle of the shipped sample."""
    sample = read(str(resources.files("whs_fast") / "data" / "sample.nii.gz"))
    middle = index_to_mm(sample.grid, tuple((n - 1) / 2 for n in sample.array.shape))
    out = np.empty(REGION_SHAPE, np.uint8)
    region_reader(sample, region_grid(sample.grid, middle), threads=threads)(0, out)
    return out


def int8_network(region: NDArray[np.uint8], threads: int) -> Callable[[], object]:
    network = DenseVNet(models_folder(), shape=REGION_SHAPE, threads=threads)

    def read_rows(first: int, out: NDArray[np.uint8]) -> None:
        out[:] = region[first : first + len(out)]

    return lambda: network(read_rows)


def torch_network(region: NDArray[np.uint8], memory_format: torch.memory_format) -> Callable[[], object]:
    model = load_averaged(CHECKPOINT).eval().to(memory_format=memory_format)
    x = torch.from_numpy(region)[None, None].float().div(255).contiguous(memory_format=memory_format)

    def run() -> object:
        with torch.inference_mode():
            return model(x)

    return run


def float_openvino(region: NDArray[np.uint8], threads: int) -> Callable[[], object]:
    model = convert(load_averaged(CHECKPOINT).eval(), None)
    model.reshape([1, 1, *REGION_SHAPE])
    options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(model, "CPU", options)
    return lambda: compiled(region[None, None])


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
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    region = sample_region(options.threads)
    patches = nnunet_patches()
    patch = f"nnU-Net torch FP32, {patches} patches"
    networks = {
        "whs_fast INT8 over slabs": int8_network(region, options.threads),
        "torch FP32 contiguous": torch_network(region, torch.contiguous_format),
        "torch FP32 channels_last_3d": torch_network(region, torch.channels_last_3d),
        "OpenVINO FP32": float_openvino(region, options.threads),
        patch: nnunet_patch(),
    }
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for round_ in range(options.rounds + 1):
        for name, run in networks.items():
            for _ in range(5 if name.startswith("whs_fast") and round_ else 1):  # short, so the rest can be waited for
                start = time.perf_counter()
                run()
                took = time.perf_counter() - start
                if round_:
                    seconds[name].append(took * (patches if name == patch else 1))
    ours = statistics.median(seconds["whs_fast INT8 over slabs"])
    print(f"{describe_runtime()['cpu']}, {options.threads} threads, medians of {options.rounds} rounds, warm\n")
    print("| network | s | lowest - highest | against ours |\n|---|---|---|---|")
    for name, took in seconds.items():
        median = statistics.median(took)
        print(f"| {name} | {median:.2f} | {min(took):.2f} - {max(took):.2f} | {median / ours:.1f}x |")


if __name__ == "__main__":
    main()
