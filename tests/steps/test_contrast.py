"""HU, noise and steps of a scan of bricks, where all of them are known, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest
from support.quality import BLOOD_HU, make_bricks
from whs_fast.dicom_source import Source
from whs_fast.steps.contrast import find_contrast_doubts, lacks_contrast, measure_contrast
from whs_fast.steps.heart_box import cut_heart_box
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.volume import Volume


def measure(volume, labels):
    return measure_contrast(volume, cut_heart_box(volume, labels))


def test_means_are_those_of_the_bricks():
    contrast = measure(*make_bricks())
    for structure in STRUCTURES:
        assert contrast["structures"][structure.key] == {"mean_hu": BLOOD_HU[structure.label], "sd_hu": 0.0}
    assert contrast["left_blood_hu"] == pytest.approx(np.mean([390, 380, 410]), abs=0.1)
    assert contrast["right_blood_hu"] == pytest.approx(np.mean([300, 320, 350]), abs=0.1)
    assert contrast["left_minus_muscle_hu"] == pytest.approx(contrast["left_blood_hu"] - 100, abs=0.1)
    assert find_contrast_doubts(contrast) == []


def test_the_rim_of_a_pool_does_not_count():
    """A border that is blurred over one voxel leaves the means as they are."""
    volume, labels = make_bricks()
    blurred = np.stack([volume.array, np.roll(volume.array, 1, 2), np.roll(volume.array, -1, 2)]).mean(0)
    soft = replace(volume, array=np.rint(blurred).astype(np.int16))
    assert measure(soft, labels)["structures"] == measure(volume, labels)["structures"]


@pytest.mark.parametrize("noise_hu", [10.0, 40.0])
@pytest.mark.parametrize("spacing_mm", [(1.2, 1.2, 1.2), (0.5, 0.5, 2.5)])
def test_noise_is_recovered_within_a_tenth(noise_hu, spacing_mm):
    volume, labels = make_bricks(noise_hu=noise_hu)
    scale = [round(1.2 / step) or 1 for step in spacing_mm[::-1]]
    shape = [n * k for n, k in zip(labels.shape, scale, strict=True)]
    fine = labels.repeat(scale[0], 0).repeat(scale[1], 1).repeat(scale[2], 2)
    clean_hu = np.array([0, *(BLOOD_HU[label] for label in range(1, 11))], float)[fine]
    noise = np.random.default_rng(6).normal(0, noise_hu, shape)
    volume = Volume(np.rint(clean_hu + noise).astype(np.int16), spacing_mm, (0.0, 0.0, 0.0))
    assert measure(volume, fine)["noise_hu"] == pytest.approx(noise_hu, rel=0.1)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_figures_do_not_depend_on_how_the_scan_is_stored(axes):
    volume, labels = make_bricks(noise_hu=20, spacing_mm=(1.2, 1.2, 2.5))
    matrix = np.reshape(volume.direction, (3, 3))[:, ::-1][:, list(axes)][:, ::-1]  # columns x, y, z of the new array
    stored = Volume(
        np.ascontiguousarray(volume.array.transpose(axes)),
        tuple(np.array(volume.spacing_mm[::-1])[list(axes)][::-1]),
        volume.origin_mm,
        tuple(matrix.ravel()),
    )
    found = measure(stored, np.ascontiguousarray(labels.transpose(axes)))
    expected = measure(volume, labels)
    assert found["structures"] == expected["structures"]
    assert found["slice_spacing_mm"] == 2.5 and found["largest_step"] == expected["largest_step"]


def test_nothing_labelled_is_nothing_measured():
    volume, labels = make_bricks()
    contrast = measure(volume, np.zeros_like(labels))
    assert set(contrast["structures"].values()) == {None} and contrast["noise_hu"] is None
    assert not lacks_contrast(contrast) and find_contrast_doubts(contrast) == []


def doubts_of(changes, **options):
    return find_contrast_doubts(measure(*make_bricks(BLOOD_HU | changes, **options)))


def test_blood_without_contrast_is_named():
    native = dict.fromkeys(BLOOD_HU, 45) | {BY_KEY["left_ventricle_myocardium"].label: 50}
    (told,) = doubts_of(native)
    assert told.startswith("no contrast in the left heart: its blood has 45 HU, muscle 50 HU")
    right_alone = doubts_of({2: 50, 3: 50, 5: 50, 4: 50})
    assert right_alone[0].startswith("no contrast in the left heart")


def test_little_contrast_is_not_none():
    (told,) = doubts_of({2: 170, 3: 170, 5: 170, 4: 60})
    assert told == "little contrast in the left heart: its blood has 170 HU, expected over 200"


def test_unmixed_blood_is_told_from_noise():
    volume, labels = make_bricks(noise_hu=30)
    streams = np.where(np.indices(labels.shape)[0] % 12 < 6, -90, 90)
    mixed = np.where(labels == BY_KEY["right_atrium"].label, volume.array + streams, volume.array)
    contrast = measure(replace(volume, array=mixed.astype(np.int16)), labels)
    (told,) = find_contrast_doubts(contrast)
    assert told.startswith("blood of the right heart is unmixed: it varies by 9")
    assert find_contrast_doubts(measure(volume, labels)) == []


def test_noise_and_thick_slices_are_named():
    assert doubts_of({}, noise_hu=80)[0].startswith("much noise: ")
    assert doubts_of({}, spacing_mm=(1.2, 1.2, 4.0)) == ["thick slices: 4.0 mm, expected up to 3"]


def test_a_slab_that_moved_is_a_step():
    volume, labels = make_bricks(noise_hu=20)
    moved = volume.array.copy()
    moved[18:] = np.roll(moved[18:], 6, axis=2)
    contrast = measure(replace(volume, array=moved), labels)
    assert contrast["largest_step"] > 2.5 > measure(volume, labels)["largest_step"]
    assert any(text.startswith("neighbouring slices do not fit together") for text in find_contrast_doubts(contrast))


@pytest.mark.parametrize(("gated", "words"), [(False, "not ECG-gated, by its DICOM header"), (True, ""), (None, "")])
def test_gating_is_what_the_header_says(gated, words):
    contrast = measure(*make_bricks(source=Source(b"", (), None, gated=gated)))
    assert contrast["ecg_gated"] is gated
    assert [text.split(":")[0] for text in find_contrast_doubts(contrast)] == ([words] if words else [])
