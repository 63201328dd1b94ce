"""Times `whs-fast run` on two scans that it makes itself, for people who want to know their machine.

One, of 512 x 512 x 400, shows the whole chest; the other, gated, only the heart, of which the network sees less.

Every cold figure comes from a fresh process, so that start, imports and the compilation of the networks count; warm
figures come from further runs of one engine. The yardstick is the paper: a median of 13.4 s on a 2 GHz computer with
2 GB of RAM (Sharobeem et al., J Cardiovasc Transl Res 2021, doi 10.1007/s12265-021-10166-0).
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from whs_fast import _kernels
from whs_fast.errors import InputError, OutputError
from whs_fast.machine import available_threads, cpu_features, describe_system
from whs_fast.reading.scan import read
from whs_fast.temporary import temporary_folder
from whs_fast.volume import AIR_HU, Grid, index_map
from whs_fast.writing.label_maps import nifti_header, write_labels

SHAPE = (400, 512, 512)
GATED_SHAPE, GATED_SPACING_MM = (250, 512, 512), (0.35, 0.35, 0.6)
PAPER_S, PAPER_MB = 13.4, 2048 * 1.048576
STAGES = ("read", "localise", "segment", "clean", "measure", "write", "total")
COLD_RUNS, WARM_RUNS = 3, 3

_NOISE_HU = 20.0
_SLAB = 8
_PACKED = "packed.nii.gz"


def make_scan(
    path: Path,
    *,
    shape: tuple[int, int, int] = SHAPE,
    spacing_mm: tuple[float, float, float] | None = None,
    seed: int = 0,
) -> Grid:
    """Writes the shipped sample, resampled to a shape (z, y, x) and with noise, as a plain NIfTI.

    It shows the same body, or, with a spacing (x, y, z), what fits in it about the sample's middle. The noise (sd 20
    HU, from the seed) makes up for what upsampling removes. Working on a few slices at a time takes little memory.
    Raises OutputError where the file cannot be written.
    """
    with resources.as_file(resources.files("whs_fast") / "data" / "sample.nii.gz") as sample:
        source = read(sample)
    size = np.array(source.grid.shape[::-1])
    ratio = size / shape[::-1] if spacing_mm is None else np.divide(spacing_mm, source.spacing_mm)  # along x, y, z
    x, y, z = (float(step) for step in ratio * source.spacing_mm)
    first = source.grid.affine @ np.append((size - 1 - ratio * np.subtract(shape[::-1], 1)) / 2, 1.0)
    grid = Grid(shape, (x, y, z), (float(first[0]), float(first[1]), float(first[2])), source.direction)
    to_source, random = index_map(grid, source.grid), np.random.default_rng(seed)
    try:
        with path.open("wb") as file:
            file.write(nifti_header(grid, np.dtype(np.int16), b"whs_fast benchmark scan"))
            for start in range(0, shape[0], _SLAB):
                slab = np.empty((min(_SLAB, shape[0] - start), *shape[1:]), np.int16)
                _kernels.resample_linear(
                    source.array, slab, to_source, (1, 1, 1), AIR_HU, start, threads=available_threads()
                )
                noise = random.standard_normal(slab.shape, np.float32) * np.float32(_NOISE_HU)
                file.write(np.clip(slab + noise, AIR_HU, 3071).astype("<i2").tobytes())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); needs free space for the scan") from error
    return grid


@contextmanager
def limited(limit: int | None) -> Iterator[tuple[Callable[[], None] | None, dict[str, str], str]]:
    """How to start a process under a hard memory limit in bytes: (what it runs first, environment, description).

    A cgroup is used only where WHS_FAST_CGROUP names the folder of one (version 1 or 2, with the memory controller)
    that was delegated to this user: the others belong to the service manager. Otherwise the address space is limited.
    """
    environment = dict(os.environ)
    if limit is None:
        yield None, environment, "none"
        return
    if sys.platform == "win32":
        raise InputError("memory limit: not available on Windows; needs address-space limits or cgroups")
    parent = os.environ.get("WHS_FAST_CGROUP")
    if parent:
        group = Path(parent) / f"whs_fast_{os.getpid()}"
        try:
            group.mkdir()
        except OSError as error:
            raise OutputError(f"{group}: cannot be made ({error.strerror}); needs a writable cgroup") from error
        try:
            yield _into_group(group, limit), environment, f"{limit >> 20} MiB, memory cgroup without swap"
        finally:
            group.rmdir()
        return
    import resource

    # Each allocator arena reserves 64 MiB of address space that it does not use, so all threads share one.
    environment["MALLOC_ARENA_MAX"] = "1"
    words = (
        f"{limit >> 20} MiB of address space (no memory cgroup was named in WHS_FAST_CGROUP); this is stricter, as it "
        "also counts mapped files and reserved stacks"
    )
    yield lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)), environment, words


def _into_group(group: Path, limit: int) -> Callable[[], None]:
    if (group / "memory.limit_in_bytes").exists():
        (group / "memory.limit_in_bytes").write_text(str(limit), encoding="ascii")
        swap = group / "memory.memsw.limit_in_bytes"
        if swap.exists():  # memory and swap together
            swap.write_text(str(limit), encoding="ascii")
    else:
        (group / "memory.max").write_text(str(limit), encoding="ascii")
        (group / "memory.swap.max").write_text("0", encoding="ascii")

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    return enter


def run_cold(scan: Path, folder: Path, *, threads: int, limit: int | None = None) -> dict[str, Any]:
    """Runs `whs-fast run` in a fresh process and returns its measurements.json, with "process" seconds in the timings.

    Raises OutputError, with the end of its standard error, where it fails, such as where limit (bytes) is too low.
    """
    command = [sys.executable, "-m", "whs_fast", "run", str(scan), "-o", str(folder), "--threads", str(threads)]
    with limited(limit) as (first, environment, words):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=first, env=environment, check=False)
        seconds = time.perf_counter() - start
    if done.returncode:
        last = done.stderr[-300:]
        raise OutputError(f"{scan}: run ended with status {done.returncode} under memory limit {words}: {last}")
    measurements: dict[str, Any] = json.loads((folder / "measurements.json").read_text(encoding="utf-8"))
    measurements["timings_s"]["process"] = round(seconds, 3)
    return measurements


def run_warm(scan: Path, folder: Path, *, threads: int, runs: int = WARM_RUNS) -> dict[str, Any]:
    """Times a warm engine in a fresh process: medians of further runs, after a first one that warms it up.

    "timings_s" has the stages; "gzip_s" has what compression alone adds: "in" to reading the scan, whose compressed
    copy is packed.nii.gz beside it, and "out" to writing the labels. Raises OutputError where the process fails.
    """
    command = [sys.executable, "-m", "whs_fast.cli.benchmarking", str(scan), str(folder), str(threads), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OutputError(f"{scan}: warm runs ended with status {done.returncode}: {done.stderr[-300:]}")
    medians: dict[str, Any] = json.loads(done.stdout)
    return medians


def _warm(scan: str, folder: str, threads: str, runs: str) -> None:
    from whs_fast.engine import Engine

    engine, timings, extra = Engine(threads=int(threads)), [], []
    for _ in range(int(runs) + 1):
        result = engine.run(scan)
        result.save(folder, overwrite=True)
        timings.append(result.measurements["timings_s"])
    grid = Grid(result.labels.shape, result.spacing_mm, result.origin_mm, result.direction)
    for _ in range(int(runs)):
        seconds = {}
        for suffix, source in ((".nii", Path(scan)), (".nii.gz", Path(scan).with_name(_PACKED))):
            start = time.perf_counter()
            read(source)
            middle = time.perf_counter()
            write_labels(Path(folder) / f"labels{suffix}", result.labels, grid, threads=int(threads))
            seconds[suffix] = middle - start, time.perf_counter() - middle
        extra.append(np.subtract(seconds[".nii.gz"], seconds[".nii"]))
    added = np.median(extra, axis=0)
    print(
        json.dumps(
            {
                "timings_s": {stage: round(median(t[stage] for t in timings[1:]), 3) for stage in STAGES},
                "gzip_s": {"in": round(float(added[0]), 3), "out": round(float(added[1]), 3)},
            }
        )
    )


def shares(timings_s: dict[str, float], gzip_out_s: float) -> dict[str, float]:
    """Each stage's share of the total as if the labels were stored uncompressed: compression is subtracted."""
    total = timings_s["total"] - gzip_out_s
    return {
        stage: round((timings_s[stage] - (gzip_out_s if stage == "write" else 0.0)) / total, 3)
        for stage in STAGES
        if stage != "total"
    }


