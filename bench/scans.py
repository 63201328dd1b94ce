"""What a run costs with each set of instructions, on each kind of scan, in each kind of file: CPU seconds.

`python bench/scans.py FOLDER [--threads 2] [--rounds 2]`. Each figure is the processor time of `whs-fast run` in a
fresh process, start and imports included, the least of some rounds that go through all cases in turn: other load on the
machine hardly changes it. The processor is that of this machine, capped by WHS_FAST_INSTRUCTIONS to a lesser set for
our own kernel: an older processor runs at another pace. FOLDER keeps the scans, 2.6 GB, for the next time.
"""

import argparse
import gzip
import os
import resource
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from whs_fast import _kernels
from whs_fast.cli.benchmarking import GATED_SHAPE, GATED_SPACING_MM, make_scan, run_cold
from whs_fast.networks.openvino_model import describe_runtime
from whs_fast.reading.scan import read

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from support.scans import write_dicom

SCANS = {
    "gated": {"shape": GATED_SHAPE, "spacing_mm": GATED_SPACING_MM},
    "chest": {},
    "whole body": {"shape": (1000, 512, 512), "spacing_mm": (0.98, 0.98, 1.0)},  # beyond the sample's chest: air
}
KINDS = (".nii", ".nii.gz", "DICOM")


def make_files(folder: Path) -> dict[tuple[str, str], Path]:
    files = {}
    for name, how in SCANS.items():
        plain, packed, series = (folder / f"{name.replace(' ', '_')}{end}" for end in (".nii", ".nii.gz", ""))
        if not series.exists():
            make_scan(plain, **how)
            with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as to:
                shutil.copyfileobj(source, to, 1 << 20)
            write_dicom(read(plain), series)
        files |= {(name, kind): path for kind, path in zip(KINDS, (plain, packed, series), strict=True)}
    return files


def cpu_seconds(scan: Path, folder: Path, instructions: str, threads: int) -> float:
    os.environ["WHS_FAST_INSTRUCTIONS"] = instructions
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        run_cold(scan, Path(out) / "out", threads=threads)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    files = make_files(options.folder)
    cases = [(instructions, name, ".nii") for instructions in _kernels.instruction_sets() for name in SCANS]
    cases += [("avx2", name, kind) for kind in KINDS[1:] for name in SCANS]
    seconds = defaultdict(list)
    for _ in range(options.rounds):
        for case in cases:
            instructions, name, kind = case
            seconds[case].append(cpu_seconds(files[name, kind], options.folder, instructions, options.threads))
    print(f"{describe_runtime()['cpu']}, {options.threads} threads, least of {options.rounds} rounds, CPU seconds\n")
    print(f"| instructions | file | {' | '.join(SCANS)} |\n|---|---|{'---|' * len(SCANS)}")
    for instructions, kind in dict.fromkeys((instructions, kind) for instructions, _, kind in cases):
        figures = (f"{min(seconds[instructions, name, kind]):.2f}" for name in SCANS)
        print(f"| {instructions} | {kind} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
