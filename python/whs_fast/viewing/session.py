"""One correction: the scan and labels that the page gets, and what it makes of the voxels that the page changed."""

import base64
import json
import struct
import threading
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast import _kernels
from whs_fast.errors import InputError
from whs_fast.outputs import FORMATS, MEASUREMENTS
from whs_fast.reading.labels import read_labels
from whs_fast.reading.scan import read
from whs_fast.report.views import View, heart_views, look
from whs_fast.steps.region import REACH_MM, WINDOW_HU
from whs_fast.structures import STRUCTURES
from whs_fast.viewing.upright import Order
from whs_fast.volume import AIR_HU, Grid, Triple, Volume, index_map, index_to_mm, mm_to_index, same_voxels
from whs_fast.writing.label_maps import nifti_header

# What a changed voxel is in a request: its index in the upright array and its label, little-endian.
CHANGE = np.dtype([("index", "<u4"), ("label", "u1")])
_SLICES = 16  # that are windowed at a time
_COARSE = 160  # voxels along an axis, at most, of what the page shows first
_PIXELS, _REACH_MM = 256, 30.0  # of the heart's planes: their side, and how far they can be scrolled either way
_UPRIGHT = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)  # right, front and head for a viewer of NIfTI


class Session:
    """Reads results and scan, and keeps them for the page.

    Raises InputError where they cannot be read or do not lie on one grid.
    """

    def __init__(self, results: Path, scan: Path, *, threads: int, series: str | None, phase: str | None) -> None:
        self._threads = threads
        self.measurements = _read_measurements(results / MEASUREMENTS)
        own = {structure.label: structure.label for structure in STRUCTURES}
        labels, grid = read_labels(results / FORMATS["nifti"].files[0], own)
        self.volume: Volume = read(scan, threads=threads, series=series, phase=phase)
        if not same_voxels(grid, self.volume.grid):
            found, expected = (f"{_size(each)} voxels from {_corner(each)} mm" for each in (grid, self.volume.grid))
            raise InputError(f"{results}: found labels of {found}, expected the scan's {expected}: another scan?")
        self.labels = labels
        self._part = _find_part(labels, grid, self._valve_mm(), threads)
        self._order = Order.of(_part_grid(grid, self._part))
        self._saving = threading.Lock()
        seen = look(labels, self.volume.grid, self._valve_mm(), threads=threads)
        self._views = heart_views(seen, self.measurements.get("valves", {}))

    @property
    def shown(self) -> int:
        """How many voxels the page has."""
        return self.labels[self._part].size

    def coarse(self) -> bytes:
        """Scan and labels, each uint8, upright, on fewer voxels over the same box: to look at until all are there."""
        grid = self._coarse_grid()
        scan, labels = np.empty(grid.shape, np.uint8), np.empty(grid.shape, np.uint8)
        matrix = index_map(grid, self.volume.grid)
        self._resample_window(scan, matrix)
        _kernels.resample_nearest(self.labels, labels, matrix, 0, threads=self._threads)
        return scan.tobytes() + labels.tobytes()

    def scan(self) -> Iterator[bytes]:
        """The scan, uint8, upright: what the networks see, and a half of what would have to be moved."""
        low, high = WINDOW_HU
        step = (high - low) / 255
        hu = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
        table = np.rint(np.clip((hu - low) / step, 0, 255)).astype(np.uint8)
        upright = self._order.turn(self.volume.array[self._part].view(np.uint16))
        for first in range(0, len(upright), _SLICES):
            yield table[upright[first : first + _SLICES]].tobytes()

    def view(self, number: int) -> bytes:
        """A block of the scan along one of the heart's planes, uint8: right and up in the plane, then to the reader."""
        block = _block(self._views[number])
        voxels = np.empty(block.shape, np.uint8)
        self._resample_window(voxels, index_map(block, self.volume.grid))
        return voxels.tobytes()

    def labels_bytes(self) -> bytes:
        """The labels, uint8, upright."""
        return self._order.turn(self.labels[self._part]).tobytes()

    def facts(self) -> dict[str, Any]:
        """What the page must know: structures, volumes, the valve's plane and the heart's. Millimetres are RAS here."""
        grid = self._order.turned_grid()
        valves = self.measurements.get("valves", {})
        aortic = valves.get("aortic", {})
        return {
            **_place(grid),
            "coarse": list(self._coarse_grid().shape),
            "window": list(WINDOW_HU),
            "voxel_ml": grid.voxel_ml,
            "structures": [
                {"label": s.label, "key": s.key, "name": s.name, "colour": list(s.colour)} for s in STRUCTURES
            ],
            "volumes": self._volumes(),
            "valve_mm": _ras(self._valve_mm()),
            "valve_normal": _ras(aortic["normal"]) if "normal" in aortic else None,
            "views": [
                {"name": view.name, "letters": view.letters, "to_mm": _to_ras(block), "place": _place(_laid(block))}
                for view, block in ((view, _block(view)) for view in self._views)
            ],
        }

    def save(
        self, changes: bytes, by: str, folder: Path, *, formats: Sequence[str], report: str, overwrite: bool
    ) -> dict[str, Any]:
        """Applies the page's changes to the labels as they were read, and writes labels, measurements and report.

        Gives the new volumes. Raises InputError for changes that are none, and all that `Result.save` raises.
        """
        from whs_fast.measure_labels import correct  # much that nobody waits for who only looks

        with self._saving:
            labels = self._changed(changes)
            result = correct(labels, self.volume, self.labels, self.measurements, by=by, threads=self._threads)
            result.save(folder, formats=formats, report=report, overwrite=overwrite)
            return {key: entry["volume_ml"] for key, entry in result.measurements["structures"].items()}

    def _coarse_grid(self) -> Grid:
        grid = self._order.turned_grid()
        z, y, x = (min(count, _COARSE) for count in grid.shape)
        return _over(grid, (z, y, x))

    def _resample_window(self, out: NDArray[np.uint8], matrix: NDArray[np.float64]) -> None:
        array = self.volume.array
        _kernels.resample_window(array, out, matrix, (1, 1, 1), *WINDOW_HU, AIR_HU, 0, threads=self._threads)

    def _changed(self, changes: bytes) -> NDArray[np.uint8]:
        if len(changes) % CHANGE.itemsize:
            raise InputError(f"changes: found {len(changes)} bytes, expected {CHANGE.itemsize} for each voxel")
        made = np.frombuffer(changes, CHANGE)
        if len(made) and (made["index"].max() >= self.shown or made["label"].max() > len(STRUCTURES)):
            raise InputError(f"changes: expected voxels of the scan and labels from 0 to {len(STRUCTURES)}")
        labels = self.labels.copy()
        upright = self._order.turn(labels[self._part])  # a view: what is written here is written there
        upright[np.unravel_index(made["index"], upright.shape)] = made["label"]
        return labels

    def _volumes(self) -> dict[str, float]:
        return {key: entry["volume_ml"] for key, entry in self.measurements["structures"].items()}

    def _valve_mm(self) -> Triple:
        point = self.measurements["aortic_valve_mm"]
        if point is not None:
            return float(point[0]), float(point[1]), float(point[2])
        x, y, z = np.mean(self.volume.grid.box_mm, axis=0).tolist()
        return x, y, z


