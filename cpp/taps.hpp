// The taps of Dense V-Net's three kinds of convolution: where the words of each lie, and its weights in the same order.
#pragma once

#include "convolution.hpp"
#include "dense_vnet.hpp"
#include "planes.hpp"

#include <cstdint>
#include <vector>

namespace whs {

constexpr std::int64_t kMostGroups = kMostOutputs / 4;

using Taps = std::vector<const std::uint8_t*>;

inline std::int64_t groups_of(std::int64_t channels) { return (channels + 3) / 4; }

// Four channels of an input: a group of some planes. Or one channel, of which a word holds three columns.
struct Source {
    const Planes* planes;
    std::int64_t group;
    bool three_columns = false;
};

struct PackedLayer {
    PackedConvolution convolution;
    std::int64_t inputs, outputs; // channels
    std::uint8_t zero;
};

// Stride 1, 3 x 3 x 3 taps. The layer's inputs fill the words of the sources in turn; pooled: the first input is a
// source of three columns. planes is how many the sources have.
PackedLayer pack_whole(const QuantisedLayer& layer, Instructions instructions, bool pooled = false);
void gather_whole(const std::vector<Source>& sources, std::int64_t planes, std::int64_t plane, Taps& taps);

// Stride 2, 3 x 3 x 3 taps. The input lies as four tensors, of the even and odd rows and columns, so that the lanes lie
// side by side: four groups of `split`, (even, even), (even, odd), (odd, even), (odd, odd), for each of the input.
PackedLayer pack_halving(const QuantisedLayer& layer, Instructions instructions);
void gather_halving(const Planes& split, std::int64_t groups, std::int64_t planes, std::int64_t plane, Taps& taps);

// The entry reads a single channel, 5 x 5 x 5 voxels with stride 2: its words are four voxels along x, or along y for
// the fifth column. Groups of `split`: the first four columns of the even and of the odd rows, the fifth column.
PackedLayer pack_entry(const QuantisedLayer& layer, Instructions instructions);
void gather_entry(const Planes& split, std::int64_t planes, std::int64_t plane, Taps& taps);

} // namespace whs
