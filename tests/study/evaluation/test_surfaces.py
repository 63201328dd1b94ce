"""Surfaces and their distances, against brute force, closed forms, SimpleITK and the reference implementation."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from whs_fast.study.evaluation.surfaces import (
    compare_surfaces,
    distances_mm,
    find_surface,
    weighted_percentile,
)

spacings = st.tuples(*[st.sampled_from([0.4, 0.7, 1.0, 1.5, 3.0])] * 3)
masks = hnp.arrays(bool, st.tuples(*[st.integers(1, 7)] * 3)).filter(lambda mask: mask.any())


def slow_places(mask, spacing_mm):
    """Middles of all cells of 2 x 2 x 2 voxels, beyond the edge too, that are neither all inside nor all outside."""
    padded = np.pad(mask, 1)
    places = []
    for z, y, x in np.ndindex(*(n - 1 for n in padded.shape)):
        cell = padded[z : z + 2, y : y + 2, x : x + 2]
        if cell.any() and not cell.all():
            places.append((np.array([z, y, x]) - 0.5) * spacing_mm[::-1])
    return np.array(places)


def ball(shape, centre, radius_mm, spacing_mm):
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    return sum(((g - c) * s) ** 2 for g, c, s in zip(grids, centre, spacing_mm[::-1], strict=True)) <= radius_mm**2


@given(masks, masks, spacings)
@settings(max_examples=60)
def test_distances_equal_brute_force(a, b, spacing_mm):
    shape = np.maximum(a.shape, b.shape)
    a, b = (np.pad(m, [(0, n - k) for n, k in zip(shape, m.shape, strict=True)]) for m in (a, b))
    one, other = find_surface(a, spacing_mm), find_surface(b, spacing_mm)
    np.testing.assert_allclose(one.places_mm, slow_places(a, spacing_mm))
    slow = np.linalg.norm(one.places_mm[:, None] - slow_places(b, spacing_mm)[None], axis=2)
    np.testing.assert_allclose(distances_mm(one, other), slow.min(axis=1), atol=1e-12)

    found = compare_surfaces(one, other)
    directed = []
    for own, nearest in ((one, slow.min(axis=1)), (other, slow.min(axis=0))):
        # The least distance within which 95% of the area lies.
        within = [own.areas_mm2[nearest <= limit].sum() / own.areas_mm2.sum() for limit in np.unique(nearest)]
        directed.append(np.unique(nearest)[np.argmax(np.array(within) >= 0.95 - 1e-12)])
    both = [*zip(slow.min(axis=1), one.areas_mm2, strict=True), *zip(slow.min(axis=0), other.areas_mm2, strict=True)]
    area = sum(weight for _, weight in both)
    assert found.hd95_mm == pytest.approx(max(directed))
    assert found.msd_mm == pytest.approx(sum(distance * weight for distance, weight in both) / area)
    for limit, dice in zip((1.0, 2.0), found.dice, strict=True):
        assert dice == pytest.approx(sum(weight for distance, weight in both if distance <= limit + 1e-6) / area)


@given(st.tuples(*[st.integers(1, 6)] * 3), spacings)
def test_area_of_a_box_in_closed_form(shape, spacing_mm):
    steps, n = np.array(spacing_mm[::-1]), np.array(shape) - 1
    half = steps / 2
    # Whole cells on the faces, cells cut at 45 degrees of the index along the edges, a triangle at each corner.
    faces = 2 * sum(np.delete(n * steps, axis).prod() for axis in range(3))
    edges = 4 * sum(n[axis] * steps[axis] * np.hypot(*np.delete(half, axis)) for axis in range(3))
    corners = 8 * 0.5 * np.sqrt(sum(np.delete(half, axis).prod() ** 2 for axis in range(3)))
    found = find_surface(np.ones(shape, bool), spacing_mm)
    assert found.areas_mm2.sum() == pytest.approx(faces + edges + corners)


@given(masks.filter(lambda mask: not mask.all()), spacings)
def test_a_structure_and_its_surroundings_have_one_surface(mask, spacing_mm):
    inside = np.pad(mask, 1)
    one, other = find_surface(inside, spacing_mm), find_surface(~inside, spacing_mm)
    # The surroundings also end where the map does.
    outer = np.any((other.places_mm < 0) | (other.places_mm > (np.array(inside.shape) - 1) * spacing_mm[::-1]), axis=1)
    np.testing.assert_allclose(other.places_mm[~outer], one.places_mm)
    np.testing.assert_allclose(other.areas_mm2[~outer], one.areas_mm2)


@given(masks, spacings, st.tuples(*[st.integers(0, 9)] * 3))
def test_a_crop_keeps_its_place(mask, spacing_mm, first):
    whole = np.pad(mask, [(low, 1) for low in first])
    one, other = find_surface(whole, spacing_mm), find_surface(mask, spacing_mm, first)
    np.testing.assert_allclose(one.places_mm, other.places_mm)
    np.testing.assert_array_equal(one.areas_mm2, other.areas_mm2)


boxes = st.tuples(*[st.tuples(st.integers(0, 11), st.integers(1, 8))] * 3)


@pytest.mark.peer
@given(boxes, boxes, spacings)
@settings(max_examples=60)
def test_hausdorff_of_boxes_equals_simpleitk(a, b, spacing_mm):
    """Of convex sets the distance of the sets, which SimpleITK gives, is that of their surfaces."""
    arrays = []
    for box in (a, b):
        array = np.zeros((20, 20, 20), np.uint8)
        array[tuple(slice(low, low + size) for low, size in box)] = 1
        arrays.append(array)
    images = [sitk.GetImageFromArray(array) for array in arrays]
    for image in images:
        image.SetSpacing(spacing_mm)
    reference = sitk.HausdorffDistanceImageFilter()
    reference.Execute(*images)
    one, other = (find_surface(array == 1, spacing_mm) for array in arrays)
    found = max(weighted_percentile(distances_mm(s, t), s.areas_mm2, 100.0) for s, t in ((one, other), (other, one)))
    assert found == pytest.approx(reference.GetHausdorffDistance(), abs=1e-5)


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 0.7, 1.5)])
def test_equals_the_reference_implementation_of_the_surface_dice(spacing_mm):
    """Its triangles differ from ours in bent cells, so areas agree to some percent and their shares far better."""
    from surface_distance import metrics

    rng = np.random.default_rng(4)
    shape = (30, 44, 40)
    a = ball(shape, (14, 20, 18), 9.0, spacing_mm) | ball(shape, (16, 26, 25), 6.0, spacing_mm)
    b = ball(shape, (15, 21, 18), 8.0, spacing_mm) | ball(shape, (14, 27, 24), 6.5, spacing_mm)
    b &= rng.random(shape) > 0.002
    one, other = find_surface(a, spacing_mm), find_surface(b, spacing_mm)
    found = compare_surfaces(one, other)
    theirs = metrics.compute_surface_distances(a, b, spacing_mm[::-1])
    assert one.areas_mm2.sum() == pytest.approx(theirs["surfel_areas_gt"].sum(), rel=0.04)
    assert found.hd95_mm == pytest.approx(metrics.compute_robust_hausdorff(theirs, 95), abs=0.15)
    assert found.msd_mm == pytest.approx(np.mean(metrics.compute_average_surface_distance(theirs)), rel=0.02)
    for limit, dice in zip((1.0, 2.0), found.dice, strict=True):
        assert dice == pytest.approx(metrics.compute_surface_dice_at_tolerance(theirs, limit), abs=0.005)
    hausdorff = max(distances_mm(one, other).max(), distances_mm(other, one).max())
    assert hausdorff == pytest.approx(metrics.compute_robust_hausdorff(theirs, 100))


def test_concentric_balls_lie_as_far_apart_as_their_radii():
    spacing_mm = (0.5, 0.5, 0.5)
    one, other = (find_surface(ball((60, 60, 60), (29, 30, 29), r, spacing_mm), spacing_mm) for r in (12.0, 13.5))
    found = compare_surfaces(one, other)
    # To half a voxel: a jagged surface is nearer at its points than the ball it stands for.
    assert found.msd_mm == pytest.approx(1.5, abs=0.4) and found.hd95_mm == pytest.approx(1.5, abs=0.4)
    assert found.dice[0] < 0.1 and found.dice[1] == 1.0
    # Half-way corners of marching cubes make a ball of voxels somewhat larger than the ball.
    assert one.areas_mm2.sum() == pytest.approx(4 * np.pi * 12.0**2, rel=0.1)


def test_a_shift_by_the_tolerance_is_within_it():
    """0.7 mm is not a binary fraction, and neither may its sum with rounding exceed 1.4 mm."""
    mask = np.zeros((8, 9, 12), bool)
    mask[2:5, 2:6, 2:6] = True
    spacing_mm = (0.7, 1.0, 1.0)
    one = find_surface(mask, spacing_mm)
    found = compare_surfaces(one, find_surface(np.roll(mask, 1, axis=2), spacing_mm))
    assert found.dice == (1.0, 1.0) and found.hd95_mm == pytest.approx(0.7)
    far = compare_surfaces(one, find_surface(np.roll(mask, 2, axis=1), spacing_mm))
    assert far.dice[0] < 1.0 and far.dice[1] == 1.0


def test_equal_surfaces_have_no_distance():
    surface = find_surface(np.ones((1, 1, 1), bool), (0.4, 0.4, 0.6))
    found = compare_surfaces(surface, surface)
    assert (found.hd95_mm, found.msd_mm, found.dice) == (0.0, 0.0, (1.0, 1.0))


def test_the_percentile_is_weighted():
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([0.1, 0.5, 0.4])
    assert weighted_percentile(values, weights, 50.0) == 1.0
    assert weighted_percentile(values, weights, 90.0) == 2.0
    assert weighted_percentile(values, weights, 90.1) == 3.0
    assert weighted_percentile(values, weights, 100.0) == 3.0
