// Views of C-contiguous volumes indexed z, y, x (and class, where voxels hold several values). Extents and offsets are
// 64-bit; the caller owns the memory.
#pragma once

#include <array>
#include <cstdint>

namespace whs {

template <class T>
struct View3 {
    T* data;
    std::int64_t nz, ny, nx;

    std::int64_t size() const { return nz * ny * nx; }
    T* row(std::int64_t z, std::int64_t y) const { return data + (z * ny + y) * nx; }
};

template <class T>
struct View4 {
    T* data;
    std::int64_t nz, ny, nx, nc;
};

using Index3 = std::array<std::int64_t, 3>;

} // namespace whs
