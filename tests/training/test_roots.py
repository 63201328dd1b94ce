"""The drawn aortic root: its truth against what is sampled, sides never swapped, labels of what lies in blood."""

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.heart import AO, ARTERIES, CALCIUM, CUSP, LEAFLET, LVC, structures_of  # noqa: E402
from training.parametric import draw_rooted, sample_parametric, to_canonical, to_patient  # noqa: E402
from training.root_truth import root_truth  # noqa: E402

STEP = 0.4


@pytest.fixture(scope="module", params=[2, 7])
def drawn(request):
    anatomy = draw_rooted(np.random.default_rng([98, request.param]))
    return anatomy, root_truth(anatomy)


@pytest.fixture(scope="module", params=range(6))
def rooted(request):
    """An anatomy with a root."""
    return draw_rooted(np.random.default_rng([97, request.param]))


def sample(anatomy, plane, side_mm, height_mm):
    """Tissues on a grid that lies in a plane, its third axis along the normal, centred in the plane."""
    direction = np.stack([plane.across, plane.along, plane.normal], 1)
    side, height = int(side_mm / STEP), max(1, int(height_mm / STEP))
    origin = plane.centre_mm - direction @ (STEP * (np.array([side, side, height]) - 1) / 2)
    return sample_parametric(anatomy, (height, side, side), (STEP,) * 3, tuple(origin), direction).numpy()


def test_points_come_back_from_the_patient(drawn):
    anatomy, _ = drawn
    points = np.random.default_rng(0).uniform(-40, 40, (20, 3))
    back = to_canonical(anatomy, torch.from_numpy(to_patient(anatomy, points))).numpy()
    np.testing.assert_allclose(back, points, atol=0.01)


@pytest.mark.parametrize("where", ["annulus", "lvot", "junction"])
def test_true_areas_are_those_of_the_sampled_lumen(drawn, where):
    anatomy, truth = drawn
    contour = getattr(truth, where)
    inside = np.isin(sample(anatomy, contour.plane.moved(-0.5 if where == "junction" else 0.0), 48, 0)[0],
                     (AO, LVC, CUSP, CALCIUM))  # fmt: skip
    y, x = (np.indices(inside.shape) - (inside.shape[0] - 1) / 2) * STEP
    radii = np.interp(np.arctan2(y, x) % (2 * np.pi), np.linspace(0, 2 * np.pi, 361),
                      np.r_[np.linalg.norm(contour.flat, axis=1), np.linalg.norm(contour.flat[0])])  # fmt: skip
    near = np.hypot(x, y) < radii + 0.8  # beyond the leaflet the cavity goes on
    assert (inside & near).sum() * STEP**2 == pytest.approx(contour.shape.area_mm2, rel=0.03)


def test_hinge_points_lie_in_the_plane_between_wall_and_blood(drawn):
    anatomy, truth = drawn
    np.testing.assert_allclose(truth.annulus.plane.height(truth.hinges_mm), 0, atol=1e-6)
    away, angle, height = anatomy.root.place(to_canonical(anatomy, torch.from_numpy(truth.hinges_mm)))
    np.testing.assert_allclose(height, 0, atol=0.02)
    np.testing.assert_allclose(away, anatomy.root.radius(angle, height), atol=0.02)


def test_left_is_left(drawn):
    """LPS: the left cusp and ostium lie left of the non-coronary cusp and behind the right one, seen in the body."""
    _, truth = drawn
    right, left, other = truth.hinges_mm
    assert left[0] > other[0] and right[1] < left[1] and right[1] < other[1]
    assert truth.ostia_mm[0][1] < truth.ostia_mm[1][1]
    normal = truth.annulus.plane.normal
    assert np.cross(left - right, other - right) @ normal > 0  # right, left, non-coronary: counter-clockwise from above


def test_cusps_follow_one_another_as_in_patients(rooted):
    """Right, left, non-coronary: counter-clockwise from the aorta, whatever the tilt."""
    root = rooted.root
    gaps = np.degrees(np.roll(root.nadirs, -1) - root.nadirs) % 360
    assert (gaps > 85).all() and (gaps < 155).all()
    np.testing.assert_allclose(np.cross(root.frame[0], root.frame[1]), root.frame[2], atol=1e-9)


def test_coronary_arteries_leave_above_the_rim(drawn):
    anatomy, truth = drawn
    for rim in truth.ostia_mm:
        outwards = rim - truth.annulus.plane.centre_mm
        outwards -= (outwards @ truth.annulus.plane.normal) * truth.annulus.plane.normal
        at = rim + 2.5 * outwards / np.linalg.norm(outwards) + 0.8 * truth.annulus.plane.normal
        assert sample_parametric(anatomy, (1, 1, 1), (STEP,) * 3, tuple(at))[0, 0, 0] == ARTERIES


def test_coronary_arteries_do_not_come_back_to_the_root(rooted):
    """Beyond their first part they stay off the root's lumen, in which a second mouth would be drawn."""
    root, share = rooted.root, np.linspace(0, 1, 21)
    for artery in rooted.heart.tubes["arteries"][-3:]:
        course, radii = (np.concatenate([np.outer(1 - share, a) + np.outer(share, b) for a, b in pairwise(ends)])
                         for ends in (artery.points, artery.radii))  # fmt: skip
        away, angle, height = root.place(torch.from_numpy(course))
        outside = (away - root.radius(angle, height)).numpy() - radii[:, 0]
        assert outside[(height > 0) & (height < root.junction_mm)].min() > 1


def test_cusps_and_calcium_are_there_and_belong_to_the_aorta(drawn):
    anatomy, truth = drawn
    tissues = sample(anatomy, truth.annulus.plane.moved(9), 44, 24)
    cusps = (tissues == CUSP).sum() * STEP**3
    assert 150 < cusps < 2500  # mm3
    assert (tissues == CALCIUM).sum() * STEP**3 == pytest.approx(truth.calcium_mm3.sum(), rel=0.2, abs=3)
    labels = structures_of(torch.from_numpy(tissues)).numpy()
    assert set(np.unique(labels[np.isin(tissues, (CUSP, CALCIUM))])) <= {AO}


def test_structures_of_every_tissue():
    labels = structures_of(torch.arange(26, dtype=torch.uint8)).numpy()
    assert (labels[:11] == range(11)).all() and not labels[11:CUSP].any()
    assert [labels[i] for i in (CUSP, LEAFLET, CALCIUM)] == [AO, LVC, AO]
