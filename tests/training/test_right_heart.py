"""Trabeculae, band, crista, Eustachian valve and fat: on a right heart of balls and tubes, whose places are known."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ndimage = pytest.importorskip("scipy.ndimage")

from training.heart import FAT, LUNG, LVM, PA, RA, RVC, SOFT, SVC, VEINS, WALL, structures_of  # noqa: E402
from training.right_heart import RightHeartRanges, draw_right_heart  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SPACING = (1.0, 0.9, 1.2)
SHAPE = (90, 100, 120)
NONE = RightHeartRanges(trabeculae=0, moderator_band=0, crista=0, pectinate=0, eustachian=0, fat=0)
ALL = RightHeartRanges(trabeculae=1, moderator_band=1, crista=1, pectinate=1, eustachian=1, fat=1, fatty_wall=1)
Z, Y, X = torch.meshgrid(*[torch.arange(n) * s for n, s in zip(SHAPE, SPACING[::-1], strict=True)], indexing="ij")  # mm
CAVA_MM = (26.0, 50.0)  # x, y of the axis of both venae cavae


def build():
    """Atrium on the right, ventricle to the left and in front, its septum behind; lung around, LPS as in crops."""
    tissues = torch.full(SHAPE, LUNG, dtype=torch.uint8)

    def ball(x, y, z, radii, label):
        inside = ((X - x) / radii[0]).square() + ((Y - y) / radii[1]).square() + ((Z - z) / radii[2]).square() < 1
        tissues.masked_fill_(inside, label)

    ball(70, 35, 50, (38, 27, 32), WALL)
    ball(30, 48, 52, (26, 26, 30), WALL)
    ball(75, 62, 52, (34, 26, 34), LVM)
    tube = (X - CAVA_MM[0]).square() + (Y - CAVA_MM[1]).square() < 10**2
    tissues[tube & (Z < 40)], tissues[tube & (Z > 60)] = VEINS, SVC
    ventricle = ((X - 70) / 35).square() + ((Y - 35) / 24).square() + ((Z - 50) / 29).square() < 1
    tissues[ventricle & (tissues == WALL)] = RVC
    ball(30, 48, 52, (23, 23, 27), RA)
    tissues[(tissues == RVC) & (Z > 72)] = PA
    return tissues


@pytest.fixture(scope="module")
def heart():
    return build()


def drawn(heart, seed=0, **chances):
    tissues = heart.clone()
    muscle = draw_right_heart(tissues, SPACING, np.random.default_rng(seed), replace(NONE, **chances))
    return tissues, muscle


@pytest.mark.parametrize("seed", range(3))
def test_no_label_changes_and_muscle_stands_in_blood_of_the_right_heart_alone(heart, seed):
    tissues, again = heart.clone(), heart.clone()
    muscle = draw_right_heart(tissues, SPACING, np.random.default_rng(seed), ALL)
    assert torch.equal(muscle, draw_right_heart(again, SPACING, np.random.default_rng(seed), ALL))
    assert torch.equal(tissues, again)
    assert torch.equal(structures_of(tissues), structures_of(heart))
    changed = tissues != heart
    assert changed.any() and (tissues[changed] == FAT).all()
    assert np.isin(heart[changed].numpy(), [WALL, LUNG, SOFT]).all()
    assert muscle.min() >= 0 and muscle.max() <= 1
    assert not muscle[(heart != RA) & (heart != RVC)].any()
    assert 0.01 < float(muscle[heart == RVC].mean()) < 0.35
    assert 0.005 < float(muscle[heart == RA].mean()) < 0.2


def test_trabeculae_stand_on_the_wall_far_from_the_valves(heart):
    muscle = torch.stack([drawn(heart, seed, trabeculae=1.0)[1] for seed in range(3)]).mean(0).numpy()
    blood = np.isin(heart.numpy(), [RA, RVC, PA])
    depth = ndimage.distance_transform_edt(blood, sampling=SPACING[::-1])
    from_valves = ndimage.distance_transform_edt(~np.isin(heart.numpy(), [RA, PA]), sampling=SPACING[::-1])
    ventricle = (heart == RVC).numpy()
    apex = from_valves > 0.6 * from_valves[ventricle].max()
    rim, middle = depth < 4, depth > 10
    assert muscle[ventricle & apex & rim].mean() > 5 * muscle[ventricle & middle].mean()
    assert muscle[ventricle & apex & rim].mean() > 0.1
    assert muscle[ventricle & (from_valves < 10)].max() == 0


def test_the_moderator_band_joins_septum_and_free_wall(heart):
    band = drawn(heart, moderator_band=1.0)[1].numpy() > 0.4
    _, count = ndimage.label(band, np.ones((3, 3, 3)))
    around = ndimage.binary_dilation(band, np.ones((3, 3, 3)), iterations=2)
    assert count == 1
    assert (heart.numpy()[around] == LVM).any() and (heart.numpy()[around] == WALL).any()


def test_the_crista_runs_along_the_right_wall_from_cava_to_cava(heart):
    crista = drawn(heart, crista=1.0)[1] > 0.4
    assert crista.any() and (heart[crista] == RA).all()
    assert (X[crista] < CAVA_MM[0]).all()  # x goes to the left
    heights = Z[crista].unique()
    assert heights.min() < 40 and heights.max() > 60 and heights.diff().max() < 2 * SPACING[2]


def test_pectinate_muscles_stand_before_the_crista(heart):
    pectinate = drawn(heart, pectinate=1.0)[1] > 0.4
    assert pectinate.any() and (X[pectinate] < CAVA_MM[0]).all()
    assert Y[pectinate].mean() < CAVA_MM[1]


def test_the_eustachian_valve_rises_from_the_front_lip_of_the_inferior_vena_cava(heart):
    for seed in range(3):
        valve = drawn(heart, seed, eustachian=1.0)[1] > 0.2
        assert valve.any() and (heart[valve] == RA).all()
        top = NONE.eustachian_height_mm[1]
        assert Z[valve].max() < 40 + top + 3 and Y[valve].mean() < CAVA_MM[1] - 3


def test_strands_thinner_than_a_voxel_are_a_share_of_it(heart):
    thin, thick = (drawn(heart, trabeculae=1.0, trabecula_mm=(mm, mm))[1] for mm in (0.3, 3.0))
    assert 0 < float(thin.max()) < 0.5 < float(thick.max())


def test_without_chances_or_a_right_heart_nothing_is_drawn(heart):
    tissues, muscle = drawn(heart)
    assert not muscle.any() and torch.equal(tissues, heart)
    left = torch.where((heart == RA) | (heart == RVC), WALL, heart)
    before = left.clone()
    assert not draw_right_heart(left, SPACING, np.random.default_rng(0), ALL).any()
    assert torch.equal(left, before)
