#!/bin/sh
# Compiles the kernels, without the binding, for the systems whose wheels are built elsewhere; a warning is an error.
#
#   tests/run_cross_builds.sh [PYTHON]
#
# The Python package ziglang brings a Clang and the C and C++ libraries of each system: pip install ziglang cmake ninja.
# PYTHON (default python3) is one that has it. What comes out is run by nobody: tests/run_instructions.sh runs what can
# be emulated, and the project's workflows run the rest on the systems themselves.
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
mkdir -p build/cross
for tool in c++ ar ranlib; do
    # Zig has names of its own for what CMakeLists.txt asks of ARM.
    cat >"build/cross/$tool" <<END
#!/usr/bin/env bash
exec "$python" -m ziglang $tool "\${@/#-march=armv8.2-a/-march=generic+v8_2a}"
END
    chmod +x "build/cross/$tool"
done
check() {
    target=$1 system=$2 processor=$3
    printf '== %s\n' "$target"
    cmake -S . -B "build/cross-$target" -G Ninja --log-level=WARNING -DCMAKE_BUILD_TYPE=Release -DWHS_FAST_CHECK=ON \
        -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DCMAKE_SYSTEM_NAME="$system" -DCMAKE_SYSTEM_PROCESSOR="$processor" \
        -DCMAKE_CXX_COMPILER="$PWD/build/cross/c++" -DCMAKE_CXX_FLAGS="-target $target" \
        -DCMAKE_HAVE_LIBC_PTHREAD=ON -DCMAKE_AR="$PWD/build/cross/ar" \
        -DCMAKE_RANLIB="$PWD/build/cross/ranlib"
    cmake --build "build/cross-$target" --parallel 2 --target check_instructions
}
check x86_64-linux-gnu.2.28 Linux x86_64
check aarch64-linux-gnu.2.28 Linux aarch64
check aarch64-macos Darwin arm64
check x86_64-macos Darwin x86_64
check x86_64-windows-gnu Windows AMD64
