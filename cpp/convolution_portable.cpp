// Any processor: plain loops over bytes in pairs of taps, in 16 bits, which compilers turn into vectors of any width.
#include "convolution_kernel.hpp"

#include <algorithm>
#include <cmath>

namespace whs {
namespace {

struct Block {
    static constexpr int outputs = 4;
    static constexpr std::int64_t lanes = 64;

    static void make(const ConvolutionPass& pass, std::int64_t lane, std::uint8_t* const* out, std::int64_t out_lane) {
        alignas(64) std::int32_t sums[4][lanes];
        for (int output = 0; output < 4; ++output)
            std::fill_n(sums[output], lanes, pass.start[output]);
        const std::int32_t* weights = pass.weights;
        for (std::int64_t t = 0; t < pass.taps; t += 2, weights += 8) {
            Channels a, b;
            split(pass.tap[t] + 4 * lane, a);
            split(pass.tap[t + 1] + 4 * lane, b);
            for (int output = 0; output < 4; ++output)
                add(a, b, weights + 2 * output, sums[output]);
        }
        for (int output = 0; output < 4; ++output)
            for (std::int64_t i = 0; i < lanes; ++i)
                out[0][4 * (out_lane + i) + output] = rescale(sums[output][i], pass.scale[output], pass.bias[output]);
    }

  private:
    using Channels = std::int16_t[4][lanes];

    static void split(const std::uint8_t* words, Channels& channels) {
        for (std::int64_t i = 0; i < lanes; ++i)
            for (int channel = 0; channel < 4; ++channel)
                channels[channel][i] = words[4 * i + channel];
    }
    static void add(const Channels& a, const Channels& b, const std::int32_t* weights, std::int32_t* sums) {
        std::int8_t w[8];
        std::memcpy(w, weights, sizeof w);
        std::int16_t met[2][lanes];
        for (const int half : {0, 2}) {
            const std::int16_t wa = w[half], wb = w[half + 1], wc = w[half + 4], wd = w[half + 5];
            for (std::int64_t i = 0; i < lanes; ++i)
                met[half / 2][i] = static_cast<std::int16_t>(a[half][i] * wa + a[half + 1][i] * wb + b[half][i] * wc +
                                                             b[half + 1][i] * wd);
        }
        for (std::int64_t i = 0; i < lanes; ++i)
            sums[i] += met[0][i] + met[1][i];
    }
    static std::uint8_t rescale(std::int32_t sum, float scale, float bias) {
        const float scaled = static_cast<float>(sum) * scale;
        return static_cast<std::uint8_t>(std::nearbyint(std::min(std::max(scaled + bias, 0.0F), 255.0F)));
    }
};

} // namespace

ConvolutionKernels portable_kernels() { return {.four = &convolve<Block>, .in_pairs = true}; }

} // namespace whs
