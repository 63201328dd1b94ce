// AVX2: products of 16-bit pairs. The products of bytes that it has saturate at 16 bits, so their sums are not exact.
#include "convolution_kernels.hpp"

#include "convolution_kernel.hpp"
#include "convolution_lanes_avx2.hpp"

namespace whs {
namespace {

struct Lanes : Lanes256 {
    static constexpr int weight_words = 2;
    struct Words {
        __m256i even, odd;
    };
    struct Weight {
        __m256i even, odd;
    };

    static Words load(const std::uint8_t* p) {
        const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return {_mm256_and_si256(words, _mm256_set1_epi16(255)), _mm256_srli_epi16(words, 8)};
    }
    static Weight broadcast(const std::int32_t* w) { return {_mm256_set1_epi32(w[0]), _mm256_set1_epi32(w[1])}; }
    static Sums multiply_add(Sums sums, const Words& words, const Weight& weight) {
        return _mm256_add_epi32(sums, _mm256_add_epi32(_mm256_madd_epi16(words.even, weight.even),
                                                       _mm256_madd_epi16(words.odd, weight.odd)));
    }
};

} // namespace

ConvolutionKernels avx2_kernels() { return {&convolve<Lanes, 4, 2>, &convolve<Lanes, 8, 1>, &convolve<Lanes, 12, 1>}; }

} // namespace whs
