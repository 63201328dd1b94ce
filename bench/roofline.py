"""How far Dense V-Net is from what these cores can do, stage by stage.

`python bench/roofline.py [--threads 4]`. Measured here, in the same run: the peak of 8-bit multiply-adds (a large u8 x
s8 matrix product that OpenVINO hands to oneDNN, the fastest of 40, at 1 thread and all) and the bandwidth of memory (a
copy of two arrays far larger than the caches, counted as read + written). Then the network runs, and its kernel tells
what each stage took, the work of all threads shared among them. Multiply-adds are those of the network as it is
defined; channels padded to four and words on borders are work on top, and count against us. The floor of a stage is the
larger of its multiply-adds at the peak and its bytes at the bandwidth.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from openvino import opset15 as ops
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.networks.installed import models_folder
from whs_fast.networks.openvino_model import _CPU_OPTIONS, describe_runtime, openvino
from whs_fast.steps.region import REGION_SHAPE


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


def time_stages(threads: int, repeats: int) -> tuple[dict[str, float], float]:
    """Seconds of each stage, of all threads together and shared among them, and of the whole; medians."""
    network = DenseVNet(models_folder() / "dense_vnet.xml", threads=threads)
    region = np.random.default_rng(0).integers(0, 256, REGION_SHAPE).astype(np.uint8)
    stages: dict[str, list[float]] = defaultdict(lambda: [0.0] * repeats)
    wholes = []
    network(region)
    for repeat in range(repeats):
        start = time.perf_counter()
        _, times = network.time_stages(region)
        wholes.append(time.perf_counter() - start)
        for name, seconds in times:
            stages[name][repeat] += seconds / threads
    return {name: statistics.median(took) for name, took in stages.items()}, statistics.median(wholes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    one, peak, copy = int8_peak(1), int8_peak(options.threads), bandwidth(options.threads)
    print(f"{describe_runtime()['cpu']}, {options.threads} threads")
    print(f"int8 multiply-adds: {one / 1e9:.0f} G/s on 1 thread, {peak / 1e9:.0f} G/s on {options.threads}")
    print(f"memory: {copy / 1e9:.1f} GB/s copied (read + written)\n")
    layers = definition()
    seconds, whole = time_stages(options.threads, options.repeats)
    print("| stage | GMAC | MB | floor ms | measured ms | gap |\n|---|---|---|---|---|---|")
    for name, (macs, moved) in layers.items():
        floor = max(macs / peak, moved / copy)
        print(
            f"| {name} | {macs / 1e9:.1f} | {moved / 1e6:.0f} | {floor * 1e3:.1f} | {seconds[name] * 1e3:.0f} "
            f"| {seconds[name] / floor:.1f} |"
        )
    for name in sorted(set(seconds) - set(layers), key=lambda key: -seconds[key]):
        print(f"| {name} | | | | {seconds[name] * 1e3:.0f} | |")
    print(f"| waiting, starting | | | | {(whole - sum(seconds.values())) * 1e3:.0f} | |")
    macs = sum(m for m, _ in layers.values())
    print(
        f"| all | {macs / 1e9:.1f} | {sum(b for _, b in layers.values()) / 1e6:.0f} | {macs / peak * 1e3:.0f} "
        f"| {whole * 1e3:.0f} | {whole * peak / macs:.1f} |"
    )


if __name__ == "__main__":
    main()
