"""What the machine and the installation offer, and what the process has used: threads, memory, CPU features, extras.

Each answer comes from the system directly, so that no further dependency is needed.
"""

import ctypes
import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

from whs_fast.errors import InputError

# The instruction sets that decide how fast int8 networks run.
_FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")

# By extra of pyproject.toml: module, and the package that holds it.
_MODULES = {
    "cohort": {"scipy": "scipy", "matplotlib": "matplotlib"},
    "dicom": {"pydicom": "pydicom", "highdicom": "highdicom", "pynetdicom": "pynetdicom"},
    "mesh": {"skimage": "scikit-image", "scipy": "scipy"},
    "report": {"plotly": "plotly", "skimage": "scikit-image", "scipy": "scipy"},
}


def available_threads() -> int:
    """Number of CPUs that this process may use: its affinity, and the quota of its container where that is smaller."""
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
    """Largest resident memory of this process so far in MB (10^6 bytes), or None where the system does not tell."""
    if sys.platform == "win32":
        return _windows_peak_mb()
    try:
        # Linux: ru_maxrss is inherited from the program that started this one; VmHWM belongs to this process alone.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def return_memory() -> None:
    """Gives memory that was freed back to the system, where the C library keeps it for later (glibc).

    glibc takes blocks from the heap once as large ones were freed, and a heap shrinks from its end only: an engine that
    lives on would keep two to three times what it needs.
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
