// SSSE3: bytes in bundles of taps, on every x86-64 processor since 2011 and most before.
#include "convolution_kernel.hpp"

#include <tmmintrin.h>

namespace whs {
namespace {

struct Lanes {
    static constexpr int width = 4;
    using Sums = __m128i;
    using Words = __m128i;

    static Sums fill(std::int32_t value) { return _mm_set1_epi32(value); }
    static Words load(const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
    static Words broadcast(std::int32_t word) { return fill(word); }
    static Words multiply(Words words, Words weight) { return _mm_maddubs_epi16(words, weight); }
    static Words add(Words a, Words b) { return _mm_add_epi16(a, b); }
    static Sums widen_add(Sums sums, Words met) { return _mm_add_epi32(sums, _mm_madd_epi16(met, _mm_set1_epi16(1))); }
    static __m128i rescale(Sums sums, float scale, float bias) {
        const __m128 scaled = _mm_mul_ps(_mm_cvtepi32_ps(sums), _mm_set1_ps(scale));
        const __m128 shifted = _mm_add_ps(scaled, _mm_set1_ps(bias));
        return _mm_cvtps_epi32(_mm_min_ps(_mm_max_ps(shifted, _mm_setzero_ps()), _mm_set1_ps(255.0F)));
    }
    static void store(std::uint8_t* to, Sums a, Sums b, Sums c, Sums d, const float* scale, const float* bias) {
        const __m128i low =
            _mm_or_si128(rescale(a, scale[0], bias[0]), _mm_slli_epi32(rescale(b, scale[1], bias[1]), 8));
        const __m128i high = _mm_or_si128(_mm_slli_epi32(rescale(c, scale[2], bias[2]), 16),
                                          _mm_slli_epi32(rescale(d, scale[3], bias[3]), 24));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_or_si128(low, high));
    }
};

} // namespace

ConvolutionKernels ssse3_kernels() {
    return {.four = &convolve<BundleBlock<Lanes, 2>, BundleBlock<Lanes, 1>>, .in_bundles = true};
}

} // namespace whs
