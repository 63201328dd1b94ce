"""The valve point from labels: the centre of the interface, in any orientation, or nothing."""

import numpy as np
import pytest
from support import scans
from whs_fast.steps.refine_valve import refine_valve
from whs_fast.volume import Grid, Volume, index_to_mm

VALVE_MM = np.array((21.3, -44.7, 102.9))


def ventricle_and_aorta(spacing_mm, direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), axis_mm=(0.6, -0.3, 0.74)):
    """A tube of radius 12 mm through the valve: the cavity below its plane, the aorta above, both 35 mm long."""
    shape = tuple(int(110 / s) for s in spacing_mm[::-1])
    step = np.reshape(direction, (3, 3)) * spacing_mm
    origin = VALVE_MM + (3.1, -2.3, 4.4) - step @ ((np.array(shape[::-1]) - 1) / 2)
    z, y, x = np.indices(shape)
    away = np.tensordot(step, np.stack([x, y, z]), 1) + (origin - VALVE_MM)[:, None, None, None]
    axis = np.array(axis_mm) / np.linalg.norm(axis_mm)
    along = np.tensordot(axis, away, 1)
    across = np.sqrt((away**2).sum(0) - along**2)
    labels = np.where((across < 12) & (np.abs(along) < 35), np.where(along > 0, 5, 3), 0).astype(np.uint8)
    return labels, Grid(shape, spacing_mm, tuple(origin), direction)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 0.5, 2.0), (0.8, 1.3, 0.6)])
def test_the_centre_of_the_interface_is_found(spacing_mm):
    labels, grid = ventricle_and_aorta(spacing_mm)
    near = tuple(VALVE_MM + (9.0, -12.0, 8.0))
    np.testing.assert_allclose(refine_valve(labels, grid, near), VALVE_MM, atol=0.6)


@pytest.mark.parametrize("how", scans.ORIENTATIONS)
def test_the_point_does_not_depend_on_how_the_labels_are_stored(how):
    labels, grid = ventricle_and_aorta((1.0, 1.2, 1.5))
    turned = scans.reorient(Volume(labels.astype(np.int16), grid.spacing_mm, grid.origin_mm, grid.direction), *how)
    near = tuple(VALVE_MM + 5)
    found = refine_valve(turned.array.astype(np.uint8), turned.grid, near)
    np.testing.assert_allclose(found, refine_valve(labels, grid, near), atol=0.11)


def test_an_oblique_grid_changes_nothing():
    c, s = np.cos(0.4), np.sin(0.4)
    labels, grid = ventricle_and_aorta((0.9, 0.9, 1.1), (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0))
    np.testing.assert_allclose(refine_valve(labels, grid, tuple(VALVE_MM)), VALVE_MM, atol=0.6)


def test_a_stray_contact_does_not_pull_the_point():
    labels, grid = ventricle_and_aorta((1.0, 1.0, 1.0))
    stray = np.array(grid.shape) // 2 + (30, 30, 25)
    labels[tuple(slice(i, i + 4) for i in stray)] = 3
    labels[stray[0] + 4 : stray[0] + 8, stray[1] : stray[1] + 4, stray[2] : stray[2] + 4] = 5
    np.testing.assert_allclose(refine_valve(labels, grid, tuple(VALVE_MM)), VALVE_MM, atol=0.6)


def test_without_an_interface_there_is_no_point():
    labels, grid = ventricle_and_aorta((1.0, 1.0, 1.0))
    assert refine_valve(np.where(labels == 5, 0, labels), grid, tuple(VALVE_MM)) is None
    far = index_to_mm(grid, (-80.0, -80.0, -80.0))
    assert refine_valve(labels, grid, far) is None
