"""Goal: know whether a warm engine grows, and what the localiser costs.

    python bench/pipeline_engine.py growth [RUNS]    resident memory after runs of one engine on the shipped sample
    python bench/pipeline_engine.py localisers       time, memory and size of SqueezeNet and VGG-16

Growth is counted from the tenth run, when caches have filled. A localiser's memory is what its first use adds to a
process that has the benchmark scan loaded.
"""

import sys
import tempfile
import time
from functools import partial
from importlib import resources
from pathlib import Path
from statistics import median

from whs_fast import Engine
from whs_fast.benchmarking import make_scan
from whs_fast.localising import localise
from whs_fast.network import Model, models_folder, predict_batches
from whs_fast.reading import read

THREADS = 4


def resident_mb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("no VmRSS")


def growth(runs):
    sample = str(resources.files("whs_fast") / "data" / "sample.nii.gz")
    engine, start = Engine(THREADS), 0.0
    for number in range(1, runs + 1):
        engine.run(sample)
        if number == 10:
            start = resident_mb()
        if number % 10 == 0:
            print(f"{number:>4} runs {resident_mb():8.1f} MB {resident_mb() / start - 1:+.2%}", flush=True)
    assert resident_mb() < 1.01 * start


def localisers():
    with tempfile.TemporaryDirectory() as folder:
        make_scan(Path(folder) / "scan.nii")
        volume = read(Path(folder) / "scan.nii")
        for name in ("squeezenet", "vgg16"):
            before, start = resident_mb(), time.perf_counter()
            models = {
                axis: Model(models_folder() / f"{name}_{axis}.xml", threads=THREADS, shapes=((4, 1, 192, 192),))
                for axis in ("axial", "coronal", "sagittal")
            }
            predict = {axis: partial(predict_batches, model, batch=4) for axis, model in models.items()}
            found = localise(volume, predict, threads=THREADS)
            cold, times = time.perf_counter() - start, []
            for _ in range(5):
                start = time.perf_counter()
                localise(volume, predict, threads=THREADS)
                times.append(time.perf_counter() - start)
            size = sum(p.stat().st_size for p in models_folder().glob(f"{name}_*")) / 1e6
            share = found.slices_read / sum(volume.grid.shape)
            print(
                f"{name:<11} cold {cold:.3f} s, warm {median(times):.3f} s, memory {resident_mb() - before:+.0f} MB, "
                f"files {size:.1f} MB, {found.slices_read} slices ({share:.1%}), valve {found.point_mm}"
            )


if __name__ == "__main__":
    if sys.argv[1] == "growth":
        growth(int(sys.argv[2]) if len(sys.argv) > 2 else 200)
    else:
        localisers()
