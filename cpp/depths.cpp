// Exact, one axis after the other: the least, along a line, of what was found so far plus the square of the way to it.
// Each voxel looks outwards only as far as that can still be less, so thin structures cost little, however large the
// volume is.
#include "depths.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace whs {
namespace {

void deepen(std::int32_t* own, std::int64_t stride, std::int64_t n, std::int32_t* line) {
    for (std::int64_t i = 0; i < n; ++i)
        line[i] = own[i * stride];
    for (std::int64_t i = 0; i < n; ++i) {
        std::int32_t least = line[i];
        for (std::int64_t away = 1; away < n && away * away < least; ++away)
            for (const std::int64_t other : {i - away, i + away})
                if (other >= 0 && other < n)
                    least = std::min(least, line[other] + static_cast<std::int32_t>(away * away));
        own[i * stride] = least;
    }
}

} // namespace

void squared_depths(View3<const std::uint8_t> mask, View3<std::int32_t> out) {
    require_same_shape(mask, out);
    const Index3 n = mask.extent(), strides = mask.strides();
    if (std::max({n[0], n[1], n[2]}) > 16384) // three squares must fit
        throw std::invalid_argument("the mask is longer than 16384 voxels along an axis");
    std::transform(mask.data, mask.data + mask.size(), out.data, [](std::uint8_t m) { return m ? kDeepest : 0; });
    std::vector<std::int32_t> line(static_cast<std::size_t>(std::max({n[0], n[1], n[2]})));
    for (std::size_t axis = 0; axis < 3; ++axis)
        for (std::int64_t block = 0; block < mask.size(); block += strides[axis] * n[axis])
            for (std::int64_t first = block; first < block + strides[axis]; ++first)
                deepen(out.data + first, strides[axis], n[axis], line.data());
}

} // namespace whs
