"""Memory that runs out in a thread of a kernel comes home as MemoryError, wherever it runs out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Runs the network in forks under limits of address space from too little for one thread to enough for all.
SWEEP = """
import os, resource
import numpy as np
from kernels.test_dense_vnet import draw_network
from whs_fast import _kernels as kernels

STEP, THREADS = 1 << 17, 6
FASTEST = kernels.instruction_sets()[0]
network = draw_network(((4,), (4,)), (4, 4), 4, 2)
region = np.zeros((8, 8, 160_000), np.uint8)  # rows so long that what a thread keeps of one counts
logits = np.empty((4, 4, 80_000, 2), np.int8)

def outcome(threads, room):
    child = os.fork()
    if child == 0:
        status = 3
        try:
            with open("/proc/self/statm") as file:
                limit = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE") + room
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            kernels.dense_vnet(region, logits, **network, threads=threads, instructions=FASTEST)
            status = 0
        except MemoryError:
            status = 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

low, high = 0, 1 << 28  # what is enough for one thread lies between
while high - low > STEP:
    middle = (low + high) // 2
    low, high = (low, middle) if outcome(1, middle) == 0 else (middle, high)
print(*[outcome(THREADS, high + STEP * (step - 4)) for step in range(40)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
def test_memory_that_runs_out_in_a_thread_is_a_memory_error():
    import resource

    small_stacks = 1 << 18
    done = subprocess.run(
        [sys.executable, "-c", SWEEP],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "MALLOC_ARENA_MAX": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (small_stacks, resource.RLIM_INFINITY)),
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"0", "1"}, done.stdout  # done or MemoryError; a killed process is below 0
