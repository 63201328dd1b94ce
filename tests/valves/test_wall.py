"""The left ventricle's wall: shells of known thickness, and a place on the wall that must come in its own segment."""

import json
from importlib import resources

import jsonschema
import numpy as np
import pytest
from whs_fast.report.bulls_eye import draw_bulls_eye
from whs_fast.valves.planes import find_planes
from whs_fast.valves.wall import SEGMENTS, describe_wall
from whs_fast.volume import Grid

ATRIUM, CAVITY, MUSCLE, RIGHT = 2, 3, 4, 9
WHOLE = {"touches_scan_edge": False, "touches_region_edge": None}
SEMI_MM, LENGTH_MM, BASE_MM = 24.0, 45.0, -15.0
ALONG = np.array((0.6, -0.6, -0.5)) / np.linalg.norm((0.6, -0.6, -0.5))  # to the left, forwards and down
SEPTAL = np.array((-0.7, -0.5, 0.0)) - (np.array((-0.7, -0.5, 0.0)) @ ALONG) * ALONG  # the RV: to the right, in front
SEPTAL = SEPTAL / np.linalg.norm(SEPTAL)
FRONT = np.cross(SEPTAL, ALONG)  # upwards: the anterior wall
TOWARDS = {  # the middle of each wall, from the septum's middle forwards, degrees
    "anteroseptal": 30, "anterior": 90, "anterolateral": 150,
    "inferolateral": 210, "inferior": 270, "inferoseptal": 330,
}  # fmt: skip


def ventricle(spacing_mm, *, wall_mm=10.0, thick=None, papillary=False):
    """Half an ellipsoid with a wall around it, an atrium above it and a right ventricle beside it; labels and grid.

    thick: degrees from the septum forwards where the wall is 3 mm thicker.
    """
    shape = tuple(int(150 / s) for s in spacing_mm[::-1])
    z, y, x = np.indices(shape, dtype=np.float32)
    points = np.stack([x * spacing_mm[0], y * spacing_mm[1], z * spacing_mm[2]], -1) - 75
    height, across, front = points @ ALONG, points @ SEPTAL, points @ FRONT
    away = np.hypot(across, front)
    wall = np.full(shape, wall_mm)
    if thick is not None:
        turn = np.degrees(np.arctan2(front, across)) - thick
        wall[np.abs((turn + 180) % 360 - 180) < 30] += 3
    below = height > BASE_MM
    labels = np.zeros(shape, np.uint8)
    labels[np.linalg.norm(points - 52 * SEPTAL, axis=-1) < 17] = RIGHT
    labels[below & ((away / (SEMI_MM + wall)) ** 2 + (height / (LENGTH_MM + wall)) ** 2 < 1)] = MUSCLE
    labels[below & ((away / SEMI_MM) ** 2 + (height / LENGTH_MM) ** 2 < 1)] = CAVITY
    labels[~below & (height > BASE_MM - 25) & (away < 0.95 * SEMI_MM)] = ATRIUM
    if papillary:
        labels[(np.hypot(across + 8, front) < 4) & (labels == CAVITY) & (np.abs(height - 8) < 10)] = MUSCLE
    return labels, Grid(shape, spacing_mm, (-75.0, -75.0, -75.0))


def measure(labels, grid, muscle=WHOLE):
    return describe_wall(labels, grid, find_planes(labels, grid, threads=1)["mitral"], muscle)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.8, 0.8, 1.5)])
@pytest.mark.parametrize(("wall_mm", "papillary"), [(5.0, False), (10.0, True), (16.0, False)])
def test_a_known_thickness_is_found(spacing_mm, wall_mm, papillary):
    found = measure(*ventricle(spacing_mm, wall_mm=wall_mm, papillary=papillary))
    assert [segment["name"] for segment in found["segments"]] == list(SEGMENTS)
    np.testing.assert_allclose([s["thickness_mm"] for s in found["segments"]], wall_mm, atol=0.5)
    assert found["mean_mm"] == pytest.approx(wall_mm, abs=0.3)
    assert found["long_axis_mm"] == pytest.approx(LENGTH_MM - BASE_MM, abs=2)
    np.testing.assert_allclose(found["apex_mm"], LENGTH_MM * ALONG, atol=2)


@pytest.mark.parametrize("name", TOWARDS)
def test_a_thick_place_comes_in_its_segment(name):
    found = measure(*ventricle((1.0, 1.0, 1.0), thick=TOWARDS[name]))
    thickness = {s["name"]: s["thickness_mm"] for s in found["segments"]}
    for level in ("basal", "mid"):
        own = {wall: thickness[f"{level} {wall}"] for wall in TOWARDS}
        assert max(own, key=own.get) == name
        assert own.pop(name) == pytest.approx(13, abs=0.6)
        np.testing.assert_allclose(list(own.values()), 10, atol=0.6)
    apical = {
        "anterior": "anterior", "inferior": "inferior", "anterolateral": "lateral", "inferolateral": "lateral",
        "anteroseptal": "septal", "inferoseptal": "septal",
    }  # fmt: skip
    assert max(SEGMENTS[12:16], key=thickness.get) == f"apical {apical[name]}"


def test_what_cannot_be_measured_is_said():
    labels, grid = ventricle((1.5, 1.5, 1.5))
    assert "cut off" in measure(labels, grid, WHOLE | {"touches_scan_edge": True})["not_measurable"]
    assert "do not meet" in measure(np.where(labels == ATRIUM, 0, labels).astype(np.uint8), grid)["not_measurable"]
    alone = np.where(labels == RIGHT, 0, labels).astype(np.uint8)
    assert measure(alone, grid)["not_measurable"] == "the label map does not show both ventricles"
    bare = np.where(labels == MUSCLE, 0, labels).astype(np.uint8)
    assert measure(bare, grid)["not_measurable"] == "no wall is seen around the cavity"


def test_figures_follow_the_schema_and_are_drawn():
    found = measure(*ventricle((1.5, 1.5, 1.5)))
    found["segments"][3] = {"name": SEGMENTS[3], "not_measurable": "too little wall is seen"}
    schema = json.loads((resources.files("whs_fast") / "data" / "measurements.schema.json").read_text("utf-8"))
    jsonschema.validate(
        json.loads(json.dumps(found)), schema["properties"]["left_ventricle_wall"] | {"$defs": schema["$defs"]}
    )
    drawn = draw_bulls_eye(found)
    assert drawn.count("<path") == 17 and "4, basal inferior: too little wall is seen" in drawn
    assert "Not measurable: a &lt;b&gt;." in draw_bulls_eye({"not_measurable": "a <b>"})
