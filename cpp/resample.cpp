// Resampling of a scan into another grid, trilinear with a box of sub-samples against aliasing, or nearest.
#include "resample.hpp"

#include "parallel.hpp"

#include <algorithm>
#include <limits>

namespace whs {
namespace {

struct ToHu {
    using Voxel = std::int16_t;
    Voxel operator()(double hu) const { return static_cast<Voxel>(std::floor(hu + 0.5)); }
};

struct ToWindow {
    using Voxel = std::uint8_t;
    double low, high;
    Voxel operator()(double hu) const {
        const double step = (hu - low) * 255.0 / (high - low);
        return static_cast<Voxel>(std::min(std::max(step, 0.0), 255.0) + 0.5);
    }
};

double trilinear(const View3<const std::int16_t>& source, double cz, double cy, double cx) {
    const double c[3] = {cz, cy, cx};
    const std::int64_t n[3] = {source.nz, source.ny, source.nx};
    std::int64_t lower[3], upper[3];
    double f[3];
    for (int a = 0; a < 3; ++a) {
        const double settled = settle(c[a], n[a]);
        lower[a] = static_cast<std::int64_t>(settled);
        upper[a] = std::min(lower[a] + 1, n[a] - 1);
        f[a] = settled - static_cast<double>(lower[a]);
    }
    auto along_x = [&](std::int64_t z, std::int64_t y) {
        const std::int16_t* row = source.row(z, y);
        return row[lower[2]] * (1 - f[2]) + row[upper[2]] * f[2];
    };
    auto along_y = [&](std::int64_t z) { return along_x(z, lower[1]) * (1 - f[1]) + along_x(z, upper[1]) * f[1]; };
    return along_y(lower[0]) * (1 - f[0]) + along_y(upper[0]) * f[0];
}

template <class Finish>
void general(View3<const std::int16_t> source, View3<typename Finish::Voxel> out, const Sampling& sampling,
             Finish finish, int threads) {
    const Affine& map = sampling.out_to_source;
    const auto [sz, sy, sx] = sampling.samples;
    auto offset = [](std::int64_t k, std::int64_t n) {
        return (static_cast<double>(k) + 0.5) / static_cast<double>(n) - 0.5;
    };
    const double count = static_cast<double>(sz * sy * sx);
    parallel_chunks(out.nz * out.ny, 16, threads, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t r = begin; r < end; ++r) {
            const std::int64_t iz = r / out.ny, iy = r % out.ny;
            for (std::int64_t ix = 0; ix < out.nx; ++ix) {
                double sum = 0;
                for (std::int64_t kz = 0; kz < sz; ++kz)
                    for (std::int64_t ky = 0; ky < sy; ++ky)
                        for (std::int64_t kx = 0; kx < sx; ++kx) {
                            const double z = static_cast<double>(sampling.first_slice + iz) + offset(kz, sz);
                            const double y = static_cast<double>(iy) + offset(ky, sy);
                            const double x = static_cast<double>(ix) + offset(kx, sx);
                            const double cz = map.at(0, z, y, x), cy = map.at(1, z, y, x), cx = map.at(2, z, y, x);
                            const bool in = inside(cz, source.nz) && inside(cy, source.ny) && inside(cx, source.nx);
                            sum += in ? trilinear(source, cz, cy, cx) : sampling.fill;
                        }
                out.row(iz, iy)[ix] = finish(sum / count);
            }
        }
    });
}

template <class Finish>
void resample(View3<const std::int16_t> source, View3<typename Finish::Voxel> out, const Sampling& sampling,
              Finish finish, int threads) {
    require_threads(threads);
    for (const std::int64_t n : sampling.samples)
        if (n < 1 || n > 64)
            throw std::invalid_argument("samples holds " + std::to_string(n) + ", must be 1 to 64 an axis");
    if (sampling.fill < -32768 || sampling.fill > 32767)
        throw std::invalid_argument("fill is " + std::to_string(sampling.fill) + ", must be an int16");
    if (source.size() == 0) {
        std::fill_n(out.data, out.size(), finish(sampling.fill));
        return;
    }
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
    resample(source, out, sampling, ToWindow{low, high}, threads);
}

void resample_nearest(View3<const std::uint8_t> source, View3<std::uint8_t> out, const Affine& map, std::uint8_t fill,
                      int threads) {
    const std::int64_t n[3] = {source.nz, source.ny, source.nx};
    parallel_chunks(out.nz * out.ny, 16, threads, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t r = begin; r < end; ++r) {
            const std::int64_t iz = r / out.ny, iy = r % out.ny;
            std::uint8_t* row = out.row(iz, iy);
            for (std::int64_t ix = 0; ix < out.nx; ++ix) {
                std::int64_t i[3];
                bool in = source.size() > 0;
                for (int a = 0; a < 3; ++a) {
                    const double c = map.at(a, static_cast<double>(iz), static_cast<double>(iy), static_cast<double>(ix));
                    in = in && inside(c, n[a]);
                    i[a] = in ? std::clamp(static_cast<std::int64_t>(std::floor(c + 0.5 + kSnap)), std::int64_t{0}, n[a] - 1) : 0;
                }
                row[ix] = in ? source.row(i[0], i[1])[i[2]] : fill;
            }
        }
    });
}

} // namespace whs
