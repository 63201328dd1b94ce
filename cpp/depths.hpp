// How deep each voxel of a structure lies in it.
#pragma once

#include "views.hpp"

namespace whs {

// Square of the distance, in voxels, from each voxel that is not 0 to the nearest 0; kDeepest where there is none.
inline constexpr std::int32_t kDeepest = 1 << 30;
void squared_depths(View3<const std::uint8_t> mask, View3<std::int32_t> out);

} // namespace whs
