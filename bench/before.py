"""Dense V-Net beside itself at other commits: CPU seconds, minima of rounds in turn, and the same logits to the bit.

`python bench/before.py PYTHON... [--scan SCAN] [--instructions avx2] [--threads 1] [--rounds 3]`. Each PYTHON is that
of an environment with whs_fast of another commit in it. All run the layers that ship here, on

- noise: a region without a zero, where nothing can be skipped;
- sample: the region about the middle of the shipped sample, and of it what that scan can ask for;
- scan: the same of another scan, about its valve;
- gated: of that scan the 180 x 180 x 150 mm about its valve.

A commit that cannot be told what is wanted makes the whole region. Packing the weights is left out where it is done
once a network, and counted where it is done once a region.
"""

import argparse
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from numpy.typing import NDArray
from whs_fast import Engine, Volume
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.networks.installed import models_folder
from whs_fast.networks.openvino_model import describe_runtime
from whs_fast.reading.scan import read
from whs_fast.steps.region import region_grid
from whs_fast.steps.segment import read_region, wanted_logits
from whs_fast.volume import Box, Triple, index_to_mm, mm_to_index

from bench.network import sample_region

GATED_MM = (180.0, 180.0, 150.0)  # x, y, z

# Runs in each environment: answers the name of a case with the CPU seconds and a hash of the logits in the wanted box.
WORKER = """
import hashlib, pickle, sys, time
import numpy as np
from whs_fast import _kernels
cases, layers, instructions, threads = pickle.load(open(sys.argv[1], "rb"))
how = {"planes_per_step": 2, "threads": threads}
network = _kernels.DenseVNet(**layers, instructions=instructions) if hasattr(_kernels, "DenseVNet") else None
for name in map(str.strip, sys.stdin):
    region, wanted = cases[name]
    logits = np.empty((*(side // 2 for side in region.shape), len(layers["last"][0])), np.int8)
    start = time.process_time()
    if network:
        network(region, logits, wanted=wanted, **how)
    else:
        _kernels.dense_vnet(region, logits, **layers, instructions=instructions, **how)
    took = time.process_time() - start
    if wanted:
        logits = np.ascontiguousarray(logits[tuple(slice(*side) for side in wanted)])
    print(took, hashlib.sha256(logits).hexdigest(), flush=True)
"""


def crop(scan: Volume, middle_mm: Triple) -> Volume:
    """The box of GATED_MM about a point, or what there is of it."""
    halves = np.array(GATED_MM) / scan.spacing_mm / 2
    index = np.array(mm_to_index(scan.grid, middle_mm))  # z, y, x
    first = np.maximum(0, index - halves[::-1]).astype(int)
    last = (index + halves[::-1]).astype(int)
    part = np.ascontiguousarray(scan.array[tuple(map(slice, first, last))])
    return Volume(part, scan.spacing_mm, index_to_mm(scan.grid, first.tolist()), scan.direction)


def make_cases(scan: Path | None, threads: int) -> dict[str, tuple[NDArray[np.uint8], Box | None]]:
    sample = sample_region(threads)
    noise = np.random.default_rng(0).integers(1, 256, sample[0].shape).astype(np.uint8)
    cases: dict[str, tuple[NDArray[np.uint8], Box | None]] = {"noise": (noise, None), "sample": sample}
    if scan is not None:
        valve, whole = Engine(threads=threads).run(scan).aortic_valve_mm, read(scan)
        for name, volume in {"scan": whole, "gated": crop(whole, valve)}.items():
            grid = region_grid(volume.grid, valve)
            cases[name] = read_region(volume, grid, threads=threads), wanted_logits(volume.grid, grid)
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+")
    parser.add_argument("--scan", type=Path)
    parser.add_argument("--instructions", default="avx2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cases = make_cases(options.scan, options.threads)
    layers = DenseVNet(models_folder() / "dense_vnet.xml", threads=1)._layers
    with tempfile.NamedTemporaryFile() as handed:
        handed.write(pickle.dumps((cases, layers, options.instructions, options.threads)))
        handed.flush()
        workers = [
            subprocess.Popen(
                [python, "-c", WORKER, handed.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for python in (*options.pythons, sys.executable)
        ]
        print(f"{describe_runtime()['cpu']}, {options.instructions}, threads: {options.threads}")
        for name in cases:
            least = [float("inf")] * len(workers)
            for _ in range(options.rounds + 1):
                answers = [ask(worker, name) for worker in workers]
                assert len({logits for _, logits in answers}) == 1, f"{name}: not the same logits"
                least = [min(pair) for pair in zip(least, (took for took, _ in answers), strict=True)]
            beside = ", ".join(f"{took:.2f} ({least[-1] / took:.2f})" for took in least[:-1])
            print(f"{name}: now {least[-1]:.2f} s; before, and now over before: {beside}", flush=True)
        for worker in workers:
            worker.communicate()


def ask(worker: "subprocess.Popen[str]", name: str) -> tuple[float, str]:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(f"{name}\n")
    worker.stdin.flush()
    took, logits = worker.stdout.readline().split()
    return float(took), logits


if __name__ == "__main__":
    main()
