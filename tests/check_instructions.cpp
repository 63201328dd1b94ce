// Every set of instructions that this machine has against the definition of a convolution, to the bit; and that the
// bound on weights that meet (bundling.hpp) is needed. tests/run_instructions.sh builds and runs it, also for
// processors that this machine is not.
//
//   check_instructions NAME...    the sets that the machine must have: it fails where one is missing
#include "convolution.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <set>

namespace {

using namespace whs;

struct Case {
    std::int64_t outputs, taps, first, last;
    std::vector<std::int8_t> words;
    std::vector<float> scale, bias;
    std::vector<std::uint8_t> features; // of all taps in turn
    std::int64_t lanes() const { return last + PackedConvolution::kOverrun; }
};

// Features and weights of full range, or only the most extreme, which bring 16-bit sums to their limits.
Case draw(std::mt19937& random, bool extreme) {
    const auto up_to = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
    Case c{4 * up_to(1, 7), up_to(1, 60), up_to(0, 40), 0, {}, {}, {}, {}};
    c.last = c.first + up_to(0, 300);
    for (std::int64_t i = 0; i < c.outputs * c.taps * 4; ++i)
        c.words.push_back(static_cast<std::int8_t>(extreme ? (up_to(0, 3) ? 127 : -128) : up_to(-128, 127)));
    for (std::int64_t i = 0; i < c.taps * c.lanes() * 4; ++i)
        c.features.push_back(static_cast<std::uint8_t>(extreme ? 255 : up_to(0, 255)));
    const float spread = 60.0F * std::sqrt(static_cast<float>(4 * c.taps)) * (extreme ? 200.0F : 1.0F);
    for (std::int64_t i = 0; i < c.outputs; ++i) {
        c.scale.push_back(static_cast<float>(up_to(50, 200)) / spread);
        c.bias.push_back(static_cast<float>(up_to(-200, 300)));
    }
    return c;
}

std::vector<std::uint8_t> defined(const Case& c) {
    std::vector<std::uint8_t> out(static_cast<std::size_t>(c.outputs * c.lanes()), 77);
    for (std::int64_t output = 0; output < c.outputs; ++output)
        for (std::int64_t lane = c.first; lane < c.last; ++lane) {
            std::int32_t sum = 0;
            for (std::int64_t tap = 0; tap < c.taps; ++tap)
                for (std::int64_t channel = 0; channel < 4; ++channel)
                    sum += c.words[(output * c.taps + tap) * 4 + channel] *
                           c.features[(tap * c.lanes() + lane) * 4 + channel];
            const float scaled = static_cast<float>(sum) * c.scale[output];
            const float value = std::min(std::max(scaled + c.bias[output], 0.0F), 255.0F);
            out[(output / 4 * c.lanes() + lane) * 4 + output % 4] = static_cast<std::uint8_t>(std::nearbyint(value));
        }
    return out;
}

std::vector<std::uint8_t> convolved(const Case& c, Instructions instructions, int most = kMostWeight) {
    const PackedConvolution convolution(c.words, c.scale, c.bias, std::vector<std::uint8_t>(c.taps), instructions,
                                        most);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(c.outputs * c.lanes()), 77);
    std::vector<const std::uint8_t*> taps;
    for (std::int64_t tap = 0; tap < c.taps; ++tap)
        taps.push_back(c.features.data() + tap * c.lanes() * 4);
    std::vector<std::uint8_t*> groups;
    for (std::int64_t group = 0; group < c.outputs / 4; ++group)
        groups.push_back(out.data() + group * c.lanes() * 4);
    const Range lanes{c.first, c.last};
    convolution(taps.data(), {&lanes, 1}, groups.data());
    return out;
}

} // namespace

int main(int count, char** names) {
    const std::vector<std::string> found = instruction_sets();
    for (int i = 1; i < count; ++i)
        if (std::find(found.begin(), found.end(), names[i]) == found.end()) {
            std::printf("this machine lacks %s\n", names[i]);
            return 1;
        }
    std::mt19937 random(7);
    std::set<std::string> wrong, needs_no_bound(found.begin(), found.end());
    for (int round = 0; round < 300; ++round) {
        const Case c = draw(random, round % 2 == 0);
        const std::vector<std::uint8_t> expected = defined(c);
        for (const std::string& name : found) {
            const Instructions instructions = instructions_named(name);
            if (convolved(c, instructions) != expected)
                wrong.insert(name);
            if (convolved(c, instructions, 140) != expected)
                needs_no_bound.erase(name);
        }
    }
    for (const std::string& name : found)
        std::printf("%-12s %s; with weights up to 140 %s\n", name.c_str(), wrong.contains(name) ? "WRONG" : "exact",
                    needs_no_bound.contains(name) ? "exact" : "wrong");
    // Those that sum bytes exactly in one instruction need no bound; all others must be seen to need it.
    for (const std::string& name : found)
        if (wrong.contains(name) || needs_no_bound.contains(name) != !in_bundles(instructions_named(name)))
            return 1;
    return 0;
}
