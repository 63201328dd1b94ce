// The kernels of each set of instructions.
#pragma once

#include <cstdint>

namespace whs {

// One pass of a convolution, over all its taps, that makes some of the outputs.
struct ConvolutionPass {
    const std::int32_t* weights;
    std::int64_t taps;
    const std::uint8_t* const* tap; // where its words lie at lane 0
    const std::uint8_t* sizes;      // of taps in bundles, how many each has
    std::int64_t bundles;
    const std::uint8_t* share; // of each tap, which third of the words of the next block it asks the memory for
    const std::int32_t* start; // of each output, where its sums begin
    const float *scale, *bias;
    std::uint8_t* const* out; // of each group of four outputs, lane 0
};

// Makes the lanes [first, last).
using ConvolutionKernel = void (*)(const ConvolutionPass& pass, std::int64_t first, std::int64_t last);

struct ConvolutionKernels {
    ConvolutionKernel four;                              // by the outputs of a pass
    ConvolutionKernel eight = nullptr, twelve = nullptr; // where passes of four are not the best
    bool in_bundles = false; // whether taps come in bundles whose sums 16 bits hold (bundling.hpp)
    int less = 0;            // what features are taken less
};

ConvolutionKernels portable_kernels();
ConvolutionKernels ssse3_kernels();
ConvolutionKernels avx2_kernels();
ConvolutionKernels avx_vnni_kernels();
ConvolutionKernels avx512_kernels();
ConvolutionKernels avx512_vnni_kernels();
ConvolutionKernels neon_dot_kernels();
ConvolutionKernels neon_i8mm_kernels();

} // namespace whs
