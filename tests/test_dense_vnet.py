"""Slabs equal the whole, to the bit, on the trained INT8 graphs; and labels of trained logits their definition."""

from importlib import resources

import numpy as np
import pytest
import references
from whs_fast import _kernels as kernels
from whs_fast.dense_vnet import DECODER_HALO, ENCODER_HALO, DenseVNet, _windows
from whs_fast.network import models_folder
from whs_fast.reading import read
from whs_fast.segmentation import REGION_SPACING_MM, region_reader
from whs_fast.volume import axis_aligned_grid, index_to_mm

SIDE = 128  # of a cube of input voxels


@pytest.fixture(scope="module")
def region():
    """The middle of the shipped sample: the heart, where every layer has something to say."""
    sample = read(str(resources.files("whs_fast") / "data" / "sample.nii.gz"))
    middle = index_to_mm(sample.grid, tuple((n - 1) / 2 for n in sample.array.shape))
    out = np.empty((SIDE,) * 3, np.uint8)
    region_reader(sample, axis_aligned_grid(middle, out.shape, REGION_SPACING_MM), threads=2)(0, out)
    return out


def logits_of(region, encoder_rows, decoder_rows, threads=2):
    network = DenseVNet(
        models_folder(), shape=region.shape, threads=threads, encoder_rows=encoder_rows, decoder_rows=decoder_rows
    )

    def read_rows(first, out):
        out[:] = region[first : first + len(out)]

    return network(read_rows)


@pytest.fixture(scope="module")
def whole(region):
    return logits_of(region, SIDE // 2, SIDE // 2)


def test_the_logits_are_rich(whole):
    assert whole.shape == (SIDE // 2,) * 3 + (11,) and whole.dtype == np.int8
    assert len(np.unique(whole.argmax(-1))) >= 5


@pytest.mark.parametrize(("encoder_rows", "decoder_rows"), [(20, 12), (32, 24), (48, 40)])
def test_slabs_equal_the_whole_to_the_bit(region, whole, encoder_rows, decoder_rows):
    np.testing.assert_array_equal(logits_of(region, encoder_rows, decoder_rows), whole)


def test_one_thread_and_four_give_the_same_bits(region, whole):
    np.testing.assert_array_equal(logits_of(region, 32, 24, threads=1), whole)
    np.testing.assert_array_equal(logits_of(region, 32, 24, threads=4), whole)


def turned(angle_rad, steps, shape):
    """Map from a grid of `shape` and uneven steps, tilted about two axes, to the middle of the region."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    linear = (
        np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.diag(steps)
    )
    return np.column_stack([linear, (SIDE - 1) / 2 - linear @ ((np.array(shape) - 1) / 2)])


@pytest.mark.parametrize("angle_rad", [0.0, 0.3], ids=["upright", "oblique"])
@pytest.mark.parametrize("steps", [(1.0, 1.0, 1.0), (3.1, 0.6, 0.9)], ids=["isotropic", "anisotropic"])
def test_labels_of_trained_logits_equal_their_integer_definition(whole, angle_rad, steps):
    shape = (60, 70, 80)
    matrix = turned(angle_rad, steps, shape)
    coarse = (whole // 8).astype(np.int8)  # the same surfaces with ties all along them
    for logits in (whole, coarse):
        out = np.empty(shape, np.uint8)
        kernels.upsample_argmax(logits, out, matrix, threads=2)
        np.testing.assert_array_equal(out, references.upsampled_argmax(logits, shape, matrix))
        assert len(np.unique(out)) >= 5


@pytest.mark.parametrize("halo", [ENCODER_HALO, DECODER_HALO])
@pytest.mark.parametrize("height", [20, 24, 32, 56, 64, 160])
def test_windows_cover_every_row_once_and_keep_their_halo(halo, height):
    rows, expected = 160, 0
    for start, first, end in _windows(rows, height, halo):
        assert first == expected and end > first
        assert start % 4 == 0 and start >= 0 and start + height <= rows
        assert start == 0 or first - start >= halo
        assert start + height == rows or start + height - end >= halo
        expected = end
    assert expected == rows
