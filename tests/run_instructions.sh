#!/bin/sh
# Builds tests/check_instructions.cpp and runs it here, and for 64-bit ARM under qemu-user.
#
#   tests/run_instructions.sh
#
# Debian: g++-aarch64-linux-gnu and qemu-user. Without them it fails: nothing is left out silently.
set -eu
cd "$(dirname "$0")/.."
check() {
    name=$1
    shift
    cmake -S . -B "build/check-$name" -G Ninja -DCMAKE_BUILD_TYPE=Release -DWHS_FAST_CHECK=ON --log-level=WARNING "$@"
    cmake --build "build/check-$name" --parallel 2 --target check_instructions
}
check native
build/check-native/check_instructions portable
check aarch64 -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu max build/check-aarch64/check_instructions neon_i8mm neon_dot portable
qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu cortex-a72 build/check-aarch64/check_instructions portable
