// Packs the weights of a convolution for a set of instructions and cuts its outputs into passes.
#include "convolution.hpp"

#include <cstring>
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
    case Instructions::avx2:
        return avx2_kernels();
#endif
    default:
        return portable_kernels();
    }
}

// Without products of bytes, the even and the odd channels of a word are multiplied as pairs of 16-bit numbers.
bool in_pairs(Instructions instructions) { return instructions == Instructions::avx2; }

std::int32_t word(std::int8_t a, std::int8_t b, std::int8_t c, std::int8_t d) {
    const std::int8_t bytes[] = {a, b, c, d};
    std::int32_t word;
    std::memcpy(&word, bytes, sizeof word);
    return word;
}

std::int32_t pair(std::int16_t a, std::int16_t b) {
    const std::int16_t halves[] = {a, b};
    std::int32_t pair;
    std::memcpy(&pair, halves, sizeof pair);
    return pair;
}

constexpr std::pair<std::string_view, Instructions> kNames[] = {
    {"avx512_vnni", Instructions::avx512_vnni},
    {"avx_vnni", Instructions::avx_vnni},
    {"avx2", Instructions::avx2},
    {"portable", Instructions::portable},
};

bool machine_has(Instructions instructions) {
#ifdef WHS_X86
    __builtin_cpu_init();
    if (instructions == Instructions::avx512_vnni)
        return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw");
    if (instructions == Instructions::avx_vnni)
        return __builtin_cpu_supports("avx2") && supports_avx_vnni();
    if (instructions == Instructions::avx2)
        return __builtin_cpu_supports("avx2");
#endif
    return instructions == Instructions::portable;
}

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

PackedConvolution::PackedConvolution(const std::vector<std::int8_t>& words, std::vector<float> scale,
                                     std::vector<float> bias, std::vector<std::uint8_t> shares,
                                     Instructions instructions)
    : scale_(std::move(scale)), bias_(std::move(bias)), shares_(std::move(shares)) {
    const auto outputs = static_cast<std::int64_t>(scale_.size());
    taps_ = static_cast<std::int64_t>(words.size()) / 4 / outputs;
    const ConvolutionKernels kernels = kernels_of(instructions);
    for (std::int64_t first = 0; first < outputs;) {
        const std::int64_t left = outputs - first;
        const std::int64_t count = left % 12 == 0 ? 12 : left % 8 == 0 ? 8 : 4;
        passes_.push_back({count == 12  ? kernels.twelve
                           : count == 8 ? kernels.eight
                                        : kernels.four,
                           first, static_cast<std::int64_t>(weights_.size())});
        for (std::int64_t tap = 0; tap < taps_; ++tap)
            for (std::int64_t output = first; output < first + count; ++output) {
                const std::int8_t* w = words.data() + (output * taps_ + tap) * 4;
                if (in_pairs(instructions)) {
                    weights_.push_back(pair(w[0], w[2]));
                    weights_.push_back(pair(w[1], w[3]));
                } else {
                    weights_.push_back(word(w[0], w[1], w[2], w[3]));
                }
            }
        first += count;
    }
}

void PackedConvolution::operator()(const std::uint8_t* const* taps, std::int64_t first, std::int64_t last,
                                   std::uint8_t* const* out) const {
    for (const Pass& pass : passes_)
        pass.kernel(weights_.data() + pass.first_word, taps_, taps, shares_.data(), first, last,
                    scale_.data() + pass.first_output, bias_.data() + pass.first_output, out + pass.first_output / 4);
}

} // namespace whs
