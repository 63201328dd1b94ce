#include "rows.hpp"

#include <algorithm>
#include <cstring>

namespace whs {
namespace {

// Neighbours of output voxel i of an axis and the weight of the upper one, of 2 * factor.
struct Between {
    Between(std::int64_t i, std::int64_t factor, std::int64_t n) {
        const std::int64_t twice = 2 * i + 1 - factor; // 2 * factor * position
        const std::int64_t floor = (twice + 2 * factor) / (2 * factor) - 1;
        weight = static_cast<std::int32_t>(twice - floor * 2 * factor);
        lower = std::max<std::int64_t>(floor, 0);
        upper = std::min(floor + 1, n - 1);
    }
    std::int64_t lower, upper;
    std::int32_t weight;
};

// Words of the phases in turn.
template <int factor>
void interleave(const std::uint8_t* phases, std::int64_t columns, std::uint8_t* __restrict to) {
    for (std::int64_t column = 0; column < columns; ++column)
        for (std::int64_t phase = 0; phase < factor; ++phase)
            std::memcpy(to + 4 * (factor * column + phase), phases + 4 * (phase * columns + column), 4);
}

} // namespace

void split_voxels(View3<const std::uint8_t> region, const Planes& out, const RowAt& at) {
    const std::int64_t plane = at.plane, row = at.row, columns = out.columns;
    for (std::int64_t phase = 0; phase < 2; ++phase) {
        const std::uint8_t* from = region.row(plane, 2 * row + phase);
        std::uint8_t* to = out.at(plane, phase, row);
        to[0] = to[1] = 0;
        std::memcpy(to + 2, from, 2);
        for (std::int64_t column = 1; column < columns; ++column)
            std::memcpy(to + 4 * column, from + 2 * column - 2, 4);
    }
    std::uint8_t* to = out.at(plane, 2, row);
    for (std::int64_t y = 0; y < 4; ++y) {
        const std::int64_t from_row = 2 * row - 2 + y;
        const std::uint8_t* from = from_row < 0 ? nullptr : region.row(plane, from_row);
        for (std::int64_t column = 0; column < columns; ++column)
            to[4 * column + y] = from == nullptr || column == columns - 1 ? 0 : from[2 * column + 2];
    }
}

void split_words(const Planes& in, const Planes& out, const RowAt& at) {
    const std::int64_t columns = out.columns;
    for (std::int64_t phase = 0; phase < 2; ++phase) {
        const std::uint8_t* from = in.at(at.plane, at.group, 2 * at.row + phase);
        std::uint8_t* even = out.at(at.plane, 4 * at.group + 2 * phase, at.row);
        std::uint8_t* odd = out.at(at.plane, 4 * at.group + 2 * phase + 1, at.row);
        for (std::int64_t column = 0; column < columns; ++column) {
            std::memcpy(even + 4 * column, from + 8 * column, 4);
            std::memcpy(odd + 4 * column, from + 8 * column + 4, 4);
        }
    }
}

void pool_row(const QuantisedPool& pool, View3<const std::uint8_t> region, const Planes& out, const RowAt& at,
              RowScratch& scratch) {
    const auto [plane, group, row] = at;
    const auto columns = static_cast<std::size_t>(out.columns);
    std::vector<std::uint16_t>& sums = scratch.line;
    sums.assign(2 * columns + 1, 0);
    int lines = 0;
    for (std::int64_t z = std::max<std::int64_t>(0, 2 * plane - 1); z <= 2 * plane + 1; ++z)
        for (std::int64_t y = std::max<std::int64_t>(0, 2 * row - 1); y <= 2 * row + 1; ++y, ++lines) {
            const std::uint8_t* from = region.row(z, y);
            for (std::size_t x = 0; x < 2 * columns; ++x)
                sums[x + 1] = static_cast<std::uint16_t>(sums[x + 1] + from[x]);
        }
    const auto value = [&](std::size_t column, float share) {
        const std::uint16_t* sum = sums.data() + 2 * column;
        const float mean = static_cast<float>(sum[0] + sum[1] + sum[2]) * share + pool.bias;
        return static_cast<std::uint8_t>(std::min(std::max(mean, 0.0F), 255.0F) + 0.5F);
    };
    std::vector<std::uint8_t>& means = scratch.bytes;
    means.assign(columns + 3, pool.zero); // what lies outside on both sides, and a byte that has no weight
    const float share = pool.scale / static_cast<float>(3 * lines);
    for (std::size_t column = 0; column < columns; ++column)
        means[column + 1] = value(column, share);
    means[1] = value(0, pool.scale / static_cast<float>(2 * lines));
    std::uint8_t* to = out.at(plane, group, row);
    for (std::size_t column = 0; column < columns; ++column)
        std::memcpy(to + 4 * column, means.data() + column, 4);
}

void upsample_row(const Planes& in, std::int64_t in_planes, std::int64_t factor, const Planes& out, const RowAt& at,
                  RowScratch& scratch) {
    const auto [plane, group, row] = at;
    const Between z(plane, factor, in_planes), y(row, factor, in.rows);
    const std::int64_t columns = in.columns, bytes = 4 * columns;
    const auto whole = static_cast<std::int32_t>(2 * factor);
    const std::uint8_t* a = in.at(z.lower, group, y.lower);
    const std::uint8_t* b = in.at(z.lower, group, y.upper);
    const std::uint8_t* c = in.at(z.upper, group, y.lower);
    const std::uint8_t* d = in.at(z.upper, group, y.upper);
    const auto wa = static_cast<std::uint16_t>((whole - z.weight) * (whole - y.weight));
    const auto wb = static_cast<std::uint16_t>((whole - z.weight) * y.weight);
    const auto wc = static_cast<std::uint16_t>(z.weight * (whole - y.weight));
    const auto wd = static_cast<std::uint16_t>(z.weight * y.weight);
    // A voxel more on both sides, for the edges. Sixteen bits hold the sums: for a factor of 4 they are halved here.
    scratch.line.resize(static_cast<std::size_t>(bytes + 8));
    std::uint16_t* line = scratch.line.data() + 4;
    const int halved = factor == 2 ? 0 : 1;
    for (std::int64_t i = 0; i < bytes; ++i) {
        const auto sum = static_cast<std::uint16_t>(a[i] * wa + b[i] * wb + c[i] * wc + d[i] * wd + halved);
        line[i] = static_cast<std::uint16_t>(sum >> halved);
    }
    std::copy_n(line, 4, line - 4);
    std::copy_n(line + bytes - 4, 4, line + bytes);
    scratch.bytes.resize(static_cast<std::size_t>(factor * bytes));
    std::uint8_t* phases = scratch.bytes.data();
    const int shift = factor == 2 ? 6 : 8;
    for (std::int64_t phase = 0; phase < factor; ++phase) {
        const Between x(phase + factor, factor, 3); // as in the middle of a row
        const std::uint16_t* lower = line + 4 * (x.lower - 1);
        const std::uint16_t* upper = line + 4 * (x.upper - 1);
        const auto w0 = static_cast<std::uint16_t>(whole - x.weight), w1 = static_cast<std::uint16_t>(x.weight);
        const auto half = static_cast<std::uint16_t>(1 << (shift - 1));
        for (std::int64_t i = 0; i < bytes; ++i) {
            const auto sum = static_cast<std::uint16_t>(lower[i] * w0 + upper[i] * w1 + half);
            phases[phase * bytes + i] = static_cast<std::uint8_t>(sum >> shift);
        }
    }
    std::uint8_t* to = out.at(plane, group, row);
    if (factor == 2)
        interleave<2>(phases, columns, to);
    else
        interleave<4>(phases, columns, to);
}

void logits_row(const Planes& in, View4<std::int8_t> logits, std::int64_t plane, std::int64_t row,
                const Range& columns) {
    const std::int64_t classes = logits.nc;
    std::int8_t* to = logits.data + (plane * logits.ny + row) * logits.nx * classes;
    for (std::int64_t group = 0; 4 * group < classes; ++group) {
        const std::uint8_t* from = in.at(plane, group, row);
        const auto count = static_cast<std::size_t>(std::min<std::int64_t>(4, classes - 4 * group));
        for (std::int64_t column = columns.first; column < columns.last; ++column) {
            std::uint32_t word;
            std::memcpy(&word, from + 4 * column, 4);
            word ^= 0x80808080; // 128 less
            std::memcpy(to + column * classes + 4 * group, &word, count);
        }
    }
}

} // namespace whs
