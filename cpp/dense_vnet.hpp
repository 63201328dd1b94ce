// Dense V-Net in integers, streamed plane by plane. See dense_vnet.cpp for how.
#pragma once

#include "convolution.hpp"
#include "views.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace whs {

constexpr std::int64_t kMostOutputs = 64; // of one layer

// A sum s of output o of the convolution becomes clamp(round_half_even(float(s) * scale[o] + bias[o]), 0, 255).
struct QuantisedLayer {
    const std::int8_t* weights; // [output][input][z][y][x]
    std::int64_t outputs, inputs;
    Index3 taps;
    std::vector<float> scale, bias;
    std::uint8_t zero; // the integer of its results that stands for 0
};

// The same of the pooled input: the mean of up to 27 voxels in place of the sum.
struct QuantisedPool {
    float scale, bias;
    std::uint8_t zero;
};

using QuantisedStack = std::vector<QuantisedLayer>;

struct QuantisedDenseVNet {
    QuantisedPool pool;
    QuantisedLayer entry;
    std::vector<QuantisedStack> stacks; // at 1/2, 1/4 and 1/8; the layers of one share their zero
    std::vector<QuantisedLayer> skips;  // of each stack
    std::vector<QuantisedLayer> downs;  // from each stack to the next
    QuantisedLayer last;
};

// Seconds of work in a stage, of all threads together.
struct StageTime {
    std::string name;
    double seconds;
};

// Called now and then, by the thread that called the kernel, with the share of the work that is done. What it throws
// ends the work.
using Watch = std::function<void(double share)>;

// The network with its weights packed for one set of instructions; many threads may run it at once.
class DenseVNet {
  public:
    // Throws std::invalid_argument where the layers do not follow from one another.
    DenseVNet(const QuantisedDenseVNet& network, Instructions instructions);
    ~DenseVNet();

    // Logits [z / 2, y / 2, x / 2, class] of a region whose sides are multiples of 8: those in the wanted box; 0
    // elsewhere. planes_per_step planes at half resolution are made at a time: memory and time depend on it, the result
    // does not. Throws std::invalid_argument where the extents do not fit.
    std::vector<StageTime> run(View3<const std::uint8_t> region, View4<std::int8_t> logits, const Box& wanted,
                               std::int64_t planes_per_step, int threads, const Watch& watch) const;

  private:
    std::unique_ptr<const struct PackedDenseVNet> network_;
};

} // namespace whs
