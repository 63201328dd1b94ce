"""Volumes and myocardial mass as a DICOM Structured Report: a Measurement Report, TID 1500 of PS3.16.

Each structure that was found has a group of measurements (TID 1411) that refers to its segment in the Segmentation,
under the same tracking identifier, and to the series of the scan. Where the edge of the scan or of the region cuts a
structure off, its group says so, since the volume is that of a part. Valves, where they were measured, follow as
contours and points in the patient (`valve_groups`), for which a report must be of the 3D class.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from whs_fast.dicom_source import Source
from whs_fast.structures import STRUCTURES, Structure
from whs_fast.writing.dicom.coding import CARDIAC_CT, CUT_OFF, GRAM, MASS, MILLILITER, VOLUME, YES, code_of
from whs_fast.writing.dicom.header import MANUFACTURER, NAME, equipment, instance_of, lenient, new_series
from whs_fast.writing.dicom.valve_groups import valve_groups


def make_report(
    measurements: Mapping[str, Any], segmentation: Dataset, source: Source, header: Dataset
) -> Comprehensive3DSR:
    """A report of measurements (what measurements.json holds), which refers to a Segmentation and to source."""
    with lenient():
        found = [structure for structure in STRUCTURES if measurements["structures"][structure.key]["volume_ml"]]
        # A report must hold at least one measurement: where nothing was found, it lists all ten with 0 mL.
        groups: list[Any] = [_group(structure, measurements, segmentation, header) for structure in found or STRUCTURES]
        groups += valve_groups(measurements, header.FrameOfReferenceUID)
        report = MeasurementReport(
            observation_context=ObservationContext(observer_device_context=_observer(measurements)),
            procedure_reported=CARDIAC_CT,
            imaging_measurements=groups,
        )
        images = [instance_of(header, uid) for uid in source.instances]
        return Comprehensive3DSR(
            evidence=[segmentation, *images],
            content=report[0],
            is_complete=True,
            **new_series(header, 2, "Whole-heart measurements", measurements),
        )


def _observer(measurements: Mapping[str, Any]) -> ObserverContext:
    made_by = equipment(measurements)
    return ObserverContext(
        codes.DCM.Device,
        DeviceObserverIdentifyingAttributes(
            uid=generate_uid(prefix=None, entropy_srcs=list(made_by.values())),
            name=NAME,
            manufacturer_name=MANUFACTURER,
            model_name=NAME,
            serial_number=made_by["device_serial_number"],
        ),
    )


def _group(
    structure: Structure, measurements: Mapping[str, Any], segmentation: Dataset, header: Dataset
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    described = segmentation.SegmentSequence[structure.label - 1]
    figures = measurements["structures"][structure.key]
    values = [Measurement(VOLUME, figures["volume_ml"], MILLILITER)]
    if structure.key == "left_ventricle_myocardium":
        values.append(Measurement(MASS, measurements["lv_myocardium_mass_g"], GRAM))
    cut = figures["touches_scan_edge"] or figures["touches_region_edge"]
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(described.TrackingUID, described.TrackingID),
        referenced_segment=ReferencedSegment(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            structure.label,
            source_series=SourceSeriesForSegmentation(header.SeriesInstanceUID),
        ),
        finding_type=code_of(structure),
        algorithm_id=AlgorithmIdentification(NAME, version("whs_fast")),
        measurements=values,
        qualitative_evaluations=[QualitativeEvaluation(CUT_OFF, YES)] if cut else None,
    )
