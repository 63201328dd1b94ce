// Any processor: plain loops over bytes in pairs of taps, in 16 bits, which compilers turn into vectors of any width.
#include "convolution_kernel.hpp"

#include <algorithm>
#include <cmath>

namespace whs {
namespace {

struct Block {
    static constexpr int outputs = 4;
    static constexpr std::int64_t lanes = 64;
    static constexpr int halves = 2 * lanes; // of words: two channels

    static void make(const ConvolutionPass& pass, std::int64_t lane, std::uint8_t* const* out, std::int64_t out_lane) {
        alignas(64) std::int32_t sums[4][lanes];
        for (int output = 0; output < 4; ++output)
            std::fill_n(sums[output], lanes, pass.start[output]);
        const std::int32_t* weights = pass.weights;
        for (std::int64_t t = 0; t < pass.taps; t += 2, weights += 8) {
            alignas(64) std::int16_t features[4][halves];
            split(pass.tap[t] + 4 * lane, features[0], features[1]);
            split(pass.tap[t + 1] + 4 * lane, features[2], features[3]);
            for (int output = 0; output < 4; ++output)
                add(features, weights + 2 * output, sums[output]);
        }
        for (int output = 0; output < 4; ++output)
            for (std::int64_t i = 0; i < lanes; ++i)
                out[0][4 * (out_lane + i) + output] = rescale(sums[output][i], pass.scale[output], pass.bias[output]);
    }

  private:
    // The first and the second byte of each half.
    static void split(const std::uint8_t* words, std::int16_t* first, std::int16_t* second) {
        for (int i = 0; i < halves; ++i) {
            first[i] = words[2 * i];
            second[i] = words[2 * i + 1];
        }
    }
    static void add(const std::int16_t (&features)[4][halves], const std::int32_t* weights, std::int32_t* sums) {
        constexpr int run = 8; // 16-bit lanes of the narrowest vectors
        std::int16_t factors[4][run];
        for (int tap = 0; tap < 2; ++tap) {
            std::int8_t word[4];
            std::memcpy(word, weights + tap, 4);
            for (int i = 0; i < run; ++i) {
                factors[2 * tap][i] = word[2 * (i % 2)];
                factors[2 * tap + 1][i] = word[2 * (i % 2) + 1];
            }
        }
        std::int16_t met[halves];
        for (int first = 0; first < halves; first += run)
            for (int i = 0; i < run; ++i)
                met[first + i] = static_cast<std::int16_t>(
                    features[0][first + i] * factors[0][i] + features[1][first + i] * factors[1][i] +
                    features[2][first + i] * factors[2][i] + features[3][first + i] * factors[3][i]);
        for (std::int64_t i = 0; i < lanes; ++i)
            sums[i] += met[2 * i] + met[2 * i + 1];
    }
    static std::uint8_t rescale(std::int32_t sum, float scale, float bias) {
        const float scaled = static_cast<float>(sum) * scale;
        return static_cast<std::uint8_t>(std::nearbyint(std::min(std::max(scaled + bias, 0.0F), 255.0F)));
    }
};

} // namespace

ConvolutionKernels portable_kernels() { return {.four = &convolve<Block>, .in_pairs = true}; }

} // namespace whs
