"""Goal: what a batch costs beside a shell loop over `whs-fast run`, how it scales, and where its scheduler ends.

    python bench/batch.py scans FOLDER [--scans 64]     CPU and wall seconds a scan: loop, 1 worker, 2 workers, ...
                                [--plot]                and draws them as bench/batch.png
    python bench/batch.py tasks FOLDER [--tasks 10000]  tasks that are found done, through the scheduler
    python bench/batch.py memory FOLDER [--scans 500]   resident memory of one worker over many scans

Scans are the shipped sample, each with its own crop, spacing, place and noise; those of `memory` are crops of a few
centimetres. Goals: 1.5 scans a minute for each of the loop's, 85 % scaling efficiency, growth under 2 %. CPU seconds
are those of all processes of a run; where other work occupies the machine, they say more than the clock. Each answer is
checked: every way gives the same volumes.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from whs_fast.batching.inputs import Scan
from whs_fast.batching.records import Places, Record, write_record
from whs_fast.batching.running import prepare
from whs_fast.batching.scheduling import run_tasks
from whs_fast.batching.working import Settings, Task
from whs_fast.machine import available_threads
from whs_fast.reading.scan import read

SMALL_VOXELS = (44, 56, 56)
PICTURE = Path(__file__).with_name("batch.png")


def make_scans(folder: Path, count: int, *, small: bool = False) -> list[Path]:
    """The sample, varied: by the number of the scan, so that every machine times the same ones."""
    folder.mkdir(parents=True, exist_ok=True)
    with resources.as_file(resources.files("whs_fast") / "data" / "sample.nii.gz") as sample:
        scan = read(sample)
    paths = [folder / f"scan_{number:03d}.nii.gz" for number in range(count)]
    for number, path in enumerate(paths):
        if path.exists():
            continue
        rng = np.random.default_rng(number)
        cuts = [(low, n - high) for n, low, high in zip(scan.array.shape, *rng.integers(0, 8, (2, 3)), strict=True)]
        if small:
            cuts = [((n - side) // 2, (n + side) // 2) for n, side in zip(scan.array.shape, SMALL_VOXELS, strict=True)]
        array = scan.array[tuple(slice(*cut) for cut in cuts)]
        noisy = array + rng.normal(0.0, rng.uniform(3.0, 25.0), array.shape)
        image = sitk.GetImageFromArray(np.clip(np.rint(noisy), -1024, 3071).astype(np.int16))
        image.SetSpacing([float(value * rng.uniform(0.92, 1.08)) for value in scan.spacing_mm])
        image.SetOrigin([float(value) for value in scan.origin_mm + rng.uniform(-20.0, 20.0, 3)])
        sitk.WriteImage(image, path)
    return paths


def timed(*command: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command and all that it started."""

    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    start, before = time.perf_counter(), cpu()
    subprocess.run([sys.executable, "-m", "whs_fast", *command], check=True, capture_output=True)
    return time.perf_counter() - start, cpu() - before


def loop(scans: list[Path], output: Path) -> tuple[float, float]:
    both = [timed("run", str(scan), "-o", str(output / scan.name)) for scan in scans]
    return sum(wall for wall, _ in both), sum(cpu for _, cpu in both)


def volumes(folders: list[Path]) -> list[dict]:
    return [json.loads((folder / "measurements.json").read_text("utf-8"))["structures"] for folder in folders]


