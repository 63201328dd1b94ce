// AVX-512 without VNNI: bytes in bundles of taps.
#include "convolution_kernel.hpp"
#include "convolution_lanes_avx512.hpp"

namespace whs {
namespace {

struct Lanes : Lanes512 {
    static Words multiply(Words words, Words weight) { return _mm512_maddubs_epi16(words, weight); }
    static Words add(Words a, Words b) { return _mm512_add_epi16(a, b); }
    static Sums widen_add(Sums sums, Words met) {
        return _mm512_add_epi32(sums, _mm512_madd_epi16(met, _mm512_set1_epi16(1)));
    }
};

} // namespace

ConvolutionKernels avx512_kernels() {
    return {.four = &convolve<BundleBlock<Lanes, 2>, BundleBlock<Lanes, 1>>, .in_bundles = true};
}

} // namespace whs
