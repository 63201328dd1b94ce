"""Slices of drawn thoraces, one step of training, and the export of a slice regressor. Needs the `train` extra."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from whs_fast.reading.scan import read
from whs_fast.steps.localise import cut_slices

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")
ov = pytest.importorskip("openvino")

from training.export_localisers import MODELS, SliceReader, convert, export_localiser, recover  # noqa: E402
from training.localisers import (  # noqa: E402
    AXES,
    BACKBONES,
    SIDE,
    Thorax,
    alter_batch,
    draw_slice,
    fit_to_side,
    load_thorax,
    load_trained,
    save_thorax,
    slice_loss,
)
from training.networks import load_imagenet, squeezenet, vgg16  # noqa: E402
from training.speed import Way  # noqa: E402
from training.train_localisers import chances_of, draw_batch, train  # noqa: E402

VALVE = np.array([22.25, 30.5, 41.75])


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two thoraces in which the brightness of a voxel tells its place."""
    folder = tmp_path_factory.mktemp("pool")
    for number in range(2):
        z, y, x = np.indices((60, 70, 80))
        image = (40 + z + 0.5 * y + 0.25 * x + 10 * number).astype(np.uint8)
        save_thorax(Thorax(image, VALVE), folder / f"0_{number:05d}.npy")
    return folder


def test_a_thorax_is_read_as_it_was_written(pool: Path) -> None:
    thorax = load_thorax(pool / "0_00001.npy")
    np.testing.assert_allclose(thorax.valve, VALVE, atol=1e-6)
    assert thorax.image.shape == (60, 70, 80)
    assert thorax.image[3, 2, 8] == 40 + 3 + 1 + 2 + 10


@pytest.mark.parametrize("axis", AXES)
def test_the_distance_is_that_of_the_plane_to_the_valve(pool: Path, axis: str) -> None:
    thorax = load_thorax(pool / "0_00000.npy")
    array_axis = 2 - AXES.index(axis)
    image, told = draw_slice(thorax, axis, np.random.default_rng(1), position=10)
    assert image.shape == (SIDE, SIDE)
    assert told[0] == pytest.approx((10 - VALVE[array_axis]) * 2.0)


@pytest.mark.parametrize("axis", AXES)
def test_the_place_of_the_valve_follows_all_that_is_done_to_a_slice(axis: str) -> None:
    """A bright cube around the valve is where the slice is said to show it, cut, zoomed and turned as it may be."""
    image = np.full((60, 70, 80), 60, np.uint8)
    image[20:25, 28:33, 39:44] = 250
    thorax = Thorax(image, np.array([22.0, 30.0, 41.0]))
    rng, across = np.random.default_rng(5), 2 - AXES.index(axis)
    for seed in range(20):
        zoomed = seed % 2 == 1
        drawn, told = draw_slice(thorax, axis, rng, position=int(thorax.valve[across]), zoomed=zoomed)
        assert told[0] == 0
        slices = torch.nn.functional.avg_pool2d(torch.from_numpy(drawn)[None, None].float() / 255, 2)
        altered, places = alter_batch(slices, torch.from_numpy(told[None, 1:]), torch.Generator().manual_seed(seed))
        bright = np.argwhere(altered[0, 0].numpy() > 0.5)
        np.testing.assert_allclose((bright.mean(axis=0) - 47.5) * 4.0, places[0], atol=2.5)
        assert np.ptp(bright, axis=0).min() >= (3 if zoomed else 1)  # 10 mm


@pytest.mark.parametrize("axis", AXES)
def test_the_valve_stays_in_the_field_of_view(pool: Path, axis: str) -> None:
    """Whatever is cut, some of the body stays: the field always holds the valve."""
    thorax = load_thorax(pool / "0_00000.npy")
    for seed in range(50):
        image, _ = draw_slice(thorax, axis, np.random.default_rng(seed))
        assert (image > 0).sum() > 200


@pytest.mark.parametrize("shape", [(60, 80), (192, 192), (300, 50), (193, 251)])
def test_a_plane_is_centred_in_its_frame(shape: tuple[int, int]) -> None:
    plane: NDArray[np.uint8] = np.full(shape, 7, np.uint8)
    image, middle = fit_to_side(plane, ((shape[0] - 1) / 2, (shape[1] - 1) / 2))
    np.testing.assert_allclose(middle, (np.array(shape) - 1) / 2, atol=0.5)
    assert (image == 7).sum() == min(shape[0], SIDE) * min(shape[1], SIDE)
    rows, columns = np.nonzero(image)
    assert abs(rows.min() - (SIDE - 1 - rows.max())) <= 1
    assert abs(columns.min() - (SIDE - 1 - columns.max())) <= 1


def test_a_frame_beside_the_plane_is_air() -> None:
    image, _ = fit_to_side(np.full((20, 20), 9, np.uint8), (400.0, -400.0))
    assert not image.any()


