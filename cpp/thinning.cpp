// An opening by a box, axis by axis: minima (erosion), then maxima (dilation) over shifted rows of bytes 0 and 1, in
// two buffers of the size of the label's own box. The dilation may reach further than the erosion did, so that only
// what sticks out far is lost, not corners and rough borders. Outside the volume nothing is known, and nothing eroded.
#include "thinning.hpp"

#include "parallel.hpp"

#include <vector>

namespace whs {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Minimum {
    std::uint8_t operator()(std::uint8_t a, std::uint8_t b) const { return static_cast<std::uint8_t>(a & b); }
};
struct Maximum {
    std::uint8_t operator()(std::uint8_t a, std::uint8_t b) const { return static_cast<std::uint8_t>(a | b); }
};

template <class Choose>
void merge(std::uint8_t* out, const std::uint8_t* in, std::int64_t count, Choose choose) {
    for (std::int64_t i = 0; i < count; ++i)
        out[i] = choose(out[i], in[i]);
}

// out = the extreme of `in` within `reach` voxels along one axis, as far as they are there.
template <class Choose>
void extreme(const Bytes& in, Bytes& out, const Index3& extent, std::size_t axis, std::int64_t reach, int threads,
             Choose choose) {
    const std::int64_t ny = extent[1], nx = extent[2];
    parallel_chunks(extent[0] * ny, 64, threads, [&](std::int64_t first, std::int64_t last, int) {
        for (std::int64_t row = first; row < last; ++row) {
            const std::uint8_t* own = in.data() + row * nx;
            std::uint8_t* made = out.data() + row * nx;
            std::copy(own, own + nx, made);
            for (std::int64_t shift = 1; shift <= std::min(reach, extent[axis] - 1); ++shift)
                if (axis == 2) {
                    merge(made, own + shift, nx - shift, choose);
                    merge(made + shift, own, nx - shift, choose);
                } else {
                    const std::int64_t place = axis == 0 ? row / ny : row % ny, step = axis == 0 ? ny : 1;
                    if (place >= shift)
                        merge(made, own - shift * step * nx, nx, choose);
                    if (place + shift < extent[axis])
                        merge(made, own + shift * step * nx, nx, choose);
                }
        }
    });
}

template <class Choose>
void extreme(Bytes& mask, Bytes& spare, const Index3& extent, const Index3& reach, int threads, Choose choose) {
    for (const std::size_t axis : {2u, 1u, 0u}) {
        if (reach[axis] == 0)
            continue;
        extreme(mask, spare, extent, axis, reach[axis], threads, choose);
        mask.swap(spare);
    }
}

// The range, wider by `reach` on both sides where the volume goes on.
Range widened(const Range& range, std::int64_t reach, std::int64_t count) {
    return {std::max<std::int64_t>(0, range.first - reach), std::min(count, range.last + reach)};
}

} // namespace

std::int64_t remove_thin(View3<std::uint8_t> labels, int label, const Box& box, const Index3& reach, const Index3& keep,
                         int threads) {
    require_threads(threads);
    if (label < 1 || label > 255)
        throw std::invalid_argument("label is " + std::to_string(label) + ", must be 1 to 255");
    const std::array<Range, 3> ranges{box.planes, box.rows, box.columns};
    for (std::size_t axis = 0; axis < 3; ++axis) {
        if (reach[axis] < 0 || keep[axis] < reach[axis])
            throw std::invalid_argument("reach is " + std::to_string(reach[axis]) + ", must be 0 to keep, " +
                                        std::to_string(keep[axis]));
        if (ranges[axis].first < 0 || ranges[axis].first > ranges[axis].last ||
            ranges[axis].last > labels.extent()[axis])
            throw std::invalid_argument("box does not lie within the volume");
    }
    const Range planes = widened(box.planes, reach[0], labels.nz), rows = widened(box.rows, reach[1], labels.ny),
                columns = widened(box.columns, reach[2], labels.nx);
    const Index3 extent{planes.size(), rows.size(), columns.size()};
    const std::int64_t all = extent[0] * extent[1];
    Bytes mask(static_cast<std::size_t>(all * extent[2])), spare(mask.size());
    const auto row_of = [&](std::int64_t row) {
        return labels.row(planes.first + row / extent[1], rows.first + row % extent[1]) + columns.first;
    };
    parallel_chunks(all, 64, threads, [&](std::int64_t first, std::int64_t last, int) {
        for (std::int64_t row = first; row < last; ++row)
            for (std::int64_t x = 0; x < extent[2]; ++x)
                mask[static_cast<std::size_t>(row * extent[2] + x)] = row_of(row)[x] == label;
    });
    extreme(mask, spare, extent, reach, threads, Minimum{});
    extreme(mask, spare, extent, keep, threads, Maximum{});
    std::atomic<std::int64_t> removed{0};
    parallel_chunks(all, 64, threads, [&](std::int64_t first, std::int64_t last, int) {
        std::int64_t count = 0;
        for (std::int64_t row = first; row < last; ++row)
            for (std::int64_t x = 0; x < extent[2]; ++x) {
                std::uint8_t& voxel = row_of(row)[x];
                const bool gone = voxel == label && mask[static_cast<std::size_t>(row * extent[2] + x)] == 0;
                voxel = gone ? std::uint8_t{0} : voxel;
                count += gone;
            }
        removed += count;
    });
    return removed;
}

} // namespace whs
