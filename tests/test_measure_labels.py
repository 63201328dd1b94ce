"""run -> correct in 3D Slicer -> `whs-fast measure`: what Slicer makes of our file comes back as our structures.

Slicer itself is not here. Its way of saving is written out below from its documented fields: cropped to what is drawn,
label values and places of segments anew, overlapping segments in layers.
"""

import gzip
import json
from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk
import slicerio
import whs_fast
from whs_fast.cli import main
from whs_fast.errors import InputError
from whs_fast.reading.slicer import is_segmentation, read_segmentation
from whs_fast.steps.measure import measure
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.volume import Grid
from whs_fast.writing.label_maps import write_labels

TILT = 0.3
OBLIQUE = (np.cos(TILT), -np.sin(TILT), 0.0, np.sin(TILT), np.cos(TILT), 0.0, 0.0, 0.0, 1.0)
GRID = Grid((40, 44, 48), (2.0, 2.1, 3.0), (-40.0, -200.0, 31.5), OBLIQUE)
TISSUE = (
    "Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~Anatomic codes - DICOM master list~^^~^^|"
)


def heart():
    """Ten blocks; LV cavity and aorta share a face of 12 x 12 voxels."""
    labels = np.zeros(GRID.shape, np.uint8)
    for label in range(1, 11):
        row, column = divmod(label - 1, 4)
        labels[4:16, 4 + 13 * row : 14 + 13 * row, 3 + 11 * column : 12 + 11 * column] = label
    labels[20:32, 5:17, 10:22] = BY_KEY["aorta"].label
    labels[32:36, 5:17, 10:22] = BY_KEY["left_ventricle_cavity"].label
    return labels


@dataclass
class Segment:
    """What Slicer keeps of a segment: its fields from the file, and its own voxels."""

    fields: dict
    mask: np.ndarray


def load_like_slicer(path):
    """Segments of a one-layer file, and the fields of the segmentation."""
    image = sitk.ReadImage(str(path))
    labels = sitk.GetArrayFromImage(image)
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    segments = []
    while f"Segment{len(segments)}_ID" in fields:
        start = f"Segment{len(segments)}_"
        own = {key.removeprefix(start): value for key, value in fields.items() if key.startswith(start)}
        segments.append(Segment(own, labels == int(own["LabelValue"])))
    return segments, {key: value for key, value in fields.items() if key.startswith("Segmentation_")}


def save_like_slicer(path, segments, fields, grid=GRID, *, crop=True, old=False):
    """Crops to what is drawn, puts segments that overlap into layers, numbers them anew in each; old: before 4.11."""
    filled = np.argwhere(np.any([segment.mask for segment in segments], axis=0))
    low, high = (filled.min(axis=0), filled.max(axis=0) + 1) if crop else (np.zeros(3, int), np.array(grid.shape))
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    layers, lines = [], []
    for number, segment in enumerate(segments):
        mask = segment.mask[box]
        free = [] if old else [i for i, layer in enumerate(layers) if not layer[mask].any()]
        if not free:
            layers.append(np.zeros(mask.shape, np.uint8))
        at = free[0] if free else len(layers) - 1
        value = int(layers[at].max()) + 1
        layers[at][mask] = value
        own = segment.fields | {"Layer": str(at), "LabelValue": str(value)}
        if old:
            own = {key: text for key, text in own.items() if key not in ("Layer", "LabelValue")}
        lines += [f"Segment{number}_{key}:={text}" for key, text in sorted(own.items())]
    several, size = len(layers) > 1, layers[0].shape[::-1]
    axes, origin = grid.affine[:3, :3].T, grid.affine[:3, :3] @ low[::-1] + grid.origin_mm

    def vector(values):
        return "(" + ",".join(repr(float(value)) for value in values) + ")"

    head = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "type: unsigned char",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(n) for n in ([len(layers)] if several else []) + list(size)),
        "space directions: " + ("none " if several else "") + " ".join(map(vector, axes)),
        "kinds: " + ("list " if several else "") + "domain domain domain",
        "encoding: gzip",
        f"space origin: {vector(origin)}",
    ]
    offset = " ".join(str(first) for first in low[::-1])
    lines += [f"{key}:={text}" for key, text in (fields | {"Segmentation_ReferenceImageExtentOffset": offset}).items()]
    stored = np.stack(layers, axis=-1) if several else layers[0]
    path.write_bytes(("\n".join(head + lines) + "\n\n").encode() + gzip.compress(stored.tobytes()))
    return path


