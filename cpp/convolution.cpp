// Packs the weights of a convolution for a set of instructions and cuts its outputs into passes.
#include "convolution.hpp"

#include "cpu.hpp"

#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace whs {
namespace {

ConvolutionKernels kernels_of(Instructions instructions) {
    switch (instructions) {
#ifdef WHS_X86
    case Instructions::avx512_vnni:
        return avx512_vnni_kernels();
    case Instructions::avx_vnni:
        return avx_vnni_kernels();
    case Instructions::avx512:
        return avx512_kernels();
    case Instructions::avx2:
        return avx2_kernels();
    case Instructions::ssse3:
        return ssse3_kernels();
#endif
#ifdef WHS_NEON
    case Instructions::neon_i8mm:
        return neon_i8mm_kernels();
    case Instructions::neon_dot:
        return neon_dot_kernels();
#endif
    default:
        return portable_kernels();
    }
}

std::int32_t word(const std::int8_t* bytes) {
    std::int32_t word;
    std::memcpy(&word, bytes, sizeof word);
    return word;
}

constexpr std::pair<std::string_view, Instructions> kNames[] = {
    {"avx512_vnni", Instructions::avx512_vnni},
    {"avx_vnni", Instructions::avx_vnni},
    {"avx512", Instructions::avx512},
    {"avx2", Instructions::avx2},
    {"ssse3", Instructions::ssse3},
    {"neon_i8mm", Instructions::neon_i8mm},
    {"neon_dot", Instructions::neon_dot},
    {"portable", Instructions::portable},
};

} // namespace

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const auto& [name, instructions] : kNames)
        if (machine_has(instructions))
            names.emplace_back(name);
    return names;
}

Instructions instructions_named(const std::string& wanted) {
    for (const auto& [name, instructions] : kNames)
        if (name == wanted && machine_has(instructions))
            return instructions;
    std::string known;
    for (const std::string& name : instruction_sets())
        known += (known.empty() ? "" : ", ") + name;
    throw std::invalid_argument("instructions is " + wanted + ", must be one of " + known);
}

bool in_bundles(Instructions instructions) { return kernels_of(instructions).in_bundles; }

PackedConvolution::PackedConvolution(const std::vector<std::int8_t>& words, std::vector<float> scale,
                                     std::vector<float> bias, std::vector<std::uint8_t> shares,
                                     Instructions instructions, int most)
    : scale_(std::move(scale)), bias_(std::move(bias)), shares_(std::move(shares)) {
    const auto outputs = static_cast<std::int64_t>(scale_.size());
    taps_ = static_cast<std::int64_t>(words.size()) / 4 / outputs;
    const ConvolutionKernels kernels = kernels_of(instructions);
    std::int64_t count;
    for (std::int64_t first = 0; first < outputs; first += count) {
        const std::int64_t left = outputs - first;
        count = kernels.twelve != nullptr && left % 12 == 0 ? 12 : kernels.eight != nullptr && left % 8 == 0 ? 8 : 4;
        Pass& pass = passes_.emplace_back();
        pass.first_output = first;
        pass.kernel = count == 12 ? kernels.twelve : count == 8 ? kernels.eight : kernels.four;
        const std::int8_t* of_pass = words.data() + first * taps_ * 4;
        for (std::int64_t output = 0; output < count; ++output)
            pass.start.push_back(std::accumulate(of_pass + output * taps_ * 4, of_pass + (output + 1) * taps_ * 4, 0) *
                                 kernels.less);
        if (kernels.in_bundles) {
            Bundled bundled = bundle_taps({of_pass, static_cast<std::size_t>(count * taps_ * 4)}, taps_, most);
            pass.sizes = std::move(bundled.sizes);
            for (const Slot& slot : bundled.slots) {
                pass.order.push_back(static_cast<std::int32_t>(slot.tap));
                for (const std::int8_t* of_output : slot.weights)
                    pass.weights.push_back(word(of_output));
            }
        } else {
            for (std::int64_t tap = 0; tap < taps_; ++tap)
                for (std::int64_t output = 0; output < count; ++output)
                    pass.weights.push_back(word(of_pass + (output * taps_ + tap) * 4));
        }
    }
}

void PackedConvolution::operator()(const std::uint8_t* const* taps, std::span<const Range> runs,
                                   std::uint8_t* const* out) const {
    std::vector<const std::uint8_t*> in_order;
    for (const Pass& pass : passes_) {
        in_order.resize(pass.order.size());
        for (std::size_t slot = 0; slot < in_order.size(); ++slot)
            in_order[slot] = taps[pass.order[slot]];
        const bool as_given = in_order.empty();
        const ConvolutionPass over_taps{.weights = pass.weights.data(),
                                        .taps = taps_,
                                        .tap = as_given ? taps : in_order.data(),
                                        .sizes = pass.sizes.data(),
                                        .bundles = static_cast<std::int64_t>(pass.sizes.size()),
                                        .share = shares_.data(),
                                        .start = pass.start.data(),
                                        .scale = scale_.data() + pass.first_output,
                                        .bias = bias_.data() + pass.first_output,
                                        .out = out + pass.first_output / 4};
        for (const Range& run : runs)
            pass.kernel(over_taps, run.first, run.last);
    }
}

} // namespace whs
