"""Reading a scan into int16 HU on its own grid, or refusing it in one line.

    read("scan.nii.gz")    NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd)
    read("folder")         a DICOM folder, subfolders included; a .zip of one
    read(image)            a SimpleITK image, or a Volume

The scan keeps its grid: oblique directions, left-handed ones and anisotropic voxels are normal input. What the later
steps could only turn into nonsense is refused here: see `read`.
"""

import errno
import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from whs_fast.errors import InputError, OutputError
from whs_fast.reading.headers import ORTHONORMAL_WITHIN, check_directions, check_spacing, find_voxels
from whs_fast.reading.hounsfield import settle, to_hounsfield
from whs_fast.reading.itk import open_header, silence
from whs_fast.reading.series import read_series
from whs_fast.reading.voxels import read_voxels
from whs_fast.volume import Grid, Volume

LEAST_FIELD_OF_VIEW_MM, MOST_FIELD_OF_VIEW_MM = 120.0, 3000.0
LEAST_SPACING_MM, MOST_SPACING_MM = 0.05, 12.0
MOST_ZIP_BYTES, MOST_ZIP_FILES = 4 << 30, 50_000

_IMAGE_IO = {
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}
_EXPECTED = "expected .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, a DICOM folder or a .zip of one"


def read(source: str | os.PathLike[str] | sitk.Image | Volume, *, series: str | None = None) -> Volume:
    """Read a scan: int16 HU, C-contiguous, indexed z, y, x, on the grid that it has on disk.

    Values are rounded to the nearest HU; padding below -1024 HU (scanners write -2000, -3024 and the like) becomes
    -1024. A Volume or image given as int16 is not changed and, where nothing needs clamping, a Volume's array is not
    copied. `series` is the Series Instance UID of one of several CT series in a folder or zip.

    Raises InputError, one line that names the source, what was found and what was expected, for: a missing, damaged
    or truncated file, or one of another kind; anything but one number a voxel in three dimensions; a header whose
    voxel size, orientation or directions are missing, contradictory, singular or not orthonormal (within 2e-4);
    voxels under 0.05 mm or over 12 mm; a field of view under 120 mm or over 3 m along any axis; NaN or infinite
    voxels; values that cannot be HU (see `whs_fast.reading.hounsfield.settle`), label maps and scans with nothing
    below -500 HU; DICOM folders without a CT series, with several, or with one that is tilted, uneven, or incomplete
    (tolerances: `whs_fast.reading.series`). Raises OutputError where a zip cannot be unpacked for lack of space.
    """
    if isinstance(source, Volume):
        _refuse_series(series, "volume")
        return _checked(source, "volume")
    if isinstance(source, sitk.Image):
        _refuse_series(series, "image")
        return _from_image(source)
    name = "".join(character if character.isprintable() else "?" for character in os.fspath(source))
    path = Path(source)
    if not os.fspath(source):
        raise InputError(f"found an empty path, {_EXPECTED}")
    try:
        with silence():
            return _from_path(path, name, series)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name}: found no such file or folder, {_EXPECTED}") from error
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise InputError(f"{name}: found a file that cannot be read ({error.strerror or 'input error'})") from error
    except MemoryError as error:
        raise InputError(f"{name}: found a scan too large for the memory of this computer") from error