@pytest.fixture
def ours(tmp_path):
    write_labels(tmp_path / "labels.seg.nrrd", heart(), GRID)
    return load_like_slicer(tmp_path / "labels.seg.nrrd")


def volumes(measured):
    return {key: entry["volume_ml"] for key, entry in measured["structures"].items()}


def expected(labels):
    return measure(labels, GRID, None, region=None, threads=1)


def assert_measured(path, labels):
    measured, wanted = whs_fast.measure(path, threads=2), expected(labels)
    assert measured["structures"] == wanted["structures"]
    assert measured["lv_myocardium_mass_g"] == wanted["lv_myocardium_mass_g"]
    return measured


@pytest.mark.parametrize("suffix", (".nii.gz", ".nii", ".seg.nrrd"))
def test_what_run_writes_is_measured_as_run_does(tmp_path, suffix):
    write_labels(tmp_path / f"labels{suffix}", heart(), GRID)
    measured = assert_measured(tmp_path / f"labels{suffix}", heart())
    # Half-way between the last slice of the aorta and the first of the cavity, in the middle of the shared face.
    centre = GRID.affine @ (15.5, 10.5, 31.5, 1.0)
    np.testing.assert_allclose(measured["aortic_valve_mm"], centre[:3], atol=0.051)
    assert measured["structures"]["aorta"]["touches_region_edge"] is None


def test_a_corrected_segmentation_comes_back_cropped_renumbered_and_reordered(ours, tmp_path):
    segments, fields = ours
    labels = heart()
    # The correction: the atrium grows by a slice, and two structures lose one.
    labels[16, labels[15] == 2] = 2
    labels[4][np.isin(labels[4], (4, 10))] = 0
    for segment, structure in zip(segments, STRUCTURES, strict=True):
        segment.mask = labels == structure.label
    path = save_like_slicer(tmp_path / "corrected.seg.nrrd", segments[::-1], fields)
    image = sitk.ReadImage(str(path))
    assert image.GetSize() != GRID.shape[::-1] and image.GetMetaData("Segment0_ID") == "pulmonary_artery"
    found = read_segmentation(path)
    assert found.whole and found.notes == () and found.grid.shape == GRID.shape
    np.testing.assert_allclose(found.grid.affine, GRID.affine, atol=1e-9)
    np.testing.assert_array_equal(found.maps[0], labels)
    assert_measured(path, labels)


def test_slicers_own_python_library_reads_names_colours_and_terms_and_what_it_saves_is_measured(tmp_path):
    write_labels(tmp_path / "labels.seg.nrrd", heart(), GRID)
    segmentation = slicerio.read_segmentation(str(tmp_path / "labels.seg.nrrd"))
    np.testing.assert_allclose(segmentation["ijkToLPS"], GRID.affine, atol=1e-9)
    for segment, structure in zip(segmentation["segments"], STRUCTURES, strict=True):
        assert segment["id"] == structure.key and segment["name"] == structure.name
        np.testing.assert_allclose(np.multiply(segment["color"], 255), structure.colour, atol=1e-3)
        assert segment["terminology"]["type"] == ["SCT", structure.snomed, structure.name]
        assert segment["terminology"]["category"] == ["SCT", "123037004", "Anatomical Structure"]
    renumbered = [(structure.name, 21 + i) for i, structure in enumerate(STRUCTURES[::-1])]
    segmentation = slicerio.extract_segments(segmentation, renumbered)
    slicerio.write_segmentation(str(tmp_path / "saved.seg.nrrd"), segmentation)
    assert sitk.ReadImage(str(tmp_path / "saved.seg.nrrd")).GetMetaData("Segment0_LabelValue") == "21"
    assert_measured(tmp_path / "saved.seg.nrrd", heart())


def test_segments_that_overlap_come_in_layers_and_count_each_for_itself(ours, tmp_path):
    segments, fields = ours
    atrium, ventricle = segments[1].mask.copy(), segments[3].mask
    segments[1].mask = atrium | ventricle
    path = save_like_slicer(tmp_path / "layers.seg.nrrd", segments, fields)
    assert sitk.ReadImage(str(path)).GetNumberOfComponentsPerPixel() == 2
    measured, wanted = whs_fast.measure(path, threads=1), expected(heart())["structures"]
    both = wanted["left_atrium"]["volume_ml"] + wanted["left_ventricle_myocardium"]["volume_ml"]
    assert volumes(measured)["left_atrium"] == pytest.approx(both, abs=0.002)
    assert volumes(measured)["left_ventricle_myocardium"] == wanted["left_ventricle_myocardium"]["volume_ml"]
    assert measured["lv_myocardium_mass_g"] == expected(heart())["lv_myocardium_mass_g"]
    shared = wanted["left_ventricle_myocardium"]["volume_ml"]
    assert f"left ventricular myocardium and left atrium overlap by {shared:.2f} mL" in measured["warnings"][0]
    assert measured["aortic_valve_mm"] is not None


