// Points are sampled one by one. Smoothing sums integers and divides once: 64 times the mean stays below 2^24, so that
// float32 holds it exactly and the order of the axes does not matter.
#include "sampling.hpp"

#include "parallel.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace whs {
namespace {

// Calls visit(i, index) for each point; what is not a number goes to 0.
template <class T, class Visit>
void for_points(View3<T> source, std::span<const double> points, const Affine& to_source, Visit&& visit) {
    if (source.size() == 0)
        throw std::invalid_argument("source has no voxels, must have at least one");
    const Index3 n = source.extent();
    for (std::size_t i = 0; i < points.size() / 3; ++i) {
        const double* point = points.data() + 3 * i;
        std::array<double, 3> index{};
        for (int a = 0; a < 3; ++a) {
            const auto axis = static_cast<std::size_t>(a);
            const double c = to_source.at(a, point[0], point[1], point[2]);
            index[axis] = std::min(std::max(-1.0, c), static_cast<double>(n[axis])); // to the voxels around the volume
        }
        visit(i, index);
    }
}

double clamped(double index, std::int64_t n) { return std::min(std::max(index, 0.0), static_cast<double>(n - 1)); }

// Whether a place has neighbours on both sides, with which it is averaged.
bool averaged(std::int64_t i, std::int64_t n) { return i > 0 && i + 1 < n; }

} // namespace

void sample_linear(View3<const float> source, std::span<const double> points, const Affine& to_source, float* out) {
    const Index3 n = source.extent(), strides = source.strides();
    for_points(source, points, to_source, [&](std::size_t i, const std::array<double, 3>& index) {
        const float* first = source.data;
        float shares[3][2];
        std::int64_t up[3];
        for (std::size_t a = 0; a < 3; ++a) {
            const double c = clamped(index[a], n[a]);
            const std::int64_t low = std::min(static_cast<std::int64_t>(c), std::max<std::int64_t>(n[a] - 2, 0));
            const auto share = static_cast<float>(c - static_cast<double>(low));
            first += low * strides[a];
            up[a] = n[a] > 1 ? strides[a] : 0;
            shares[a][0] = 1.0f - share;
            shares[a][1] = share;
        }
        float sum = 0;
        for (int z = 0; z < 2; ++z)
            for (int y = 0; y < 2; ++y)
                for (int x = 0; x < 2; ++x)
                    sum += shares[0][z] * shares[1][y] * shares[2][x] * first[z * up[0] + y * up[1] + x * up[2]];
        out[i] = sum;
    });
}

void sample_nearest(View3<const std::uint8_t> source, std::span<const double> points, const Affine& to_source,
                    std::optional<std::uint8_t> fill, std::uint8_t* out) {
    const Index3 n = source.extent(), strides = source.strides();
    for_points(source, points, to_source, [&](std::size_t i, const std::array<double, 3>& index) {
        std::int64_t place = 0;
        bool inside = true;
        for (std::size_t a = 0; a < 3; ++a) {
            const double near = std::nearbyint(index[a]), kept = clamped(near, n[a]);
            inside = inside && near == kept;
            place += static_cast<std::int64_t>(kept) * strides[a];
        }
        out[i] = fill && !inside ? *fill : source.data[place];
    });
}

void smooth(View3<const std::int16_t> source, View3<float> out, int threads) {
    require_same_shape(source, out);
    const std::int64_t nx = source.nx;
    if (nx == 0)
        return;
    parallel_chunks(source.nz * source.ny, 64, threads, [&](std::int64_t begin, std::int64_t end, int) {
        std::vector<int> sums(static_cast<std::size_t>(nx));
        for (std::int64_t r = begin; r < end; ++r) {
            const std::int64_t z = r / source.ny, y = r % source.ny;
            std::fill(sums.begin(), sums.end(), 0);
            const std::int64_t reach_z = averaged(z, source.nz), reach_y = averaged(y, source.ny);
            for (std::int64_t dz = -reach_z; dz <= reach_z; ++dz)
                for (std::int64_t dy = -reach_y; dy <= reach_y; ++dy) {
                    // Of 4 along an axis, the voxel itself weighs 2, or all where it is not averaged.
                    const int shift = (dz != 0 ? 0 : reach_z ? 1 : 2) + (dy != 0 ? 0 : reach_y ? 1 : 2);
                    const std::int16_t* row = source.row(z + dz, y + dy);
                    for (std::int64_t x = 0; x < nx; ++x)
                        sums[static_cast<std::size_t>(x)] += row[x] << shift;
                }
            const int* sum = sums.data();
            float* made = out.row(z, y);
            for (std::int64_t x = 1; x < nx - 1; ++x)
                made[x] = static_cast<float>(sum[x - 1] + 2 * sum[x] + sum[x + 1]) / 64.0f;
            for (const std::int64_t x : {std::int64_t{0}, nx - 1})
                made[x] = static_cast<float>(sum[x]) / 16.0f;
        }
    });
}

} // namespace whs
