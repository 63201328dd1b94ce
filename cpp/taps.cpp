#include "taps.hpp"

#include <algorithm>
#include <array>

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

PackedConvolution pack(const QuantisedLayer& layer, std::int64_t groups, const Order& order,
                       Instructions instructions) {
    const std::int64_t in_first = layer.inputs - 4 * (groups - 1); // channels of the first word
    const std::int64_t outputs = 4 * groups_of(layer.outputs), taps = 27 * groups;
    std::vector<std::int8_t> words(static_cast<std::size_t>(outputs * taps * 4));
    for (std::int64_t output = 0; output < layer.outputs; ++output)
        for (std::int64_t input = 0; input < layer.inputs; ++input) {
            const std::int64_t place = input < in_first ? input : input - in_first + 4;
            const std::int8_t* weights = layer.weights + (output * layer.inputs + input) * 27;
            for (std::int64_t z = 0; z < 3; ++z)
                for (std::int64_t i = 0; i < 9; ++i) {
                    const std::int64_t tap = (z * groups + place / 4) * 9 + i;
                    words[static_cast<std::size_t>((output * taps + tap) * 4 + place % 4)] =
                        weights[9 * z + order.taps[static_cast<std::size_t>(i)]];
                }
        }
    std::vector<std::uint8_t> shares;
    for (std::int64_t plane = 0; plane < 3 * groups; ++plane)
        shares.insert(shares.end(), order.shares.begin(), order.shares.end());
    return {words, padded(layer.scale), padded(layer.bias), shares, instructions};
}

bool within(std::int64_t plane, std::int64_t planes) { return plane >= 0 && plane < planes; }

} // namespace

PackedConvolution pack_whole(const QuantisedLayer& layer, std::int64_t sources, Instructions instructions) {
    return pack(layer, sources, kRows, instructions);
}

void gather_whole(const std::vector<Source>& sources, std::int64_t planes, std::int64_t plane, Taps& taps) {
    for (std::int64_t z = plane - 1; z <= plane + 1; ++z)
        for (const auto& [source, group] : sources) {
            const std::uint8_t* words = within(z, planes) ? source->at(z, group) : source->outside(group);
            for (std::int64_t y = -1; y <= 1; ++y)
                for (std::int64_t x = -1; x <= 1; ++x)
                    taps.push_back(words + 4 * (y * source->pitch + x));
        }
}

PackedConvolution pack_halving(const QuantisedLayer& layer, Instructions instructions) {
    return pack(layer, groups_of(layer.inputs), kPhases, instructions);
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

PackedConvolution pack_entry(const QuantisedLayer& layer, Instructions instructions) {
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
    return {words, padded(layer.scale), padded(layer.bias), std::vector<std::uint8_t>(kEntrySide * kEntryTaps),
            instructions};
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
