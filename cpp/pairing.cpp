#include "pairing.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

namespace whs {
namespace {

// The sums of positive and of negative weights in each 16-bit lane: two neighbouring channels of an output.
struct Load {
    std::array<std::int16_t, 8> positive{}, negative{};

    void add(const Slot& slot) {
        for (std::size_t i = 0; i < 16; ++i) {
            const std::int8_t weight = slot.weights[i / 4][i % 4];
            (weight > 0 ? positive : negative)[i / 2] += weight;
        }
    }
    int heaviest() const {
        return std::max<int>(*std::max_element(positive.begin(), positive.end()),
                             -*std::min_element(negative.begin(), negative.end()));
    }
    bool fits(const Load& other, int most) const {
        for (std::size_t lane = 0; lane < 8; ++lane)
            if (positive[lane] + other.positive[lane] > most || negative[lane] + other.negative[lane] < -most)
                return false;
        return true;
    }
};

// Takes from a word what makes it too heavy; all 0 where nothing does.
Slot take_excess(Slot& slot, int most) {
    Slot excess{slot.tap, {}};
    for (std::size_t output = 0; output < 4; ++output)
        for (const std::size_t channel : {0, 2}) {
            const std::int8_t first = slot.weights[output][channel];
            std::int8_t& second = slot.weights[output][channel + 1];
            const int kept = std::clamp<int>(second, std::min(0, -most - std::min<int>(first, 0)),
                                             std::max(0, most - std::max<int>(first, 0)));
            excess.weights[output][channel + 1] = static_cast<std::int8_t>(second - kept);
            second = static_cast<std::int8_t>(kept);
        }
    return excess;
}

bool is_zero(const Slot& slot) {
    return std::all_of(&slot.weights[0][0], &slot.weights[0][0] + 16, [](std::int8_t weight) { return weight == 0; });
}

using Group = std::vector<Slot>; // that meet

// Each group joined with another that goes with it; those that none is left for come last, alone. Otherwise their order
// remains, in which their words lie in memory.
std::vector<Group> join(const std::vector<Group>& groups, int most) {
    std::vector<Load> loads(groups.size());
    for (std::size_t group = 0; group < groups.size(); ++group)
        for (const Slot& slot : groups[group])
            loads[group].add(slot);
    // Those that hardly any goes with choose first; of the light ones any two go together.
    std::vector<std::size_t> by_weight(groups.size());
    std::iota(by_weight.begin(), by_weight.end(), std::size_t{0});
    std::stable_sort(by_weight.begin(), by_weight.end(), [&](std::size_t a, std::size_t b) {
        return std::max(loads[a].heaviest(), most / 2) > std::max(loads[b].heaviest(), most / 2);
    });
    constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
    std::vector<std::size_t> partner(groups.size(), none);
    for (auto first = by_weight.begin(); first != by_weight.end(); ++first) {
        if (partner[*first] != none)
            continue;
        const auto second = std::find_if(first + 1, by_weight.end(), [&](std::size_t other) {
            return partner[other] == none && loads[*first].fits(loads[other], most);
        });
        const std::size_t chosen = second == by_weight.end() ? *first : *second;
        partner[*first] = chosen;
        partner[chosen] = *first;
    }
    std::vector<Group> joined, alone;
    for (std::size_t first = 0; first < groups.size(); ++first)
        if (const std::size_t second = partner[first]; second == first) {
            alone.push_back(groups[first]);
        } else if (second > first) {
            joined.push_back(groups[first]);
            joined.back().insert(joined.back().end(), groups[second].begin(), groups[second].end());
        }
    joined.insert(joined.end(), alone.begin(), alone.end());
    return joined;
}

} // namespace

Paired pair_taps(std::span<const std::int8_t> words, std::int64_t taps, int most) {
    std::vector<Group> parts;
    for (std::int64_t tap = 0; tap < taps; ++tap) {
        Slot slot{tap, {}};
        for (std::int64_t output = 0; output < 4; ++output)
            std::copy_n(words.begin() + (output * taps + tap) * 4, 4, slot.weights[output]);
        const Slot excess = take_excess(slot, most);
        for (const Slot& part : {slot, excess})
            if (!is_zero(part))
                parts.push_back({part});
    }
    if (parts.empty())
        parts.push_back({{0, {}}});
    std::vector<Group> pairs = join(parts, most);
    for (Group& pair : pairs)
        if (pair.size() == 1)
            pair.push_back({pair.front().tap, {}});
    Paired paired{};
    for (const Group& group : join(pairs, most)) {
        paired.slots.insert(paired.slots.end(), group.begin(), group.end());
        if (group.size() == 4)
            paired.in_fours += 4;
    }
    return paired;
}

} // namespace whs
