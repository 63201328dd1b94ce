// How clearly the logits decide: counts of voxels by their two best labels and the margin between these.
#pragma once

#include "views.hpp"

#include <cstdint>
#include <vector>

namespace whs {

constexpr std::int64_t kMargins = 256; // a margin of int8 logits is 0 to 255

// Voxels of the box by (best label, second label, margin), z, y, x, class logits of 2 to 16 classes:
// [class][class][256].
std::vector<std::int64_t> count_margins(View4<const std::int8_t> logits, const Box& box, int threads);

} // namespace whs
