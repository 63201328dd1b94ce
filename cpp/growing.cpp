// The first pass looks at every voxel whose neighbours differ from it, the next ones at the neighbours of what changed.
// Each pass reads the labels as the pass before left them and writes after all have been read, so that neither the
// order of the voxels nor the number of threads matters.
#include "growing.hpp"

#include "parallel.hpp"

#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace whs {
namespace {

constexpr std::int64_t kMostLabels = 32;
constexpr std::int64_t kVoxelsAtOnce = 1 << 14;

struct Change {
    std::int64_t place;
    std::uint8_t label;
};
using Changes = std::vector<Change>;

class Growing {
  public:
    Growing(View3<const std::uint8_t> labels, View3<const std::int16_t> hu, const Limits& limits, const Index3& steps)
        : labels_(labels), hu_(hu), limits_(limits), steps_(steps) {}

    // Calls visit(neighbour's place) along the axes of a pass.
    template <class Visit>
    void neighbours(std::int64_t place, std::int64_t pass, Visit visit) const {
        const Index3 extent = labels_.extent(), strides = labels_.strides();
        for (std::size_t axis = 0; axis < 3; ++axis) {
            if (steps_[axis] < pass)
                continue;
            const std::int64_t along = place / strides[axis] % extent[axis];
            if (along > 0)
                visit(place - strides[axis]);
            if (along + 1 < extent[axis])
                visit(place + strides[axis]);
        }
    }

    // Adds what becomes of a voxel in a pass, if anything.
    void judge(std::int64_t place, std::int64_t pass, Changes& changes) const {
        const std::int64_t own = labels_.data[place];
        std::array<std::uint8_t, kMostLabels> votes{};
        bool any = false;
        neighbours(place, pass, [&](std::int64_t beside) {
            const std::uint8_t other = labels_.data[beside];
            if (other == own || limit(own, other) == kNever)
                return;
            ++votes[other];
            any = true;
        });
        if (!any)
            return;
        const std::int32_t eightfold = eightfold_hu(place);
        std::uint8_t best = 0;
        std::int64_t label = own;
        for (std::int64_t other = 0; other < limits_.labels; ++other)
            if (votes[static_cast<std::size_t>(other)] > best && passes(eightfold, limit(own, other))) {
                best = votes[static_cast<std::size_t>(other)];
                label = other;
            }
        if (label != own)
            changes.push_back({place, static_cast<std::uint8_t>(label)});
    }

  private:
    std::int32_t limit(std::int64_t own, std::int64_t other) const {
        return limits_.limits[static_cast<std::size_t>(own * limits_.labels + other)];
    }

    bool passes(std::int32_t eightfold, std::int32_t limit) const {
        return limits_.below ? eightfold < 8 * limit : eightfold > 8 * limit;
    }

    std::int32_t eightfold_hu(std::int64_t place) const {
        const Index3 extent = hu_.extent(), strides = hu_.strides();
        const std::int32_t own = hu_.data[place];
        std::int32_t sum = 2 * own;
        for (std::size_t axis = 0; axis < 3; ++axis) {
            const std::int64_t along = place / strides[axis] % extent[axis];
            sum += along > 0 ? hu_.data[place - strides[axis]] : own;
            sum += along + 1 < extent[axis] ? hu_.data[place + strides[axis]] : own;
        }
        return sum;
    }

