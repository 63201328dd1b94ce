// What a volume holds at any points, and a light smoothing of a scan before it is sampled.
#pragma once

#include "affine.hpp"
#include "views.hpp"

#include <optional>
#include <span>

namespace whs {

// points: three numbers each, which to_source takes to continuous indices z, y, x; beyond the volume its edge holds.
// Trilinear, in float32.
void sample_linear(View3<const float> source, std::span<const double> points, const Affine& to_source, float* out);

// The nearest voxel, half-way that of the even index; beyond the volume `fill`, if there is one.
void sample_nearest(View3<const std::uint8_t> source, std::span<const double> points, const Affine& to_source,
                    std::optional<std::uint8_t> fill, std::uint8_t* out);

// The mean of each voxel and its neighbours, weighed 1 : 2 : 1 along one axis after the other, exactly. Along an axis
// on which one of the two is missing, the voxel stays what it is.
void smooth(View3<const std::int16_t> source, View3<float> out, int threads);

} // namespace whs
