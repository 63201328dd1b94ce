// Blends of source voxels along the axes of an upright grid, one axis after another. See resample.cpp for the whole.
#pragma once

#include "affine.hpp"
#include "views.hpp"

#include <cstdint>
#include <vector>

namespace whs {

// Where sub-sample k of an output voxel lies, from the voxel's centre.
inline double sample_offset(std::int64_t k, std::int64_t samples) {
    return (static_cast<double>(k) + 0.5) / static_cast<double>(samples) - 0.5;
}

// How the voxels along one axis of the output are blended from those along one axis of the source.
struct Blend {
    std::int64_t source_n = 0, n = 0, taps = 1;
    std::vector<std::int64_t> first;  // [n]: source index of the first tap
    std::vector<float> weight;        // [tap][n]
    std::vector<float> inside;        // [n]: the part of the sub-samples that lies inside the source
    std::vector<std::int64_t> needed; // the source indices that have a weight, ascending

    float tap(std::int64_t t, std::int64_t i) const { return weight[static_cast<std::size_t>(t * n + i)]; }
    std::int64_t start(std::int64_t i) const { return first[static_cast<std::size_t>(i)]; }
    float covered(std::int64_t i) const { return inside[static_cast<std::size_t>(i)]; }
};

// scale, shift: from the index of the output voxel, of which the first is first_index, to that of the source.
Blend make_blend(double scale, double shift, std::int64_t source_n, std::int64_t n, std::int64_t first_index,
                 std::int64_t samples);

// sum[i] (+)= weight * values[i]
template <class T>
void accumulate(float* sum, const T* values, float weight, std::int64_t n, bool start) {
    if (start)
        for (std::int64_t i = 0; i < n; ++i)
            sum[i] = weight * static_cast<float>(values[i]);
    else
        for (std::int64_t i = 0; i < n; ++i)
            sum[i] += weight * static_cast<float>(values[i]);
}

// Blends the source into a plane for each of the output slices begin..end, which stand across the source's rows: all of
// them are read from a row while it is in the cache. Of the planes, indexed [axes[1]][axes[2]], the rows along_y.needed
// [first..last) are written, as far as columns are needed.
void blend_across(const View3<const std::int16_t>& source, const Axes& axes, const Blend& along_z, const Blend& along_y,
                  const Blend& along_x, std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t last,
                  std::vector<std::vector<float>>& planes);

// Blends the source into the plane of one output slice that lies along the source's rows. Source axis axes[0]
// disappears; the plane is indexed [axes[1]][axes[2]], whatever their order in the source. Only rows and columns that
// are needed are written.
void blend_plane(const View3<const std::int16_t>& source, const Axes& axes, const Blend& along_z, const Blend& along_y,
                 const Blend& along_x, std::int64_t iz, std::vector<float>& plane);

} // namespace whs
