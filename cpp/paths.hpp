// Cheapest paths: around a circle in one plane, and from one voxel of a volume to all others.
#pragma once

#include "views.hpp"

#include <cstdint>
#include <span>

namespace whs {

// One place in each row of cost [rows, places], all around: the sum of their costs and of the bends between rows is
// least. bend [2 m + 1]: what it costs to go -m to m places on; none goes farther. The lowest bend wins a tie.
void cheapest_cycle(std::span<const double> cost, std::int64_t rows, std::int64_t places, std::span<const double> bend,
                    std::int64_t* path);

// What the cheapest way from start to each voxel costs, infinite where there is none, and the voxel before it on that
// way, as an index in memory; start comes before itself, -1 before one that is not reached. A step to one of 26
// neighbours costs the mean of its two voxels times its length in voxels. cost: 0 or more; infinite closes a voxel.
void cheapest_ways(View3<const double> cost, const Index3& start, View3<double> total, View3<std::int64_t> before);

} // namespace whs
