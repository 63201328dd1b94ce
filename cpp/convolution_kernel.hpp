// The inner loops of convolution.hpp, for the lanes of one set of instructions; convolution_*.cpp instantiate them.
//
// A block holds the sums of O outputs at X vectors of lanes in registers over all taps: a tap loads X vectors of
// features and broadcasts O words of weights for O * X products, so that the multipliers, not the loads, set the pace.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

namespace whs {

// Calls use(index constant) for 0 to N - 1. The indices are constants before the optimiser sees them: loops over arrays
// of vectors are unrolled too late by GCC, which then keeps the sums in memory.
template <int N, class Use>
[[gnu::always_inline]] inline void repeat(Use&& use) {
    [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
        (use(std::integral_constant<int, I>{}), ...);
    }(std::make_integer_sequence<int, N>{});
}

template <class Lanes, int O, int X>
[[gnu::always_inline]] inline void convolve_block(const std::int32_t* weights, std::int64_t taps,
                                                  const std::uint8_t* const* tap, const std::uint8_t* share,
                                                  std::int64_t lane, const float* scale, const float* bias,
                                                  std::uint8_t* const* out, std::int64_t out_lane) {
    typename Lanes::Sums sums[O * X];
    repeat<O * X>([&](auto i) __attribute__((always_inline)) { sums[decltype(i)::value] = Lanes::zero(); });
    for (std::int64_t t = 0; t < taps; ++t) {
        const std::uint8_t* features = tap[t] + 4 * lane;
        // The next block: the processor foresees a few rows of memory, here there are hundreds.
        repeat<(X + 2) / 3>([&](auto line) __attribute__((always_inline)) {
            __builtin_prefetch(features + 4 * Lanes::width * X + 64 * ((X + 2) / 3 * share[t] + line));
        });
        typename Lanes::Words words[X];
        repeat<X>([&](auto x) __attribute__((always_inline)) {
            words[decltype(x)::value] = Lanes::load(features + 4 * Lanes::width * x);
        });
        repeat<O>([&](auto o) __attribute__((always_inline)) {
            const typename Lanes::Weight weight = Lanes::broadcast(weights + o * Lanes::weight_words);
            repeat<X>([&](auto x) __attribute__((always_inline)) {
                constexpr int i = decltype(o)::value * X + decltype(x)::value;
                sums[i] = Lanes::multiply_add(sums[i], words[decltype(x)::value], weight);
            });
        });
        weights += O * Lanes::weight_words;
    }
    repeat<O / 4 * X>([&](auto i) __attribute__((always_inline)) {
        constexpr int group = decltype(i)::value / X, x = decltype(i)::value % X;
        Lanes::store(out[group] + 4 * (out_lane + Lanes::width * x), sums[4 * group * X + x],
                     sums[(4 * group + 1) * X + x], sums[(4 * group + 2) * X + x], sums[(4 * group + 3) * X + x],
                     scale + 4 * group, bias + 4 * group);
    });
}

// The signature is that of ConvolutionKernel.
template <class Lanes, int O, int X>
void convolve(const std::int32_t* weights, std::int64_t taps, const std::uint8_t* const* tap, const std::uint8_t* share,
              std::int64_t first, std::int64_t last, const float* scale, const float* bias, std::uint8_t* const* out) {
    constexpr std::int64_t step = X * Lanes::width;
    std::int64_t lane = first;
    for (; lane + step <= last; lane += step)
        convolve_block<Lanes, O, X>(weights, taps, tap, share, lane, scale, bias, out, lane);
    if (lane == last)
        return;
    // The lanes past the last belong to somebody else.
    alignas(64) std::uint8_t spare[O / 4][4 * step];
    std::uint8_t* to_spare[O / 4];
    for (int group = 0; group < O / 4; ++group)
        to_spare[group] = spare[group];
    convolve_block<Lanes, O, X>(weights, taps, tap, share, lane, scale, bias, to_spare, 0);
    for (int group = 0; group < O / 4; ++group)
        std::memcpy(out[group] + 4 * lane, spare[group], static_cast<std::size_t>(4 * (last - lane)));
}

} // namespace whs
