"""Blocks that are drawn once and trained on several times. Needs the `train` extra."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training import crop_pool  # noqa: E402

SMALL = ((16, (1.2, 1.9)), (24, (0.85, 1.25)))


def write(folder: Path, number: int, source: str, side: int) -> None:
    np.save(folder / f"{number:06d}_{source}.npy", np.full((2, side, side, side), number, np.uint8))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crop_pool, "KINDS", SMALL)
    monkeypatch.setattr(crop_pool, "FEWEST", 1)


def test_a_training_sees_the_sources_that_it_names(tmp_path: Path, small: None) -> None:
    for number, (source, side) in enumerate([("atlas", 16), ("toronto", 16), ("atlas", 24), ("toronto", 24)]):
        write(tmp_path, number, source, side)
    pool = crop_pool.CropPool(tmp_path, ["atlas"], "cpu", 1.0, (1, 0))
    batches = pool.batches((16, 16), 1)
    seen = {int(s[0, 0, 0, 0]) for _, (_, s, _) in zip(range(8), batches, strict=False)}
    assert seen == {0, 2}


def test_the_oldest_blocks_leave_first(tmp_path: Path, small: None) -> None:
    for number in range(6):
        write(tmp_path, number, "atlas", 16)
    pool = crop_pool.CropPool(tmp_path, ["atlas"], "cpu", 2 * 3 * 2 * 16**3 / 2**30, (1, 0))
    pool.look()
    assert [int(block[0, 0, 0, 0]) for block in pool.blocks[16]] == [3, 4, 5]


def test_a_batch_has_as_many_voxels_whatever_its_kind(tmp_path: Path, small: None) -> None:
    for number in range(32):
        write(tmp_path, number, "atlas", SMALL[number % 2][0])
    batches = crop_pool.CropPool(tmp_path, ["atlas"], "cpu", 1.0, (1, 0)).batches((8, 16), 2)
    shapes = [next(batches)[0].shape for _ in range(crop_pool.COARSE_EVERY)]
    assert shapes == [(16, 8, 8, 8)] + [(2, 16, 16, 16)] * (crop_pool.COARSE_EVERY - 1)


def test_crops_lie_anywhere_in_their_blocks_and_structures_with_them(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop_pool, "alter", lambda images, _: images)
    for number, side in enumerate((16, 24)):
        places = np.stack(np.meshgrid(*[np.arange(side, dtype=np.uint8)] * 3, indexing="ij")).sum(0)
        np.save(tmp_path / f"{number}_atlas.npy", np.stack([places + 100, places]).astype(np.uint8))
    batches = crop_pool.CropPool(tmp_path, ["atlas"], "cpu", 1.0, (1, 0)).batches((8, 8), 4)
    next(batches)
    image, structures, _ = next(batches)
    assert len({int(one[0, 0, 0]) for one in structures}) > 1
    assert torch.equal(image, structures + 100)


def test_air_stays_air_and_the_rest_changes() -> None:
    images = torch.randint(1, 256, (3, 12, 12, 12), dtype=torch.uint8)
    images[:, :4] = 0
    altered = crop_pool.alter(images, torch.Generator().manual_seed(1))
    assert altered.dtype == torch.uint8
    assert not altered[:, :4].any()
    assert (altered[:, 5:] != images[:, 5:]).float().mean() > 0.2
    assert (altered[:, 6:].float() - images[:, 6:].float()).abs().mean() < 80


def test_drawn_blocks_are_those_of_their_numbers(tmp_path: Path, small: None) -> None:
    crop_pool.draw_part(tmp_path, ["parametric"], 7, 1, 2, 0.02)
    files = sorted(tmp_path.glob("*.npy"))
    assert files[0].name == "000001_parametric.npy"
    crop = np.load(files[0])
    assert crop.dtype == np.uint8 and crop.shape[0] == 2 and crop[1].max() <= 10
    again = tmp_path / "again"
    again.mkdir()
    crop_pool.draw_part(again, ["parametric"], 7, 1, 2, 0.001)
    np.testing.assert_array_equal(np.load(again / files[0].name), crop)
    drawn = files[0].stat().st_mtime_ns
    crop_pool.draw_part(tmp_path, ["parametric"], 7, 1, 2, 0.005)
    assert files[0].stat().st_mtime_ns == drawn  # it goes on with those that are not there
    assert len(list(tmp_path.glob("*.npy"))) > len(files)
