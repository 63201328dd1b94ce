// The runs of equal labels in a volume, and a union-find forest over them. See forest.cpp for how.
#pragma once

#include "views.hpp"

#include <cstdint>
#include <vector>

namespace whs {

struct Run {
    std::int32_t begin, end;
    std::uint8_t label;
};

// Runs of all rows in scan order, with the forest over them.
struct Forest {
    std::int64_t ny = 0;
    std::vector<Run> runs;
    std::vector<std::uint32_t> first; // of each row; one more at the end
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
    // Calls visit(run of a, run of b) for the runs of two rows that overlap, or miss that by `reach` (0 or 1) voxels.
    template <class Visit>
    void each_meeting(std::int64_t a, std::int64_t b, int reach, Visit&& visit) const {
        std::uint32_t i = first[static_cast<std::size_t>(a)], j = first[static_cast<std::size_t>(b)];
        const std::uint32_t i_end = first[static_cast<std::size_t>(a) + 1],
                            j_end = first[static_cast<std::size_t>(b) + 1];
        auto meet = [&](std::uint32_t k, std::uint32_t l) {
            if (k != i_end && l != j_end && runs[k].begin < runs[l].end + reach && runs[l].begin < runs[k].end + reach)
                visit(k, l);
        };
        while (i < i_end && j < j_end) {
            meet(i, j);
            const std::int32_t p_end = runs[i].end, q_end = runs[j].end;
            if (p_end == q_end) { // the next of either may touch the other's corner
                meet(i + 1, j);
                meet(i, j + 1);
            }
            i += p_end <= q_end;
            j += q_end <= p_end;
        }
    }
    // The same for row (z, y) and the rows before it in scan order, of its own slice or of the slice before.
    template <class Visit>
    void each_meeting_back(std::int64_t z, std::int64_t y, bool across_slices, int connectivity, Visit&& visit) const {
        const int edge = connectivity >= 18, corner = connectivity == 26;
        const std::int64_t row = z * ny + y;
        if (!across_slices) {
            if (y > 0)
                each_meeting(row, row - 1, edge, visit);
            return;
        }
        if (z == 0)
            return;
        each_meeting(row, row - ny, edge, visit);
        if (edge && y > 0)
            each_meeting(row, row - ny - 1, corner, visit);
        if (edge && y + 1 < ny)
            each_meeting(row, row - ny + 1, corner, visit);
    }
    // Calls visit(run, other) for the runs of a row and what touches them in it and in all rows before it.
    template <class Visit>
    void each_touching_back(std::int64_t row, int connectivity, Visit&& visit) const {
        const auto r = static_cast<std::size_t>(row);
        for (std::uint32_t run = first[r]; run + 1 < first[r + 1]; ++run)
            if (runs[run].end == runs[run + 1].begin)
                visit(run, run + 1);
        for (const bool across_slices : {false, true})
            each_meeting_back(row / ny, row % ny, across_slices, connectivity, visit);
    }
    void unite_back(std::int64_t z, std::int64_t y, bool across_slices, int connectivity) {
        each_meeting_back(z, y, across_slices, connectivity, [&](std::uint32_t a, std::uint32_t b) {
            if (runs[a].label == runs[b].label)
                unite(a, b);
        });
    }
    // Calls visit(row, run) for all runs in scan order.
    template <class Visit>
    void each_run(Visit&& visit) const {
        for (std::size_t row = 0; row + 1 < first.size(); ++row)
            for (std::uint32_t run = first[row]; run < first[row + 1]; ++run)
                visit(static_cast<std::int64_t>(row), run);
    }
};

// The runs of all voxels but 0, or of the voxels that are 0, united into components; parent[] then holds roots.
// connectivity: 6 (faces), 18 (and edges) or 26 (and corners).
Forest unite_runs(View3<const std::uint8_t> labels, bool background, int connectivity, int threads);

} // namespace whs
