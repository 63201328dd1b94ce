"""The parametric heart: shapes against slow definitions, neighbours as in patients, no leaks, the same on any grid."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training import anatomies, population  # noqa: E402
from training.heart import AO, CS, FAT, LA, LUNG, LVC, LVM, OESOPHAGUS, PA, PV, RA, RVC, SPINE, SVC  # noqa: E402
from training.parametric import draw_parametric, sample_parametric  # noqa: E402
from training.parametric_shapes import Tube, curve, ellipsoid, lattice_around, tube, volume_ml  # noqa: E402

STEP = 2.5
ORIGIN = (-120.0, -90.0, -120.0)
SHAPE = (100, 84, 96)


@pytest.fixture(scope="module", params=[1, 2, 3])
def sampled(request):
    anatomy = draw_parametric(np.random.default_rng([99, request.param]))
    return anatomy, sample_parametric(anatomy, SHAPE, (STEP, STEP, STEP), ORIGIN).numpy()


def places(tissues, label):
    """Centres of the voxels of a label, x, y, z in mm: [n, 3]."""
    return np.argwhere(tissues == label)[:, ::-1] * STEP + ORIGIN


def test_a_tube_is_what_lies_within_its_radius_of_its_line():
    shape = Tube(np.array([[0.0, 0, 0], [10, 4, -6]]), np.array([4.0, 4.0]))
    lattice = lattice_around(np.array([-9.0, -9, -15]), np.array([19.0, 13, 9]), 1.0)
    x, y, z = (lattice.axis(i) for i in range(3))
    nodes = torch.stack(torch.broadcast_tensors(x, y, z), -1).numpy()
    steps = np.linspace(0, 1, 400)[:, None]
    line = shape.points[0] + steps * (shape.points[1] - shape.points[0])
    slow = np.linalg.norm(nodes[..., None, :] - line, axis=-1).min(-1) - 4
    np.testing.assert_allclose(tube(lattice, shape).numpy(), slow, atol=0.02)


def test_a_ball_of_ellipsoids_has_its_volume_and_distance():
    lattice = lattice_around(np.full(3, -25.0), np.full(3, 25.0), 1.0)
    field = ellipsoid(lattice, np.zeros(3), np.eye(3), np.array([20.0, 20.0, 20.0]))
    assert volume_ml(field, lattice) == pytest.approx(4 / 3 * np.pi * 8, rel=0.01)
    radius = (lattice.axis(0) ** 2 + lattice.axis(1) ** 2 + lattice.axis(2) ** 2).sqrt()
    near = radius > 10
    assert (field - (radius - 20))[near].abs().max() < 0.01


def test_a_curve_passes_through_its_points():
    points = [np.array(p, float) for p in ((0, 0, 0), (10, 5, 0), (20, 0, 8))]
    chain = curve(points, [3.0, 2.0, 1.0])
    for point, radius in zip(points, (3.0, 2.0, 1.0), strict=True):
        away = np.linalg.norm(chain.points - point, axis=1)
        assert away.min() < 1e-9 and chain.radii[away.argmin()] == pytest.approx(radius)


def test_parts_lie_as_in_patients(sampled):
    """LPS: x grows to the left, y to the back, z to the head."""
    _, tissues = sampled
    x, y, z = {}, {}, {}
    for label in (PV, LA, LVC, LVM, AO, CS, SVC, RA, RVC, PA, SPINE, OESOPHAGUS):
        x[label], y[label], z[label] = places(tissues, label).mean(0)
    assert x[RA] < x[LA] < x[LVC]
    assert y[RVC] < y[LVC] < y[LA] < y[OESOPHAGUS] < y[SPINE]
    assert z[LVC] < z[LA] < z[PA] < z[SVC] + 25
    assert x[SVC] < x[AO] and x[RVC] < x[LVM]
    assert y[CS] > y[LVC]
    apex = places(tissues, LVM)[np.argsort(places(tissues, LVM) @ [0.64, -0.56, -0.53])[-20:]].mean(0)
    assert apex[0] > x[LVM] and apex[1] < y[LVM] and apex[2] < z[LVM]


def test_the_valve_is_where_aorta_and_ventricle_meet(sampled):
    anatomy, _ = sampled
    x, y, z = anatomy.valve_mm
    near = sample_parametric(anatomy, (21, 21, 21), (0.5,) * 3, (x - 5, y - 5, z - 5)).numpy()
    z, y, x = np.indices(near.shape)
    near[(z - 10) ** 2 + (y - 10) ** 2 + (x - 10) ** 2 > 64] = 0  # the middle 4 mm
    assert set(np.unique(near)) == {0, AO, LVC}
    heights = {label: np.argwhere(near == label)[:, 0].mean() for label in (AO, LVC)}
    assert heights[AO] > heights[LVC] + 3
    assert 0.4 < (near == AO).sum() / (near > 0).sum() < 0.6


def test_the_cavity_touches_only_muscle_atrium_aorta_and_walls(sampled):
    _, tissues = sampled
    beside = [tissues[1:][tissues[:-1] == LVC], tissues[:-1][tissues[1:] == LVC]]
    beside += [tissues[:, 1:][tissues[:, :-1] == LVC], tissues[:, :-1][tissues[:, 1:] == LVC]]
    around = np.bincount(np.concatenate(beside), minlength=23)
    around[LVC] = 0
    assert around[[LUNG, FAT, RVC, RA, PA, 0]].sum() <= 0.002 * around.sum()  # a voxel between the annuli
    assert around[LVM] > 0.6 * around.sum()
    assert around[LA] > 0 and around[AO] > 0


def test_chambers_have_the_drawn_sizes(sampled):
    anatomy, tissues = sampled
    sizes = anatomy.heart.sizes
    voxel_ml = STEP**3 / 1000 * np.linalg.det(anatomy.to_canonical)  # as before the patient was scaled
    for label, drawn in ((LVC, sizes.lv_cavity_ml), (LVM, sizes.lv_mass_g / 1.05), (RVC, sizes.rv_ml)):
        assert (tissues == label).sum() * voxel_ml == pytest.approx(drawn, rel=0.3)


def test_an_anatomy_is_the_same_on_any_grid(sampled):
    anatomy, _ = sampled
    fine = sample_parametric(anatomy, (60, 60, 60), (1.0,) * 3, (-30.0, -30.0, -40.0))
    coarse = sample_parametric(anatomy, (30, 30, 30), (2.0,) * 3, (-30.0, -30.0, -40.0))
    flipped = sample_parametric(anatomy, (60, 60, 60), (1.0,) * 3, (29.0, 29.0, -40.0), np.diag([-1.0, -1.0, 1.0]))
    assert (fine[::2, ::2, ::2] == coarse).float().mean() > 0.99
    assert (fine == flipped.flip(1, 2)).float().mean() > 0.99


def test_a_seed_draws_one_anatomy():
    sizes = [anatomies.draw("parametric", np.random.default_rng(s)).heart.sizes for s in (4, 4, 5)]
    assert sizes[0] == sizes[1] != sizes[2]
    with pytest.raises(ValueError, match="expected one of atlas, parametric"):
        anatomies.draw("phantom", np.random.default_rng(0))


def test_few_draws_already_span_the_papers_volumes():
    sizes = np.array([population.region_sizes("parametric", (population.POPULATION_SEED, i), 6.0) for i in range(12)])
    assert (sizes > 0).all()
    for (low, middle, high), column in zip(population.TABLE_3.values(), sizes.T, strict=True):
        assert column.min() < high and column.max() > low, middle
    assert population.covered(np.array([1.0, 10.0, 100.0]), 1.5, 50.0) == 1
    assert population.covered(np.array([20.0, 30.0]), 1.0, 10.0) == 0
    assert population.table(sizes).count("\n") == 11
