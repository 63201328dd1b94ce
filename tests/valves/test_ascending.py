"""The ascending aorta on phantoms of bent tubes whose diameters are known, and what spoils them."""

import json
from importlib import resources

import jsonschema
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree
from whs_fast.valves.ascending import USUAL_MM, describe_ascending
from whs_fast.valves.planes import find_planes
from whs_fast.volume import Volume

SPACING = 1.0
SHAPE = (142, 80, 140)  # z, y, x
BEND_MM, RISE_MM = 32.0, 70.0  # radius of the arch, and where it begins over the valve
WIDE_AT_MM = 48.0  # over the valve
BLOOD, TISSUE = 380, 50


def draw(*, semi_mm=14.0, wider_mm=9.0, ratio=1.2):
    """Scan and labels of a ventricle and an aorta that rises from z = 20 mm, wide at WIDE_AT_MM, and its semi-axes."""
    along = np.arange(0, RISE_MM + np.pi * BEND_MM, 0.5)
    turn = np.maximum(along - RISE_MM, 0) / BEND_MM
    line = np.stack([35 + BEND_MM * (1 - np.cos(turn)), np.full_like(along, 40.0),
                     20 + np.minimum(along, RISE_MM) + BEND_MM * np.sin(turn)], -1)  # fmt: skip
    semi = semi_mm + wider_mm * np.exp(-0.5 * ((along - WIDE_AT_MM) / 12) ** 2)
    z, y, x = np.indices(SHAPE, dtype=np.float32)
    points = np.stack([x, y, z], -1) * SPACING
    _, nearest = cKDTree(line).query(points.reshape(-1, 3), workers=1, distance_upper_bound=40)
    nearest = np.minimum(nearest, len(line) - 1).reshape(SHAPE)
    away = points - line[nearest]
    across = np.sqrt((away[..., 1] / ratio) ** 2 + away[..., 0] ** 2 + away[..., 2] ** 2)
    depth = across - semi[nearest]
    share = np.clip(0.5 - depth, 0, 1)  # of the voxel that is blood
    below = z * SPACING < 20
    share[below] = (np.hypot(x - 35, y - 40)[below] < 15) & (z[below] > 5)
    hu = ndimage.gaussian_filter(TISSUE + share * (BLOOD - TISSUE), 0.6)
    hu += np.random.default_rng(5).normal(0, 15, SHAPE)
    labels = np.where(share > 0.5, np.where(below, 3, 5), 0).astype(np.uint8)
    return Volume(np.rint(hu).astype(np.int16), (SPACING,) * 3, (-30.0, 10.0, 400.0)), labels, depth


@pytest.fixture(scope="module")
def drawn():
    return draw()


def measure(scan, labels, threads=1):
    valve = find_planes(labels, scan.grid, threads=1)["aortic"]
    return describe_ascending(scan, labels, valve, {}, threads=threads)


def test_an_elliptic_aneurysm_is_measured_where_it_is_widest(drawn):
    scan, labels, _ = drawn
    told = measure(scan, labels)
    assert told["dmax_mm"] == pytest.approx(2 * 1.2 * 23, abs=0.5)
    assert told["dmin_mm"] == pytest.approx(2 * 23, abs=0.5)
    assert told["along_mm"] == pytest.approx(WIDE_AT_MM - USUAL_MM, abs=4)
    assert (told["begins_at"], told["ends_at"]) == ("usual_height", "arch")
    assert told["length_mm"] == pytest.approx(RISE_MM - USUAL_MM + np.deg2rad(60) * BEND_MM, abs=6)
    assert told["normal"][2] > 0.99
    assert told == measure(scan, labels, threads=2)
    schema = json.loads((resources.files("whs_fast") / "data" / "measurements.schema.json").read_text("utf-8"))
    own = schema["properties"]["ascending_aorta"] | {"$defs": schema["$defs"]}
    jsonschema.validate(json.loads(json.dumps(told)), own)


def test_where_the_scan_ends_before_the_arch_it_is_said(drawn):
    scan, labels, _ = drawn
    top = 20 + int(WIDE_AT_MM) - 4  # the widest place is not in the scan
    cut = Volume(np.ascontiguousarray(scan.array[:top]), scan.spacing_mm, scan.origin_mm)
    told = measure(cut, np.ascontiguousarray(labels[:top]))
    assert told["ends_at"] == "scan_edge" and told["along_mm"] > told["length_mm"] - 4
    assert 40 < told["dmax_mm"] < 2 * 1.2 * 23
    little = np.ascontiguousarray(labels[:50])
    short = Volume(np.ascontiguousarray(scan.array[:50]), scan.spacing_mm, scan.origin_mm)
    assert "the scan ends" in measure(short, little)["not_measurable"]


def test_a_dissected_aorta_is_not_measured(drawn):
    scan, labels, depth = drawn
    y = np.arange(SHAPE[1])[:, None] - 40
    flap = np.where((labels == 5) & (np.abs(y - 4) < 1.2), 60, scan.array)
    clot = np.where((labels == 5) & (depth > -4) & (depth < -0.5), 90, scan.array)
    for spoilt, reason in ((flap, "not filled evenly"), (clot, "border of the ascending aorta is not seen")):
        hu = np.rint(ndimage.gaussian_filter(spoilt.astype(float), 0.5)).astype(np.int16)
        told = measure(Volume(hu, scan.spacing_mm, scan.origin_mm), labels)
        assert reason in told["not_measurable"]


def test_without_contrast_it_says_so(drawn):
    scan, labels, _ = drawn
    native = Volume(np.minimum(scan.array, 60), scan.spacing_mm, scan.origin_mm)
    assert "no contrast" in measure(native, labels)["not_measurable"]
