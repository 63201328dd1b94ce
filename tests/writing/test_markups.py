"""Markups of 3D Slicer: what is written, what comes back after Slicer saved it, and what is refused."""

import json

import numpy as np
import pytest
from slicerio import markups as slicer
from whs_fast.errors import InputError
from whs_fast.reading.markups import read_hinge_points
from whs_fast.writing.markups import write_markups

HINGES = {"right": (10.0, -12.5, 3.0), "left": (-9.0, -2.0, 5.5), "non_coronary": (8.0, 9.0, -1.0)}
CONTOUR = [(12.0, 0.0, 0.0), (0.0, 11.0, 0.0), (-12.0, 0.0, 0.0), (0.0, -11.0, 0.0)]
PLANE = {"centre_mm": (0.0, 0.0, 0.0), "normal": (0.0, 0.0, 1.0), "contour_mm": CONTOUR}
MEASURED = {
    "valves": {"aortic": PLANE, "mitral": {"not_measurable": "they do not meet"}},
    "aortic_root": {
        "annulus": PLANE | {"hinge_points_mm": HINGES},
        "coronary_ostia": {"right": {"rim_mm": (11.0, -8.0, 14.0), "height_mm": 14.0}, "left": {"not_measurable": "-"}},
    },
    "ascending_aorta": PLANE,
}


@pytest.fixture
def file(tmp_path):
    write_markups(tmp_path / "valves.mrk.json", MEASURED)
    return tmp_path / "valves.mrk.json"


def save(folder, markups):
    path = folder / "own.mrk.json"
    path.write_text(markups if isinstance(markups, str) else json.dumps({"markups": markups}))
    return path


def points(system="LPS", **placed):
    return {
        "type": "Fiducial",
        "coordinateSystem": system,
        "controlPoints": [{"label": label, "position": list(point)} for label, point in placed.items()],
    }


def test_planes_contours_and_points_are_written(file):
    content = json.loads(file.read_text())
    assert content["@schema"] == slicer._MARKUPS_SCHEMA
    kinds = {(markup["name"], markup["type"]): markup for markup in content["markups"]}
    assert list(kinds) == [
        ("Aortic valve, plane", "Plane"),
        ("Aortic valve, contour", "ClosedCurve"),
        ("Aortic annulus, plane", "Plane"),
        ("Aortic annulus, contour", "ClosedCurve"),
        ("Hinge points", "Fiducial"),
        ("Coronary ostia", "Fiducial"),
        ("Ascending aorta, plane", "Plane"),
        ("Ascending aorta, contour", "ClosedCurve"),
    ]
    assert {markup["coordinateSystem"] for markup in content["markups"]} == {"LPS"}
    plane = kinds["Aortic annulus, plane", "Plane"]
    matrix = np.reshape(plane["baseToNode"], (4, 4))
    np.testing.assert_allclose(matrix[:3, 2], plane["normal"])
    np.testing.assert_allclose(matrix[:3, 3], plane["center"])
    assert np.linalg.det(matrix) == pytest.approx(1)
    contour = kinds["Aortic annulus, contour", "ClosedCurve"]["controlPoints"]
    assert [tuple(point["position"]) for point in contour] == CONTOUR
    assert [point["label"] for point in kinds["Coronary ostia", "Fiducial"]["controlPoints"]] == ["right"]


def test_hinge_points_come_back(file):
    np.testing.assert_array_equal(read_hinge_points(file), list(HINGES.values()))


def test_points_in_ras_and_in_another_order_are_the_same(tmp_path):
    moved = {label: (-x, -y, z) for label, (x, y, z) in reversed(HINGES.items())}
    np.testing.assert_array_equal(
        read_hinge_points(save(tmp_path, [points("RAS", **moved)])), list(HINGES.values())
    )  # fmt: skip


@pytest.mark.parametrize(
    ("markups", "told"),
    [
        ("no json", "found no JSON"),
        ("[" * 100_000, "found no JSON"),
        ("[]", "JSON of another kind"),
        ([{"controlPoints": [{"label": "right"}]}], "JSON of another kind"),
        ([points("scanner", **HINGES)], "JSON of another kind"),
        ([points(right=(0, 0, float("nan")), left=(1, 1, 1), non_coronary=(2, 2, 2))], "JSON of another kind"),
        ([points(a=(0, 0, 0), b=(9, 0, 0), c=(0, 9, 0))], "found 0 lists of points"),
        ([points(**HINGES)] * 2, "found 2 lists of points"),
        ([points(right=(0, 0, 0), left=(0, 0, 0), non_coronary=(20, 0, 0))], "found hinge points 0 to 20 mm apart"),
    ],
)
def test_other_files_are_refused(tmp_path, markups, told):
    with pytest.raises(InputError, match=told):
        read_hinge_points(save(tmp_path, markups))
    with pytest.raises(InputError, match="cannot be read"):
        read_hinge_points(tmp_path / "none.mrk.json")


def test_nothing_measured_is_told(tmp_path):
    with pytest.raises(InputError, match="no valve that was measured"):
        write_markups(tmp_path / "valves.mrk.json", {"structures": {}})
