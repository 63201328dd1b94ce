"""One kernel bound with nanobind and with pybind11: size of the binary, time to import it, time of a call.

Builds both in a temporary folder (CMake, Ninja), checks that both give the same components and refuse the same
arguments, and prints a table. A call labels one voxel, so that nearly all of its time is the binding's.

    python bench/bindings/compare.py
"""

from __future__ import annotations

import importlib
import statistics
import subprocess
import sys
import tempfile
import timeit
from pathlib import Path

import numpy as np

BINDINGS = ("nanobind", "pybind11")
IMPORTS, CALLS, REPEATS = 21, 20_000, 15


def build(folder: Path) -> dict[str, float]:
    """Build both into the folder; seconds that the binding's own file takes to compile, by binding."""
    configure = ["cmake", "-S", str(Path(__file__).parent), "-B", str(folder), "-G", "Ninja"]
    options = ["-DCMAKE_BUILD_TYPE=Release", f"-DPython_EXECUTABLE={sys.executable}"]
    subprocess.run([*configure, *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(folder), "-j2"], check=True, stdout=subprocess.DEVNULL)
    seconds = {}
    for line in (folder / ".ninja_log").read_text().splitlines()[1:]:
        begin, end, _, output, _ = line.split("\t")
        for binding in BINDINGS:
            if output.endswith(f"with_{binding}.cpp.o"):
                seconds[binding] = (int(end) - int(begin)) / 1000
    return seconds


def binary(folder: Path, binding: str) -> Path:
    (path,) = folder.glob(f"with_{binding}*.so")
    return path


def import_ms(folder: Path, binding: str) -> float:
    """Median over fresh processes, each with numpy and the file's pages loaded before."""
    code = (
        f"import sys, time, numpy; sys.path.insert(0, {str(folder)!r}); begin = time.perf_counter();"
        f"import with_{binding}; print(time.perf_counter() - begin)"
    )
    times = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(IMPORTS)]
    return statistics.median(times) * 1e3


def call_ns(function: object) -> float:
    labels, out = np.zeros((1, 1, 1), np.uint8), np.zeros((1, 1, 1), np.uint32)
    scope = {"f": function, "a": labels, "b": out}
    return min(timeit.repeat("f(a, b, 6, threads=1)", globals=scope, number=CALLS, repeat=REPEATS)) / CALLS * 1e9


def check(function: object) -> np.ndarray:
    """Components of a random volume; arguments that must be refused are refused."""
    labels = np.random.default_rng(0).integers(0, 3, (20, 30, 40), np.uint8)
    out = np.empty(labels.shape, np.uint32)
    assert callable(function)
    function(labels, out, 6, threads=2)
    for wrong in (labels.astype(np.int16), labels[:, ::2], labels[0]):
        try:
            function(wrong, out, 6)
        except TypeError:
            continue
        raise AssertionError("a wrong array was taken")
    return out


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiled_s = build(folder)
        for binding in BINDINGS:
            subprocess.run(["strip", str(binary(folder, binding))], check=True)
        sys.path.insert(0, name)
        functions = {b: importlib.import_module(f"with_{b}").connected_components for b in BINDINGS}
        results = [check(function) for function in functions.values()]
        np.testing.assert_array_equal(*results)
        print("| binding | binary, stripped | compilation | import | call |\n|---|---|---|---|---|")
        for binding, function in functions.items():
            size_kb = binary(folder, binding).stat().st_size / 1000
            print(
                f"| {binding} | {size_kb:.0f} kB | {compiled_s[binding]:.1f} s "
                f"| {import_ms(folder, binding):.2f} ms | {call_ns(function):.0f} ns |"
            )


if __name__ == "__main__":
    main()
