// 64-bit ARM with dot products of bytes with and without a sign.
#include "convolution_kernel.hpp"
#include "convolution_lanes_neon.hpp"

namespace whs {
namespace {

struct Lanes : LanesNeon {
    using Words = uint8x16_t;

    static Words load(const std::uint8_t* p) { return vld1q_u8(p); }
    static int8x16_t broadcast(std::int32_t word) { return vreinterpretq_s8_s32(fill(word)); }
    static Sums multiply_add(Sums sums, Words words, int8x16_t weight) { return vusdotq_s32(sums, words, weight); }
};

} // namespace

ConvolutionKernels neon_i8mm_kernels() {
    return {.four = &convolve<WordBlock<Lanes, 4, 6>>,
            .eight = &convolve<WordBlock<Lanes, 8, 3>>,
            .twelve = &convolve<WordBlock<Lanes, 12, 2>>};
}

} // namespace whs
