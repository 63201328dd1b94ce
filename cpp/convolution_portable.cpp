// Any processor: plain loops over bytes in pairs and fours of taps, in 16 bits, which compilers turn into vectors of
// any width.
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
        std::int64_t t = 0;
        for (; t < pass.in_fours; t += 4)
            add<4>(pass.tap + t, 4 * lane, pass.weights + 4 * t, sums);
        for (; t < pass.taps; t += 2)
            add<2>(pass.tap + t, 4 * lane, pass.weights + 4 * t, sums);
        for (int output = 0; output < 4; ++output)
            for (std::int64_t i = 0; i < lanes; ++i)
                out[0][4 * (out_lane + i) + output] = rescale(sums[output][i], pass.scale[output], pass.bias[output]);
    }

  private:
    template <int T>
    static void add(const std::uint8_t* const* tap, std::int64_t offset, const std::int32_t* weights,
                    std::int32_t (&sums)[4][lanes]) {
        alignas(64) std::int16_t channels[4 * T][lanes];
        for (int t = 0; t < T; ++t)
            for (std::int64_t i = 0; i < lanes; ++i)
                for (int channel = 0; channel < 4; ++channel)
                    channels[4 * t + channel][i] = tap[t][offset + 4 * i + channel];
        for (int output = 0; output < 4; ++output) {
            std::int8_t w[4 * T];
            std::memcpy(w, weights + T * output, sizeof w);
            alignas(64) std::int16_t met[2][lanes];
            for (const int half : {0, 1})
                for (std::int64_t i = 0; i < lanes; ++i) {
                    std::int16_t sum = 0;
                    repeat<T>([&](auto t) WHS_INLINE_LAMBDA {
                        constexpr int first = 4 * decltype(t)::value;
                        const int at = first + 2 * half;
                        sum =
                            static_cast<std::int16_t>(sum + channels[at][i] * w[at] + channels[at + 1][i] * w[at + 1]);
                    });
                    met[half][i] = sum;
                }
            for (std::int64_t i = 0; i < lanes; ++i)
                sums[output][i] += met[0][i] + met[1][i];
        }
    }
    static std::uint8_t rescale(std::int32_t sum, float scale, float bias) {
        const float scaled = static_cast<float>(sum) * scale;
        return static_cast<std::uint8_t>(std::nearbyint(std::min(std::max(scaled + bias, 0.0F), 255.0F)));
    }
};

} // namespace

ConvolutionKernels portable_kernels() { return {.four = &convolve<Block>, .in_pairs = true}; }

} // namespace whs
