// What the two sets of instructions with 256-bit vectors share: eight lanes, sixteen registers.
#pragma once

#include <cstdint>

#include <immintrin.h>

namespace whs {
namespace {

struct Lanes256 {
    static constexpr int width = 8;
    using Sums = __m256i;

    static Sums zero() { return _mm256_setzero_si256(); }
    static __m256i rescale(Sums sums, float scale, float bias) {
        const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_set1_ps(scale));
        const __m256 shifted = _mm256_add_ps(scaled, _mm256_set1_ps(bias));
        return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(shifted, _mm256_setzero_ps()), _mm256_set1_ps(255.0F)));
    }
    static void store(std::uint8_t* to, Sums a, Sums b, Sums c, Sums d, const float* scale, const float* bias) {
        const __m256i low =
            _mm256_or_si256(rescale(a, scale[0], bias[0]), _mm256_slli_epi32(rescale(b, scale[1], bias[1]), 8));
        const __m256i high = _mm256_or_si256(_mm256_slli_epi32(rescale(c, scale[2], bias[2]), 16),
                                             _mm256_slli_epi32(rescale(d, scale[3], bias[3]), 24));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_or_si256(low, high));
    }
};

} // namespace
} // namespace whs
