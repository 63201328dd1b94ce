"""Resampling against its definition, to the bit, SimpleITK, and laws: identity, ramps, crop and paste, flips, slabs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import references
from whs_fast import _kernels as kernels

SHAPE = st.tuples(*[st.integers(1, 9)] * 3)
SAMPLES = st.tuples(*[st.integers(1, 4)] * 3)
SEED = st.integers(0, 2**32 - 1)
PERMUTATIONS = list(itertools.permutations(range(3)))


def scan(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1024, 3072, shape).astype(np.int16)


def aligned_map(seed: int, permutation: tuple[int, ...], source: tuple[int, ...], out: tuple[int, ...]) -> np.ndarray:
    """A scaled, flipped, permuted map that covers most of the source and some of what lies outside."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((3, 4))
    for b, a in enumerate(permutation):
        scale = rng.choice([-1, 1]) * rng.choice([0.5, 1.0, rng.uniform(0.2, 3)])
        matrix[a, b] = scale
        matrix[a, 3] = source[a] / 2 - scale * out[b] / 2 + rng.choice([0, 0.5, rng.uniform(-2, 2)])
    return matrix


def oblique_map(seed: int, source: tuple[int, ...], out: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    linear = rotation * rng.uniform(0.3, 2, 3)
    return np.column_stack([linear, (np.array(source) - 1) / 2 - linear @ ((np.array(out) - 1) / 2)])


def linear(source, shape, matrix, threads=1, **options):
    out = np.empty(shape, np.int16)
    kernels.resample_linear(source, out, matrix, **options, threads=threads)
    return out


def window(source, shape, matrix, low=-300.0, high=800.0, threads=1, **options):
    out = np.empty(shape, np.uint8)
    kernels.resample_window(source, out, matrix, low=low, high=high, **options, threads=threads)
    return out


@given(SEED, st.sampled_from(PERMUTATIONS), SHAPE, SHAPE, SAMPLES, st.integers(0, 3))
def test_aligned_equals_its_definition(seed, permutation, source_shape, shape, samples, first_slice):
    source = scan(seed, source_shape)
    matrix = aligned_map(seed, permutation, source_shape, shape)
    options = {"samples": samples, "fill": -777, "first_slice": first_slice}
    hu = references.separable_hu(source, shape, matrix, **options)
    np.testing.assert_array_equal(linear(source, shape, matrix, **options), references.to_hu(hu))
    np.testing.assert_array_equal(window(source, shape, matrix, **options), references.to_window(hu, -300, 800))


@given(SEED, st.sampled_from(PERMUTATIONS), SHAPE, SHAPE, SAMPLES)
def test_both_paths_agree_within_one(seed, permutation, source_shape, shape, samples):
    source = scan(seed, source_shape)
    matrix = aligned_map(seed, permutation, source_shape, shape)
    hu = references.general_hu(source, shape, matrix, samples=samples)
    difference = linear(source, shape, matrix, samples=samples) - references.to_hu(hu).astype(int)
    assert np.abs(difference).max() <= 1
    steps = window(source, shape, matrix, samples=samples) - references.to_window(hu, -300, 800).astype(int)
    assert np.abs(steps).max() <= 1


@given(SEED, SHAPE, SHAPE, SAMPLES, st.integers(0, 3))
def test_oblique_equals_its_definition(seed, source_shape, shape, samples, first_slice):
    source = scan(seed, source_shape)
    matrix = oblique_map(seed, source_shape, shape)
    options = {"samples": samples, "fill": -777, "first_slice": first_slice}
    hu = references.general_hu(source, shape, matrix, **options)
    np.testing.assert_array_equal(linear(source, shape, matrix, **options), references.to_hu(hu))
    np.testing.assert_array_equal(window(source, shape, matrix, **options), references.to_window(hu, -300, 800))


@pytest.mark.parametrize("slant", ["all", "within slices", "across rows", "short", "aside"])
def test_long_oblique_rows_equal_their_definition(slant):
    """Rows of several blocks that begin and end outside, run along it, leave it soon, or never meet it."""
    source, shape = scan(5, (20, 40, 150)), (5, 7, 300)
    linear_part = {
        "all": [[1.3, 0.2, 0.05], [-0.4, 1.1, -0.1], [0.3, -0.2, 0.9]],
        "within slices": [[1, 0, 0], [0, 0.8, 0.25], [0, 0.5, -0.75]],  # whole numbers on z, to which y and x are bound
        "across rows": [[0.9, 0.5, 0], [-0.3, 1.2, 0], [0.2, 0.1, 0.6]],  # z and y stay the same along a row
        "short": [[0.6, 0.1, 0.9], [0.2, 1.1, 0.1], [0.1, 0.3, -0.8]],
        "aside": [[1, 0.1, 0], [0.1, 1, 0.001], [0, 0, 1]],
    }[slant]
    matrix = np.column_stack([linear_part, (np.array(source.shape) - 1) / 2 - linear_part @ (np.array(shape) - 1) / 2])
    if slant == "aside":
        matrix[:, 3] = (0, 45, 0)
    for samples, first_slice in (((1, 1, 1), 0), ((2, 1, 3), 1)):
        options = {"samples": samples, "first_slice": first_slice, "fill": -500}
        hu = references.general_hu(source, shape, matrix, **options)
        np.testing.assert_array_equal(linear(source, shape, matrix, **options), references.to_hu(hu))
        assert (hu == -500).any()
        assert (hu != -500).any() == (slant != "aside")


BEYOND = st.sampled_from([(0.0, 0.0, 0.0), (0.0, 1.5, np.inf)])


@given(SEED, st.sampled_from(PERMUTATIONS), SHAPE, SHAPE, st.booleans(), BEYOND)
def test_nearest_equals_its_definition(seed, permutation, source_shape, shape, oblique, beyond):
    source = np.random.default_rng(seed).integers(0, 11, source_shape).astype(np.uint8)
    matrix = oblique_map(seed, source_shape, shape)
    if not oblique:
        matrix = aligned_map(seed, permutation, source_shape, shape)
    out = np.empty(shape, np.uint8)
    kernels.resample_nearest(source, out, matrix, 7, beyond, threads=2)
    np.testing.assert_array_equal(out, references.nearest(source, shape, matrix, 7, beyond))


def test_the_edge_goes_on_no_farther_than_asked():
    source, out = np.arange(1, 4, dtype=np.uint8).reshape(1, 1, 3), np.empty((1, 1, 9), np.uint8)
    matrix = np.eye(3, 4)
    matrix[2, 3] = -3
    kernels.resample_nearest(source, out, matrix, 7, (0, 0, 1.6))
    assert out.ravel().tolist() == [7, 1, 1, 1, 2, 3, 3, 3, 7]
    with pytest.raises(ValueError, match="beyond is -1"):
        kernels.resample_nearest(source, out, matrix, 7, (0, -1, 0))


@pytest.mark.parametrize("permutation", PERMUTATIONS)
def test_larger_aligned_volumes_cross_all_chunks(permutation):
    source_shape, shape = (37, 45, 53), (35, 41, 43)
    source = scan(1, source_shape)
    matrix = aligned_map(11, permutation, source_shape, shape)
    hu = references.separable_hu(source, shape, matrix, samples=(2, 1, 3))
    np.testing.assert_array_equal(linear(source, shape, matrix, samples=(2, 1, 3), threads=3), references.to_hu(hu))


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("permutation", PERMUTATIONS)
def test_threads_and_slabs_give_the_same_bits(permutation, oblique):
    source = scan(2, (33, 29, 31))
    shape = (41, 23, 27)
    matrix = oblique_map(5, source.shape, shape) if oblique else aligned_map(5, permutation, source.shape, shape)
    whole = window(source, shape, matrix, samples=(1, 2, 1))
    np.testing.assert_array_equal(window(source, shape, matrix, samples=(1, 2, 1), threads=4), whole)
    for begin, end in itertools.pairwise([0, 1, 9, 30, 41]):
        slab = window(source, (end - begin, *shape[1:]), matrix, samples=(1, 2, 1), first_slice=begin, threads=2)
        np.testing.assert_array_equal(slab, whole[begin:end])
    labels = (source > 0).astype(np.uint8)
    one, four = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    kernels.resample_nearest(labels, one, matrix, threads=1)
    kernels.resample_nearest(labels, four, matrix, threads=4)
    np.testing.assert_array_equal(one, four)


@given(SEED, SHAPE)
def test_identity_returns_the_scan(seed, shape):
    source = scan(seed, shape)
    noisy = np.eye(3, 4) + np.random.default_rng(seed).uniform(-1e-8, 1e-8, (3, 4))
    np.testing.assert_array_equal(linear(source, shape, np.eye(3, 4)), source)
    np.testing.assert_array_equal(linear(source, shape, noisy), source)
    labels = (source & 7).astype(np.uint8)
    out = np.empty(shape, np.uint8)
    kernels.resample_nearest(labels, out, noisy)
    np.testing.assert_array_equal(out, labels)


@pytest.mark.parametrize("samples", [(1, 1, 1), (3, 2, 4)])
@pytest.mark.parametrize("oblique", [False, True])
def test_a_linear_ramp_is_reproduced(samples, oblique):
    z, y, x = np.meshgrid(*(np.arange(n) for n in (40, 50, 60)), indexing="ij")
    source = (7 * z - 11 * y + 13 * x + 100).astype(np.int16)
    shape = (9, 10, 11)
    matrix = np.array([[0.9, 0, 0, 15.3], [0, 0, 1.7, 14.2], [0, -0.6, 0, 30.1]])
    if oblique:
        matrix = np.column_stack([oblique_map(3, source.shape, shape)[:, :3], [20, 25, 30]])
    zo, yo, xo = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    index = np.stack([zo, yo, xo])
    at = np.tensordot(matrix[:, :3], index, 1) + matrix[:, 3, None, None, None]
    assert (at > 2).all() and (at < np.array([38, 48, 58])[:, None, None, None]).all()
    expected = 7 * at[0] - 11 * at[1] + 13 * at[2] + 100
    assert np.abs(linear(source, shape, matrix, samples=samples) - expected).max() <= 0.5 + 1e-3


@given(SEED, st.tuples(*[st.integers(3, 9)] * 3), st.sampled_from(PERMUTATIONS))
def test_crop_then_paste_returns_the_crop(seed, shape, permutation):
    rng = np.random.default_rng(seed)
    source = scan(seed, shape)
    low = [int(rng.integers(0, n - 1)) for n in shape]
    crop_shape = [int(rng.integers(1, n - lo + 1)) for n, lo in zip(shape, low, strict=True)]
    permuted = tuple(crop_shape[a] for a in permutation)
    to_source = np.zeros((3, 4))
    to_source[list(permutation), range(3)] = 1
    to_source[:, 3] = low
    crop = linear(source, permuted, to_source)
    box = tuple(slice(lo, lo + n) for lo, n in zip(low, crop_shape, strict=True))
    np.testing.assert_array_equal(crop, source[box].transpose(permutation))
    to_crop = np.column_stack([to_source[:, :3].T, -to_source[:, :3].T @ to_source[:, 3]])
    expected = np.full(shape, -1024, np.int16)
    expected[box] = source[box]
    np.testing.assert_array_equal(linear(crop, shape, to_crop), expected)


@given(SEED, SHAPE, SHAPE, st.integers(0, 2), st.booleans())
def test_a_flip_on_disk_changes_nothing(seed, source_shape, shape, axis, oblique):
    source = scan(seed, source_shape)
    matrix = oblique_map(seed, source_shape, shape) if oblique else aligned_map(seed, (0, 1, 2), source_shape, shape)
    flipped = matrix.copy()
    flipped[axis] = -flipped[axis]
    flipped[axis, 3] += source_shape[axis] - 1
    mirrored = np.ascontiguousarray(np.flip(source, axis))
    difference = linear(mirrored, shape, flipped).astype(int) - linear(source, shape, matrix)
    assert np.abs(difference).max() <= 1  # the taps are added in the other order


def test_half_a_voxel_beyond_the_centres_is_edge_then_fill():
    source = np.array([[[100, 200]]], np.int16)
    matrix = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.25, -0.75]])
    expected = [-1, 100, 100, 100, 125, 150, 175, 200, 200, 200, -1]
    assert linear(source, (1, 1, 11), matrix, fill=-1)[0, 0].tolist() == expected
    out = np.empty((1, 1, 11), np.uint8)
    kernels.resample_nearest(source.astype(np.uint8), out, matrix, 9)
    assert out[0, 0].tolist() == [9, 100, 100, 100, 100, 200, 200, 200, 200, 200, 9]


