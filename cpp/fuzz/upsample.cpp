// Labels from logits by any map: nothing beyond the volumes, only classes that there are, and one thread and several
// give the same.
#include "../upsample.hpp"
#include "fuzzing.hpp"

#include <algorithm>
#include <stdexcept>

using namespace whs;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    FuzzedDataProvider data(bytes, size);
    const Index3 from = fuzz::extents(data, 8), to = fuzz::extents(data, 24);
    const std::vector<double> rows = fuzz::affine_rows(data);
    const std::int64_t classes = data.ConsumeIntegralInRange<std::int64_t>(0, data.ConsumeBool() ? 12 : 256);
    const std::vector<std::int8_t> logits = fuzz::values<std::int8_t>(data, fuzz::product(from) * classes);

    std::vector<std::uint8_t> labels[2];
    for (int i = 0; i < 2; ++i) {
        labels[i].resize(static_cast<std::size_t>(fuzz::product(to)));
        try {
            upsample_argmax({logits.data(), from[0], from[1], from[2], classes}, fuzz::view(labels[i], to),
                            make_affine(rows.data()), i == 0 ? 1 : 3);
        } catch (const std::invalid_argument&) {
        }
        fuzz::must(std::ranges::all_of(labels[i], [&](std::uint8_t label) { return label < std::max(classes, 1L); }));
    }
    fuzz::must(labels[0] == labels[1]);
    return 0;
}
