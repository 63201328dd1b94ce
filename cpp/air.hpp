// Where a stage sees nothing but air, and what it then answers.
//
// Most of a region is air, and all beyond the scan is. A voxel of a stage that sees only zeros is, to the bit, what it
// is in a region of nothing but zeros, which depends on its distance to the faces alone, as far as the stage sees: a
// small region of zeros holds all answers there are.
#pragma once

#include "planes.hpp"
#include "views.hpp"

#include <cstdint>
#include <vector>

namespace whs {

constexpr std::int64_t kAirBlock = 16; // columns that are made, or copied, together

// Which voxels see anything but air: a bit each.
class Seen {
  public:
    // Cells of 2 x 2 x 2 voxels with anything in them.
    static Seen in_region(View3<const std::uint8_t> region, int threads);
    // The same of the cells of 2 x 2 x 2 voxels.
    Seen halved(int threads) const;
    // All that have such a neighbour among 3 x 3 x 3.
    Seen dilated(int threads) const;

    bool any_in_block(std::int64_t plane, std::int64_t row, std::int64_t column) const {
        return (at(plane, row)[column / 64] >> (column % 64 / kAirBlock * kAirBlock) & 0xFFFF) != 0;
    }

  private:
    Seen(std::int64_t planes, std::int64_t rows, std::int64_t columns)
        : planes_(planes), rows_(rows), words_((columns + 63) / 64), columns_(columns),
          bits_(static_cast<std::size_t>(planes * rows * words_)) {}

    std::uint64_t* at(std::int64_t plane, std::int64_t row) { return bits_.data() + (plane * rows_ + row) * words_; }
    const std::uint64_t* at(std::int64_t plane, std::int64_t row) const {
        return bits_.data() + (plane * rows_ + row) * words_;
    }

    std::int64_t planes_, rows_, words_, columns_;
    std::vector<std::uint64_t> bits_;
};

// What a stage knows of air: what it sees, how far from a face that face shows, and its answers in a small region.
struct Air {
    Seen seen;
    std::int64_t radius;
    const Planes* answers;
    std::int64_t planes; // of the answers
};

// Copies a block of a row of some groups from the answers.
void copy_air(const Air& air, const Planes& out, std::int64_t out_planes, std::int64_t plane, std::int64_t row,
              const Range& columns, std::int64_t first_group, std::int64_t groups);

} // namespace whs
