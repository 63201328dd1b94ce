// What is done with the components of a label map; forest.cpp finds them.
#include "components.hpp"

#include "forest.hpp"
#include "parallel.hpp"

#include <atomic>
#include <functional>
#include <limits>
#include <unordered_map>
#include <utility>

namespace whs {
namespace {

constexpr int kPartNeighbours = 26; // thin vessels in thick slices hang together by edges and corners only

void require_connectivity(int connectivity) {
    if (connectivity != 6 && connectivity != 18 && connectivity != 26)
        throw std::invalid_argument("connectivity is " + std::to_string(connectivity) + ", must be 6, 18 or 26");
}

// How many of dz, dy, dx may differ from 0 between neighbours.
std::int64_t steps_of(int connectivity) { return connectivity == 6 ? 1 : connectivity == 18 ? 2 : 3; }

// Background where goes(run); returns how many voxels that are.
template <class Goes>
std::int64_t remove_runs(View3<std::uint8_t> labels, const Forest& forest, Goes goes) {
    std::int64_t removed = 0;
    forest.each_run([&](std::int64_t row, std::uint32_t run) {
        if (!goes(run))
            return;
        const Run& gone = forest.runs[run];
        std::fill(labels.data + row * labels.nx + gone.begin, labels.data + row * labels.nx + gone.end,
                  std::uint8_t{0});
        removed += gone.end - gone.begin;
    });
    return removed;
}

} // namespace

std::int64_t connected_components(View3<const std::uint8_t> labels, View3<std::uint32_t> out, int connectivity,
                                  int threads) {
    require_connectivity(connectivity);
    require_same_shape(labels, out);
    Forest forest = unite_runs(labels, false, connectivity, threads);
    std::uint32_t count = 0;
    std::vector<std::uint32_t> number(forest.parent.size());
    for (std::size_t run = 0; run < number.size(); ++run)
        number[run] = forest.parent[run] == run ? ++count : number[forest.parent[run]];
    parallel_chunks(labels.nz * labels.ny, 256, threads, [&](std::int64_t first, std::int64_t last, int) {
        for (std::int64_t r = first; r < last; ++r) {
            std::uint32_t* row = out.data + r * out.nx;
            std::int64_t x = 0;
            for (std::uint32_t i = forest.first[static_cast<std::size_t>(r)];
                 i < forest.first[static_cast<std::size_t>(r) + 1]; ++i) {
                const Run& run = forest.runs[i];
                std::fill(row + x, row + run.begin, 0u);
                std::fill(row + run.begin, row + run.end, number[i]);
                x = run.end;
            }
            std::fill(row + x, row + out.nx, 0u);
        }
    });
    return count;
}

std::int64_t keep_parts(View3<std::uint8_t> labels, std::span<const PartRule> rules, int threads) {
    require_threads(threads);
    for (const PartRule& rule : rules)
        if (rule.attached_to < 0 || rule.attached_to >= static_cast<std::int64_t>(rules.size()) ||
            rules[static_cast<std::size_t>(rule.attached_to)].attached_to != 0)
            throw std::invalid_argument("attached_to is " + std::to_string(rule.attached_to) +
                                        ", must be 0 or a label whose own parts need not be attached");
    const Forest forest = unite_runs(labels, false, kPartNeighbours, threads);
    const std::vector<std::uint32_t>& root = forest.parent;
    const std::size_t count = forest.runs.size();
    std::vector<std::int64_t> voxels(count);
    for (std::size_t run = 0; run < count; ++run) {
        const Run& own = forest.runs[run];
        if (own.label >= rules.size())
            throw std::invalid_argument("labels hold " + std::to_string(own.label) + ", must be below the number " +
                                        std::to_string(rules.size()) + " of rules");
        voxels[root[run]] += own.end - own.begin;
    }

    auto large = [&](std::uint32_t part) { return voxels[part] >= rules[forest.runs[part].label].least_voxels; };
    std::vector<std::atomic<bool>> stays(count); // of the roots; set by any thread, never unset
    // Of the labels that need a neighbour, or of the others, the largest parts stay where fewer than `parts` do.
    auto fill_up = [&](bool attached) {
        std::vector<std::int64_t> wanted(rules.size());
        for (std::size_t label = 0; label < rules.size(); ++label)
            wanted[label] = (rules[label].attached_to != 0) == attached ? rules[label].parts : 0;
        std::vector<std::vector<std::int64_t>> sizes(rules.size());
        for (std::uint32_t run = 0; run < count; ++run) {
            if (root[run] != run || !large(run))
                continue;
            const std::size_t label = forest.runs[run].label;
            if (stays[run].load(std::memory_order_relaxed))
                --wanted[label];
            else
                sizes[label].push_back(voxels[run]);
        }
        // The size that a part needs to be among the largest: parts of equal size stay or go together.
        std::vector<std::int64_t> enough(rules.size(), std::numeric_limits<std::int64_t>::max());
        for (std::size_t label = 0; label < rules.size(); ++label) {
            const auto parts = std::min(wanted[label], static_cast<std::int64_t>(sizes[label].size()));
            if (parts < 1)
                continue;
            const auto nth = sizes[label].begin() + (parts - 1);
            std::nth_element(sizes[label].begin(), nth, sizes[label].end(), std::greater<>());
            enough[label] = *nth;
        }
        for (std::uint32_t run = 0; run < count; ++run)
            if (root[run] == run && large(run) && voxels[run] >= enough[forest.runs[run].label])
                stays[run].store(true, std::memory_order_relaxed);
    };
    fill_up(false);

    // A part that needs a neighbour keeps to one that stays itself; those never need one, so nothing here races.
    auto attach = [&](std::uint32_t part, std::uint32_t neighbour) {
        const std::int64_t wanted = rules[forest.runs[part].label].attached_to;
        if (wanted != 0 && wanted == forest.runs[neighbour].label && large(root[part]) &&
            stays[root[neighbour]].load(std::memory_order_relaxed))
            stays[root[part]].store(true, std::memory_order_relaxed);
    };
    auto attach_both = [&](std::uint32_t a, std::uint32_t b) {
        attach(a, b);
        attach(b, a);
    };
    parallel_chunks(labels.nz * labels.ny, 64, threads, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t row = begin; row < end; ++row)
            forest.each_touching_back(row, kPartNeighbours, attach_both);
    });
    fill_up(true);

    return remove_runs(labels, forest,
                       [&](std::uint32_t run) { return !stays[root[run]].load(std::memory_order_relaxed); });
}