def test_files_of_older_versions_have_a_layer_a_segment(ours, tmp_path):
    segments, fields = ours
    path = save_like_slicer(tmp_path / "old.seg.nrrd", segments[::-1], fields, old=True)
    assert sitk.ReadImage(str(path)).GetNumberOfComponentsPerPixel() == 10
    np.testing.assert_array_equal(read_segmentation(path).maps[0], heart())


def test_a_segment_is_known_by_code_or_by_name_and_others_are_told(ours, tmp_path):
    segments, fields = ours
    segments[1].fields["Name"] = "corrected by hand"  # known by its code
    segments[4].fields["Tags"] = TISSUE  # known by its name
    segments[7].fields |= {"Name": "RA", "Tags": TISSUE}  # by its abbreviation
    segments[8].fields |= {"Name": "right_ventricle_cavity", "Tags": ""}  # by its key
    spot = np.zeros(GRID.shape, bool)
    spot[38, 40, 45] = True
    segments.append(Segment({"ID": "Segment_11", "Name": "Calcium", "Tags": TISSUE}, spot))
    found = read_segmentation(save_like_slicer(tmp_path / "named.seg.nrrd", segments, fields))
    np.testing.assert_array_equal(found.maps[0], heart())
    assert found.notes == ("segment 'Calcium' is none of the structures and is left out",)


def test_two_segments_of_one_structure_are_taken_together(ours, tmp_path):
    segments, fields = ours
    veins = segments[0]
    half = veins.mask.copy()
    half[:8] = False
    segments.append(Segment(veins.fields | {"ID": "Segment_11", "Name": "veins on the right"}, half))
    veins.mask = veins.mask & ~half
    found = read_segmentation(save_like_slicer(tmp_path / "two.seg.nrrd", segments, fields))
    np.testing.assert_array_equal(found.maps[0], heart())
    assert "'Pulmonary veins' and 'veins on the right' are taken together" in found.notes[0]


def test_a_crop_that_does_not_tell_the_scan_leaves_its_edges_open(ours, tmp_path):
    segments, fields = ours
    del fields["Segmentation_ConversionParameters"]
    measured = whs_fast.measure(save_like_slicer(tmp_path / "c.seg.nrrd", segments, fields), threads=1)
    assert volumes(measured) == volumes(expected(heart()))
    assert {entry["touches_scan_edge"] for entry in measured["structures"].values()} == {None}
    assert any("does not hold the scan's grid" in text for text in measured["warnings"])
    assert not any("cut off" in text for text in measured["warnings"])


def test_a_structure_at_the_edge_of_the_scan_is_found_there_after_cropping(ours, tmp_path):
    segments, fields = ours
    segments[1].mask[0, 5, 20] = True
    measured = whs_fast.measure(save_like_slicer(tmp_path / "edge.seg.nrrd", segments, fields), threads=1)
    touching = [key for key, entry in measured["structures"].items() if entry["touches_scan_edge"]]
    assert touching == ["left_atrium"]


def test_a_grid_that_the_voxels_do_not_lie_on_is_not_taken_for_the_scans(ours, tmp_path):
    segments, fields = ours
    finer = Grid(GRID.shape, (1.0, 1.05, 1.5), GRID.origin_mm, OBLIQUE)
    found = read_segmentation(save_like_slicer(tmp_path / "finer.seg.nrrd", segments, fields, finer))
    assert not found.whole and found.grid.spacing_mm == pytest.approx(finer.spacing_mm)


