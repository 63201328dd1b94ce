// AVX-512 with VNNI: sixteen lanes, thirty-two registers.
#include "convolution_kernels.hpp"

#include "convolution_kernel.hpp"

#include <immintrin.h>

namespace whs {
namespace {

struct Lanes {
    static constexpr int width = 16, weight_words = 1;
    using Sums = __m512i;
    using Words = __m512i;
    using Weight = __m512i;

    static Sums zero() { return _mm512_setzero_si512(); }
    static Words load(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
    static Weight broadcast(const std::int32_t* w) { return _mm512_set1_epi32(*w); }
    static Sums multiply_add(Sums sums, Words words, Weight weight) { return _mm512_dpbusd_epi32(sums, words, weight); }
    static __m512i rescale(Sums sums, float scale, float bias) {
        const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_set1_ps(scale));
        const __m512 shifted = _mm512_add_ps(scaled, _mm512_set1_ps(bias));
        return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(shifted, _mm512_setzero_ps()), _mm512_set1_ps(255.0F)));
    }
    static void store(std::uint8_t* to, Sums a, Sums b, Sums c, Sums d, const float* scale, const float* bias) {
        const __m512i low =
            _mm512_or_si512(rescale(a, scale[0], bias[0]), _mm512_slli_epi32(rescale(b, scale[1], bias[1]), 8));
        const __m512i high = _mm512_or_si512(_mm512_slli_epi32(rescale(c, scale[2], bias[2]), 16),
                                             _mm512_slli_epi32(rescale(d, scale[3], bias[3]), 24));
        _mm512_storeu_si512(to, _mm512_or_si512(low, high));
    }
};

} // namespace

ConvolutionKernels avx512_vnni_kernels() {
    return {&convolve<Lanes, 4, 6>, &convolve<Lanes, 8, 3>, &convolve<Lanes, 12, 2>};
}

} // namespace whs
