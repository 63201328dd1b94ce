// Connected components of label maps, what they touch, and holes in them. See components.cpp for how.
#pragma once

#include "views.hpp"

#include <vector>

namespace whs {

// Components of equal non-zero labels, numbered from 1 in the order of their first voxels; returns how many.
// connectivity: 6 (faces), 18 (and edges) or 26 (and corners).
std::int64_t connected_components(View3<const std::uint8_t> labels, View3<std::uint32_t> out, int connectivity,
                                  int threads);

struct ComponentTable { // all indexed by component; of 0, the background, only the voxels are counted
    std::vector<std::uint8_t> label;
    std::vector<std::int64_t> voxels;
    std::vector<std::uint32_t> touches; // bit k: a voxel of it has a neighbour of label k in another component
};

// Labels must be below 32. Neighbours are those of the connectivity; beyond the volume there are none.
ComponentTable component_table(View3<const std::uint8_t> labels, View3<const std::uint32_t> components,
                               std::int64_t count, int connectivity, int threads);

// out = new_label[component]; new_label has count + 1 entries.
void relabel_components(View3<const std::uint32_t> components, const std::uint8_t* new_label, std::int64_t entries,
                        View3<std::uint8_t> out, int threads);

// Background cavities that reach neither the border of the volume nor any label but one become that label: cavities in
// `label` alone, or in any label if it is 0. The connectivity is that of the cavities. Returns the number of voxels
// filled.
std::int64_t fill_holes(View3<std::uint8_t> labels, int label, int connectivity, int threads);

} // namespace whs
