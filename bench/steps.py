"""CPU seconds of a run by step, beside other commits: the first run of a process, with what it imports, and the second.

`python bench/steps.py SCAN... [--before PYTHON] [--threads 1] [--rounds 3]`. PYTHON is that of an environment with
whs_fast of another commit in it. Both run in turn, each round in fresh processes; the least of the rounds is told, as
before -> now (now over before), and whether labels and measurements are the same.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from whs_fast.networks.openvino_model import describe_runtime

MEASURING = ("planes", "root", "ascending", "wall", "trust")
STEPS = ("import", "read", "localise", "segment", "clean", *MEASURING, "measuring", "whole")

# Prints, for two runs, the CPU seconds by step; then a hash of the labels and of what was measured.
WORKER = """
import hashlib, json, sys, time
import whs_fast.engine as engine
import whs_fast.valves.describing as describing
imported = time.process_time()
steps = {
    engine: {"read": "read", "localise": "localise", "segment": "segment", "clean": "clean", "refine_valve": "planes",
             "measure": "planes", "find_planes": "planes", "cut_heart_box": "trust", "measure_contrast": "trust",
             "find_figures": "trust", "judge": "trust"},
    describing: {"find_root": "root", "describe_root": "root", "describe_ascending": "ascending",
                 "describe_wall": "wall"},
}
took = {}

def timed(work, step):
    def work_timed(*arguments, **options):
        start = time.process_time()
        try:
            return work(*arguments, **options)
        finally:
            took[step] = took.get(step, 0.0) + time.process_time() - start
    return work_timed

for module, names in steps.items():
    for name, step in names.items():
        setattr(module, name, timed(getattr(module, name), step))
whole = engine.Engine(threads=int(sys.argv[2]))
for first in (True, False):
    took.clear()
    start = 0.0 if first else time.process_time()
    result = whole.run(sys.argv[1])
    print(json.dumps(took | {"whole": time.process_time() - start} | ({"import": imported} if first else {})))
told = {k: v for k, v in result.measurements.items() if k not in ("timings_s", "peak_memory_mb", "version", "models")}
for content in (result.labels.tobytes(), json.dumps(told).encode()):
    print(json.dumps(hashlib.sha256(content).hexdigest()))
"""


def work(python: str, scan: str, threads: int) -> tuple[list[dict[str, float]], list[str]]:
    done = subprocess.run([python, "-c", WORKER, scan, str(threads)], capture_output=True, text=True, check=True)
    first, second, *hashes = map(json.loads, done.stdout.splitlines())
    for run in (first, second):
        run["measuring"] = sum(run[step] for step in MEASURING)
    return [first, second], hashes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+")
    parser.add_argument("--before", metavar="PYTHON", default=sys.executable)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{describe_runtime()['cpu']}, {options.threads} threads; ms of CPU")
    print(f"| scan | run | {' | '.join(STEPS)} |\n|---|---|{'---|' * len(STEPS)}")
    for scan in options.scans:
        pythons = (options.before, sys.executable)
        rounds = [[work(python, scan, options.threads) for python in pythons] for _ in range(options.rounds)]
        for which, name in enumerate(("first", "second")):
            row = []
            for step in STEPS:
                before, now = (min(own[i][0][which].get(step, 0.0) for own in rounds) for i in range(2))
                row.append(f"{1000 * before:.0f} -> {1000 * now:.0f} ({now / before:.2f})" if before else "")
            print(f"| {Path(scan).name} | {name} | {' | '.join(row)} |", flush=True)
        (_, before), (_, now) = rounds[0]
        same = [what for what, a, b in zip(("labels", "measurements"), before, now, strict=True) if a == b]
        print(f"{Path(scan).name}: the same {' and '.join(same) or 'neither labels nor measurements'}", flush=True)


if __name__ == "__main__":
    main()
