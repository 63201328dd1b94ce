"""The trained Dense V-Net in FP32, in torch and in OpenVINO, to set the integer network beside."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from numpy.typing import NDArray
from whs_fast.networks.openvino_model import openvino
from whs_fast.steps.region import REGION_SHAPE

from training.networks import DenseVNet
from training.train_dense_vnet import load_averaged

CHECKPOINT = Path(__file__).parents[1] / "training" / "checkpoints" / "dense_vnet.pt"


class Region(torch.nn.Module):
    """uint8 region [1, 1, z, y, x] -> float logits."""

    def __init__(self, model: DenseVNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, region: torch.Tensor) -> torch.Tensor:
        return self.model(region.float() / 255)


def torch_network() -> DenseVNet:
    return load_averaged(CHECKPOINT).eval()


def openvino_network(threads: int) -> Any:
    """Compiled for the whole region, precision pinned to float32."""
    example = torch.zeros(1, 1, 32, 32, 32, dtype=torch.uint8)
    model = openvino.convert_model(Region(torch_network()), example_input=example)
    model.reshape([1, 1, *REGION_SHAPE])
    options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    return openvino.Core().compile_model(model, "CPU", options)


def as_int8(logits: NDArray[np.float32]) -> NDArray[np.int8]:
    """Logits [11, z, y, x] on the label kernel's integers, on a scale that just fits the largest."""
    return np.ascontiguousarray(
        np.rint(logits * (127 / logits.max())).clip(-127, 127).astype(np.int8).transpose(1, 2, 3, 0)
    )
