// What the stages that are no convolutions do to one row of words (planes.hpp). See rows.cpp for how.
#pragma once

#include "dense_vnet.hpp"
#include "planes.hpp"
#include "views.hpp"

#include <cstdint>
#include <vector>

namespace whs {

// Memory of one thread, kept from one row to the next.
struct RowScratch {
    std::vector<std::uint16_t> line;
    std::vector<std::uint8_t> bytes;
};

struct RowAt {
    std::int64_t plane, group, row;
};

// Row of the three groups that the entry reads: voxels 2x - 2 to 2x + 1 of rows 2y and 2y + 1, and rows 2y - 2 to
// 2y + 1 of column 2x + 2.
void split_voxels(View3<const std::uint8_t> region, const Planes& out, const RowAt& at);

// Words of the even and odd columns of the even and odd rows of a group: rows of four groups.
void split_words(const Planes& in, const Planes& out, const RowAt& at);

// Mean of 3 x 3 x 3 voxels with stride 2; voxels outside the region do not count. A word holds those of columns x - 1,
// x and x + 1.
void pool_row(const QuantisedPool& pool, View3<const std::uint8_t> region, const Planes& out, const RowAt& at,
              RowScratch& scratch);

// Trilinear, voxel centres half-way (align_corners false), edges go on; rounded half up. factor: 2 or 4.
void upsample_row(const Planes& in, std::int64_t in_planes, std::int64_t factor, const Planes& out, const RowAt& at,
                  RowScratch& scratch);

// From the integers around 128 of a plane's groups to int8 with the class last.
void logits_row(const Planes& in, View4<std::int8_t> logits, std::int64_t plane, std::int64_t row,
                const Range& columns);

} // namespace whs