def test_the_window_is_exact_where_it_is_a_tie():
    source = np.array([[[-1024, -300, -299, -190, 250, 799, 800, 3000]]], np.int16)
    assert window(source, source.shape, np.eye(3, 4))[0, 0].tolist() == [0, 0, 0, 26, 128, 255, 255, 255]


@pytest.mark.parametrize("shape", [(0, 3, 3), (3, 0, 3), (3, 3, 0)])
def test_an_empty_scan_is_fill_and_an_empty_output_is_allowed(shape):
    empty = np.empty(shape, np.int16)
    assert (linear(empty, (2, 3, 4), np.eye(3, 4), fill=-5) == -5).all()
    out = np.empty((2, 3, 4), np.uint8)
    kernels.resample_nearest(empty.astype(np.uint8), out, np.eye(3, 4), 3)
    assert (out == 3).all()
    assert linear(scan(0, (3, 3, 3)), shape, np.eye(3, 4)).size == 0


def test_far_outside_is_fill():
    source = scan(0, (4, 4, 4))
    for matrix in (np.eye(3, 4), oblique_map(0, (4, 4, 4), (3, 3, 3))):
        far = matrix.copy()
        far[:, 3] += 1e7
        assert (linear(source, (3, 3, 3), far, samples=(2, 2, 2)) == -1024).all()


