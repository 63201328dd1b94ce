// Dense V-Net (Gibson et al., IEEE Trans Med Imaging 2018, doi 10.1109/TMI.2018.2806309) as a flow of planes along z.
//
// A tensor needs only the planes between its producer and its slowest reader (flow.cpp); only the skips, which wait for
// the coarsest stack, are held whole. The result is that of the whole volume by construction: no plane is made twice,
// no tile has a halo.
#include "dense_vnet.hpp"

#include "stages.hpp"

#include <algorithm>
#include <cmath>
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

void check(const QuantisedDenseVNet& network, View3<const std::uint8_t> region, View4<std::int8_t> logits,
           std::int64_t planes_per_step) {
    const std::size_t levels = network.stacks.size();
    require(levels > 0 && levels <= 3 && network.skips.size() == levels && network.downs.size() == levels - 1,
            "there must be one to three stacks, a skip from each and a convolution between each two");
    const std::int64_t multiple = std::int64_t{1} << levels;
    for (const std::int64_t side : {region.nz, region.ny, region.nx})
        require(side > 0 && side % multiple == 0,
                "the region's extents must be multiples of " + std::to_string(multiple));
    require(2 * logits.nz == region.nz && 2 * logits.ny == region.ny && 2 * logits.nx == region.nx &&
                logits.nc == network.last.outputs,
            "logits must have half the region's extents and the classes last");
    require(planes_per_step > 0, "planes_per_step must be at least 1");
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

std::vector<StageTime> dense_vnet(const QuantisedDenseVNet& network, View3<const std::uint8_t> region,
                                  View4<std::int8_t> logits, std::int64_t planes_per_step, Instructions instructions,
                                  int threads, const Watch& watch) {
    check(network, region, logits, planes_per_step);
    Stages stages(region, logits, planes_per_step, instructions, threads);
    std::vector<std::size_t> joined{stages.add_pool(network.pool)};
    std::size_t newest = stages.add_entry(network.entry, network.stacks.front());
    std::vector<std::size_t> skips;
    for (std::size_t level = 0; level < network.stacks.size(); ++level) {
        const std::string number = std::to_string(level + 1);
        for (const QuantisedLayer& layer : network.stacks[level])
            newest = stages.add_layer("stack " + number, layer, newest);
        skips.push_back(stages.add_skip("skip " + number, network.skips[level], newest));
        if (level < network.downs.size())
            newest = stages.add_down("down " + number, network.downs[level], newest, network.stacks[level + 1]);
    }
    joined.push_back(skips.front());
    for (std::size_t level = 1; level < skips.size(); ++level)
        joined.push_back(stages.add_upsample(skips[level], std::int64_t{1} << level));
    stages.add_last(network.last, joined);
    return stages.run(watch);
}

} // namespace whs
