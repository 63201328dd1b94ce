#!/bin/sh
# The kernel tests under the sanitizers (GCC on Linux): address and undefined behaviour, then threads.
#
#   tests/run_sanitized.sh [PYTHON]
#
# PYTHON is an interpreter with the test dependencies, nanobind, cmake and ninja (default: that of .venv). It runs with
# -S, so that no installed or editable whs_fast is found, only the sanitized build. Leaks are not looked for: Python
# itself leaves memory at exit. Comparisons with other libraries (marker "peer") are left out: they are slow here and
# test no more. The thread sanitizer sees the tests that run a kernel on several threads.
set -eu
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
scripts=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
executable=$("$python" -c 'import sys; print(sys.executable)')
PATH=$scripts:$PATH
export ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:allocator_may_return_null=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:exitcode=66
export OPENBLAS_NUM_THREADS=1

# The thread sanitizer of GCC 12 cannot start where the system scatters memory widely.
fixed=$(setarch -R true 2>/dev/null && echo setarch -R || true)

# under PRESET LIBRARY... -- PYTEST_ARGUMENT...
under() {
    build=build/$1
    cmake --preset "$1" -DPython_EXECUTABLE="$executable" --log-level=WARNING
    cmake --build --preset "$1" --parallel 2
    shift
    preload=
    while [ "$1" != -- ]; do
        preload=$preload:$(c++ -print-file-name="$1")
        shift
    done
    shift
    rm -rf "$build/site"
    cmake --install "$build" --prefix "$build/site" >/dev/null
    : >"$build/site/whs_fast/__init__.py"
    # --capture=sys: reports go past pytest to the terminal.
    set -- -m pytest -q --capture=sys -p no:cacheprovider "$@" tests/kernels
    export PYTHONPATH="$PWD/$build/site:$PWD/tests:$packages"
    run="$fixed env LD_PRELOAD=${preload#:} $python -S"
    $run -c "import whs_fast._kernels as k; assert '$build' in k.__file__, k.__file__"
    $run "$@"
}

under address libasan.so libubsan.so libstdc++.so -- -m 'not peer'
under thread libtsan.so libstdc++.so -- -m 'not peer' -k 'thread or dense_vnet and equals_the_definition or wanted_box or only_air'
