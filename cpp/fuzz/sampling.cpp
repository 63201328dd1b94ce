// Values at any points, paths of any cost and depths of any mask: nothing beyond the arrays, paths within their tables.
#include "../sampling.hpp"
#include "../depths.hpp"
#include "../paths.hpp"
#include "fuzzing.hpp"

#include <algorithm>
#include <stdexcept>

using namespace whs;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    FuzzedDataProvider data(bytes, size);
    const Index3 extent = fuzz::extents(data, 9);
    const auto voxels = static_cast<std::size_t>(fuzz::product(extent));
    const std::vector<double> rows = fuzz::affine_rows(data);
    std::vector<double> points(static_cast<std::size_t>(3 * data.ConsumeIntegralInRange(0, 20)));
    std::generate(points.begin(), points.end(), [&] { return fuzz::number(data); });
    const Index3 start{data.ConsumeIntegralInRange(-1, 9), data.ConsumeIntegralInRange(-1, 9),
                       data.ConsumeIntegralInRange(-1, 9)};
    const std::int64_t circle = data.ConsumeIntegralInRange(0, 12), places = data.ConsumeIntegralInRange(0, 9);
    std::vector<double> bend(data.ConsumeIntegralInRange<std::size_t>(0, 9));
    std::generate(bend.begin(), bend.end(), [&] { return fuzz::number(data); });
    std::vector<double> table(static_cast<std::size_t>(circle * places));
    std::generate(table.begin(), table.end(), [&] { return fuzz::number(data); });
    std::vector<std::int16_t> source = fuzz::values<std::int16_t>(data, fuzz::product(extent));

    std::vector<float> smoothed[2] = {std::vector<float>(voxels), std::vector<float>(voxels)};
    for (int i = 0; i < 2; ++i)
        smooth(fuzz::view(source, extent), fuzz::view(smoothed[i], extent), i == 0 ? 1 : 3);
    fuzz::must(smoothed[0] == smoothed[1]);
    std::vector<std::uint8_t> mask(voxels);
    std::transform(source.begin(), source.end(), mask.begin(), [](int hu) { return hu > 0; });
    std::vector<std::int32_t> depths(voxels);
    squared_depths(fuzz::view(mask, extent), fuzz::view(depths, extent));
    std::vector<float> linear(points.size() / 3);
    std::vector<std::uint8_t> nearest(linear.size());
    try {
        const Affine map = make_affine(rows.data());
        sample_linear(fuzz::view(smoothed[0], extent), points, map, linear.data());
        sample_nearest(fuzz::view(mask, extent), points, map, 7, nearest.data());
        sample_nearest(fuzz::view(mask, extent), points, map, std::nullopt, nearest.data());
    } catch (const std::invalid_argument&) {
    }
    std::vector<double> cost(depths.begin(), depths.end()), total(voxels);
    std::vector<std::int64_t> before(voxels);
    try {
        cheapest_ways(fuzz::view(cost, extent), start, fuzz::view(total, extent), fuzz::view(before, extent));
    } catch (const std::invalid_argument&) {
    }
    std::vector<std::int64_t> path(static_cast<std::size_t>(circle));
    try {
        cheapest_cycle(table, circle, places, bend, path.data());
        fuzz::must(std::all_of(path.begin(), path.end(), [&](std::int64_t p) { return p >= 0 && p < places; }));
    } catch (const std::invalid_argument&) {
    }
    return 0;
}
