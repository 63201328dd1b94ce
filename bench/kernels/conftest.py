"""The work that all kernel benchmarks share, and the table of ratios they end with.

The scan is the shipped sample, resampled to 512 x 512 x 400 voxels of 0.4 x 0.4 x 0.5 mm, plus noise; the logits and
the labels are what the shipped network makes of it, so that runs, borders and winners are as long, as many and as mixed
as in use. A kernel and its peer are timed one after the other in one process, on the same arrays, at the same number of
threads, and each test first checks that both answers agree: only ratios within one run are quoted.

    pytest bench/kernels --benchmark-disable-gc
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from whs_fast import _kernels as kernels
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.networks.installed import models_folder
from whs_fast.reading.scan import read
from whs_fast.steps.region import region_grid
from whs_fast.steps.segment import read_region
from whs_fast.volume import Volume, axis_aligned_grid, index_map

SHAPE, SPACING_MM = (400, 512, 512), (0.4, 0.4, 0.5)

Medians = dict[str, tuple[float, float, float]]  # title -> seconds of ours, of the peer, goal of their ratio
MEDIANS = pytest.StashKey[Medians]()


@dataclass(frozen=True)
class Work:
    scan: NDArray[np.int16]  # z, y, x
    logits: NDArray[np.int8]  # z, y, x, class
    labels: NDArray[np.uint8]
    region_to_scan: NDArray[np.float64]  # 3 x 4


@pytest.fixture(scope="session")
def work() -> Work:
    with resources.as_file(resources.files("whs_fast") / "data" / "sample.nii.gz") as path:
        sample = read(path)
    x, y, z = np.mean(sample.grid.box_mm, axis=0)
    grid = axis_aligned_grid((x, y, z), SHAPE, SPACING_MM)
    scan = np.empty(SHAPE, np.int16)
    kernels.resample_linear(sample.array, scan, index_map(grid, sample.grid), threads=4)
    scan += np.random.default_rng(0).integers(-20, 21, SHAPE, dtype=np.int16)
    volume = Volume(scan, grid.spacing_mm, grid.origin_mm, grid.direction)
    region = region_grid(grid, (x, y, z))
    logits = DenseVNet(models_folder() / "dense_vnet.xml", threads=4)(read_region(volume, region, threads=4))
    labels = np.empty(SHAPE, np.uint8)
    kernels.upsample_argmax(logits, labels, index_map(grid, region), threads=4)
    assert len(np.unique(labels)) == 11, "the network must find every structure, or the labels are not realistic"
    return Work(scan, logits, labels, index_map(region, grid))


@pytest.fixture
def race(benchmark: Any, request: pytest.FixtureRequest) -> Callable[..., None]:
    """Function of (title, ours, peer, goal) that times both in turn and keeps their medians for the table."""

    def run(title: str, ours: Callable[[], object], peer: Callable[[], object], goal: float, rounds: int = 5) -> None:
        peer_s = []

        def time_peer() -> None:  # before each round of ours, so that a busy moment of the machine meets both
            begin = time.perf_counter()
            peer()
            peer_s.append(time.perf_counter() - begin)

        ours()
        benchmark.pedantic(ours, setup=time_peer, rounds=rounds)
        median_s, peer_median_s = benchmark.stats.stats.median, float(np.median(peer_s))
        benchmark.extra_info.update(peer_s=peer_s, ratio=peer_median_s / median_s, goal=goal)
        request.config.stash[MEDIANS][title] = (median_s, peer_median_s, goal)

    return run


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEDIANS] = {}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    terminalreporter.section("kernels beside their peers")
    terminalreporter.line("| work | ours | peer | ratio | goal |\n|---|---|---|---|---|")
    for title, (ours_s, peer_s, goal) in config.stash[MEDIANS].items():
        met = "" if peer_s >= goal * ours_s else ", missed"
        terminalreporter.line(
            f"| {title} | {_duration(ours_s)} | {_duration(peer_s)} | {peer_s / ours_s:.1f} | {goal:g}{met} |"
        )


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"