std::int64_t keep_group(View3<std::uint8_t> labels, std::span<const std::int64_t> least_voxels, int threads) {
    Forest forest = unite_runs(labels, false, kPartNeighbours, threads);
    const std::vector<Run>& runs = forest.runs;
    for (const Run& run : runs)
        if (run.label >= least_voxels.size())
            throw std::invalid_argument("labels hold " + std::to_string(run.label) + ", must be below the number " +
                                        std::to_string(least_voxels.size()) + " of least_voxels");
    const std::vector<std::uint32_t> part = forest.parent; // of each run, while parts of one label alone are united
    std::vector<std::int64_t> size(runs.size());           // of the parts
    for (std::uint32_t run = 0; run < runs.size(); ++run)
        size[part[run]] += runs[run].end - runs[run].begin;
    const auto is_member = [&](std::uint32_t run) { return least_voxels[runs[run].label] > 0; };
    const auto join = [&](std::uint32_t a, std::uint32_t b) {
        if (is_member(a) && is_member(b))
            forest.unite(a, b);
    };
    for (std::int64_t row = 0; row < labels.nz * labels.ny; ++row)
        forest.each_touching_back(row, kPartNeighbours, join);

    struct Group {
        std::vector<bool> held; // labels of which a part is large enough
        std::int64_t labels = 0, voxels = 0;

        std::pair<std::int64_t, std::int64_t> worth() const { return {labels, voxels}; }
    };
    std::unordered_map<std::uint32_t, Group> groups;
    for (std::uint32_t run = 0; run < runs.size(); ++run) {
        if (part[run] != run || !is_member(run))
            continue;
        Group& group = groups[forest.root(run)];
        group.held.resize(least_voxels.size());
        group.voxels += size[run];
        const std::uint8_t label = runs[run].label;
        if (size[run] >= least_voxels[label] && !group.held[label]) {
            group.held[label] = true;
            ++group.labels;
        }
    }
    std::pair<std::int64_t, std::int64_t> most;
    for (const auto& [root, group] : groups)
        most = std::max(most, group.worth());
    if (most.first < 2)
        return 0;
    std::vector<bool> held(least_voxels.size()); // by a best group
    for (const auto& [root, group] : groups)
        for (std::size_t label = 0; label < held.size() && group.worth() == most; ++label)
            held[label] = held[label] || group.held[label];

    return remove_runs(labels, forest, [&](std::uint32_t run) {
        return held[runs[run].label] && groups[forest.root(run)].worth() != most;
    });
}

std::int64_t fill_holes(View3<std::uint8_t> labels, int label, int connectivity, int threads) {
    require_connectivity(connectivity);
    if (label < 0 || label > 255)
        throw std::invalid_argument("label is " + std::to_string(label) + ", must be 0 to 255");
    Forest forest = unite_runs(labels, true, connectivity, threads);
    constexpr int kOpen = 256, kUnknown = -1; // what surrounds a cavity: one label, nothing known, or not one label
    std::vector<int> around(forest.runs.size(), kUnknown);
    const std::vector<std::uint32_t>& root = forest.parent;
    forest.each_run([&](std::int64_t row, std::uint32_t i) {
        const std::int64_t z = row / labels.ny, y = row % labels.ny;
        const Run& run = forest.runs[i];
        if (z == 0 || z == labels.nz - 1 || y == 0 || y == labels.ny - 1 || run.begin == 0 || run.end == labels.nx)
            around[root[i]] = kOpen;
    });
    forest.each_run([&](std::int64_t row, std::uint32_t i) {
        int& state = around[root[i]];
        for (std::int64_t dz = -1; dz <= 1 && state != kOpen; ++dz)
            for (std::int64_t dy = -1; dy <= 1 && state != kOpen; ++dy) {
                const std::int64_t steps = dz * dz + dy * dy, most = steps_of(connectivity);
                if (steps > most)
                    continue;
                const std::int64_t reach = steps < most; // inner cavities never reach the border: no bounds to check
                const std::uint8_t* near = labels.data + (row + dz * labels.ny + dy) * labels.nx;
                for (std::int64_t x = forest.runs[i].begin - reach; x < forest.runs[i].end + reach; ++x)
                    if (near[x] != 0 && near[x] != state)
                        state = state == kUnknown ? near[x] : kOpen;
            }
    });
    std::int64_t filled = 0;
    forest.each_run([&](std::int64_t row, std::uint32_t i) {
        const int state = around[root[i]];
        if (state == kOpen || (label != 0 && state != label))
            return;
        const Run& run = forest.runs[i];
        std::fill(labels.data + row * labels.nx + run.begin, labels.data + row * labels.nx + run.end,
                  static_cast<std::uint8_t>(state));
        filled += run.end - run.begin;
    });
    return filled;
}

} // namespace whs
