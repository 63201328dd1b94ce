"""What was found in one scan, and how it is saved: into a folder, all of it or nothing."""

import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.dicom_source import Source
from whs_fast.errors import InputError
from whs_fast.machine import peak_memory_mb, require_extra
from whs_fast.outputs import FORMATS, MEASUREMENTS, NO_SOURCE, OF_DICOM, PICTURE, REPORTS, check_formats, check_report
from whs_fast.report.interactive import prepare_scene, render_interactive
from whs_fast.report.picture import draw_picture
from whs_fast.report.plain import render_report
from whs_fast.report.root_picture import draw_root
from whs_fast.steps.clock import Clock, Progress
from whs_fast.steps.figures import Figures
from whs_fast.volume import Direction, Triple, Volume
from whs_fast.writing.dicom.objects import write_contours, write_objects
from whs_fast.writing.label_maps import write_each, write_labels
from whs_fast.writing.markups import write_markups
from whs_fast.writing.meshes import write_meshes
from whs_fast.writing.result_folder import written_aside

_SURFACES = frozenset(("stl", "glb"))


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What was found in one scan.

    Attributes:
        labels: uint8[z, y, x] on the scan's grid; 0 is background, 1 to 10 are the labels of `STRUCTURES`.
        aortic_valve_mm: centre of the aortic valve (x, y, z) in mm, LPS.
        measurements: what measurements.json holds; its JSON Schema describes every field (see docs/api.md).
        scan: the scan that was segmented, int16 HU. Pictures and pages are cut from it when they are saved, so a result
            that is kept also keeps its scan.
        figures: what the confidence was predicted from; docs/quality.md defines them.
        agreed: with `check`, the Dice of the two passes by label, 0 for all of them pooled.
    """

    labels: NDArray[np.uint8]
    aortic_valve_mm: Triple
    measurements: dict[str, Any]
    scan: Volume
    figures: Figures | None = None
    agreed: Mapping[int, float] | None = None
    _threads: int = field(default=1)

    @property
    def spacing_mm(self) -> Triple:
        """Voxel size (x, y, z) of labels and scan, in mm."""
        return self.scan.spacing_mm

    @property
    def origin_mm(self) -> Triple:
        """Centre of the first voxel (x, y, z) in mm, LPS."""
        return self.scan.origin_mm

    @property
    def direction(self) -> Direction:
        """Directions of the array's x, y and z in the patient: nine numbers, the rows of a 3 x 3 matrix."""
        return self.scan.direction

    @property
    def source(self) -> Source | None:
        """The DICOM instances that the scan was read from, or None if it was not DICOM."""
        return self.scan.source

    def __repr__(self) -> str:
        size = " x ".join(str(count) for count in self.labels.shape[::-1])
        found = sum(bool(entry["volume_ml"]) for entry in self.measurements["structures"].values())
        valve = ", ".join(f"{coordinate:.1f}" for coordinate in self.aortic_valve_mm)
        return f"<Result: {found} structures in {size} voxels, aortic valve at ({valve}) mm>"

    def view(self) -> Any:
        """Scan and labels in a notebook: a widget of NiiVue with slices to scroll and a heart to turn.

        Raises InputError where the extra `view` is not installed.
        """
        require_extra("view", "Result.view")
        from whs_fast.report.notebook import show

        return show(self.scan, self.labels, self.aortic_valve_mm, threads=self._threads)

    def save(
        self,
        folder: str | PathLike[str],
        *,
        formats: Sequence[str] = ("nifti",),
        report: str = "plain",
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Writes labels, picture, report and measurements into a folder, all of them or nothing.

        The time that this takes is added to `measurements`.

        Args:
            folder: where to write; created if it does not exist.
            formats: one or more of "nifti", "nifti-each", "seg.nrrd", "dicom-seg", "rtstruct", "stl", "glb" and
                "markups".
            report: "plain", or "interactive" for a second page with slices to scroll and a heart to turn.
            overwrite: whether to replace earlier results in the folder.
            progress: called with the name of the step and the share that is done (0 to 1), as in `Engine.run`.

        Raises:
            InputError: a format or the report is unknown or needs an extra that is not installed, the folder holds
                earlier results, or dicom-seg or rtstruct is asked for and the scan is not DICOM: nothing is written. Or
                a format cannot be made from this scan: everything else is written, and the message says what is not.
            OutputError: the results cannot be written: nothing is.
            RuntimeError: a format failed by an internal error: everything else is written, and the message says what is
                not.
        """
        check_formats(formats)
        check_report(report)
        if OF_DICOM.intersection(formats) and self.source is None:
            raise InputError(NO_SOURCE)
        timings_s = self.measurements["timings_s"]
        clock = Clock(timings_s | {"write": 0.0, "total": timings_s["total"] - timings_s["write"]}, progress)
        with written_aside(Path(folder), overwrite=overwrite) as aside:
            with clock.step("write"), ThreadPoolExecutor(1) as pool:
                drawing = pool.submit(self._draw)
                if self._threads == 1:
                    wait([drawing])
                failed = self._write_formats(aside, formats)
                picture = drawing.result()
                (aside / PICTURE).write_bytes(picture)
                scene = None
                if report == "interactive":
                    scene = prepare_scene(
                        self.scan, self.labels, self.aortic_valve_mm, self.measurements, threads=self._threads
                    )
            self.measurements["timings_s"].update(clock.timings_s())
            self.measurements["peak_memory_mb"] = peak_memory_mb()
            lacking = [f"{name} was not written: {_reason(error)}" for name, error in failed.items()]
            told = self.measurements | {"warnings": [*self.measurements["warnings"], *lacking]}
            root_picture = draw_root(self.scan, self.measurements, threads=self._threads)
            pages = [render_report(told, picture, root_picture)]
            if scene is not None:
                pages.append(render_interactive(told, scene))
            for name, page in zip(REPORTS[report].files, pages, strict=True):
                (aside / name).write_text(page, encoding="utf-8")
            text = json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False)
            (aside / MEASUREMENTS).write_text(text + "\n", encoding="utf-8")
        if progress is not None:
            progress("done", 1.0)
        for name, error in failed.items():
            line = f"{folder}: {name} could not be written ({_reason(error)}); everything else was"
            raise (InputError if isinstance(error, InputError) else RuntimeError)(line) from error

    def _draw(self) -> bytes:
        return draw_picture(self.scan, self.labels, self.aortic_valve_mm, self.measurements, threads=self._threads)

    def _write_formats(self, folder: Path, formats: Sequence[str]) -> dict[str, Exception]:
        """Writes what can be written, and returns what kept the other formats from it. Raises where the disk fails."""
        surfaces = tuple(_SURFACES.intersection(formats))  # made once for both
        failed: dict[str, Exception] = {}
        for names in [*((name,) for name in formats if name not in _SURFACES), *([surfaces] if surfaces else [])]:
            try:
                self._write(folder, names)
            except OSError:  # OutputError is one; the other formats would meet it too
                raise
            except Exception as error:
                failed |= dict.fromkeys(names, error)
                for name in names:
                    for file in FORMATS[name].files:
                        _remove(folder / file)
        return failed

    def _write(self, folder: Path, names: tuple[str, ...]) -> None:
        grid = self.scan.grid
        if names == ("dicom-seg",):
            write_objects(folder, self.labels, grid, self.source, self.measurements)
        elif names == ("rtstruct",):
            write_contours(folder, self.labels, grid, self.source, self.measurements)
        elif names == ("nifti-each",):
            write_each(folder / FORMATS[names[0]].files[0], self.labels, grid, self._threads, self.scan.nifti_places)
        elif names == ("markups",):
            write_markups(folder / FORMATS[names[0]].files[0], self.measurements)
        elif _SURFACES.issuperset(names):
            write_meshes(folder, names, self.labels, grid, threads=self._threads)
        else:
            path, places = folder / FORMATS[names[0]].files[0], self.scan.nifti_places
            write_labels(path, self.labels, grid, threads=self._threads, places=places)


def _reason(error: Exception) -> str:
    """What may be said of an error; the text of an internal one may quote the header, and so the patient."""
    return str(error) if isinstance(error, InputError) else f"internal error, {type(error).__name__}"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
