// Growth of labels into brighter voxels beside them: borders that a coarse network drew too far inside.
#pragma once

#include "views.hpp"

#include <cstdint>
#include <limits>
#include <span>

namespace whs {

// What a voxel's HU must exceed for label `own` to become `other`: limits[own * labels + other]. kNever is not
// exceeded. A label that grows must be one that becomes no other.
struct Limits {
    std::span<const std::int16_t> limits;
    std::int64_t labels;
};
constexpr std::int16_t kNever = std::numeric_limits<std::int16_t>::max();

// In passes, a voxel takes the label of a neighbour along an axis where its HU exceed the limit. They are the mean of
// the voxel, which counts twice, and its six neighbours, for which it stands itself beyond the volume. Pass k looks
// along the axes of which `steps` is k or more. Of several labels the one of most neighbours is taken, of as many the
// lowest. Returns the voxels changed. Memory: a few bytes for each voxel changed.
std::int64_t grow_labels(View3<std::uint8_t> labels, View3<const std::int16_t> hu, const Limits& limits,
                         const Index3& steps, int threads);

} // namespace whs
