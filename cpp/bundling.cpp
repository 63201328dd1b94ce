#include "bundling.hpp"

#include <algorithm>
#include <array>
#include <numeric>

namespace whs {
namespace {

constexpr std::size_t kMostTogether = 8; // more hardly ever fit

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
        bool fits = true; // all lanes, without a branch, so that it is done in vectors
        for (std::size_t lane = 0; lane < 8; ++lane) {
            fits &= positive[lane] + other.positive[lane] <= most;
            fits &= negative[lane] + other.negative[lane] >= -most;
        }
        return fits;
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

// Indices of parts that meet, rising.
using Bundle = std::vector<std::size_t>;

// Bundles of equal size, the largest first, so that a kernel's loops are even; among these in the order of their words
// in memory.
std::vector<Bundle> bundle(const std::vector<Slot>& parts, int most) {
    std::vector<Load> loads(parts.size());
    for (std::size_t part = 0; part < parts.size(); ++part)
        loads[part].add(parts[part]);
    std::vector<std::size_t> left(parts.size());
    std::iota(left.begin(), left.end(), std::size_t{0});
    std::stable_sort(left.begin(), left.end(),
                     [&](std::size_t a, std::size_t b) { return loads[a].heaviest() > loads[b].heaviest(); });
    std::vector<Bundle> bundles;
    while (!left.empty()) {
        Bundle& bundle = bundles.emplace_back();
        Load load;
        std::erase_if(left, [&](std::size_t part) {
            if (bundle.size() == kMostTogether || !load.fits(loads[part], most))
                return false;
            load.add(parts[part]);
            bundle.push_back(part);
            return true;
        });
        std::sort(bundle.begin(), bundle.end());
    }
    std::sort(bundles.begin(), bundles.end(), [](const Bundle& a, const Bundle& b) {
        return a.size() != b.size() ? a.size() > b.size() : a.front() < b.front();
    });
    return bundles;
}

} // namespace

Bundled bundle_taps(std::span<const std::int8_t> words, std::int64_t taps, int most) {
    std::vector<Slot> parts;
    for (std::int64_t tap = 0; tap < taps; ++tap) {
        Slot slot{tap, {}};
        for (std::int64_t output = 0; output < 4; ++output)
            std::copy_n(words.begin() + (output * taps + tap) * 4, 4, slot.weights[output]);
        const Slot excess = take_excess(slot, most);
        for (const Slot& part : {slot, excess})
            if (!is_zero(part))
                parts.push_back(part);
    }
    if (parts.empty())
        parts.push_back({0, {}});
    Bundled bundled;
    for (const Bundle& bundle : bundle(parts, most)) {
        bundled.sizes.push_back(static_cast<std::uint8_t>(bundle.size()));
        for (const std::size_t part : bundle)
            bundled.slots.push_back(parts[part]);
    }
    return bundled;
}

} // namespace whs
