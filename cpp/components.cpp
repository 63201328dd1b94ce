// Connected components of a label map by run-length union-find.
//
// Rows are cut into runs of equal labels; runs of neighbouring rows that touch are united; the root of a set is always
// its first run in scan order, so the numbering depends on the labels alone. Runs, not voxels, carry the forest: a
// label map of 100 million voxels has about a million runs. The volume is cut into strips of whole slices, each united
// by one thread, then the strips are joined along their common faces; the sets do not depend on the order of unions.
// After Rosenfeld and Pfaltz 1966 (two passes), Hoshen and Kopelman 1976 (union-find), and Shapiro 1996 (run lengths).
#include "components.hpp"

#include "parallel.hpp"
#include "runs.hpp"

#include <limits>

namespace whs {
namespace {

struct Run {
    std::int32_t begin, end;
    std::uint8_t label;
};

// Runs of all rows in scan order, with the forest over them.
struct Forest {
    std::int64_t ny = 0;
    std::vector<Run> runs;
    std::vector<std::int64_t> first; // of each row; one more at the end
    std::vector<std::uint32_t> parent;

    std::uint32_t root(std::uint32_t run) {
        while (parent[run] != run) {
            parent[run] = parent[parent[run]];
            run = parent[run];
        }
        return run;
    }
    void unite(std::uint32_t a, std::uint32_t b) {
        a = root(a);
        b = root(b);
        if (a < b)
            parent[b] = a;
        else
            parent[a] = b;
    }
    // Unites the runs of two rows that overlap, or come within `reach` (0 or 1) voxels of it.
    void unite_rows(std::int64_t a, std::int64_t b, int reach) {
        std::int64_t i = first[static_cast<std::size_t>(a)], j = first[static_cast<std::size_t>(b)];
        const std::int64_t i_end = first[static_cast<std::size_t>(a) + 1],
                           j_end = first[static_cast<std::size_t>(b) + 1];
        auto join = [&](std::int64_t k, std::int64_t l) {
            if (k == i_end || l == j_end)
                return;
            const Run &p = runs[static_cast<std::size_t>(k)], &q = runs[static_cast<std::size_t>(l)];
            if (p.label == q.label && p.begin < q.end + reach && q.begin < p.end + reach)
                unite(static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(l));
        };
        while (i < i_end && j < j_end) {
            join(i, j);
            const std::int32_t p_end = runs[static_cast<std::size_t>(i)].end,
                               q_end = runs[static_cast<std::size_t>(j)].end;
            if (p_end == q_end) { // the next of either may touch the other's corner
                join(i + 1, j);
                join(i, j + 1);
            }
            i += p_end <= q_end;
            j += q_end <= p_end;
        }
    }
    // Unites row (z, y) with the rows before it in scan order.
    void unite_back(std::int64_t z, std::int64_t y, bool across_slices, int connectivity) {
        const int edge = connectivity >= 18, corner = connectivity == 26;
        const std::int64_t row = z * ny + y;
        if (!across_slices) {
            if (y > 0)
                unite_rows(row, row - 1, edge);
            return;
        }
        if (z == 0)
            return;
        unite_rows(row, row - ny, edge);
        if (edge && y > 0)
            unite_rows(row, row - ny - 1, corner);
        if (edge && y + 1 < ny)
            unite_rows(row, row - ny + 1, corner);
    }
};

constexpr std::int64_t kStrip = 16; // slices

void require_connectivity(int connectivity) {
    if (connectivity != 6 && connectivity != 18 && connectivity != 26)
        throw std::invalid_argument("connectivity is " + std::to_string(connectivity) + ", must be 6, 18 or 26");
}

// How many of dz, dy, dx may differ from 0 between neighbours.
std::int64_t steps_of(int connectivity) { return connectivity == 6 ? 1 : connectivity == 18 ? 2 : 3; }

// The runs of all voxels but 0, or of the voxels that are 0, united into components; parent[] then holds roots.
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
            forest.first[static_cast<std::size_t>(r) + 1] = static_cast<std::int64_t>(runs.size() - before);
        }
    });
    for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r)
        forest.first[r + 1] += forest.first[r];
    const std::int64_t count = forest.first.back();
    if (count >= std::numeric_limits<std::uint32_t>::max())
        throw std::invalid_argument("the volume holds " + std::to_string(count) + " runs, must be below 2^32 - 1");
    forest.runs.reserve(static_cast<std::size_t>(count));
    for (std::vector<Run>& runs : found) {
        forest.runs.insert(forest.runs.end(), runs.begin(), runs.end());
        std::vector<Run>().swap(runs);
    }
    forest.parent.resize(static_cast<std::size_t>(count));
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

} // namespace

