// Removal of what is thinner than a box: threads, folds and spikes of a structure that is wider everywhere.
#pragma once

#include "views.hpp"

#include <cstdint>

namespace whs {

// Of the voxels of `label`, those stay that lie within `keep` voxels of its core along every axis; the core is where
// all voxels within `reach` along every axis, as far as they lie in the volume, have the label. Returns the number of
// voxels removed. `box` holds all voxels of the label.
std::int64_t remove_thin(View3<std::uint8_t> labels, int label, const Box& box, const Index3& reach, const Index3& keep,
                         int threads);

} // namespace whs
