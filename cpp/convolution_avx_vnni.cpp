// AVX-VNNI: the exact products of bytes on processors that have no AVX-512.
#include "convolution_kernels.hpp"

#include "convolution_kernel.hpp"
#include "convolution_lanes_avx2.hpp"

#include <cpuid.h>

namespace whs {
namespace {

struct Lanes : Lanes256 {
    static constexpr int weight_words = 1;
    using Words = __m256i;
    using Weight = __m256i;

    static Words load(const std::uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
    static Weight broadcast(const std::int32_t* w) { return _mm256_set1_epi32(*w); }
    static Sums multiply_add(Sums sums, Words words, Weight weight) {
        return _mm256_dpbusd_avx_epi32(sums, words, weight);
    }
};

} // namespace

ConvolutionKernels avx_vnni_kernels() {
    return {&convolve<Lanes, 4, 3>, &convolve<Lanes, 8, 1>, &convolve<Lanes, 12, 1>};
}

// Compilers ask for this one by different names, or not at all.
bool supports_avx_vnni() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 4)) != 0;
}

} // namespace whs
