"""The trained network: its flow of planes equals the whole volume to the bit, labels of its logits their definition."""

import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from support import references
from whs_fast import _kernels as kernels
from whs_fast.cli import main
from whs_fast.errors import InputError, ModelError
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.networks.installed import models_folder
from whs_fast.reading.scan import read
from whs_fast.steps.region import REGION_SPACING_MM, WINDOW_HU
from whs_fast.volume import axis_aligned_grid, index_map, index_to_mm

SAMPLE = resources.files("whs_fast") / "data" / "sample.nii.gz"
SIDE = 128  # of a cube of input voxels
MODEL = models_folder() / "dense_vnet.xml"


@pytest.fixture(scope="module")
def region():
    """The middle of the shipped sample: the heart, where every layer has something to say."""
    sample = read(str(SAMPLE))
    middle = index_to_mm(sample.grid, tuple((n - 1) / 2 for n in sample.array.shape))
    out = np.empty((SIDE,) * 3, np.uint8)
    grid = axis_aligned_grid(middle, out.shape, REGION_SPACING_MM)
    kernels.resample_window(sample.array, out, index_map(grid, sample.grid), (1, 1, 1), *WINDOW_HU, threads=2)
    return out


@pytest.fixture(scope="module")
def whole(region):
    """Every layer as far as it goes in one step."""
    return DenseVNet(MODEL, threads=2, planes_per_step=SIDE)(region)


def test_the_logits_are_rich(whole):
    assert whole.shape == (SIDE // 2,) * 3 + (11,) and whole.dtype == np.int8
    assert len(np.unique(whole.argmax(-1))) >= 5


@pytest.mark.parametrize("planes_per_step", [1, 2, 7])
def test_a_flow_of_few_planes_equals_the_whole_to_the_bit(region, whole, planes_per_step):
    np.testing.assert_array_equal(DenseVNet(MODEL, threads=2, planes_per_step=planes_per_step)(region), whole)


@pytest.mark.parametrize("threads", [1, 4])
def test_any_number_of_threads_gives_the_same_bits(region, whole, threads):
    np.testing.assert_array_equal(DenseVNet(MODEL, threads=threads)(region), whole)


@pytest.mark.parametrize("instructions", kernels.instruction_sets())
def test_every_set_of_instructions_gives_the_same_bits(region, instructions, monkeypatch):
    part = np.ascontiguousarray(region[32:80, 32:96, 32:80])
    monkeypatch.setenv("WHS_FAST_INSTRUCTIONS", instructions)
    network = DenseVNet(MODEL, threads=4)
    np.testing.assert_array_equal(network(part), references.dense_vnet(network._layers, part))


def test_instructions_that_the_machine_lacks_are_refused_before_any_work(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WHS_FAST_INSTRUCTIONS", "sse9")
    with pytest.raises(InputError, match=r"WHS_FAST_INSTRUCTIONS is 'sse9'; this machine has .*portable"):
        DenseVNet(MODEL, threads=1)
    assert main(["run", str(SAMPLE), "-o", str(tmp_path / "out")]) == 2
    assert "WHS_FAST_INSTRUCTIONS is 'sse9'" in capsys.readouterr().err and not any(tmp_path.iterdir())


def test_a_file_that_is_no_network_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"gone\.xml: no such model file"):
        DenseVNet(tmp_path / "gone.xml", threads=1)
    other = shutil.copy(models_folder() / "squeezenet_axial.xml", tmp_path)
    shutil.copy(models_folder() / "squeezenet_axial.bin", tmp_path)
    short = shutil.copy(MODEL, tmp_path)
    (tmp_path / "dense_vnet.bin").write_bytes(MODEL.with_suffix(".bin").read_bytes()[:400_000])
    text = tmp_path / "text.xml"
    text.write_text("no graph")
    (tmp_path / "text.bin").touch()
    for file in (other, short, text):
        with pytest.raises(ModelError, match=rf"{Path(file).name}: does not hold the layers of a network"):
            DenseVNet(Path(file), threads=1)(np.zeros((8, 8, 8), np.uint8))


def turned(angle_rad, steps, shape):
    """Map from a grid of `shape` and uneven steps, tilted about two axes, to the middle of the region."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    linear = (
        np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.diag(steps)
    )
    return np.column_stack([linear, (SIDE - 1) / 2 - linear @ ((np.array(shape) - 1) / 2)])


@pytest.mark.parametrize("angle_rad", [0.0, 0.3], ids=["upright", "oblique"])
@pytest.mark.parametrize("steps", [(1.0, 1.0, 1.0), (3.1, 0.6, 0.9)], ids=["isotropic", "anisotropic"])
def test_labels_of_trained_logits_equal_their_integer_definition(whole, angle_rad, steps):
    shape = (60, 70, 80)
    matrix = turned(angle_rad, steps, shape)
    coarse = (whole // 8).astype(np.int8)  # the same surfaces with ties all along them
    for logits in (whole, coarse):
        out = np.empty(shape, np.uint8)
        kernels.upsample_argmax(logits, out, matrix, threads=2)
        np.testing.assert_array_equal(out, references.upsampled_argmax(logits, shape, matrix))
        assert len(np.unique(out)) >= 5
