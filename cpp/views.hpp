// Views of C-contiguous volumes indexed z, y, x (and class, where voxels hold several values). Extents and offsets are
// 64-bit; the caller owns the memory.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <type_traits>

namespace whs {

using Index3 = std::array<std::int64_t, 3>;

// [first, last) along an axis.
struct Range {
    std::int64_t first = 0, last = 0;

    std::int64_t size() const { return last - first; }
};

struct Box {
    Range planes, rows, columns;
};

template <class T>
struct View3 {
    T* data;
    std::int64_t nz, ny, nx;

    std::int64_t size() const { return nz * ny * nx; }
    Index3 extent() const { return {nz, ny, nx}; }
    Index3 strides() const { return {ny * nx, nx, 1}; }
    T* row(std::int64_t z, std::int64_t y) const { return data + (z * ny + y) * nx; }
    operator View3<const T>() const
        requires(!std::is_const_v<T>)
    {
        return {data, nz, ny, nx};
    }
};

template <class A, class B>
void require_same_shape(const View3<A>& one, const View3<B>& other) {
    if (one.extent() != other.extent())
        throw std::invalid_argument("the arrays differ in shape, must have the same");
}

template <class T>
struct View4 {
    T* data;
    std::int64_t nz, ny, nx, nc;

    std::int64_t voxels() const { return nz * ny * nx; }
    Index3 extent() const { return {nz, ny, nx}; }
    Index3 strides() const { return {ny * nx, nx, 1}; } // in voxels
};

} // namespace whs
