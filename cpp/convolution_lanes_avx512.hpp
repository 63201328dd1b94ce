// What the two sets of instructions with 512-bit vectors share: sixteen lanes, thirty-two registers.
#pragma once

#include <cstdint>

#include <immintrin.h>

namespace whs {
namespace {

struct Lanes512 {
    static constexpr int width = 16;
    using Sums = __m512i;
    using Words = __m512i;

    static Sums fill(std::int32_t value) { return _mm512_set1_epi32(value); }
    static Words load(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
    static Words broadcast(std::int32_t word) { return fill(word); }
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
} // namespace whs
