"""Composes the steps: read, localise, segment, clean, measure (the valve among it), write.

The steps know volumes and kernels, never each other; this module alone knows their order. An engine holds the
networks, which are compiled once, at the first scan, and then serve any number of scans and threads.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whs_fast.dicom_source import Source
from whs_fast.errors import InputError
from whs_fast.machine import choose_threads, peak_memory_mb, return_memory
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.networks.openvino_model import Model, models_folder, predict_batches
from whs_fast.reading.scan import ScanPhase, read
from whs_fast.report import (
    INTERACTIVE_NAME,
    Box,
    check_interactive,
    cut_box,
    prepare_scene,
    render_interactive,
    render_report,
)
from whs_fast.report.picture import Planes, cut_labels, cut_scan, draw, find_valve
from whs_fast.steps.clean import clean
from whs_fast.steps.localise import localise
from whs_fast.steps.measure import find_doubts, measure
from whs_fast.steps.refine_valve import refine_valve
from whs_fast.steps.segment import region_grid, segment
from whs_fast.volume import Direction, Grid, NiftiPlaces, Triple, Volume
from whs_fast.writing.dicom.objects import require_extra, write_objects
from whs_fast.writing.label_maps import write_labels
from whs_fast.writing.meshes import require_mesh, write_meshes
from whs_fast.writing.result_folder import written_aside

if TYPE_CHECKING:
    import SimpleITK

Progress: TypeAlias = Callable[[str, float], None]

AXES = ("axial", "coronal", "sagittal")
LOCALISERS = ("squeezenet", "vgg16")
FORMATS = {
    "nifti": "labels.nii.gz",
    "seg.nrrd": "labels.seg.nrrd",
    "dicom-seg": "labels.dcm",
    "stl": "meshes",
    "glb": "heart.glb",
}
REPORTS = ("plain", "interactive")
_SURFACES = frozenset(("stl", "glb"))

# What share of a run each step usually takes, for the progress bar.
_SHARES = {"read": 0.08, "localise": 0.12, "segment": 0.6, "clean": 0.06, "measure": 0.04, "write": 0.1}

# No name of a file and nothing from its header is ever logged: both can hold a patient's name.
_log = logging.getLogger(__name__)

_SLICE_SHAPE = (1, 192, 192)
_BATCH = 4


@dataclass(frozen=True, eq=False)
class Result:
    """What was found in one scan.

    labels is uint8[z, y, x] on the scan's grid, which spacing_mm (x, y, z), origin_mm (x, y, z; LPS) and direction
    (nine numbers, row-major) describe; aortic_valve_mm is (x, y, z), LPS; measurements is what measurements.json
    holds; source names the DICOM instances that the scan was read from, where it was.
    """

    labels: NDArray[np.uint8]
    spacing_mm: Triple
    origin_mm: Triple
    direction: Direction
    aortic_valve_mm: Triple
    measurements: dict[str, Any]
    _planes: Planes = field(repr=False)
    _box: Box = field(repr=False)
    source: Source | None = field(default=None, repr=False)
    _threads: int = field(default=1, repr=False)
    _nifti_places: NiftiPlaces | None = field(default=None, repr=False)

    def save(
        self,
        folder: str | PathLike[str],
        formats: Sequence[str] = ("nifti",),
        overwrite: bool = False,
        progress: Progress | None = None,
        *,
        report: str = "plain",
    ) -> None:
        """Writes labels, picture, report and measurements into a folder, all of them or nothing.

        formats are names of FORMATS; report is "plain", or "interactive" for a second page beside the plain one. The
        time this takes enters `measurements`. Raises InputError for an unknown format or report, an extra that is not
        installed, earlier results in the folder unless overwrite is true, or dicom-seg for a scan that is not DICOM;
        OutputError where writing fails.
        """
        check_formats(formats)
        check_report(report)
        timings_s = self.measurements["timings_s"]
        clock = _Clock(timings_s | {"write": 0.0, "total": timings_s["total"] - timings_s["write"]}, progress)
        grid = Grid(self.labels.shape, self.spacing_mm, self.origin_mm, self.direction)
        with written_aside(Path(folder), overwrite=overwrite) as aside:
            with clock.step("write"), ThreadPoolExecutor(1) as pool:
                drawing = pool.submit(draw, self._planes, self.measurements)
                if self._threads == 1:
                    wait([drawing])
                for name in formats:
                    if name == "dicom-seg":
                        write_objects(aside, self.labels, grid, self.source, self.measurements)
                    elif name not in _SURFACES:
                        write_labels(
                            aside / FORMATS[name], self.labels, grid, threads=self._threads, places=self._nifti_places
                        )
                if surfaces := _SURFACES.intersection(formats):
                    write_meshes(aside, surfaces, self.labels, grid, threads=self._threads)
                picture = drawing.result()
                (aside / "preview.png").write_bytes(picture)
                scene = None
                if report == "interactive":
                    scene = prepare_scene(self._box, self.labels, grid, self.aortic_valve_mm, threads=self._threads)
            self._finish(clock)
            if scene is not None:
                page = render_interactive(self.measurements, scene)
                (aside / INTERACTIVE_NAME).write_text(page, encoding="utf-8")
            (aside / "report.html").write_text(render_report(self.measurements, picture), encoding="utf-8")
            text = json.dumps(self.measurements, indent=2, ensure_ascii=False, allow_nan=False)
            (aside / "measurements.json").write_text(text + "\n", encoding="utf-8")
        if progress is not None:
            progress("done", 1.0)

    def _finish(self, clock: "_Clock") -> None:
        self.measurements["timings_s"].update(clock.timings_s())
        self.measurements["peak_memory_mb"] = peak_memory_mb()


class Engine:
    """The networks, ready for any number of scans; may be shared between threads.

    threads is the number of CPU threads, as many as the process may use where None; results do not depend on it.
    localiser is "squeezenet" or "vgg16". Raises InputError for other values and ModelError where the installation
    lacks a model.
    """

    def __init__(
        self, threads: int | None = None, localiser: str = "squeezenet", *, models: Path | None = None
    ) -> None:
        if localiser not in LOCALISERS:
            raise InputError(f"localiser: found {localiser!r}, expected one of {', '.join(LOCALISERS)}")
        folder = models_folder() if models is None else models
        self._threads = choose_threads(threads)
        self._segmenter = DenseVNet(folder / "dense_vnet.npz", threads=self._threads)
        self._localisers = {
            axis: Model(folder / f"{localiser}_{axis}.xml", threads=self._threads, shapes=((_BATCH, *_SLICE_SHAPE),))
            for axis in AXES
        }

    def run(
        self,
        source: "str | PathLike[str] | SimpleITK.Image | Volume | ScanPhase",
        *,
        series: str | None = None,
        phase: float | str | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """Segments one scan.

        source is a path (NIfTI, NRRD, MetaImage, a DICOM folder or zip), a SimpleITK image, a Volume, or one of the
        phases that `whs_fast.open_phases` gives; series is the UID of one of several DICOM series and phase one of
        several phases, such as 30 (% of the R-R interval): see `reading.scan.read`. progress is called with the
        name of each step as it begins and the share of the whole that is done. Raises InputError where the scan cannot
        be used.
        """
        clock = _Clock({}, progress)
        self._prepare_aside()
        with clock.step("read"):
            volume = read(source, series=series, phase=phase, threads=self._threads)
        grid = volume.grid
        _log.debug("scan of %d x %d x %d voxels of %.3g x %.3g x %.3g mm", *grid.shape[::-1], *grid.spacing_mm)
        with clock.step("localise"):
            predict = {axis: partial(predict_batches, model, batch=_BATCH) for axis, model in self._localisers.items()}
            localised = localise(volume, predict, threads=self._threads)
            for model in self._localisers.values():
                model.release_memory()
            return_memory()
        _log.debug("valve by the localiser: %.1f, %.1f, %.1f mm (LPS)", *localised.point_mm)
        with clock.step("segment"):
            region = region_grid(grid, localised.point_mm)
            labels = segment(volume, region, self._segmenter, threads=self._threads)
            return_memory()
        with clock.step("clean"):
            labels = clean(labels, voxel_ml=grid.voxel_ml, threads=self._threads)
        with clock.step("measure"):
            refined_mm = refine_valve(labels, grid, localised.point_mm)
            valve_mm = localised.point_mm if refined_mm is None else refined_mm
            scan_planes = cut_scan(volume, valve_mm, threads=self._threads)
            measured = measure(labels, grid, valve_mm, region=region, threads=self._threads)
            label_planes = cut_labels(labels, grid, valve_mm, threads=self._threads)
            box = cut_box(volume, labels, valve_mm, threads=self._threads)
        models: list[DenseVNet | Model] = [self._segmenter, *self._localisers.values()]
        measurements = measured | {
            "timings_s": clock.timings_s(),
            "peak_memory_mb": peak_memory_mb(),
            # A doubt about the localiser's point is settled where the labels show the valve itself.
            "warnings": [
                *volume.notes,
                *(localised.warnings if refined_mm is None else ()),
                *find_doubts(measured, grid),
            ],
            "models": {model.name: model.sha256 for model in models},
            "version": version("whs_fast"),
        }
        planes = Planes(scan_planes, label_planes, find_valve(grid, valve_mm))
        return Result(
            labels,
            grid.spacing_mm,
            grid.origin_mm,
            grid.direction,
            valve_mm,
            measurements,
            planes,
            box,
            volume.source,
            self._threads,
            volume.nifti_places,
        )

    def _prepare_aside(self) -> None:
        """Starts to compile the localisers, all at once, while the scan is read; who needs one first waits for it."""
        if self._threads > 1:
            pool = ThreadPoolExecutor(len(self._localisers))
            for model in self._localisers.values():
                pool.submit(model.prepare)
            pool.shutdown(wait=False)


def run(
    source: "str | PathLike[str] | SimpleITK.Image | Volume | ScanPhase",
    *,
    threads: int | None = None,
    localiser: str = "squeezenet",
    series: str | None = None,
    phase: float | str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Segments one scan with an engine of its own; for several scans, make an Engine. See there for the arguments."""
    return Engine(threads, localiser).run(source, series=series, phase=phase, progress=progress)


