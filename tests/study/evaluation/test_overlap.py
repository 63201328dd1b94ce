"""Overlap of label maps, against SimpleITK's filter and figures worked out by hand; label sets and schemes."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis.extra import numpy as hnp
from whs_fast.cli import evaluate as command
from whs_fast.errors import InputError
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.study.evaluation.overlap import count_pairs, dice_matrix, overall_figures
from whs_fast.study.evaluation.schemes import LABEL_SETS, SCHEMES, choose_structures, find_label_set

LABELS = range(1, 11)
maps = hnp.arrays(np.uint8, (3, 4, 5), elements={"min_value": 0, "max_value": 10})


@pytest.mark.peer
@given(maps, maps)
def test_dice_and_pooled_dice_equal_simpleitk(prediction, reference):
    counts = count_pairs(prediction, reference, 11)
    assert counts.sum() == prediction.size
    reference_filter = sitk.LabelOverlapMeasuresImageFilter()
    reference_filter.Execute(sitk.GetImageFromArray(reference), sitk.GetImageFromArray(prediction))
    dice = np.diag(dice_matrix(counts))
    for label in LABELS:
        if (prediction == label).any() or (reference == label).any():
            assert dice[label] == pytest.approx(reference_filter.GetDiceCoefficient(label))
        else:
            assert np.isnan(dice[label])
    found = overall_figures(counts, LABELS)
    if prediction.any() or reference.any():
        assert found["overall_pooled"] == pytest.approx(reference_filter.GetDiceCoefficient())
        assert found["mean_structures"] == pytest.approx(np.nanmean(dice[1:]))
        binary = sitk.LabelOverlapMeasuresImageFilter()
        binary.Execute(*(sitk.GetImageFromArray((a > 0).astype(np.uint8)) for a in (reference, prediction)))
        assert found["overall_union"] == pytest.approx(binary.GetDiceCoefficient(1))
    else:
        assert set(found.values()) == {None}


def test_three_overall_figures_by_hand():
    """Two structures of 10 voxels each, 8 and 4 of them found, the latter with 4 of the first's name."""
    reference = np.array([1] * 10 + [2] * 10 + [0] * 5, np.uint8).reshape(1, 1, -1)
    prediction = np.array([1] * 8 + [0] * 2 + [2] * 4 + [1] * 4 + [0] * 2 + [2] * 5, np.uint8).reshape(1, 1, -1)
    counts = count_pairs(prediction, reference, 11)
    assert counts[1].tolist()[:3] == [0, 8, 4] and counts[2].tolist()[:3] == [5, 0, 4]
    found = overall_figures(counts, (1, 2))
    assert found["overall_union"] == pytest.approx(2 * 16 / (21 + 20))
    assert found["overall_pooled"] == pytest.approx(2 * 12 / (21 + 20))
    assert found["mean_structures"] == pytest.approx((2 * 8 / 22 + 2 * 4 / 19) / 2)
    # Of one structure alone all other labels are background.
    assert overall_figures(counts, (1,)) == pytest.approx(dict.fromkeys(found, 2 * 8 / 22))


def test_label_sets_and_schemes_hold_together():
    assert LABEL_SETS["whs-fast"].table == {label: label for label in LABELS}
    assert LABEL_SETS["mm-whs"].table == {205: 4, 420: 2, 421: 2, 500: 3, 550: 8, 600: 9, 820: 5, 850: 10}
    assert LABEL_SETS["totalsegmentator"].table == {1: 4, 2: 2, 3: 3, 4: 8, 5: 9, 6: 5, 7: 10}
    assert tuple(LABEL_SETS) == command.LABEL_SETS and tuple(SCHEMES) == command.SCHEMES
    assert [len(keys) for keys in SCHEMES.values()] == [10, 7, 5, 7]
    assert all(key in BY_KEY for keys in SCHEMES.values() for key in keys)


def test_structures_come_in_the_papers_order():
    own, other = find_label_set("whs-fast"), find_label_set("mm-whs")
    assert choose_structures(None, own, own) == STRUCTURES
    shared = choose_structures(None, own, other)
    assert [s.abbreviation for s in shared] == ["LA", "LVC", "LVM", "Ao", "RA", "RVC", "PA"]
    assert [s.abbreviation for s in choose_structures("baskaran", other, own)] == ["LA", "LVC", "LVM", "RA", "RVC"]


def test_what_cannot_be_compared_is_refused():
    own, other = find_label_set("whs-fast"), find_label_set("mm-whs")
    with pytest.raises(InputError, match="pulmonary_veins, coronary_sinus, superior_vena_cava missing in the label"):
        choose_structures("whs-fast", own, other)
    with pytest.raises(InputError, match="scheme: 'acdc' is unknown, choose one of whs-fast, mm-whs"):
        choose_structures("acdc", own, own)
    with pytest.raises(InputError, match="labels: 'acdc' is unknown"):
        find_label_set("acdc")
