"""Segmentation, report and picture as DICOM: the same voxels for independent readers, and references that hold."""

import json
import logging
import subprocess
import warnings
from dataclasses import replace
from io import BytesIO

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, EnhancedCTImageStorage, ExplicitVRLittleEndian
from scipy import ndimage
from support import dicom_cases, scans
from support.programs import need
from whs_fast import InputError, OutputError
from whs_fast.cli import main
from whs_fast.reading.scan import read
from whs_fast.steps.measure import measure
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.writing.dicom import coding, header, objects
from whs_fast.writing.dicom.segmentation_object import make_segmentation

TURNED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
MISSING = "coronary_sinus"
FRAME_OF_REFERENCE = "1.2.826.0.1.3680043.2.1125.77"


def make_labels(shape, seed=0):
    """Ten blobs; none of the structure MISSING, and nothing in the first and last slices."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((11, *shape)), (0, 3, 3, 3))
    labels = noise.argmax(axis=0).astype(np.uint8)
    labels[labels == BY_KEY[MISSING].label] = 0
    labels[:4] = labels[-3:] = 0
    return labels


def make_measurements(labels, grid):
    measured = measure(labels, grid, grid.origin_mm, region=grid, threads=1)
    return measured | {"models": {"dense_vnet": "ab" * 32}}


def with_frame_of_reference(index, tags):
    return tags | {"0020|0052": FRAME_OF_REFERENCE}


class Case:
    def __init__(self, folder, source=None, **how):
        self.folder = folder
        self.series = scans.write_dicom(scans.make_scan(**how), folder / "series", edit=with_frame_of_reference)
        volume = read(self.series)
        self.grid, self.source = volume.grid, volume.source if source is None else source
        self.labels = make_labels(self.grid.shape)
        self.measurements = make_measurements(self.labels, self.grid)
        picture = BytesIO()
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)).save(picture, "png")
        self.picture = picture.getvalue()
        objects.write_objects(folder, self.labels, self.grid, self.source, self.measurements)
        objects.write_picture(folder, self.picture, self.source, self.measurements)
        self.segmentation = pydicom.dcmread(folder / "labels.dcm")
        self.report = pydicom.dcmread(folder / "measurements.dcm")
        self.capture = pydicom.dcmread(folder / "preview.dcm")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("case"), direction=TURNED)


def frames(segmentation):
    """(segment, position, mask) of each frame, by nothing but the standard: bits in order, the lowest first."""
    rows, columns = segmentation.Rows, segmentation.Columns
    bits = np.unpackbits(np.frombuffer(segmentation.PixelData, np.uint8), bitorder="little")
    for number, group in enumerate(segmentation.PerFrameFunctionalGroupsSequence):
        mask = bits[number * rows * columns :][: rows * columns].reshape(rows, columns)
        segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        yield segment, np.array(group.PlanePositionSequence[0].ImagePositionPatient, float), mask.astype(bool), group


def check_voxels(segmentation, labels, grid):
    found = np.zeros_like(labels)
    to_index = np.linalg.inv(grid.affine)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    np.testing.assert_allclose(
        np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).T,
        np.reshape(grid.direction, (3, 3))[:, :2],
        atol=1e-9,
    )
    np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, grid.spacing_mm[1::-1], rtol=1e-9)
    for segment, position, mask, _ in frames(segmentation):
        assert mask.any()
        x, y, z, _ = to_index @ (*position, 1.0)
        np.testing.assert_allclose((x, y, z), (0.0, 0.0, round(z)), atol=1e-5)
        assert not found[round(z)][mask].any()
        found[round(z)][mask] = segment
    np.testing.assert_array_equal(found, labels)


def test_voxels_by_the_standard(case):
    check_voxels(case.segmentation, case.labels, case.grid)
    expected = sum(int((case.labels == s.label).any(axis=(1, 2)).sum()) for s in STRUCTURES)
    assert case.segmentation.NumberOfFrames == expected
    assert case.segmentation.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_voxels_by_highdicom(case):
    volume = highdicom.seg.segread(case.folder / "labels.dcm").get_volume(combine_segments=True)
    image = sitk.GetImageFromArray(volume.array)
    # Its axes are slices, rows, columns, in millimetres of LPS.
    image.SetSpacing([float(value) for value in volume.spacing[::-1]])
    image.SetOrigin([float(value) for value in volume.position])
    image.SetDirection(volume.direction[:, ::-1].ravel().tolist())
    np.testing.assert_array_equal(on_grid(image, case), case.labels)


def on_grid(image, case):
    like = sitk.GetImageFromArray(case.labels)
    like.SetSpacing(case.grid.spacing_mm)
    like.SetOrigin(case.grid.origin_mm)
    like.SetDirection(case.grid.direction)
    return sitk.GetArrayFromImage(sitk.Resample(image, like, sitk.Transform(), sitk.sitkNearestNeighbor))


def dcmqi(tool, *arguments):
    subprocess.run([need(tool), *map(str, arguments)], check=True, capture_output=True)


@pytest.mark.peer
@pytest.mark.parametrize("deflated", [False, True])
def test_voxels_by_dcmqi_and_simpleitk(case, deflated, tmp_path, monkeypatch):
    path = case.folder / "labels.dcm"
    if deflated:
        path = write_deflated(case, tmp_path, monkeypatch)
    dcmqi(
        *("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", tmp_path),
        *("--outputType", "nrrd", "--mergeSegments"),
    )
    np.testing.assert_array_equal(on_grid(sitk.ReadImage(str(tmp_path / "1.nrrd")), case), case.labels)
    described = json.loads((tmp_path / "meta.json").read_text())["segmentAttributes"][0]
    for structure, segment in zip(STRUCTURES, described, strict=True):
        assert segment["SegmentLabel"] == structure.name and segment["labelID"] == structure.label
        np.testing.assert_allclose(segment["recommendedDisplayRGBValue"], structure.colour, atol=1)


def write_deflated(case, folder, monkeypatch):
    monkeypatch.setattr(header, "MOST_PLAIN_BYTES", 1000)
    objects.write_objects(folder, case.labels, case.grid, case.source, case.measurements)
    return folder / "labels.dcm"


def test_large_ones_are_deflated(case, tmp_path, monkeypatch):
    path = write_deflated(case, tmp_path, monkeypatch)
    deflated = pydicom.dcmread(path)
    assert deflated.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert path.stat().st_size < (case.folder / "labels.dcm").stat().st_size / 2
    assert deflated.PixelData == case.segmentation.PixelData
    # GDCM stacks frames as they come; that it reads the same bits is what counts here.
    images = [sitk.GetArrayFromImage(sitk.ReadImage(str(file))) for file in (path, case.folder / "labels.dcm")]
    # Where the bits do not fill the last byte, it leaves those voxels as it found them in memory.
    first, second = (image.ravel()[: image.size // 8 * 8] for image in images)
    np.testing.assert_array_equal(first, second)
    assert first.any()
    deflated.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    deflated.save_as(tmp_path / "inflated.dcm")  # Debian's dciodvfy does not inflate
    check_conformance(tmp_path / "inflated.dcm")


def test_every_frame_names_the_slice_it_lies_on(case):
    places = {}
    for path in case.series.iterdir():
        image = pydicom.dcmread(path, stop_before_pixels=True)
        places[image.SOPInstanceUID] = np.array(image.ImagePositionPatient, float)
    for _, position, _, group in frames(case.segmentation):
        derivation = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert derivation.ReferencedSOPClassUID == CTImageStorage
        assert "ReferencedFrameNumber" not in derivation
        np.testing.assert_allclose(places[derivation.ReferencedSOPInstanceUID], position, atol=1e-4)
    (series,) = case.segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.826.0.1.3680043.2.1125.1"
    named = [reference.ReferencedSOPInstanceUID for reference in series.ReferencedInstanceSequence]
    assert set(named) == set(places) and len(named) == len(places)


def test_an_enhanced_source_is_named_by_frames(tmp_path):
    """Of two phases, the frames in no order, the ones of the second."""
    phases = [scans.make_scan(seed, direction=TURNED) for seed in (0, 1)]
    path = dicom_cases.write_enhanced(phases, tmp_path / "series" / "enhanced", percents=(35, 75))
    volume = read(path.parent, phase=75)
    np.testing.assert_array_equal(volume.array, phases[1].array)
    labels = make_labels(volume.grid.shape)
    objects.write_objects(tmp_path, labels, volume.grid, volume.source, make_measurements(labels, volume.grid))
    segmentation, image = pydicom.dcmread(tmp_path / "labels.dcm"), pydicom.dcmread(path)
    check_voxels(segmentation, labels, volume.grid)
    for _, position, _, group in frames(segmentation):
        derivation = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert derivation.ReferencedSOPClassUID == EnhancedCTImageStorage
        assert derivation.ReferencedSOPInstanceUID == image.SOPInstanceUID
        named = image.PerFrameFunctionalGroupsSequence[derivation.ReferencedFrameNumber - 1]
        np.testing.assert_allclose(
            np.array(named.PlanePositionSequence[0].ImagePositionPatient, float), position, atol=1e-4
        )
        assert named.CardiacSynchronizationSequence[0].NominalPercentageOfCardiacPhase == 75
    assert len(segmentation.SourceImageSequence) == 1
    check_conformance(tmp_path / "labels.dcm", tmp_path / "measurements.dcm")


@pytest.mark.parametrize("syntax", dicom_cases.SYNTAXES)
def test_headers_of_every_transfer_syntax(syntax, tmp_path):
    series = dicom_cases.write(scans.make_scan(), tmp_path, syntax=dicom_cases.SYNTAXES[syntax])
    found = header.read_header(read(series).source)
    assert (found.PatientName, found.StudyDate, found.SeriesNumber) == (scans.PATIENT, "20230417", 1)
    assert found.FrameOfReferenceUID == f"{dicom_cases.ROOT}.8" and "PixelData" not in found


def test_a_resampled_source_is_named_as_a_whole(case, tmp_path):
    source = replace(case.source, slices=None, instances=case.source.instances[::2])
    objects.write_objects(tmp_path, case.labels, case.grid, source, case.measurements)
    segmentation = pydicom.dcmread(tmp_path / "labels.dcm")
    check_voxels(segmentation, case.labels, case.grid)
    assert not any("DerivationImageSequence" in group for *_, group in frames(segmentation))
    shared = segmentation.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    assert tuple(item.ReferencedSOPInstanceUID for item in shared) == source.instances
    assert {item.SpatialLocationsPreserved for item in shared} == {"NO"}
    check_conformance(tmp_path / "labels.dcm", tmp_path / "measurements.dcm")


def test_segments_are_described(case):
    known = {}
    for context in (codes.cid4042, codes.cid12305, codes.cid7150, codes.cid7162):
        known |= {code.value: code.meaning for code in context.concepts.values()}
    for structure, segment in zip(STRUCTURES, case.segmentation.SegmentSequence, strict=True):
        assert (segment.SegmentNumber, segment.SegmentLabel) == (structure.label, structure.name)
        assert segment.SegmentAlgorithmType == "AUTOMATIC" and segment.TrackingID == structure.key
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert algorithm.AlgorithmName == "whs-fast" and algorithm.AlgorithmVersion
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        assert (kind.CodeValue, kind.CodingSchemeDesignator) == (structure.snomed, "SCT")
        (category,) = segment.SegmentedPropertyCategoryCodeSequence
        (family,) = algorithm.AlgorithmFamilyCodeSequence
        for code in (kind, category, family):
            assert code.CodeMeaning == known[code.CodeValue]


def test_codes_of_the_report_are_those_of_the_standard():
    known = {code.value: code.meaning for code in codes.cid12304.concepts.values()}
    assert known[coding.VOLUME.value] == coding.VOLUME.meaning and known[coding.MASS.value] == coding.MASS.meaning
    assert codes.SCT.CardiacCT == coding.CARDIAC_CT and codes.SCT.Yes == coding.YES


def test_objects_belong_to_the_patient_and_study(case):
    first = pydicom.dcmread(next(case.series.iterdir()), stop_before_pixels=True)
    for made in (case.segmentation, case.report, case.capture):
        for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate"):
            assert made[name].value == first[name].value
        assert made.SeriesInstanceUID != first.SeriesInstanceUID
    made = (case.segmentation, case.report, case.capture)
    assert case.segmentation.FrameOfReferenceUID == FRAME_OF_REFERENCE
    assert len({item.SeriesInstanceUID for item in made}) == len({item.SeriesNumber for item in made}) == 3


def test_report_holds_the_figures_and_names_the_segments(case):
    report = highdicom.sr.srread(case.folder / "measurements.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    expected = [structure for structure in STRUCTURES if structure.key != MISSING]
    for structure, group in zip(expected, groups, strict=True):
        figures = case.measurements["structures"][structure.key]
        segment = case.segmentation.SegmentSequence[structure.label - 1]
        assert group.finding_type.value == structure.snomed
        assert (group.tracking_identifier, group.tracking_uid) == (structure.key, segment.TrackingUID)
        assert group.referenced_segment.referenced_sop_instance_uid == case.segmentation.SOPInstanceUID
        assert group.referenced_segment.referenced_segment_numbers[0] == structure.label
        series = group.referenced_segment.source_series_for_segmentation
        assert series.value == "1.2.826.0.1.3680043.2.1125.1"
        values = {m.name.meaning: (m.value, m.unit.value) for m in group.get_measurements()}
        mass = {"Mass": (case.measurements["lv_myocardium_mass_g"], "g")} if structure.abbreviation == "LVM" else {}
        assert values == {"Volume": (figures["volume_ml"], "mL")} | mass
        cut = [evaluation.name.value for evaluation in group.get_qualitative_evaluations()]
        assert cut == (["cut_off"] if figures["touches_scan_edge"] or figures["touches_region_edge"] else [])
    evidence = [
        reference.ReferencedSOPInstanceUID
        for name in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in report.get(name, [])
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    ]
    assert set(evidence) == {case.segmentation.SOPInstanceUID, *case.source.instances}


CONTOUR = [(12.0, 0.0, 0.0), (0.0, 11.0, 0.0), (-12.0, 0.0, 0.0), (0.0, -11.0, 0.0)]
PLANE = {"centre_mm": (0.5, 0.0, 0.0), "normal": (0.0, 0.0, 1.0), "contour_mm": CONTOUR, "area_mm2": 400}
HINGES = {"right": (10.0, -12.5, 3.0), "left": (-9.0, -2.0, 5.5), "non_coronary": (8.0, 9.0, -1.0)}
VALVES = {
    "valves": {"aortic": PLANE, "mitral": {"not_measurable": "they do not meet"}},
    "aortic_root": {
        "annulus": PLANE | {"hinge_points_mm": HINGES, "perimeter_mm": 72.5},
        "coronary_ostia": {"right": {"rim_mm": (11.0, -8.0, 14.0), "height_mm": 14.0}, "left": {"not_measurable": "-"}},
    },
}


def test_report_holds_valves_as_contours_and_points(case, tmp_path):
    objects.write_objects(tmp_path, case.labels, case.grid, case.source, case.measurements | VALVES)
    report = highdicom.sr.srread(tmp_path / "measurements.dcm")
    groups = {g.tracking_identifier: g for g in report.content.get_planar_roi_measurement_groups()}
    assert list(groups) == [
        "aortic_valve",
        "aortic_valve_centre",
        "aortic_annulus",
        *(f"hinge_point_{cusp}" for cusp in HINGES),
        "coronary_ostium_right",
    ]
    assert groups["aortic_valve"].finding_type.value == "34202007"
    annulus = groups["aortic_annulus"]
    assert annulus.roi.frame_of_reference_uid == FRAME_OF_REFERENCE
    np.testing.assert_allclose(annulus.roi.value, [*CONTOUR, CONTOUR[0]])
    values = {m.name.meaning: (m.value, m.unit.value) for m in annulus.get_measurements()}
    assert values == {"Area": (400.0, "mm2"), "Perimeter": (72.5, "mm")}
    for cusp, point in HINGES.items():
        np.testing.assert_allclose(groups[f"hinge_point_{cusp}"].roi.value, [point])
    np.testing.assert_allclose(groups["aortic_valve_centre"].roi.value, [PLANE["centre_mm"]])
    (height,) = groups["coronary_ostium_right"].get_measurements()
    assert (height.value, height.unit.value) == (14.0, "mm")
    check_conformance(tmp_path / "measurements.dcm")


@pytest.mark.peer
def test_report_by_dcmqi(case, tmp_path):
    dcmqi("tid1500reader", "--inputDICOM", case.folder / "measurements.dcm", "--outputMetadata", tmp_path / "out.json")
    for group in json.loads((tmp_path / "out.json").read_text())["Measurements"]:
        structure = BY_KEY[group["TrackingIdentifier"]]
        assert group["ReferencedSegment"] == structure.label
        assert group["segmentationSOPInstanceUID"] == case.segmentation.SOPInstanceUID
        volume = case.measurements["structures"][structure.key]["volume_ml"]
        assert float(group["measurementItems"][0]["value"]) == volume


def test_picture_is_the_png(case):
    np.testing.assert_array_equal(case.capture.pixel_array, np.asarray(Image.open(BytesIO(case.picture))))
    named = tuple(reference.ReferencedSOPInstanceUID for reference in case.capture.SourceImageSequence)
    assert named == case.source.instances


def check_conformance(*paths):
    dciodvfy = need("dciodvfy")
    for path in paths:
        told = subprocess.run([dciodvfy, str(path)], capture_output=True, text=True).stderr
        assert "Error" not in told, f"{path.name}: {told}"


def test_conformance(case):
    check_conformance(*(case.folder / name for name in ("labels.dcm", "measurements.dcm", "preview.dcm")))


def test_conformance_check_can_fail(case, tmp_path):
    del (broken := pydicom.dcmread(case.folder / "labels.dcm")).SegmentSequence
    broken.save_as(tmp_path / "broken.dcm")
    with pytest.raises(AssertionError):
        check_conformance(tmp_path / "broken.dcm")


def test_a_scan_in_which_nothing_was_found(case, tmp_path):
    labels = np.zeros_like(case.labels)
    objects.write_objects(tmp_path, labels, case.grid, case.source, make_measurements(labels, case.grid))
    segmentation = pydicom.dcmread(tmp_path / "labels.dcm")
    assert len(segmentation.SegmentSequence) == 10 and not any(segmentation.PixelData)
    report = highdicom.sr.srread(tmp_path / "measurements.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [group.get_measurements()[0].value for group in groups] == [0.0] * 10
    check_conformance(tmp_path / "labels.dcm", tmp_path / "measurements.dcm")


def edited(case, edit):
    """The case's source with another header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = pydicom.dcmread(BytesIO(case.source.head))
        edit(image)
        head = BytesIO()
        image.save_as(head)
    return replace(case.source, head=head.getvalue())


