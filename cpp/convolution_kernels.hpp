// The kernels of each set of instructions, by the number of outputs that one pass makes.
#pragma once

#include <cstdint>

namespace whs {

using ConvolutionKernel = void (*)(const std::int32_t* weights, std::int64_t taps, const std::uint8_t* const* tap,
                                   const std::uint8_t* share, std::int64_t first, std::int64_t last, const float* scale,
                                   const float* bias, std::uint8_t* const* out);

struct ConvolutionKernels {
    ConvolutionKernel four, eight, twelve;
};

ConvolutionKernels portable_kernels();
ConvolutionKernels avx2_kernels();
ConvolutionKernels avx_vnni_kernels();
ConvolutionKernels avx512_vnni_kernels();

bool supports_avx_vnni();

} // namespace whs
