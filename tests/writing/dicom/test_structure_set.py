"""Contours enclose exactly the voxels of the labels, lie on the scan's slices, and name them."""

import subprocess

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support import scans
from support.programs import need
from whs_fast.errors import InputError
from whs_fast.reading.scan import read
from whs_fast.structures import STRUCTURES
from whs_fast.writing.dicom import objects
from whs_fast.writing.dicom.structure_set import polygons

TURNED = (0.0, 0.8, 0.6, 1.0, 0.0, 0.0, 0.0, 0.6, -0.8)


def fill(polygon, shape):
    """What a polygon of (y, x) encloses, by the even-odd rule: how often a ray along x crosses it."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    y += 1e-7  # no corner lies on a ray
    inside = np.zeros(shape, bool)
    for (y0, x0), (y1, x1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


@given(mask=arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_any_mask_is_enclosed_exactly_holes_and_islands_in_them_too(mask):
    if not mask.any():
        return
    filled = np.zeros(mask.shape, int)
    for polygon in polygons(mask):
        filled += fill(polygon, mask.shape)
    np.testing.assert_array_equal(filled, mask)


def test_a_ring_is_one_polygon_of_its_own_area():
    y, x = np.mgrid[:40, :40] - 20
    ring = (np.hypot(y, x) < 15) & (np.hypot(y, x) > 8)
    (polygon,) = polygons(ring)
    area = abs(np.sum(polygon[:, 0] * np.roll(polygon[:, 1], -1) - polygon[:, 1] * np.roll(polygon[:, 0], -1))) / 2
    assert area == pytest.approx(ring.sum(), rel=0.02)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contours")
    series = scans.write_dicom(scans.make_scan(direction=TURNED), folder / "series")
    volume = read(series)
    labels = np.zeros(volume.array.shape, np.uint8)
    labels[5:20, 10:30, 12:40] = 3
    labels[8:15, 15:20, 20:30] = 0
    labels[30:35, 5:12, 5:9] = 8
    measurements = {"models": {"dense_vnet": "ab" * 32}}
    objects.write_contours(folder, labels, volume.grid, volume.source, measurements)
    return folder, series, volume, labels, pydicom.dcmread(folder / "contours.dcm")


def test_contours_enclose_the_labels_on_the_slices_that_they_name(case):
    _, series, volume, labels, made = case
    places = {}
    for path in series.iterdir():
        image = pydicom.dcmread(path, stop_before_pixels=True)
        places[image.SOPInstanceUID] = np.array(image.ImagePositionPatient, float)
    to_index, found = np.linalg.inv(volume.grid.affine), np.zeros_like(labels)
    for roi in made.ROIContourSequence:
        for contour in roi.get("ContourSequence", []):
            mm = np.reshape(np.array(contour.ContourData, float), (-1, 3))
            assert len(mm) == contour.NumberOfContourPoints and contour.ContourGeometricType == "CLOSED_PLANAR"
            x, y, z = (to_index @ np.column_stack([mm, np.ones(len(mm))]).T)[:3]
            np.testing.assert_allclose(z, round(z.mean()), atol=1e-3)
            inside = fill(np.column_stack([y, x]), labels.shape[1:])
            found[round(z.mean())][inside] = roi.ReferencedROINumber
            place = places[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            np.testing.assert_allclose((to_index @ (*place, 1.0))[2], round(z.mean()), atol=1e-3)
    np.testing.assert_array_equal(found, labels)


def test_it_names_the_structures_and_the_series(case):
    _, series, _, _, made = case
    first = pydicom.dcmread(next(series.iterdir()), stop_before_pixels=True)
    assert [(roi.ROINumber, roi.ROIName) for roi in made.StructureSetROISequence] == [
        (structure.label, structure.name) for structure in STRUCTURES
    ]
    assert (made.StudyInstanceUID, str(made.PatientName)) == (first.StudyInstanceUID, scans.PATIENT)
    (study,) = made.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    (named,) = study.RTReferencedSeriesSequence
    assert named.SeriesInstanceUID == first.SeriesInstanceUID
    assert len(named.ContourImageSequence) == len(list(series.iterdir()))
    assert made.StructureSetROISequence[0].ReferencedFrameOfReferenceUID == made.FrameOfReferenceUID


def test_it_conforms(case):
    told = subprocess.run([need("dciodvfy"), str(case[0] / "contours.dcm")], capture_output=True, text=True).stderr
    assert "Error" not in told, told


def test_a_scan_that_is_not_dicom_is_refused(case, tmp_path):
    with pytest.raises(InputError, match="need a DICOM folder"):
        objects.write_contours(tmp_path, case[3], case[2].grid, None, {})