@pytest.mark.parametrize(
    "matrix",
    [
        "1;1;0;0;1;1;0;0;0;0;1;0;0;0;0;1",
        "0;0;0;0;0;1;0;0;0;0;1;0;0;0;0;1",
        "nan;0;0;0;0;1;0;0;0;0;1;0;0;0;0;1",
        "1e300;0;0;0;0;1e300;0;0;0;0;1e300;0;0;0;0;1",
    ],
)
def test_a_grid_that_is_none_is_not_taken_for_the_scans(matrix, ours, tmp_path, capfd):
    segments, fields = ours
    for extent in ("0;47;0;43;0;39", "0;1e30;0;43;0;39"):
        fields["Segmentation_ConversionParameters"] = f"Reference image geometry|{matrix};{extent};|geometry."
        assert not read_segmentation(save_like_slicer(tmp_path / "x.seg.nrrd", segments, fields)).whole
    assert capfd.readouterr().err == ""


def test_a_scan_that_memory_cannot_hold_is_refused(ours, tmp_path):
    segments, fields = ours
    own = fields["Segmentation_ConversionParameters"]
    assert "0;47;0;43;0;39;" in own
    fields["Segmentation_ConversionParameters"] = own.replace("0;47;0;43;0;39;", "0;99999999;0;99999;0;99999;")
    with pytest.raises(InputError, match=r"x\.seg\.nrrd: found 100000000 x 100000 x 100000 voxels, which need \d+ MB"):
        read_segmentation(save_like_slicer(tmp_path / "x.seg.nrrd", segments, fields))


def test_headers_of_any_length_are_read_and_damaged_ones_are_refused(ours, tmp_path):
    """ITK's own reader ends the process at some of these."""
    segments, fields = ours
    fields["Segmentation_ContainedRepresentationNames"] = "Binary labelmap|" * 10_000
    path = save_like_slicer(tmp_path / "long.seg.nrrd", segments, fields)
    np.testing.assert_array_equal(read_segmentation(path).maps[0], heart())
    whole = path.read_bytes()
    for spoilt in (
        b"spa" + b"\xff" * 3000 + b"\n",
        b"space: \x85" * 900,
        b"kinds: " + b"9" * 70_000 + b"\n",
        b"\0" * 3000,
    ):
        path.write_bytes(whole.replace(b"space: left-posterior-superior\n", spoilt))
        with pytest.raises(InputError, match=r"long\.seg\.nrrd: found .*, expected"):
            whs_fast.measure(path)


def test_the_command_prints_writes_and_keeps_earlier_files(tmp_path, capsys):
    write_labels(tmp_path / "labels.seg.nrrd", heart(), GRID)
    arguments = ["measure", str(tmp_path / "labels.seg.nrrd"), "-o", str(tmp_path / "m.json")]
    assert main(arguments) == 0
    volume = volumes(expected(heart()))["left_atrium"]
    assert f"Left atrium                 {volume:9.1f} mL" in capsys.readouterr().out
    written = json.loads((tmp_path / "m.json").read_text("utf-8"))
    assert written["schema"] == 1 and list(written)[-2:] == ["warnings", "version"]
    assert main(arguments) == 2
    capsys.readouterr()
    assert main([*arguments, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == written


def test_names_and_codes_that_disagree_are_refused(ours, tmp_path):
    segments, fields = ours
    segments[1].fields["Name"] = "Right atrium"
    with pytest.raises(InputError, match="'Right atrium' with the SNOMED CT code of 'Left atrium'"):
        read_segmentation(save_like_slicer(tmp_path / "x.seg.nrrd", segments, fields))


def test_a_segmentation_of_something_else_is_refused(ours, tmp_path):
    segments, fields = ours
    segments[1].fields |= {"Name": "Liver", "Tags": TISSUE}
    with pytest.raises(InputError, match="found the segments 'Liver', expected at least one"):
        read_segmentation(save_like_slicer(tmp_path / "x.seg.nrrd", segments[1:2], fields))


def test_damaged_and_missing_files_are_status_2(ours, tmp_path, capsys):
    path = save_like_slicer(tmp_path / "cut.seg.nrrd", *ours)
    path.write_bytes(path.read_bytes()[:-200])
    assert is_segmentation(path)
    for name in ("cut.seg.nrrd", "gone.seg.nrrd", "gone.nii.gz", "gone"):
        assert main(["measure", str(tmp_path / name)]) == 2
        captured = capsys.readouterr()
        assert name in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    assert "found no such file" in captured.err


def test_a_label_map_with_other_values_is_refused(tmp_path, capsys):
    write_labels(tmp_path / "labels.nii.gz", heart() * 20, GRID)
    assert main(["measure", str(tmp_path / "labels.nii.gz")]) == 2
    assert "found the label values" in capsys.readouterr().err
