"""The structures as contours for radiotherapy: an RT Structure Set (PS3.3, A.19), one region of interest each.

Contours run on the planes of the scan's own slices, halfway between the centres of voxels inside and outside (marching
squares), so that what they enclose has the volume of the labels. A contour with holes is one polygon whose outline goes
to each hole and back by the same way, the keyhole that the standard asks of CLOSED_PLANAR. By pydicom and scikit-image,
which other formats need as well: a library for this alone would bring OpenCV, and wants the files of the series.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import RTStructureSetStorage

from whs_fast.dicom_source import Source
from whs_fast.structures import STRUCTURES
from whs_fast.volume import Grid
from whs_fast.writing.dicom.header import PATIENT_AND_STUDY, lenient, new_series, reference_to

_STUDY = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, which the standard keeps for this reference alone
_COPIED = ("SpecificCharacterSet", *PATIENT_AND_STUDY, "StudyInstanceUID")


def make_structure_set(
    labels: NDArray[np.uint8], grid: Grid, source: Source, header: Dataset, measurements: Mapping[str, Any]
) -> Dataset:
    """A structure set of labels, uint8[z, y, x] on grid, that refers to source, whose first header is given."""
    with lenient():
        made = Dataset()
        for name in _COPIED:
            made[name] = header[name]
        for keyword, value in new_series(header, 4, "Whole-heart contours", measurements).items():
            setattr(made, _keyword(keyword), value)
        made.SOPClassUID, made.Modality = RTStructureSetStorage, "RTSTRUCT"
        made.OperatorsName = ""
        made.StructureSetLabel = "WHOLE_HEART"
        now = datetime.now().astimezone()
        made.StructureSetDate, made.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
        made.FrameOfReferenceUID, made.PositionReferenceIndicator = header.FrameOfReferenceUID, ""
        made.ReferencedFrameOfReferenceSequence = [_frame_of_reference(source, header)]
        made.StructureSetROISequence, made.ROIContourSequence, made.RTROIObservationsSequence = [], [], []
        for structure in STRUCTURES:
            contours = [
                _contour(polygon, int(index), grid, source, header)
                for index in np.flatnonzero((labels == structure.label).any(axis=(1, 2)))
                for polygon in polygons(labels[index] == structure.label)
            ]
            made.StructureSetROISequence.append(
                _item(
                    ROINumber=structure.label,
                    ReferencedFrameOfReferenceUID=header.FrameOfReferenceUID,
                    ROIName=structure.name,
                    ROIGenerationAlgorithm="AUTOMATIC",
                )
            )
            roi = _item(ROIDisplayColor=list(structure.colour), ReferencedROINumber=structure.label)
            if contours:
                roi.ContourSequence = contours
            made.ROIContourSequence.append(roi)
            made.RTROIObservationsSequence.append(
                _item(
                    ObservationNumber=structure.label,
                    ReferencedROINumber=structure.label,
                    RTROIInterpretedType="ORGAN",
                    ROIInterpreter="",
                )
            )
        made.file_meta = FileMetaDataset()
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def polygons(mask: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """The outlines of a mask, bool[y, x], as float64[n, 2] of (y, x), closed by going back to the first point."""
    from skimage.measure import find_contours, points_in_poly

    found = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    rings = sorted((_straight(ring[:-1] - 1.0) for ring in found), key=lambda ring: -abs(_area(ring)))
    outlines: list[NDArray[np.float64]] = []
    outer_sign = np.sign(_area(rings[0]))
    for ring in rings:
        if np.sign(_area(ring)) == outer_sign:
            outlines.append(ring)
    merged = list(outlines)
    for hole in (ring for ring in rings if np.sign(_area(ring)) != outer_sign):
        # The smallest outline around it is the one it lies in.
        inside = [number for number, outline in enumerate(outlines) if points_in_poly(hole[:1], outline)[0]]
        merged[inside[-1]] = _keyhole(merged[inside[-1]], hole)
    yield from merged


def _keyhole(outline: NDArray[np.float64], hole: NDArray[np.float64]) -> NDArray[np.float64]:
    """An outline that goes to a hole, around it and back, where the two are nearest."""
    distances = ((outline[:, None] - hole[None]) ** 2).sum(-1)
    here, there = np.unravel_index(np.argmin(distances), distances.shape)
    around = np.roll(hole, -there, axis=0)
    return np.concatenate([outline[: here + 1], around, around[:1], outline[here:]])


def _straight(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ring without the points that lie on a straight line between their neighbours."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns: NDArray[np.bool_] = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return ring[turns]


def _area(ring: NDArray[np.float64]) -> float:
    y, x = ring.T
    return float(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1))) / 2.0


def _contour(polygon: NDArray[np.float64], index: int, grid: Grid, source: Source, header: Dataset) -> Dataset:
    points = np.column_stack([polygon[:, ::-1], np.full(len(polygon), index), np.ones(len(polygon))])
    mm = points @ grid.affine[:3].T
    contour = _item(
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(mm),
        ContourData=[f"{value:.3f}" for value in mm.ravel()],
    )
    if source.slices is not None:
        instance, frame = source.slices[index]
        image = reference_to(header, source.instances[instance])
        if len(source.instances) < len(source.slices):  # one file of many frames
            image.ReferencedFrameNumber = frame
        contour.ContourImageSequence = [image]
    return contour


def _frame_of_reference(source: Source, header: Dataset) -> Dataset:
    series = _item(
        SeriesInstanceUID=header.SeriesInstanceUID,
        ContourImageSequence=[reference_to(header, uid) for uid in source.instances],
    )
    study = _item(
        ReferencedSOPClassUID=_STUDY,
        ReferencedSOPInstanceUID=header.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    return _item(FrameOfReferenceUID=header.FrameOfReferenceUID, RTReferencedStudySequence=[study])


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _keyword(name: str) -> str:
    """The keyword of the standard for a name in highdicom's way: SOPInstanceUID for sop_instance_uid."""
    words = {"sop": "SOP", "uid": "UID"}
    return "".join(words.get(word, word.capitalize()) for word in name.split("_"))
