"""Walls, mixing blood and small vessels that are drawn on any grid, and the choice of the fastest way to train."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ndimage = pytest.importorskip("scipy.ndimage")

from training import details, speed  # noqa: E402
from training.heart import FAT, LA, LIVER, LVC, LVM, RA, RVC, SPINE, VEINS, WALL  # noqa: E402

SPACING = (0.8, 0.8, 1.0)


def ball(radius_mm, label, around=FAT, shape=(64, 72, 72)):
    axes = [(torch.arange(n) - n / 2) * s for n, s in zip(shape, SPACING[::-1], strict=True)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    radius = (x.square() + y.square() + z.square()).sqrt()
    return torch.where(radius < radius_mm, label, around).to(torch.uint8), radius


@pytest.mark.parametrize("pool", [RA, RVC, LA])
@pytest.mark.parametrize("before", [0.0, 6.0])
def test_a_pool_gets_a_wall_within_its_bounds_however_thick_it_was(pool, before):
    tissues, radius = ball(15, pool)
    tissues[(radius >= 15) & (radius < 15 + before)] = WALL
    blood = tissues == pool
    details.redraw_walls(tissues, SPACING, np.random.default_rng(3), torch.Generator().manual_seed(3))
    assert torch.equal(tissues == pool, blood)
    shell = (tissues == WALL).sum() * np.prod(SPACING) / (4 * np.pi * 16**2)
    low, high = details.WALL_MM[pool]
    assert 0.5 * low < shell < 1.6 * high + 0.5
    assert (tissues[radius > 15 + 1.6 * high + 1.5] == FAT).all()


def test_walls_take_nothing_but_what_yields():
    tissues, radius = ball(15, LVC, LVM)
    tissues[radius > 17] = SPINE
    before = tissues.clone()
    details.redraw_walls(tissues, SPACING, np.random.default_rng(1), torch.Generator().manual_seed(1))
    assert torch.equal(tissues, before)


def test_blood_mixes_across_a_mouth_and_nowhere_else():
    tissues = torch.full((64, 32, 32), FAT, dtype=torch.uint8)
    tissues[:32, 8:24, 8:24], tissues[32:, 8:24, 8:24] = VEINS, RA
    image = torch.where(tissues == VEINS, 60.0, torch.where(tissues == RA, 400.0, -90.0))
    details.mix_blood(image, tissues, 16.0, SPACING)
    assert (image[tissues == FAT] == -90).all()
    along = image[:, 16, 16]
    assert along[0] == pytest.approx(60, abs=1) and along[-1] == pytest.approx(400, abs=1)
    assert 150 < along[32] < 320
    assert along.diff().min() > -1


def test_blood_mixes_in_a_volume_smaller_than_its_reach():
    tissues = torch.full((8, 12, 16), RA, dtype=torch.uint8)
    tissues[:4] = VEINS
    image = torch.where(tissues == RA, 400.0, 60.0)
    details.mix_blood(image, tissues, 30.0, SPACING)
    assert image.min() > 59.99 and image.max() < 400.01


def test_vessels_stay_where_they_may_be_and_take_little_room():
    tissues, _ = ball(24, LIVER)
    image = torch.zeros(tissues.shape)
    details.draw_vessels(image, tissues == LIVER, 3.0, 300.0, SPACING, torch.Generator().manual_seed(2))
    assert (image[tissues != LIVER] == 0).all()
    share = (image == 300).sum() / (tissues == LIVER).sum()
    assert 0.002 < share < 0.2


def test_the_fastest_way_is_the_one_that_takes_least(monkeypatch, capsys):
    def seconds(model, batch, way):
        return {True: 3.0, False: 2.0}[way.bfloat16] + (way.memory_format == torch.contiguous_format)

    monkeypatch.setattr(speed, "_seconds", seconds)
    way = speed.fastest_way(torch.nn.Conv3d(1, 1, 1), torch.zeros(1, 1, 4, 4, 4), "cpu")
    assert (way.bfloat16, way.memory_format) == (False, torch.channels_last_3d)
    assert capsys.readouterr().out.count("taken") == 1


def test_every_way_is_tried_with_a_copy():
    model = torch.nn.Conv3d(1, 2, 3)
    speed.fastest_way(model, torch.rand(1, 1, 8, 8, 8), "cpu")
    assert all(p.grad is None for p in model.parameters())