@pytest.mark.peer
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("oblique", [False, True])
def test_simpleitk_resamples_alike(seed, oblique):
    sitk = pytest.importorskip("SimpleITK")
    source, shape = scan(seed, (21, 22, 23)), (18, 19, 20)
    matrix = oblique_map(seed, source.shape, shape) if oblique else aligned_map(seed, (0, 1, 2), source.shape, shape)
    matrix = matrix + [[0, 0, 0, 1e-3]]  # off the borders, where ITK's own rounding decides
    reverse = matrix[::-1]  # ITK's order is x, y, z
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(reverse[:, 2::-1].ravel().tolist())
    transform.SetTranslation(reverse[:, 3].tolist())
    grid = sitk.Image(shape[::-1], sitk.sitkInt16)
    for interpolator in (sitk.sitkLinear, sitk.sitkNearestNeighbor):
        nearest = interpolator == sitk.sitkNearestNeighbor
        image = sitk.GetImageFromArray((source & 7).astype(np.uint8) if nearest else source)
        fill = 9 if nearest else -1024
        expected = sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, interpolator, fill))
        if nearest:
            out = np.empty(shape, np.uint8)
            kernels.resample_nearest((source & 7).astype(np.uint8), out, matrix, 9)
            assert (out != expected).mean() < 1e-3
        else:
            assert np.abs(linear(source, shape, matrix).astype(int) - expected).max() <= 1
