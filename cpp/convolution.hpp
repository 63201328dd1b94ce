// Integer convolutions of Dense V-Net: uint8 features, int8 weights, exact int32 sums, uint8 results.
//
// Features lie in groups of four channels, so that one voxel of a group is one 32-bit word, and a plane of a group is
// one long row of words (planes.hpp). Vector lanes run along that row, the weights are broadcast. So the number of
// output channels, 4 to 12 in most layers, costs no idle lanes, as it does where lanes run over output channels; a
// shift along x is an unaligned load; and the layers of a dense stack write beside their inputs: nothing is
// concatenated. A convolution is then only a list of taps: where each of its words lies, for all lanes alike.
//
// The sums are exact with every set of instructions, and the float arithmetic of the rescaling is one product, one
// addition and one rounding, so the results are the same bits on every machine.
#pragma once

#include "bundling.hpp"
#include "convolution_kernels.hpp"
#include "views.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace whs {

enum class Instructions { avx512_vnni, avx_vnni, avx512, avx2, ssse3, neon_i8mm, neon_dot, portable };

// The names of those that this machine and this build have, the fastest first.
std::vector<std::string> instruction_sets();

// Throws std::invalid_argument for one that is not among them.
Instructions instructions_named(const std::string& name);

// Whether their kernels take taps in bundles (bundling.hpp).
bool in_bundles(Instructions instructions);

// Weights of one convolution in the order in which one set of instructions reads them.
class PackedConvolution {
  public:
    // words: [output][tap][4] int8, outputs a multiple of four. A sum s of output o gives
    // clamp(round_half_even(float(s) * scale[o] + bias[o]), 0, 255). shares: for each tap, which third (0 to 2) of the
    // words of the next block it asks the memory for; taps that read the same words share the asking. most: what the
    // weights of taps in bundles may sum to (bundling.hpp).
    PackedConvolution(const std::vector<std::int8_t>& words, std::vector<float> scale, std::vector<float> bias,
                      std::vector<std::uint8_t> shares, Instructions instructions, int most = kMostWeight);

    // Some runs of lanes of each output group of four channels; out[group] and taps[tap] point at lane 0. Up to
    // kOverrun lanes past the last are read, none is written.
    void operator()(const std::uint8_t* const* taps, std::span<const Range> runs, std::uint8_t* const* out) const;

    std::int64_t taps() const { return taps_; }

    static constexpr std::int64_t kOverrun = 96;

  private:
    struct Pass { // some of the outputs
        ConvolutionKernel kernel;
        std::int64_t first_output;
        std::vector<std::int32_t> weights;
        std::vector<std::int32_t> start; // of each output
        std::vector<std::uint8_t> sizes; // of bundles of taps
        std::vector<std::int32_t> order; // in which it takes the taps; empty: as they are
    };

    std::int64_t taps_;
    std::vector<float> scale_, bias_;
    std::vector<std::uint8_t> shares_;
    std::vector<Pass> passes_;
};

} // namespace whs
