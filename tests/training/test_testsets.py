"""The test sets stay what was committed before training: their tables, their anatomies and how they are rendered."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

from training import export_dense_vnet, scans, testsets  # noqa: E402

SMALL = replace(testsets.BASE, pixel_mm=2.5, slice_mm=3.0, field_mm=160.0, height_mm=150.0, rotation_deg=10.0)
# Voxels of each label 0..10, mean and sd of the HU, and the valve, of the first anatomy of each set acquired as SMALL.
FIRST = {
    "A": (
        [169860, 631, 3314, 9374, 7375, 5171, 98, 747, 4697, 1887, 1646],
        -261.8,
        453.35,
        (-108.102, -77.077, 45.548),
    ),
    "B": ([163012, 611, 4407, 5384, 6961, 5867, 97, 730, 4255, 9132, 4344], -373.21, 495.2, (-31.611, -150.79, 47.868)),
}


def test_the_tables_are_those_that_were_committed():
    """C was added after A and B were fixed."""
    first = [{name: table[name] for name in "AB"} for table in (testsets.ANATOMIES, testsets.SEEDS)]
    tables = [testsets.acquisitions("A"), testsets.acquisitions("B"), testsets.CELLS, *first]
    added = [testsets.acquisitions("C"), testsets.ANATOMIES["C"], testsets.SEEDS["C"], testsets.SOURCES["C"]]
    digests = [hashlib.sha256(repr(part).encode()).hexdigest() for part in (tables, added)]
    assert digests == [
        "c6c8f93189ed5a4895a5fcf044fb3998883f23eddd6af13e941834e874ea0ada",
        "9e11a8a76741fcc327dc8d6bf4e0859d0f08821ff0507da04c87d86978acab8f",
    ]


@pytest.mark.parametrize("name", ["A", "B"])
def test_a_small_scan_is_the_one_that_was_committed(name):
    scan = testsets.make_scan(testsets.SOURCES[name], (testsets.SEEDS[name], 0), SMALL)
    counts, mean, sd, valve = FIRST[name]
    found = np.bincount(scan.labels.ravel(), minlength=11)
    np.testing.assert_allclose(found, counts, rtol=0.005, atol=3)  # processors may round a voxel on a border otherwise
    assert (scan.hu.mean(), scan.hu.std()) == pytest.approx((mean, sd), abs=1.0)
    assert scan.valve_mm == pytest.approx(valve, abs=0.01)


def test_every_value_of_a_factor_is_dealt_once_to_a():
    dealt = testsets.acquisitions("A")
    for field, values in testsets.DEALT.items():
        assert sorted(getattr(one, field) for one in dealt) == sorted(values)
    assert len({one.noise_hu for one in testsets.acquisitions("B")}) == 8


def test_seeds_are_no_others():
    assert not {*testsets.SEEDS.values()} & {0, 1, scans.HELD_OUT_SEED, export_dense_vnet.CALIBRATION_SEED}


def test_one_factor_differs_from_the_base_in_each_cell():
    for name, cell in testsets.CELLS.items():
        changed = [f for f in vars(cell) if getattr(cell, f) != getattr(testsets.BASE, f)]
        assert len(changed) == (name != "base")
