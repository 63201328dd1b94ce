#include "cpu.hpp"

#include <cstddef>
#include <cstdint>

#if defined(WHS_X86) && defined(_MSC_VER)
#include <intrin.h>
#elif defined(WHS_X86)
#include <cpuid.h>
#elif defined(WHS_NEON) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(WHS_NEON) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace whs {

#if defined(WHS_X86)
namespace {

struct Registers {
    std::uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(std::uint32_t leaf, std::uint32_t part) {
    Registers found;
#ifdef _MSC_VER
    int values[4];
    __cpuid(values, 0);
    if (leaf <= static_cast<std::uint32_t>(values[0])) {
        __cpuidex(values, static_cast<int>(leaf), static_cast<int>(part));
        found = {static_cast<std::uint32_t>(values[0]), static_cast<std::uint32_t>(values[1]),
                 static_cast<std::uint32_t>(values[2]), static_cast<std::uint32_t>(values[3])};
    }
#else
    __get_cpuid_count(leaf, part, &found.a, &found.b, &found.c, &found.d);
#endif
    return found;
}

// Whether the system keeps all these parts of the registers when it changes threads.
bool system_keeps(std::uint32_t parts) {
    constexpr int osxsave = 27;
    if ((cpuid(1, 0).c >> osxsave & 1) == 0)
        return false;
#ifdef _MSC_VER
    const auto kept = static_cast<std::uint32_t>(_xgetbv(0));
#else
    std::uint32_t kept, high;
    __asm__("xgetbv" : "=a"(kept), "=d"(high) : "c"(0));
#endif
    return (kept & parts) == parts;
}

} // namespace

bool machine_has(Instructions instructions) {
    constexpr std::uint32_t ymm = 0x06, zmm = 0xE6;
    const std::uint32_t first = cpuid(1, 0).c, second = cpuid(7, 0).b, third = cpuid(7, 0).c, fourth = cpuid(7, 1).a;
    const bool avx2 = (second >> 5 & 1) != 0 && system_keeps(ymm);
    const bool avx512 = (second >> 16 & second >> 30 & second >> 31 & 1) != 0 && system_keeps(zmm); // F, BW, VL
    switch (instructions) {
    case Instructions::avx512_vnni:
        return avx512 && (third >> 11 & 1) != 0;
    case Instructions::avx_vnni:
        return avx2 && (fourth >> 4 & 1) != 0;
    case Instructions::avx512:
        return avx512;
    case Instructions::avx2:
        return avx2;
    case Instructions::ssse3:
        return (first >> 9 & 1) != 0;
    default:
        return instructions == Instructions::portable;
    }
}
#elif defined(WHS_NEON)
bool machine_has(Instructions instructions) {
#if defined(__linux__)
    const bool dot = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0, i8mm = (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#elif defined(__APPLE__)
    const auto has = [](const char* name) {
        int value = 0;
        std::size_t size = sizeof value;
        return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
    };
    const bool dot = has("hw.optional.arm.FEAT_DotProd"), i8mm = has("hw.optional.arm.FEAT_I8MM");
#else
    const bool dot = false, i8mm = false;
#endif
    return instructions == Instructions::portable || (instructions == Instructions::neon_dot && dot) ||
           (instructions == Instructions::neon_i8mm && i8mm);
}
#else
bool machine_has(Instructions instructions) { return instructions == Instructions::portable; }
#endif

} // namespace whs
