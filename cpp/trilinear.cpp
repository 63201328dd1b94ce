// Trilinear samples along a row of an oblique grid.
//
// Along a row each source coordinate is ((m0 z + m1 y) + m2 x) + t: rounding keeps its order in x, so a stretch whose
// two ends lie inside the source lies inside altogether. The row is therefore cut, exactly, into what is outside (only
// the fill), what is well inside (no bounds to check) and the few voxels between, sampled one by one. What is inside
// goes in blocks: coordinates to cells and fractions; the 8 corners fetched as 4 pairs of neighbours; the blends. The
// first and the last vectorise, for wider registers too, chosen at load, where the compiler can do that. A slanted row
// defeats the hardware's prefetching, so each block's lines are asked for one block ahead: fetching is the limit.
// Every sum keeps the order of the definition in tests/references.py, so all ways give the same bits.
#include "trilinear.hpp"

#include <bit>
#include <cstring>
#include <limits>

// Under a sanitizer the choice would run before the sanitizer does, and die.
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12 &&                              \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define WHS_WIDE __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define WHS_WIDE
#endif

namespace whs {
namespace {

using Source = View3<const std::int16_t>;

constexpr int kBlock = 64;

// The coordinate on one axis along a row, in the order of sums of Affine::at.
struct Coordinate {
    double base, slope, shift;
    double at(double x) const { return (base + slope * x) + shift; }
};

struct Cells { // of a block
    std::int32_t lower[3][kBlock];
    double fraction[3][kBlock];
    const std::int16_t* corner[kBlock];
    std::int32_t pair[4][kBlock]; // two neighbours along x at (z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1)
};

struct Neighbours { // offsets of the next voxel
    std::int64_t y, z;
};

inline void prefetch([[maybe_unused]] const void* address) {
#if defined(__GNUC__)
    __builtin_prefetch(address);
#endif
}

WHS_WIDE void locate_block(const Coordinate& axis, std::int32_t first, double offset, std::int32_t n,
                           std::int32_t* lower, double* fraction) {
    const double base = axis.base, slope = axis.slope, shift = axis.shift;
    for (std::int32_t i = 0; i < n; ++i) {
        const double x = static_cast<double>(first + i) + offset;
        double c = (base + slope * x) + shift;
        const double whole = static_cast<double>(static_cast<std::int32_t>(c + 0.5));
        c = std::fabs(c - whole) <= kSnap ? whole : c;
        lower[i] = static_cast<std::int32_t>(c);
        fraction[i] = c - static_cast<double>(lower[i]);
    }
}

inline double lower_of(std::int32_t pair) {
    return static_cast<std::int16_t>(std::endian::native == std::endian::little ? pair : pair >> 16);
}
inline double upper_of(std::int32_t pair) {
    return static_cast<std::int16_t>(std::endian::native == std::endian::little ? pair >> 16 : pair);
}

WHS_WIDE void blend_block(const Cells& cells, std::int32_t n, double* sums) {
    for (std::int32_t i = 0; i < n; ++i) {
        const double fz = cells.fraction[0][i], fy = cells.fraction[1][i], fx = cells.fraction[2][i];
        const double a = lower_of(cells.pair[0][i]) * (1 - fx) + upper_of(cells.pair[0][i]) * fx;
        const double b = lower_of(cells.pair[1][i]) * (1 - fx) + upper_of(cells.pair[1][i]) * fx;
        const double c = lower_of(cells.pair[2][i]) * (1 - fx) + upper_of(cells.pair[2][i]) * fx;
        const double d = lower_of(cells.pair[3][i]) * (1 - fx) + upper_of(cells.pair[3][i]) * fx;
        sums[i] += (a * (1 - fy) + b * fy) * (1 - fz) + (c * (1 - fy) + d * fy) * fz;
    }
}

double sample(const Source& source, const double (&c)[3]) {
    const Index3 n = source.extent();
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

struct Stretch {
    std::int64_t begin, end;
};

// About where low <= axis.at(i + offset) <= high holds for i in [0, n); for the caller to check.
Stretch estimate(const Coordinate& axis, double offset, double low, double high, std::int64_t n) {
    const double a = (low - axis.shift - axis.base) / axis.slope - offset,
                 b = (high - axis.shift - axis.base) / axis.slope - offset, most = static_cast<double>(n);
    if (!std::isfinite(a) || !std::isfinite(b)) // among others where the coordinate does not change along the row
        return {0, n};
    const double begin = std::clamp(std::ceil(std::min(a, b)), 0.0, most),
                 end = std::clamp(std::floor(std::max(a, b)) + 1, begin, most);
    return {static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end)};
}

// A stretch of [0, n) whose cells all have 8 corners in the source; empty where none is sure.
Stretch stretch_within(const Coordinate& axis, double offset, std::int64_t source_n, std::int64_t n) {
    const double low = 0, high = static_cast<double>(source_n - 1) - 2 * kSnap;
    auto holds = [&](std::int64_t i) {
        const double c = axis.at(static_cast<double>(i) + offset);
        return c >= low && c <= high;
    };
    Stretch found = estimate(axis, offset, low, high, n);
    if (found.begin < found.end && !holds(found.begin))
        ++found.begin;
    if (found.begin < found.end && !holds(found.end - 1))
        --found.end;
    const bool sure = found.begin < found.end && holds(found.begin) && holds(found.end - 1);
    return sure ? found : Stretch{0, 0};
}

// A stretch of [0, n) outside of which every sample lies outside the source; all where that is not sure.
Stretch stretch_around(const Coordinate& axis, double offset, std::int64_t source_n, std::int64_t n) {
    const double low = -0.5 - kSnap, high = static_cast<double>(source_n) - 0.5 + kSnap;
    auto side = [&](std::int64_t i) { // -1 below, 1 above the source
        const double c = axis.at(static_cast<double>(i) + offset);
        return c < low ? -1 : c > high ? 1 : 0;
    };
    if (n > 0 && side(0) != 0 && side(0) == side(n - 1))
        return {0, 0};
    Stretch found = estimate(axis, offset, low, high, n);
    found = {std::max<std::int64_t>(found.begin - 1, 0), std::min(found.end + 1, n)};
    // Outside on the side that the row comes from, or goes to.
    if (found.begin > 0 && side(found.begin - 1) * axis.slope >= 0)
        found.begin = 0;
    if (found.end < n && side(found.end) * axis.slope <= 0)
        found.end = n;
    return found;
}

Stretch both(Stretch a, Stretch b) {
    const std::int64_t begin = std::max(a.begin, b.begin);
    return {begin, std::max(begin, std::min(a.end, b.end))};
}

} // namespace

void add_trilinear_row(const View3<const std::int16_t>& source, const Affine& map, double z, double y, double offset,
                       double fill, double* sums, std::int64_t n) {
    const Index3 source_n = source.extent();
    Coordinate axes[3];
    Stretch around{0, n}, within{0, n};
    for (int a = 0; a < 3; ++a) {
        axes[a] = {map.m[a][0] * z + map.m[a][1] * y, map.m[a][2], map.t[a]};
        around = both(around, stretch_around(axes[a], offset, source_n[a], n));
        within = both(within, stretch_within(axes[a], offset, source_n[a], n));
        if (std::max(source_n[a], n) > std::numeric_limits<std::int32_t>::max())
            within = {0, 0};
    }
    if (within.begin >= within.end)
        within = {around.end, around.end};

    auto one_by_one = [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            const double x = static_cast<double>(i) + offset;
            const double c[3] = {axes[0].at(x), axes[1].at(x), axes[2].at(x)};
            const bool in = inside(c[0], source_n[0]) && inside(c[1], source_n[1]) && inside(c[2], source_n[2]);
            sums[i] += in ? sample(source, c) : fill;
        }
    };
    for (std::int64_t i = 0; i < around.begin; ++i)
        sums[i] += fill;
    one_by_one(around.begin, within.begin);
    const Neighbours step{source.nx, source.ny * source.nx};
    Cells cells[2]; // the lines of a block are asked for while the block before it is blended
    std::int32_t count[2] = {0, 0};
    auto prepare = [&](std::int64_t begin, int k) {
        count[k] = static_cast<std::int32_t>(std::clamp<std::int64_t>(within.end - begin, 0, kBlock));
        for (int a = 0; a < 3; ++a)
            locate_block(axes[a], static_cast<std::int32_t>(begin), offset, count[k], cells[k].lower[a],
                         cells[k].fraction[a]);
        for (std::int32_t i = 0; i < count[k]; ++i) {
            const std::int16_t* corner = source.row(cells[k].lower[0][i], cells[k].lower[1][i]) + cells[k].lower[2][i];
            cells[k].corner[i] = corner;
            prefetch(corner);
            prefetch(corner + step.y);
            prefetch(corner + step.z);
            prefetch(corner + step.z + step.y);
        }
    };
    prepare(within.begin, 0);
    int k = 0;
    for (std::int64_t begin = within.begin; begin < within.end; begin += kBlock, k ^= 1) {
        prepare(begin + kBlock, k ^ 1);
        for (std::int32_t i = 0; i < count[k]; ++i) {
            const std::int16_t* corner = cells[k].corner[i];
            std::memcpy(&cells[k].pair[0][i], corner, sizeof(std::int32_t));
            std::memcpy(&cells[k].pair[1][i], corner + step.y, sizeof(std::int32_t));
            std::memcpy(&cells[k].pair[2][i], corner + step.z, sizeof(std::int32_t));
            std::memcpy(&cells[k].pair[3][i], corner + step.z + step.y, sizeof(std::int32_t));
        }
        blend_block(cells[k], count[k], sums + begin);
    }
    one_by_one(within.end, around.end);
    for (std::int64_t i = around.end; i < n; ++i)
        sums[i] += fill;
}

} // namespace whs
