"""An engine that lives long and is shared: nothing grows, nothing is left open, and all who share it get the same."""

import json
import os
import subprocess
import sys

import pytest
import SimpleITK as sitk
from support.dicom_cases import write
from support.phantom import make_models, make_phantom, to_image
from support.scans import zip_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc as Linux has it"),
]

RUNS, WARM_UP = 1100, 100  # from the middle of the first hundred to that of the last: a thousand
PHANTOM = make_phantom(spacing_mm=(6.0, 6.0, 6.0), shape=(26, 28, 28))

# Every way in, a refusal and a saving in turn. The region is a small one: what is lost a run does not depend on it.
LASTING = """
import gc, json, os, sys, time
from pathlib import Path
from statistics import median
from whs_fast import Engine, InputError
from whs_fast.machine import return_memory, tune_heap
from whs_fast.steps import region
region.REGION_SHAPE = (96, 96, 96)
place, runs, warm_up = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sources = [place / name for name in ("scan.nii.gz", "scan.nrrd", "study", "scan.zip", "broken.nii.gz")]

def memory():
    gc.collect()  # what waits to be collected is not lost
    return_memory()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(status["VmRSS"].split()[0])

def handles():
    time.sleep(1)  # threads that have done their work end
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

tune_heap()  # as services do
engine = Engine(threads=2, models=place)
taken = []
for number in range(warm_up + runs):
    if number == warm_up:
        before = handles()
    try:
        result = engine.run(sources[number % len(sources)])
        if number % 50 == 0:
            result.save(place / "out", overwrite=True)
        del result
    except InputError:
        assert number % len(sources) == 4
    if number >= warm_up and number % 10 == 9:
        taken.append(memory())
# Medians of ten: a single reading is off by as much as is asked about.
print(json.dumps([[median(taken[:10]), *before], [median(taken[-10:]), *handles()]]))
"""

SHARED = """
import hashlib, json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from whs_fast import Engine
place = Path(sys.argv[1])
engine = Engine(threads=1, models=place)
names = ["scan.nii.gz", "study", "scan.zip", "scan.nrrd"] * 2
with ThreadPoolExecutor(8) as pool:
    results = list(pool.map(lambda name: engine.run(place / name), names))
print(json.dumps([hashlib.sha256(result.labels.tobytes()).hexdigest() for result in results]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("endurance")
    make_models(place)
    for name in ("scan.nii.gz", "scan.nrrd"):
        sitk.WriteImage(to_image(PHANTOM), place / name)
    zip_folder(write(PHANTOM, place / "study"), place / "scan.zip")
    (place / "broken.nii.gz").write_bytes((place / "scan.nii.gz").read_bytes()[:-100])
    return place


def start(program, place, cache, *arguments):
    command = [sys.executable, "-c", program, str(place), *map(str, arguments)]
    environment = os.environ | {"WHS_FAST_CACHE": str(cache), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture(scope="module")
def used(place, tmp_path_factory):
    """Memory, descriptors and threads, before and after a thousand runs."""
    said, error = start(LASTING, place, tmp_path_factory.mktemp("cache"), RUNS, WARM_UP).communicate()
    assert error == ""
    return json.loads(said)


def test_a_thousand_runs_in_one_engine_leave_no_descriptor_or_thread(used):
    (_, *open_before), (_, *open_after) = used
    assert open_after == open_before


def test_a_thousand_runs_in_one_engine_take_no_more_memory(used):
    (memory_before, *_), (memory_after, *_) = used
    assert memory_after < 1.01 * memory_before


def test_eight_threads_in_each_of_four_processes_share_models_and_cache_and_get_the_same(place, tmp_path):
    processes = [start(SHARED, place, tmp_path) for _ in range(4)]
    said = [process.communicate() for process in processes]
    assert [error for _, error in said] == [""] * 4
    assert len({label for text, _ in said for label in json.loads(text)}) == 1
    assert len(list(tmp_path.rglob("*.network"))) == 3
    assert len(list(tmp_path.rglob("*"))) == 4  # the folder itself, and nothing half-written
