"""From a scan to labels on its own grid, with a predictor that knows where it looks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whs_fast import _kernels as kernels
from whs_fast.steps.region import REGION_SHAPE, REGION_SPACING_MM, region_grid
from whs_fast.steps.segment import read_region, segment, wanted_logits
from whs_fast.volume import (
    MOST_SAMPLES,
    Grid,
    Volume,
    axis_aligned_grid,
    index_map,
    index_to_mm,
    mm_to_index,
    samples_per_voxel,
)

VALVE_MM = (10.0, -20.0, 30.0)
TILT = 0.4
OBLIQUE = (1.0, 0.0, 0.0, 0.0, np.cos(TILT), -np.sin(TILT), 0.0, np.sin(TILT), np.cos(TILT))
NOISE = np.random.default_rng(3).integers(1, 100, (32, 24, 40, 3)).astype(np.int8)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


def scan(direction, shape=(40, 50, 60), spacing_mm=(5.0, 5.5, 6.0), hounsfield=100):
    axes = np.reshape(direction, (3, 3)) * np.asarray(spacing_mm)
    origin = np.asarray(VALVE_MM) - axes @ ((np.asarray(shape[::-1]) - 1) / 2.0)
    return Volume(np.full(shape, hounsfield, np.int16), spacing_mm, tuple(origin), direction)


def patient_points(grid):
    """Coordinates (x, y, z) in mm of every voxel, float64[3, z, y, x]."""
    z, y, x = np.indices(grid.shape)
    return np.tensordot(grid.affine, np.stack([x, y, z, np.ones_like(x)]), 1)[:3]


def octants(region, wanted, *, progress=None):
    """Logits that say in which eighth of the region a voxel lies: labels 1 to 8, by z, y and x from the middle."""
    half = [n // 2 for n in region.shape]
    low = np.indices(half) >= np.reshape([n // 2 for n in half], (3, 1, 1, 1))
    label = 1 + low[0] * 4 + low[1] * 2 + low[2]
    return np.where(label[..., None] == np.arange(11), 100, 0).astype(np.int8)


@pytest.mark.parametrize(
    "direction", [(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), FLIPPED, OBLIQUE], ids=["upright", "flipped", "oblique"]
)
def test_labels_lie_where_the_region_says(direction):
    volume = scan(direction)
    labels, margins = segment(volume, region_grid(volume.grid, VALVE_MM), octants, threads=2)
    assert labels.shape == volume.array.shape and labels.dtype == np.uint8
    from_valve = patient_points(volume.grid) - np.reshape(VALVE_MM, (3, 1, 1, 1))
    reach = np.reshape([n * s / 2 for n, s in zip(REGION_SHAPE[::-1], REGION_SPACING_MM, strict=True)], (3, 1, 1, 1))
    x, y, z = from_valve > 0
    expected = np.where((np.abs(from_valve) <= reach).all(axis=0), 1 + z * 4 + y * 2 + x, 0)
    # On a border between eighths, or on the region's faces, either answer is right.
    clear = (np.abs(from_valve) > 1e-6).all(axis=0) & (np.abs(np.abs(from_valve) - reach) > 1e-6).all(axis=0)
    assert set(np.unique(labels)) == set(range(9))
    np.testing.assert_array_equal(labels[clear], expected[clear])
    assert margins[1:9, :, 100].sum() == margins.sum() > 0  # octants names one label at each voxel, and clearly


rotations = st.sampled_from([(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), FLIPPED, OBLIQUE])


@settings(max_examples=60)
@given(
    rotations,
    st.tuples(*[st.floats(-190, 190)] * 3),
    st.tuples(*[st.integers(1, 12)] * 3),
    st.sampled_from([(0.7, 0.7, 1.0), (0.4, 0.9, 3.0), (20.0, 10.0, 7.0)]),
)
def test_labels_need_no_logits_outside_the_wanted_box(direction, shift, shape, spacing_mm):
    """Scans small and large, inside, across each face of and beyond the region."""
    grid = scan(direction, shape, spacing_mm).grid
    grid = replace(grid, origin_mm=tuple(np.add(grid.origin_mm, shift)))
    region = axis_aligned_grid(VALVE_MM, (64, 48, 80), (4.0, 5.0, 4.0))
    box = tuple(slice(*ends) for ends in wanted_logits(grid, region))
    kept = np.zeros_like(NOISE)
    kept[box] = NOISE[box]
    labels, of_kept = (np.empty(shape, np.uint8) for _ in range(2))
    kernels.upsample_argmax(NOISE, labels, index_map(grid, region))
    kernels.upsample_argmax(kept, of_kept, index_map(grid, region))
    np.testing.assert_array_equal(of_kept, labels)


def test_the_wanted_box_is_no_larger_than_needed():
    region = axis_aligned_grid(VALVE_MM, (64, 48, 80), (4.0, 5.0, 4.0))
    assert wanted_logits(region, region) == ((0, 32), (0, 24), (0, 40))
    part = axis_aligned_grid(VALVE_MM, (4, 8, 2), (4.0, 5.0, 4.0))  # voxels 30 to 33, 20 to 27 and 39 to 40
    assert wanted_logits(part, region) == ((14, 18), (9, 15), (19, 21))
    beyond = replace(part, origin_mm=(1000.0, 0.0, 0.0))
    assert wanted_logits(beyond, region) == ((0, 0), (0, 0), (0, 0))


def test_the_middle_of_the_region_is_the_valve():
    grid = region_grid(scan(OBLIQUE).grid, VALVE_MM)  # in the middle of the scan
    np.testing.assert_allclose(index_to_mm(grid, (159.5, 159.5, 159.5)), VALVE_MM)
    np.testing.assert_allclose(mm_to_index(grid, VALVE_MM), (159.5, 159.5, 159.5))


def test_the_region_is_near_the_valve_and_indifferent_to_a_tenth_of_a_millimetre():
    rng = np.random.default_rng(0)
    grid = scan(FLIPPED).grid
    moved = 0
    for valve_mm in np.round(VALVE_MM + rng.uniform(-30, 30, (200, 3)), 1):
        centre = np.array(index_to_mm(region_grid(grid, tuple(valve_mm)), (159.5, 159.5, 159.5)))
        assert np.abs(centre - valve_mm).max() <= 1.0 + 1e-9
        shifted = region_grid(grid, tuple(valve_mm + (0.1, 0.0, 0.0)))
        moved += shifted != region_grid(grid, tuple(valve_mm))
    assert moved <= 25  # 0.1 mm in 2 mm, 10 expected


@pytest.mark.parametrize(("hounsfield", "grey"), [(-1024, 0), (-300, 0), (250, 128), (800, 255), (3000, 255)])
def test_the_window_is_fixed_and_beyond_the_scan_is_air(hounsfield, grey):
    volume = scan((1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), shape=(20, 20, 20), hounsfield=hounsfield)
    image = read_region(volume, region_grid(volume.grid, VALVE_MM), threads=2)
    assert image[160, 160, 160] == grey
    assert image[0, 0, 0] == 0


@pytest.mark.parametrize(
    ("source_mm", "expected"),
    [
        ((0.7, 0.7, 1.0), (1, 1, 1)),
        ((0.35, 0.35, 0.5), (2, 2, 2)),
        ((0.3, 0.3, 0.4), (3, 3, 3)),
        ((0.9, 0.9, 2.5), (1, 1, 1)),
        ((0.7 * (1 - 1e-7), 0.35, 0.25), (4, 2, 1)),
        ((0.001, 0.7, 1.0), (1, 1, MOST_SAMPLES)),
    ],
)
@pytest.mark.parametrize("direction", [(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), FLIPPED])
def test_samples_follow_the_ratio_of_the_spacings(source_mm, expected, direction):
    source = Grid((50, 50, 50), source_mm, (0.0, 0.0, 0.0), direction)
    assert samples_per_voxel(index_map(region_grid(source, VALVE_MM), source)) == expected


def test_samples_of_a_tilted_scan_step_over_no_voxel():
    """Fine in plane and thick across: once tilted, the region's z also crosses the fine axis and needs its samples."""
    source = Grid((50, 500, 500), (0.35, 0.35, 3.0), (0.0, 0.0, 0.0), OBLIQUE)
    upright = Grid((50, 500, 500), (0.35, 0.35, 3.0), (0.0, 0.0, 0.0))
    assert samples_per_voxel(index_map(region_grid(upright, VALVE_MM), upright)) == (1, 2, 2)
    z, y, x = samples_per_voxel(index_map(region_grid(source, VALVE_MM), source))
    assert (z, y, x) == (2, 2, 2)


def test_a_fine_stripe_pattern_is_averaged_not_aliased():
    """One-voxel stripes of -200 and 300 HU at half of the region's spacing: the region must see their mean."""
    array = np.full((60, 300, 300), -200, np.int16)
    array[:, :, ::2] = 300
    volume = Volume(array, (0.35, 0.7, 1.0), (-42.0, -120.0, 0.0))
    image = read_region(volume, region_grid(volume.grid, VALVE_MM), threads=2)
    inner = image[150:170, 150:170, 150:170].astype(float)
    mean = (50 + 300) * 255 / 1100
    assert np.abs(inner - mean).max() <= 2
