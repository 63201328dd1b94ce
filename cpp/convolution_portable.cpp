// Any processor: plain loops over bytes in bundles of taps, in 16 bits, which compilers turn into vectors of any width.
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
        const std::uint8_t* const* tap = pass.tap;
        const std::int32_t* weights = pass.weights;
        for (std::int64_t bundle = 0; bundle < pass.bundles; ++bundle)
            for (int left = pass.sizes[bundle], some; left > 0; left -= some, tap += some, weights += 4 * some) {
                some = std::min(left, 4);
                const auto add_some = some == 4 ? &add<4> : some == 3 ? &add<3> : some == 2 ? &add<2> : &add<1>;
                add_some(tap, 4 * lane, weights, sums);
            }
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
            for (int t = 0; t < T; ++t)
                std::memcpy(w + 4 * t, weights + 4 * t + output, 4);
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

ConvolutionKernels portable_kernels() { return {.four = &convolve<Block>, .in_bundles = true}; }

} // namespace whs