    View3<const std::uint8_t> labels_;
    View3<const std::int16_t> hu_;
    Limits limits_;
    Index3 steps_;
};

// differs[x] |= one[x] != other[x]
void mark(std::uint8_t* differs, const std::uint8_t* one, const std::uint8_t* other, std::int64_t count) {
    for (std::int64_t x = 0; x < count; ++x)
        differs[x] = static_cast<std::uint8_t>(differs[x] | (one[x] ^ other[x]));
}

// differs[x] is not 0 where a voxel of the row has a neighbour, along any axis, of another label.
void find_borders(View3<const std::uint8_t> labels, std::int64_t row, std::vector<std::uint8_t>& differs) {
    const std::int64_t nx = labels.nx, ny = labels.ny, z = row / ny, y = row % ny;
    const std::uint8_t* own = labels.data + row * nx;
    differs.assign(static_cast<std::size_t>(nx), 0);
    mark(differs.data(), own, own + 1, nx - 1);
    mark(differs.data() + 1, own + 1, own, nx - 1);
    if (y > 0)
        mark(differs.data(), own, own - nx, nx);
    if (y + 1 < ny)
        mark(differs.data(), own, own + nx, nx);
    if (z > 0)
        mark(differs.data(), own, own - ny * nx, nx);
    if (z + 1 < labels.nz)
        mark(differs.data(), own, own + ny * nx, nx);
}

// The first place from `x` on at which a byte is not 0, or the end: eight at a time, since most are.
std::int64_t next_set(const std::vector<std::uint8_t>& bytes, std::int64_t x) {
    const auto count = static_cast<std::int64_t>(bytes.size());
    for (std::uint64_t eight = 0; x + 8 <= count; x += 8) {
        std::memcpy(&eight, bytes.data() + x, sizeof eight);
        if (eight != 0)
            break;
    }
    while (x < count && bytes[static_cast<std::size_t>(x)] == 0)
        ++x;
    return x;
}

// One list from the lists of the chunks, in their order.
Changes joined(const std::vector<Changes>& parts) {
    Changes all;
    for (const Changes& part : parts)
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

void require_labels(const std::uint8_t* row, std::int64_t count, std::int64_t labels) {
    std::uint8_t highest = 0;
    for (std::int64_t x = 0; x < count; ++x)
        highest = std::max(highest, row[x]);
    if (highest >= labels)
        throw std::invalid_argument("labels hold " + std::to_string(highest) + ", must be below " +
                                    std::to_string(labels));
}

// A label that grows must be one that none grows into: then no voxel changes twice.
void require_one_way(const Limits& limits) {
    const auto is_open = [&](std::int64_t own, std::int64_t other) {
        return own != other && limits.limits[static_cast<std::size_t>(own * limits.labels + other)] != kNever;
    };
    for (std::int64_t own = 0; own < limits.labels; ++own)
        for (std::int64_t other = 0; other < limits.labels; ++other)
            for (std::int64_t third = 0; is_open(own, other) && third < limits.labels; ++third)
                if (is_open(other, third))
                    throw std::invalid_argument("limits let label " + std::to_string(other) +
                                                " grow and be grown into, must be one of them");
}

Changes first_pass(const Growing& growing, View3<const std::uint8_t> labels, std::int64_t count, int threads) {
    const std::int64_t rows = labels.nz * labels.ny, chunk = 64;
    std::vector<Changes> parts(static_cast<std::size_t>((rows + chunk - 1) / chunk));
    parallel_chunks(rows, chunk, threads, [&](std::int64_t first, std::int64_t last, int) {
        std::vector<std::uint8_t> differs;
        for (std::int64_t row = first; row < last; ++row) {
            require_labels(labels.data + row * labels.nx, labels.nx, count);
            find_borders(labels, row, differs);
            for (std::int64_t x = next_set(differs, 0); x < labels.nx; x = next_set(differs, x + 1))
                growing.judge(row * labels.nx + x, 1, parts[static_cast<std::size_t>(first / chunk)]);
        }
    });
    return joined(parts);
}

Changes next_pass(const Growing& growing, const Changes& last_ones, std::int64_t pass, int threads) {
    const auto count = static_cast<std::int64_t>(last_ones.size());
    std::vector<Changes> parts(static_cast<std::size_t>((count + kVoxelsAtOnce - 1) / kVoxelsAtOnce));
    parallel_chunks(count, kVoxelsAtOnce, threads, [&](std::int64_t first, std::int64_t last, int) {
        Changes& part = parts[static_cast<std::size_t>(first / kVoxelsAtOnce)];
        for (std::int64_t i = first; i < last; ++i)
            growing.neighbours(last_ones[static_cast<std::size_t>(i)].place, pass,
                               [&](std::int64_t beside) { growing.judge(beside, pass, part); });
    });
    return joined(parts);
}

// Writes the changes; those that were found twice are kept once.
void apply(View3<std::uint8_t> labels, Changes& changes) {
    std::erase_if(changes, [&](const Change& change) {
        const bool done = labels.data[change.place] == change.label;
        labels.data[change.place] = change.label;
        return done;
    });
}

} // namespace

std::int64_t grow_labels(View3<std::uint8_t> labels, View3<const std::int16_t> hu, const Limits& limits,
                         const Index3& steps, int threads) {
    require_threads(threads);
    require_same_shape(labels, hu);
    if (limits.labels < 1 || limits.labels > kMostLabels ||
        limits.labels * limits.labels != static_cast<std::int64_t>(limits.limits.size()))
        throw std::invalid_argument("limits are " + std::to_string(limits.limits.size()) + " numbers for " +
                                    std::to_string(limits.labels) + " labels, must be n x n, n from 1 to 32");
    for (const std::int64_t step : steps)
        if (step < 0)
            throw std::invalid_argument("steps holds " + std::to_string(step) + ", must be 0 or more");
    require_one_way(limits);
    if (labels.size() == 0)
        return 0;
    const Growing growing(labels, hu, limits, steps);
    Changes changes = first_pass(growing, labels, limits.labels, threads);
    apply(labels, changes);
    auto changed = static_cast<std::int64_t>(changes.size());
    for (std::int64_t pass = 2; !changes.empty() && pass <= *std::max_element(steps.begin(), steps.end()); ++pass) {
        changes = next_pass(growing, changes, pass, threads);
        apply(labels, changes);
        changed += static_cast<std::int64_t>(changes.size());
    }
    return changed;
}

} // namespace whs
