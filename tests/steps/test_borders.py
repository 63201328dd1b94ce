"""Borders of blood that was drawn too small, on balls whose volumes are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from whs_fast.steps.borders import settle_borders
from whs_fast.steps.contrast import measure_contrast
from whs_fast.steps.heart_box import cut_heart_box
from whs_fast.structures import BY_KEY
from whs_fast.volume import Volume

ATRIUM, CAVITY, MUSCLE = (BY_KEY[f"left_{key}"].label for key in ("atrium", "ventricle_cavity", "ventricle_myocardium"))
BLOOD_HU, MUSCLE_HU, FAT_HU = 400, 100, -80
RADII_MM = {CAVITY: 22.0, ATRIUM: 18.0}


def draw(spacing_mm=(0.7, 0.7, 1.0), *, blood_hu=BLOOD_HU, noise_hu=10.0):
    """A ventricle in 8 mm of muscle, an atrium in a wall of 2 mm; true labels, and those with blood 1 mm too small."""
    step = np.array(spacing_mm[::-1])
    shape = tuple(np.rint(np.array([80, 70, 130]) / step).astype(int))
    z, y, x = (np.arange(n) * s for n, s in zip(shape, step, strict=True))
    z, y, x = z[:, None, None], y[:, None], x

    def ball(centre_x, radius):
        return (z - 40) ** 2 + (y - 35) ** 2 + (x - centre_x) ** 2 < radius**2

    hu = np.full(shape, FAT_HU, np.float64)
    true, small = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for label, centre_x, wall_mm in ((CAVITY, 35, 8.0), (ATRIUM, 95, 2.0)):
        radius = RADII_MM[label]
        hu[ball(centre_x, radius + wall_mm)] = MUSCLE_HU
        hu[ball(centre_x, radius)] = blood_hu
        if label == CAVITY:
            true[ball(centre_x, radius + wall_mm)] = small[ball(centre_x, radius + wall_mm)] = MUSCLE
        true[ball(centre_x, radius)] = label
        small[ball(centre_x, radius - 1.0)] = label
    blurred = ndimage.gaussian_filter(hu, 0.4 / step)
    noisy = np.rint(blurred + np.random.default_rng(3).normal(0, noise_hu, shape)).astype(np.int16)
    return Volume(noisy, spacing_mm, (0.0, 0.0, 0.0)), true, small


def settled(volume, labels):
    return settle_borders(volume, labels.copy(), measure_contrast(volume, cut_heart_box(volume, labels)), threads=2)


@pytest.mark.parametrize("spacing_mm", [(0.5, 0.5, 0.6), (0.7, 0.7, 1.0), (0.9, 0.9, 1.5)])
@pytest.mark.parametrize("noise_hu", [0.0, 40.0])
def test_blood_that_was_drawn_too_small_comes_out_as_large_as_it_is(spacing_mm, noise_hu):
    volume, true, small = draw(spacing_mm, noise_hu=noise_hu)
    found = settled(volume, small)
    for label in (CAVITY, ATRIUM):
        assert (small == label).sum() < 0.9 * (true == label).sum()
        assert (found == label).sum() == pytest.approx((true == label).sum(), rel=0.025)
    assert (found == MUSCLE).sum() == pytest.approx((true == MUSCLE).sum(), rel=0.025)


def test_a_cavity_that_was_drawn_too_large_gives_way_to_muscle_and_a_right_one_does_not():
    """An atrium of dark blood is what it was drawn as: background beside it is no muscle that is known."""
    volume, true, _ = draw()
    large = true.copy()
    large[ndimage.binary_dilation(true == CAVITY, iterations=1) & (true == MUSCLE)] = CAVITY
    large[ndimage.binary_dilation(true == ATRIUM, iterations=1) & (true == 0)] = ATRIUM
    found = settled(volume, large)
    assert (found == CAVITY).sum() == pytest.approx((true == CAVITY).sum(), rel=0.02)
    assert (large == CAVITY).sum() > 1.05 * (true == CAVITY).sum()
    assert ((found == ATRIUM) >= (large == ATRIUM)).all()
    right = np.where(large == CAVITY, BY_KEY["right_ventricle_cavity"].label, large).astype(np.uint8)
    assert ((settled(volume, right) == 0) <= (right == 0)).all()
    assert (settled(volume, right)[right == BY_KEY["right_ventricle_cavity"].label] != MUSCLE).all()


def test_true_borders_stay_where_they_are():
    volume, true, _ = draw()
    assert (settled(volume, true) != true).mean() < 0.001


def test_blood_that_does_not_stand_out_stays_as_it_was_drawn():
    for drawn in (draw(blood_hu=MUSCLE_HU), draw(blood_hu=MUSCLE_HU + 100, noise_hu=60.0)):
        volume, _, small = drawn
        np.testing.assert_array_equal(settled(volume, small), small)


def test_where_nothing_is_known_of_muscle_nothing_moves():
    volume, _, small = draw()
    small[small == MUSCLE] = 0
    np.testing.assert_array_equal(settled(volume, small), small)


def test_a_border_moves_by_one_step_of_the_logits_at_most():
    """1.4 mm across, which are two voxels, and 2 mm along the body, which are two as well; none of 5 mm."""
    volume, true, _ = draw(noise_hu=0.0)
    inner = np.where(np.isin(true, (CAVITY, ATRIUM)), 0, true)
    for label in (CAVITY, ATRIUM):
        inner[ndimage.binary_erosion(true == label, iterations=6)] = label
    found = settled(volume, inner)
    for label in (CAVITY, ATRIUM):
        assert (found == label).sum() > 1.1 * (inner == label).sum()
        assert not ((found == label) & ~ndimage.binary_dilation(inner == label, iterations=2)).any()
    volume, _, small = draw((0.7, 0.7, 5.0), noise_hu=0.0)
    found = settled(volume, small)
    held = (small == CAVITY).any(axis=(1, 2))
    assert (found != small).any()
    np.testing.assert_array_equal((found == CAVITY).any(axis=(1, 2)), held)


def test_one_structure_takes_nothing_from_another():
    volume, _, small = draw()
    small[:, :, small.shape[2] // 2 :][small[:, :, small.shape[2] // 2 :] == 0] = BY_KEY["aorta"].label
    found = settled(volume, small)
    kept = ~np.isin(small, (0, MUSCLE))
    np.testing.assert_array_equal(found[kept], small[kept])


@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 2, 0)])
def test_labels_do_not_depend_on_how_the_scan_is_stored(axes):
    volume, _, small = draw()
    columns = np.eye(3)[:, ::-1][:, list(axes)][:, ::-1]
    spacing_mm = tuple(np.array(volume.spacing_mm[::-1])[list(axes)][::-1].tolist())
    turned = Volume(
        np.ascontiguousarray(volume.array.transpose(axes)[::-1]), spacing_mm, (0.0, 0.0, 0.0), tuple(columns.ravel())
    )
    found = settled(turned, np.ascontiguousarray(small.transpose(axes)[::-1]))
    np.testing.assert_array_equal(found, settled(volume, small).transpose(axes)[::-1])
