// A map from the indices of one grid to the continuous indices of another, both z, y, x:  c = M i + t.
//
// Headers on disk carry rounding noise in their direction cosines. Entries below 1e-6 of the largest in their row are
// therefore taken as zero (5e-4 of a voxel over 512 voxels), which lets every axis-aligned scan take the separable
// path, and coordinates within 1e-6 of a whole voxel, or beyond the border by less, count as on it.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>

namespace whs {

inline constexpr double kSnap = 1e-6;

struct Affine {
    double m[3][3];
    double t[3];

    // Continuous coordinate on axis a. The order of the sums is part of the definition: see tests/references.py.
    double at(int a, double z, double y, double x) const { return ((m[a][0] * z + m[a][1] * y) + m[a][2] * x) + t[a]; }
};

// rows: 3 x 4 values, row by row.
inline Affine make_affine(const double* rows) {
    Affine affine{};
    for (int a = 0; a < 3; ++a) {
        double largest = 0;
        for (int b = 0; b < 3; ++b) {
            affine.m[a][b] = rows[4 * a + b];
            largest = std::fmax(largest, std::fabs(affine.m[a][b]));
        }
        affine.t[a] = rows[4 * a + 3];
        for (int b = 0; b < 4; ++b)
            if (!std::isfinite(rows[4 * a + b]))
                throw std::invalid_argument("the index map holds a value that is not finite");
        for (double& entry : affine.m[a])
            if (std::fabs(entry) <= kSnap * largest)
                entry = 0;
    }
    return affine;
}

// For each axis of the output the one axis of the source that it runs along, if the map is a scaled permutation.
using Axes = std::array<int, 3>;
inline std::optional<Axes> source_axes(const Affine& affine) {
    Axes axes{-1, -1, -1};
    for (int a = 0; a < 3; ++a) {
        int found = -1;
        for (int b = 0; b < 3; ++b) {
            if (affine.m[a][b] == 0)
                continue;
            if (found >= 0)
                return std::nullopt;
            found = b;
        }
        if (found < 0 || axes[static_cast<std::size_t>(found)] >= 0)
            return std::nullopt;
        axes[static_cast<std::size_t>(found)] = a;
    }
    return axes;
}

// Whether a coordinate lies in an axis of n voxels, or `beyond` voxels off its faces at most.
inline bool inside(double c, std::int64_t n, double beyond = 0) {
    return c >= -0.5 - kSnap - beyond && c <= static_cast<double>(n) - 0.5 + kSnap + beyond;
}

// A coordinate inside, put on the whole voxel it nearly lies on, and clamped to the voxel centres.
inline double settle(double c, std::int64_t n) {
    const double whole = static_cast<double>(static_cast<std::int64_t>(c + 0.5));
    if (std::fabs(c - whole) <= kSnap)
        c = whole;
    return std::min(std::max(c, 0.0), static_cast<double>(n - 1));
}

} // namespace whs
