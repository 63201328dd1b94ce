// Resampling by any map, finite or not: nothing beyond the volumes, and one thread and several give the same.
#include "../resample.hpp"
#include "fuzzing.hpp"

#include <stdexcept>

using namespace whs;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    FuzzedDataProvider data(bytes, size);
    const Index3 from = fuzz::extents(data, 9), to = fuzz::extents(data, 20);
    const std::vector<double> rows = fuzz::affine_rows(data);
    Sampling sampling{};
    for (std::int64_t& samples : sampling.samples)
        samples = data.ConsumeIntegralInRange<std::int64_t>(0, data.ConsumeBool() ? 3 : 9);
    sampling.first_slice = data.ConsumeBool() ? data.ConsumeIntegral<std::int64_t>() : 0;
    sampling.fill = data.ConsumeBool() ? data.ConsumeIntegral<int>() : -1024;
    const double low = fuzz::number(data), high = fuzz::number(data);
    std::vector<std::int16_t> source = fuzz::values<std::int16_t>(data, fuzz::product(from));
    std::vector<std::uint8_t> labels = fuzz::values<std::uint8_t>(data, fuzz::product(from));

    std::vector<std::int16_t> linear[2];
    std::vector<std::uint8_t> window[2], nearest[2];
    for (int i = 0; i < 2; ++i) {
        const int threads = i == 0 ? 1 : 3;
        linear[i].resize(static_cast<std::size_t>(fuzz::product(to)));
        window[i].resize(linear[i].size());
        nearest[i].resize(linear[i].size());
        try {
            sampling.out_to_source = make_affine(rows.data());
            resample_nearest(fuzz::view(labels, from), fuzz::view(nearest[i], to), sampling.out_to_source, 7,
                             {0, 1.5, 3}, threads);
            resample_linear(fuzz::view(source, from), fuzz::view(linear[i], to), sampling, threads);
            resample_window(fuzz::view(source, from), fuzz::view(window[i], to), sampling, low, high, threads);
        } catch (const std::invalid_argument&) {
        }
    }
    fuzz::must(linear[0] == linear[1] && window[0] == window[1] && nearest[0] == nearest[1]);
    return 0;
}
