// 64-bit ARM with dot products of equal signs: features are taken less 128, and the sums begin where that cancels out.
#include "convolution_kernel.hpp"
#include "convolution_lanes_neon.hpp"

namespace whs {
namespace {

struct Lanes : LanesNeon {
    using Words = int8x16_t;

    static Words load(const std::uint8_t* p) { return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(128))); }
    static Words broadcast(std::int32_t word) { return vreinterpretq_s8_s32(fill(word)); }
    static Sums multiply_add(Sums sums, Words words, Words weight) { return vdotq_s32(sums, words, weight); }
};

} // namespace

ConvolutionKernels neon_dot_kernels() {
    return {.four = &convolve<WordBlock<Lanes, 4, 6>>,
            .eight = &convolve<WordBlock<Lanes, 8, 3>>,
            .twelve = &convolve<WordBlock<Lanes, 12, 2>>,
            .less = 128};
}

} // namespace whs
