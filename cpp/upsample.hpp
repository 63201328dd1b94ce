// Labels on the scan's own grid from half-resolution logits. See upsample.cpp for how.
#pragma once

#include "affine.hpp"
#include "views.hpp"

namespace whs {

// logits: z, y, x, class at half the resolution of the region, 1 to 255 classes; out: the scan's grid; out_to_region:
// scan index to region voxel index.
void upsample_argmax(View4<const std::int8_t> logits, View3<std::uint8_t> out, const Affine& out_to_region,
                     int threads);

} // namespace whs
