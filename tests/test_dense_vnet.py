"""Slabs equal the whole: to the bit on the trained INT8 graphs, at several slab heights."""

import numpy as np
import pytest
from whs_fast.dense_vnet import DECODER_HALO, ENCODER_HALO, DenseVNet, _windows
from whs_fast.network import models_folder

SIDE = 128  # of a cube of input voxels


@pytest.fixture(scope="module")
def region():
    """A crowded region: blobs of all grey levels with noise, so that every layer has something to say everywhere."""
    rng = np.random.default_rng(0)
    blobs = np.kron(rng.integers(0, 256, (SIDE // 16,) * 3), np.ones((16, 16, 16)))
    return np.clip(blobs + rng.normal(0, 12, blobs.shape), 0, 255).astype(np.uint8)


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
