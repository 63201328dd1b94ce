"""What valves, aortic root, ascending aorta and wall add to a run: processor time, and the most memory of their arrays.

`python bench/valves.py SCAN [--rounds 5]`: on a scan whose root is seen, such as one of `python -m training.roots
render FOLDER`, and on the same heart with 512 x 512 x 400 voxels of 0.4 mm.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from whs_fast import Engine, Volume, _kernels
from whs_fast.valves.ascending import describe_ascending
from whs_fast.valves.planes import find_planes
from whs_fast.valves.root import describe_root, find_root
from whs_fast.valves.wall import describe_wall
from whs_fast.volume import AIR_HU, axis_aligned_grid, index_map

WHOLE = {"touches_scan_edge": False, "touches_region_edge": False}


def enlarged(scan: Volume, labels: np.ndarray, centre_mm: tuple[float, float, float]) -> tuple[Volume, np.ndarray]:
    grid = axis_aligned_grid(centre_mm, (400, 512, 512), (0.4, 0.4, 0.4))
    hu, marks = np.empty(grid.shape, np.int16), np.empty(grid.shape, np.uint8)
    to_scan = index_map(grid, scan.grid)
    _kernels.resample_linear(scan.array, hu, to_scan, (1, 1, 1), AIR_HU, 0, threads=2)
    _kernels.resample_nearest(labels, marks, to_scan, 0, threads=2)
    return Volume(hu, grid.spacing_mm, grid.origin_mm), marks


def cost(rounds: int, work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What the work gives, its least processor time in s, and the peak of its arrays in MB."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    tracemalloc.start()
    found = work()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return found, min(times), peak


def row(name: str, scan: Volume, labels: np.ndarray, rounds: int) -> str:
    planes, *first = cost(rounds, partial(find_planes, labels, scan.grid, threads=2))
    root, *second = cost(rounds, partial(find_root, scan, labels, planes, threads=2))
    told, *third = cost(rounds, partial(describe_root, root))
    aorta, *last = cost(rounds, partial(describe_ascending, scan, labels, planes["aortic"], told, threads=2))
    wall, *fourth = cost(rounds, partial(describe_wall, labels, scan.grid, planes["mitral"], WHOLE))
    assert "annulus" in told and "segments" in wall and "dmax_mm" in aorta, (told, wall, aorta)
    times, peaks = zip(first, second, third, last, fourth, strict=True)
    shown = " | ".join(f"{1000 * t:.0f} ms" for t in (*times, sum(times)))
    return f"| {name} | {shown} | {max(peaks):.0f} MB |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    result = Engine(threads=2).run(options.scan, valves=False)
    print("| scan | planes | root found | root described | ascending aorta | wall | together | most memory |")
    print("|---|---|---|---|---|---|---|---|")
    print(row("as it is", result.scan, result.labels, options.rounds))
    large = enlarged(result.scan, result.labels, result.aortic_valve_mm)
    print(row("512 x 512 x 400", *large, options.rounds))


if __name__ == "__main__":
    main()
