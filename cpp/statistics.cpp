// Statistics of every label in one pass over the runs of equal voxels. All sums are integers, so the number of threads
// and the order of the chunks cannot change a bit.
#include "statistics.hpp"

#include "parallel.hpp"
#include "runs.hpp"

#include <limits>

namespace whs {
namespace {

struct Sums {
    std::int64_t voxels = 0;
    Index3 lowest{std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::max(),
                  std::numeric_limits<std::int64_t>::max()};
    Index3 highest{-1, -1, -1};

    void add_run(std::int64_t z, std::int64_t y, std::int64_t begin, std::int64_t end) {
        voxels += end - begin;
        lowest = {std::min(lowest[0], z), std::min(lowest[1], y), std::min(lowest[2], begin)};
        highest = {std::max(highest[0], z), std::max(highest[1], y), std::max(highest[2], end - 1)};
    }
    void add(const Sums& other) {
        voxels += other.voxels;
        for (std::size_t a = 0; a < 3; ++a) {
            lowest[a] = std::min(lowest[a], other.lowest[a]);
            highest[a] = std::max(highest[a], other.highest[a]);
        }
    }
};

} // namespace

LabelStatistics label_statistics(View3<const std::uint8_t> labels, std::int64_t label_count, int threads) {
    if (label_count < 1 || label_count > 256)
        throw std::invalid_argument("label_count is " + std::to_string(label_count) + ", must be 1 to 256");
    require_threads(threads);
    const auto count = static_cast<std::size_t>(label_count);
    std::vector<std::vector<Sums>> partial(static_cast<std::size_t>(threads), std::vector<Sums>(count));
    parallel_chunks(labels.nz * labels.ny, 256, threads, [&](std::int64_t first, std::int64_t last, int worker) {
        std::vector<Sums>& sums = partial[static_cast<std::size_t>(worker)];
        for (std::int64_t r = first; r < last; ++r) {
            const std::int64_t z = r / labels.ny, y = r % labels.ny;
            const std::uint8_t* row = labels.row(z, y);
            for (std::int64_t begin = 0, end; begin < labels.nx; begin = end) {
                end = run_end(row, begin, labels.nx);
                if (row[begin] >= label_count)
                    throw std::invalid_argument("labels hold " + std::to_string(row[begin]) +
                                                ", must be below label_count " + std::to_string(label_count));
                sums[row[begin]].add_run(z, y, begin, end);
            }
        }
    });

    LabelStatistics result;
    for (std::size_t label = 0; label < count; ++label) {
        Sums total;
        for (const std::vector<Sums>& sums : partial)
            total.add(sums[label]);
        for (std::size_t a = 0; a < 3; ++a) {
            result.lowest.push_back(total.voxels > 0 ? total.lowest[a] : -1);
            result.highest.push_back(total.highest[a]);
        }
        result.voxels.push_back(total.voxels);
    }
    return result;
}

} // namespace whs
