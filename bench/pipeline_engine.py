"""Goals: a warm engine grows by less than 1 % in 200 runs; localisation takes under a tenth of the total.

    python bench/pipeline_engine.py growth [RUNS]    resident memory over runs of one engine on the shipped sample
    python bench/pipeline_engine.py localisers       SqueezeNet and VGG-16, as shipped and at full width

Growth is counted from the tenth run, when caches have filled. Each localiser finds the valve of the benchmark scan in a
fresh process with its networks compiled anew, in another that takes them from the cache, and there a few times more
(warm); memory is what that adds to a process that has read the scan. VGG-16 at full width has random weights, exported
and quantised by the code that exports the trained ones: as fast and as large as trained ones would be. It cannot find a
valve, so its search is led by the answers of SqueezeNet, and reads the same slices.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import resources
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from whs_fast import Engine
from whs_fast.cli.benchmarking import make_scan
from whs_fast.machine import peak_memory_mb
from whs_fast.networks.installed import models_folder
from whs_fast.networks.openvino_model import Model, predict_batches
from whs_fast.reading.scan import read
from whs_fast.steps.localise import AXES, localise

THREADS = 4
BATCH = 4
WARM = 5
ROUNDS = 3


def resident_mb():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("no VmRSS")


def growth(runs):
    sample = str(resources.files("whs_fast") / "data" / "sample.nii.gz")
    engine, start = Engine(threads=THREADS), 0.0
    for number in range(1, runs + 1):
        engine.run(sample)
        if number == 10:
            start = resident_mb()
        if number % 10 == 0:
            print(f"{number:>4} runs {resident_mb():8.1f} MB {resident_mb() / start - 1:+.2%}", flush=True)
    assert resident_mb() < 1.01 * start


def load(folder, name):
    shapes = ((BATCH, 1, 192, 192),)
    return {axis: Model(folder / f"{name}_{axis}.xml", threads=THREADS, shapes=shapes) for axis in AXES}


def export_full_width(folder):
    """VGG-16 at its published width, random, in INT8; one file for all three axes."""
    import torch

    from training.export_localisers import export_localiser
    from training.localisers import build

    torch.manual_seed(0)
    network = build("vgg16", 1.0)
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"averaged": state}, folder / "random.pt")
    slices = np.random.default_rng(0).integers(0, 256, (40, 1, 192, 192), np.uint8)
    first = export_localiser(folder / "random.pt", "vgg16", AXES[0], slices, folder)
    for axis in AXES[1:]:
        for suffix in (".xml", ".bin"):
            shutil.copy(first.with_suffix(suffix), folder / f"vgg16_{axis}{suffix}")


def one_localiser(scan, name, folder, led):
    """In this process: {"first_s", "warm_s", "added_mb", "slices", "share", "valve"}."""
    volume = read(scan)
    answers = {axis: [] for axis in AXES}
    if led:
        guides = {
            axis: partial(predict_batches, model, batch=BATCH)
            for axis, model in load(models_folder(), "squeezenet").items()
        }

        def record(axis, slices):
            answers[axis].append(guides[axis](slices))
            return answers[axis][-1]

        localise(volume, {axis: partial(record, axis) for axis in AXES}, threads=THREADS)

    def find(models):
        replayed = {axis: iter(answers[axis]) for axis in AXES}

        def predict(axis, slices):
            found = predict_batches(models[axis], slices, batch=BATCH)
            return next(replayed[axis]) if led else found

        return localise(volume, {axis: partial(predict, axis) for axis in AXES}, threads=THREADS)

    before, start = resident_mb(), time.perf_counter()
    models = load(folder, name)
    with ThreadPoolExecutor(len(AXES)) as pool:
        list(pool.map(Model.prepare, models.values()))
    found = find(models)
    first, times = time.perf_counter() - start, []
    for _ in range(WARM):
        start = time.perf_counter()
        find(models)
        times.append(time.perf_counter() - start)
    return {
        "first_s": first,
        "warm_s": median(times),
        "added_mb": peak_memory_mb() - before,
        "slices": found.slices_read,
        "share": found.slices_read / sum(volume.grid.shape),
        "valve": found.point_mm,
    }


def localisers():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = folder / "scan.nii"
        make_scan(scan)
        export_full_width(folder)
        choices = {
            "SqueezeNet": ("squeezenet", models_folder(), False),
            "VGG-16 as shipped": ("vgg16", models_folder(), False),
            "VGG-16 at full width": ("vgg16", folder, True),
        }
        found = {title: [] for title in choices}
        for number in range(ROUNDS):
            for title, (network, models, led) in choices.items():
                environment = os.environ | {"WHS_FAST_CACHE": str(folder / f"cache_{number}_{title}")}
                command = [sys.executable, __file__, "one", str(scan), network, str(models), str(int(led))]
                for _ in range(2):
                    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                    found[title].append(json.loads(done.stdout))
        print("localiser              compiled, s   cached, s   warm, s   memory, MB   files, MB")
        for title, (network, models, _) in choices.items():
            anew, kept = found[title][::2], found[title][1::2]
            size = sum(p.stat().st_size for axis in AXES for p in models.glob(f"{network}_{axis}.*")) / 1e6
            warm, added = median(r["warm_s"] for r in anew + kept), median(r["added_mb"] for r in kept)
            print(
                f"{title:<22} {median(r['first_s'] for r in anew):11.3f} {median(r['first_s'] for r in kept):11.3f}"
                f"{warm:10.3f} {added:12.0f} {size:11.1f}"
                f"   {kept[0]['slices']} slices ({kept[0]['share']:.1%}), valve {tuple(kept[0]['valve'])}"
            )


if __name__ == "__main__":
    if sys.argv[1] == "growth":
        growth(int(sys.argv[2]) if len(sys.argv) > 2 else 200)
    elif sys.argv[1] == "localisers":
        localisers()
    else:
        scan, network, models, led = sys.argv[2:]
        print(json.dumps(one_localiser(scan, network, Path(models), bool(int(led)))))
