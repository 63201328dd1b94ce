"""The search for the aortic valve, with simulated networks.

The scans hold a ramp that rises with every patient axis, so that the mean of the middle of a slice tells where the
slice lies. A simulated network reads that place from the pixels it is given, whatever the grid of the scan, and answers
as a trained one would: distance and place of the valve, with noise and with gross misreadings. Where the slices that it
is given were centred, and how large their pixels are, a trained one sees and a simulated one is told.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.scans import reorient
from whs_fast.steps import localise as search
from whs_fast.steps.localise import AXES, CLOSE_PIXEL_MM, PIXEL_MM, SLICE_SIDE, cut_slices, localise
from whs_fast.volume import IDENTITY_DIRECTION, Direction, Grid, Triple, Volume

HU_PER_MM = 1.5
MIDDLE_HU = 250.0
MOST_SLICES = 23  # an axis, under 5 % of the slices of a scan of 512 x 512 x 400

Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def turn(degrees: float, axis: int) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = [k for k in range(3) if k != axis]
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def direction_of(matrix: NDArray[np.float64]) -> Direction:
    return tuple(matrix.ravel().tolist())  # type: ignore[return-value]


OBLIQUE = direction_of(turn(12, 0) @ turn(-8, 2))
FLIPPED = direction_of(np.diag([-1.0, -1.0, 1.0]))
# Columns are the directions of the array's x, y and z: a coronal acquisition.
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)
GRIDS = {
    "isotropic": Grid((110, 120, 130), (2.0, 2.0, 2.0), (-100.0, 20.0, 300.0)),
    "anisotropic": Grid((45, 230, 210), (0.9, 0.8, 4.5), (-50.0, -80.0, -900.0)),
    "oblique": Grid((100, 130, 120), (1.7, 1.6, 2.1), (33.3, -12.5, 7.0), OBLIQUE),
    "flipped": Grid((90, 100, 110), (2.0, 2.1, 2.2), (70.0, 90.0, 12.0), FLIPPED),
    "coronal": Grid((100, 95, 110), (1.9, 2.0, 2.3), (0.0, 0.0, 0.0), CORONAL),
    "small": Grid((54, 80, 80), (2.0, 2.0, 3.0), (0.0, 0.0, 0.0)),
}


def middle_of(grid: Grid) -> NDArray[np.float64]:
    return np.mean(grid.box_mm, axis=0)


@cache
def ramp(grid: Grid) -> Volume:
    """HU that rise by HU_PER_MM along each patient axis, MIDDLE_HU in the middle of the scan's box."""
    z, y, x = np.indices(grid.shape)
    mm = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ grid.affine[:3].T - middle_of(grid)
    hu = np.rint(MIDDLE_HU + HU_PER_MM * mm.sum(axis=-1))
    return Volume(np.ascontiguousarray(hu.astype(np.int16)), grid.spacing_mm, grid.origin_mm, grid.direction)


CUT: dict[str, tuple[NDArray[np.float64], float]] = {}  # of the last slices along an axis: their centre, a pixel


@pytest.fixture(scope="module", autouse=True)
def watched_slices() -> Iterator[None]:
    def watch(volume: Volume, axis: str, *where: float, centre_mm: NDArray[np.float64], pixel_mm: float, threads: int):  # type: ignore[no-untyped-def]
        CUT[axis] = centre_mm, pixel_mm
        return cut_slices(volume, axis, *where, centre_mm=centre_mm, pixel_mm=pixel_mm, threads=threads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "cut_slices", watch)
        yield


ROWS_AND_COLUMNS = {"sagittal": (2, 1), "coronal": (2, 0), "axial": (1, 0)}  # of slices: x, y, z are 0, 1, 2


def answer(
    distances: NDArray[np.float64], signed: NDArray[np.float64], places: NDArray[np.float64]
) -> NDArray[np.float32]:
    """What a network tells of slices; places are rows and columns, one pair for all of them or one for each."""
    told = np.empty((len(distances), 4), np.float32)
    told[:, 0], told[:, 1], told[:, 2:] = distances, signed, places
    return told


