"""Reading a scan into int16 HU on its own grid, or refusing it in one line.

    read("scan.nii.gz")    NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd)
    read("folder")         a DICOM folder, subfolders included; a .zip of one; one enhanced multi-frame file
    read(image)            a SimpleITK image, or a Volume

The scan keeps its grid: oblique directions, left-handed ones and anisotropic voxels are normal input. What the later
steps could only turn into nonsense is refused here: see `read`.

SimpleITK reads DICOM alone, and is imported where that begins: it takes a sixth of a run's memory, 100 MB.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.machine import choose_threads
from whs_fast.reading.dicom.opening import EXPECTED, is_dicom, name_of, telling, unpacked
from whs_fast.reading.dicom.phases import Phase, parse_phase
from whs_fast.reading.formats import kind_of, read_header
from whs_fast.reading.headers import ORTHONORMAL_WITHIN, check_directions, check_spacing
from whs_fast.reading.hounsfield import settle, to_hounsfield
from whs_fast.reading.voxels import read_voxels
from whs_fast.volume import Grid, Volume

if TYPE_CHECKING:
    import SimpleITK

    from whs_fast.reading.dicom.choosing import Candidate
    from whs_fast.reading.dicom.series import SeriesLine

LEAST_FIELD_OF_VIEW_MM, MOST_FIELD_OF_VIEW_MM = 60.0, 3000.0
SMALL_FIELD_OF_VIEW_MM = 120.0
MOST_VOXELS_ALONG = 32_767  # NIfTI, in which the labels are written, has no room for more
LEAST_SPACING_MM, MOST_SPACING_MM = 0.05, 12.0
MOST_ORIGIN_MM = 1e5  # farther from 0 than any table goes; headers' 32 bits still tell hundredths of a millimetre there


@dataclass(frozen=True)
class ScanPhase:
    """One phase of a scan that `open_phases` has found: a source like a path, for as long as the scan is open.

    Attributes:
        label: what `--phase` calls it, such as "35%".
        folder: a name for the folder of its results, such as phase_35.
    """

    label: str
    folder: str
    _scan: "Candidate" = field(repr=False)
    _name: str = field(repr=False)
    _choice: str | None = field(repr=False)


@contextmanager
def open_phases(
    source: str | os.PathLike[str], *, series: str | None = None, threads: int | None = None
) -> Iterator[tuple[ScanPhase, ...]]:
    """Opens a DICOM folder or zip and gives every phase of the scan that a run would choose, in order.

    Args:
        source: the folder or zip. The phases may be images of one series, or series of their own.
        series: UID of the series to take the phases of; left out, that of the thinnest contrast cardiac series.
        threads: CPU threads that read headers, all available ones where None.

    Returns:
        A context manager that gives the phases, each of which `Engine.run` takes while the block lasts.

    Raises:
        InputError: there is no such series, or it has no phases; one line says why.
        OutputError: a zip cannot be unpacked for lack of space.
    """
    from whs_fast.reading.dicom.choosing import choose, phases_beside
    from whs_fast.reading.dicom.series import find_scans
    from whs_fast.reading.itk import silence

    name = name_of(source)
    with ExitStack() as stack:
        with telling(name), silence():
            if not is_dicom(Path(source)):
                raise InputError(f"{name}: found a single scan, expected a DICOM folder or zip to have phases")
            folder = stack.enter_context(unpacked(Path(source), name))
            scans = find_scans(folder, name, series=series, threads=choose_threads(threads))
            best, _, choice = choose(scans, None, name)
            phases = phases_beside(best, scans)
            if phases[0].phase == Phase():
                raise InputError(f"{name}: found a scan whose phase is not told, expected one with phases")
        yield tuple(ScanPhase(scan.phase.label, scan.phase.folder, scan, name, choice) for scan in phases)


def list_series(source: str | os.PathLike[str], *, threads: int | None = None) -> "list[SeriesLine]":
    """Lists the series of a DICOM folder or zip, and which of them a run would take.

    Args:
        source: the folder or zip.
        threads: CPU threads that read headers, all available ones where None.

    Returns:
        One entry a series, in the order of the files: uid, modality, description, phases (as `phase` takes them),
        distance_mm between slices, number of slices, whether it is chosen, and the traits that decide about that.

    Raises:
        InputError: there is no DICOM image, or a CT slice cannot be read.
        OutputError: a zip cannot be unpacked for lack of space.
    """
    from whs_fast.reading.dicom.series import describe_series
    from whs_fast.reading.itk import silence

    name = name_of(source)
    with telling(name), silence():
        if not is_dicom(Path(source)):
            raise InputError(f"{name}: found a single scan, expected a DICOM folder or zip")
        with unpacked(Path(source), name) as folder:
            return describe_series(folder, name, threads=choose_threads(threads))


def read(
    source: "str | os.PathLike[str] | SimpleITK.Image | Volume | ScanPhase",
    *,
    series: str | None = None,
    phase: float | str | None = None,
    threads: int | None = None,
) -> Volume:
    """Read a scan: int16 HU, C-contiguous, indexed z, y, x, on the grid that it has on disk.

    Values are rounded to the nearest HU; padding below -1024 HU (scanners write -2000, -3024 and the like) becomes
    -1024. A Volume or image given as int16 is not changed and, where nothing needs clamping, a Volume's array is not
    copied.

    In a DICOM folder or zip, `series` is the Series Instance UID of one of several CT series, `phase` one of several
    phases: 30 or "30%" of the R-R interval (the nearest within 5), "310ms" after the R peak, or "4of10" where nothing
    but their order is known. Left out, the thinnest contrast cardiac series is taken (`reading.dicom.choosing`), in
    the phase nearest to end-systole (`whs_fast.reading.dicom.phases`), and the volume's notes tell so. Slices are read
    by `threads` threads at once, as many as the process may use where None; one is the caller's own.

    Where a NIfTI header places the scan twice, the sform is followed and the volume keeps both (`reading.nifti`). A
    field of view under 120 mm along an axis is told in a note.

    Raises InputError, one line that names the source, what was found and what was expected, for: a missing, damaged
    or truncated file, or one of another kind; anything but one number a voxel in three dimensions, or more than 32,767
    voxels along one of them; a header whose voxel size, orientation or directions are missing, contradictory, singular
    or not orthonormal (within 2e-4); voxels under 0.05 mm or over 12 mm; a field of view under 60 mm or over 3 m along
    any axis; an origin over 100 m away; infinite voxels, and NaN inside the field of view; values that cannot be HU
    (see `whs_fast.reading.hounsfield.settle`), label maps and scans with nothing below -500 HU; DICOM folders without a
    CT series, with several equally likely ones, with files that cannot be read, or with a series whose slices make no
    regular grid (what is mended and what is not: `reading.dicom.stacking`). Raises OutputError where temporary files
    are needed (for zips and enhanced files) and cannot be written.
    """
    if isinstance(source, Volume):
        _refuse_choice(series, phase, "volume")
        return _checked(source, "volume")
    if _is_image(source):
        _refuse_choice(series, phase, "image")
        return _from_image(source)
    if isinstance(source, np.ndarray):
        raise InputError(
            "an array does not say where its voxels lie in the patient: give whs_fast.Volume(array, spacing_mm, "
            "origin_mm, direction)"
        )
    if isinstance(source, ScanPhase):
        _refuse_choice(series, phase, "phase")
        from whs_fast.reading.dicom.series import read_scan
        from whs_fast.reading.itk import silence

        with telling(source._name), silence():
            volume = read_scan(source._scan, source._name, threads=choose_threads(threads))
            return _settled(replace(volume, choice=source._choice), source._name)
    name, wanted = name_of(source), None if phase is None else parse_phase(phase)
    with telling(name):
        path = Path(source)
        if not is_dicom(path):
            _refuse_choice(series, phase, name)
            return _from_file(path, name)
        from whs_fast.reading.dicom.series import read_series
        from whs_fast.reading.itk import silence

        with silence(), unpacked(path, name) as folder:
            volume = read_series(folder, name, series=series, phase=wanted, threads=choose_threads(threads))
            return _settled(volume, name)


def _is_image(source: object) -> "TypeGuard[SimpleITK.Image]":
    """Whether it is an image of SimpleITK, by names: other threads may be importing that now."""
    kinds = type(source).__mro__
    return any((kind.__module__.partition(".")[0], kind.__name__) == ("SimpleITK", "Image") for kind in kinds)


def _from_file(path: Path, name: str) -> Volume:
    kind = kind_of(path)
    if kind is None:
        with path.open("rb") as file:
            dicom = file.read(132)[128:] == b"DICM"
        found = "a single DICOM file" if dicom else f"a file of another kind ({path.suffix or 'no suffix'})"
        raise InputError(f"{name}: found {found}, {EXPECTED}")
    if path.stat().st_size == 0:
        raise InputError(f"{name}: found an empty file, expected a scan")
    header = read_header(path, name)
    grid = header.grid
    _check_grid(grid, name)
    array = read_voxels(header.layout, name)
    place = (grid.spacing_mm, grid.origin_mm, grid.direction)
    volume = Volume(array, *place, notes=header.notes, kind=kind, nifti_places=header.places)
    return _settled(volume, name)


def _from_image(image: "SimpleITK.Image") -> Volume:
    import SimpleITK as sitk

    dimensions, numbers = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if (dimensions, numbers) != (3, 1):
        raise InputError(f"image: found {dimensions} dimensions and {numbers} numbers a voxel, expected 3 and 1")
    if image.GetNumberOfPixels() == 0 or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(
            f"image: found {image.GetPixelIDTypeAsString()} voxels of size {image.GetSize()}, expected a CT scan"
        )
    # Copied: a view would dangle as soon as the caller changes the image.
    array = sitk.GetArrayFromImage(image)
    volume = Volume(array, image.GetSpacing(), image.GetOrigin(), image.GetDirection(), kind="image")
    return _checked(volume, "image")


def _checked(volume: Volume, name: str) -> Volume:
    """A volume made outside, with its grid checked and its values brought to HU."""
    _check_grid(volume.grid, name)
    array: NDArray[Any] = np.asarray(volume.array)
    notes = (*volume.notes, *_tell_small(volume.grid))
    return replace(volume, array=to_hounsfield(array, name), notes=notes)


def _settled(volume: Volume, name: str) -> Volume:
    """A volume made here, with its grid checked and its padding raised to air in place."""
    _check_grid(volume.grid, name)
    settle(volume.array, name)
    return replace(volume, notes=(*volume.notes, *_tell_small(volume.grid)))


def _tell_small(grid: Grid) -> tuple[str, ...]:
    """A note on a field of view that the whole heart and its great vessels may not fit into."""
    extent = np.multiply(grid.shape[::-1], grid.spacing_mm)
    if extent.min() >= SMALL_FIELD_OF_VIEW_MM:
        return ()
    size = " x ".join(f"{value:.0f}" for value in extent)
    return (f"the field of view of {size} mm is small: of what it cuts off, volumes are of the part inside",)


def _check_grid(grid: Grid, name: str) -> None:
    if max(grid.shape) > MOST_VOXELS_ALONG:
        most = f"more than the {MOST_VOXELS_ALONG} that NIfTI can hold"
        raise InputError(f"{name}: holds {max(grid.shape)} voxels along an axis, {most}")
    check_spacing(grid.spacing_mm, name)
    found = " x ".join(f"{value:.4g}" for value in grid.spacing_mm)
    if min(grid.spacing_mm) < LEAST_SPACING_MM or max(grid.spacing_mm) > MOST_SPACING_MM:
        raise InputError(f"{name}: found a spacing of {found} mm, expected {LEAST_SPACING_MM} to {MOST_SPACING_MM} mm")
    if not np.isfinite(grid.origin_mm).all():
        raise InputError(f"{name}: found an origin that is not finite, expected millimetres")
    if max(map(abs, grid.origin_mm)) > MOST_ORIGIN_MM:
        found = ", ".join(f"{value:.4g}" for value in grid.origin_mm)
        raise InputError(f"{name}: found an origin at {found} mm, expected one within {MOST_ORIGIN_MM / 1e3:.0f} m")
    matrix = np.reshape(grid.direction, (3, 3))
    check_directions(matrix, name)
    if not np.allclose(np.linalg.norm(matrix, axis=0), 1.0, rtol=0.0, atol=ORTHONORMAL_WITHIN):
        raise InputError(f"{name}: found directions that are not of unit length, expected orthonormal ones")
    # Along the scan's own axes: where these suffice, so does the upright box around an oblique scan.
    extent = np.multiply(grid.shape[::-1], grid.spacing_mm)
    if extent.min() < LEAST_FIELD_OF_VIEW_MM or extent.max() > MOST_FIELD_OF_VIEW_MM:
        size = " x ".join(f"{value:.0f}" for value in extent)
        raise InputError(
            f"{name}: found a field of view of {size} mm, expected {LEAST_FIELD_OF_VIEW_MM:.0f} to "
            f"{MOST_FIELD_OF_VIEW_MM:.0f} mm along every axis"
        )


def _refuse_choice(series: str | None, phase: float | str | None, name: str) -> None:
    for what, value in (("series UID", series), ("phase", phase)):
        if value is not None:
            raise InputError(f"{name}: found a {what} for a single scan, expected one only with a DICOM folder or zip")
