"""Small intact files of every kind that is read, for `mutating` to spoil."""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import SimpleITK as sitk
from support import dicom_cases, scans
from support.phantom import make_models
from whs_fast.engine import Engine
from whs_fast.measure_labels import measure
from whs_fast.reading.scan import read
from whs_fast.steps import region
from whs_fast.structures import STRUCTURES
from whs_fast.volume import Volume
from whs_fast.writing.label_maps import write_labels

SCAN = scans.make_scan(shape=(14, 15, 16), spacing_mm=(10.5, 11.0, 11.5))
# A folder's files by their names, or one file under the name by which its kind is known.
Files = Mapping[str, bytes]


def _labels() -> Volume:
    z, y, x = np.indices(SCAN.array.shape)
    labels = np.where(x > 1, (z // 3 + y // 3 + x // 4) % 11, 0).astype(np.uint8)
    return Volume(labels, SCAN.spacing_mm, SCAN.origin_mm)


def _as(pixel: int, volume: Volume = SCAN) -> sitk.Image:
    return sitk.Cast(scans.to_image(volume), pixel)


def _written(folder: Path, image: sitk.Image, name: str, *, compressed: bool = False, **data: str) -> Files:
    """What SimpleITK writes for an image, with metadata of the header."""
    for key, value in data.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(folder / name), compressed)
    return _taken(folder)


def _taken(folder: Path) -> Files:
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    for name in files:
        (folder / name).unlink()
    return files


def _big_endian(folder: Path) -> Files:
    import nibabel

    affine = SCAN.grid.affine * np.array([[-1.0], [-1.0], [1.0], [1.0]])
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(SCAN.array.T, affine, header), folder / "scan.nii")
    return _taken(folder)


def _nifti_2(folder: Path) -> Files:
    import nibabel

    affine = SCAN.grid.affine * np.array([[-1.0], [-1.0], [1.0], [1.0]])
    nibabel.save(nibabel.Nifti2Image(SCAN.array.T, affine), folder / "scan.nii")
    return _taken(folder)


def _dicom(folder: Path, syntax: str) -> Files:
    dicom_cases.write(SCAN, folder, syntax=dicom_cases.SYNTAXES[syntax])
    return _taken(folder)


def _enhanced(folder: Path) -> Files:
    dicom_cases.write_enhanced([SCAN], folder / "scan.dcm")
    return _taken(folder)


def _zip(folder: Path, method: int) -> Files:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in _dicom(folder, "explicit").items():
            archive.writestr(zipfile.ZipInfo(f"Größe/{name}"), content, method)
    return {"scan.zip": packed.getvalue()}


def _slicer(folder: Path) -> Files:
    labels = _labels()
    write_labels(folder / "labels.seg.nrrd", labels.array, labels.grid, threads=1)
    return _taken(folder)


def _label_map(folder: Path, name: str, **how: Any) -> Files:
    return _written(folder, scans.to_image(_labels()), name, **how)


SCANS: dict[str, Callable[[Path], Files]] = {
    "NIfTI": lambda folder: _written(folder, _as(sitk.sitkInt16), "scan.nii"),
    "NIfTI, gzip": lambda folder: _written(folder, _as(sitk.sitkInt16), "scan.nii.gz", compressed=True),
    "NIfTI, float": lambda folder: _written(folder, _as(sitk.sitkFloat32), "scan.nii.gz", compressed=True),
    "NIfTI, big-endian": _big_endian,
    "NIfTI-2": _nifti_2,
    "NRRD": lambda folder: _written(folder, _as(sitk.sitkInt16), "scan.nrrd"),
    "NRRD, gzip": lambda folder: _written(folder, _as(sitk.sitkFloat32), "scan.nrrd", compressed=True),
    "NRRD, detached": lambda folder: _written(folder, _as(sitk.sitkInt16), "scan.nhdr"),
    "MetaImage": lambda folder: _written(folder, _as(sitk.sitkInt32), "scan.mha"),
    "MetaImage, zlib": lambda folder: _written(folder, _as(sitk.sitkInt16), "scan.mha", compressed=True),
    "MetaImage, detached": lambda folder: _written(folder, _as(sitk.sitkInt16), "scan.mhd"),
    "DICOM": lambda folder: _dicom(folder, "explicit"),
    "DICOM, implicit": lambda folder: _dicom(folder, "implicit"),
    "DICOM, deflated": lambda folder: _dicom(folder, "deflated"),
    "DICOM, RLE": lambda folder: _dicom(folder, "RLE"),
    "DICOM, JPEG-LS": lambda folder: _dicom(folder, "JPEG-LS"),
    "DICOM, enhanced": _enhanced,
    "zip": lambda folder: _zip(folder, zipfile.ZIP_DEFLATED),
    "zip, stored": lambda folder: _zip(folder, zipfile.ZIP_STORED),
    "zip, bzip2": lambda folder: _zip(folder, zipfile.ZIP_BZIP2),
    "zip, LZMA": lambda folder: _zip(folder, zipfile.ZIP_LZMA),
}
LABELS: dict[str, Callable[[Path], Files]] = {
    "segmentation of 3D Slicer": _slicer,
    "labels, NIfTI": lambda folder: _label_map(folder, "labels.nii.gz", compressed=True),
    "labels, NRRD": lambda folder: _label_map(folder, "labels.nrrd"),
    "labels, MetaImage": lambda folder: _label_map(folder, "labels.mha", compressed=True),
}
# The same files through a whole run: what the reader lets pass, the other steps must take as well.
RUNS = {f"run, {kind}": SCANS[kind] for kind in ("NIfTI", "NRRD", "MetaImage", "DICOM")}
_MAKERS = SCANS | LABELS | RUNS
KINDS = tuple(_MAKERS)


@cache
def _engine() -> Engine:
    """Networks of a few operations."""
    return Engine(threads=1, models=make_models(Path(tempfile.mkdtemp())))


def _refuse(constant: str) -> None:
    raise AssertionError(f"measurements.json holds {constant}")


def make_base(kind: str, folder: Path) -> Files:
    """The files of a kind; folder is empty, before and after."""
    return _MAKERS[kind](folder)


def opened(kind: str, folder: Path, files: Files) -> Path:
    """The path that a user would give for the files of a kind that lie in a folder."""
    if len(files) > 2:
        return folder
    return folder / min(files, key=lambda name: not name.endswith((".nhdr", ".mhd")))


def take(kind: str, path: Path) -> None:
    """Reads a scan and checks what the steps of a run trust in; or runs it, or measures a label map."""
    if kind in RUNS:
        # In a small region, where a run costs a tenth of a second.
        small = patch.object(region, "REGION_SHAPE", (96, 96, 96))
        with small, tempfile.TemporaryDirectory() as out:
            result = _engine().run(path)
            result.save(out, formats=("nifti", "seg.nrrd"))
            assert result.labels.shape == result.scan.array.shape
            assert sitk.ReadImage(f"{out}/labels.nii.gz").GetSize() == result.labels.shape[::-1]
            json.loads(Path(out, "measurements.json").read_text("utf-8"), parse_constant=_refuse)
    elif kind in SCANS:
        volume = read(path, threads=1)
        assert volume.array.dtype == np.int16 and volume.array.flags.c_contiguous and volume.array.ndim == 3
        assert volume.array.min() >= -1024
    else:
        assert len(measure(path, threads=1)["structures"]) == len(STRUCTURES)
