// Dense V-Net (Gibson et al., IEEE Trans Med Imaging 2018, doi 10.1109/TMI.2018.2806309) as a flow of planes along z.
//
// A tensor needs only the planes between its producer and its slowest reader (flow.cpp); only the skips, which wait for
// the coarsest stack, are held whole. The result is that of the whole volume by construction: no plane is made twice,
// no tile has a halo.
#include "dense_vnet.hpp"

#include "parallel.hpp"
#include "stages.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <stdexcept>
#include <string>

namespace whs {
namespace {

void require(bool holds, const std::string& what) {
    if (!holds)
        throw std::invalid_argument("dense_vnet: " + what);
}

bool finite(const std::vector<float>& values) {
    return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

void check_layer(const QuantisedLayer& layer, const std::string& name, std::int64_t inputs, std::int64_t side = 3) {
    require(layer.inputs == inputs,
            name + " has " + std::to_string(layer.inputs) + " inputs, must have " + std::to_string(inputs));
    require(layer.taps == Index3{side, side, side}, name + " must have " + std::to_string(side) + " taps an axis");
    const auto outputs = static_cast<std::size_t>(layer.outputs);
    require(layer.scale.size() == outputs && layer.bias.size() == outputs,
            name + " must have a scale and a bias an output");
    require(finite(layer.scale) && finite(layer.bias), name + " has a scale or a bias that is not finite");
}

void check_width(const QuantisedLayer& layer, const std::string& name) {
    require(layer.outputs > 0 && layer.outputs % 4 == 0 && layer.outputs <= kMostOutputs,
            name + " has " + std::to_string(layer.outputs) + " outputs, must have a multiple of 4 up to " +
                std::to_string(kMostOutputs));
}

void check(const QuantisedDenseVNet& network) {
    const std::size_t levels = network.stacks.size();
    require(levels > 0 && levels <= 3 && network.skips.size() == levels && network.downs.size() == levels - 1,
            "there must be one to three stacks, a skip from each and a convolution between each two");
    require(finite({network.pool.scale, network.pool.bias}), "the pool has a scale or a bias that is not finite");
    check_layer(network.entry, "entry", 1, 5);
    check_width(network.entry, "entry");
    std::int64_t channels = network.entry.outputs, joined = 1;
    for (std::size_t level = 0; level < levels; ++level) {
        const std::string number = std::to_string(level + 1);
        require(!network.stacks[level].empty(), "a stack has no layer");
        for (const QuantisedLayer& layer : network.stacks[level]) {
            check_layer(layer, "a layer of stack " + number, channels);
            check_width(layer, "a layer of stack " + number);
            require(layer.zero == network.stacks[level].front().zero,
                    "a layer of stack " + number + " has " + std::to_string(layer.zero) +
                        " as the integer for 0, must have " + std::to_string(network.stacks[level].front().zero) +
                        " as the first layer of that stack");
            channels += layer.outputs;
        }
        check_layer(network.skips[level], "skip " + number, channels);
        check_width(network.skips[level], "skip " + number);
        require(level == 0 || network.skips[level].zero == 0, "the integer for 0 of an upsampled skip must be 0");
        joined += network.skips[level].outputs;
        if (level + 1 < levels) {
            check_layer(network.downs[level], "down " + number, channels);
            check_width(network.downs[level], "down " + number);
            channels = network.downs[level].outputs;
        }
    }
    check_layer(network.last, "the last layer", joined);
    require(network.last.outputs > 0 && network.last.outputs <= kMostOutputs, "the last layer has too many outputs");
}

} // namespace

constexpr std::int64_t kAirSide = 64; // of the region of air: level 1 sees 7 voxels far, of 32

struct PackedDenseVNet {
    QuantisedPool pool;
    PackedLayer entry;
    std::vector<PackedStack> stacks;
    std::vector<PackedLayer> skips, downs;
    PackedLayer last;
    mutable std::once_flag asked;
    mutable std::unique_ptr<Stages> of_air;

