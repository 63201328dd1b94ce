// Trilinear samples along a row of an oblique grid. See trilinear.cpp for how.
#pragma once

#include "affine.hpp"
#include "views.hpp"

namespace whs {

// sums[i] += the source at map(z, y, i + offset) for i in [0, n), in double precision; fill outside the source.
void add_trilinear_row(const View3<const std::int16_t>& source, const Affine& map, double z, double y, double offset,
                       double fill, double* sums, std::int64_t n);

} // namespace whs