def _read_measurements(path: Path) -> dict[str, Any]:
    try:
        measurements = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: not found, expected the results of `whs-fast run`") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read, expected the measurements of `whs-fast run`") from error
    if not isinstance(measurements, dict) or not {"structures", "aortic_valve_mm", "timings_s"} <= measurements.keys():
        raise InputError(f"{path}: found no measurements of a scan, expected those of `whs-fast run`")
    return measurements


def _place(grid: Grid) -> dict[str, Any]:
    """What the page's viewer must know of a grid, and a NIfTI of 2 x 2 x 2 voxels over the same box to begin with."""
    low, high = WINDOW_HU
    header = bytearray(nifti_header(_over(grid, (2, 2, 2)), np.dtype(np.uint8), b"whs_fast frame"))
    struct.pack_into("<2f", header, 112, (high - low) / 255, low)  # scl_slope, scl_inter: a voxel's HU
    frame = base64.b64encode(header + bytes(range(8))).decode("ascii")
    return {"shape": list(grid.shape), "to_mm": _to_ras(grid), "frame": frame}


def _over(grid: Grid, shape: tuple[int, int, int]) -> Grid:
    """The grid of other voxels, as many as shape says, over the same box."""
    step = np.divide(grid.shape, shape)[::-1]  # in voxels, x y z
    spacing, origin = np.multiply(grid.spacing_mm, step), grid.affine @ [*(step - 1) / 2, 1.0]
    (i, j, k), (x, y, z, _) = spacing.tolist(), origin.tolist()
    return Grid(shape, (i, j, k), (x, y, z), grid.direction)


