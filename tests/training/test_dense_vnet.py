"""Anatomies, rendering, a tiny training with resume, and the export: skipped where torch is not installed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from whs_fast.networks.dense_vnet import DenseVNet as Integers  # noqa: E402

from training import crops, export_dense_vnet, scans, train_dense_vnet  # noqa: E402
from training.heart import ATLAS_VALVE_MM, LVM, _atlas_points, draw_anatomy, load_atlas, sample_tissues  # noqa: E402
from training.networks import DenseVNet  # noqa: E402
from training.rendering import render  # noqa: E402

REPOSITORY = Path(__file__).parents[2]
CHECKPOINT = REPOSITORY / "training" / "checkpoints" / "dense_vnet.pt"


def drawn(seed):
    return draw_anatomy(np.random.default_rng(seed), load_atlas())


@pytest.mark.parametrize("seed", range(5))
def test_the_valve_of_an_anatomy_maps_to_that_of_the_atlas(seed):
    anatomy = drawn(seed)
    there = _atlas_points(anatomy, torch.tensor([anatomy.valve_mm], dtype=torch.float64))[0][0].numpy()
    np.testing.assert_allclose(there, ATLAS_VALVE_MM, atol=0.05)


def test_an_anatomy_is_the_same_on_any_grid():
    """Every second voxel of a grid is the grid of twice the spacing, but for voxels on a border of tissues."""
    anatomy = drawn(1)
    fine = sample_tissues(anatomy, (80, 80, 80), (1.0, 1.0, 1.0), (-40.0, -40.0, -40.0))
    coarse = sample_tissues(anatomy, (40, 40, 40), (2.0, 2.0, 2.0), (-40.0, -40.0, -40.0))
    assert (fine[::2, ::2, ::2] == coarse).float().mean() > 0.97


def test_a_flipped_direction_flips_the_tissues():
    anatomy = drawn(2)
    spacing, origin = (2.0, 2.0, 2.0), (-60.0, -50.0, -40.0)
    upright = sample_tissues(anatomy, (40, 50, 60), spacing, origin)
    flipped = sample_tissues(
        anatomy, (40, 50, 60), spacing, (-60.0 + 2 * 59, -50.0 + 2 * 49, -40.0), np.diag([-1.0, -1.0, 1.0])
    )
    assert (upright == flipped.flip(1, 2)).float().mean() > 0.97


def test_all_ten_structures_are_drawn_and_vary():
    volumes = []
    for seed in range(6):
        tissues = sample_tissues(drawn(seed), (120, 100, 100), (2.5, 2.5, 2.5), (-125.0, -125.0, -150.0))
        volumes.append(np.bincount(tissues.numpy().ravel(), minlength=23)[1:11])
    assert (np.array(volumes) > 0).all()
    assert (np.std(volumes, axis=0) / np.mean(volumes, axis=0) > 0.05).all()


def test_rendering_repeats_with_its_seed_and_only_with_it():
    tissues = sample_tissues(drawn(0), (40, 40, 40), (3.0, 3.0, 3.0), (-60.0, -60.0, -60.0))
    first, again, other = (render(tissues, (3.0, 3.0, 3.0), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.isfinite(first).all()
    assert (tissues == LVM).any()


def test_shares_are_those_of_the_voxels_of_a_block():
    structures = torch.zeros((1, 4, 4, 4), dtype=torch.uint8)
    structures[0, 0, :2, :2], structures[0, 1, 0, 0] = 3, 7
    shares = train_dense_vnet.half_resolution_shares(structures)
    assert shares[0, :, 0, 0, 0].tolist() == [3 / 8, 0, 0, 4 / 8, 0, 0, 0, 1 / 8, 0, 0, 0]
    assert torch.equal(shares.sum(1), torch.ones(1, 2, 2, 2))


def test_the_window_is_the_engines():
    hu = torch.tensor([-1024.0, -300, -297.9, 250, 800, 3000])
    assert crops.to_window(hu).tolist() == [0, 0, 0, 128, 255, 255]


def test_seeds_of_training_and_of_held_out_scans_never_meet():
    assert len({train_dense_vnet.TRAINING_SEED, scans.HELD_OUT_SEED, export_dense_vnet.CALIBRATION_SEED}) == 3
    assert scans.SAMPLE_SEED >= scans.HELD_OUT_SCANS


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    command = [sys.executable, "-m", "training.train_dense_vnet", "--out", str(folder), "--sides", "32", "32"]
    command += ["--threads", "2", "--workers", "0"]
    subprocess.run([*command, "--steps", "2", "0"], cwd=REPOSITORY, check=True)
    (folder / "validation.csv").write_text("")  # what is left where a process is killed before its first flush
    resumed = [*command, "--steps", "2", "2", "--validate-every", "1", "--resume"]
    subprocess.run(resumed, cwd=REPOSITORY, check=True)
    return folder


def test_training_resumes_where_it_stopped(run_folder):
    steps = [line.split(",")[0] for line in (run_folder / "log.csv").read_text().splitlines()]
    assert steps == ["step", "0", "1", "2", "3"]
    assert torch.load(run_folder / "checkpoint.pt", weights_only=True)["step"] == 4
    checked = [line.split(",")[0] for line in (run_folder / "validation.csv").read_text().splitlines()]
    assert checked == ["step", "3", "4"]


@pytest.fixture(scope="module")
def trained():
    return train_dense_vnet.load_averaged(CHECKPOINT).eval()


@pytest.fixture(scope="module")
def region():
    return crops.draw_crop(np.random.default_rng(8), 64, 1.0)[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The export command on few crops, large enough (112, not 96) that the range of every layer is in them."""
    folder = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-m", "training.export_dense_vnet", str(CHECKPOINT), "--out", str(folder)]
    subprocess.run([*command, "--crops", "4", "--side", "112"], cwd=REPOSITORY, check=True)
    return folder / "dense_vnet.xml"


