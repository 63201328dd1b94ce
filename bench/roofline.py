"""How far Dense V-Net is from what these cores can do: layer by layer, from the graphs as they are executed.

`python bench/roofline.py [--threads 4]`. Measured here, in the same run: the peak of 8-bit multiply-adds (a large u8 x
s8 matrix product that OpenVINO hands to oneDNN, the fastest of 40, at 1 thread and all) and the bandwidth of memory (a
copy of two arrays far larger than the caches, counted as read + written). Then each part runs with its layers timed,
and its layers are read with their primitive and precision. Multiply-adds of a layer are those of the network as it is
defined, over the whole region once: what the halo recomputes, channels padded to 16 and zeros of packed kernels are
work on top, and count against us. The floor of a layer is the larger of its multiply-adds at the peak and its bytes at
the bandwidth.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from openvino import opset15 as ops
from whs_fast.dense_vnet import DECODER_HALO, ENCODER_HALO, DenseVNet, _windows
from whs_fast.network import _CPU_OPTIONS, describe_runtime, models_folder, openvino
from whs_fast.segmentation import REGION_SHAPE


def fastest(run: Callable[[], object], repeats: int = 8) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def int8_peak(threads: int, rows: int = 4096, inner: int = 4096, columns: int = 1024) -> float:
    """Multiply-adds a second of a u8 x s8 matrix product with integer output."""
    rng = np.random.default_rng(0)
    x = ops.parameter([rows, inner], np.uint8)
    steps = ops.fake_quantize(ops.convert(x, "f32"), *(np.float32(v) for v in (0, 255, 0, 255)), 256)
    weights = ops.multiply(
        ops.convert(ops.constant(rng.integers(-127, 128, (columns, inner)).astype(np.int8)), "f32"), np.float32(1e-4)
    )
    product = ops.matmul(steps, weights, False, True)
    rounded = ops.fake_quantize(product, *(np.float32(v) for v in (0, 255, 0, 255)), 256)
    model = openvino.Model([ops.result(ops.convert(rounded, "u8"))], [x], "product")
    options = {**_CPU_OPTIONS, "INFERENCE_NUM_THREADS": threads, "PERF_COUNT": True}
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    request.set_input_tensor(openvino.Tensor(rng.integers(0, 256, (rows, inner)).astype(np.uint8)))
    took = []
    for _ in range(40):
        request.infer()
        (layer,) = (p for p in request.profiling_info if p.node_type in ("FullyConnected", "MatMul"))
        took.append(layer.real_time.total_seconds())
    assert "I8" in layer.exec_type or "i8" in layer.exec_type, layer.exec_type
    return rows * inner * columns / min(took)


def bandwidth(threads: int, megabytes: int = 512) -> float:
    """Bytes a second, read and written, of a copy by all threads."""
    source = np.ones(megabytes << 20, np.uint8)
    parts = list(zip(np.array_split(source, threads), np.array_split(np.zeros_like(source), threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        return 2 * source.nbytes / fastest(lambda: list(pool.map(lambda p: np.copyto(p[1], p[0]), parts)))


def definition() -> dict[str, tuple[int, float]]:
    """Multiply-adds of each convolution over the region, without halo, and bytes it must read and write once.

    Activations of 1 byte; the concatenation before a layer is read once by it, and its own features written once.
    """
    voxels = [np.prod(REGION_SHAPE) // 8**level for level in range(4)]
    layers: dict[str, tuple[int, float]] = {
        "entry": (24 * 125 * voxels[1], voxels[0] + 24 * voxels[1]),
    }
    width = 24
    for stack, (count, growth, skip) in enumerate(((5, 4, 12), (10, 8, 24), (10, 16, 24))):
        size = voxels[stack + 1]
        width = 24
        for _ in range(count):
            macs, moved = layers.get(f"stack {stack + 1}", (0, 0.0))
            layers[f"stack {stack + 1}"] = (macs + 27 * width * growth * size, moved + (width + growth) * size)
            width += growth
        layers[f"skip {stack + 1}"] = (27 * width * skip * size, (width + skip) * size)
        if stack < 2:
            layers[f"down {stack + 1}"] = (27 * width * 24 * size // 8, width * size + 24 * size / 8)
    layers["last"] = (27 * 61 * 11 * voxels[1], (61 + 11) * voxels[1])
    return layers


# Convolutions by their order in each part, as the engine executes them.
ORDER = {
    "encoder": ["pooling", "entry", *["stack 1"] * 5, "skip 1", "down 1"],
    "context": [*["stack 2"] * 10, "skip 2", "down 2", *["stack 3"] * 10, "skip 3"],
    "decoder": ["last"],
}


def time_layers(threads: int, repeats: int) -> tuple[dict[str, float], list[str]]:
    """Seconds of each layer over the whole region, all windows, and its primitives and precisions."""
    network = DenseVNet(models_folder(), shape=REGION_SHAPE, threads=threads)
    rows = REGION_SHAPE[0] // 2
    windows = {
        "encoder": len(list(_windows(rows, network._encoder_rows, ENCODER_HALO))),
        "context": 1,
        "decoder": len(list(_windows(rows, network._decoder_rows, DECODER_HALO))),
    }
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = defaultdict(lambda: [0.0] * repeats)
    primitives: dict[str, set[str]] = defaultdict(set)
    for model, part in zip(network.models, windows, strict=True):
        graph = openvino.Core().read_model(model._files[0])
        graph.reshape({index: list(shape) for index, shape in enumerate(model._shapes)})
        options = {**_CPU_OPTIONS, "INFERENCE_NUM_THREADS": threads, "PERF_COUNT": True}
        request = openvino.Core().compile_model(graph, "CPU", options).create_infer_request()
        for port in request.model_inputs:
            values = rng.integers(0, 256, tuple(port.shape)).astype(np.uint8)
            request.set_tensor(port, openvino.Tensor(values))
        request.infer()
        for repeat in range(repeats):
            request.infer()
            for name, layer in named_layers(part, request.profiling_info):
                seconds[name][repeat] += layer.real_time.total_seconds() * windows[part]
                primitives[name].add(layer.exec_type)
    lines = {name: ", ".join(sorted(found)) for name, found in primitives.items()}
    return {name: statistics.median(took) for name, took in seconds.items()}, [
        f"{name}: {text}" for name, text in lines.items()
    ]


def named_layers(part: str, profile: list[Any]) -> list[tuple[str, Any]]:
    """Layers that took time, in order of execution, with the name of the layer of the network each belongs to."""
    ran = [p for p in profile if p.real_time.total_seconds() > 0 and p.node_type not in ("Parameter", "Result")]
    convolutions = [p for p in ran if p.node_type == "Convolution"]
    if len(convolutions) != len(ORDER[part]):
        raise RuntimeError(f"{part}: found {len(convolutions)} convolutions, expected {len(ORDER[part])}")
    names = dict(zip((id(p) for p in convolutions), ORDER[part], strict=True))
    return [(names.get(id(p), f"{part}: {p.node_type}"), p) for p in ran]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    one, peak, copy = int8_peak(1), int8_peak(options.threads), bandwidth(options.threads)
    print(f"{describe_runtime()['cpu']}, {options.threads} threads")
    print(f"int8 multiply-adds: {one / 1e9:.0f} G/s on 1 thread, {peak / 1e9:.0f} G/s on {options.threads}")
    print(f"memory: {copy / 1e9:.1f} GB/s copied (read + written)\n")
    layers = definition()
    seconds, primitives = time_layers(options.threads, options.repeats)
    print("| layer | GMAC | MB | floor ms | measured ms | gap |\n|---|---|---|---|---|---|")
    for name, (macs, moved) in layers.items():
        floor = max(macs / peak, moved / copy)
        print(
            f"| {name} | {macs / 1e9:.1f} | {moved / 1e6:.0f} | {floor * 1e3:.1f} | {seconds[name] * 1e3:.0f} "
            f"| {seconds[name] / floor:.1f} |"
        )
    for name in sorted(set(seconds) - set(layers), key=lambda key: -seconds[key]):
        if seconds[name] > 1e-3:
            print(f"| {name} | | | | {seconds[name] * 1e3:.0f} | |")
    total, macs = sum(seconds.values()), sum(m for m, _ in layers.values())
    print(
        f"| all | {macs / 1e9:.1f} | {sum(b for _, b in layers.values()) / 1e6:.0f} | {macs / peak * 1e3:.0f} "
        f"| {total * 1e3:.0f} | {total * peak / macs:.1f} |\n"
    )
    rows = REGION_SHAPE[0] // 2
    network = DenseVNet(models_folder(), shape=REGION_SHAPE, threads=options.threads)
    for part, height, halo in (
        ("encoder", network._encoder_rows, ENCODER_HALO),
        ("decoder", network._decoder_rows, DECODER_HALO),
    ):
        count = len(list(_windows(rows, height, halo)))
        print(f"{part}: {count} windows of {height} rows for {rows}: {count * height / rows - 1:.0%} recomputed")
    print("\n" + "\n".join(primitives))


if __name__ == "__main__":
    main()