def _laid(block: Grid) -> Grid:
    """The grid of a block as if it lay upright in the patient: NiiVue then shows it as it is stored."""
    return Grid(block.shape, block.spacing_mm, (0.0, 0.0, 0.0), _UPRIGHT)


def _block(view: View) -> Grid:
    """The grid of a block of planes parallel to a view: right, up and to the reader."""
    step = view.side_mm / _PIXELS
    depth = 2 * round(_REACH_MM / step) + 1
    axes = np.stack([view.across, -view.down, -view.normal], 1)
    x, y, z = (view.centre_mm - axes @ np.array([_PIXELS - 1, _PIXELS - 1, depth - 1]) * step / 2).tolist()
    a, b, c, d, e, f, g, h, i = axes.ravel().tolist()
    return Grid((depth, _PIXELS, _PIXELS), (step,) * 3, (x, y, z), (a, b, c, d, e, f, g, h, i))


def _to_ras(grid: Grid) -> list[list[float]]:
    """From the voxels (x, y, z, 1) of a grid to mm, RAS."""
    matrix: list[list[float]] = (np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine).tolist()
    return matrix


def _find_part(labels: NDArray[np.uint8], grid: Grid, valve_mm: Triple, threads: int) -> tuple[slice, slice, slice]:
    """The part of the scan that the page shows: the region around the valve, and all labels, wherever they are."""
    voxels, lowest, highest = _kernels.label_statistics(labels, len(STRUCTURES) + 1, threads=threads)
    found = voxels[1:] > 0
    corners = product(*((at - reach, at + reach) for at, reach in zip(valve_mm, REACH_MM, strict=True)))
    places = np.array([*(mm_to_index(grid, corner) for corner in corners), *lowest[1:][found], *highest[1:][found]])
    low = np.clip(np.floor(places.min(axis=0)), 0, np.array(grid.shape) - 1).astype(int)
    high = np.clip(np.ceil(places.max(axis=0)), low, np.array(grid.shape) - 1).astype(int)
    z, y, x = (slice(int(first), int(last) + 1) for first, last in zip(low, high, strict=True))
    return z, y, x


def _part_grid(grid: Grid, part: tuple[slice, slice, slice]) -> Grid:
    z, y, x = part
    origin = index_to_mm(grid, (z.start, y.start, x.start))
    return Grid((z.stop - z.start, y.stop - y.start, x.stop - x.start), grid.spacing_mm, origin, grid.direction)


def _ras(lps: Any) -> list[float]:
    x, y, z = (float(value) for value in lps)
    return [-x, -y, z]


def _size(grid: Grid) -> str:
    return " x ".join(str(count) for count in grid.shape[::-1])


def _corner(grid: Grid) -> str:
    return ", ".join(f"{value:.1f}" for value in grid.origin_mm)
