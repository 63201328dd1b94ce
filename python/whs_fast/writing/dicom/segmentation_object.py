"""The label map as a DICOM Segmentation: BINARY, a segment for each structure, frames only where it is present.

BINARY with whole frames of the scan's rows and columns is what readers know: few support label maps as one 8-bit image
(a type of 2024), and viewers put cropped frames in the wrong place. At one bit per voxel, a scan of 512 x 512 x 400
makes 30 to 60 MB, most of it zeros, so large objects are deflated as a whole (see `write`): under 1 MB, and still read
by DCMTK, GDCM, pydicom and what is built on them.

Frames lie on the grid of the labels. highdicom packs and describes them. It is given one single-frame image for each
slice; where the scan is one enhanced image, or was resampled, the references are corrected afterwards.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from whs_fast.dicom_source import Source
from whs_fast.structures import STRUCTURES
from whs_fast.volume import Grid, index_to_mm
from whs_fast.writing.dicom.coding import ANATOMICAL_STRUCTURE, ARTIFICIAL_INTELLIGENCE, code_of
from whs_fast.writing.dicom.header import MANUFACTURER, NAME, instance_of, lenient, new_series, reference_to


def make_segmentation(
    labels: NDArray[np.uint8], grid: Grid, source: Source, header: Dataset, measurements: Mapping[str, Any]
) -> Segmentation:
    """A Segmentation of labels, uint8[z, y, x] on grid, that refers to source, whose first header is given.

    It is held in memory, one bit per voxel of each frame. All ten structures are described, found or not.
    """
    filled = np.flatnonzero([plane.any() for plane in labels])
    # highdicom needs at least one frame: a scan in which nothing was found gives empty ones of its first slice.
    first, last = (int(filled[0]), int(filled[-1])) if len(filled) else (0, 0)
    planes = _planes(header, source, grid, range(first, last + 1))
    with lenient():
        segmentation = Segmentation(
            source_images=planes,
            pixel_array=labels[first : last + 1],
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=_descriptions(),
            content_label="WHOLE_HEART",
            content_description="Whole-heart segmentation, not for diagnosis",
            **new_series(header, 1, "Whole-heart segmentation", measurements),
        )
        _refer(segmentation, source, header, planes, first)
        _pad(segmentation)
    return segmentation


def _pad(segmentation: Segmentation) -> None:
    """Pads an odd number of bytes with a zero byte, as the standard requires; highdicom pads with the digit 0."""
    used = (segmentation.NumberOfFrames * segmentation.Rows * segmentation.Columns + 7) // 8
    if used % 2:
        segmentation.PixelData = segmentation.PixelData[:used] + b"\0"


def _descriptions() -> list[SegmentDescription]:
    algorithm = AlgorithmIdentificationSequence(
        name=NAME, family=ARTIFICIAL_INTELLIGENCE, version=version("whs_fast"), source=MANUFACTURER
    )
    return [
        SegmentDescription(
            segment_number=structure.label,
            segment_label=structure.name,
            segmented_property_category=ANATOMICAL_STRUCTURE,
            segmented_property_type=code_of(structure),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=generate_uid(prefix=None),
            tracking_id=structure.key,
            display_color=CIELabColor.from_rgb(*structure.colour),
        )
        for structure in STRUCTURES
    ]


def _planes(header: Dataset, source: Source, grid: Grid, indices: range) -> list[Dataset]:
    """A single-frame image for each of some slices of the grid, the first with the whole header of the scan."""
    direction = np.reshape(grid.direction, (3, 3))
    cosines = [format_number_as_ds(float(value) + 0.0) for value in direction[:, :2].T.ravel()]
    spacing = [format_number_as_ds(value) for value in grid.spacing_mm]
    planes: list[Dataset] = []
    for index in indices:
        uid = source.instances[source.slices[index][0] if source.slices else 0]
        plane = instance_of(header, uid)
        if not planes:
            for element in header:
                plane.setdefault(element.tag, element)
            for name in ("NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
                if name in plane:
                    delattr(plane, name)
        plane.SOPClassUID = CTImageStorage
        plane.Rows, plane.Columns = grid.shape[1:]
        plane.PixelSpacing = [spacing[1], spacing[0]]
        plane.SliceThickness = plane.SpacingBetweenSlices = spacing[2]
        plane.ImageOrientationPatient = cosines
        position = index_to_mm(grid, (index, 0, 0))
        plane.ImagePositionPatient = [format_number_as_ds(value + 0.0) for value in position]
        planes.append(plane)
    return planes


def _refer(segmentation: Segmentation, source: Source, header: Dataset, planes: list[Dataset], first: int) -> None:
    """Sets references to all instances that were read, and each frame's to its own frame of an enhanced image."""
    references = [reference_to(header, uid) for uid in source.instances]
    segmentation.SourceImageSequence = references
    segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence = references
    frames = segmentation.PerFrameFunctionalGroupsSequence
    if source.slices is None:
        derivation = frames[0].DerivationImageSequence
        purpose = derivation[0].SourceImageSequence[0].PurposeOfReferenceCodeSequence
        for reference in (images := [reference_to(header, uid) for uid in source.instances]):
            reference.SpatialLocationsPreserved = "NO"
            reference.PurposeOfReferenceCodeSequence = purpose
        derivation[0].SourceImageSequence = images
        segmentation.SharedFunctionalGroupsSequence[0].DerivationImageSequence = derivation
        for frame in frames:
            del frame.DerivationImageSequence
    elif header.SOPClassUID != CTImageStorage:
        slices = {tuple(plane.ImagePositionPatient): index for index, plane in enumerate(planes, first)}
        for frame in frames:
            index = slices[tuple(frame.PlanePositionSequence[0].ImagePositionPatient)]
            image = frame.DerivationImageSequence[0].SourceImageSequence[0]
            image.ReferencedSOPClassUID = header.SOPClassUID
            if len(source.instances) < len(source.slices):
                image.ReferencedFrameNumber = source.slices[index][1]
