// Resampling of a scan into another grid, trilinear with a box of sub-samples against aliasing, or nearest.
//
// Two paths. If every axis of the output runs along one axis of the source, in any order and direction, the weights of
// all sub-samples are gathered into one table an axis, and the axes are blended one after the other in float32: a
// source plane for each output slice, then a row, then the voxels. The loops over planes and rows are contiguous, so
// they vectorise. Else, for oblique scans, every sub-sample is interpolated by itself in double precision. Neither path
// holds more of the scan in floating point than a few planes. tests/references.py defines both, to the bit.
#include "resample.hpp"

#include "blend.hpp"
#include "parallel.hpp"
#include "trilinear.hpp"

#include <algorithm>
#include <vector>

namespace whs {
namespace {

using Source = View3<const std::int16_t>;

struct ToHu {
    using Voxel = std::int16_t;
    template <class Real>
    Voxel operator()(Real hu) const {
        const Real shifted = hu + Real(0.5);
        const int whole = static_cast<int>(shifted);
        return static_cast<Voxel>(whole - (shifted < static_cast<Real>(whole))); // floor, but it vectorises on SSE2
    }
};

struct ToWindow {
    using Voxel = std::uint8_t;
    double low, width;
    template <class Real>
    Voxel operator()(Real hu) const {
        const Real step = (hu - static_cast<Real>(low)) * Real(255) / static_cast<Real>(width);
        return static_cast<Voxel>(static_cast<int>(std::min(std::max(step, Real(0)), Real(255)) + Real(0.5)));
    }
};

// ---- separable path

constexpr std::int64_t kSlices = 8; // output slices of one piece of work

template <class Finish>
void separable(Source source, View3<typename Finish::Voxel> out, const Sampling& sampling, const Axes& axes,
               Finish finish, int threads) {
    const Affine& map = sampling.out_to_source;
    const Index3 source_n = source.extent();
    auto blend = [&](std::size_t b, std::int64_t n, std::int64_t first_index) {
        const int a = axes[b];
        return make_blend(map.m[a][b], map.t[a], source_n[a], n, first_index, sampling.samples[b]);
    };
    const Blend along_z = blend(0, out.nz, sampling.first_slice), along_y = blend(1, out.ny, 0),
                along_x = blend(2, out.nx, 0);
    const auto fill = static_cast<float>(sampling.fill);
    const auto plane_size = static_cast<std::size_t>(along_y.source_n * along_x.source_n);

    struct Scratch {
        std::vector<float> row, values;
    };
    auto make_scratch = [&] {
        return Scratch{std::vector<float>(static_cast<std::size_t>(along_x.source_n)),
                       std::vector<float>(static_cast<std::size_t>(out.nx))};
    };
    auto write_row = [&](std::int64_t iz, std::int64_t iy, const std::vector<float>& plane, Scratch& scratch) {
        typename Finish::Voxel* voxels = out.row(iz, iy);
        const float covered = along_z.covered(iz) * along_y.covered(iy);
        if (covered == 0 || along_x.needed.empty()) {
            std::fill_n(voxels, out.nx, finish(fill));
            return;
        }
        float *row = scratch.row.data(), *values = scratch.values.data();
        const std::int64_t low = along_x.needed.front(), length = along_x.needed.back() + 1 - low;
        for (std::int64_t t = 0; t < along_y.taps; ++t)
            accumulate(row + low, plane.data() + (along_y.start(iy) + t) * along_x.source_n + low, along_y.tap(t, iy),
                       length, t == 0);
        const std::int64_t* first = along_x.first.data();
        const float* weight = along_x.weight.data();
        for (std::int64_t ix = 0; ix < out.nx; ++ix) {
            float sum = 0;
            for (std::int64_t t = 0; t < along_x.taps; ++t)
                sum += weight[t * out.nx + ix] * row[first[ix] + t];
            values[ix] = sum;
        }
        const float* inside = along_x.inside.data();
        for (std::int64_t ix = 0; ix < out.nx; ++ix)
            voxels[ix] = finish(values[ix] + fill * (1.0f - covered * inside[ix]));
    };

    if (axes[0] == 2) { // few slices need as many rows as many do: threads share the rows of some slices at a time
        const auto needed = static_cast<std::int64_t>(along_y.needed.size());
        std::vector<std::vector<float>> planes(static_cast<std::size_t>(std::min(kSlices, out.nz)),
                                               std::vector<float>(plane_size));
        for (std::int64_t begin = 0; begin < out.nz; begin += kSlices) {
            const std::int64_t end = std::min(out.nz, begin + kSlices);
            parallel_chunks(needed, 8, threads, [&](std::int64_t first, std::int64_t last, int) {
                blend_across(source, axes, along_z, along_y, along_x, begin, end, first, last, planes);
            });
            parallel_chunks((end - begin) * out.ny, 32, threads, [&](std::int64_t first, std::int64_t last, int) {
                Scratch scratch = make_scratch();
                for (std::int64_t r = first; r < last; ++r)
                    write_row(begin + r / out.ny, r % out.ny, planes[static_cast<std::size_t>(r / out.ny)], scratch);
            });
        }
        return;
    }
    parallel_chunks(out.nz, kSlices, threads, [&](std::int64_t begin, std::int64_t end, int) {
        std::vector<float> plane(plane_size);
        Scratch scratch = make_scratch();
        for (std::int64_t iz = begin; iz < end; ++iz) {
            if (along_z.covered(iz) > 0)
                blend_plane(source, axes, along_z, along_y, along_x, iz, plane);
            for (std::int64_t iy = 0; iy < out.ny; ++iy)
                write_row(iz, iy, plane, scratch);
        }
    });
}

// ---- general path

template <class Finish>
void general(Source source, View3<typename Finish::Voxel> out, const Sampling& sampling, Finish finish, int threads) {
    const Affine& map = sampling.out_to_source;
    const std::int64_t sz = sampling.samples[0], sy = sampling.samples[1], sx = sampling.samples[2];
    const auto count = static_cast<double>(sz * sy * sx);
    parallel_chunks(out.nz * out.ny, 16, threads, [&](std::int64_t begin, std::int64_t end, int) {
        std::vector<double> sums(static_cast<std::size_t>(out.nx));
        for (std::int64_t r = begin; r < end; ++r) {
            std::fill(sums.begin(), sums.end(), 0.0);
            for (std::int64_t kz = 0; kz < sz; ++kz)
                for (std::int64_t ky = 0; ky < sy; ++ky) {
                    const double z = static_cast<double>(sampling.first_slice + r / out.ny) + sample_offset(kz, sz);
                    const double y = static_cast<double>(r % out.ny) + sample_offset(ky, sy);
                    for (std::int64_t kx = 0; kx < sx; ++kx)
                        add_trilinear_row(source, map, z, y, sample_offset(kx, sx), sampling.fill, sums.data(), out.nx);
                }
            for (std::int64_t ix = 0; ix < out.nx; ++ix)
                out.data[r * out.nx + ix] = finish(sums[static_cast<std::size_t>(ix)] / count);
        }
    });
}

template <class Finish>
void resample(Source source, View3<typename Finish::Voxel> out, const Sampling& sampling, Finish finish, int threads) {
    require_threads(threads);
    for (const std::int64_t n : sampling.samples)
        if (n < 1 || n > 64)
            throw std::invalid_argument("samples holds " + std::to_string(n) + ", must be 1 to 64 an axis");
    if (sampling.fill < -32768 || sampling.fill > 32767)
        throw std::invalid_argument("fill is " + std::to_string(sampling.fill) + ", must be an int16");
    if (source.size() == 0)
        std::fill_n(out.data, out.size(), finish(static_cast<float>(sampling.fill)));
    else if (const auto axes = source_axes(sampling.out_to_source))
        separable(source, out, sampling, *axes, finish, threads);
    else
        general(source, out, sampling, finish, threads);
}

} // namespace

void resample_linear(View3<const std::int16_t> source, View3<std::int16_t> out, const Sampling& sampling, int threads) {
    resample(source, out, sampling, ToHu{}, threads);
}

void resample_window(View3<const std::int16_t> source, View3<std::uint8_t> out, const Sampling& sampling, double low,
                     double high, int threads) {
    if (!std::isfinite(low) || !std::isfinite(high) || !(low < high))
        throw std::invalid_argument("the window is " + std::to_string(low) + " to " + std::to_string(high) +
                                    ", must be finite with low < high");
    resample(source, out, sampling, ToWindow{low, high - low}, threads);
}

void resample_nearest(View3<const std::uint8_t> source, View3<std::uint8_t> out, const Affine& map, std::uint8_t fill,
                      const std::array<double, 3>& beyond, int threads) {
    for (const double voxels : beyond)
        if (!(voxels >= 0))
            throw std::invalid_argument("beyond is " + std::to_string(voxels) + ", must be 0 or more");
    const Index3 n = source.extent(), strides = source.strides();
    // Offset in the source, along one of its axes, of a coordinate; below 0 outside.
    const auto offset = [&](std::size_t a, double c) {
        if (n[a] == 0 || !inside(c, n[a], beyond[a]))
            return std::int64_t{-1};
        // Not negative, so the cast is the floor.
        return strides[a] *
               static_cast<std::int64_t>(std::min(std::max(c, 0.0) + 0.5 + 2 * kSnap, static_cast<double>(n[a] - 1)));
    };
    if (const auto axes = source_axes(map)) { // each axis of the output has its own offsets
        const Index3 extent = out.extent();
        std::array<std::vector<std::int64_t>, 3> offsets;
        for (std::size_t b = 0; b < 3; ++b)
            for (std::int64_t i = 0; i < extent[b]; ++i) {
                const int a = (*axes)[b];
                offsets[b].push_back(
                    offset(static_cast<std::size_t>(a), map.m[a][b] * static_cast<double>(i) + map.t[a]));
            }
        parallel_chunks(out.nz * out.ny, 16, threads, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t r = begin; r < end; ++r) {
                const std::int64_t z = offsets[0][static_cast<std::size_t>(r / out.ny)],
                                   y = offsets[1][static_cast<std::size_t>(r % out.ny)];
                std::uint8_t* row = out.data + r * out.nx;
                const std::int64_t* along = offsets[2].data();
                for (std::int64_t ix = 0; ix < out.nx; ++ix)
                    row[ix] = z < 0 || y < 0 || along[ix] < 0 ? fill : source.data[z + y + along[ix]];
            }
        });
        return;
    }
    parallel_chunks(out.nz * out.ny, 16, threads, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t r = begin; r < end; ++r)
            for (std::int64_t ix = 0; ix < out.nx; ++ix) {
                std::int64_t place = 0;
                for (int a = 0; a < 3 && place >= 0; ++a) {
                    const std::int64_t found = offset(static_cast<std::size_t>(a),
                                                      map.at(a, static_cast<double>(r / out.ny),
                                                             static_cast<double>(r % out.ny), static_cast<double>(ix)));
                    place = found < 0 ? found : place + found;
                }
                out.data[r * out.nx + ix] = place < 0 ? fill : source.data[place];
            }
    });
}

} // namespace whs