def _from_path(path: Path, name: str, series: str | None) -> Volume:
    if path.is_dir():
        return _settled(read_series(path, name, series=series), name)
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    lower = path.name.lower()
    if lower.endswith(".zip"):
        # mkdtemp makes the folder readable by this user alone, which patients' slices need.
        with tempfile.TemporaryDirectory(prefix="whs_fast_", ignore_cleanup_errors=True) as folder:
            _unpack(path, Path(folder), name)
            return _settled(read_series(Path(folder), name, series=series), name)
    _refuse_series(series, name)
    image_io = next((io for suffix, io in _IMAGE_IO.items() if lower.endswith(suffix)), None)
    if image_io is None:
        with path.open("rb") as file:
            dicom = file.read(132)[128:] == b"DICM"
        kind = "a single DICOM file" if dicom else f"a file of another kind ({path.suffix or 'no suffix'})"
        raise InputError(f"{name}: found {kind}, {_EXPECTED}")
    if path.stat().st_size == 0:
        raise InputError(f"{name}: found an empty file, expected a scan")
    layout = find_voxels(path, name)
    reader = open_header(path, image_io)
    if reader is None or tuple(reader.GetSize()[::-1]) != layout.shape:
        raise InputError(f"{name}: found a header that cannot be read as one scan, expected an intact file")
    _check_grid(Grid(layout.shape, reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()), name)
    volume = Volume(read_voxels(layout, name), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())
    return _settled(volume, name)


def _from_image(image: sitk.Image) -> Volume:
    dimensions, numbers = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if (dimensions, numbers) != (3, 1):
        raise InputError(f"image: found {dimensions} dimensions and {numbers} numbers a voxel, expected 3 and 1")
    if image.GetNumberOfPixels() == 0 or "complex" in image.GetPixelIDTypeAsString():
        raise InputError(
            f"image: found {image.GetPixelIDTypeAsString()} voxels of size {image.GetSize()}, expected a CT scan"
        )
    # Copied: a view would dangle as soon as the caller changes the image.
    array = sitk.GetArrayFromImage(image)
    return _checked(Volume(array, image.GetSpacing(), image.GetOrigin(), image.GetDirection()), "image")


def _checked(volume: Volume, name: str) -> Volume:
    """A volume made outside, with its grid checked and its values brought to HU."""
    _check_grid(volume.grid, name)
    array: NDArray[Any] = np.asarray(volume.array)
    hounsfield = to_hounsfield(array, name)
    return Volume(hounsfield, volume.spacing_mm, volume.origin_mm, volume.direction, volume.source)


def _settled(volume: Volume, name: str) -> Volume:
    """A volume made here, with its grid checked and its padding raised to air in place."""
    _check_grid(volume.grid, name)
    settle(volume.array, name)
    return volume


def _check_grid(grid: Grid, name: str) -> None:
    check_spacing(grid.spacing_mm, name)
    found = " x ".join(f"{value:.4g}" for value in grid.spacing_mm)
    if min(grid.spacing_mm) < LEAST_SPACING_MM or max(grid.spacing_mm) > MOST_SPACING_MM:
        raise InputError(f"{name}: found a spacing of {found} mm, expected {LEAST_SPACING_MM} to {MOST_SPACING_MM} mm")
    if not np.isfinite(grid.origin_mm).all():
        raise InputError(f"{name}: found an origin that is not finite, expected millimetres")
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


def _refuse_series(series: str | None, name: str) -> None:
    if series is not None:
        raise InputError(f"{name}: found a series UID for a single scan, expected one only with a DICOM folder or zip")


def _unpack(path: Path, folder: Path, name: str) -> None:
    """Unpack a zip under names of our own, so that no entry can choose its place, and only up to a total size."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            total = sum(entry.file_size for entry in entries)
            if total > MOST_ZIP_BYTES or len(entries) > MOST_ZIP_FILES:
                raise InputError(
                    f"{name}: found {len(entries)} files of {total >> 20} MB in all, expected at most {MOST_ZIP_FILES} "
                    f"and {MOST_ZIP_BYTES >> 20} MB"
                )
            if total > shutil.disk_usage(folder).free:
                raise OutputError(
                    f"{name}: found too little space for {total >> 20} MB of temporary files in {folder.parent}"
                )
            for number, entry in enumerate(sorted(entries, key=lambda entry: entry.filename)):
                # ZipExtFile gives no more bytes than the directory announced, so the total above holds.
                with archive.open(entry) as source, (folder / f"{number:06d}").open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{name}: found a damaged or encrypted zip, expected an intact one") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"{name}: found no space left for temporary files in {folder.parent}") from error
        raise
