#!/bin/sh
# The kernel tests under the address and undefined-behaviour sanitizers (GCC on Linux).
#
#   tests/run_sanitized.sh [PYTHON]
#
# PYTHON is an interpreter with the test dependencies, nanobind, cmake and ninja (default: that of .venv). It runs with
# -S, so that no installed or editable whs_fast is found, only the sanitized build. Leaks are not looked for: Python
# itself leaves memory at exit. Comparisons with other libraries (marker "peer") are left out: they are slow here and
# test no more.
set -eu
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
scripts=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
PATH=$scripts:$PATH
build=build/sanitizers
cmake --preset sanitizers -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" --log-level=WARNING
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
# --capture=sys: a report of the sanitizers goes past pytest to the terminal.
LD_PRELOAD=$preload "$python" -S -m pytest -q --capture=sys -p no:cacheprovider -m 'not peer' tests/kernels
