// Taps in bundles whose sums of products 16 bits hold, for sets of instructions without exact sums of bytes.
//
// What these have multiplies uint8 by int8 and adds two neighbouring products in 16 bits, where the sum saturates or
// wraps. Features are at most 255, so it does neither as long as the positive weights that meet in a 16-bit lane sum to
// 128 or less and the negative ones to -128 or more: 255 * 128 < 2^15. That leaves room for further taps in the same
// lane, mostly three or four in all, before it is widened to 32 bits. Taps may come in any order, so each bundle starts
// with the heaviest that is left and takes the heaviest that still go with it. The part of a word that is too heavy by
// itself gets a slot of its own. Sums stay exact, at 1.01 to 1.17 slots a tap.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace whs {

constexpr int kMostWeight = 128;

struct Slot {
    std::int64_t tap;
    std::int8_t weights[4][4]; // [output][channel]
};

struct Bundled {
    std::vector<Slot> slots;         // of one bundle after another
    std::vector<std::uint8_t> sizes; // of the bundles, falling
};

// The taps of four outputs, words [output][tap][4]. most: 128; more is too much, as a test shows.
Bundled bundle_taps(std::span<const std::int8_t> words, std::int64_t taps, int most = kMostWeight);

} // namespace whs