def test_batches_are_drawn_from_their_seed(pool: Path) -> None:
    thoraces = [load_thorax(f) for f in sorted(pool.glob("*.npy"))]
    one, told, _ = draw_batch(thoraces, "axial", 4, np.random.default_rng(3))
    two, _, _ = draw_batch(thoraces, "axial", 4, np.random.default_rng(3))
    other, _, _ = draw_batch(thoraces, "axial", 4, np.random.default_rng(4))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.shape == (4, 1, SIDE // 2, SIDE // 2)
    assert told.shape == (4, 3)
    assert 0 <= one.min() <= one.max() <= 1


def test_thoraces_that_are_read_badly_are_drawn_more_often(pool: Path) -> None:
    chances = chances_of(np.array([1.0, 1.0, 2.0, 40.0]))
    assert chances.sum() == pytest.approx(1)
    assert chances[0] == chances[1] <= chances[2] < chances[3] <= 6 * chances[0]
    thoraces = [load_thorax(f) for f in sorted(pool.glob("*.npy"))]
    _, _, chosen = draw_batch(thoraces, "axial", 6, np.random.default_rng(3), np.array([0.0, 1.0]))
    assert (chosen == 1).all()


def test_air_stays_air() -> None:
    altered, _ = alter_batch(torch.zeros(8, 1, SIDE, SIDE), torch.zeros(8, 2), torch.Generator().manual_seed(0))
    assert not altered.any()


def test_the_loss_weighs_slices_near_the_valve_more() -> None:
    """Columns are absolute and signed distance, row and column; beyond 150 mm nothing more is asked for."""

    def loss(told: list[float], wanted: list[float]) -> float:
        return slice_loss(torch.tensor([told]), torch.tensor([wanted])).item()

    near = loss([10.0, 0.0, 5.0, 5.0], [0.0, 5.0, 5.0])
    far = loss([110.0, -100.0, 5.0, 5.0], [-100.0, 5.0, 5.0])
    assert near == pytest.approx(1.0)
    assert 0 < far < 0.5 * near
    assert loss([20.0, 20.0, 0.0, 0.0], [-20.0, 0.0, 0.0]) > 0
    assert loss([20.0, -20.0, 8.0, -9.0], [-20.0, 8.0, -9.0]) == 0
    assert loss([150.0, 150.0, 0.0, 0.0], [190.0, 0.0, 0.0]) == 0
    beside = loss([0.0, 0.0, 10.0, 0.0], [0.0, 0.0, 0.0])
    assert 0 < loss([100.0, 100.0, 10.0, 0.0], [100.0, 0.0, 0.0]) < 0.2 * beside
    assert loss([0.0, 0.0, 0.0, 100.0], [0.0, 0.0, 0.0]) < 20 * beside  # by its distance, not by its square


@pytest.mark.parametrize("backbone", BACKBONES)
def test_one_step_changes_the_weights_and_goes_on_from_its_checkpoint(
    pool: Path, tmp_path: Path, backbone: str
) -> None:
    checkpoint = train(pool, tmp_path, backbone, "axial", minutes=1, steps=1, batch=2)
    first = torch.load(checkpoint, weights_only=True)
    assert first["step"] == 1
    train(pool, tmp_path, backbone, "axial", minutes=1, steps=2, batch=2)
    second = torch.load(checkpoint, weights_only=True)
    assert second["step"] == 2
    assert any(not torch.equal(second["model"][k], v) for k, v in first["model"].items())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_what_ships_has_a_file_under_5_mb(backbone: str) -> None:
    """A byte a weight, and half as much again for all else."""
    assert 1.3 * sum(p.numel() for p in BACKBONES[backbone]().parameters()) <= 5_000_000


def test_the_published_widths_build() -> None:
    assert vgg16(1.0).eval()(torch.zeros(1, 1, 96, 96)).shape == (1, 4)
    convolutions = [m for m in vgg16(1.0).modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m.out_channels for m in convolutions[:13]] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6


def test_imagenet_weights_are_taken_with_the_colours_summed() -> None:
    network = squeezenet()
    layers = [m for m in network.features.modules() if isinstance(m, torch.nn.Conv2d)]
    weights = {f"features.{i}.weight": torch.randn_like(m.weight) for i, m in enumerate(layers)}
    weights["features.0.weight"] = torch.randn(64, 3, 3, 3)
    weights["classifier.1.weight"] = torch.randn(1000, 512, 1, 1)
    load_imagenet(network, weights)
    torch.testing.assert_close(layers[0].weight[:, 0], weights["features.0.weight"].sum(1))
    torch.testing.assert_close(layers[9].weight, weights["features.9.weight"])
    with pytest.raises(ValueError, match="found 25 convolutions"):
        load_imagenet(vgg16(), weights)
    with pytest.raises(ValueError, match="convolution 1"):
        load_imagenet(network, weights | {"features.1.weight": torch.randn(3, 3, 1, 1)})


def test_the_full_width_trains_and_converts(pool: Path, tmp_path: Path) -> None:
    checkpoint = train(pool, tmp_path, "vgg16", "axial", minutes=1, steps=1, batch=2, width=1.0)
    network = load_trained(checkpoint, "vgg16")
    assert network.features[16][0].out_channels == 512
    assert convert(network).outputs[0].partial_shape.to_string() == "[?,4]"


CPU = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


def drawn_slices(pool: Path, count: int) -> NDArray[np.uint8]:
    thoraces = [load_thorax(f) for f in sorted(pool.glob("*.npy"))]
    rng = np.random.default_rng(0)
    return np.stack([draw_slice(thoraces[i % 2], "coronal", rng)[0] for i in range(count)])[:, None]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_converted_graph_answers_as_torch_does(pool: Path, backbone: str) -> None:
    """Before quantisation: scaling, averaging, all columns and the open batch, to 0.01 mm."""
    slices = drawn_slices(pool, 8)
    torch.manual_seed(0)
    network = BACKBONES[backbone]().train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # its statistics are those of these slices
    with torch.no_grad():
        averaged = torch.nn.functional.avg_pool2d(torch.from_numpy(slices) / 255, 2)
        network(averaged)
        expected = network.eval()(averaged).numpy()
    compiled = ov.Core().compile_model(convert(network), "CPU", CPU)
    assert (np.ptp(expected, axis=0) > 2).all()  # mm: the answers tell the slices apart
    for count in (8, 3):
        answer = compiled(slices[:count])[0]
        assert answer.shape == (count, 4)
        assert answer.dtype == np.float32
        np.testing.assert_allclose(answer, expected[:count], atol=0.01)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_what_is_exported_answers_as_torch_does(
    pool: Path, tmp_path: Path, backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INT8 against float32 of a network that has learnt a little, on the slices it was calibrated with.

    VGG-16 is narrow here: its layers are the same, and those of the width that ships take minutes. It learns in float32
    in one thread, and so the same everywhere: the fastest way differs from run to run.
    """
    plain = Way("cpu", False, torch.contiguous_format)
    monkeypatch.setattr("training.train_localisers.fastest_way", lambda *arguments: plain)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    checkpoint = train(pool, tmp_path, backbone, "coronal", minutes=1, steps=60, batch=8, width=1 / 8)
    torch.set_num_threads(before)
    state = torch.load(checkpoint, weights_only=True)  # the average still lags behind after so few steps
    torch.save({"averaged": {f"module.{key}": value for key, value in state["model"].items()}}, checkpoint)
    slices = drawn_slices(pool, 24)
    trained = load_trained(checkpoint, backbone)
    path = export_localiser(checkpoint, backbone, "coronal", slices, tmp_path / "models")
    assert path.with_suffix(".bin").stat().st_size <= 1.5 * sum(p.numel() for p in trained.parameters())  # INT8
    model = ov.Core().read_model(path)
    assert model.inputs[0].element_type == ov.Type.u8
    assert model.inputs[0].partial_shape.to_string() == f"[?,1,{SIDE},{SIDE}]"
    compiled = ov.Core().compile_model(model, "CPU", CPU)
    with torch.no_grad():
        expected = SliceReader(trained)(torch.from_numpy(slices)).numpy()
    answer = compiled(slices)[0]
    assert answer.dtype == np.float32
    off = np.abs(answer - expected)
    assert off.mean() < 1.0
    assert off.max() < 4.0


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("training", [True, False])
def test_vgg16_recovered_from_its_int8_model_reads_as_that_does(axis: str, training: bool) -> None:
    """On slices of the shipped sample: of what is no thorax at all, INT8 itself is a millimetre off.

    Far from the valve INT8 reads the distance itself up to a fifth short, which the search hardly weighs.
    """
    scan = read(str(resources.files("whs_fast") / "data" / "sample.nii.gz"))
    low, high = (corner[AXES.index(axis)] for corner in scan.grid.box_mm)
    step = (high - low) / 25
    slices = cut_slices(scan, axis, low + step, step, 24, threads=2)[:, None]
    model = MODELS / f"vgg16_{axis}.xml"
    network = recover(model, slices).train(training)
    with torch.no_grad():
        found = SliceReader(network).train(training)(torch.from_numpy(slices)).numpy()
    expected = ov.Core().compile_model(model, "CPU", CPU)(slices)[0]
    assert np.ptp(expected) > 5  # mm: the answers tell the slices apart
    off = np.abs(found - expected)
    near = expected[:, 0] < 40
    assert near.sum() >= 8
    assert off[near].mean() < 1.0
    assert off[near].max() < 4.0
    assert (off.max(axis=1) < 4.0 + 0.2 * expected[:, 0]).all()
