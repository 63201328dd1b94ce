// Voxel count and bounding box of every label, in one pass.
#pragma once

#include "views.hpp"

#include <vector>

namespace whs {

struct LabelStatistics {
    std::vector<std::int64_t> voxels;          // [label]
    std::vector<std::int64_t> lowest, highest; // [label][z, y, x], inclusive; -1 for a label that is absent
};

LabelStatistics label_statistics(View3<const std::uint8_t> labels, std::int64_t label_count, int threads);

} // namespace whs