def benchmark(
    threads: Sequence[int], *, limit: int | None = None, tell: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Runs everything, one thread count at a time, and returns what `render` shows and `whs-fast bench --json` prints.

    limit, in bytes, holds for the cold runs. tell is called with a line about what comes next. Raises InputError or
    OutputError where a run cannot be made. Beside the machine there are "scan" (uncompressed) and "runs", and the same
    two in "gated" for the gated scan. "runs" has for each number of threads: "cold_s" and "warm_s", median seconds of
    each stage, of the "total" and, cold, of the whole "process"; "gzip_s", what compression would add to reading
    ("in", not part of the other figures) and adds to writing ("out", part of them); "cold_share" and "warm_share",
    each stage's share of the total without any compression; the peak resident memory in 10^6 bytes, the largest of the
    cold runs; and whether cold runs meet the paper's time and memory.
    """
    from whs_fast.networks.openvino_model import describe_runtime

    say = tell or (lambda line: None)
    with limited(limit) as (_, _, words):
        pass
    runtime = describe_runtime()
    chest = _measure(threads, limit, say, shape=SHAPE, spacing_mm=None)
    return {
        **chest,
        "gated": _measure(threads, limit, say, shape=GATED_SHAPE, spacing_mm=GATED_SPACING_MM),
        "system": describe_system(),
        "cpu": runtime["cpu"],
        "threads_available": available_threads(),
        "features": cpu_features(),
        "openvino": runtime["openvino"],
        "memory_limit": words,
        "paper": {"seconds": PAPER_S, "memory_mb": round(PAPER_MB), "machine": "2 GHz, 2 GB of RAM"},
    }


def _measure(
    threads: Sequence[int],
    limit: int | None,
    say: Callable[[str], None],
    *,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float] | None,
) -> dict[str, Any]:
    """The scan, and its runs with each number of threads."""
    runs = []
    with temporary_folder("bench") as folder:
        scan = folder / "scan.nii"
        say(f"making the scan of {' x '.join(str(side) for side in reversed(shape))}")
        grid = make_scan(scan, shape=shape, spacing_mm=spacing_mm)
        say("compressing a copy")
        with scan.open("rb") as plain, gzip.open(scan.with_name(_PACKED), "wb", compresslevel=1) as packed:
            shutil.copyfileobj(plain, packed, 1 << 20)
        for count in threads:
            say(f"{count} threads, cold")
            colds = [
                run_cold(scan, folder / f"cold{count}_{number}", threads=count, limit=limit)
                for number in range(COLD_RUNS)
            ]
            cold_s = {
                stage: round(median(cold["timings_s"][stage] for cold in colds), 3) for stage in (*STAGES, "process")
            }
            peaks = [cold["peak_memory_mb"] for cold in colds]
            peak_mb = None if None in peaks else max(peaks)
            say(f"{count} threads, warm")
            warm = run_warm(scan, folder / f"warm{count}", threads=count)
            runs.append(
                {
                    "threads": count,
                    "cold_s": cold_s,
                    "warm_s": warm["timings_s"],
                    "gzip_s": warm["gzip_s"],
                    "cold_share": shares(cold_s, warm["gzip_s"]["out"]),
                    "warm_share": shares(warm["timings_s"], warm["gzip_s"]["out"]),
                    "peak_memory_mb": peak_mb,
                    "paper_time_met": cold_s["process"] <= PAPER_S,
                    "paper_memory_met": peak_mb is not None and peak_mb <= PAPER_MB,
                }
            )
    scan_told = {"shape_zyx": list(grid.shape), "spacing_mm": list(grid.spacing_mm), "stored": "uncompressed NIfTI"}
    return {"scan": scan_told, "runs": runs}


def render(found: dict[str, Any]) -> str:
    """The result of `benchmark` as tables."""
    lines = [
        f"CPU           {found['cpu']}, {found['threads_available']} threads available",
        f"features      {', '.join(found['features']) or 'not listed by this system'}",
        f"system        {found['system']}, OpenVINO {found['openvino']}",
        f"memory limit  {found['memory_limit']}",
    ]
    return "\n".join([*lines, *_table("chest", found), *_table("gated", found["gated"])])


def _table(name: str, found: dict[str, Any]) -> list[str]:
    z, y, x = found["scan"]["shape_zyx"]
    spacing = " x ".join(f"{step:.3f}" for step in found["scan"]["spacing_mm"])
    lines = [
        "",
        f"{name} scan    {x} x {y} x {z}, {spacing} mm, uncompressed",
        "",
        "seconds       " + "".join(f"{stage:>10}" for stage in (*STAGES, "process")) + "   peak MB",
    ]
    for run in found["runs"]:
        cold, warm = run["cold_s"], run["warm_s"]
        lines.append(
            f"{run['threads']:>2} cold       "
            + "".join(f"{cold[stage]:>10.2f}" for stage in (*STAGES, "process"))
            + f"{run['peak_memory_mb'] or float('nan'):>10.0f}"
        )
        lines.append(f"{run['threads']:>2} warm       " + "".join(f"{warm[stage]:>10.2f}" for stage in STAGES))
    lines += ["", "share of the total, labels stored uncompressed" + " " * 12 + "compression adds, s:   in       out"]
    for run in found["runs"]:
        for state in ("cold", "warm"):
            line = f"{run['threads']:>2} {state}       " + "".join(
                f"{v:>10.1%}" for v in run[f"{state}_share"].values()
            )
            if state == "cold":
                line += f"{run['gzip_s']['in']:>10.2f}{run['gzip_s']['out']:>10.2f}"
            lines.append(line)
    lines += ["", f"The paper's {PAPER_S} s and 2 GB, on its machine of 2 GHz (cold, the whole process):"]
    for run in found["runs"]:
        peak = "unknown" if run["peak_memory_mb"] is None else f"{run['peak_memory_mb']:.0f} MB"
        lines.append(
            f"  {run['threads']} threads: time {'met' if run['paper_time_met'] else 'NOT met'} "
            f"({run['cold_s']['process']:.1f} s), memory {'met' if run['paper_memory_met'] else 'NOT met'} ({peak})"
        )
    return lines


if __name__ == "__main__":
    _warm(*sys.argv[1:])
