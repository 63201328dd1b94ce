"""Geometry: array order and patient millimetres meet in whs_fast.volume, checked here against SimpleITK."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import whs_fast
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from whs_fast.errors import InputError
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.volume import Grid, Volume, axis_aligned_grid, index_map, index_to_mm, mm_to_index, same_voxels


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Grids of any place, spacing, rotation and hand."""
    rotation = Rotation.from_euler("zyx", [draw(st.floats(-180, 180)) for _ in range(3)], degrees=True).as_matrix()
    rotation[:, 2] *= draw(st.sampled_from((1.0, -1.0)))
    shape = tuple(draw(st.integers(1, 600)) for _ in range(3))
    spacing = tuple(draw(st.floats(0.05, 12.0)) for _ in range(3))
    origin = tuple(draw(st.floats(-1500.0, 1500.0)) for _ in range(3))
    return Grid(shape, spacing, origin, tuple(rotation.ravel()))


def as_image(grid: Grid) -> sitk.Image:
    image = sitk.Image(1, 1, 1, sitk.sitkUInt8)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    return image


indices = st.tuples(*[st.floats(-700.0, 700.0)] * 3)


@given(grids(), indices)
def test_index_to_mm_is_that_of_simpleitk_and_has_an_inverse(grid: Grid, index: tuple[float, float, float]) -> None:
    point = index_to_mm(grid, index)
    expected = as_image(grid).TransformContinuousIndexToPhysicalPoint(index[::-1])
    np.testing.assert_allclose(point, expected, atol=1e-8)
    np.testing.assert_allclose(mm_to_index(grid, point), index, atol=1e-7)
    np.testing.assert_allclose((grid.affine @ [*index[::-1], 1.0])[:3], expected, atol=1e-8)


@given(grids(), grids(), indices)
def test_index_map_goes_through_the_patient(target: Grid, source: Grid, index: tuple[float, float, float]) -> None:
    matrix = index_map(target, source)
    assert matrix.shape == (3, 4) and matrix.flags.c_contiguous and matrix.dtype == np.float64
    expected = mm_to_index(source, index_to_mm(target, index))
    np.testing.assert_allclose(matrix[:, :3] @ index + matrix[:, 3], expected, rtol=1e-9, atol=1e-6)


@given(grids())
def test_index_map_to_itself_is_the_identity(grid: Grid) -> None:
    np.testing.assert_allclose(index_map(grid, grid), np.eye(3, 4), atol=1e-12)


@given(grids())
def test_box_holds_the_outer_corners_and_no_more(grid: Grid) -> None:
    corners = np.array(
        [
            index_to_mm(grid, [(-0.5, n - 0.5)[side] for n, side in zip(grid.shape, sides, strict=True)])
            for sides in np.ndindex(2, 2, 2)
        ]
    )
    low, high = grid.box_mm
    np.testing.assert_allclose(low, corners.min(axis=0), atol=1e-8)
    np.testing.assert_allclose(high, corners.max(axis=0), atol=1e-8)


@given(grids())
def test_voxel_volume(grid: Grid) -> None:
    assert grid.voxel_ml == pytest.approx(np.prod(grid.spacing_mm) / 1000.0, rel=1e-9)


def test_axis_aligned_grid_has_its_centre_in_the_middle() -> None:
    grid = axis_aligned_grid((10.0, -20.0, 300.5), (320, 321, 5), (0.7, 0.8, 1.0))
    assert grid.direction == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert grid.shape == (320, 321, 5) and grid.spacing_mm == (0.7, 0.8, 1.0)
    np.testing.assert_allclose(index_to_mm(grid, (159.5, 160.0, 2.0)), (10.0, -20.0, 300.5), atol=1e-10)


def test_volume_takes_arrays_and_lists_as_numbers() -> None:
    volume = Volume(np.zeros((2, 3, 4), np.int16), np.array([1, 2, 3]), [4, 5, 6], np.eye(3))  # type: ignore[arg-type]
    assert volume.grid == Grid((2, 3, 4), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert all(type(value) is float for value in (*volume.spacing_mm, *volume.origin_mm, *volume.direction))


@pytest.mark.parametrize(
    "changes, text",
    (
        ({"spacing_mm": (1.0, 1.0)}, "spacing_mm has 2 numbers, expected 3"),
        ({"origin_mm": (1.0,) * 4}, "origin_mm has 4 numbers, expected 3"),
        ({"direction": (1.0,) * 3}, "direction has 3 numbers, expected 9"),
        ({"spacing_mm": ("a", 1, 1)}, "spacing_mm must be 3 numbers"),
        ({"array": np.zeros((2, 3))}, "the array has 2 dimensions, expected 3"),
    ),
)
def test_volume_refuses_what_has_no_grid(changes: dict[str, object], text: str) -> None:
    parts = {"array": np.zeros((2, 3, 4)), "spacing_mm": (1.0,) * 3, "origin_mm": (0.0,) * 3, **changes}
    with pytest.raises(InputError, match=text):
        _ = Volume(**parts).grid  # type: ignore[arg-type]


def test_structures_are_those_of_the_paper_in_its_order() -> None:
    assert [structure.label for structure in STRUCTURES] == list(range(1, 11))
    assert " ".join(structure.abbreviation for structure in STRUCTURES) == "PV LA LVC LVM Ao CS SVC RA RVC PA"
    assert BY_KEY["left_ventricle_myocardium"].snomed == "49848007"
    for field in ("key", "snomed", "colour", "name"):
        assert len({getattr(structure, field) for structure in STRUCTURES}) == 10


def test_import_is_cheap_and_names_are_found_on_first_use() -> None:
    code = (
        "import sys, whs_fast\n"
        "heavy = {'numpy', 'SimpleITK', 'openvino', 'PIL'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "assert whs_fast.InputError.__bases__ == (ValueError,)\n"
        "assert len(whs_fast.STRUCTURES) == 10\n"
        "assert 'openvino' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(whs_fast.__all__) <= set(dir(whs_fast))
    assert whs_fast.Volume is Volume
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = whs_fast.nonsense


def test_grids_are_the_same_until_a_voxel_lies_a_tenth_of_one_away():
    tilt = 1e-4  # of a direction: over 400 voxels a twenty-fifth of one
    grid = Grid((400, 300, 200), (0.5, 0.7, 2.0), (-100.0, 20.0, 900.0))
    turned = replace(grid, direction=(1.0, -tilt, 0.0, tilt, 1.0, 0.0, 0.0, 0.0, 1.0))
    assert same_voxels(grid, grid) and same_voxels(grid, turned) and same_voxels(turned, grid)
    assert same_voxels(grid, replace(grid, origin_mm=(-100.0, 20.0, 900.19)))
    assert not same_voxels(grid, replace(grid, origin_mm=(-100.0, 20.0, 900.21)))
    assert not same_voxels(grid, replace(grid, spacing_mm=(0.5, 0.7, 2.001)))
    assert not same_voxels(grid, replace(grid, shape=(400, 300, 201)))
    assert not same_voxels(grid, replace(grid, direction=(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)))
