"""What the machine and the installation offer, and what the process has used: threads, memory, CPU features, extras.

Each answer comes from the system directly, so that no further dependency is needed.
"""

import ctypes
import math
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from whs_fast.errors import InputError

# The instruction sets that decide how fast int8 networks run.
_FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h

# Where Linux tells of memory.
_PROCESS, _CGROUPS, _MEMORY = Path("/proc/self"), Path("/sys/fs/cgroup"), Path("/proc/meminfo")

# By extra of pyproject.toml: module, and the package that holds it.
_MODULES = {
    "batch": {
        "dask": "dask",
        "distributed": "distributed",
        "pyarrow": "pyarrow",
        "cryptography": "cryptography",
    },
    "cohort": {"scipy": "scipy", "matplotlib": "matplotlib"},
    "dicom": {"pydicom": "pydicom", "highdicom": "highdicom", "pynetdicom": "pynetdicom"},
    "dicomweb": {"dicomweb_client": "dicomweb-client", "pydicom": "pydicom", "highdicom": "highdicom"},
    "mesh": {"skimage": "scikit-image", "scipy": "scipy"},
    "rtstruct": {"pydicom": "pydicom", "highdicom": "highdicom", "skimage": "scikit-image"},
    "serve": {"starlette": "starlette", "uvicorn": "uvicorn", "python_multipart": "python-multipart"},
    "view": {"ipyniivue": "ipyniivue", "starlette": "starlette", "uvicorn": "uvicorn"},
    "report": {"plotly": "plotly", "skimage": "scikit-image", "scipy": "scipy"},
}


def available_threads() -> int:
    """Number of CPUs that this process may use: its affinity, or the quota of its container if that is smaller."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return count


def choose_threads(threads: int | None) -> int:
    """The number of threads asked for, or as many as this process may use. Raises InputError for fewer than one."""
    if threads is None:
        return available_threads()
    if threads < 1:
        raise InputError(f"threads: needs 1 or more, not {threads}")
    return threads


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process so far in MB (10^6 bytes), or None where the system does not report it."""
    if sys.platform == "win32":
        return _windows_peak_mb()
    try:
        # Linux: ru_maxrss is inherited from the program that started this one; VmHWM is this process's own.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def available_memory() -> int | None:
    """Bytes that this process may still take: by its own limits, those of its container, and what the machine has free.

    None where the system does not tell.
    """
    found = [*_left_of_own_limits(), *_left_in_cgroups(), *_left_on_machine()]
    return max(0, min(found)) if found else None


def check_memory(shape: tuple[int, int, int], name: str, *, beside: int = 0) -> None:
    """Refuses a grid (z, y, x) whose HU and labels, 3 bytes a voxel, are more than this process may still take.

    `name` is what the message calls the source, `beside` the bytes that reading takes meanwhile. To be asked before
    memory is taken: Linux gives more than there is, and ends the process that uses it. Raises InputError.
    """
    needed, available = 3 * math.prod(shape) + beside, available_memory()
    if available is not None and needed > available:
        size = " x ".join(map(str, shape[::-1]))
        raise InputError(
            f"{name}: found {size} voxels, which need {needed / 1e6:.0f} MB of memory with their labels; this process "
            f"may still take {available / 1e6:.0f} MB"
        )


def tune_heap() -> None:
    """Lets all threads take memory from one heap, which keeps what was freed until return_memory (glibc), from now on.

    Each thread of a run would else have a heap of its own, of which the C library gives back less than of the first:
    over 1,000 runs a process grew by several per cent. The kernels take their memory before they start threads. The
    thresholds are those that glibc finds by itself in time, but not where it was told others: Dask has its workers give
    back 64 kB, which made a scan ask for its memory 13 times over. It is for processes of ours that live long; a
    library must not change the heap of the program that loads it.
    """
    if sys.platform == "linux":
        change = getattr(ctypes.CDLL(None), "mallopt", None)
        if change is not None:
            change(_M_ARENA_MAX, 1)
            change(_M_MMAP_THRESHOLD, 32 << 20)
            change(_M_TRIM_THRESHOLD, 64 << 20)


