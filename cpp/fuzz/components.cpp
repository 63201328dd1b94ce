// Components, the parts that stay, holes, thin parts and statistics: nothing is read or written beyond the volumes, one
// thread and several give the same, and the numbers of components mean what they should.
#include "../components.hpp"
#include "../statistics.hpp"
#include "../thinning.hpp"
#include "fuzzing.hpp"

#include <stdexcept>

using namespace whs;

namespace {

void check_numbers(const std::vector<std::uint8_t>& labels, const std::vector<std::uint32_t>& out, std::int64_t count) {
    std::uint32_t seen = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        fuzz::must((labels[i] == 0) == (out[i] == 0));
        fuzz::must(out[i] <= seen + 1); // numbered in the order of their first voxels
        seen = std::max(seen, out[i]);
    }
    fuzz::must(seen == count);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    FuzzedDataProvider data(bytes, size);
    const Index3 extent = fuzz::extents(data, 12);
    const int connectivity = data.PickValueInArray({6, 18, 26, 0, 7}), label = data.ConsumeIntegralInRange(-1, 300);
    std::vector<PartRule> rules(data.ConsumeIntegralInRange<std::size_t>(0, 12));
    for (PartRule& rule : rules)
        for (std::int64_t* field : {&rule.parts, &rule.least_voxels, &rule.attached_to})
            *field = data.ConsumeBool() ? data.ConsumeIntegralInRange<std::int64_t>(-1, 12)
                                        : data.ConsumeIntegral<std::int64_t>();
    const std::int64_t label_count = data.ConsumeIntegralInRange<std::int64_t>(-1, 300);
    Box box;
    for (Range* range : {&box.planes, &box.rows, &box.columns})
        *range = {data.ConsumeIntegralInRange<std::int64_t>(-1, 12), data.ConsumeIntegralInRange<std::int64_t>(-1, 12)};
    Index3 reach{}, keep{};
    for (std::size_t axis = 0; axis < 3; ++axis) {
        reach[axis] = data.ConsumeIntegralInRange<std::int64_t>(-1, 14);
        keep[axis] = data.ConsumeIntegralInRange<std::int64_t>(-1, 14);
    }
    const int classes = data.ConsumeIntegralInRange(1, 256);
    std::vector<std::uint8_t> labels = fuzz::values<std::uint8_t>(data, fuzz::product(extent));
    for (std::uint8_t& value : labels)
        value = static_cast<std::uint8_t>(value % classes);

    std::vector<std::uint8_t> kept[2], filled[2], thinned[2];
    std::vector<std::uint32_t> numbered[2];
    std::int64_t counts[2][4] = {};
    for (int i = 0; i < 2; ++i) {
        const int threads = i == 0 ? 1 : 3;
        kept[i] = filled[i] = thinned[i] = labels;
        numbered[i].resize(labels.size());
        try {
            counts[i][0] = connected_components(fuzz::view(labels, extent), fuzz::view(numbered[i], extent),
                                                connectivity, threads);
            check_numbers(labels, numbered[i], counts[i][0]);
        } catch (const std::invalid_argument&) {
        }
        try {
            counts[i][1] = keep_parts(fuzz::view(kept[i], extent), rules, threads);
        } catch (const std::invalid_argument&) {
            fuzz::must(kept[i] == labels);
        }
        try {
            counts[i][2] = fill_holes(fuzz::view(filled[i], extent), label, connectivity, threads);
        } catch (const std::invalid_argument&) {
            fuzz::must(filled[i] == labels);
        }
        try {
            counts[i][3] = remove_thin(fuzz::view(thinned[i], extent), label, box, reach, keep, threads);
        } catch (const std::invalid_argument&) {
            fuzz::must(thinned[i] == labels);
        }
        try {
            label_statistics(fuzz::view(labels, extent), label_count, threads);
        } catch (const std::invalid_argument&) {
        }
    }
    fuzz::must(numbered[0] == numbered[1] && kept[0] == kept[1] && filled[0] == filled[1] && thinned[0] == thinned[1]);
    fuzz::must(std::memcmp(counts[0], counts[1], sizeof counts[0]) == 0);
    return 0;
}
