"""Small synthetic scans, and their writing in every format and orientation that the reader takes.

The content is a caricature of a thorax, without symmetry, so that a flip or a swap of axes cannot go unseen.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from whs_fast.volume import IDENTITY_DIRECTION, Direction, Grid, Triple, Volume, mm_to_index

SHAPE = (46, 58, 62)
SPACING_MM = (2.9, 3.1, 3.7)
ORIGIN_MM = (-81.5, -203.25, 512.125)
PATIENT = "DOE^JANE"
PATIENT_TAGS = {"0010|0010": PATIENT, "0010|0020": "ID4711", "0010|0030": "19440101", "0008|0020": "20230417"}


def make_scan(
    seed: int = 0,
    *,
    shape: tuple[int, int, int] = SHAPE,
    spacing_mm: Triple = SPACING_MM,
    origin_mm: Triple = ORIGIN_MM,
    direction: Direction = IDENTITY_DIRECTION,
) -> Volume:
    """A body with two unequal lungs, a heart to one side, a spine and smooth texture, in HU."""
    rng = np.random.default_rng(seed)
    z, y, x = (
        np.linspace(-1.0, 1.0, n)[tuple(slice(None) if k == axis else None for k in range(3))]
        for axis, n in enumerate(shape)
    )
    hu = np.full(shape, -1000.0)
    hu[(x / 0.95) ** 2 + (y / 0.8) ** 2 + 0.0 * z < 1.0] = 40.0
    for centre, radii, value in (
        ((0.1, -0.05, -0.5), (0.8, 0.5, 0.3), -850.0),
        ((0.0, -0.05, 0.55), (0.6, 0.45, 0.25), -820.0),
        ((-0.2, -0.15, 0.15), (0.45, 0.3, 0.3), 330.0),
        ((0.0, 0.6, 0.0), (2.0, 0.15, 0.12), 500.0),
    ):
        inside = sum(((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radii, strict=True)) < 1.0
        hu[inside] = value
    hu += 25.0 * ndimage.gaussian_filter(rng.standard_normal(shape), 2.0) * 8.0 + rng.normal(0.0, 6.0, shape)
    return Volume(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), spacing_mm, origin_mm, direction)


def reorient(volume: Volume, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same scan with its array axes (z, y, x) permuted, then flipped, and its geometry following."""
    shape = np.asarray(volume.array.shape)
    steps = volume.grid.affine[:3, [2, 1, 0]][:, list(axes)]  # columns: mm per voxel along the new z, y, x
    origin = np.asarray(volume.origin_mm)
    array = volume.array.transpose(axes)
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            origin = origin + steps[:, axis] * (shape[axes[axis]] - 1)
            steps[:, axis] *= -1.0
    columns = steps[:, ::-1]
    spacing = np.linalg.norm(columns, axis=0)
    return Volume(np.ascontiguousarray(array), tuple(spacing), tuple(origin), tuple((columns / spacing).ravel()))


# Axis order and flips of six orientations on disk besides the scan's own; three of them are left-handed.
ORIENTATIONS: tuple[tuple[tuple[int, int, int], tuple[bool, bool, bool]], ...] = (
    ((0, 1, 2), (False, True, True)),
    ((0, 1, 2), (True, False, False)),
    ((1, 0, 2), (False, False, False)),
    ((2, 0, 1), (False, False, True)),
    ((1, 2, 0), (True, True, False)),
    ((2, 1, 0), (True, True, True)),
)


def sample(volume: Volume, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """HU, trilinear, at points [n, 3] given as x, y, z in mm, LPS."""
    indices = np.array([mm_to_index(volume.grid, point) for point in points_mm]).T
    return np.asarray(ndimage.map_coordinates(volume.array.astype(np.float64), indices, order=1, mode="nearest"))


def points_inside(grid: Grid, count: int = 300, seed: int = 1) -> NDArray[np.float64]:
    """Random points [n, 3] in mm, at least one voxel inside the grid."""
    rng = np.random.default_rng(seed)
    index = rng.uniform(1.0, np.asarray(grid.shape[::-1]) - 2.0, (count, 3))
    return np.asarray(index @ grid.affine[:3, :3].T + grid.origin_mm)


def to_image(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.spacing_mm)
    image.SetOrigin(volume.origin_mm)
    image.SetDirection(volume.direction)
    return image


def write_scan(volume: Volume, path: Path) -> Path:
    """Write NIfTI, NRRD or MetaImage, by suffix, through SimpleITK."""
    sitk.WriteImage(to_image(volume), str(path), path.suffix != ".nii")
    return path


def write_dicom(
    volume: Volume,
    folder: Path,
    *,
    series: str = "1.2.826.0.1.3680043.2.1125.1",
    modality: str = "CT",
    description: str = "cardiac 0.6",
    names: Callable[[int], str] = "IM{:04d}".format,
    edit: Callable[[int, dict[str, str]], dict[str, str]] = lambda index, tags: tags,
    compressor: str = "",
) -> Path:
    """Write one DICOM file a slice through SimpleITK; `edit` may change a slice's tags before it is written.

    compressor is one of those of GDCM: JPEG or JPEG2000.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image = to_image(volume)
    direction = np.reshape(volume.direction, (3, 3))
    storage = "1.2.840.10008.5.1.4.1.1.2" if modality == "CT" else "1.2.840.10008.5.1.4.1.1.4"
    for index in range(image.GetSize()[2]):
        plane = image[:, :, index : index + 1]
        tags = {
            **PATIENT_TAGS,
            "0008|0016": storage,
            "0008|0018": f"{series}.{index + 1}",
            "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL",
            "0008|0060": modality,
            "0008|103e": description,
            "0020|000d": "1.2.826.0.1.3680043.2.1125.9",
            "0020|000e": series,
            "0020|0013": str(index + 1),
            "0020|0032": "\\".join(f"{value:.8g}" for value in plane.GetOrigin()),
            "0020|0037": "\\".join(f"{value:.8g}" for value in direction[:, :2].T.ravel()),
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        tags = edit(index, tags)
        plane.SetOrigin([float(value) for value in tags["0020|0032"].split("\\")])
        cosines = np.reshape([float(value) for value in tags["0020|0037"].split("\\")], (2, 3))
        plane.SetDirection(np.column_stack([*cosines, np.cross(*cosines)]).ravel())
        if not float(tags["0028|1053"]).is_integer():
            # GDCM rescales integers by integers only, and floats into a stored type that it is told.
            plane = sitk.Cast(plane, sitk.sitkFloat32)
            tags |= {"0028|0100": "16", "0028|0101": "16", "0028|0102": "15", "0028|0103": "0"}
        for key, value in tags.items():
            plane.SetMetaData(key, value)
        path = folder / names(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        if compressor:
            writer.SetUseCompression(True)
            writer.SetCompressor(compressor)
        writer.SetFileName(str(path))
        writer.Execute(plane)
    return folder


def zip_folder(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


def assert_same_volume(found: Volume, expected: Volume) -> None:
    """The same array on the same grid."""
    np.testing.assert_array_equal(found.array, expected.array)
    assert found.array.dtype == np.int16 and found.array.flags.c_contiguous
    np.testing.assert_allclose(found.spacing_mm, expected.spacing_mm, rtol=1e-6)
    np.testing.assert_allclose(found.direction, expected.direction, atol=1e-6)
    np.testing.assert_allclose(found.origin_mm, expected.origin_mm, atol=1e-4)
