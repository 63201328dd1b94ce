"""Packed kernels make what the plain ones make, in integers, with neighbours along x as channels."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

import numpy as np  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from training.packing import BLOCK, block_kernel, widen_kernel  # noqa: E402


def integers(rng, shape, low, high):
    return rng.integers(low, high, shape, dtype=np.int64)


def convolve(x, kernel, stride, padding):
    return F.conv3d(torch.from_numpy(x).double(), torch.from_numpy(kernel).double(), stride=stride, padding=padding)


@pytest.mark.parametrize("outputs", [4, 8])
def test_a_widened_layer_makes_neighbours_as_channels(outputs):
    rng = np.random.default_rng(outputs)
    neighbours = 16 // outputs
    x = integers(rng, (1, 5, 4, 6, 16), 0, 256)
    kernel = integers(rng, (outputs, 5, 3, 3, 3), -127, 128).astype(np.int8)
    plain = convolve(x, kernel, 1, 1).permute(0, 2, 3, 4, 1)
    wide = convolve(x, widen_kernel(kernel, neighbours), (1, 1, neighbours), 1).permute(0, 2, 3, 4, 1)
    assert wide.shape[-1] == 16
    np.testing.assert_array_equal(wide.reshape(plain.shape), plain)


@pytest.mark.parametrize(("side", "outputs"), [(5, 24), (3, 1)])
def test_blocks_along_x_make_two_outputs_each(side, outputs):
    rng = np.random.default_rng(side)
    x = integers(rng, (1, 1, 8, 6, 24), 0, 256)
    kernel = integers(rng, (outputs, 1, side, side, side), -127, 128).astype(np.int8)
    plain = convolve(x, kernel, 2, side // 2).permute(0, 2, 3, 4, 1)
    blocks = np.ascontiguousarray(x.reshape(1, 8, 6, 24 // BLOCK, BLOCK).transpose(0, 4, 1, 2, 3))
    wide = convolve(blocks, block_kernel(kernel), (2, 2, 1), (side // 2, side // 2, 1)).permute(0, 2, 3, 4, 1)
    np.testing.assert_array_equal(wide.reshape(plain.shape), plain)
