"""The shipped sample through the shipped models: found, whole, and the same however it is stored.

Each variant is a run of the whole engine, so all of them are made once and compared in pairs.
"""

from importlib import resources
from itertools import combinations

import numpy as np
import pytest
from support import scans
from whs_fast import STRUCTURES, Engine
from whs_fast.reading.scan import read
from whs_fast.volume import Volume

LARGE = (2, 3, 4, 5, 8, 9, 10)
SAMPLE = str(resources.files("whs_fast") / "data" / "sample.nii.gz")
ORIENTATIONS = [f"orientation {number}" for number in range(6)]
VARIANTS = ("nii", "nrrd", "mha", "dicom", "zip", *ORIENTATIONS)


@pytest.fixture(scope="module")
def engine():
    return Engine(threads=2)


@pytest.fixture(scope="module")
def results(engine, tmp_path_factory):
    """{variant: (result, labels turned back to the sample's own axes)}"""
    folder = tmp_path_factory.mktemp("variants")
    sample = read(SAMPLE)
    series = scans.write_dicom(sample, folder / "series")
    sources = {
        "shipped": SAMPLE,
        "nii": scans.write_scan(sample, folder / "scan.nii"),
        "nrrd": scans.write_scan(sample, folder / "scan.nrrd"),
        "mha": scans.write_scan(sample, folder / "scan.mha"),
        "dicom": series,
        "zip": scans.zip_folder(series, folder / "series.zip"),
    }
    for name, how in zip(ORIENTATIONS, scans.ORIENTATIONS, strict=False):
        sources[name] = scans.write_scan(scans.reorient(sample, *how), folder / f"{name}.nii")
    return {name: (result := engine.run(source), on_grid_of(sample, result)) for name, source in sources.items()}


def on_grid_of(sample, result):
    """Labels of a result on the axes of the sample; its own axes are a permutation of these with flips."""
    to_sample = np.rint(np.linalg.inv(np.reshape(sample.direction, (3, 3))) @ np.reshape(result.direction, (3, 3)))
    axes = [2 - int(np.flatnonzero(to_sample[2 - axis])[0]) for axis in range(3)]  # of the result, for z, y, x
    labels = result.labels.transpose(axes)
    flipped = [axis for axis in range(3) if to_sample[2 - axis].sum() < 0]
    return np.flip(labels, flipped)


def dice(a, b, label):
    return 2 * ((a == label) & (b == label)).sum() / max((a == label).sum() + (b == label).sum(), 1)


def test_every_structure_is_found(results):
    structures = results["shipped"][0].measurements["structures"]
    assert {s.key for s in STRUCTURES} == set(structures)
    for structure in STRUCTURES:
        if structure.label in LARGE:
            assert structures[structure.key]["volume_ml"] > 15, structure.key


def test_left_and_right_are_right(results):
    """The patient's left is where x grows: left ventricle left of right atrium, aorta between; head above."""
    result = results["shipped"][0]
    at = {s.key: np.argwhere(result.labels == s.label).mean(0)[::-1] * result.spacing_mm for s in STRUCTURES}
    assert np.allclose(np.reshape(result.direction, (3, 3)), np.eye(3))
    assert at["right_atrium"][0] + 30 < at["left_ventricle_cavity"][0]
    assert at["right_ventricle_cavity"][1] + 20 < at["left_atrium"][1]
    assert at["left_ventricle_myocardium"][2] + 20 < at["pulmonary_artery"][2]


@pytest.mark.parametrize("pair", list(combinations(("shipped", *VARIANTS), 2)), ids=" and ".join)
def test_labels_are_the_same_in_the_patient_however_it_is_stored(results, pair):
    a, b = (results[name][1] for name in pair)
    assert a.shape == b.shape
    for label in range(1, 11):
        if (a == label).any() or (b == label).any():
            assert dice(a, b, label) >= 0.999, label


@pytest.mark.parametrize("name", VARIANTS)
def test_the_valve_stays_where_it_is(results, name):
    here, there = results["shipped"][0], results[name][0]
    np.testing.assert_allclose(there.aortic_valve_mm, here.aortic_valve_mm, atol=0.15)


def test_threads_change_nothing(results):
    single = Engine(threads=1).run(SAMPLE)
    np.testing.assert_array_equal(single.labels, results["shipped"][0].labels)
    assert single.aortic_valve_mm == results["shipped"][0].aortic_valve_mm


def test_both_localisers_agree_on_the_valve(results):
    other = Engine(threads=2, localiser="vgg16").run(SAMPLE)
    assert np.linalg.norm(np.subtract(other.aortic_valve_mm, results["shipped"][0].aortic_valve_mm)) < 15


def test_a_volume_is_taken_as_it_is(engine, results):
    sample = read(SAMPLE)
    again = engine.run(Volume(sample.array, sample.spacing_mm, sample.origin_mm, sample.direction))
    np.testing.assert_array_equal(again.labels, results["shipped"][0].labels)
