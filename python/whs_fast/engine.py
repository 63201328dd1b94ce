"""Composes the steps: read, localise, segment, clean, measure (the valve among it).

The steps know volumes and kernels, never each other; this module alone knows their order. An engine holds the
networks, which are compiled once, at the first scan, and then serve any number of scans and threads.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from importlib.metadata import version
from math import dist
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whs_fast.errors import ModelError
from whs_fast.machine import choose_threads, peak_memory_mb, return_memory
from whs_fast.networks.backends import load_dense_vnet
from whs_fast.networks.installed import hash_calibration_file, models_folder, read_calibration_file
from whs_fast.networks.openvino_model import Model, predict_batches
from whs_fast.outputs import check_localiser
from whs_fast.reading.markups import read_hinge_points
from whs_fast.reading.scan import ScanPhase, read
from whs_fast.result import Result
from whs_fast.steps.borders import settle_borders
from whs_fast.steps.clean import clean
from whs_fast.steps.clock import Clock, Progress
from whs_fast.steps.confidence import Calibration, judge, read_calibration
from whs_fast.steps.contrast import find_contrast_doubts, lacks_contrast, measure_contrast
from whs_fast.steps.figures import agreement, find_figures
from whs_fast.steps.heart_box import cut_heart_box
from whs_fast.steps.localise import AXES, SLICE_SIDE, localise
from whs_fast.steps.measure import find_doubts, measure
from whs_fast.steps.refine_valve import refine_valve
from whs_fast.steps.region import region_grid, shift_region
from whs_fast.steps.segment import segment
from whs_fast.valves.describing import describe_valves
from whs_fast.valves.planes import find_planes
from whs_fast.volume import Volume

if TYPE_CHECKING:
    import SimpleITK

_BATCH = 4

# No name of a file and nothing from its header is ever logged: both can hold a patient's name.
_log = logging.getLogger(__name__)


class Engine:
    """The networks, ready for any number of scans; may be shared between threads.

    Args:
        threads: CPU threads, as many as the process may use where None. Results do not depend on it.
        localiser: "squeezenet", or "vgg16", the paper's larger network.
        backend: what runs Dense V-Net: "native", our own kernel; "openvino"; or "auto", which is native on a CPU whose
            instructions it has a fast form for, else OpenVINO. Labels of the two differ in few voxels.
        device: where OpenVINO runs it: "CPU", "GPU", "NPU" or "AUTO", its own choice. Native runs on the CPU.
        models: folder of the models, that of the installation where None (docs/fine-tuning.md makes another).

    Raises:
        InputError: threads, localiser, backend or device cannot be used.
        ModelError: a model is missing.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        localiser: str = "squeezenet",
        backend: str = "auto",
        device: str = "CPU",
        models: str | PathLike[str] | None = None,
    ) -> None:
        check_localiser(localiser)
        folder = self._models = models_folder() if models is None else Path(models)
        self._threads = choose_threads(threads)
        network = folder / "dense_vnet.xml"
        self._segmenter = load_dense_vnet(network, backend=backend, device=device, threads=self._threads)
        shape = (_BATCH, 1, SLICE_SIDE, SLICE_SIDE)
        self._localisers = {
            axis: Model(folder / f"{localiser}_{axis}.xml", threads=self._threads, shapes=(shape,)) for axis in AXES
        }
        self._preparing = False

    def run(
        self,
        source: "str | PathLike[str] | SimpleITK.Image | Volume | ScanPhase",
        *,
        series: str | None = None,
        phase: float | str | None = None,
        check: bool = False,
        valves: bool = True,
        annulus_plane: str | PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """Segments one scan.

        Args:
            source: a path (NIfTI, NRRD, MetaImage, a DICOM folder or zip), a SimpleITK image, a `Volume`, or one of the
                phases that `open_phases` gives.
            series: UID of one of several DICOM series; left out, the thinnest contrast cardiac series is taken.
            phase: one of several phases, such as 30 (% of the R-R interval); left out, that nearest to end-systole.
            check: whether to segment the region a second time, moved by a fraction of a voxel, for a better confidence
                at twice the time; the labels stay those of the first time.
            valves: whether to measure valves, aortic root and wall as well, which takes about a third of a second.
            annulus_plane: a .mrk.json of 3D Slicer with the hinge points of the aortic valve by a reader, labelled
                right, left and non_coronary; left out, they are found.
            progress: called with the name of the step and the share of the whole that is done (0 to 1), in the thread
                that called `run`. To cancel, raise an exception of your own from it: `run` ends with that exception,
                within a fraction of a second, and the engine stays ready for the next scan.

        Raises:
            InputError: the scan cannot be used; one line says why.
            ModelError: a model of the installation is damaged.
        """
        clock = Clock({}, progress)
        hinges_mm = None if annulus_plane is None else read_hinge_points(annulus_plane)
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
        with clock.step("segment") as report:
            region = region_grid(grid, localised.point_mm)
            passes = [region, shift_region(region)] if check else [region]
            found = []
            for number, place in enumerate(passes):
                part = partial(_report_part, report, number, len(passes))
                found.append(segment(volume, place, self._segmenter, threads=self._threads, progress=part))
                return_memory()
            margins = found[0][1]
        with clock.step("clean"):
            labels, *again = (clean(own, grid, threads=self._threads) for own, _ in found)
            agreed = agreement(labels, again[0]) if check else None
            contrast = measure_contrast(volume, cut_heart_box(volume, labels))
            settle_borders(volume, labels, contrast, threads=self._threads)
        with clock.step("measure"):
            refined_mm = refine_valve(labels, grid, localised.point_mm)
            valve_mm = localised.point_mm if refined_mm is None else refined_mm
            measured = measure(labels, grid, valve_mm, region=region, threads=self._threads)
            if valves:
                planes = find_planes(labels, grid, threads=self._threads)
                structures, threads = measured["structures"], self._threads
                measured |= describe_valves(volume, labels, planes, structures, hinges_mm=hinges_mm, threads=threads)
            moved_mm = None if refined_mm is None else dist(refined_mm, localised.point_mm)
            figures = find_figures(
                margins,
                cut_heart_box(volume, labels),
                measured,
                contrast,
                residuals_mm=localised.residuals_mm,
                moved_mm=moved_mm,
            )
            confidence = judge(figures, lacks_contrast(contrast), self._calibration, agreed=agreed)
        measurements = measured | {
            "source": _describe(volume),
            "backend": self._segmenter.describe(),
            "contrast": contrast,
            "confidence": confidence,
            "timings_s": clock.timings_s(),
            "peak_memory_mb": peak_memory_mb(),
            # A doubt about the localiser's point is settled where the labels show the valve itself; a network can draw
            # one into an abdomen, though, where no slice of any axis knew of a valve.
            "warnings": [
                *volume.notes,
                *(localised.warnings if refined_mm is None or localised.lost else ()),
                *find_doubts(measured, grid),
                *find_contrast_doubts(contrast),
            ],
            "models": self._hashes,
            "version": version("whs_fast"),
        }
        return Result(labels, valve_mm, measurements, volume, figures, agreed, self._threads)

    @cached_property
    def fingerprint(self) -> str:
        """Version of the package and SHA-256 of networks and calibration, in one text: the same, and so are results.

        Raises ModelError where one was altered.
        """
        return " ".join([version("whs_fast"), *self._hashes.values(), hash_calibration_file(self._models)])

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {model.name: model.sha256 for model in (self._segmenter, *self._localisers.values())}

    @cached_property
    def _calibration(self) -> Calibration | None:
        """That of the folder of models, or None where it is not there or was fitted to other weights."""
        content = read_calibration_file(self._models)
        try:
            calibration = None if content is None else read_calibration(content)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{self._models / 'confidence.json'}: holds no calibration ({error})") from error
        return calibration if calibration is None or calibration.network == self._segmenter.sha256 else None

    def _prepare_aside(self) -> None:
        """Starts, once, to prepare the networks while the first scan is read; who needs one first waits for it."""
        if self._threads > 1 and not self._preparing:
            self._preparing = True
            models = (*self._localisers.values(), self._segmenter)
            pool = ThreadPoolExecutor(len(models))
            for model in models:
                pool.submit(model.prepare)
            pool.shutdown(wait=False)


def run(
    source: "str | PathLike[str] | SimpleITK.Image | Volume | ScanPhase",
    *,
    threads: int | None = None,
    localiser: str = "squeezenet",
    backend: str = "auto",
    device: str = "CPU",
    series: str | None = None,
    phase: float | str | None = None,
    check: bool = False,
    valves: bool = True,
    annulus_plane: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Segments one scan with an engine of its own; for several scans, make an `Engine`, whose arguments these are."""
    engine = Engine(threads=threads, localiser=localiser, backend=backend, device=device)
    return engine.run(
        source,
        series=series,
        phase=phase,
        check=check,
        valves=valves,
        annulus_plane=annulus_plane,
        progress=progress,
    )


def _report_part(report: Callable[[float], None], number: int, count: int, share: float) -> None:
    report((number + share) / count)


def _describe(scan: Volume) -> dict[str, Any]:
    """What was segmented, without anything that identifies a patient."""
    grid, source = scan.grid, scan.source
    return {
        "kind": scan.kind,
        "size": list(grid.shape[::-1]),
        "spacing_mm": list(grid.spacing_mm),
        "origin_mm": list(grid.origin_mm),
        "direction": list(grid.direction),
        "series_number": None if source is None else source.series_number,
        "phase": None if source is None else source.phase,
        "choice": scan.choice,
    }
