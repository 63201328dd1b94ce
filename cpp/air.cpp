#include "air.hpp"

#include "parallel.hpp"

#include <algorithm>
#include <cstring>

namespace whs {
namespace {

// The place among m voxels that lies as voxel i does among n, as far as the nearer face tells.
std::int64_t likewise(std::int64_t i, std::int64_t n, std::int64_t m) {
    const std::int64_t half = m / 2;
    return i < half ? i : n - i <= half ? m - (n - i) : half;
}

} // namespace

Seen Seen::in_region(View3<const std::uint8_t> region, int threads) {
    Seen cells(region.nz / 2, region.ny / 2, region.nx / 2);
    parallel_chunks(cells.planes_, 4, threads, [&](std::int64_t first, std::int64_t last, int) {
        std::vector<std::uint8_t> line(static_cast<std::size_t>(region.nx));
        for (std::int64_t plane = first; plane < last; ++plane)
            for (std::int64_t row = 0; row < cells.rows_; ++row) {
                const std::uint8_t *a = region.row(2 * plane, 2 * row), *b = region.row(2 * plane, 2 * row + 1),
                                   *c = region.row(2 * plane + 1, 2 * row), *d = region.row(2 * plane + 1, 2 * row + 1);
                for (std::int64_t x = 0; x < region.nx; ++x)
                    line[static_cast<std::size_t>(x)] = a[x] | b[x] | c[x] | d[x];
                for (std::int64_t x = 0; x < cells.columns_; ++x) {
                    const bool any =
                        (line[static_cast<std::size_t>(2 * x)] | line[static_cast<std::size_t>(2 * x + 1)]) != 0;
                    cells.at(plane, row)[x / 64] |= std::uint64_t{any} << (x % 64);
                }
            }
    });
    return cells;
}

Seen Seen::halved(int threads) const {
    Seen cells(planes_ / 2, rows_ / 2, columns_ / 2);
    parallel_chunks(cells.planes_, 1, threads, [&](std::int64_t plane, std::int64_t, int) {
        for (std::int64_t row = 0; row < cells.rows_; ++row)
            for (std::int64_t column = 0; column < cells.columns_; ++column) {
                std::uint64_t any = 0;
                for (const std::int64_t z : {2 * plane, 2 * plane + 1})
                    for (const std::int64_t y : {2 * row, 2 * row + 1})
                        any |= at(z, y)[column / 32] >> (2 * column % 64) & 3;
                cells.at(plane, row)[column / 64] |= std::uint64_t{any != 0} << (column % 64);
            }
    });
    return cells;
}

Seen Seen::dilated(int threads) const {
    Seen wider(planes_, rows_, columns_);
    parallel_chunks(planes_, 1, threads, [&](std::int64_t plane, std::int64_t, int) {
        std::vector<std::uint64_t> line(static_cast<std::size_t>(words_ + 2)); // a word more on both sides
        for (std::int64_t row = 0; row < rows_; ++row) {
            std::fill(line.begin(), line.end(), 0);
            for (std::int64_t z = std::max<std::int64_t>(0, plane - 1); z <= std::min(plane + 1, planes_ - 1); ++z)
                for (std::int64_t y = std::max<std::int64_t>(0, row - 1); y <= std::min(row + 1, rows_ - 1); ++y)
                    for (std::int64_t w = 0; w < words_; ++w)
                        line[static_cast<std::size_t>(w + 1)] |= at(z, y)[w];
            for (std::size_t w = 1; w + 1 < line.size(); ++w)
                wider.at(plane, row)[w - 1] =
                    line[w] | line[w] << 1 | line[w] >> 1 | line[w - 1] >> 63 | line[w + 1] << 63;
        }
    });
    return wider;
}

void copy_air(const Air& air, const Planes& out, std::int64_t out_planes, std::int64_t plane, std::int64_t row,
              const Range& columns, std::int64_t first_group, std::int64_t groups) {
    const Planes& from = *air.answers;
    const std::int64_t z = likewise(plane, out_planes, air.planes), y = likewise(row, out.rows, from.rows);
    for (std::int64_t group = first_group; group < first_group + groups; ++group) {
        const std::uint8_t* answers = from.at(z, group, y);
        std::uint8_t* to = out.at(plane, group, row);
        for (std::int64_t column = columns.first; column < columns.last; ++column)
            std::memcpy(to + 4 * column, answers + 4 * likewise(column, out.columns, from.columns), 4);
    }
}

} // namespace whs
