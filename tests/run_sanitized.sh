#!/bin/sh
# The kernel tests under the address and undefined-behaviour sanitizers (GCC or Clang on Linux).
#
#   tests/run_sanitized.sh [PYTHON]
#
# PYTHON is an interpreter with the test dependencies, nanobind, cmake and ninja (default: python). It runs with -S, so that
# no installed or editable whs_fast is found, only the sanitized build. Leaks are not looked for: Python itself leaves
# memory at exit. Comparisons with other libraries are left out (marker "peer"): they would only test those libraries slowly.
set -eu
python=${1:-python}
cd "$(dirname "$0")/.."
scripts=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
PATH=$scripts:$PATH
build=build/sanitizers
cmake --preset sanitizers -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" >"${TMPDIR:-/tmp}/whs_fast_cmake.$$" ||
    { cat "${TMPDIR:-/tmp}/whs_fast_cmake.$$"; exit 1; }
rm -f "${TMPDIR:-/tmp}/whs_fast_cmake.$$"
cmake --build --preset sanitizers --parallel 2
rm -rf "$build/site"
cmake --install "$build" --prefix "$build/site" >/dev/null
: >"$build/site/whs_fast/__init__.py"

export PYTHONPATH="$PWD/$build/site:$PWD/tests:$packages"
export ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:allocator_may_return_null=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export OPENBLAS_NUM_THREADS=1
preload=$(c++ -print-file-name=libasan.so):$(c++ -print-file-name=libubsan.so):$(c++ -print-file-name=libstdc++.so)
LD_PRELOAD=$preload "$python" -S -c "import whs_fast._kernels as k; assert '$build' in k.__file__, k.__file__"
LD_PRELOAD=$preload "$python" -S -m pytest -q -p no:cacheprovider -m 'not peer' tests/test_kernel_*.py
