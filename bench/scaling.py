"""Goal: how time and memory grow with the scan, with the region and with the threads, measured and plotted.

    python bench/scaling.py FOLDER [--threads 4] [--rounds 5]     prints the tables, writes FOLDER/scaling.json
    python bench/scaling.py FOLDER --plot                         draws FOLDER/scaling.json as bench/scaling.png

Slices: `whs-fast run` in a fresh process on scans of 512 x 512 x 100 to 1000, of the same body in thinner and thinner
slices. Region: the network alone in a fresh process, on cubes of 160 to 400 voxels. Threads: `whs-fast run` on
512 x 512 x 400. Medians; the rounds go through all sizes in turn, so that other load falls on all of them. FOLDER keeps
the scans, 1.6 GB, for the next time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from whs_fast.cli.benchmarking import make_scan, run_cold
from whs_fast.engine import Engine
from whs_fast.machine import available_threads, peak_memory_mb
from whs_fast.reading.scan import read
from whs_fast.steps.region import REGION_SPACING_MM
from whs_fast.steps.segment import read_region
from whs_fast.volume import axis_aligned_grid, index_to_mm

SLICES = (100, 250, 400, 600, 800, 1000)
SIDES = (160, 240, 320, 400)
PICTURE = Path(__file__).with_name("scaling.png")


def network_alone(scan: Path, side: int, threads: int) -> tuple[float, float | None]:
    """Seconds of a second call, and peak memory of this process in MB, the libraries and the region included."""
    volume = read(scan)
    middle = index_to_mm(volume.grid, tuple((n - 1) / 2 for n in volume.array.shape))
    region = axis_aligned_grid(middle, (side,) * 3, REGION_SPACING_MM)
    rows = read_region(volume, region, threads=threads)
    del volume
    network = Engine(threads=threads)._segmenter
    for _ in range(2):
        start = time.perf_counter()
        network(rows)
        seconds = time.perf_counter() - start
    return seconds, peak_memory_mb()


def measure(folder: Path, threads: int, rounds: int) -> dict:
    counts = sorted({1, 2, available_threads()} | ({threads} if threads <= available_threads() else set()))
    found = {name: defaultdict(list) for name in ("slices", "region", "threads")}
    scans = {slices: folder / f"{slices}.nii" for slices in SLICES}
    for slices, scan in scans.items():
        if not scan.exists():
            make_scan(scan, shape=(slices, 512, 512))
    outputs = tempfile.TemporaryDirectory(dir=folder)
    for number in range(rounds):
        jobs = [("slices", slices, threads, scan) for slices, scan in scans.items()]
        jobs += [("threads", count, count, scans[400]) for count in counts if count != threads]
        for name, key, count, scan in jobs:
            done = run_cold(scan, Path(outputs.name) / f"{number}_{name}_{key}", threads=count)
            found[name][key].append((done["timings_s"]["total"], done["peak_memory_mb"]))
        for side in SIDES:
            command = [sys.executable, __file__, str(scans[100]), "--side", str(side), "--threads", str(threads)]
            alone = subprocess.run(command, capture_output=True, text=True, check=True)
            found["region"][side].append(tuple(json.loads(alone.stdout)))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    outputs.cleanup()
    if threads in counts:
        found["threads"][threads] = found["slices"][400]
    return {name: {key: list(map(median, zip(*v, strict=True))) for key, v in t.items()} for name, t in found.items()}


def plot(found: dict) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    titles = {"slices": "slices of 512 x 512", "region": "side of the region, voxels", "threads": "threads"}
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        x = [int(key) for key in found[name]]
        rows = list(found[name].values())
        axis.plot(x, [row[0] for row in rows], "o-", color="#0072b2")
        axis.set(xlabel=title, xticks=x, ylim=(0, 1.15 * max(row[0] for row in rows)))
        axis.set_ylabel("network, s" if name == "region" else "whole run, cold, s", color="#0072b2")
        axis.spines["top"].set_visible(False)
        memory = axis.twinx()
        memory.plot(x, [row[-1] for row in rows], "s--", color="#d55e00")
        memory.set(ylim=(0, 1.15 * max(row[-1] for row in rows)))
        memory.set_ylabel("peak memory, MB", color="#d55e00")
        memory.spines["top"].set_visible(False)
    figure.savefig(PICTURE, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", action="store_true")
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)  # one size of the region, in this process
    options = parser.parse_args()
    if options.side:
        print(json.dumps(network_alone(options.folder, options.side, options.threads)))
        return
    file = options.folder / "scaling.json"
    if not options.plot:
        options.folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(measure(options.folder, options.threads, options.rounds)), encoding="utf-8")
    found = json.loads(file.read_text(encoding="utf-8"))
    for name, rows in found.items():
        for key, row in rows.items():
            print(f"{name:<8} {key:>5} {row[0]:8.2f} s {row[-1]:8.0f} MB peak")
    if options.plot:
        plot(found)


if __name__ == "__main__":
    main()