def simulate(
    grid: Grid, valve_mm: Triple, *, noise_mm: float = 0.0, misread: float = 0.0, seed: int = 0
) -> Mapping[str, Network]:
    """Networks that tell position - valve, without and with its sign, and its place in the slice.

    A share of them misread by up to 80 mm.
    """
    middle = middle_of(grid)
    rng = np.random.default_rng(seed)

    def network(index: int) -> Network:
        shown = [*ROWS_AND_COLUMNS[AXES[index]]]

        def predict(slices: NDArray[np.uint8]) -> NDArray[np.float32]:
            assert slices.dtype == np.uint8
            assert slices.shape[1:] == (1, SLICE_SIDE, SLICE_SIDE)
            half = SLICE_SIDE // 2
            steps = slices[:, 0, half - 12 : half + 12, half - 12 : half + 12].mean(axis=(1, 2))
            centre, pixel_mm = CUT[AXES[index]]
            beside = (centre - middle)[shown].sum()
            position = middle[index] + (steps * 1100 / 255 - 300 - MIDDLE_HU) / HU_PER_MM - beside
            signed = (position - valve_mm[index]) * (1 + 0.1 * rng.normal(size=len(slices)) * (noise_mm > 0))
            signed += noise_mm * rng.normal(size=len(slices))
            wrong = rng.random(len(slices)) < misread
            signed = np.where(wrong, rng.uniform(-80, 80, len(slices)), signed)
            places = np.subtract(valve_mm, centre)[shown] + noise_mm * rng.normal(size=(len(slices), 2))
            places[wrong] = rng.uniform(-80, 80, (wrong.sum(), 2))
            return answer(np.abs(signed), signed, places) * (PIXEL_MM / pixel_mm)

        return predict

    return {name: network(index) for index, name in enumerate(AXES)}


def place_valve(grid: Grid, shares: tuple[float, float, float]) -> Triple:
    """A point at given shares of the scan's own edges."""
    index = np.asarray(shares) * (np.asarray(grid.shape[::-1]) - 1)
    x, y, z = (grid.affine @ (*index, 1.0))[:3].tolist()
    return x, y, z


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (0.35, 0.6, 0.65)])
def test_the_valve_is_found_on_any_grid(name: str, shares: tuple[float, float, float]) -> None:
    grid = GRIDS[name]
    valve = place_valve(grid, shares)
    found = localise(ramp(grid), simulate(grid, valve), threads=2)
    assert np.abs(np.subtract(found.point_mm, valve)).max() < 0.5
    assert found.confident
    assert found.warnings == ()
    assert 3 * 14 <= found.slices_read <= 3 * 15


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("seed", range(3))
def test_noise_and_misread_slices_move_it_little(name: str, seed: int) -> None:
    grid = GRIDS[name]
    valve = place_valve(grid, (0.45, 0.55, 0.4))
    networks = simulate(grid, valve, noise_mm=2.0, misread=0.1, seed=seed)
    found = localise(ramp(grid), networks, threads=1)
    assert np.linalg.norm(np.subtract(found.point_mm, valve)) < 8.0
    assert found.slices_read <= 3 * MOST_SLICES


