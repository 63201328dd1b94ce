// What compilers call differently.
#pragma once

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define WHS_INLINE __forceinline
#define WHS_NOINLINE __declspec(noinline)
#define WHS_INLINE_LAMBDA [[msvc::forceinline]]
#else
#define WHS_INLINE inline __attribute__((always_inline))
#define WHS_NOINLINE __attribute__((noinline))
#define WHS_INLINE_LAMBDA __attribute__((always_inline))
#endif

namespace whs {

// Asks for a line of memory ahead of its use.
inline void prefetch([[maybe_unused]] const void* address) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(address);
#elif defined(_M_X64)
    _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T0);
#endif
}

} // namespace whs
