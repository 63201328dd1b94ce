// Labels on the scan's own grid: the logits, sampled trilinearly at each voxel's centre, and the largest wins.
//
// All in integers, so that the result has one definition (tests/references.py): weights have 8 fractional bits an axis,
// a sum over the 8 corners fits in 8 + 24 bits, the lowest label wins a tie. No full-resolution logits exist. A
// trilinear value is a convex combination of its corners, so where one label wins at all 8 corners of a cell, ties
// included, it wins at every point inside, exactly; only cells on a border between labels are interpolated. With 3
// half-resolution voxels or more to a structure's width those are a few per cent of the volume.
#include "upsample.hpp"

#include "parallel.hpp"

#include <vector>

namespace whs {
namespace {

using Logits = View4<const std::int8_t>;

constexpr std::uint8_t kMixed = 255; // a cell whose corners disagree

struct Position { // along one axis of the logits
    std::int64_t lower, upper;
    std::int32_t weight; // of the upper, 0 to 256
};

Position locate(double c, std::int64_t n) {
    const double u = std::min(std::max((c + 0.5) / 2 - 0.5, 0.0), static_cast<double>(n - 1));
    const auto lower = static_cast<std::int64_t>(u);
    return {lower, std::min(lower + 1, n - 1), static_cast<std::int32_t>((u - static_cast<double>(lower)) * 256 + 0.5)};
}

// The winner at each half-resolution voxel.
std::vector<std::uint8_t> find_winners(const Logits& logits, int threads) {
    const std::int64_t n = logits.voxels(), classes = logits.nc;
    std::vector<std::uint8_t> winners(static_cast<std::size_t>(n));
    parallel_chunks(n, 4096, threads, [&](std::int64_t begin, std::int64_t end, int) {
        const std::int8_t* values = logits.data + begin * classes;
        for (std::int64_t i = begin; i < end; ++i, values += classes) {
            // One integer orders by logit first and, where these tie, by the lower label.
            std::int32_t best = values[0] * 256 + 255;
            for (std::int64_t c = 1; c < classes; ++c)
                best = std::max(best, static_cast<std::int32_t>(values[c] * 256 + 255 - c));
            winners[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(255 - (best & 255));
        }
    });
    return winners;
}

// For each cell, named by its lowest corner, the label that wins at all its corners, or kMixed.
std::vector<std::uint8_t> find_cells(const Logits& logits, int threads) {
    const std::vector<std::uint8_t> winners = find_winners(logits, threads);
    const View3<const std::uint8_t> winner{winners.data(), logits.nz, logits.ny, logits.nx};
    std::vector<std::uint8_t> cells(winners.size());
    const View3<std::uint8_t> cell{cells.data(), logits.nz, logits.ny, logits.nx};
    parallel_chunks(logits.nz, 1, threads, [&](std::int64_t z, std::int64_t, int) {
        const std::int64_t z1 = std::min(z + 1, logits.nz - 1), last = logits.nx - 1;
        std::vector<std::uint8_t> columns(static_cast<std::size_t>(logits.nx)); // the 4 winners at each x
        for (std::int64_t y = 0; y < logits.ny; ++y) {
            const std::int64_t y1 = std::min(y + 1, logits.ny - 1);
            const std::uint8_t *a = winner.row(z, y), *b = winner.row(z, y1), *c = winner.row(z1, y),
                               *d = winner.row(z1, y1);
            std::uint8_t *column = columns.data(), *row = cell.row(z, y);
            for (std::int64_t x = 0; x <= last; ++x)
                column[x] = (a[x] ^ b[x]) | (a[x] ^ c[x]) | (a[x] ^ d[x]) ? kMixed : a[x];
            for (std::int64_t x = 0; x < last; ++x)
                row[x] = column[x] == column[x + 1] ? column[x] : kMixed;
            row[last] = column[last];
        }
    });
    return cells;
}

// The logits of a cell, blended along z and y: two values a class, which a voxel blends along x. The sums before x stay
// within 8 + 16 bits, the last within 8 + 24, which an int32 just holds.
struct Edge {
    std::vector<std::int32_t> lower, upper;

    explicit Edge(std::int64_t classes) : lower(static_cast<std::size_t>(classes)), upper(lower) {}

    // A cell between two voxels along each axis, whose strides are those in the logits.
    void load(const Logits& logits, const Position (&cell)[3], const Index3& stride) {
        const Position &z = cell[0], &y = cell[1], &x = cell[2];
        const std::int32_t w[4] = {(256 - z.weight) * (256 - y.weight), (256 - z.weight) * y.weight,
                                   z.weight * (256 - y.weight), z.weight * y.weight};
        for (const bool above : {false, true}) {
            const std::int8_t* corners[4];
            for (int k = 0; k < 4; ++k)
                corners[k] =
                    logits.data + ((k >> 1 ? z.upper : z.lower) * stride[0] + (k & 1 ? y.upper : y.lower) * stride[1] +
                                   (above ? x.upper : x.lower) * stride[2]) *
                                      logits.nc;
            std::int32_t* blended = (above ? upper : lower).data();
            for (std::int64_t c = 0; c < logits.nc; ++c)
                blended[c] = corners[0][c] * w[0] + corners[1][c] * w[1] + corners[2][c] * w[2] + corners[3][c] * w[3];
        }
    }
    std::uint8_t winner(std::int32_t wx) const {
        std::int32_t best = lower[0] * (256 - wx) + upper[0] * wx;
        std::size_t label = 0;
        for (std::size_t c = 1; c < lower.size(); ++c) {
            const std::int32_t sum = lower[c] * (256 - wx) + upper[c] * wx;
            label = sum > best ? c : label;
            best = sum > best ? sum : best;
        }
        return static_cast<std::uint8_t>(label);
    }
};

// ---- scans whose axes run along those of the region, in any order and direction

struct Line {                        // all positions along one axis of the output
    std::int64_t begin = 0, end = 0; // the output voxels inside the region
    std::vector<Position> positions; // of each output voxel; those outside hold nothing
};

Line make_line(double scale, double shift, std::int64_t n, std::int64_t out_n) {
    Line line;
    line.begin = out_n;
    line.positions.resize(static_cast<std::size_t>(out_n), Position{0, 0, 0});
    for (std::int64_t i = 0; i < out_n; ++i) {
        const double c = scale * static_cast<double>(i) + shift;
        if (!inside(c, 2 * n))
            continue;
        line.begin = std::min(line.begin, i);
        line.end = i + 1;
        line.positions[static_cast<std::size_t>(i)] = locate(c, n);
    }
    line.begin = std::min(line.begin, line.end);
    return line;
}

void aligned(const Logits& logits, View3<std::uint8_t> out, const Affine& map, const Axes& axes, int threads) {
    const std::vector<std::uint8_t> cells = find_cells(logits, threads);
    const Index3 n = logits.extent(), stride_of = logits.strides();
    auto line = [&](std::size_t b, std::int64_t out_n) {
        const int a = axes[b];
        return make_line(map.m[a][b], map.t[a], n[a], out_n);
    };
    const Line lines[3] = {line(0, out.nz), line(1, out.ny), line(2, out.nx)};
    Index3 stride;
    for (std::size_t b = 0; b < 3; ++b)
        stride[b] = stride_of[axes[b]];
    struct Segment { // output voxels of one cell along x
        std::int64_t begin, end;
        Position x;
    };
    std::vector<Segment> segments;
    for (std::int64_t x = lines[2].begin; x < lines[2].end; ++x) {
        const Position& p = lines[2].positions[static_cast<std::size_t>(x)];
        if (segments.empty() || segments.back().x.lower != p.lower)
            segments.push_back({x, x, p});
        segments.back().end = x + 1;
    }
    parallel_chunks(out.nz * out.ny, 64, threads, [&](std::int64_t first, std::int64_t last, int) {
        Edge edge(logits.nc);
        for (std::int64_t r = first; r < last; ++r) {
            const std::int64_t iz = r / out.ny, iy = r % out.ny;
            std::uint8_t* row = out.row(iz, iy);
            if (iz < lines[0].begin || iz >= lines[0].end || iy < lines[1].begin || iy >= lines[1].end) {
                std::fill_n(row, out.nx, std::uint8_t{0});
                continue;
            }
            const Position &z = lines[0].positions[static_cast<std::size_t>(iz)],
                           &y = lines[1].positions[static_cast<std::size_t>(iy)];
            const std::uint8_t* cell_row = cells.data() + z.lower * stride[0] + y.lower * stride[1];
            const auto cell_of = [&](const Segment& segment) { return cell_row[segment.x.lower * stride[2]]; };
            std::fill(row, row + lines[2].begin, std::uint8_t{0});
            std::fill(row + lines[2].end, row + out.nx, std::uint8_t{0});
            for (std::size_t s = 0; s < segments.size();) {
                const std::uint8_t cell = cell_of(segments[s]);
                if (cell != kMixed) {
                    const std::int64_t begin = segments[s].begin;
                    while (++s < segments.size() && cell_of(segments[s]) == cell) {
                    }
                    std::fill(row + begin, row + segments[s - 1].end, cell);
                    continue;
                }
                const Segment& segment = segments[s++];
                edge.load(logits, {z, y, segment.x}, stride);
                for (std::int64_t x = segment.begin; x < segment.end; ++x)
                    row[x] = edge.winner(lines[2].positions[static_cast<std::size_t>(x)].weight);
            }
        }
    });
}

// ---- oblique scans

void oblique(const Logits& logits, View3<std::uint8_t> out, const Affine& map, int threads) {
    const std::vector<std::uint8_t> cells = find_cells(logits, threads);
    const Index3 n = logits.extent(), stride = logits.strides();
    parallel_chunks(out.nz * out.ny, 64, threads, [&](std::int64_t first, std::int64_t last, int) {
        Edge edge(logits.nc);
        for (std::int64_t r = first; r < last; ++r) {
            const auto z = static_cast<double>(r / out.ny), y = static_cast<double>(r % out.ny);
            std::uint8_t* row = out.data + r * out.nx;
            for (std::int64_t ix = 0; ix < out.nx; ++ix) {
                const auto x = static_cast<double>(ix);
                const double c[3] = {map.at(0, z, y, x), map.at(1, z, y, x), map.at(2, z, y, x)};
                if (!inside(c[0], 2 * n[0]) || !inside(c[1], 2 * n[1]) || !inside(c[2], 2 * n[2])) {
                    row[ix] = 0;
                    continue;
                }
                const Position p[3] = {locate(c[0], n[0]), locate(c[1], n[1]), locate(c[2], n[2])};
                row[ix] = cells[static_cast<std::size_t>(p[0].lower * stride[0] + p[1].lower * stride[1] + p[2].lower)];
                if (row[ix] != kMixed)
                    continue;
                edge.load(logits, p, stride);
                row[ix] = edge.winner(p[2].weight);
            }
        }
    });
}

} // namespace

void upsample_argmax(Logits logits, View3<std::uint8_t> out, const Affine& map, int threads) {
    require_threads(threads);
    if (logits.nc < 1 || logits.nc > 255)
        throw std::invalid_argument("logits hold " + std::to_string(logits.nc) + " classes, must be 1 to 255");
    if (logits.voxels() == 0)
        std::fill_n(out.data, out.size(), std::uint8_t{0});
    else if (const auto axes = source_axes(map))
        aligned(logits, out, map, *axes, threads);
    else
        oblique(logits, out, map, threads);
}

} // namespace whs