def spoil(image):
    for name in ("FrameOfReferenceUID", "PatientID", "StudyTime", "SOPClassUID", "Modality"):
        if name in image:
            delattr(image, name)
    with pydicom.config.disable_value_validation():
        image.SpecificCharacterSet = "ISO_IR 100"
        image.PatientName = "Müßig^Zoë " + "x" * 80
        image.PatientSex, image.StudyDate, image.PatientBirthDate = "W", "17.04.2023", "1944"
        image.PatientAge, image.SeriesNumber = "eighty", "7"


def test_headers_that_break_the_standard_do_not_stop_it(case, tmp_path, recwarn):
    source = edited(case, spoil)
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        objects.write_objects(tmp_path / name, case.labels, case.grid, source, case.measurements)
        objects.write_picture(tmp_path / name, case.picture, source, case.measurements)
    assert not recwarn.list
    once, again = (pydicom.dcmread(tmp_path / name / "labels.dcm") for name in ("once", "again"))
    assert str(once.PatientName).startswith("Müßig^Zoë")
    assert (once.PatientSex, once.StudyDate, once.PatientBirthDate, once.SeriesNumber) == ("", "", "", 7001)
    assert once.FrameOfReferenceUID == again.FrameOfReferenceUID
    assert once.SOPInstanceUID != again.SOPInstanceUID


