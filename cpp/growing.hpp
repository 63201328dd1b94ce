// Growth of labels into voxels beside them that are bright, or dark, enough: borders that a coarse network drew.
#pragma once

#include "views.hpp"

#include <cstdint>
#include <limits>
#include <span>

namespace whs {

// Where a label may grow. A voxel's HU must be above, or below, limits[own * labels + other] for label `own` to become
// `other`, which never happens at kNever. A label that grows must be one that becomes no other.
struct Limits {
    std::span<const std::int16_t> limits;
    std::int64_t labels;
    bool below;
};
constexpr std::int16_t kNever = std::numeric_limits<std::int16_t>::max();

// In passes, a voxel takes the label of a neighbour along an axis where its HU pass the limit. They are the mean of
// the voxel, which counts twice, and its six neighbours, for which it stands itself beyond the volume. Pass k looks
// along the axes of which `steps` is k or more. Of several labels the one of most neighbours is taken, of as many the
// lowest. Returns the voxels changed. Memory: a few bytes for each voxel changed.
std::int64_t grow_labels(View3<std::uint8_t> labels, View3<const std::int16_t> hu, const Limits& limits,
                         const Index3& steps, int threads);

} // namespace whs
