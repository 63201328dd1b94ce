// AVX-512 without VNNI: bytes in pairs of taps.
#include "convolution_kernel.hpp"
#include "convolution_lanes_avx512.hpp"

namespace whs {
namespace {

struct Lanes : Lanes512 {
    static Sums multiply_add(Sums sums, Words a, Words for_a, Words b, Words for_b) {
        const __m512i both = _mm512_add_epi16(_mm512_maddubs_epi16(a, for_a), _mm512_maddubs_epi16(b, for_b));
        return _mm512_add_epi32(sums, _mm512_madd_epi16(both, _mm512_set1_epi16(1)));
    }
};

} // namespace

ConvolutionKernels avx512_kernels() { return {.four = &convolve<PairBlock<Lanes, 2>>, .in_pairs = true}; }

} // namespace whs