std::int64_t connected_components(View3<const std::uint8_t> labels, View3<std::uint32_t> out, int connectivity,
                                  int threads) {
    require_connectivity(connectivity);
    if (labels.nz != out.nz || labels.ny != out.ny || labels.nx != out.nx)
        throw std::invalid_argument("labels and out differ in shape");
    Forest forest = unite_runs(labels, false, connectivity, threads);
    std::uint32_t count = 0;
    std::vector<std::uint32_t> number(forest.parent.size());
    for (std::size_t run = 0; run < number.size(); ++run)
        number[run] = forest.parent[run] == run ? ++count : number[forest.parent[run]];
    parallel_chunks(labels.nz * labels.ny, 256, threads, [&](std::int64_t first, std::int64_t last, int) {
        for (std::int64_t r = first; r < last; ++r) {
            std::uint32_t* row = out.data + r * out.nx;
            std::int64_t x = 0;
            for (std::int64_t i = forest.first[static_cast<std::size_t>(r)];
                 i < forest.first[static_cast<std::size_t>(r) + 1]; ++i) {
                const Run& run = forest.runs[static_cast<std::size_t>(i)];
                std::fill(row + x, row + run.begin, 0u);
                std::fill(row + run.begin, row + run.end, number[static_cast<std::size_t>(i)]);
                x = run.end;
            }
            std::fill(row + x, row + out.nx, 0u);
        }
    });
    return count;
}

ComponentTable component_table(View3<const std::uint8_t> labels, View3<const std::uint32_t> components,
                               std::int64_t count, int connectivity, int threads) {
    require_connectivity(connectivity);
    require_threads(threads);
    if (labels.nz != components.nz || labels.ny != components.ny || labels.nx != components.nx)
        throw std::invalid_argument("labels and components differ in shape");
    if (count < 0 || count >= std::numeric_limits<std::uint32_t>::max())
        throw std::invalid_argument("count is " + std::to_string(count) + ", must be that of connected_components");
    const auto entries = static_cast<std::size_t>(count) + 1;
    std::vector<ComponentTable> partial(static_cast<std::size_t>(threads));
    for (ComponentTable& table : partial)
        table = {std::vector<std::uint8_t>(entries), std::vector<std::int64_t>(entries),
                 std::vector<std::uint32_t>(entries)};
    const std::int64_t most = steps_of(connectivity);
    parallel_chunks(labels.nz * labels.ny, 64, threads, [&](std::int64_t first, std::int64_t last, int worker) {
        ComponentTable& table = partial[static_cast<std::size_t>(worker)];
        for (std::int64_t r = first; r < last; ++r) {
            const std::int64_t z = r / labels.ny, y = r % labels.ny;
            const std::uint8_t* label = labels.row(z, y);
            const std::uint32_t* component = components.row(z, y);
            for (std::int64_t begin = 0, end; begin < labels.nx; begin = end) {
                const std::uint32_t own = component[begin];
                end =
                    std::find_if(component + begin, component + labels.nx, [&](std::uint32_t c) { return c != own; }) -
                    component;
                if (own > count)
                    throw std::invalid_argument("components hold " + std::to_string(own) + ", must be at most count " +
                                                std::to_string(count));
                table.voxels[own] += end - begin;
                if (own == 0)
                    continue;
                if (label[begin] >= 32)
                    throw std::invalid_argument("labels hold " + std::to_string(label[begin]) + ", must be below 32");
                table.label[own] = label[begin];
                std::uint32_t touches = 0;
                for (std::int64_t k = 0; k < 27; ++k) {
                    const std::int64_t dz = k / 9 - 1, dy = k / 3 % 3 - 1, dx = k % 3 - 1;
                    if (dz * dz + dy * dy + dx * dx > most || z + dz < 0 || z + dz >= labels.nz || y + dy < 0 ||
                        y + dy >= labels.ny)
                        continue;
                    const std::uint8_t* near_label = labels.row(z + dz, y + dy);
                    const std::uint32_t* near_component = components.row(z + dz, y + dy);
                    for (std::int64_t x = std::max<std::int64_t>(0, begin + dx); x < std::min(labels.nx, end + dx); ++x)
                        touches |= static_cast<std::uint32_t>(near_component[x] != own) << (near_label[x] & 31);
                }
                table.touches[own] |= touches;
            }
        }
    });
    ComponentTable total = std::move(partial[0]);
    for (std::size_t worker = 1; worker < partial.size(); ++worker)
        for (std::size_t i = 0; i < entries; ++i) {
            total.label[i] = std::max(total.label[i], partial[worker].label[i]);
            total.voxels[i] += partial[worker].voxels[i];
            total.touches[i] |= partial[worker].touches[i];
        }
    return total;
}

