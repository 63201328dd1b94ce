"""A small but whole cardiac scan is segmented as the whole thorax is: what lies inside it is what the whole scan gives.

The shipped sample, cut in z as the fields of view of coronary CT are (52 to 124 mm deep), through the shipped models.
"""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from whs_fast import Engine, Volume
from whs_fast.reading.scan import read
from whs_fast.structures import CHAMBERS, STRUCTURES

SAMPLE = str(resources.files("whs_fast") / "data" / "sample.nii.gz")
LEAST_DICE, MARGIN = 0.95, 2


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(threads=2)


@pytest.fixture(scope="module")
def sample() -> Volume:
    return read(SAMPLE)


@pytest.fixture(scope="module")
def whole(engine: Engine, sample: Volume) -> np.ndarray:
    return engine.run(sample).labels


# First and last slice, 1.5 mm each; and the chambers that lie inside.
@pytest.mark.parametrize(
    "first, last, inside",
    (
        (14, 92, {"left_atrium", "left_ventricle_cavity", "left_ventricle_myocardium"}),
        (4, 82, {"left_ventricle_cavity", "left_ventricle_myocardium", "right_atrium"}),
        (20, 80, {"left_ventricle_cavity"}),
        (33, 73, set()),
    ),
)
def test_chambers_inside_are_those_of_the_whole_scan(
    first: int, last: int, inside: set[str], engine: Engine, sample: Volume, whole: np.ndarray
) -> None:
    origin = (*sample.origin_mm[:2], sample.origin_mm[2] + first * sample.spacing_mm[2])
    result = engine.run(replace(sample, array=np.ascontiguousarray(sample.array[first:last]), origin_mm=origin))
    depth = f"{(last - first) * 1.5:.0f} mm is small"
    assert any(depth in warning for warning in result.measurements["warnings"])
    complete = set()
    for structure in STRUCTURES:
        if structure.key not in CHAMBERS:
            continue
        expected = whole == structure.label
        along = np.flatnonzero(expected.any(axis=(1, 2)))
        if along[0] < first + MARGIN or along[-1] >= last - MARGIN:
            continue
        complete.add(structure.key)
        found, expected = result.labels == structure.label, expected[first:last]
        dice = 2.0 * np.count_nonzero(found & expected) / (np.count_nonzero(found) + np.count_nonzero(expected))
        assert dice >= LEAST_DICE, (structure.key, dice)
    assert complete == inside
    # What is cut off is told, by name.
    assert any("cut off by the edge of the scan" in warning for warning in result.measurements["warnings"])
