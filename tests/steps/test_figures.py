"""Neighbours, places and agreement of labels, against their definitions."""

import numpy as np
import pytest
from support.quality import make_bricks
from whs_fast.steps.contrast import measure_contrast
from whs_fast.steps.figures import LOGIT_ML, agreement, count_faces, find_figures, find_places, find_strangers
from whs_fast.steps.heart_box import LABELS, cut_heart_box
from whs_fast.steps.measure import measure
from whs_fast.structures import STRUCTURES
from whs_fast.volume import Volume


def test_faces_are_the_areas_in_which_labels_touch():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, LABELS, (6, 7, 8)).astype(np.uint8)
    labels[0] = labels[-1] = labels[:, 0] = labels[:, -1] = labels[:, :, 0] = labels[:, :, -1] = 0
    labels[2, 3, 4] = 1
    box = cut_heart_box(Volume(np.zeros(labels.shape, np.int16), (1.3, 1.4, 2.5), (0.0, 0.0, 0.0)), labels)
    expected = np.zeros((LABELS, LABELS))
    areas = 1.3 * 1.4, 1.3 * 2.5, 1.4 * 2.5  # across z, y, x
    for place in np.ndindex(labels.shape):
        for axis in range(3):
            other = tuple(np.add(place, np.eye(3, dtype=int)[axis]))
            if other[axis] < labels.shape[axis] and labels[place] != labels[other]:
                expected[labels[place], labels[other]] += areas[axis]
                expected[labels[other], labels[place]] += areas[axis]
    np.testing.assert_allclose(count_faces(box), expected)


def test_places_are_centres_in_the_patient():
    """A scan stored from left to right and from head to feet, which the places must not show."""
    volume, labels = make_bricks(spacing_mm=(1.2, 1.3, 1.4), direction=(-1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0))
    places = find_places(cut_heart_box(volume, labels))
    for label in range(1, LABELS):
        index = np.argwhere(labels == label).mean(0) - np.argwhere(labels > 0).mean(0)
        np.testing.assert_allclose(places[label], index[::-1] * (-1.2, 1.3, -1.4), atol=1e-9)


def test_agreement_is_dice():
    _, labels = make_bricks()
    other = np.where(labels == 2, 3, labels).astype(np.uint8)
    other[other == 6] = 0
    found = agreement(labels, other)
    size = (labels == 3).sum()
    assert found[1] == 1.0 and found[2] == 0.0 and found[6] == 0.0
    assert found[3] == pytest.approx(2 * size / (3 * size))
    assert found[0] == pytest.approx(2 * 8 * size / (10 * size + 9 * size))
    assert agreement(np.zeros_like(labels), np.zeros_like(labels)) == dict.fromkeys(range(LABELS), 1.0)


def find(labels, margins):
    volume, _ = make_bricks()
    box = cut_heart_box(volume, labels)
    measured = measure(labels, volume.grid, None, region=None, threads=1)
    contrast = measure_contrast(volume, box)
    return find_figures(margins, box, measured, contrast, residuals_mm=(1.0, 3.0, 2.0), moved_mm=None)


def test_clarity_is_read_off_the_margins():
    _, labels = make_bricks()
    margins = np.zeros((LABELS, LABELS, 256), np.int64)
    margins[2, 0, 40], margins[2, 3, 8], margins[0, 2, 3] = 60, 40, 50
    figures = find(labels, margins)
    own = figures.structures[2]
    assert own["clear"] == pytest.approx((60 * 32 + 40 * 8) / (32 * 100))
    assert own["unsure"] == 0.4 and own["torn"] == 0.0 and own["missed"] == 0.5 and own["rivalled"] == 0.4
    assert own["kept"] == 2.0 and own["volume_ml"] > 100 * LOGIT_ML
    assert figures.whole["residual_mm"] == 3.0


def test_hu_against_the_labels_are_counted():
    """Blood at 400 HU about a corner of muscle that was labelled blood, and blood outside of what was labelled."""
    labels = np.zeros((12, 12, 24), np.uint8)
    labels[2:10, 2:10, 2:10], labels[2:10, 2:10, 12:20] = 2, 4
    hu = np.where(labels == 2, 400, np.where(labels == 4, 100, 0)).astype(np.int16)
    hu[2:6, 2:6, 2:6] = 120  # an eighth of the blood is none
    hu[10:, 2:10, 2:10] = 380  # one face of six is no border
    hu[2:4, 2:10, 12:20] = 390  # a quarter of the muscle is blood
    pools = {s.key: None for s in STRUCTURES}
    pools["left_atrium"] = pools["left_ventricle_cavity"] = {"mean_hu": 400.0}
    pools["left_ventricle_myocardium"] = {"mean_hu": 100.0}
    box = cut_heart_box(Volume(hu, (1.2, 1.2, 1.2), (0.0, 0.0, 0.0)), labels)
    strange, opened = find_strangers(box, {"structures": pools})
    assert strange.tolist() == pytest.approx([0, 0, 1 / 8, 0, 1 / 4, *[0] * 6])
    assert opened.tolist() == pytest.approx([0, 0, 1 / 6, *[0] * 8])
    assert not np.any(find_strangers(box, {"structures": dict.fromkeys(pools)}))


def test_a_scan_without_labels_has_figures_too():
    _, labels = make_bricks()
    figures = find(np.zeros_like(labels), np.zeros((LABELS, LABELS, 256), np.int64))
    values = [*figures.whole.values(), *(value for own in figures.structures.values() for value in own.values())]
    assert np.isfinite(values).all()
