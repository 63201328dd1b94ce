"""Drawn anatomies, their rendering and the crops of a training: skipped where torch is not installed."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")
ndimage = pytest.importorskip("scipy.ndimage")

from training import artefacts, crops, rendering  # noqa: E402
from training.deformation import ShapeRanges, draw_displacement, integrate, least_jacobian, stretch  # noqa: E402
from training.heart import (  # noqa: E402
    AO,
    LA,
    LUNG,
    LVC,
    LVM,
    NODE_MM,
    PV,
    RA,
    RVC,
    SPINE,
    SVC,
    VEINS,
    WALL,
    AnatomyRanges,
    draw_anatomy,
    load_atlas,
    sample_tissues,
)
from training.rendering import RenderingRanges, acquire, cut_field_of_view, draw_contrast, render  # noqa: E402
from training.train_dense_vnet import half_resolution_shares, loss_of  # noqa: E402
from training.variants import VariantRanges  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

BOX = (100, 90, 90), (2.5, 2.5, 2.5)


def sampled(seed, ranges=None, box=BOX):
    anatomy = draw_anatomy(np.random.default_rng([0, 5, seed]), load_atlas(), ranges)
    shape, spacing = box
    origin = np.array(anatomy.valve_mm) - np.array(spacing) * (np.array(shape[::-1]) - 1) / 2
    return sample_tissues(anatomy, shape, spacing, tuple(map(float, origin)))


def grid(nodes, node_mm):
    axes = [torch.arange(n, dtype=torch.float32) * node_mm - n * node_mm / 2 for n in nodes]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z])


@pytest.mark.parametrize("shape", [(7, 1, 12), (5, 9, 30), (40, 3, 8)])
def test_stretching_is_torchs_trilinear_interpolation(shape):
    coarse = torch.randn((2, 5, 3, 6), generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.interpolate(coarse[None], size=shape, mode="trilinear", align_corners=True)[0]
    torch.testing.assert_close(stretch(coarse, shape), expected)


@pytest.mark.parametrize("scale", [0.5, 1.3])
def test_the_jacobian_of_a_scaling_is_its_cube(scale):
    points = grid((6, 7, 8), 10.0)
    assert least_jacobian((scale - 1) * points, 10.0) == pytest.approx(scale**3, rel=1e-4)
    folded = points.clone()
    folded[0] *= -2
    assert least_jacobian(folded, 10.0) < 0


def test_the_flow_of_the_opposite_field_undoes_a_flow():
    points = grid((12, 12, 12), 8.0)
    velocity = torch.stack([torch.sin(points[1] / 20), torch.cos(points[2] / 25), torch.sin(points[0] / 22)]) * 6
    there, back = integrate(velocity, 8.0), integrate(-velocity, 8.0)
    landed = (points + there)[:, 3:-3, 3:-3, 3:-3]
    unit = (landed - points[:, :1, :1, :1]) / (8.0 * 11) * 2 - 1
    returned = torch.nn.functional.grid_sample(back[None], unit.permute(1, 2, 3, 0)[None], align_corners=True)[0]
    assert there.norm(dim=0).max() > 5
    assert (landed + returned - points[:, 3:-3, 3:-3, 3:-3]).norm(dim=0).max() < 0.25


@pytest.mark.parametrize("seed", range(6))
def test_deformations_never_fold(seed):
    anatomy = draw_anatomy(np.random.default_rng([0, 5, seed]), load_atlas())
    assert least_jacobian(anatomy.displacement[0, :3], NODE_MM) >= 0.1


def test_fields_that_fold_are_weakened():
    wild = ShapeRanges(noise=((30.0, 40.0),), places={})
    displacement = draw_displacement(np.random.default_rng(1), grid((20, 20, 20), 8.0), 8.0, wild)
    assert least_jacobian(displacement, 8.0) >= 0.1
    assert displacement.norm(dim=0).max() > 5


def pieces(mask):
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    return np.sort(np.bincount(labels.ravel())[1:])[::-1] if count else np.array([0])


@pytest.mark.parametrize("seed", range(8))
def test_chambers_are_whole_and_touch_at_their_valves(seed):
    tissues = sampled(seed, box=((130, 120, 120), (1.5, 1.5, 1.5))).numpy()
    for chamber in (LA, LVC, LVM, RA, RVC):
        sizes = pieces(tissues == chamber)
        assert sizes[0] > 0.97 * sizes.sum(), chamber
    for one, other in ((LA, LVC), (LVC, AO), (RA, RVC)):
        assert (ndimage.binary_dilation(tissues == one) & (tissues == other)).sum() > 20, (one, other)
    # Blood of the left ventricle meets nothing but muscle and the blood beyond its valves.
    around = ndimage.binary_dilation(tissues == LVC) & (tissues != LVC)
    assert np.isin(tissues[around], [LVM, LA, AO, WALL]).mean() > 0.99


def test_a_hidden_vein_is_gone_and_the_atrium_closed():
    one = AnatomyRanges(variants=VariantRanges(hidden_vein=0, common_left_trunk=0, middle_vein=0, papillary=0))
    none = replace(one, variants=replace(one.variants, hidden_vein=1.0))
    atlas = load_atlas()
    drawn, hidden = (draw_anatomy(np.random.default_rng(3), atlas, ranges).atlas.tissues for ranges in (one, none))
    assert (drawn == PV).sum() == (atlas.tissues == PV).sum()
    assert (hidden == PV).sum() < 0.05 * (drawn == PV).sum()
    beside = ndimage.binary_dilation((hidden == LA).numpy()) & (hidden != LA).numpy()
    assert (hidden.numpy()[beside] == LUNG).mean() < 0.01


def test_a_middle_vein_adds_to_the_four():
    four = VariantRanges(hidden_vein=0, common_left_trunk=0, middle_vein=0, papillary=0)
    atlas = load_atlas()
    counts = [
        int((draw_anatomy(np.random.default_rng(3), atlas, AnatomyRanges(variants=v)).atlas.tissues == PV).sum())
        for v in (four, replace(four, middle_vein=1.0), replace(four, common_left_trunk=1.0))
    ]
    assert counts[1] > counts[0] + 200 and counts[2] > counts[0] + 200


def test_contrast_stays_in_its_bounds():
    ranges = RenderingRanges(contrast_hu=(400.0, 400.0), phases=(("left", 1.0),))
    drawn = [draw_contrast(np.random.default_rng(seed), ranges)[0] for seed in range(40)]
    left = np.array([hu[[LA, LVC, AO]] for hu in drawn])
    assert abs(left.mean() - 400) < 15
    assert np.mean([hu[RA] < hu[LA] for hu in drawn]) > 0.9
    native = draw_contrast(np.random.default_rng(0), RenderingRanges(phases=(("none", 1.0),)))[0]
    assert native[:11].max() < 100


def scanner(seed=0, **bounds):
    fixed = RenderingRanges(sharp=0.0, kernel_mm=(0.3, 0.3), slice_mm=(0.4, 0.4), noise_hu=(1e-3, 1e-3))
    ranges = replace(fixed, **{name: (value, value) for name, value in bounds.items()})
    edge = torch.zeros((64, 48, 48))
    edge[32:] = 1000
    out = acquire(edge, (1.0, 1.0, 1.0), np.random.default_rng(seed), torch.Generator().manual_seed(seed), ranges)
    return out - edge if "noise_hu" in bounds else out


def test_noise_has_the_asked_sd():
    for sd in (10.0, 80.0):
        assert float(scanner(noise_hu=sd)[5:25].std()) == pytest.approx(sd, rel=0.1)


def test_thick_slices_blur_along_z_only():
    def width(profile):
        return float(((profile > 100) & (profile < 900)).sum())

    thin, thick = (scanner(slice_mm=value) for value in (0.4, 3.0))
    assert width(thin[:, 24, 24]) <= 2 < width(thick[:, 24, 24])
    assert float((thick[5] - thin[5]).abs().max()) < 1


def test_sharp_kernels_overshoot():
    edge = torch.zeros((8, 48, 48))
    edge[:, 24:] = 1000
    out = [
        acquire(
            edge.clone(), (1.0, 1.0, 1.0), np.random.default_rng(0), torch.Generator().manual_seed(0),
            RenderingRanges(sharp=sharp, sharpening=(1.0, 1.0), noise_hu=(1e-3, 1e-3)),
        )
        for sharp in (0.0, 1.0)
    ]  # fmt: skip
    assert out[0].max() < 1001 < 1030 < out[1].max()


def test_fields_of_view_have_the_asked_size():
    image = torch.zeros((300, 300, 300))
    ranges = RenderingRanges(field_mm=(160.0, 160.0))
    for seed in range(12):
        inside = cut_field_of_view(image, (1.0, 1.0, 1.0), (150.0, 150.0, 150.0), np.random.default_rng(seed), ranges)
        extent = [int(inside.flatten(1).any(1).sum()), int(inside[150].any(1).sum())]
        assert extent[0] == 160 and extent[1] <= 160
        assert inside[150, 150, 150]


@pytest.fixture(scope="module")
def heart():
    return sampled(2, box=((96, 96, 96), (2.0, 2.0, 2.0)))


def painted(heart, paint):
    image = torch.zeros(heart.shape)
    paint(image, np.random.default_rng(1), torch.Generator().manual_seed(1))
    return image


def test_a_lead_runs_from_the_cava_to_the_ventricle(heart):
    image = painted(heart, lambda image, *random: artefacts.place_lead(image, heart, (2.0, 2.0, 2.0), *random))
    metal = image > 900
    assert all((metal & (heart == label)).any() for label in (SVC, RA, RVC))
    assert pieces(metal.numpy())[0] > 0.8 * int(metal.sum())
    assert 5 < int(metal.sum()) * 0.008 * 1000 < 12000  # mm^3


def test_calcium_lies_at_its_valve(heart):
    image = painted(
        heart,
        lambda image, *random: artefacts.alter_valve(image, heart, (LVC, AO), False, (2.0, 2.0, 2.0), *random),
    )
    calcium = (image > 400).numpy()
    assert calcium.any() and np.isin(heart.numpy()[calcium], [LVC, AO]).all()
    between = ndimage.distance_transform_edt((heart != LVC).numpy()) + ndimage.distance_transform_edt(
        (heart != AO).numpy()
    )
    assert between[calcium].max() * 2 < 20


def test_effusion_fills_the_back_of_the_lungs(heart):
    image = torch.full(heart.shape, -800.0)
    artefacts.add_effusion(image, heart, np.random.default_rng(0))
    fluid = image > -100
    assert fluid.any() and bool((heart[fluid] == LUNG).all())
    rows = torch.arange(96)[None, :, None].expand_as(fluid)
    assert rows[fluid].float().mean() > rows[(heart == LUNG) & ~fluid].float().mean()


def test_slabs_move_in_plane_and_carry_their_labels(heart):
    moved = artefacts.shift_slabs(heart, (2.0, 2.0, 2.0), np.random.default_rng(4))
    changed = (moved != heart).flatten(1).any(1)
    assert changed.any() and not changed.all()
    assert (moved != heart).float().mean() < 0.2


def test_rendering_repeats_with_all_artefacts(heart):
    everything = RenderingRanges(
        unmixed=1, dense_inflow=1, streaks=1, motion=1, lead=1, valve_calcium=1, prosthesis=1, effusion=1,
        odd_surroundings=1, compact_bone=1,
    )  # fmt: skip
    one, two = (render(heart, (2.0, 2.0, 2.0), np.random.default_rng(9), everything) for _ in range(2))
    assert torch.equal(one, two) and torch.isfinite(one).all()


def test_bone_is_compact_around_its_marrow_and_vertebrae_have_discs_between():
    tissues = torch.zeros((80, 30, 30), dtype=torch.uint8)
    tissues[:, 5:25, 5:25] = SPINE
    image = torch.zeros(tissues.shape)
    rendering._draw_bone(image, tissues, (1.0, 1.0, 1.0), np.random.default_rng(3))
    assert not image[tissues == 0].any()
    middle, edge = image[:, 15, 15], image[:, 15, 5]
    discs = middle > 0
    assert 0.05 < discs.float().mean() < 0.5 and (discs[1:] != discs[:-1]).sum() >= 3
    assert edge[~discs].min() >= 250 and middle[~discs].max() == 0 and 40 <= middle[discs].min() <= 130


def test_dense_blood_comes_from_above():
    tissues = torch.zeros((60, 10, 10), dtype=torch.uint8)
    tissues[:, :3], tissues[20:50, 5:8] = VEINS, SVC
    image = torch.zeros(tissues.shape)
    rendering._fill_upper_veins(image, tissues, 1000.0, (1.0, 1.0, 1.0), np.random.default_rng(1))
    assert image[34:, :3].min() >= 700 and image.count_nonzero() == 26 * 3 * 10
    without = torch.where(tissues == SVC, 0, tissues)
    image.zero_()
    rendering._fill_upper_veins(image, without, 1000.0, (1.0, 1.0, 1.0), np.random.default_rng(1))
    assert not image.any()


def test_crops_repeat_and_hold_structures(monkeypatch):
    one, two = (crops.draw_crop(np.random.default_rng([0, 1, 2]), 64, 3.0) for _ in range(2))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
    assert one[0].dtype == one[1].dtype == torch.uint8 and int(one[1].max()) <= 10
    monkeypatch.setattr(crops, "draw_right_heart", lambda tissues, *_: torch.zeros(tissues.shape))
    plain = crops.draw_crop(np.random.default_rng([0, 1, 2]), 64, 3.0)
    assert torch.equal(one[1], plain[1])  # what stands in the right heart changes no label and no other draw
    right = ((plain[1] == RA) | (plain[1] == RVC)).numpy()
    away = ndimage.distance_transform_edt(~right, sampling=(3.0, 2.1, 2.1))
    changed = (one[0] != plain[0]).numpy()
    assert changed[right].any() and not changed[away > 30].any()


def test_scales_are_even_in_their_logarithm():
    rng = np.random.default_rng(0)
    drawn = np.array([crops.draw_scale(rng, (0.85, 2.2)) for _ in range(2000)])
    assert drawn.min() >= 0.85 and drawn.max() <= 2.2
    assert np.mean(drawn < np.sqrt(0.85 * 2.2)) == pytest.approx(0.5, abs=0.04)


def test_chances_of_hard_crops_add_to_one():
    assert sum(chance for chance, _ in crops.HARD_MM.values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def pair():
    generator = torch.Generator().manual_seed(2)
    structures = torch.randint(0, 11, (1, 16, 16, 16), generator=generator, dtype=torch.uint8)
    return torch.randn((1, 11, 8, 8, 8), generator=generator), structures


def test_with_all_labelled_the_marginal_loss_is_the_loss(pair):
    logits, structures = pair
    shares = half_resolution_shares(structures)
    assert torch.equal(loss_of(logits, shares)[0], loss_of(logits, shares, torch.ones(1, 11, dtype=torch.bool))[0])


def test_the_marginal_loss_is_that_of_merged_probabilities(pair):
    logits, structures = pair
    labelled = torch.zeros(1, 11, dtype=torch.bool)
    labelled[:, [0, 5, 10]] = True
    known = torch.where((structures == 5) | (structures == 10), structures, 0)
    p = logits.softmax(1)
    p[:, 0] += p[:, [1, 2, 3, 4, 6, 7, 8, 9]].sum(1)
    p[:, [1, 2, 3, 4, 6, 7, 8, 9]] = 0
    shares = half_resolution_shares(known)
    cross = -(shares * p.clamp_min(1e-30).log()).sum(1).mean()
    axes = (0, 2, 3, 4)
    dice = (2 * (p * shares).sum(axes) + 1) / ((p * p).sum(axes) + (shares * shares).sum(axes) + 1)
    expected = cross + 1 - dice[[0, 5, 10]].mean()
    loss, found = loss_of(logits, shares, labelled)
    torch.testing.assert_close(loss, expected)
    assert torch.isnan(found).nonzero().ravel().tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
