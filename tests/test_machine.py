"""Threads, memory and features of the machine."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from whs_fast.machine import available_threads, cpu_features


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