def check_formats(formats: Sequence[str]) -> None:
    """Raises InputError for a format that is not known, or whose extra is not installed, and for none."""
    known = ", ".join(FORMATS)
    if isinstance(formats, str) or not formats:
        raise InputError(f"formats: found {formats!r}, expected one or more of {known}")
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"formats: found {name!r}, which is unknown, expected one or more of {known}")
    if "dicom-seg" in formats:
        require_extra()
    if _SURFACES.intersection(formats):
        require_mesh()


def check_report(report: str) -> None:
    """Raises InputError for a report that is not known, or whose extra is not installed."""
    if report not in REPORTS:
        raise InputError(f"report: found {report!r}, expected one of {', '.join(REPORTS)}")
    if report == "interactive":
        check_interactive()


class _Clock:
    """Times the steps and tells of their progress."""

    def __init__(self, timings_s: Mapping[str, float], progress: Progress | None = None) -> None:
        self._seconds = dict.fromkeys(_SHARES, 0.0) | {name: timings_s[name] for name in timings_s if name in _SHARES}
        self._before = timings_s.get("total", 0.0)
        self._start = time.perf_counter()
        self._progress = progress

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        if self._progress is not None:
            names = list(_SHARES)
            self._progress(name, round(sum(_SHARES[earlier] for earlier in names[: names.index(name)]), 3))
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self._seconds[name] += seconds
        _log.info("%s: %.2f s", name, seconds)

    def timings_s(self) -> dict[str, float]:
        total = self._before + time.perf_counter() - self._start
        return {name: round(seconds, 3) for name, seconds in (self._seconds | {"total": total}).items()}
