// Resampling of a scan into another grid. See resample.cpp for how.
#pragma once

#include "affine.hpp"
#include "views.hpp"

namespace whs {

struct Sampling {
    Affine out_to_source;
    Index3 samples;           // equally spaced samples averaged within one output voxel along each of its axes
    std::int64_t first_slice; // index of the first output slice in the whole output grid
    int fill;                 // HU of what lies outside the source
};

// HU, rounded half up.
void resample_linear(View3<const std::int16_t> source, View3<std::int16_t> out, const Sampling& sampling, int threads);

// HU between low and high onto 0..255, clamped and rounded half up.
void resample_window(View3<const std::int16_t> source, View3<std::uint8_t> out, const Sampling& sampling, double low,
                     double high, int threads);

// The nearest voxel; half-way goes to the higher index. The voxels at the edge go on for `beyond` voxels (z, y, x).
void resample_nearest(View3<const std::uint8_t> source, View3<std::uint8_t> out, const Affine& out_to_source,
                      std::uint8_t fill, const std::array<double, 3>& beyond, int threads);

} // namespace whs