    PackedDenseVNet(const QuantisedDenseVNet& network, Instructions instructions)
        : pool(network.pool), entry(pack_entry(network.entry, instructions)),
          last(pack_whole(network.last, instructions, true)) {
        for (const QuantisedStack& stack : network.stacks) {
            PackedStack& layers = stacks.emplace_back();
            for (const QuantisedLayer& layer : stack)
                layers.push_back(pack_whole(layer, instructions));
        }
        for (const QuantisedLayer& skip : network.skips)
            skips.push_back(pack_whole(skip, instructions));
        for (const QuantisedLayer& down : network.downs)
            downs.push_back(pack_halving(down, instructions));
    }

    void add_to(Stages& to) const {
        std::vector<std::size_t> joined{to.add_pool(pool)};
        std::size_t newest = to.add_entry(entry, stacks.front());
        std::vector<std::size_t> drawn;
        for (std::size_t level = 0; level < stacks.size(); ++level) {
            const std::string number = std::to_string(level + 1);
            for (const PackedLayer& layer : stacks[level])
                newest = to.add_layer("stack " + number, layer, newest);
            drawn.push_back(to.add_skip("skip " + number, skips[level], newest));
            if (level < downs.size())
                newest = to.add_down("down " + number, downs[level], newest, stacks[level + 1]);
        }
        joined.push_back(drawn.front());
        for (std::size_t level = 1; level < drawn.size(); ++level)
            joined.push_back(to.add_upsample(drawn[level], std::int64_t{1} << level));
        to.add_last(last, joined);
    }

    // Asked for once, by the first region that is large enough to have use for it.
    const Stages& answers_of_air(int threads) const {
        std::call_once(asked, [&] {
            constexpr std::int64_t half = kAirSide / 2;
            const std::vector<std::uint8_t> region(kAirSide * kAirSide * kAirSide);
            std::vector<std::int8_t> logits(static_cast<std::size_t>(half * half * half * last.outputs));
            auto stages = std::make_unique<Stages>(
                View3<const std::uint8_t>{region.data(), kAirSide, kAirSide, kAirSide},
                View4<std::int8_t>{logits.data(), half, half, half, last.outputs}, half, threads, nullptr);
            add_to(*stages);
            stages->run({{0, half}, {0, half}, {0, half}}, [](double) {});
            of_air = std::move(stages);
        });
        return *of_air;
    }
};

DenseVNet::DenseVNet(const QuantisedDenseVNet& network, Instructions instructions) {
    check(network);
    network_ = std::make_unique<const PackedDenseVNet>(network, instructions);
}

DenseVNet::~DenseVNet() = default;

std::vector<StageTime> DenseVNet::run(View3<const std::uint8_t> region, View4<std::int8_t> logits, const Box& wanted,
                                      std::int64_t planes_per_step, int threads, const Watch& watch) const {
    const PackedDenseVNet& network = *network_;
    const std::int64_t multiple = std::int64_t{1} << network.stacks.size();
    for (const std::int64_t side : region.extent())
        require(side > 0 && side % multiple == 0,
                "the region's extents must be multiples of " + std::to_string(multiple));
    require(region.extent() == Index3{2 * logits.nz, 2 * logits.ny, 2 * logits.nx} && logits.nc == network.last.outputs,
            "logits must have half the region's extents and the classes last");
    require(planes_per_step > 0, "planes_per_step must be at least 1");
    const auto within = [](const Range& range, std::int64_t n) {
        return 0 <= range.first && range.first <= range.last && range.last <= n;
    };
    require(within(wanted.planes, logits.nz) && within(wanted.rows, logits.ny) && within(wanted.columns, logits.nx),
            "the wanted box must lie within the logits");
    const std::int64_t made = wanted.planes.size() * wanted.rows.size() * wanted.columns.size();
    if (made < logits.voxels())
        std::fill_n(logits.data, logits.voxels() * logits.nc, std::int8_t{0});
    require_threads(threads);
    if (made == 0)
        return {};
    const bool large = std::min({region.nz, region.ny, region.nx}) >= kAirSide;
    Stages stages(region, logits, planes_per_step, threads, large ? &network.answers_of_air(threads) : nullptr);
    network.add_to(stages);
    return stages.run(wanted, watch);
}

} // namespace whs
