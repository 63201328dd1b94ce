"""A CT series from a folder of DICOM files, one file a slice.

SimpleITK (GDCM) decodes the slices; which of them belong together, in what order, and whether they make a regular
grid is decided here, because its series reader stacks whatever it is given: tilted gantries lose their shear, missing
slices close up, several phases interleave, all without an error. Such series are refused in this version.

What is tolerated: direction cosines that differ by 1e-4 within the series; slices up to 0.25 mm sideways of the line
along the slice normal (0.06 degrees of tilt over 250 mm); positions up to 0.1 mm, and up to a quarter of the distance
between slices, off an even spacing (some scanners write positions with one decimal).

Messages hold no value of a tag that could name the patient, and no names of files inside the folder: some exports
name them after the patient. The series' own UID, modality and description are given, for one must be chosen by them.
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.reading.hounsfield import convert
from whs_fast.reading.itk import open_header
from whs_fast.source import Source, read_head
from whs_fast.volume import Volume

COSINES_WITHIN, SIDEWAYS_MM, UNEVEN_MM, UNEVEN_PART = 1e-4, 0.25, 0.1, 0.25
MOST_FILES = 50_000
_THREADS = 4
_MOST_LISTED = 20
_CT_STORAGE = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.2(\.[12])?[\x00 ]")


@dataclass(frozen=True)
class _Slice:
    path: Path
    series: str
    instance: str
    modality: str
    description: str
    frames: int
    localizer: bool
    placed: bool
    size: tuple[int, int]
    spacing: tuple[float, float]
    position: tuple[float, ...]
    cosines: tuple[float, ...]
    components: int


def read_series(folder: Path, name: str, *, series: str | None = None) -> Volume:
    """Read the CT series of a folder and its subfolders, or the one of several with the UID `series`.

    `name` is what messages call the folder. The result is int16 with each slice's own slope and intercept applied,
    slices in ascending order along the normal, not yet checked for HU. Raises InputError where there is not exactly
    one CT series, and for one that is damaged, tilted, unevenly spaced, not of one orientation, or repeats positions.
    """
    slices = _choose(_scan(folder, name), name, series)
    position, cosines, step = _arrange(slices, name)
    row, column = cosines[:3], cosines[3:]
    normal = np.cross(row, column)
    slices = [slices[index] for index in np.argsort(position @ normal)]
    first = position[np.argmin(position @ normal)]

    width, height = slices[0].size
    array = np.empty((len(slices), height, width), dtype=np.int16)

    def decode(index: int) -> None:
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(slices[index].path))
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise InputError(
                f"{name}: found slice {index + 1} of {len(slices)} damaged, expected intact files"
            ) from error
        convert(sitk.GetArrayViewFromImage(image)[0], array[index], name)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(decode, range(len(slices))))
    spacing = (*slices[0].spacing, step)
    r, c, n = row.tolist(), column.tolist(), normal.tolist()
    direction = (r[0], c[0], n[0], r[1], c[1], n[1], r[2], c[2], n[2])
    instances = tuple(image.instance for image in slices)
    source = Source(read_head(slices[0].path), instances, tuple((index, 1) for index in range(len(slices))))
    return Volume(array, spacing, (first[0], first[1], first[2]), direction, source)


def _scan(folder: Path, name: str) -> list[_Slice]:
    """The DICOM images below a folder, in the order of their names; anything else is passed over."""
    paths: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders.sort()
        paths += [Path(parent) / file for file in sorted(files)]
        if len(paths) > MOST_FILES:
            raise InputError(f"{name}: found more than {MOST_FILES} files, expected a folder with one DICOM series")

    def look(path: Path) -> _Slice | None:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            head = file.read(1024)
        if head[128:132] != b"DICM" and head[:2] not in (b"\x02\x00", b"\x08\x00"):
            return None
        reader = open_header(path, "GDCMImageIO")
        if reader is not None:
            return _describe(path, reader)
        # Reports, plans and indexes are DICOM without an image; a CT slice that cannot be opened must not go missing.
        if _CT_STORAGE.search(head[132:]):
            raise InputError(
                f"{name}: found a damaged or truncated CT slice among its {len(paths)} files, expected intact files"
            )
        return None

    with ThreadPoolExecutor(_THREADS) as pool:
        found = [image for image in pool.map(look, paths) if image is not None]
    if not found:
        raise InputError(f"{name}: found {len(paths)} files, none of them a DICOM image, expected a CT series")
    return found


def _describe(path: Path, reader: sitk.ImageFileReader) -> _Slice:
    def tag(key: str) -> str:
        return str(reader.GetMetaData(key)).strip(" \0") if reader.HasMetaDataKey(key) else ""

    size, spacing = reader.GetSize(), reader.GetSpacing()
    position, cosines = _numbers(tag("0020|0032")), _numbers(tag("0020|0037"))
    return _Slice(
        path=path,
        series=tag("0020|000e"),
        instance=tag("0008|0018"),
        modality=tag("0008|0060"),
        description=re.sub(r"[^ -~]", "?", tag("0008|103e"))[:64],
        frames=size[2] if len(size) > 2 else 1,
        localizer="LOCALIZER" in tag("0008|0008").upper().split("\\"),
        placed=len(position) == 3 and len(cosines) == 6 and len(_numbers(tag("0028|0030"))) == 2,
        size=(size[0], size[1]),
        spacing=(spacing[0], spacing[1]),
        position=position,
        cosines=cosines,
        components=reader.GetNumberOfComponents(),
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in text.split("\\"))
    except ValueError:
        return ()
    return values if np.isfinite(values).all() else ()


def _choose(found: list[_Slice], name: str, series: str | None) -> list[_Slice]:
    """The slices of the one CT series, or of the series asked for."""
    by_uid: dict[str, list[_Slice]] = {}
    for image in found:
        by_uid.setdefault(image.series, []).append(image)
    if series is not None:
        if series not in by_uid:
            raise InputError(f"{name}: found no series {series}, expected one of {_listed(by_uid)}")
        if by_uid[series][0].modality != "CT":
            raise InputError(
                f"{name}: found modality {by_uid[series][0].modality or '(none)'} in series {series}, expected CT"
            )
        return _without_extras(by_uid[series]) or by_uid[series]
    scans = {uid: images for uid, images in by_uid.items() if images[0].modality == "CT"}
    if not scans:
        raise InputError(f"{name}: found no CT series, only {_listed(by_uid)}, expected one")
    slices = {uid: _without_extras(images) for uid, images in scans.items()}
    volumes = {uid: images for uid, images in slices.items() if sum(image.frames for image in images) > 1}
    if len(volumes) > 1:
        raise InputError(
            f"{name}: found {len(volumes)} CT series, expected one or its UID (--series UID): {_listed(volumes)}"
        )
    if not volumes:
        raise InputError(f"{name}: found CT images that are no volume, {_listed(scans)}, expected a series of slices")
    return next(iter(volumes.values()))


def _without_extras(images: list[_Slice]) -> list[_Slice]:
    """Scouts, screenshots and dose reports come with most scans and are not meant."""
    return [image for image in images if not image.localizer and image.components == 1]


def _listed(by_uid: dict[str, list[_Slice]]) -> str:
    entries = [
        f"{uid or '(no UID)'} '{images[0].description}' ({images[0].modality or 'no modality'}, "
        f"{sum(image.frames for image in images)} slices)"
        for uid, images in by_uid.items()
    ]
    rest = len(entries) - _MOST_LISTED
    return "; ".join(entries[:_MOST_LISTED]) + (f"; and {rest} more" if rest > 0 else "")


def _arrange(slices: list[_Slice], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Positions [n, 3] in mm, orthonormal row and column cosines [6] and slice distance in mm of a regular stack."""
    if any(image.frames != 1 for image in slices):
        raise InputError(f"{name}: found a multi-frame (enhanced) DICOM file, expected one file a slice")
    if any(image.components != 1 for image in slices):
        raise InputError(f"{name}: found colour images, expected CT slices")
    if not all(image.placed for image in slices):
        raise InputError(f"{name}: found slices without position, orientation or pixel spacing, expected all three")
    if len(slices) < 2:
        raise InputError(f"{name}: found a single slice, expected a series of slices")
    if len({image.size for image in slices}) > 1 or np.ptp([image.spacing for image in slices], axis=0).max() > 1e-4:
        raise InputError(
            f"{name}: found slices of different size or pixel spacing in one series, expected the same in all"
        )
    cosines = np.array([image.cosines for image in slices])
    row, column = cosines[0, :3], cosines[0, 3:]
    if abs(row @ row - 1.0) > 1e-3 or abs(column @ column - 1.0) > 1e-3 or abs(row @ column) > 1e-3:
        raise InputError(f"{name}: found direction cosines that are not orthonormal, expected orthonormal ones")
    if np.ptp(cosines, axis=0).max() > COSINES_WITHIN:
        raise InputError(f"{name}: found slices of different orientation in one series, expected one orientation")
    # Cosines come with six or more decimals; what is missing to orthonormal is rounding.
    row = row / np.linalg.norm(row)
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    column = np.cross(normal, row)

    position = np.array([image.position for image in slices])
    along = np.sort(position @ normal)
    gaps = np.diff(along)
    step = float(along[-1] - along[0]) / (len(slices) - 1)
    usual = float(np.median(gaps))
    if gaps.min() < 0.01:
        repeated = int((gaps < 0.01).sum())
        raise InputError(
            f"{name}: found {repeated} of {len(slices)} slices at the position of another (several phases, or copies), "
            "expected one slice a position"
        )
    offset = position - position[np.argmin(position @ normal)]
    sideways = offset - np.outer(offset @ normal, normal)
    drift = float(np.linalg.norm(sideways, axis=1).max())
    if drift > SIDEWAYS_MM:
        furthest = int(np.argmax(np.linalg.norm(sideways, axis=1)))
        tilt = np.degrees(np.arctan2(drift, offset[furthest] @ normal))
        raise InputError(
            f"{name}: found slices shifted sideways by up to {drift:.1f} mm (gantry tilt of {tilt:.1f} degrees, "
            "or a moved table), expected slices stacked along their normal"
        )
    if gaps.max() > 1.5 * usual:
        raise InputError(
            f"{name}: found {int((gaps > 1.5 * usual).sum())} gap(s) of up to {gaps.max():.2f} mm between slices "
            f"{usual:.2f} mm apart (missing slices, or uneven spacing), expected even spacing"
        )
    uneven = float(np.abs(along - (along[0] + step * np.arange(len(along)))).max())
    if uneven > min(UNEVEN_MM, UNEVEN_PART * step):
        raise InputError(
            f"{name}: found distances between slices from {gaps.min():.2f} to {gaps.max():.2f} mm (uneven spacing), "
            "expected even spacing"
        )
    return position, np.concatenate([row, column]), step
