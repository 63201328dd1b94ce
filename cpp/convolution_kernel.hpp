// The inner loops of convolution.hpp, for the lanes of one set of instructions; convolution_*.cpp instantiate them.
//
// A block holds the sums of O outputs at X vectors of lanes in registers over all taps: a tap loads X vectors of
// features and broadcasts O words of weights for O * X products, so that the multipliers, not the loads, set the pace.
#pragma once

#include "compiler.hpp"
#include "convolution_kernels.hpp"

#include <cstdint>
#include <cstring>
#include <utility>

namespace whs {

// Calls use(index constant) for 0 to N - 1. The indices are constants before the optimiser sees them: loops over arrays
// of vectors are unrolled too late by GCC, which then keeps the sums in memory.
template <int N, class Use>
WHS_INLINE void repeat(Use&& use) {
    [&]<int... I>(std::integer_sequence<int, I...>)
        WHS_INLINE_LAMBDA { (use(std::integral_constant<int, I>{}), ...); }(std::make_integer_sequence<int, N>{});
}

template <class Lanes, int O, int X>
WHS_INLINE void store_block(const typename Lanes::Sums (&sums)[O * X], const ConvolutionPass& pass,
                            std::uint8_t* const* out, std::int64_t lane) {
    repeat<O / 4 * X>([&](auto i) WHS_INLINE_LAMBDA {
        constexpr int group = decltype(i)::value / X, x = decltype(i)::value % X;
        Lanes::store(out[group] + 4 * (lane + Lanes::width * x), sums[4 * group * X + x], sums[(4 * group + 1) * X + x],
                     sums[(4 * group + 2) * X + x], sums[(4 * group + 3) * X + x], pass.scale + 4 * group,
                     pass.bias + 4 * group);
    });
}

// Blocks are functions of their own, so that what only their end needs takes no register from the sums.

// A word of each tap at a time, multiplied and summed exactly by one instruction.
template <class Lanes, int O, int X>
struct WordBlock {
    static constexpr int outputs = O;
    static constexpr std::int64_t lanes = X * Lanes::width;
    static constexpr int lines = (4 * lanes / 64 + 2) / 3; // of a block, in each of three shares

    static WHS_NOINLINE void make(const ConvolutionPass& pass, std::int64_t lane, std::uint8_t* const* out,
                                  std::int64_t out_lane) {
        typename Lanes::Sums sums[O * X];
        repeat<O * X>([&](auto i) WHS_INLINE_LAMBDA {
            sums[decltype(i)::value] = Lanes::fill(pass.start[decltype(i)::value / X]);
        });
        const std::int32_t* weights = pass.weights;
        for (std::int64_t t = 0; t < pass.taps; ++t) {
            const std::uint8_t* features = pass.tap[t] + 4 * lane;
            // The next block: the processor foresees a few rows of memory, here there are hundreds.
            repeat<lines>([&](auto line) WHS_INLINE_LAMBDA {
                prefetch(features + 4 * lanes + 64 * (lines * pass.share[t] + line));
            });
            typename Lanes::Words words[X];
            repeat<X>([&](auto x) WHS_INLINE_LAMBDA {
                words[decltype(x)::value] = Lanes::load(features + 4 * Lanes::width * x);
            });
            repeat<O>([&](auto o) WHS_INLINE_LAMBDA {
                const auto weight = Lanes::broadcast(weights[o]);
                repeat<X>([&](auto x) WHS_INLINE_LAMBDA {
                    constexpr int i = decltype(o)::value * X + decltype(x)::value;
                    sums[i] = Lanes::multiply_add(sums[i], words[decltype(x)::value], weight);
                });
            });
            weights += O;
        }
        store_block<Lanes, O, X>(sums, pass, out, out_lane);
    }
};

// Four outputs of some taps at a time, whose products meet in 16 bits (bundling.hpp).
template <class Lanes, int X>
struct BundleBlock {
    static constexpr int outputs = 4;
    static constexpr std::int64_t lanes = X * Lanes::width;

    static WHS_NOINLINE void make(const ConvolutionPass& pass, std::int64_t lane, std::uint8_t* const* out,
                                  std::int64_t out_lane) {
        typename Lanes::Sums sums[4 * X];
        repeat<4 * X>([&](auto i) WHS_INLINE_LAMBDA {
            sums[decltype(i)::value] = Lanes::fill(pass.start[decltype(i)::value / X]);
        });
        const std::uint8_t* const* tap = pass.tap;
        const std::int32_t* weights = pass.weights;
        for (std::int64_t bundle = 0; bundle < pass.bundles; ++bundle) {
            Met met;
            const std::uint8_t* const* const end = tap + pass.sizes[bundle];
            multiply(met, *tap + 4 * lane, weights, [](auto, auto products) WHS_INLINE_LAMBDA { return products; });
            for (++tap, weights += 4; tap != end; ++tap, weights += 4)
                multiply(met, *tap + 4 * lane, weights, &Lanes::add);
            repeat<4 * X>([&](auto i) WHS_INLINE_LAMBDA {
                sums[decltype(i)::value] = Lanes::widen_add(sums[decltype(i)::value], met[decltype(i)::value]);
            });
        }
        store_block<Lanes, 4, X>(sums, pass, out, out_lane);
    }

  private:
    using Met = typename Lanes::Words[4 * X];

    // One tap's products, joined with what has met before.
    template <class Join>
    static WHS_INLINE void multiply(Met& met, const std::uint8_t* features, const std::int32_t* weights, Join join) {
        prefetch(features + 2 * 4 * lanes); // two blocks ahead
        typename Lanes::Words words[X];
        repeat<X>([&](auto x)
                      WHS_INLINE_LAMBDA { words[decltype(x)::value] = Lanes::load(features + 4 * Lanes::width * x); });
        repeat<4>([&](auto o) WHS_INLINE_LAMBDA {
            const auto weight = Lanes::broadcast(weights[o]);
            repeat<X>([&](auto x) WHS_INLINE_LAMBDA {
                constexpr int i = decltype(o)::value * X + decltype(x)::value;
                met[i] = join(met[i], Lanes::multiply(words[decltype(x)::value], weight));
            });
        });
    }
};

// A ConvolutionKernel: blocks, and smaller ones for the lanes that are left.
template <class Block, class Rest = Block>
void convolve(const ConvolutionPass& pass, std::int64_t first, std::int64_t last) {
    std::int64_t lane = first;
    for (; lane + Block::lanes <= last; lane += Block::lanes)
        Block::make(pass, lane, pass.out, lane);
    for (; lane + Rest::lanes <= last; lane += Rest::lanes)
        Rest::make(pass, lane, pass.out, lane);
    if (lane == last)
        return;
    // The lanes past the last belong to somebody else.
    constexpr int groups = Block::outputs / 4;
    alignas(64) std::uint8_t spare[groups][4 * Rest::lanes];
    std::uint8_t* to_spare[groups];
    for (int group = 0; group < groups; ++group)
        to_spare[group] = spare[group];
    Rest::make(pass, lane, to_spare, 0);
    for (int group = 0; group < groups; ++group)
        std::memcpy(pass.out[group] + 4 * lane, spare[group], static_cast<std::size_t>(4 * (last - lane)));
}

} // namespace whs
