"""Threads, memory and features of the machine."""

import gzip
import os
import platform
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from whs_fast import machine
from whs_fast.errors import InputError
from whs_fast.machine import available_memory, available_threads, check_memory, cpu_features


def test_threads_are_those_this_process_may_use():
    assert 1 <= available_threads() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_threads_follow_the_affinity():
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "import whs_fast.machine; print(whs_fast.machine.available_threads())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_peak_memory_grows_with_what_is_touched():
    program = "import whs_fast.machine as m; print(m.peak_memory_mb()); b'x' * 200_000_000; print(m.peak_memory_mb())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert 5 < before <= after - 150


def test_peak_memory_is_this_process_alone():
    """A small program started by a large one must not report the large one's peak."""
    block = np.ones(50_000_000)
    program = "import whs_fast.machine as m; print(m.peak_memory_mb())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100 < block.nbytes / 1e6


def test_features_are_known_ones_in_order():
    features = cpu_features()
    assert len(set(features)) == len(features)
    if sys.platform == "linux":
        assert features


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
def test_freed_memory_goes_back_to_the_system():
    """200 MB of blocks that come from the heap, whose end is held by the last of them."""
    program = """
from pathlib import Path
from whs_fast.machine import return_memory
def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
blocks = [b"x" * (100_000 + n) for n in range(2000)]
del blocks[:-1]
kept = resident_mb()
return_memory()
print(kept > 150, resident_mb() < kept - 150)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
@pytest.mark.parametrize(("tune", "kept"), [("", False), ("tune_heap()", True)])
def test_a_tuned_heap_keeps_what_was_freed_whatever_the_environment_says(tune, kept):
    """8 MB taken and freed 25 times: the share of pages that come from the system is near 1, or near 1 in 25."""
    program = f"""
import resource
from whs_fast.machine import tune_heap
{tune}
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(25):
    b"x" * (8 << 20)
taken = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(taken * resource.getpagesize() / (25 * (8 << 20)))
"""
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert (float(done.stdout) < 0.2) if kept else (float(done.stdout) > 0.9)


GIB = 1 << 30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Writes what Linux tells of memory into files of the test's own; without any, nothing is known."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    for name, place in (("_PROCESS", "process"), ("_CGROUPS", "cgroups"), ("_MEMORY", "meminfo")):
        monkeypatch.setattr(machine, name, tmp_path / place)
    return write


def in_cgroup(folder, version, most, used, files=0):
    """The files of a cgroup that may have so many bytes and has used others, some of them for files."""
    start = f"cgroups__{folder}"
    if version == 2:
        return {
            f"{start}memory.max": f"{most}\n",
            f"{start}memory.current": f"{used}\n",
            f"{start}memory.stat": f"anon 5\ninactive_file {files}\nactive_file 0\n",
        }
    return {
        f"{start}memory.limit_in_bytes": f"{most}\n",
        f"{start}memory.usage_in_bytes": f"{used}\n",
        f"{start}memory.stat": f"cache 7\ninactive_file 3\ntotal_inactive_file 0\ntotal_active_file {files}\n",
    }


def test_memory_is_what_the_machine_has_free(system):
    assert available_memory() is None
    check_memory((1 << 20, 1 << 20, 1 << 20), "scan")
    system(meminfo="MemTotal: 9000000 kB\nMemFree: 1000 kB\nMemAvailable:    2000000 kB\nSwapFree: 500000 kB\n")
    assert available_memory() == 2_500_000 << 10


@pytest.mark.parametrize(
    ("line", "files", "expected"),
    [
        ("0::/job/step", in_cgroup("job__step__", 2, 2 * GIB, GIB), GIB),
        ("0::/job/step", in_cgroup("job__step__", 2, 2 * GIB, GIB, files=GIB // 2), GIB + GIB // 2),
        (
            "0::/job/step",
            in_cgroup("job__", 2, 2 * GIB, GIB // 2) | in_cgroup("job__step__", 2, "max", 0),
            3 * GIB // 2,
        ),
        ("0::/unseen/in/here", in_cgroup("", 2, GIB, 0), GIB),
        ("4:cpu,memory:/job", in_cgroup("memory__job__", 1, 2 * GIB, GIB, files=100), GIB + 100),
        ("4:memory:/unseen", in_cgroup("memory__", 1, GIB, 10), GIB - 10),
        ("4:memory:/job\n0::/", in_cgroup("memory__job__", 1, GIB, 2 * GIB), 0),
        ("4:cpu:/job", in_cgroup("memory__job__", 1, GIB, 0), None),
    ],
)
def test_memory_is_what_the_cgroups_leave(line, files, expected, system):
    system(process__cgroup=f"9:name=systemd:/\n{line}\n", **files)
    assert available_memory() == expected


def test_memory_is_the_least_that_anybody_leaves(system):
    system(process__cgroup="0::/\n", meminfo="MemAvailable: 1000 kB\n", **in_cgroup("", 2, GIB, 0))
    assert available_memory() == 1000 << 10


def test_what_needs_more_than_there_is_is_refused_in_one_line(system):
    system(meminfo="MemAvailable: 300000 kB\n")
    check_memory((400, 500, 512), "scan")
    with pytest.raises(InputError) as caught:
        check_memory((400, 512, 512), "scan")
    assert str(caught.value) == (
        "scan: found 512 x 512 x 400 voxels, which need 315 MB of memory with their labels; this process may still "
        "take 307 MB"
    )
    with pytest.raises(InputError, match="may still take 307 MB"):
        check_memory((400, 500, 512), "scan", beside=10_000_000)


PROMISE = """
import gzip, resource, struct, sys
from pathlib import Path
from whs_fast.errors import InputError
from whs_fast.reading.labels import read_labels
from whs_fast.reading.scan import read
from whs_fast import machine
base = Path(sys.argv[1])
limit = getattr(resource, sys.argv[2])
resource.setrlimit(limit, (1 << 30, resource.RLIM_INFINITY))
for read_it in (read, lambda path: read_labels(path, {})):
    before = machine.peak_memory_mb()
    try:
        read_it(base)
    except InputError as error:
        print(error)
    assert machine.peak_memory_mb() - before < 50
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_a_header_that_promises_more_than_the_process_may_have_is_refused_before_it_is_taken(limit, suffix, tmp_path):
    path = tmp_path / f"scan{suffix}"
    if suffix == ".nrrd":
        header = (
            "NRRD0004\ntype: short\ndimension: 3\nspace: LPS\nsizes: 1200 1200 1200\nencoding: gzip\nendian: little\n"
            "space directions: (0.3,0,0) (0,0.3,0) (0,0,0.3)\nspace origin: (0,0,0)\n\n"
        )
        path.write_bytes(header.encode() + gzip.compress(bytes(1 << 20)))
    else:
        image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.diag([0.3, 0.3, 0.3, 1.0]))
        content = bytearray(image.to_bytes())
        content[40:48] = np.array([3, 1200, 1200, 1200], "<i2").tobytes()
        path.write_bytes(gzip.compress(bytes(content)))
    done = subprocess.run(
        [sys.executable, "-c", PROMISE, str(path), limit],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.stderr == ""
    scan, labels = done.stdout.splitlines()
    for line in (scan, labels):
        assert line.startswith(f"{path}: found 1200 x 1200 x 1200 voxels, which need 5184 MB of memory")
