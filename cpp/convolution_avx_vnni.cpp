// AVX-VNNI: the exact sums of bytes on processors that have no AVX-512.
#include "convolution_kernel.hpp"
#include "convolution_lanes_avx2.hpp"

namespace whs {
namespace {

struct Lanes : Lanes256 {
    static Sums multiply_add(Sums sums, Words words, Words weight) {
        return _mm256_dpbusd_avx_epi32(sums, words, weight);
    }
};

} // namespace

ConvolutionKernels avx_vnni_kernels() {
    return {.four = &convolve<WordBlock<Lanes, 4, 3>>,
            .eight = &convolve<WordBlock<Lanes, 8, 1>>,
            .twelve = &convolve<WordBlock<Lanes, 12, 1>>};
}

} // namespace whs