def time_scans(folder: Path, count: int) -> dict[str, float]:
    """Scans a minute of each way."""
    scans = make_scans(folder / "scans", count)
    ways = {"loop": lambda output: loop(scans, output)}
    for workers in [n for n in (1, 2, 4) if n <= available_threads()]:
        options = ["--workers", str(workers), "--threads-per-worker", "1"]
        ways[f"{workers} x 1"] = lambda output, options=options: timed(
            "batch", str(folder / "scans"), "-o", str(output), *options
        )
    whole = available_threads()
    ways[f"1 x {whole}"] = lambda output: timed(
        *("batch", str(folder / "scans"), "-o", str(output), "--workers", "1", "--threads-per-worker", str(whole))
    )
    expected, rates = None, {}
    for name, way in ways.items():
        output = folder / f"out_{name.replace(' ', '')}"
        shutil.rmtree(output, ignore_errors=True)
        load = os.getloadavg()[0]
        wall, cpu = way(output)
        folders = [output / scan.name if name == "loop" else output / "scans" / scan.name[:-7] for scan in scans]
        found = volumes(folders)
        expected = found if expected is None else expected
        assert found == expected, name
        rates[name], each = 60.0 * count / wall, cpu / count
        print(
            f"{name:<8} {wall:8.1f} s {rates[name]:6.1f} a minute {each:6.2f} CPU s a scan, load {load:.0f}", flush=True
        )
    for workers in (2, 4):
        if (way := f"{workers} x 1") in rates:
            scaling = 100 * rates[way] / rates["1 x 1"] / workers
            print(f"{way}: {rates[way] / rates['loop']:.2f} times the loop, scaling efficiency {scaling:.0f} %")
    return rates


def plot(rates: dict[str, float]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 2.4), layout="constrained")
    names = ["loop over whs-fast run" if way == "loop" else f"batch, {way}" for way in rates]
    bars = axis.barh(names, list(rates.values()), color=["#8c8c8c"] + ["#0072b2"] * (len(rates) - 1))
    for label in axis.bar_label(bars, fmt="%.1f", padding=3):
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    goal = 1.5 * rates["loop"]
    axis.axvline(goal, color="#d55e00", linestyle="--")
    axis.text(goal, -0.45, "goal ", color="#d55e00", ha="right", va="bottom")
    axis.set(xlabel="scans a minute (workers x threads)", xlim=(0, 1.15 * max(*rates.values(), goal)))
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, dpi=90)


def time_tasks(folder: Path, count: int) -> None:
    """Each task is a scan whose record is there: what is left is Dask, its messages, and one small file."""
    settings = Settings(1, "squeezenet", "auto", "CPU", None, "plain", False, None)
    rows = [{"id": "", "status": "done", **dict.fromkeys((f"column_{n}_ml" for n in range(45)), 1.5)}]
    tasks = [
        Task(Scan(f"{n}", f"{n:06d}", folder / "none"), folder / "tasks", "key", "", settings) for n in range(count)
    ]
    for task in tasks:
        write_record(Places(task.output), task.scan.name, Record("key", rows))
    start, used = time.perf_counter(), time.process_time()
    workers = available_threads()
    ended = {task.scan.name for task, _ in run_tasks(tasks, workers=workers, scheduler=None, dashboard=False)}
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    assert len(ended) == count
    print(f"{count} tasks, {workers} workers: {wall:.1f} s, {1e3 * cpu / count:.2f} ms of CPU a task in the scheduler")


def watch_memory(folder: Path, count: int) -> None:
    make_scans(folder / "small", count, small=True)
    output = folder / "out_memory"
    shutil.rmtree(output, ignore_errors=True)
    resident = []
    for _ in prepare([folder / "small"], output, workers=1, threads_per_worker=1):
        started = [file.read_text() for file in Path(f"/proc/{os.getpid()}/task").glob("*/children")]
        resident.append(max(_resident_mb(int(number)) for number in " ".join(started).split()))
    marks = sorted({min(n, count) for n in (10, 50, 100, 200, 300, 400, 500)})
    for mark in marks:
        print(f"after {mark:4d} scans: median of the last ten {np.median(resident[max(0, mark - 10) : mark]):.1f} MB")


def _resident_mb(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS:")), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scans", "tasks", "memory"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scans", type=int)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--plot", action="store_true")
    options = parser.parse_args()
    if options.what == "scans":
        rates = time_scans(options.folder, options.scans or 64)
        if options.plot:
            plot(rates)
    elif options.what == "tasks":
        time_tasks(options.folder, options.tasks)
    else:
        watch_memory(options.folder, options.scans or 500)


if __name__ == "__main__":
    main()