def return_memory() -> None:
    """Returns freed memory to the system, where the C library keeps it for later (glibc).

    Once a large block was freed, glibc takes blocks of that size from the heap, and a heap shrinks only from its end:
    a long-lived engine would keep two to three times what it needs.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def cpu_features() -> list[str]:
    """Instruction sets of this CPU that matter to the networks; empty where they are not listed (macOS, Windows)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            present = set(value.split())
            return [feature for feature in _FEATURES if feature in present]
    return []


def describe_system() -> str:
    """Operating system and processor family in a few words."""
    return f"{platform.system()} {platform.release()}, {platform.machine()}, Python {platform.python_version()}"


def require_extra(extra: str, purpose: str) -> None:
    """Checks that an extra is installed.

    Args:
        extra: its name in pyproject.toml.
        purpose: what needs it, as the message begins: "meshes", "the command cohort-table".

    Raises:
        InputError: a library of the extra is missing; the line names it and how to install it.
    """
    missing = [package for module, package in _MODULES[extra].items() if find_spec(module) is None]
    if missing:
        raise InputError(f"{purpose} needs {' and '.join(missing)}: pip install 'whs-fast[{extra}]'")


def _left_of_own_limits() -> Iterator[int]:
    """What RLIMIT_AS and RLIMIT_DATA (ulimit -v and -d) leave."""
    if sys.platform == "win32":
        return
    import resource

    with suppress(OSError, ValueError):
        pages = [int(text) for text in (_PROCESS / "statm").read_text(encoding="ascii").split()]
        for limit, used in ((resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5])):
            most = resource.getrlimit(limit)[0]
            if most != resource.RLIM_INFINITY:
                yield most - used * resource.getpagesize()


def _left_in_cgroups() -> Iterator[int]:
    """What the memory limits of the process's cgroup and those above it leave, of versions 1 and 2."""
    try:
        lines = (_PROCESS / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, most, used = _CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            top, most, used = _CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # Seen from within a container the path may lead nowhere; the container's own limit is then at the top.
        own = top / path.strip("/")
        for folder in [own, *own.parents]:
            if folder.is_relative_to(top):
                with suppress(OSError, ValueError):  # "max", or no such file
                    yield _number(folder / most) - _number(folder / used) + _cached(folder / "memory.stat")


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


def _cached(statistics: Path) -> int:
    """Bytes of files that a cgroup holds in memory and gives up when it needs the room."""
    try:
        found = dict(line.split() for line in statistics.read_text(encoding="ascii").splitlines())
    except OSError:
        return 0
    return sum(int(found.get(f"total_{key}", found.get(key, 0))) for key in ("active_file", "inactive_file"))


def _left_on_machine() -> Iterator[int]:
    """Memory that is free or can be freed, and swap space."""
    with suppress(OSError, ValueError):
        lines = _MEMORY.read_text(encoding="ascii").splitlines()
        found = {key: int(value.split()[0]) << 10 for key, _, value in (line.partition(":") for line in lines)}
        if "MemAvailable" in found:
            yield found["MemAvailable"] + found.get("SwapFree", 0)


def _windows_peak_mb() -> float | None:
    class Counters(ctypes.Structure):
        _fields_ = (
            ("cb", ctypes.c_uint32),
            ("faults", ctypes.c_uint32),
            ("peak", ctypes.c_size_t),
            ("rest", ctypes.c_size_t * 7),
        )

    counters = Counters(cb=ctypes.sizeof(Counters))
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  (the name exists on Windows only)
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.K32GetProcessMemoryInfo.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)
    if not kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
        return None
    return round(float(counters.peak) / 1e6, 1)
