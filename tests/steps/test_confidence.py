"""What is predicted, against the definition of the trees, and what is said of a result."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.confidence import FEW, MANY, make_calibration
from support.quality import make_bricks
from whs_fast.steps.confidence import (
    LARGE,
    Trees,
    judge,
    overall_vector,
    read_calibration,
    structure_vector,
)
from whs_fast.steps.contrast import measure_contrast
from whs_fast.steps.figures import FAR_MM, LABELS, find_figures
from whs_fast.steps.heart_box import cut_heart_box
from whs_fast.steps.measure import measure
from whs_fast.structures import BY_KEY, STRUCTURES


def figures_of(labels, *, margin=40):
    volume, _ = make_bricks()
    margins = np.zeros((LABELS, LABELS, 256), np.int64)
    margins[range(1, LABELS), 0, margin] = 1000
    box = cut_heart_box(volume, labels)
    measured = measure(labels, volume.grid, None, region=None, threads=1)
    contrast = measure_contrast(volume, box)
    return find_figures(margins, box, measured, contrast, residuals_mm=(1.0, 1.0, 1.0), moved_mm=2.0)


LABELLED = make_bricks()[1]
CALIBRATION = read_calibration(make_calibration(threshold=0.7))  # feature 0 of the whole: mean clarity


def walk(trees, vector):
    """One tree after the other, one node after the other."""
    total = trees.start
    for feature, threshold, value in zip(trees.feature, trees.threshold, trees.value, strict=True):
        low, high = 0, len(value)
        node = 0
        while node < len(feature):
            right = vector[feature[node]] > threshold[node]
            node = 2 * node + 1 + right
            low, high = ((low + high) // 2, high) if right else (low, (low + high) // 2)
        total += value[low]
    return total


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 6))
def test_trees_predict_what_a_walk_through_them_finds(seed, depth, count):
    rng = np.random.default_rng(seed)
    inner = 2**depth - 1
    trees = Trees(
        0.3, rng.integers(0, 5, (count, inner)), rng.normal(size=(count, inner)), rng.normal(size=(count, inner + 1))
    )
    vector = rng.normal(size=5)
    assert trees.predict(vector) == pytest.approx(walk(trees, vector))


def test_vectors_are_finite_and_of_one_length_whatever_was_found():
    for labels in (LABELLED, np.zeros_like(LABELLED), np.where(LABELLED == 2, 2, 0).astype(np.uint8)):
        figures = figures_of(labels)
        for agreed in (None, dict.fromkeys(range(LABELS), 0.9)):
            own = [structure_vector(figures, s.label, CALIBRATION.population, agreed) for s in STRUCTURES]
            vectors = [*own, overall_vector(figures, CALIBRATION.population, agreed)]
            assert all(np.isfinite(vector).all() for vector in vectors)
            assert len({len(vector) for vector in own}) == 1


def test_a_clear_result_needs_no_review():
    found = judge(figures_of(LABELLED, margin=40), False, CALIBRATION)
    assert found["review"] is False and found["reasons"] == []
    assert found["predicted_dice"] == dict.fromkeys(["overall_pooled", *(s.key for s in STRUCTURES)], MANY)


def test_an_unclear_result_is_for_review_with_its_reasons():
    found = judge(figures_of(LABELLED, margin=10), False, CALIBRATION)
    assert found["review"] is True
    assert found["predicted_dice"]["overall_pooled"] == FEW
    assert found["reasons"][0] == f"the predicted overall Dice is {FEW:.2f}, expected at least 0.80"
    assert "left ventricular cavity and aorta do not meet" in found["reasons"]
    assert "the muscle does not enclose the left ventricle" in found["reasons"]  # bricks leave it open above


def test_no_contrast_asks_for_a_review_whatever_is_predicted():
    found = judge(figures_of(LABELLED), True, CALIBRATION)
    assert found["review"] is True and found["reasons"][0] == "the left heart shows no contrast"
    assert found["predicted_dice"]["overall_pooled"] == MANY


def test_a_missing_chamber_asks_for_a_review():
    chamber = BY_KEY["right_atrium"]
    found = judge(figures_of(np.where(chamber.label == LABELLED, 0, LABELLED)), False, CALIBRATION)
    assert found["review"] is True and "not found: right atrium" in found["reasons"]
    assert found["predicted_dice"]["right_atrium"] == 0.0


def test_a_volume_beyond_the_population_is_a_reason():
    narrow = make_calibration(threshold=0.7)
    for own in narrow["population"].values():
        own["log_ml"] = [float(np.log(5.0)), 0.1]
    found = judge(figures_of(LABELLED, margin=10), False, read_calibration(narrow))
    volume = figures_of(LABELLED).structures[LARGE[0]]["volume_ml"]
    assert f"left atrium of {volume:.0f} mL, expected 4 to 7" in found["reasons"]


def test_labels_without_a_valve_are_a_reason():
    figures = figures_of(LABELLED, margin=10)
    lost = replace(figures, whole=figures.whole | {"moved_mm": FAR_MM})
    assert "the labels show no aortic valve" in judge(lost, False, CALIBRATION)["reasons"]
    assert "the labels show no aortic valve" not in judge(figures, False, CALIBRATION)["reasons"]


def test_without_a_calibration_nothing_is_predicted():
    found = judge(figures_of(LABELLED, margin=10), False, None)
    assert found == {"review": False, "reasons": [], "predicted_dice": None}
    assert judge(figures_of(LABELLED), True, None)["review"] is True


def test_two_passes_have_a_calibration_of_their_own():
    content = make_calibration(threshold=0.7) | {"checked": make_calibration(threshold=2.0)["checked"]}
    figures, agreed = figures_of(LABELLED), dict.fromkeys(range(LABELS), 1.0)
    both = read_calibration(content)
    assert judge(figures, False, both)["predicted_dice"]["overall_pooled"] == MANY
    assert judge(figures, False, both, agreed=agreed)["predicted_dice"]["overall_pooled"] == FEW


def test_a_calibration_that_is_none_is_refused():
    content = json.loads(json.dumps(make_calibration()))
    content["plain"]["overall"]["value"] = [[0.0]]
    with pytest.raises(ValueError, match="trees of unequal shapes"):
        read_calibration(content)
    del content["checked"]
    with pytest.raises((KeyError, ValueError)):
        read_calibration(content)
