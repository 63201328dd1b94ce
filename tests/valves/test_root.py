"""The aortic root measured on drawn scans whose root is known, and what spoils them."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import SimpleITK as sitk
import whs_fast
from scipy import ndimage

torch = pytest.importorskip("torch")

from importlib import resources  # noqa: E402

from whs_fast.errors import InputError  # noqa: E402
from whs_fast.steps.measure import find_doubts  # noqa: E402
from whs_fast.structures import STRUCTURES  # noqa: E402
from whs_fast.valves.motion import has_steps  # noqa: E402
from whs_fast.valves.planes import describe_planes, find_planes  # noqa: E402
from whs_fast.valves.root import describe_root, find_root  # noqa: E402
from whs_fast.volume import Volume  # noqa: E402
from whs_fast.writing.label_maps import write_labels  # noqa: E402

from training.heart import CALCIUM, structures_of  # noqa: E402
from training.parametric import draw_rooted, sample_parametric  # noqa: E402
from training.root_truth import root_truth  # noqa: E402
from training.testsets import Acquisition, render_test  # noqa: E402

ROOT = (98, 3)  # seed
SPACING = 0.5
SIDE = 136
CUSPS = ("right", "left", "non_coronary")


def render(anatomy, truth):
    """Scan and labels around the valve of an anatomy."""
    origin = truth.annulus.plane.centre_mm + 6 * truth.annulus.plane.normal - SPACING * (SIDE - 1) / 2
    tissues = sample_parametric(anatomy, (SIDE,) * 3, (SPACING,) * 3, tuple(origin))
    how = Acquisition(contrast_hu=400, noise_hu=15, slice_mm=SPACING)
    hu = render_test(tissues.numpy(), np.full(3, SPACING), how, np.random.default_rng(0), calcify=False)
    return Volume(hu, (SPACING,) * 3, tuple(origin)), np.ascontiguousarray(structures_of(tissues).numpy())


@pytest.fixture(scope="module")
def drawn():
    """Scan, labels and truth of a root around its valve."""
    anatomy = draw_rooted(np.random.default_rng(ROOT))
    truth = root_truth(anatomy)
    return *render(anatomy, truth), truth


def measure(scan, labels, threads=1):
    planes = find_planes(labels, scan.grid, threads=threads)
    return describe_planes(planes), describe_root(find_root(scan, labels, planes, threads=threads))


@pytest.fixture(scope="module")
def told(drawn):
    scan, labels, _ = drawn
    return measure(scan, labels)


def angle_deg(a, b):
    return np.degrees(np.arccos(np.clip(np.dot(a, b), -1, 1)))


def test_the_annulus_is_that_of_the_drawing(drawn, told):
    truth, annulus = drawn[2], told[1]["annulus"]
    assert angle_deg(annulus["normal"], truth.annulus.plane.normal) < 5
    assert abs(truth.annulus.plane.height(np.array(annulus["centre_mm"]))) < 1
    assert annulus["area_mm2"] == pytest.approx(truth.annulus.shape.area_mm2, rel=0.05)
    assert annulus["perimeter_mm"] == pytest.approx(truth.annulus.shape.perimeter_mm, rel=0.025)
    hinges = [annulus["hinge_points_mm"][cusp] for cusp in CUSPS]
    assert np.linalg.norm(np.array(hinges) - truth.hinges_mm, axis=1).max() < 4  # no two are mistaken for one another
    assert annulus["area_diameter_mm"] == pytest.approx(2 * np.sqrt(annulus["area_mm2"] / np.pi), abs=0.06)
    assert annulus["eccentricity"] == pytest.approx(1 - annulus["dmin_mm"] / annulus["dmax_mm"], abs=0.01)


def test_the_rest_of_the_root_is_that_of_the_drawing(drawn, told):
    truth, root = drawn[2], told[1]
    assert root["lvot"]["area_mm2"] == pytest.approx(truth.lvot.shape.area_mm2, rel=0.06)
    assert root["sinotubular_junction"]["height_mm"] == pytest.approx(truth.junction_height_mm, abs=1.5)
    assert root["sinotubular_junction"]["area_mm2"] == pytest.approx(truth.junction.shape.area_mm2, rel=0.15)
    assert root["sinuses"]["mean_mm"] == pytest.approx(truth.sinus_mm.mean(), abs=1.5)
    assert 1 < root["calcium"]["volume_mm3"]["total"] / truth.calcium_mm3.sum() < 2  # it blooms
    heights = [root["coronary_ostia"][side]["height_mm"] for side in ("right", "left")]
    np.testing.assert_allclose(heights, truth.ostium_heights_mm, atol=2.5)


def test_calcium_is_all_that_is_brighter_than_the_threshold_where_calcium_is_drawn(drawn, told):
    scan, calcium = drawn[0], told[1]["calcium"]
    tissues = sample_parametric(draw_rooted(np.random.default_rng(ROOT)), (SIDE,) * 3, scan.spacing_mm, scan.origin_mm)
    near = ndimage.distance_transform_edt(tissues.numpy() != CALCIUM, sampling=SPACING) < 2
    bright = np.count_nonzero(near & (scan.array > calcium["threshold_hu"])) * SPACING**3
    assert calcium["volume_mm3"]["total"] == pytest.approx(bright, rel=0.1)


def test_figures_follow_the_schema(told):
    schema = json.loads((resources.files("whs_fast") / "data" / "measurements.schema.json").read_text("utf-8"))
    for name, figures in zip(("valves", "aortic_root"), told, strict=True):
        own = schema["properties"][name] | {"$defs": schema["$defs"]}
        jsonschema.validate(json.loads(json.dumps(figures)), own)


def test_threads_and_storage_change_nothing(drawn, told):
    scan, labels, _ = drawn
    assert measure(scan, labels, threads=3) == told
    flipped = Volume(np.ascontiguousarray(scan.array[:, ::-1, ::-1]), scan.spacing_mm,
                     (scan.origin_mm[0] + SPACING * (SIDE - 1), scan.origin_mm[1] + SPACING * (SIDE - 1),
                      scan.origin_mm[2]), (-1, 0, 0, 0, -1, 0, 0, 0, 1))  # fmt: skip
    _, root = measure(flipped, np.ascontiguousarray(labels[:, ::-1, ::-1]))
    np.testing.assert_allclose(root["annulus"]["centre_mm"], told[1]["annulus"]["centre_mm"], atol=0.2)
    assert root["annulus"]["area_mm2"] == pytest.approx(told[1]["annulus"]["area_mm2"], rel=0.01)


def test_what_cannot_be_measured_is_said(drawn):
    scan, labels, truth = drawn

    def reason(hu=scan.array, marks=labels):
        return measure(Volume(np.ascontiguousarray(hu), scan.spacing_mm, scan.origin_mm), marks)[1]["not_measurable"]

    native = np.minimum(scan.array, 60)
    assert "no contrast" in reason(native)
    assert "do not meet" in reason(marks=np.where(labels == 5, 0, labels).astype(np.uint8))
    metal = scan.array.copy()
    z, y, x = np.indices(metal.shape)
    points = np.stack([x, y, z], -1) * SPACING + scan.origin_mm
    plane = truth.annulus.plane
    away = np.linalg.norm(plane.flat(points), axis=-1)
    metal[(np.abs(away - 11) < 1) & (np.abs(plane.height(points) - 4) < 6)] = 2800
    assert "metal" in reason(metal)
    top = int((plane.moved(10).centre_mm[2] - scan.origin_mm[2]) / SPACING)
    cut = Volume(np.ascontiguousarray(scan.array[:top]), scan.spacing_mm, scan.origin_mm)
    planes = find_planes(np.ascontiguousarray(labels[:top]), cut.grid, threads=1)
    assert find_root(cut, np.ascontiguousarray(labels[:top]), planes, threads=1) == "the scan ends within the root"


def test_a_tube_without_sinuses_has_no_hinge_points(drawn):
    scan, _, truth = drawn
    z, y, x = np.indices(scan.array.shape)
    points = np.stack([x, y, z], -1) * SPACING + scan.origin_mm
    plane = truth.annulus.plane
    height = plane.height(points)
    inside = np.linalg.norm(plane.flat(points), axis=-1) < 12
    hu = np.where(inside, 400, 60).astype(np.int16)
    labels = np.where(inside, np.where(height >= 0, 5, 3), 0).astype(np.uint8)
    _, root = measure(Volume(hu, scan.spacing_mm, scan.origin_mm), labels)
    assert "three sinuses" in root["not_measurable"]


@pytest.mark.parametrize("apart", [1.0, 0.83])
def test_two_sinuses_are_not_taken_for_three(apart):
    """Opposite one another, or askew."""
    anatomy = draw_rooted(np.random.default_rng([98, 4]))
    first = anatomy.root.nadirs[:2].mean()  # right and left cusp in one sinus
    fused = replace(anatomy, root=replace(anatomy.root, nadirs=np.array([first, first + 1e-3, first + apart * np.pi])))
    _, root = measure(*render(fused, root_truth(anatomy)))
    assert "three sinuses cannot be told apart" in root["not_measurable"]


@pytest.mark.parametrize("moved_mm", [4, 6])
def test_a_heart_that_moves_is_not_measured(drawn, moved_mm):
    """Cusps and walls in three places at once, as in a phase without rest."""
    scan, labels, _ = drawn
    step = round(moved_mm / SPACING)
    blurred = (scan.array.astype(int) + np.roll(scan.array, step, 1) + np.roll(scan.array, -step, 2)) // 3
    _, root = measure(Volume(blurred.astype(np.int16), scan.spacing_mm, scan.origin_mm), labels)
    assert "not_measurable" in root


@pytest.mark.parametrize("moved_mm", [4, 6])
def test_steps_between_heart_beats_are_not_measured(drawn, moved_mm):
    """A slab of the scan in which the heart lies elsewhere, however the slices are stored."""
    scan, labels, _ = drawn
    step, middle = round(moved_mm / SPACING), int(SIDE / 2)
    hu = scan.array.copy()
    hu[middle : middle + 20] = np.roll(hu[middle : middle + 20], step, 1)
    assert "do not fit together" in measure(Volume(hu, scan.spacing_mm, scan.origin_mm), labels)[1]["not_measurable"]
    valve = find_planes(labels, scan.grid, threads=1)["aortic"].plane

    def as_coronal(array):  # the array's axes are y, x and z of the patient
        return Volume(np.ascontiguousarray(np.moveaxis(array, 0, 2)), scan.spacing_mm, scan.origin_mm,
                      (0, 1, 0, 0, 0, 1, 1, 0, 0))  # fmt: skip

    assert has_steps(as_coronal(hu), valve) and not has_steps(as_coronal(scan.array), valve)


@pytest.mark.parametrize("along_mm", [-3.5, 3.5])
def test_labels_that_put_the_valve_elsewhere_and_askew_change_little(drawn, told, along_mm):
    """Ten degrees and 3.5 mm off, as labels may be; the annulus is that of the scan."""
    scan, labels, truth = drawn
    plane = truth.annulus.plane
    normal = np.cos(np.deg2rad(10)) * plane.normal + np.sin(np.deg2rad(10)) * plane.across
    z, y, x = np.indices(labels.shape)
    points = np.stack([x, y, z], -1) * SPACING + scan.origin_mm - plane.centre_mm
    near = np.isin(labels, (3, 5)) & (np.linalg.norm(points, axis=-1) < 24) & (np.abs(points @ plane.normal) < 9)
    wrong = np.where(near, np.where(points @ normal > along_mm, 5, 3), labels).astype(np.uint8)
    planes, root = measure(scan, wrong)
    assert abs(plane.height(np.array(planes["aortic"]["centre_mm"]))) > 3
    assert abs(plane.height(np.array(root["annulus"]["centre_mm"]))) < 1
    assert angle_deg(root["annulus"]["normal"], plane.normal) < 6
    assert root["annulus"]["area_mm2"] == pytest.approx(truth.annulus.shape.area_mm2, rel=0.05)


def test_hinge_points_of_a_reader_make_the_plane(drawn, told, tmp_path):
    scan, labels, truth = drawn
    write_labels(tmp_path / "labels.nii.gz", labels, scan.grid)
    image = sitk.GetImageFromArray(scan.array)
    image.SetSpacing(scan.spacing_mm)
    image.SetOrigin(scan.origin_mm)
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    found = whs_fast.measure(tmp_path / "labels.nii.gz", scan=tmp_path / "scan.nii.gz", threads=1)
    assert json.dumps(found["aortic_root"]) == json.dumps(told[1])
    moved = truth.hinges_mm + 3 * truth.annulus.plane.normal
    points = [{"label": cusp, "position": list(point)} for cusp, point in zip(CUSPS, moved, strict=True)]
    (tmp_path / "moved.mrk.json").write_text(json.dumps({"markups": [{"type": "Fiducial", "controlPoints": points}]}))
    given = whs_fast.measure(
        tmp_path / "labels.nii.gz",
        scan=tmp_path / "scan.nii.gz",
        annulus_plane=tmp_path / "moved.mrk.json",
        threads=1,
    )["aortic_root"]["annulus"]
    assert given["hinge_points_by_reader"] and not found["aortic_root"]["annulus"]["hinge_points_by_reader"]
    np.testing.assert_allclose([given["hinge_points_mm"][cusp] for cusp in CUSPS], moved, atol=0.06)
    assert abs(angle_deg(given["normal"], truth.annulus.plane.normal)) < 0.1
    assert truth.annulus.plane.height(np.array(given["centre_mm"])) == pytest.approx(3, abs=0.1)
    with pytest.raises(InputError, match="no scan beside it"):
        whs_fast.measure(tmp_path / "labels.nii.gz", annulus_plane=tmp_path / "moved.mrk.json")
    part = np.ascontiguousarray(labels[1:])
    write_labels(tmp_path / "part.nii.gz", part, Volume(scan.array[1:], scan.spacing_mm, scan.origin_mm).grid)
    with pytest.raises(InputError, match="another grid"):
        whs_fast.measure(tmp_path / "part.nii.gz", scan=tmp_path / "scan.nii.gz")


def test_hinge_points_elsewhere_are_refused(drawn):
    scan, labels, truth = drawn
    planes = find_planes(labels, scan.grid, threads=1)
    reason = find_root(scan, labels, planes, hinges_mm=truth.hinges_mm + 20, threads=1)
    assert "more than 15 mm from the aortic valve" in reason


def test_where_no_cusp_is_seen_the_plane_is_that_of_the_labels(drawn, told, monkeypatch):
    monkeypatch.setattr("whs_fast.valves.hinges.LEAST_DIP", 9.0)
    scan, labels, truth = drawn
    planes, root = measure(scan, labels)
    annulus = root["annulus"]
    assert annulus["hinge_points_seen"] == 0
    assert angle_deg(annulus["normal"], planes["aortic"]["normal"]) < 0.1
    assert annulus["uncertainty"]["height_mm"] >= 2 > 3 * told[1]["annulus"]["uncertainty"]["height_mm"]
    assert abs(annulus["area_mm2"] - truth.annulus.shape.area_mm2) < 2 * annulus["uncertainty"]["area_mm2"]
    hinges = [annulus["hinge_points_mm"][cusp] for cusp in CUSPS]
    assert np.linalg.norm(np.array(hinges) - truth.hinges_mm, axis=1).max() < 6  # none is taken for another
    entry = {"volume_ml": 9.0, "touches_scan_edge": False, "touches_region_edge": False}
    structures = {structure.key: entry for structure in STRUCTURES}
    measured = {"aortic_valve_mm": None, "structures": structures, "aortic_root": root}
    assert any("cusps of the aortic valve are not seen" in doubt for doubt in find_doubts(measured, scan.grid))
    measured["aortic_root"] = told[1]
    assert not find_doubts(measured, scan.grid)