CHARACTER_SETS = {
    # What the header names, the bytes of the name, and the name. The first rows are the standard's own examples (PS3.5,
    # annexes H, I and K).
    "Japanese": (
        r"\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "Japanese, half width": (
        r"ISO 2022 IR 13\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
    ),
    "Korean": (
        r"\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    "Chinese": (
        r"\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
        "Zhang^XiaoDong=张^小东",
    ),
    "Chinese, GB18030": ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
    "UTF-8": ("ISO_IR 192", "Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东"),
    "UTF-8, misspelt": ("ISO_IR_192", "Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东"),
    "UTF-8, by its own name": ("UTF-8", "Wang^XiaoDong=王^小东".encode(), "Wang^XiaoDong=王^小东"),
    "Japanese, misspelt": (
        r"\iso-2022-ir-87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        "Yamada^Tarou=山田^太郎",
    ),
    "Latin-1": ("ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    "Cyrillic": ("ISO_IR 144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
    "none named": ("", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    "another named": ("ISO_IR 192", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    "one that is not": ("ISO_IR 999", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
}


def with_name(case, character_set, name):
    """The case's source with this character set and the bytes of this name."""

    def edit(image):
        image.add_new(0x00080005, "CS", None)
        image.PatientName = "N" * even

    def element(tag, value):
        return tag + len(value).to_bytes(4, "little") + value

    even = len(name) + len(name) % 2
    head = edited(case, edit).head
    for tag, before, value in (
        (b"\x08\x00\x05\x00", b"", character_set.encode()),
        (b"\x10\x00\x10\x00", b"N" * even, name),
    ):
        assert head.count(element(tag, before)) == 1
        head = head.replace(element(tag, before), element(tag, value + b" " * (len(value) % 2)))
    return replace(case.source, head=head)


@pytest.mark.parametrize("which", CHARACTER_SETS)
def test_names_are_kept_in_any_character_set(case, tmp_path, which, recwarn):
    character_set, name, expected = CHARACTER_SETS[which]
    source = with_name(case, character_set, name)
    objects.write_objects(tmp_path, case.labels, case.grid, source, case.measurements)
    objects.write_picture(tmp_path, case.picture, source, case.measurements)
    assert not recwarn.list
    for file in ("labels.dcm", "measurements.dcm", "preview.dcm"):
        written = pydicom.dcmread(tmp_path / file)
        assert (written.SpecificCharacterSet, str(written.PatientName)) == ("ISO_IR 192", expected)


def test_nothing_is_said_about_the_patient(case, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    objects.write_objects(tmp_path, case.labels, case.grid, case.source, case.measurements)
    objects.write_picture(tmp_path, case.picture, case.source, case.measurements)
    said = caplog.text + "".join(capfd.readouterr()) + repr(case.source)
    assert not any(text in said for text in (scans.PATIENT, *scans.PATIENT_TAGS.values(), "1.2.826"))


def test_refusals(case, tmp_path):
    def write(source):
        objects.write_objects(tmp_path, case.labels, case.grid, source, case.measurements)

    with pytest.raises(InputError, match="formats dicom-seg and rtstruct need a DICOM folder or zip"):
        write(None)
    with pytest.raises(InputError, match="has no StudyInstanceUID, to which"):
        write(edited(case, lambda image: delattr(image, "StudyInstanceUID")))
    with pytest.raises(InputError, match="has no SOPInstanceUID, to which"):
        write(replace(case.source, instances=("", *case.source.instances[1:])))
    with pytest.raises(InputError, match=r"has no StudyInstanceUID|header cannot be read"):
        write(replace(case.source, head=b"not DICOM at all" * 20))
    assert not list(tmp_path.iterdir())


def test_no_place_to_write(case, tmp_path):
    with pytest.raises(OutputError, match=r"labels\.dcm: cannot be written \(no such file"):
        objects.write_objects(tmp_path / "none", case.labels, case.grid, case.source, case.measurements)


def test_a_frame_of_bits_need_not_fill_its_bytes(tmp_path):
    how = {"shape": (44, 51, 61), "spacing_mm": (2.9, 3.1, 3.7)}
    odd = Case(tmp_path, **how)
    assert 51 * 61 % 8
    check_voxels(odd.segmentation, odd.labels, odd.grid)


def test_segmentation_does_not_change_the_labels(case):
    before = case.labels.copy()
    make_segmentation(case.labels, case.grid, case.source, header.read_header(case.source), case.measurements)
    np.testing.assert_array_equal(case.labels, before)


def test_a_scan_that_is_not_dicom_is_refused_before_it_is_read(tmp_path, capsys):
    (tmp_path / "scan.nii").write_bytes(b"never looked at")
    assert main(["run", str(tmp_path / "scan.nii"), "-o", str(tmp_path / "out"), "--formats", "nifti,dicom-seg"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"whs-fast: {objects.NO_SOURCE}" and not (tmp_path / "out").exists()
