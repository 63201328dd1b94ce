"""Hands out the scans: to processes of this machine, or to the workers of a Dask cluster that is there.

The scheduler holds nothing that is not in files too, so it may die: what was not finished is handed out again as soon
as one answers. A scan whose workers die is given up after two tries, which its file of tries counts: Dask's own count
blames every scan that waited on a dying worker.
"""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from whs_fast.batching.records import Record, Row, count_tries, forget_tries, write_record
from whs_fast.batching.working import MOST_TRIES, Task, do, ended_workers
from whs_fast.errors import InputError, ModelError, OutputError
from whs_fast.machine import available_memory, available_threads
from whs_fast.temporary import temporary_folder

if TYPE_CHECKING:
    from distributed import Client

WORKER_BYTES = 1_000_000_000  # a run on 512 x 512 x 400 voxels stays below 0.7 GB; longer scans take more
_IN_FLIGHT = 1000  # scans that Dask knows of at a time
_MOST_DEATHS = 4  # of workers that were given a scan; more than its tries, since they may die before they begin
_WAIT_S = 30.0  # for a scheduler at the start
_PATIENCE_S = 600.0  # for one that was lost

# Of the local cluster. Workers hold one scan at a time, on which a worker that dies can then be blamed; a scan's memory
# is its own, not Dask's to move to disk; and there is nothing to profile.
_LOCAL = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 100,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.http.routes": [],
    "distributed.admin.low-level-log-length": 0,
    "distributed.comm.timeouts.connect": "60s",
}
_SILENT = logging.CRITICAL + 1  # what Dask says of workers that die and connections that end; rows say it in one line


def size_cluster(workers: int | None, threads_per_worker: int | None) -> tuple[int, int]:
    """Workers and threads of each: those asked for, else what keeps all processors busy within the memory.

    One thread a scan, as many scans as there are processors: no thread waits for another. Where memory does not hold
    so many scans, each takes more threads. Raises InputError for numbers below 1.
    """
    for name, value in (("workers", workers), ("threads per worker", threads_per_worker)):
        if value is not None and value < 1:
            raise InputError(f"{name}: needs 1 or more, not {value}")
    threads = available_threads()
    if workers is None:
        memory = available_memory()
        fitting = threads if memory is None else max(1, memory // WORKER_BYTES)
        workers = max(1, min(threads // (threads_per_worker or 1), fitting))
    return workers, threads_per_worker or max(1, threads // workers)


def run_tasks(
    tasks: Sequence[Task], *, workers: int, scheduler: str | None, dashboard: bool
) -> Iterator[tuple[Task, list[Row]]]:
    """Gives each task with its rows as it ends, in whatever order.

    Raises OutputError, ModelError or InputError, and leaves the rest undone, where no scan can be done any more.
    """
    left = {task.scan.name: task for task in tasks}
    deaths = Counter[str]()
    wait_s = _WAIT_S
    with _address(workers, scheduler, dashboard) as target:
        while left:
            with _connect(target, wait_s) as client:
                for task in left.values():
                    forget_tries(task.places, task.scan.name)
                for task, rows in _run_connected(client, list(left.values()), deaths):
                    del left[task.scan.name]
                    yield task, rows
            wait_s = _PATIENCE_S


def _run_connected(client: "Client", tasks: Sequence[Task], deaths: Counter[str]) -> Iterator[tuple[Task, list[Row]]]:
    """What run_tasks does, for as long as the scheduler is there."""
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    waiting = list(reversed(tasks))
    given: dict[str, Task] = {}
    ended = as_completed(loop=client.loop)

    def give(task: Task) -> None:
        # A key is a random number: the scheduler logs it, and a name may be a patient's.
        future = client.submit(do, task, key=f"whs_fast-{secrets.token_hex(12)}", pure=False)
        given[future.key] = task
        ended.add(future)

    while waiting and len(given) < _IN_FLIGHT:
        give(waiting.pop())
    for future in ended:
        task = given.pop(future.key)
        name = task.scan.name
        if future.status == "error":
            error = future.exception()
            if not isinstance(error, KilledWorker):
                raise _explain(error)
            deaths[name] += 1
            tries = count_tries(task.places, name)
            if tries < MOST_TRIES and deaths[name] < _MOST_DEATHS:
                give(task)
                continue
            rows = [ended_workers(task, tries)]
            write_record(task.places, name, Record(task.key, rows))
        else:
            try:
                rows = future.result()
            except (OSError, CancelledError):
                return  # the scheduler was lost, and all that it held
        yield task, rows
        if waiting:
            give(waiting.pop())


def _explain(error: Exception) -> Exception:
    """What a batch ends with that cannot go on, in our own words."""
    if isinstance(error, (InputError, OutputError, ModelError)):
        return error
    return InputError(
        f"a worker cannot do this work ({type(error).__name__}): install the same whs-fast[batch] where the scheduler "
        "and the workers run"
    )


@contextmanager
def _address(workers: int, scheduler: str | None, dashboard: bool) -> Iterator[Any]:
    """What a client connects to: the address given, or a cluster of this machine, until the block ends."""
    import dask

    # Heeded where distributed is imported for the first time: by the command line, and by workers.
    silent = ("distributed", "distributed.client", "asyncio")
    dask.config.set({"logging": dict.fromkeys(silent, _SILENT)})
    from distributed import LocalCluster  # before other settings, which would take its own with them when they end

    if scheduler is not None:
        yield scheduler
        return
    memory = available_memory()
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_LOCAL))
        scratch = stack.enter_context(temporary_folder("batch"))
        yield stack.enter_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0 if memory is None else memory // workers,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:8787" if dashboard else None,
                scheduler_kwargs={} if dashboard else {"dashboard_address": "127.0.0.1:0"},
                security=True,  # else whoever else is on this machine could hand its workers code to run
                local_directory=str(scratch),
                silence_logs=_SILENT,
            )
        )


@contextmanager
def _connect(target: Any, wait_s: float) -> Iterator["Client"]:
    """A client of the scheduler, which is waited for."""
    from distributed import Client

    end = time.monotonic() + wait_s
    while True:
        try:
            client = Client(target, timeout=min(_WAIT_S, wait_s), set_as_default=False)
            break
        except (OSError, TimeoutError) as error:
            if time.monotonic() > end:
                raise InputError(
                    f"scheduler {target}: found none that answers within {wait_s:.0f} s, expected that of a Dask "
                    "cluster, such as tcp://HOST:8786"
                ) from error
            time.sleep(1.0)
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=5)
