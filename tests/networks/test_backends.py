"""The backends of Dense V-Net: one file pair, one contract, the same labels but for a few voxels."""

import json
import platform
import shutil
from importlib import resources

import numpy as np
import pytest
from whs_fast import Engine
from whs_fast import _kernels as kernels
from whs_fast.errors import InputError, ModelError
from whs_fast.networks import backends
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.networks.installed import hash_files, models_folder
from whs_fast.networks.openvino_dense_vnet import OpenVINODenseVNet
from whs_fast.networks.openvino_model import available_devices
from whs_fast.reading.scan import read
from whs_fast.steps.region import REGION_SPACING_MM, WINDOW_HU
from whs_fast.study.evaluation.overlap import count_pairs, dice_matrix, overall_figures
from whs_fast.volume import axis_aligned_grid, index_map, index_to_mm

from training.dense_vnet_ir import write

SAMPLE = str(resources.files("whs_fast") / "data" / "sample.nii.gz")
MODEL = models_folder() / "dense_vnet.xml"
SHAPE = (64, 72, 80)


def native(path=MODEL, *, threads=2):
    return DenseVNet(path, threads=threads)


def by_openvino(path=MODEL, *, threads=2):
    return OpenVINODenseVNet(path, threads=threads, shape=SHAPE)


both = pytest.mark.parametrize("load", [native, by_openvino])


@pytest.fixture(scope="module")
def region():
    """A part of the heart of the shipped sample that reaches all faces, so that what lies outside counts."""
    sample = read(SAMPLE)
    middle = index_to_mm(sample.grid, tuple((n - 1) / 2 for n in sample.array.shape))
    out = np.empty(SHAPE, np.uint8)
    grid = axis_aligned_grid(middle, out.shape, REGION_SPACING_MM)
    kernels.resample_window(sample.array, out, index_map(grid, sample.grid), (1, 1, 1), *WINDOW_HU, threads=2)
    return out


