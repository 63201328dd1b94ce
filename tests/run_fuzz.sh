#!/bin/sh
# The fuzz targets of cpp/fuzz under the address and undefined-behaviour sanitizers (clang with libFuzzer), one after
# the other.
#
#   tests/run_fuzz.sh [SECONDS] [PYTHON]
#
# SECONDS is the time of each (default: 600), PYTHON an interpreter with nanobind, cmake and ninja (default: that of
# .venv). What they learn stays in build/fuzz/corpus; an input that is a finding, in build/fuzz, with its report.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-600}
python=${2:-.venv/bin/python}
PATH=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))'):$PATH
cmake --preset fuzz -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" --log-level=WARNING
cmake --build --preset fuzz --parallel 2
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
for target in components resample sampling upsample dense_vnet; do
    corpus=build/fuzz/corpus/$target
    mkdir -p "$corpus"
    printf '%s: ' "$target"
    if ! build/fuzz/fuzz_$target "$corpus" -max_total_time="$seconds" -max_len=4096 -timeout=60 -rss_limit_mb=2048 \
        -artifact_prefix="build/fuzz/$target-" -print_final_stats=1 2>"build/fuzz/$target.txt"; then
        tail -n 60 "build/fuzz/$target.txt"
        exit 1
    fi
    sed -n 's/^Done //p' "build/fuzz/$target.txt"
done
