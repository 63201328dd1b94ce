"""Volumes, mass, edges and the doubts they raise."""

import numpy as np
import pytest
from whs_fast.steps.measure import find_doubts, measure
from whs_fast.steps.region import REGION_SHAPE, REGION_SPACING_MM, region_grid
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.volume import Grid, axis_aligned_grid, index_map

VALVE_MM = (10.0, -20.0, 30.0)
TILT = 0.3
OBLIQUE = (np.cos(TILT), -np.sin(TILT), 0.0, np.sin(TILT), np.cos(TILT), 0.0, 0.0, 0.0, 1.0)


def grid_around(shape, spacing_mm, direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)):
    axes = np.reshape(direction, (3, 3)) * np.asarray(spacing_mm)
    return Grid(
        shape, spacing_mm, tuple(np.asarray(VALVE_MM) - axes @ ((np.asarray(shape[::-1]) - 1) / 2.0)), direction
    )


def measured(labels, grid):
    return measure(labels, grid, VALVE_MM, region=region_grid(grid, VALVE_MM), threads=2)


def test_fields_are_those_of_the_contract():
    result = measured(np.zeros((20, 20, 20), np.uint8), grid_around((20, 20, 20), (5.0, 5.0, 5.0)))
    assert list(result) == ["schema", "aortic_valve_mm", "structures", "lv_myocardium_mass_g"]
    assert result["schema"] == 1 and result["aortic_valve_mm"] == [10.0, -20.0, 30.0]
    assert list(result["structures"]) == [structure.key for structure in STRUCTURES]
    for structure in STRUCTURES:
        entry = {"label": structure.label, "volume_ml": 0.0, "touches_scan_edge": False, "touches_region_edge": False}
        assert result["structures"][structure.key] == entry
        assert all(type(value) in (int, float, bool) for value in result["structures"][structure.key].values())


def test_volumes_count_voxels_and_the_muscle_is_weighed():
    labels = np.random.default_rng(0).integers(0, 11, (20, 22, 24), np.uint8)
    grid = grid_around(labels.shape, (0.5, 0.6, 1.5), OBLIQUE)
    result = measured(labels, grid)
    for structure in STRUCTURES:
        expected = (labels == structure.label).sum() * 0.5 * 0.6 * 1.5 / 1000
        assert result["structures"][structure.key]["volume_ml"] == pytest.approx(expected, abs=0.0006)
    assert result["lv_myocardium_mass_g"] == pytest.approx((labels == 4).sum() * 0.45 / 1000 * 1.05, abs=0.0006)


@pytest.mark.parametrize("face", [(axis, end) for axis in range(3) for end in (0, -1)])
@pytest.mark.parametrize(("spacing_mm", "layers"), [(5.0, 1), (1.0, 3), (0.4, 6), (0.75, 3)])
def test_the_outermost_layers_of_the_scan_are_its_edge(face, spacing_mm, layers):
    """The outermost, and those that are not wholly further than 2 mm from the outer face."""
    axis, end = face
    for depth in range(layers + 2):
        labels = np.zeros((19, 20, 21), np.uint8)
        place = [9, 9, 9]
        place[axis] = depth if end == 0 else labels.shape[axis] - 1 - depth
        labels[tuple(place)] = BY_KEY["aorta"].label
        steps = [5.0, 5.0, 5.0]
        steps[2 - axis] = spacing_mm
        result = measured(labels, grid_around(labels.shape, tuple(steps)))
        assert result["structures"]["aorta"]["touches_scan_edge"] is (depth < layers)
        assert not any(result["structures"][s.key]["touches_scan_edge"] for s in STRUCTURES if s.key != "aorta")


def slow_region_edge(labels, grid, label):
    matrix = index_map(grid, region_grid(grid, VALVE_MM))
    places = np.argwhere(labels == label) @ matrix[:, :3].T + matrix[:, 3]
    steps = np.maximum(1.0, np.abs(matrix[:, :3]).max(axis=1))
    return bool((np.minimum(places + 0.5, np.subtract(REGION_SHAPE, 0.5) - places) <= steps + 1e-6).any())


@pytest.mark.parametrize("direction", [(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (0, 0, 1.0, -1.0, 0, 0, 0, -1.0, 0), OBLIQUE])
@pytest.mark.parametrize("spacing_mm", [(4.0, 5.0, 6.0), (7.0, 3.0, 9.0)])
def test_edges_of_the_region_equal_the_definition(direction, spacing_mm):
    """Balls of growing size and shifting place: some reach the faces of the region, some stay short of them."""
    shape = (60, 64, 66)
    grid = grid_around(shape, spacing_mm, direction)
    rng = np.random.default_rng(3)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    seen = set()
    for _ in range(12):
        labels = np.zeros(shape, np.uint8)
        for label in range(1, 11):
            centre, radius = rng.uniform(15, 47, 3), rng.uniform(1, 9)
            labels[(z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2] = label
        result = measured(labels, grid)["structures"]
        for structure in STRUCTURES:
            expected = slow_region_edge(labels, grid, structure.label)
            assert result[structure.key]["touches_region_edge"] is expected
            seen.add(expected)
    assert seen == {True, False}


def test_a_scan_that_is_the_region_touches_in_its_outermost_layer_only():
    grid = axis_aligned_grid(VALVE_MM, REGION_SHAPE, REGION_SPACING_MM)
    for x, touches in ((0, True), (1, False), (318, False), (319, True)):
        labels = np.zeros(grid.shape, np.uint8)
        labels[160, 160, x] = 2
        assert measured(labels, grid)["structures"]["left_atrium"]["touches_region_edge"] is touches


def full_heart(shape=(40, 40, 40)):
    labels = np.zeros(shape, np.uint8)
    for label in range(1, 11):
        labels[10:20, 10:20, 8 + 2 * label : 9 + 2 * label] = label
    return labels


def doubts(labels, spacing_mm=(5.0, 5.0, 5.0)):
    grid = grid_around(labels.shape, spacing_mm)
    return find_doubts(measured(labels, grid), grid)


def test_a_whole_heart_in_the_middle_raises_no_doubt():
    assert doubts(full_heart()) == []


def test_a_structure_at_the_edge_is_named_once_and_the_aorta_not_at_all():
    labels = full_heart()
    labels[0, 10, 10] = BY_KEY["pulmonary_artery"].label
    labels[39, 10, 10] = BY_KEY["superior_vena_cava"].label
    labels[39, 12, 12] = BY_KEY["aorta"].label
    (text,) = doubts(labels)
    assert text.startswith("cut off by the edge of the scan")
    assert "superior vena cava, pulmonary artery" in text and "aorta" not in text


@pytest.mark.parametrize(
    ("missing", "word"), [("left_atrium", "contrast"), ("left_ventricle_cavity", "contrast"), ("coronary_sinus", None)]
)
def test_what_was_not_found_is_said(missing, word):
    labels = full_heart()
    labels[labels == BY_KEY[missing].label] = 0
    (text,) = doubts(labels)
    assert BY_KEY[missing].name.lower() in text
    assert ("contrast" in text) is (word is not None)


@pytest.mark.parametrize(
    ("spacing_mm", "warned"), [((5.0, 5.0, 1.0), True), ((1.0, 5.0, 5.0), True), ((5.0, 2.0, 5.0), False)]
)
def test_a_valve_near_the_edge_of_the_scan_is_doubted(spacing_mm, warned):
    texts = [text for text in doubts(full_heart(), spacing_mm) if "aortic valve" in text]
    assert bool(texts) is warned
    if warned:
        assert "20 mm from the edge" in texts[0]