SMALL = GRIDS["small"]
SMALL_RAMP = ramp(SMALL)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(0.12, 0.88)] * 3))
def test_the_valve_may_lie_anywhere(shares: tuple[float, float, float]) -> None:
    valve = place_valve(SMALL, shares)
    found = localise(SMALL_RAMP, simulate(SMALL, valve), threads=1)
    assert np.abs(np.subtract(found.point_mm, valve)).max() < 0.6


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("flips", [(True, False, False), (False, True, True)])
@pytest.mark.parametrize("name", ["anisotropic", "oblique"])
def test_the_order_of_storage_changes_nothing(
    name: str, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    grid = GRIDS[name]
    scan = ramp(grid)
    other = reorient(scan, axes, flips)
    valve = place_valve(grid, (0.4, 0.5, 0.6))
    expected = localise(scan, simulate(grid, valve, noise_mm=2.0), threads=1)
    found = localise(
        Volume(np.ascontiguousarray(other.array), other.spacing_mm, other.origin_mm, other.direction),
        simulate(grid, valve, noise_mm=2.0),
        threads=3,
    )
    assert np.abs(np.subtract(found.point_mm, expected.point_mm)).max() < 0.11
    assert found.slices_read == expected.slices_read


@pytest.mark.parametrize("seed", range(4))
def test_networks_that_know_nothing_are_not_trusted(seed: int) -> None:
    grid = GRIDS["oblique"]
    rng = np.random.default_rng(seed)

    def guess(slices: NDArray[np.uint8]) -> NDArray[np.float32]:
        count = len(slices)
        return answer(rng.uniform(20, 90, count), rng.uniform(-90, 90, count), rng.uniform(-90, 90, (count, 2)))

    found = localise(ramp(grid), dict.fromkeys(AXES, guess), threads=1)
    assert found.lost and not found.confident
    *by_axis, last = found.warnings
    assert "found along no axis; the scan may show no contrast-filled heart" in last
    for axis, warning in zip(AXES, by_axis, strict=True):
        assert axis in warning
    assert 3 * 15 < found.slices_read <= 3 * MOST_SLICES
    index = np.linalg.solve(grid.affine, (*found.point_mm, 1.0))[:3]
    assert (index >= -0.5).all()
    assert (index <= np.asarray(grid.shape[::-1]) - 0.5).all()


def test_one_doubtful_axis_is_named_alone() -> None:
    grid = GRIDS["isotropic"]
    valve = place_valve(grid, (0.5, 0.4, 0.6))
    networks = {**simulate(grid, valve), "coronal": lambda slices: np.full((len(slices), 4), 40, np.float32)}
    found = localise(ramp(grid), networks, threads=1)
    assert not found.confident and not found.lost
    assert len(found.warnings) == 1
    assert "coronal" in found.warnings[0]
    np.testing.assert_allclose(found.point_mm, valve, atol=1.0)  # the other slices show it along that axis as well


def test_a_first_guess_that_misleads_is_mended_by_the_dense_search() -> None:
    """Coarse and fine slices agree on nothing; only when the axis is read again does the network make sense."""
    grid = GRIDS["isotropic"]
    valve = place_valve(grid, (0.5, 0.4, 0.6))
    good = simulate(grid, valve)["axial"]
    calls = 0

    def late(slices: NDArray[np.uint8]) -> NDArray[np.float32]:
        nonlocal calls
        calls += 1
        return np.full((len(slices), 4), 60, np.float32) if calls == 1 else good(slices)

    found = localise(ramp(grid), {**simulate(grid, valve), "axial": late}, threads=1)
    assert abs(found.point_mm[2] - valve[2]) < 3.0


def test_the_point_has_one_decimal() -> None:
    grid = GRIDS["anisotropic"]
    found = localise(ramp(grid), simulate(grid, place_valve(grid, (0.41, 0.52, 0.63))), threads=1)
    assert found.point_mm == tuple(round(v, 1) for v in found.point_mm)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(("pixel_mm", "beside"), [(PIXEL_MM, (0, 0, 0)), (CLOSE_PIXEL_MM, (4, -6, 2))])
def test_slices_are_the_planes_of_the_scan_in_a_frame_of_air(
    axis: str, pixel_mm: float, beside: tuple[int, int, int]
) -> None:
    """On a grid of their pixels along the patient axes every slice is a plane of the array, to the bit."""
    rng = np.random.default_rng(3)
    array = rng.integers(-1000, 1500, (20, 30, 40)).astype(np.int16)
    grid = Grid(array.shape, (pixel_mm,) * 3, (11.0, -7.0, 101.0))
    index = AXES.index(axis)
    count = grid.shape[2 - index]
    scan = Volume(array, grid.spacing_mm, grid.origin_mm, IDENTITY_DIRECTION)
    centre = middle_of(grid) + pixel_mm * np.array(beside)
    first = grid.origin_mm[index]
    slices = cut_slices(scan, axis, first, pixel_mm, count, threads=2, centre_mm=centre, pixel_mm=pixel_mm)

    steps = np.floor(np.clip((array.astype(float) + 300) * 255 / 1100, 0, 255) + 0.5).astype(np.uint8)
    planes = np.moveaxis(steps, 2 - index, 0)
    rows, columns = planes.shape[1:]
    expected = np.zeros((count, SLICE_SIDE, SLICE_SIDE), np.uint8)
    down, right = (beside[shown] for shown in ROWS_AND_COLUMNS[axis])
    top, left = (SLICE_SIDE - rows) // 2 - down, (SLICE_SIDE - columns) // 2 - right
    expected[:, top : top + rows, left : left + columns] = planes
    np.testing.assert_array_equal(slices, expected)


def test_fine_voxels_are_averaged_in_plane() -> None:
    """A checkerboard finer than the pixels turns into its mean instead of moire."""
    _, y, x = np.indices((60, 320, 320))
    array = np.where((y + x) % 2, 600, -100).astype(np.int16)
    scan = Volume(array, (0.5, 0.5, 3.0), (0.0, 0.0, 0.0), IDENTITY_DIRECTION)
    slices = cut_slices(scan, "axial", 90.0, 3.0, 1, threads=1)
    middle = slices[0, 66:126, 66:126].astype(float)
    assert np.abs(middle - (250 + 300) * 255 / 1100).max() < 4


def test_the_sign_settles_what_the_distances_leave_open() -> None:
    """Distances that are read from one side only fit two places as well; the signed ones tell which."""
    grid = GRIDS["isotropic"]
    valve = place_valve(grid, (0.5, 0.4, 0.6))
    true = simulate(grid, valve)["axial"]

    rng = np.random.default_rng(2)

    def doubtful(slices: NDArray[np.uint8]) -> NDArray[np.float32]:
        told = true(slices).astype(np.float64)
        return answer(np.full(len(slices), 30.0), told[:, 1], told[:, 2:])

    def blind(network: Network) -> Network:
        def predict(slices: NDArray[np.uint8]) -> NDArray[np.float32]:
            told = network(slices)
            told[:, 2:] = rng.uniform(-80, 80, (len(slices), 2))
            return told

        return predict

    networks = {axis: blind(network) for axis, network in simulate(grid, valve).items()}
    found = localise(ramp(grid), {**networks, "axial": doubtful}, threads=1)
    assert abs(found.point_mm[2] - valve[2]) < 3.0
