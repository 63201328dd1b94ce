// AVX2: bytes in pairs of taps.
#include "convolution_kernel.hpp"
#include "convolution_lanes_avx2.hpp"

namespace whs {
namespace {

struct Lanes : Lanes256 {
    static Sums multiply_add(Sums sums, Words a, Words for_a, Words b, Words for_b) {
        const __m256i both = _mm256_add_epi16(_mm256_maddubs_epi16(a, for_a), _mm256_maddubs_epi16(b, for_b));
        return _mm256_add_epi32(sums, _mm256_madd_epi16(both, _mm256_set1_epi16(1)));
    }
};

} // namespace

ConvolutionKernels avx2_kernels() { return {.four = &convolve<PairBlock<Lanes, 2>>, .in_pairs = true}; }

} // namespace whs
