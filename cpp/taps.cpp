#include "taps.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace whs {
namespace {

// The order of the nine taps in a plane of a group, as 3 y + x: rows for stride 1; for stride 2 such as read the same
// of the four split tensors, one after another.
struct Order {
    std::array<std::int64_t, 9> taps;
    std::array<std::uint8_t, 9> shares;
};
constexpr Order kRows{{0, 1, 2, 3, 4, 5, 6, 7, 8}, {0, 1, 2, 0, 1, 2, 0, 1, 2}};
constexpr Order kPhases{{0, 2, 6, 8, 1, 7, 3, 5, 4}, {0, 1, 0, 1, 0, 1, 0, 1, 0}};

constexpr std::int64_t kEntrySide = 5, kEntryTaps = 7; // words of a plane

std::vector<float> padded(std::vector<float> values) {
    values.resize(static_cast<std::size_t>(4 * groups_of(static_cast<std::int64_t>(values.size()))));
    return values;
}

PackedLayer packed(const QuantisedLayer& layer, const std::vector<std::int8_t>& words, std::vector<std::uint8_t> shares,
                   Instructions instructions) {
    return {{words, padded(layer.scale), padded(layer.bias), std::move(shares), instructions},
            layer.inputs,
            layer.outputs,
            layer.zero};
}

PackedLayer pack(const QuantisedLayer& layer, bool pooled, const Order& order, Instructions instructions) {
    const std::int64_t alone = pooled ? 1 : 0, groups = groups_of(layer.inputs - alone);
    const std::int64_t plane_taps = 3 * alone + 9 * groups, outputs = 4 * groups_of(layer.outputs);
    std::vector<std::int8_t> words(static_cast<std::size_t>(outputs * 3 * plane_taps * 4));
    for (std::int64_t output = 0; output < layer.outputs; ++output)
        for (std::int64_t input = 0; input < layer.inputs; ++input)
            for (std::int64_t z = 0; z < 3; ++z) {
                const std::int8_t* weights = layer.weights + ((output * layer.inputs + input) * 3 + z) * 9;
                std::int8_t* plane = words.data() + (output * 3 + z) * plane_taps * 4;
                for (std::int64_t i = 0; i < 9; ++i)
                    if (input < alone)
                        plane[i / 3 * 4 + i % 3] = weights[i];
                    else
                        plane[(3 * alone + (input - alone) / 4 * 9 + i) * 4 + (input - alone) % 4] =
                            weights[order.taps[static_cast<std::size_t>(i)]];
            }
    std::vector<std::uint8_t> shares;
    for (std::int64_t z = 0; z < 3; ++z) {
        shares.resize(shares.size() + static_cast<std::size_t>(3 * alone));
        for (std::int64_t group = 0; group < groups; ++group)
            shares.insert(shares.end(), order.shares.begin(), order.shares.end());
    }
    return packed(layer, words, std::move(shares), instructions);
}

bool within(std::int64_t plane, std::int64_t planes) { return plane >= 0 && plane < planes; }

} // namespace

PackedLayer pack_whole(const QuantisedLayer& layer, Instructions instructions, bool pooled) {
    return pack(layer, pooled, kRows, instructions);
}

void gather_whole(const std::vector<Source>& sources, std::int64_t planes, std::int64_t plane, Taps& taps) {
    for (std::int64_t z = plane - 1; z <= plane + 1; ++z)
        for (const auto& [source, group, three_columns] : sources) {
            const std::uint8_t* words = within(z, planes) ? source->at(z, group) : source->outside(group);
            const std::int64_t beside = three_columns ? 0 : 1;
            for (std::int64_t y = -1; y <= 1; ++y)
                for (std::int64_t x = -beside; x <= beside; ++x)
                    taps.push_back(words + 4 * (y * source->pitch + x));
        }
}

PackedLayer pack_halving(const QuantisedLayer& layer, Instructions instructions) {
    return pack(layer, false, kPhases, instructions);
}

void gather_halving(const Planes& split, std::int64_t groups, std::int64_t planes, std::int64_t plane, Taps& taps) {
    for (std::int64_t z = 2 * plane - 1; z <= 2 * plane + 1; ++z)
        for (std::int64_t group = 0; group < groups; ++group)
            for (const std::int64_t tap : kPhases.taps) {
                const std::int64_t y = tap / 3 - 1, x = tap % 3 - 1, phase = 2 * (y & 1) + (x & 1);
                const std::uint8_t* words =
                    within(z, planes) ? split.at(z, 4 * group + phase) : split.outside(4 * group);
                taps.push_back(words + 4 * ((y < 0 ? -split.pitch : 0) + (x < 0 ? -1 : 0)));
            }
}

PackedLayer pack_entry(const QuantisedLayer& layer, Instructions instructions) {
    std::vector<std::int8_t> words(static_cast<std::size_t>(layer.outputs * kEntrySide * kEntryTaps * 4));
    for (std::int64_t output = 0; output < layer.outputs; ++output)
        for (std::int64_t z = 0; z < kEntrySide; ++z) {
            const std::int8_t* weights = layer.weights + (output * kEntrySide + z) * 25;
            std::int8_t* word = words.data() + (output * kEntrySide + z) * kEntryTaps * 4;
            for (std::int64_t y = 0; y < 5; ++y)
                std::copy_n(weights + 5 * y, 4, word + 4 * y);
            for (std::int64_t y = 0; y < 4; ++y)
                word[20 + y] = weights[5 * y + 4];
            word[24 + 2] = weights[24];
        }
    return packed(layer, words, std::vector<std::uint8_t>(kEntrySide * kEntryTaps), instructions);
}

void gather_entry(const Planes& split, std::int64_t planes, std::int64_t plane, Taps& taps) {
    const std::int64_t row = 4 * split.pitch;
    for (std::int64_t z = 2 * plane - 2; z <= 2 * plane + 2; ++z) {
        const auto words = [&](std::int64_t group) {
            return within(z, planes) ? split.at(z, group) : split.outside(group);
        };
        const std::uint8_t *even = words(0), *odd = words(1), *fifth = words(2);
        for (const std::uint8_t* tap : {even - row, odd - row, even, odd, even + row, fifth})
            taps.push_back(tap);
        taps.push_back(even + row + 4); // byte 2: the corner that the others leave
    }
}

} // namespace whs
