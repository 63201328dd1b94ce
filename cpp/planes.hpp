// Features of one tensor as planes of words, of which only the last few need exist.
//
// A word is four channels of one voxel, uint8. A plane of a group of four channels is one long row of words: its rows
// follow one another with one word between, which stands for what lies outside on the right of one row and on the left
// of the next. A row above and one below are outside too. So a convolution runs over a plane as over one row, whatever
// its width, and a neighbour is a fixed number of words away. The plane's producer writes what is outside, as the
// integer that stands for zero.
#pragma once

#include "convolution.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace whs {

// Memory in huge pages, where the system has them: a convolution reads from hundreds of places at once, more than the
// processor can translate for small pages without waiting. It comes from the system and goes back to it: glibc would
// keep what is freed, in pieces that the next scan does not fit.
class HugePages {
  public:
#ifdef __linux__
    explicit HugePages(std::int64_t bytes) : size_(static_cast<std::size_t>(bytes + kPage)) {
        mapped_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped_ == MAP_FAILED)
            throw std::bad_alloc();
        const auto start = reinterpret_cast<std::uintptr_t>(mapped_);
        data_ = static_cast<std::uint8_t*>(mapped_) + (kPage - start % kPage) % kPage;
        madvise(data_, static_cast<std::size_t>(bytes), MADV_HUGEPAGE); // a wish: without it everything works
    }
    ~HugePages() { munmap(mapped_, size_); }
#else
    explicit HugePages(std::int64_t bytes)
        : data_(static_cast<std::uint8_t*>(::operator new(static_cast<std::size_t>(bytes), std::align_val_t{kPage}))) {}
    ~HugePages() { ::operator delete(data_, std::align_val_t{kPage}); }
#endif
    HugePages(const HugePages&) = delete;
    HugePages& operator=(const HugePages&) = delete;

    std::uint8_t* data() const { return data_; }

  private:
    static constexpr std::int64_t kPage = std::int64_t{1} << 21;
#ifdef __linux__
    void* mapped_;
    std::size_t size_;
#endif
    std::uint8_t* data_;
};

class Planes {
  public:
    // zeros: for each group the integer that stands for 0. capacity: the number of planes that exist at a time.
    Planes(std::vector<std::uint8_t> zeros, std::int64_t rows, std::int64_t columns, std::int64_t capacity)
        : groups(static_cast<std::int64_t>(zeros.size())), rows(rows), columns(columns), pitch(columns + 1),
          capacity(capacity), zeros_(std::move(zeros)), stride_(stride(rows, columns + 1)),
          memory_((groups * capacity + 2) * stride_) {
        // The layers of a stack share theirs (dense_vnet.cpp sees to that), so there are no more than two such
        // integers.
        for (const std::int64_t kind : {0, 1})
            std::memset(memory_.data() + (groups * capacity + kind) * stride_,
                        kind == 0 ? zeros_.front() : zeros_.back(), static_cast<std::size_t>(stride_));
    }

    // Word of column 0.
    std::uint8_t* at(std::int64_t plane, std::int64_t group, std::int64_t row = 0) const {
        return memory_.data() + (plane % capacity * groups + group) * stride_ + front() + 4 * row * pitch;
    }
    // The same of row 0 of a plane beyond the volume.
    const std::uint8_t* outside(std::int64_t group) const {
        const bool as_first = zero(group) == zeros_.front();
        return memory_.data() + (groups * capacity + (as_first ? 0 : 1)) * stride_ + front();
    }
    std::uint8_t zero(std::int64_t group) const { return zeros_[static_cast<std::size_t>(group)]; }

    // Writes what lies around some of the wanted rows of a plane of some groups. Rows that are not wanted may go.
    void write_outside(std::int64_t plane, std::int64_t first_group, std::int64_t count, const Range& some,
                       const Range& wanted) const {
        for (std::int64_t group = first_group; group < first_group + count; ++group) {
            const auto line = static_cast<std::size_t>(4 * (pitch + 1));
            for (std::int64_t row = some.first; row < some.last; ++row)
                std::memset(at(plane, group, row) + 4 * columns, zero(group), 4);
            if (some.first == wanted.first)
                std::memset(at(plane, group, some.first) - line, zero(group), line);
            if (some.last == wanted.last)
                std::memset(at(plane, group, some.last), zero(group), line);
        }
    }

    const std::int64_t groups, rows, columns, pitch, capacity;

  private:
    static constexpr std::int64_t kLine = 64;

    std::int64_t front() const { return (4 * (pitch + 1) + kLine - 1) / kLine * kLine; }
    // An odd number of cache lines, so that the same place of all planes does not compete for the same cache sets.
    static std::int64_t stride(std::int64_t rows, std::int64_t pitch) {
        const std::int64_t words = (rows + 2) * pitch + PackedConvolution::kOverrun + 32;
        return ((4 * words + kLine - 1) / kLine | 1) * kLine;
    }

    std::vector<std::uint8_t> zeros_;
    std::int64_t stride_;
    HugePages memory_;
};

} // namespace whs
