// What the two sets of 64-bit ARM instructions with sums of bytes share: four lanes, thirty-two registers.
#pragma once

#include <cstdint>

#include <arm_neon.h>

namespace whs {
namespace {

struct LanesNeon {
    static constexpr int width = 4;
    using Sums = int32x4_t;

    static Sums fill(std::int32_t value) { return vdupq_n_s32(value); }
    static int32x4_t rescale(Sums sums, float scale, float bias) {
        const float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(sums), vdupq_n_f32(scale));
        const float32x4_t shifted = vaddq_f32(scaled, vdupq_n_f32(bias));
        return vcvtnq_s32_f32(vminq_f32(vmaxq_f32(shifted, vdupq_n_f32(0.0F)), vdupq_n_f32(255.0F)));
    }
    static void store(std::uint8_t* to, Sums a, Sums b, Sums c, Sums d, const float* scale, const float* bias) {
        const int32x4_t low = vorrq_s32(rescale(a, scale[0], bias[0]), vshlq_n_s32(rescale(b, scale[1], bias[1]), 8));
        const int32x4_t high =
            vorrq_s32(vshlq_n_s32(rescale(c, scale[2], bias[2]), 16), vshlq_n_s32(rescale(d, scale[3], bias[3]), 24));
        vst1q_u8(to, vreinterpretq_u8_s32(vorrq_s32(low, high)));
    }
};

} // namespace
} // namespace whs
