// AVX-512 with VNNI: exact sums of bytes.
#include "convolution_kernel.hpp"
#include "convolution_lanes_avx512.hpp"

namespace whs {
namespace {

struct Lanes : Lanes512 {
    static Sums multiply_add(Sums sums, Words words, Words weight) { return _mm512_dpbusd_epi32(sums, words, weight); }
};

} // namespace

ConvolutionKernels avx512_vnni_kernels() {
    return {.four = &convolve<WordBlock<Lanes, 4, 6>, WordBlock<Lanes, 4, 2>>,
            .eight = &convolve<WordBlock<Lanes, 8, 3>, WordBlock<Lanes, 8, 1>>,
            .twelve = &convolve<WordBlock<Lanes, 12, 2>, WordBlock<Lanes, 12, 1>>};
}

} // namespace whs
