// What the fuzz targets share: volumes of a size that the fuzzer chooses, filled with what it gives, and no byte more.
#pragma once

#include "../affine.hpp"
#include "../views.hpp"

#include <fuzzer/FuzzedDataProvider.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

namespace whs::fuzz {

// Ends the process where something that must hold does not; the fuzzer keeps the input.
inline void must(bool holds) {
    if (!holds)
        std::abort();
}

// Each extent 0 to most, seldom 0. (Where the fuzzer gives no more, what it is asked for is the least.)
inline Index3 extents(FuzzedDataProvider& data, std::int64_t most) {
    Index3 chosen{};
    for (std::int64_t& extent : chosen)
        extent = data.ConsumeIntegralInRange<std::int64_t>(0, 31) == 31
                     ? 0
                     : data.ConsumeIntegralInRange<std::int64_t>(1, most);
    return chosen;
}

// Values of the fuzzer, repeated where it gives too few. The memory holds them alone, so that a sanitizer sees what
// reads beyond.
template <class T>
std::vector<T> values(FuzzedDataProvider& data, std::int64_t count) {
    std::vector<T> made(static_cast<std::size_t>(count));
    const auto bytes = data.ConsumeBytes<std::uint8_t>(made.size() * sizeof(T));
    auto* target = reinterpret_cast<std::uint8_t*>(made.data());
    for (std::size_t at = 0; at < made.size() * sizeof(T) && !bytes.empty(); at += bytes.size())
        std::memcpy(target + at, bytes.data(), std::min(bytes.size(), made.size() * sizeof(T) - at));
    return made;
}

// A number that is small, whole, or anything that a double can be.
inline double number(FuzzedDataProvider& data) {
    switch (data.ConsumeIntegralInRange(0, 3)) {
    case 0:
        return data.ConsumeFloatingPoint<double>();
    case 1:
        return data.ConsumeIntegralInRange(-3, 3);
    case 2:
        return data.ConsumeIntegralInRange(-9, 9) / 4.0;
    default:
        return data.ConsumeFloatingPointInRange(-20.0, 20.0);
    }
}

// 3 x 4 numbers, half of the time those of a scaled permutation.
inline std::vector<double> affine_rows(FuzzedDataProvider& data) {
    std::vector<double> rows(12);
    for (double& entry : rows)
        entry = number(data);
    if (data.ConsumeBool()) {
        const int first = data.ConsumeIntegralInRange(0, 2);
        for (int row = 0; row < 3; ++row)
            for (int column = 0; column < 3; ++column)
                if (column != (row + first) % 3)
                    rows[static_cast<std::size_t>(4 * row + column)] = 0;
    }
    return rows;
}

template <class T>
View3<T> view(std::vector<T>& values, const Index3& extent) {
    return {values.data(), extent[0], extent[1], extent[2]};
}

inline std::int64_t product(const Index3& extent) { return extent[0] * extent[1] * extent[2]; }

} // namespace whs::fuzz
