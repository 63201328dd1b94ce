// Where a run of equal bytes ends: label maps are long runs, so eight voxels are compared at a time.
#pragma once

#include <cstdint>
#include <cstring>

namespace whs {

inline std::int64_t run_end(const std::uint8_t* row, std::int64_t begin, std::int64_t n) {
    const std::uint8_t value = row[begin];
    const std::uint64_t pattern = 0x0101010101010101ULL * value;
    std::int64_t x = begin + 1;
    for (; x + 8 <= n; x += 8) {
        std::uint64_t word;
        std::memcpy(&word, row + x, 8);
        if (word != pattern)
            break;
    }
    while (x < n && row[x] == value)
        ++x;
    return x;
}

} // namespace whs
