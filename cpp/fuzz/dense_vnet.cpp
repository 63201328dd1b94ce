// Networks whose layers do and do not follow from one another: what the checks let through runs within its memory, and
// gives the same whatever the threads, the planes a step and the instructions.
#include "../dense_vnet.hpp"
#include "fuzzing.hpp"

#include <deque>
#include <stdexcept>

using namespace whs;

namespace {

// As large as a small network needs, now and then another number.
std::int64_t about(FuzzedDataProvider& data, std::int64_t right, std::int64_t most) {
    return data.ConsumeIntegralInRange(0, 39) == 39 ? data.ConsumeIntegralInRange<std::int64_t>(0, most) : right;
}

class Maker {
  public:
    explicit Maker(FuzzedDataProvider& data) : data_(data) {}

    QuantisedLayer layer(std::int64_t inputs, std::int64_t outputs, std::int64_t side = 3) {
        const std::int64_t in = about(data_, inputs, 24), out = about(data_, outputs, 70);
        const Index3 taps{about(data_, side, 6), about(data_, side, 6), about(data_, side, 6)};
        weights_.push_back(fuzz::values<std::int8_t>(data_, out * in * fuzz::product(taps)));
        QuantisedLayer made{weights_.back().data(), out, in, taps, {}, {}, 0};
        made.scale = floats(about(data_, out, 70));
        made.bias = floats(about(data_, out, 70));
        made.zero = static_cast<std::uint8_t>(about(data_, 0, 255));
        return made;
    }

    std::int64_t width() { return 4 * data_.ConsumeIntegralInRange<std::int64_t>(1, 3); }

  private:
    std::vector<float> floats(std::int64_t count) {
        std::vector<float> made(static_cast<std::size_t>(count));
        for (float& value : made)
            value = static_cast<float>(fuzz::number(data_));
        return made;
    }

    FuzzedDataProvider& data_;
    std::deque<std::vector<std::int8_t>> weights_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    FuzzedDataProvider data(bytes, size);
    Maker make(data);
    QuantisedDenseVNet network;
    network.pool = {static_cast<float>(fuzz::number(data)), static_cast<float>(fuzz::number(data)),
                    data.ConsumeIntegral<std::uint8_t>()};
    const std::int64_t levels = about(data, data.ConsumeIntegralInRange<std::int64_t>(1, 3), 4);
    std::int64_t channels = make.width(), joined = 1;
    network.entry = make.layer(1, channels, 5);
    for (std::int64_t level = 0; level < levels; ++level) {
        QuantisedStack stack;
        for (std::int64_t count = about(data, data.ConsumeIntegralInRange<std::int64_t>(1, 2), 2); count > 0; --count) {
            const std::int64_t growth = make.width();
            stack.push_back(make.layer(channels, growth));
            channels += growth;
        }
        network.stacks.push_back(stack);
        const std::int64_t skip = make.width();
        network.skips.push_back(make.layer(channels, skip));
        joined += skip;
        if (level + 1 < levels) {
            const std::int64_t next = make.width();
            network.downs.push_back(make.layer(channels, next));
            channels = next;
        }
    }
    const std::int64_t classes = data.ConsumeIntegralInRange<std::int64_t>(1, 11);
    network.last = make.layer(joined, classes);

    Index3 extent{};
    for (std::int64_t& side : extent)
        side = about(data, 8 * data.ConsumeIntegralInRange<std::int64_t>(1, 2), 20);
    const Index3 half{about(data, extent[0] / 2, 10), about(data, extent[1] / 2, 10), about(data, extent[2] / 2, 10)};
    const std::int64_t given = about(data, classes, 70), planes = about(data, 2, 5);
    const int threads = data.ConsumeIntegralInRange(0, 3);
    const auto range = [&data](std::int64_t n) {
        const std::int64_t first = data.ConsumeIntegralInRange<std::int64_t>(-1, n);
        return Range{first, data.ConsumeIntegralInRange<std::int64_t>(first - 1, n + 1)};
    };
    const Box wanted{range(half[0]), range(half[1]), range(half[2])};
    std::vector<std::uint8_t> region = fuzz::values<std::uint8_t>(data, fuzz::product(extent));

    std::vector<std::int8_t> logits[2];
    bool done[2] = {};
    for (int i = 0; i < 2; ++i) {
        logits[i].resize(static_cast<std::size_t>(fuzz::product(half) * given));
        const View4<std::int8_t> out{logits[i].data(), half[0], half[1], half[2], given};
        const std::string instructions = i == 0 ? "portable" : instruction_sets().front();
        try {
            const DenseVNet packed(network, instructions_named(instructions));
            packed.run(fuzz::view(region, extent), out, wanted, i == 0 ? planes : 2 * planes, i == 0 ? 1 : threads,
                       [](double) {});
            done[i] = true;
        } catch (const std::invalid_argument&) {
        }
    }
    fuzz::must(!(done[0] && done[1]) || logits[0] == logits[1]);
    return 0;
}
