// The cycle is found by dynamic programming along the rows, with a third of them once more on either side, which settle
// both ends; the ways by Dijkstra's algorithm (Numerische Mathematik 1959, doi 10.1007/BF01386390).
#include "paths.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <queue>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace whs {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

struct Step {
    Index3 by;
    double length;
};

std::vector<Step> all_steps() {
    std::vector<Step> steps;
    for (std::int64_t z = -1; z <= 1; ++z)
        for (std::int64_t y = -1; y <= 1; ++y)
            for (std::int64_t x = -1; x <= 1; ++x)
                if (z != 0 || y != 0 || x != 0)
                    steps.push_back({{z, y, x}, std::sqrt(static_cast<double>(z * z + y * y + x * x))});
    return steps;
}

} // namespace

void cheapest_cycle(std::span<const double> cost, std::int64_t rows, std::int64_t places, std::span<const double> bend,
                    std::int64_t* path) {
    const auto moves = static_cast<std::int64_t>(bend.size());
    if (rows < 3 || places < 1 || moves % 2 == 0)
        throw std::invalid_argument("found " + std::to_string(rows) + " rows of " + std::to_string(places) +
                                    " places and " + std::to_string(moves) +
                                    " bends, must be at least 3, at least 1 and odd");
    const auto finite = [](double value) { return std::isfinite(value); };
    if (!std::all_of(cost.begin(), cost.end(), finite) || !std::all_of(bend.begin(), bend.end(), finite))
        throw std::invalid_argument("cost or bend holds a value that is not finite");
    const std::int64_t lead = rows / 3, all = rows + 2 * lead, most = moves / 2;
    const auto own = [&](std::int64_t row) { return cost.data() + (row - lead + rows) % rows * places; };
    // What it costs to come to each place. Places beyond both ends are never reached, so that no move needs a look at
    // them.
    const std::int64_t width = places + 2 * most;
    std::vector<double> totals(static_cast<std::size_t>(all * width), kNever);
    std::copy_n(own(0), places, totals.begin() + most);
    for (std::int64_t row = 1; row < all; ++row) {
        const double* before = totals.data() + (row - 1) * width;
        double* total = totals.data() + row * width + most;
        for (std::int64_t move = 0; move < moves; ++move)
            for (std::int64_t place = 0; place < places; ++place)
                total[place] = std::min(total[place], before[place + move] + bend[static_cast<std::size_t>(move)]);
        for (std::int64_t place = 0; place < places; ++place)
            total[place] += own(row)[place];
    }
    const auto last = totals.end() - width + most;
    std::int64_t place = std::min_element(last, last + places) - last;
    for (std::int64_t row = all - 1; row >= lead; --row) {
        if (row < lead + rows)
            path[row - lead] = place;
        const double* before = totals.data() + (row - 1) * width + place;
        const std::int64_t first = std::max<std::int64_t>(most - place, 0),
                           end = std::min(moves, most + places - place);
        std::int64_t best = first;
        for (std::int64_t move = first; move < end; ++move)
            if (before[move] + bend[static_cast<std::size_t>(move)] <
                before[best] + bend[static_cast<std::size_t>(best)])
                best = move;
        place += best - most;
    }
}

void cheapest_ways(View3<const double> cost, const Index3& start, View3<double> total, View3<std::int64_t> before) {
    require_same_shape(cost, total);
    require_same_shape(cost, before);
    const Index3 n = cost.extent(), strides = cost.strides();
    for (std::size_t a = 0; a < 3; ++a)
        if (start[a] < 0 || start[a] >= n[a])
            throw std::invalid_argument("start is " + std::to_string(start[a]) + " along an axis of " +
                                        std::to_string(n[a]) + " voxels, must lie within");
    if (std::any_of(cost.data, cost.data + cost.size(), [](double c) { return !(c >= 0); }))
        throw std::invalid_argument("cost holds a value below 0 or none, must be 0 or more");
    std::fill_n(total.data, total.size(), kNever);
    std::fill_n(before.data, before.size(), std::int64_t{-1});
    const std::vector<Step> steps = all_steps();
    using Reached = std::pair<double, std::int64_t>;
    std::priority_queue<Reached, std::vector<Reached>, std::greater<>> edge;
    const std::int64_t first = start[0] * strides[0] + start[1] * strides[1] + start[2];
    total.data[first] = 0;
    before.data[first] = first;
    edge.emplace(0.0, first);
    while (!edge.empty()) {
        const auto [so_far, at] = edge.top();
        edge.pop();
        if (so_far > total.data[at]) // reached on a cheaper way since
            continue;
        const Index3 here{at / strides[0], at / strides[1] % n[1], at % n[2]};
        for (const Step& step : steps) {
            std::int64_t next = 0;
            bool within = true;
            for (std::size_t a = 0; a < 3; ++a) {
                const std::int64_t place = here[a] + step.by[a];
                within = within && place >= 0 && place < n[a];
                next += place * strides[a];
            }
            if (!within)
                continue;
            const double way = so_far + step.length * 0.5 * (cost.data[at] + cost.data[next]);
            if (way < total.data[next]) {
                total.data[next] = way;
                before.data[next] = at;
                edge.emplace(way, next);
            }
        }
    }
}

} // namespace whs