void relabel_components(View3<const std::uint32_t> components, const std::uint8_t* new_label, std::int64_t entries,
                        View3<std::uint8_t> out, int threads) {
    if (components.nz != out.nz || components.ny != out.ny || components.nx != out.nx)
        throw std::invalid_argument("components and out differ in shape");
    parallel_chunks(out.size(), 1 << 18, threads, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t i = begin; i < end; ++i) {
            if (components.data[i] >= entries)
                throw std::invalid_argument("components hold " + std::to_string(components.data[i]) +
                                            ", but new_label has " + std::to_string(entries) + " entries");
            out.data[i] = new_label[components.data[i]];
        }
    });
}

std::int64_t fill_holes(View3<std::uint8_t> labels, int label, int connectivity, int threads) {
    require_connectivity(connectivity);
    if (label < 0 || label > 255)
        throw std::invalid_argument("label is " + std::to_string(label) + ", must be 0 to 255");
    Forest forest = unite_runs({labels.data, labels.nz, labels.ny, labels.nx}, true, connectivity, threads);
    constexpr int kOpen = 256, kUnknown = -1; // what surrounds a cavity: one label, nothing known, or not one label
    std::vector<int> around(forest.runs.size(), kUnknown);
    auto each_run = [&](auto&& visit) {
        for (std::int64_t z = 0; z < labels.nz; ++z)
            for (std::int64_t y = 0; y < labels.ny; ++y) {
                const auto row = static_cast<std::size_t>(z * labels.ny + y);
                for (std::int64_t i = forest.first[row]; i < forest.first[row + 1]; ++i)
                    visit(z, y, forest.runs[static_cast<std::size_t>(i)],
                          around[forest.parent[static_cast<std::size_t>(i)]]);
            }
    };
    each_run([&](std::int64_t z, std::int64_t y, const Run& run, int& state) {
        if (z == 0 || z == labels.nz - 1 || y == 0 || y == labels.ny - 1 || run.begin == 0 || run.end == labels.nx)
            state = kOpen;
    });
    each_run([&](std::int64_t z, std::int64_t y, const Run& run, int& state) {
        for (std::int64_t dz = -1; dz <= 1 && state != kOpen; ++dz)
            for (std::int64_t dy = -1; dy <= 1 && state != kOpen; ++dy) {
                const std::int64_t steps = dz * dz + dy * dy, most = steps_of(connectivity);
                if (steps > most)
                    continue;
                const std::int64_t reach = steps < most; // inner cavities never reach the border: no bounds to check
                const std::uint8_t* row = labels.row(z + dz, y + dy);
                for (std::int64_t x = run.begin - reach; x < run.end + reach; ++x)
                    if (row[x] != 0 && row[x] != state)
                        state = state == kUnknown ? row[x] : kOpen;
            }
    });
    std::int64_t filled = 0;
    each_run([&](std::int64_t z, std::int64_t y, const Run& run, int& state) {
        if (state == kOpen || (label != 0 && state != label))
            return;
        std::fill(labels.row(z, y) + run.begin, labels.row(z, y) + run.end, static_cast<std::uint8_t>(state));
        filled += run.end - run.begin;
    });
    return filled;
}

} // namespace whs
