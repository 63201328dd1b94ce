// Connected components of a label map by run-length union-find.
//
// Rows are cut into runs of equal labels; runs of neighbouring rows that touch are united; the root of a set is always
// its first run in scan order, so the numbering depends on the labels alone. Runs, not voxels, carry the forest: a
// label map of 100 million voxels has about a million runs. The volume is cut into strips of whole slices, each united
// by one thread, then the strips are joined along their common faces; the sets do not depend on the order of unions.
// After Rosenfeld and Pfaltz 1966 (two passes), Hoshen and Kopelman 1976 (union-find), and Shapiro 1996 (run lengths).
#include "forest.hpp"

#include "parallel.hpp"
#include "runs.hpp"

#include <limits>

namespace whs {
namespace {

constexpr std::int64_t kStrip = 16; // slices

} // namespace

Forest unite_runs(View3<const std::uint8_t> labels, bool background, int connectivity, int threads) {
    if (labels.nx > std::numeric_limits<std::int32_t>::max() - 1)
        throw std::invalid_argument("a row of " + std::to_string(labels.nx) + " voxels is too long");
    Forest forest;
    forest.ny = labels.ny;
    const std::int64_t rows = labels.nz * labels.ny;
    const std::int64_t strips = (labels.nz + kStrip - 1) / kStrip;
    forest.first.assign(static_cast<std::size_t>(rows) + 1, 0);
    std::vector<std::vector<Run>> found(static_cast<std::size_t>(strips));
    parallel_chunks(strips, 1, threads, [&](std::int64_t strip, std::int64_t, int) {
        std::vector<Run>& runs = found[static_cast<std::size_t>(strip)];
        const std::int64_t last = std::min(labels.nz, (strip + 1) * kStrip) * labels.ny;
        for (std::int64_t r = strip * kStrip * labels.ny; r < last; ++r) {
            const std::uint8_t* row = labels.data + r * labels.nx;
            const std::size_t before = runs.size();
            for (std::int64_t begin = 0, end; begin < labels.nx; begin = end) {
                end = run_end(row, begin, labels.nx);
                if ((row[begin] == 0) == background)
                    runs.push_back({static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end), row[begin]});
            }
            forest.first[static_cast<std::size_t>(r) + 1] = static_cast<std::uint32_t>(runs.size() - before);
        }
    });
    std::size_t count = 0;
    for (const std::vector<Run>& runs : found)
        count += runs.size();
    if (count >= std::numeric_limits<std::uint32_t>::max())
        throw std::invalid_argument("the volume holds " + std::to_string(count) + " runs, must be below 2^32 - 1");
    for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r)
        forest.first[r + 1] += forest.first[r];
    forest.runs.reserve(count);
    for (std::vector<Run>& runs : found) {
        forest.runs.insert(forest.runs.end(), runs.begin(), runs.end());
        std::vector<Run>().swap(runs);
    }
    forest.parent.resize(count);
    for (std::size_t run = 0; run < forest.parent.size(); ++run)
        forest.parent[run] = static_cast<std::uint32_t>(run);

    // Within a strip every run and every parent belongs to the strip: the threads share nothing.
    parallel_chunks(strips, 1, threads, [&](std::int64_t strip, std::int64_t, int) {
        const std::int64_t begin = strip * kStrip, end = std::min(labels.nz, begin + kStrip);
        for (std::int64_t z = begin; z < end; ++z)
            for (std::int64_t y = 0; y < labels.ny; ++y) {
                forest.unite_back(z, y, false, connectivity);
                if (z > begin)
                    forest.unite_back(z, y, true, connectivity);
            }
    });
    for (std::int64_t strip = 1; strip < strips; ++strip)
        for (std::int64_t y = 0; y < labels.ny; ++y)
            forest.unite_back(strip * kStrip, y, true, connectivity);
    for (std::uint32_t& parent : forest.parent)
        parent = forest.parent[parent]; // parents come first, so theirs is already a root
    return forest;
}

} // namespace whs
