"""Scores of one case on label maps made with known overlaps, and what is told of maps that do not fit."""

import threading

import numpy as np
import pytest
import SimpleITK as sitk
from support.hearts import make_grid, make_heart, write_map
from whs_fast.errors import InputError
from whs_fast.structures import STRUCTURES
from whs_fast.study.evaluation.cases import check_case, score_case
from whs_fast.study.evaluation.pairing import Case
from whs_fast.study.evaluation.schemes import LABEL_SETS
from whs_fast.volume import Grid

OURS = LABEL_SETS["whs-fast"]
OBLIQUE = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
UPSIDE_DOWN = (-1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)


@pytest.fixture
def score(tmp_path):
    def score(prediction, own_grid, reference, other_grid, *, structures=STRUCTURES, other_labels=OURS, threads=2):
        own = write_map(tmp_path / "p" / "case.nii.gz", prediction, own_grid)
        other = write_map(tmp_path / "r" / "case.nrrd", reference, other_grid)
        case = Case("case", own, other)
        check_case(case)
        return score_case(case, structures, prediction_labels=OURS, reference_labels=other_labels, threads=threads)

    return score


def test_boxes_by_hand(score):
    """10 x 10 x 10 voxels of 1 x 1 x 2 mm in two maps, 4 mm apart along z, which is 2 voxels."""
    grid = Grid((30, 30, 30), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    reference, prediction = np.zeros((2, 30, 30, 30), np.uint8)
    reference[5:15, 5:15, 5:15] = 4
    prediction[7:17, 5:15, 5:15] = 4
    prediction[20, 20, 20] = 6
    reference[25:27, 3, 3] = 7
    found = score(prediction, grid, reference, grid)
    myocardium = found.structures["left_ventricle_myocardium"]
    assert myocardium.dice == pytest.approx(0.8)
    assert (myocardium.reference_ml, myocardium.prediction_ml) == pytest.approx((2.0, 2.0))
    # The far faces lie 4 mm apart and are more than 5% of the surface, the walls lie on each other.
    assert myocardium.hd95_mm == pytest.approx(4.0)
    false, missed, absent = (found.structures[k] for k in ("coronary_sinus", "superior_vena_cava", "aorta"))
    assert (false.dice, false.reference_ml, false.prediction_ml) == pytest.approx((0.0, 0.0, 0.002))
    assert (missed.dice, missed.reference_ml, missed.prediction_ml) == pytest.approx((0.0, 0.004, 0.0))
    assert (absent.dice, absent.reference_ml, absent.surface_dice) == (None, 0.0, (None, None))
    for one_sided in (false, missed):
        assert (one_sided.hd95_mm, one_sided.msd_mm, one_sided.surface_dice) == (None, None, (0.0, 0.0))
    sizes = 1000 + 1000 + 1 + 2
    assert found.overall["overall_union"] == found.overall["overall_pooled"] == pytest.approx(1600 / sizes)
    assert found.overall["mean_structures"] == pytest.approx(0.8 / 3)
    assert found.notes == ()


@pytest.mark.peer
def test_overlap_and_volumes_of_a_heart_equal_simpleitk(score):
    grid = make_grid()
    reference, prediction = make_heart(grid), make_heart(grid, shift_mm=(2.0, 0.0, -2.5), grow_mm=0.7)
    found = score(prediction, grid, reference, grid)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(sitk.GetImageFromArray(reference), sitk.GetImageFromArray(prediction))
    for structure in STRUCTURES:
        own = found.structures[structure.key]
        assert own.dice == pytest.approx(overlap.GetDiceCoefficient(structure.label))
        assert own.reference_ml == pytest.approx((reference == structure.label).sum() * 0.01)
        assert 0.0 < own.msd_mm < 5.0 and own.msd_mm < own.hd95_mm < 12.0
    assert found.overall["overall_pooled"] == pytest.approx(overlap.GetDiceCoefficient())


def test_a_ball_moved_is_as_far_off_as_it_was_moved(score):
    grid = make_grid((1.0, 1.0, 1.0), (60, 70, 60))
    z, y, x = np.ogrid[:60, :70, :60]
    reference = np.where((z - 30) ** 2 + (y - 30) ** 2 + (x - 30) ** 2 < 400, 2, 0).astype(np.uint8)
    found = score(np.roll(reference, 3, axis=1), grid, reference, grid).structures["left_atrium"]
    assert found.hd95_mm == pytest.approx(3.0, abs=0.2)
    # Across the surface it is that times the cosine, on average half of it; steps of voxels take a part of one away.
    assert 1.0 < found.msd_mm < 1.5


@pytest.mark.parametrize("direction", [OBLIQUE, UPSIDE_DOWN])
def test_another_orientation_of_the_same_voxels_changes_nothing(score, direction):
    """The reference's voxels turned in the array, or a grid at an angle to the other one."""
    grid = make_grid((2.0, 2.0, 2.0), (61, 61, 61))
    turned = make_grid((2.0, 2.0, 2.0), (61, 61, 61), direction)
    reference = make_heart(grid)
    same = score(reference, grid, reference, grid)
    found = score(make_heart(turned), turned, reference, grid)
    assert found.notes[0] == "the grids differ: the prediction was resampled to the reference's grid (nearest voxel)"
    for structure in STRUCTURES:
        own, exact = found.structures[structure.key], same.structures[structure.key]
        assert exact.dice == 1.0 and exact.hd95_mm == 0.0
        if direction is UPSIDE_DOWN:
            assert own == exact
        else:
            assert own.dice > 0.8 and own.prediction_ml == pytest.approx(exact.prediction_ml, rel=0.25)


def test_volumes_are_those_of_each_map_on_its_own_grid(score):
    fine, coarse = make_grid((1.0, 1.0, 1.0), (120, 150, 130)), make_grid((4.0, 4.0, 4.0), (30, 38, 33))
    prediction = make_heart(fine)
    found = score(prediction, fine, make_heart(coarse), coarse)
    for structure in STRUCTURES:
        assert found.structures[structure.key].prediction_ml == pytest.approx(
            (prediction == structure.label).sum() / 1000
        )


def test_labels_beyond_the_other_grid_are_told(score):
    grid, half = make_grid(), make_grid(shape=(56, 72, 33), offset_mm=(33.0, 0.0, 0.0))
    reference = make_heart(grid)
    found = score(make_heart(half), half, reference, grid)
    lost = (reference[:, :, :33] > 0).sum() * 0.01
    assert f"{lost:.1f} mL of the reference's labels lie outside the prediction's grid" in " ".join(found.notes)
    back = score(reference, grid, make_heart(half), half)
    assert f"{lost:.1f} mL of the prediction's labels lie outside the reference's grid" in " ".join(back.notes)
    assert back.overall["overall_union"] > 0.99


def test_maps_of_different_places_are_refused(score):
    grid = make_grid()
    far = make_grid(offset_mm=(0.0, 400.0, 0.0))
    with pytest.raises(InputError, match=r"does not overlap with .* in space, expected maps of the same scan$"):
        score(make_heart(grid), far, make_heart(grid), grid)
    turned = Grid(far.shape, far.spacing_mm, (-far.origin_mm[0], -far.origin_mm[1], far.origin_mm[2]),
                  (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))  # fmt: skip
    with pytest.raises(InputError, match=r"if x and y of one header were negated .RAS taken for LPS., they would"):
        score(make_heart(far), turned, make_heart(far), far)


def test_empty_maps_have_results_too(score):
    grid = make_grid()
    heart, nothing = make_heart(grid), np.zeros(grid.shape, np.uint8)
    found = score(nothing, grid, heart, grid)
    assert found.notes == ("nothing is labelled in the prediction",)
    assert set(found.overall.values()) == {0.0}
    both = score(nothing, grid, nothing, grid)
    assert set(both.overall.values()) == {None}
    assert {own.dice for own in both.structures.values()} == {None}
    assert len(both.notes) == 2


def test_other_label_sets_and_types(score):
    """A reference with MM-WHS values as float, and voxels of structures that it does not know."""
    grid = make_grid()
    heart = make_heart(grid)
    theirs = np.zeros(grid.shape, np.float32)
    for value, label in LABEL_SETS["mm-whs"].table.items():
        theirs[heart == label] = value
    shared = [s for s in STRUCTURES if s.key in LABEL_SETS["mm-whs"].values.values()]
    found = score(heart, grid, theirs, grid, structures=shared, other_labels=LABEL_SETS["mm-whs"])
    assert list(found.structures) == [s.key for s in shared] and found.overall["overall_union"] == 1.0
    with pytest.raises(InputError, match=r"found the label values 205, 421, 500, 550, 600, 820, 850, expected 0, 1, 2"):
        score(heart, grid, theirs, grid)


def test_interpolated_maps_are_refused(score):
    """Rounded, the middle of 2 and 8 would be the aorta."""
    grid = make_grid()
    heart = make_heart(grid)
    smooth = heart.astype(np.float32)
    smooth[20:] = (smooth[20:] + smooth[19:-1]) / 2
    with pytest.raises(InputError, match=r"case.nrrd: found values between whole numbers, expected the whole numbers"):
        score(heart, grid, smooth, grid)


def test_segments_of_3d_slicer_are_known_by_name(tmp_path):
    """Slicer numbers labels anew, and crops to what is drawn."""
    grid = make_grid()
    heart = make_heart(grid)
    ours = write_map(tmp_path / "case.nii.gz", heart, grid)
    image = sitk.GetImageFromArray(np.where(heart > 0, 11 - heart, 0).astype(np.uint8))
    for index, structure in enumerate(STRUCTURES):
        image.SetMetaData(f"Segment{index}_Name", structure.name)
        image.SetMetaData(f"Segment{index}_LabelValue", str(11 - structure.label))
        image.SetMetaData(f"Segment{index}_Layer", "0")
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    low = [int(axis.min()) for axis in np.nonzero(heart)][::-1]
    path = tmp_path / "case.seg.nrrd"
    cut = sitk.RegionOfInterest(image, [n - first for n, first in zip(image.GetSize(), low, strict=True)], low)
    for key in image.GetMetaDataKeys():
        cut.SetMetaData(key, image.GetMetaData(key))
    sitk.WriteImage(cut, path)
    case = Case("case", path, ours)
    check_case(case)
    found = score_case(case, STRUCTURES, prediction_labels=OURS, reference_labels=OURS, threads=1)
    assert {own.dice for own in found.structures.values()} == {1.0}
    assert found.notes == ("the grids differ: the prediction was resampled to the reference's grid (nearest voxel)",)


def test_segments_that_overlap_are_refused(tmp_path):
    grid = make_grid(shape=(3, 4, 5))
    layers = np.ones((3, 4, 5, 2), np.uint8)
    image = sitk.GetImageFromArray(layers, isVector=True)
    for layer, structure in enumerate(STRUCTURES[:2]):
        image.SetMetaData(f"Segment{layer}_Name", structure.name)
        image.SetMetaData(f"Segment{layer}_LabelValue", "1")
        image.SetMetaData(f"Segment{layer}_Layer", str(layer))
    sitk.WriteImage(image, tmp_path / "a.seg.nrrd")
    ours = write_map(tmp_path / "a.nii.gz", make_heart(grid), grid)
    case = Case("a", ours, tmp_path / "a.seg.nrrd")
    with pytest.raises(InputError, match=r"a.seg.nrrd: segments overlap .*0.06 mL.*, expected one structure"):
        score_case(case, STRUCTURES, prediction_labels=OURS, reference_labels=OURS, threads=1)


def test_threads_change_nothing(score):
    grid, other = make_grid(), make_grid((1.7, 2.1, 2.0), (60, 70, 80), OBLIQUE)
    prediction, reference = make_heart(grid, shift_mm=(3.0, 1.0, 0.0)), make_heart(other)
    one, four = (score(prediction, grid, reference, other, threads=n) for n in (1, 4))
    assert one == four


def test_one_thread_starts_no_other(score, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail("another thread was started"))
    grid = make_grid()
    assert score(make_heart(grid), grid, make_heart(grid), grid, threads=1).overall["overall_union"] == 1.0


def test_a_damaged_map_is_refused(tmp_path):
    grid = make_grid()
    whole = write_map(tmp_path / "a.nii.gz", make_heart(grid), grid)
    cut = tmp_path / "b.nii.gz"
    cut.write_bytes(whole.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"b.nii.gz: found"):
        score_case(Case("b", cut, whole), STRUCTURES, prediction_labels=OURS, reference_labels=OURS, threads=1)
    with pytest.raises(InputError, match=r"c.nii: found a file that cannot be read"):
        check_case(Case("c", tmp_path / "c.nii", whole))
    (tmp_path / "d.txt").write_text("")
    with pytest.raises(InputError, match="found a file of another kind, expected a label map"):
        check_case(Case("d", tmp_path / "d.txt", whole))