@both
def test_a_region_becomes_logits_at_half_resolution(load, region):
    logits = load()(region)
    assert logits.shape == (*(side // 2 for side in SHAPE), 11)
    assert logits.dtype == np.int8 and logits.flags.c_contiguous and logits.flags.writeable
    assert len(np.unique(logits.argmax(-1))) >= 5


@both
def test_results_are_the_callers_own_and_depend_on_no_thread(load, region):
    network = load(threads=1)
    first = network(region)
    kept = first.copy()
    network(region[::-1].copy())
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(load(threads=3)(region), kept)


@both
def test_what_is_no_region_is_refused(load, region):
    network = load()
    with pytest.raises(TypeError):
        network(region.astype(np.int16))
    with pytest.raises(ValueError, match=r"shape|multiple"):
        network(region[:-1])


@both
def test_progress_ends_with_the_work_and_can_end_it(load, region):
    told = []
    load()(region, progress=told.append)
    assert told == sorted(told) and told[-1] == 1.0

    def leave(share):
        raise InterruptedError("the user has left")

    network = load()
    with pytest.raises(InterruptedError, match="the user has left"):
        network(region, progress=leave)
    np.testing.assert_array_equal(network(region), load()(region))


@both
def test_files_are_named_and_hashed(load, tmp_path):
    assert load().name == "dense_vnet"
    assert load().sha256 == hash_files((MODEL, MODEL.with_suffix(".bin")))
    for missing in (".xml", ".bin"):
        shutil.copy(MODEL, tmp_path)
        shutil.copy(MODEL.with_suffix(".bin"), tmp_path)
        (tmp_path / f"dense_vnet{missing}").unlink()
        with pytest.raises(ModelError, match=rf"dense_vnet\{missing}: no such model file"):
            load(tmp_path / "dense_vnet.xml")
    (tmp_path / "dense_vnet.xml").write_text("<net")
    (tmp_path / "dense_vnet.bin").touch()
    with pytest.raises(ModelError, match=r"dense_vnet\.xml: does not "):
        load(tmp_path / "dense_vnet.xml").prepare()


@both
def test_what_ran_is_told_as_the_schema_has_it(load):
    schema = json.loads((resources.files("whs_fast") / "data" / "measurements.schema.json").read_text("utf-8"))
    told = load().describe()
    assert set(told) == set(schema["properties"]["backend"]["properties"])
    assert told["name"] in schema["properties"]["backend"]["properties"]["name"]["enum"]
    assert told["device"] == "CPU" and told["threads"] == 2


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="OpenVINO chooses other formats elsewhere")
def test_all_convolutions_run_as_int8(region):
    network = by_openvino()
    network(region)
    nodes = network._model._request.get_compiled_model().get_runtime_model().get_ops()
    facts = [{key: value.value for key, value in node.get_rt_info().items()} for node in nodes]
    formats = [fact["runtimePrecision"] for fact in facts if fact["layerType"] == "Convolution"]
    assert formats == ["u8"] * (32 + 7)  # seven layers read features of two zeros, and are sums of two
    assert not any("bf16" in fact["runtimePrecision"] for fact in facts)


def test_labels_are_the_same_up_to_the_faces(region):
    """Zeros around the shifted integers mean what the kernel puts there, or the outermost voxels would differ."""
    a, b = (load()(region).argmax(-1) for load in (native, by_openvino))
    inner = np.zeros(a.shape, bool)
    inner[2:-2, 2:-2, 2:-2] = True
    assert (a == b)[inner].mean() > 0.99
    assert (a == b)[~inner].mean() > 0.99


def test_the_kernel_reads_what_the_quantiser_wrote(tmp_path):
    """Weights, scales, biases and zeros come back bit for bit, in the order of the network."""
    random = np.random.default_rng(5)

    def layer(outputs, inputs, side=3, zero=0):
        weights = random.integers(-128, 128, (outputs, inputs, side, side, side), np.int8)
        return weights, random.random(outputs, np.float32), random.normal(size=outputs).astype(np.float32), zero

    layers = {
        "pool": (np.empty((0,) * 5, np.int8), np.float32([0.7]), np.float32([3.3]), 81),
        "entry": layer(4, 1, 5, zero=132),
        **{f"stack_1.{n}": layer(4, 4 * n) for n in range(1, 12)},
        "skip_1": layer(4, 48),
        "last": layer(11, 5, zero=128),
    }
    write(layers, tmp_path / "dense_vnet.xml")
    found = native(tmp_path / "dense_vnet.xml")._layers
    assert found["pool"] == (np.float32(0.7), np.float32(3.3), 81)
    (stack,) = found["stacks"]
    read_back = {"entry": found["entry"], **{f"stack_1.{n}": part for n, part in enumerate(stack, 1)}}
    read_back |= {"skip_1": found["skips"][0], "last": found["last"]}
    for name, (weights, scale, bias, zero) in read_back.items():
        expected = layers[name]
        np.testing.assert_array_equal(weights, expected[0])
        assert (scale, bias, zero) == (expected[1].tolist(), expected[2].tolist(), expected[3])


def test_auto_is_native_where_a_fast_form_is_there(monkeypatch):
    monkeypatch.setattr(backends, "available_devices", lambda: ["CPU", "GPU", "AUTO"])
    for instructions in kernels.instruction_sets():
        monkeypatch.setenv("WHS_FAST_INSTRUCTIONS", instructions)
        assert backends.choose_backend("auto", "CPU") == ("openvino" if instructions == "portable" else "native")
        assert backends.choose_backend("native", "CPU") == "native"
        assert backends.choose_backend("openvino", "CPU") == "openvino"
        for device in ("GPU", "AUTO"):
            assert backends.choose_backend("auto", device) == "openvino"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"backend": "cuda"}, "backend: 'cuda' is unknown, choose one of auto, native, openvino"),
        ({"device": "TPU"}, "device: this machine has no 'TPU', choose one of CPU, AUTO"),
        ({"backend": "openvino", "device": "GPU"}, "this machine has no 'GPU', choose one of CPU, AUTO"),
        (
            {"backend": "native", "device": "AUTO"},
            "the native backend runs only on the CPU; openvino has CPU, AUTO",
        ),
    ],
)
def test_what_this_machine_lacks_is_refused_with_what_it_has(options, text, monkeypatch):
    monkeypatch.setattr(backends, "available_devices", lambda: ["CPU", "AUTO"])
    with pytest.raises(InputError, match=text):
        Engine(**options)


def test_auto_settles_for_a_device_and_says_which(region):
    network = OpenVINODenseVNet(MODEL, threads=2, device="AUTO", shape=SHAPE)
    network(region)
    device = network.describe()["device"]
    assert device.split(".")[0] in available_devices() and device != "AUTO"


def test_the_sample_has_the_same_labels_and_valve():
    native_result, other = (Engine(threads=2, backend=name).run(SAMPLE) for name in ("native", "openvino"))
    assert [result.measurements["backend"]["name"] for result in (native_result, other)] == ["native", "openvino"]
    pairs = count_pairs(native_result.labels, other.labels, 11)
    assert overall_figures(pairs, range(1, 11))["overall_pooled"] >= 0.995
    assert np.diag(dice_matrix(pairs))[1:].min() >= 0.99
    assert np.linalg.norm(np.subtract(native_result.aortic_valve_mm, other.aortic_valve_mm)) <= 0.2
