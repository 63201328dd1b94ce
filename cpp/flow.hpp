// Stages that make the planes of their results from planes of one another, side by side. See flow.cpp for how.
#pragma once

#include "dense_vnet.hpp"
#include "planes.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace whs {

// Which voxels of another stage the voxel i of a stage needs along an axis: i * up / down + first to
// i * up / down + last.
struct Reach {
    std::int64_t up, down, first, last;
};

struct Need {
    std::size_t stage;
    Reach along_z, in_plane;
};

// Some rows of a plane, and the thread that makes them.
struct Piece {
    std::int64_t plane;
    Range rows;
    int worker;
};

struct Stage {
    std::string name;
    std::int64_t planes = 0;
    std::int64_t rows_per_piece = 1;
    const Planes* out = nullptr;
    bool opens = true; // whether it is the first to write a plane of `out`, in place of one that may still be in use
    std::vector<Need> needs = {};
    std::function<void(const Piece&, const Box& box)> make = {};
    Box box = {};          // what of it is wanted
    std::int64_t done = 0; // the next plane
};

// Makes what a box of the last stage needs of all stages: of the last one planes_per_step planes in each step, of the
// others in proportion.
std::vector<StageTime> run_flow(std::vector<Stage>& stages, const Box& wanted, std::int64_t planes_per_step,
                                int threads, const Watch& watch);

} // namespace whs