def test_the_integers_give_the_labels_of_torch(exported, region, trained):
    with torch.no_grad():
        expected = trained(region[None, None].float() / 255)[0].permute(1, 2, 3, 0).numpy()
    found = Integers(exported, threads=2)(np.ascontiguousarray(region.numpy())).astype(float)
    inside = np.abs(found) < 120  # the integers end at -128 and 127: where they do they only say that it is much
    assert inside.mean() > 0.3
    assert np.corrcoef(found[inside], expected[inside])[0, 1] > 0.999
    assert (found.argmax(-1) == expected.argmax(-1)).mean() > 0.97


def test_the_export_keeps_what_float_computes():
    """Scales that differ between concatenated parts, zeros that are not 0 and biases all end up in the right place."""
    torch.manual_seed(3)
    model = DenseVNet().eval()
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
            norm.bias.data.normal_(0, 0.3)
    crops = torch.randint(0, 256, (2, 1, 48, 48, 48), dtype=torch.uint8)
    layers = export_dense_vnet.quantise(model, crops)
    with torch.no_grad():
        expected = model(crops[:1].float() / 255)[0].permute(1, 2, 3, 0).numpy()
    file = Path("dense_vnet.xml")
    assert set(layers) >= {"pool", "entry", "stack_3.10", "skip_1", "down_2", "last"}
    with tempfile.TemporaryDirectory() as folder:
        export_dense_vnet.write(layers, Path(folder) / file)
        found = Integers(Path(folder) / file, threads=2)(crops[0, 0].numpy()).astype(float)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_dense_vnet_has_the_parameters_and_grids_of_the_design():
    model = DenseVNet().eval()
    assert sum(p.numel() for p in model.parameters()) == 880_298
    with torch.no_grad():
        assert model(torch.zeros(1, 1, 32, 40, 48)).shape == (1, 11, 16, 20, 24)
