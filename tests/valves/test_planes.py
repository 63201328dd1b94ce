"""Valve planes from labels: known planes recovered on any grid, stray contacts, what is not there."""

import numpy as np
import pytest
from support import scans
from whs_fast.valves.planes import VALVES, describe_planes, find_planes
from whs_fast.volume import Grid, Volume

CENTRE_MM = np.array((21.3, -44.7, 102.9))
ONE, TWO = 3, 5


def two_chambers(spacing_mm, *, axis=(0.6, -0.3, 0.74), direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), labels=(ONE, TWO),
                 semi_mm=(13.0, 10.0)):  # fmt: skip
    """An elliptical tube, the first label below the plane through CENTRE_MM, the second above; grid; frame."""
    shape = tuple(int(80 / s) for s in spacing_mm[::-1])
    step = np.reshape(direction, (3, 3)) * spacing_mm
    origin = CENTRE_MM + (3.1, -2.3, 4.4) - step @ ((np.array(shape[::-1]) - 1) / 2)
    w = np.array(axis) / np.linalg.norm(axis)
    u = np.cross(w, (0.3, 0.9, 0.1))
    u /= np.linalg.norm(u)
    z, y, x = np.indices(shape)
    away = np.moveaxis(np.tensordot(step, np.stack([x, y, z]), 1), 0, -1) + (origin - CENTRE_MM)
    across = (away @ u / semi_mm[0]) ** 2 + (away @ np.cross(w, u) / semi_mm[1]) ** 2
    along = away @ w
    inside = (across < 1) & (np.abs(along) < 24)
    return np.where(inside, np.where(along > 0, labels[1], labels[0]), 0).astype(np.uint8), Grid(
        shape, spacing_mm, tuple(origin), direction
    ), w  # fmt: skip


def angle_deg(a, b):
    return np.degrees(np.arccos(np.clip(np.dot(a, b), -1, 1)))


@pytest.mark.parametrize("spacing_mm", [(0.7, 0.7, 0.7), (0.5, 0.5, 1.5), (1.2, 0.9, 0.6)])
@pytest.mark.parametrize("axis", [(0.6, -0.3, 0.74), (0.0, 0.0, 1.0), (-0.9, 0.2, 0.1)])
def test_a_known_plane_is_found(spacing_mm, axis):
    labels, grid, normal = two_chambers(spacing_mm, axis=axis)
    found = find_planes(labels, grid, threads=2)["aortic"]
    assert angle_deg(found.plane.normal, normal) < 1.5
    assert abs((found.plane.centre_mm - CENTRE_MM) @ normal) < 0.5 * max(spacing_mm)
    assert np.linalg.norm(found.plane.centre_mm - CENTRE_MM) < 0.8
    assert found.area_mm2 == pytest.approx(np.pi * 130, rel=0.05)
    radii = np.linalg.norm(found.contour, axis=1)
    assert radii.max() == pytest.approx(13, abs=1.0) and radii.min() == pytest.approx(10, abs=1.0)
    assert found.rms_mm < max(spacing_mm) and found.uncertainty_mm < 0.3 and found.uncertainty_deg < 2


@pytest.mark.parametrize("how", scans.ORIENTATIONS)
def test_planes_do_not_depend_on_how_labels_are_stored(how):
    labels, grid, normal = two_chambers((0.8, 1.0, 1.3))
    turned = scans.reorient(Volume(labels.astype(np.int16), grid.spacing_mm, grid.origin_mm, grid.direction), *how)
    found = find_planes(turned.array.astype(np.uint8), turned.grid, threads=1)["aortic"]
    straight = find_planes(labels, grid, threads=1)["aortic"]
    np.testing.assert_allclose(found.plane.centre_mm, straight.plane.centre_mm, atol=1e-6)
    np.testing.assert_allclose(found.plane.normal, straight.plane.normal, atol=1e-6)
    assert found.plane.normal @ normal > 0.99


@pytest.mark.parametrize(("name", "labels"), [("aortic", (3, 5)), ("mitral", (2, 3)), ("tricuspid", (8, 9)),
                                              ("pulmonary", (9, 10))])  # fmt: skip
def test_normals_point_with_the_stream(name, labels):
    array, grid, normal = two_chambers((1.0, 1.0, 1.0), labels=labels)
    found = find_planes(array, grid, threads=1)
    assert found[name].plane.normal @ normal > 0.99
    assert all(isinstance(found[other], str) for other in VALVES if other != name)


def test_a_stray_contact_does_not_turn_the_plane():
    labels, grid, _ = two_chambers((1.0, 1.0, 1.0))
    straight = find_planes(labels, grid, threads=1)["aortic"]
    z, y, x = np.argwhere(labels == TWO)[np.argmax(np.argwhere(labels == TWO) @ (1, 1, 1))]
    labels[z - 2 : z + 2, y : y + 4, x + 1 : x + 5] = ONE
    found = find_planes(labels, grid, threads=1)["aortic"]
    assert angle_deg(found.plane.normal, straight.plane.normal) < 0.5
    assert np.linalg.norm(found.plane.centre_mm - straight.plane.centre_mm) < 0.3


def test_what_does_not_meet_is_said():
    labels, grid, _ = two_chambers((1.0, 1.0, 1.0))
    labels[labels == TWO] = 0
    told = describe_planes(find_planes(labels, grid, threads=1))
    assert told["aortic"] == {"not_measurable": "Left ventricular cavity and aorta do not meet"}
    assert set(told) == set(VALVES)


def test_an_interface_of_a_few_voxels_is_no_valve():
    labels, grid, _ = two_chambers((1.0, 1.0, 1.0), semi_mm=(4.0, 4.0))
    assert isinstance(find_planes(labels, grid, threads=1)["aortic"], str)


def test_a_blob_of_one_chamber_inside_the_other_has_no_plane():
    """Its faces look all ways: they add up to nothing, and no normal is better than another."""
    labels = np.full((40, 40, 40), TWO, np.uint8)
    labels[10:24, 12:26, 8:22] = ONE
    found = find_planes(labels, Grid(labels.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), threads=1)
    assert found["aortic"] == "Left ventricular cavity and aorta do not meet"


@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 2, 2)])
def test_a_few_large_faces_are_no_plane(shape):
    """With an eighth of them left out there may be none."""
    labels = np.full(shape, ONE, np.uint8)
    labels[..., 1] = TWO
    found = find_planes(labels, Grid(labels.shape, (12.0, 12.0, 12.0), (0.0, 0.0, 0.0)), threads=1)
    assert found["aortic"] == "Left ventricular cavity and aorta do not meet"
