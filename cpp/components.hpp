// Connected components of label maps, which of them stay, and holes in them. See components.cpp for how.
#pragma once

#include "views.hpp"

#include <span>

namespace whs {

// Components of equal non-zero labels, numbered from 1 in the order of their first voxels; returns how many.
// connectivity: 6 (faces), 18 (and edges) or 26 (and corners).
std::int64_t connected_components(View3<const std::uint8_t> labels, View3<std::uint32_t> out, int connectivity,
                                  int threads);

// What may stay of one label: all components that touch label `attached_to` (0: none does), the largest others until
// `parts` stay, and none below least_voxels.
struct PartRule {
    std::int64_t parts, least_voxels, attached_to;
};

// Removes, in place, the components of 26 neighbours that the rules, one for each label from 0 on, do not keep; returns
// the number of voxels removed. Parts of equal size stay or go together. Labels without attached_to are judged first:
// what is about to go holds nothing in place. Rule 0 is that of the background and has no meaning.
std::int64_t keep_parts(View3<std::uint8_t> labels, std::span<const PartRule> rules, int threads);

// Of the labels with least_voxels above 0, parts that touch (26 neighbours) make a group, which holds a label where one
// part of it has that many voxels. The best group holds the most labels, of as many it has the most voxels; what the
// labels that it holds have elsewhere is removed, in place. Returns the number of voxels removed. Groups that are as
// good are best together, and where none holds two labels nothing goes.
std::int64_t keep_group(View3<std::uint8_t> labels, std::span<const std::int64_t> least_voxels, int threads);

// Background cavities that reach neither the border of the volume nor any label but one become that label: cavities in
// `label` alone, or in any label if it is 0. The connectivity is that of the cavities. Returns the number of voxels
// filled.
std::int64_t fill_holes(View3<std::uint8_t> labels, int label, int connectivity, int threads);

} // namespace whs
