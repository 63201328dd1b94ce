// Any processor: eight lanes as plain loops, which the compiler vectorises as it can.
#include "convolution_kernels.hpp"

#include "convolution_kernel.hpp"

#include <array>
#include <cmath>

namespace whs {
namespace {

struct Lanes {
    static constexpr int width = 8, weight_words = 1;
    using Sums = std::array<std::int32_t, 8>;
    using Words = std::array<std::uint8_t, 32>;
    using Weight = std::array<std::int8_t, 4>;

    static Sums zero() { return {}; }
    static Words load(const std::uint8_t* p) {
        Words words;
        std::memcpy(words.data(), p, words.size());
        return words;
    }
    static Weight broadcast(const std::int32_t* w) {
        Weight weight;
        std::memcpy(weight.data(), w, weight.size());
        return weight;
    }
    static Sums multiply_add(Sums sums, const Words& words, const Weight& weight) {
        for (std::size_t lane = 0; lane < 8; ++lane)
            for (std::size_t channel = 0; channel < 4; ++channel)
                sums[lane] += words[4 * lane + channel] * weight[channel];
        return sums;
    }
    static std::uint8_t rescale(std::int32_t sum, float scale, float bias) {
        const float scaled = static_cast<float>(sum) * scale;
        return static_cast<std::uint8_t>(std::nearbyint(std::min(std::max(scaled + bias, 0.0F), 255.0F)));
    }
    static void store(std::uint8_t* to, const Sums& a, const Sums& b, const Sums& c, const Sums& d, const float* scale,
                      const float* bias) {
        for (std::size_t lane = 0; lane < 8; ++lane) {
            to[4 * lane] = rescale(a[lane], scale[0], bias[0]);
            to[4 * lane + 1] = rescale(b[lane], scale[1], bias[1]);
            to[4 * lane + 2] = rescale(c[lane], scale[2], bias[2]);
            to[4 * lane + 3] = rescale(d[lane], scale[3], bias[3]);
        }
    }
};

} // namespace

ConvolutionKernels portable_kernels() {
    return {&convolve<Lanes, 4, 1>, &convolve<Lanes, 8, 1>, &convolve<Lanes, 12, 1>};
}

} // namespace whs
