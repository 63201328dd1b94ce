#include "stages.hpp"

#include "parallel.hpp"

#include <algorithm>
#include <utility>

namespace whs {
namespace {

constexpr std::int64_t kPieceWork = 2'000'000; // products of words in one piece of a stage, about 20 microseconds

constexpr Reach kAround{1, 1, -1, 1};

std::vector<std::uint8_t> zeros(std::int64_t channels, std::uint8_t zero) {
    return std::vector<std::uint8_t>(static_cast<std::size_t>(groups_of(channels)), zero);
}

// Of the results of a layer and of all layers of the stack that follows.
std::vector<std::uint8_t> zeros(const PackedLayer& first, const PackedStack& stack) {
    std::vector<std::uint8_t> all = zeros(first.outputs, first.zero);
    for (const PackedLayer& layer : stack)
        all.resize(all.size() + static_cast<std::size_t>(groups_of(layer.outputs)), layer.zero);
    return all;
}

std::vector<Source> sources(const Planes& planes, std::int64_t groups) {
    std::vector<Source> all;
    for (std::int64_t group = 0; group < groups; ++group)
        all.push_back({&planes, group});
    return all;
}

} // namespace

Stages::Stages(View3<const std::uint8_t> region, View4<std::int8_t> logits, std::int64_t planes_per_step, int threads,
               const Stages* of_air)
    : region_(region), logits_(logits), planes_per_step_(planes_per_step), of_air_(of_air) {
    require_threads(threads);
    scratch_.resize(static_cast<std::size_t>(threads));
}

std::vector<StageTime> Stages::run(const Box& wanted, const Watch& watch) {
    return run_flow(stages_, wanted, planes_per_step_, threads(), watch);
}

const Planes& Stages::add_tensor(std::vector<std::uint8_t> zeros, std::int64_t rows, std::int64_t columns,
                                 std::int64_t capacity) {
    return tensors_.emplace_back(std::move(zeros), rows, columns, capacity);
}

std::int64_t Stages::kept(std::int64_t planes, std::int64_t reach, std::int64_t rate) const {
    return std::min(planes, reach + rate * (planes_per_step_ + 1));
}

// From the stage before a stack, by way of its layers, to the two that read it whole.
std::int64_t Stages::kept_for(const PackedStack& stack, std::int64_t planes) const {
    return kept(planes, 2, static_cast<std::int64_t>(stack.size()) + 2);
}

std::size_t Stages::add_stage(Stage stage) {
    stages_.push_back(std::move(stage));
    return stages_.size() - 1;
}

// A stage that makes the rows of one group of what it reads after another.
std::size_t Stages::add_rows(Stage stage, std::int64_t groups, MakeRow make_row) {
    const Planes& out = *stage.out;
    stage.make = [=, this, &out, make_row = std::move(make_row)](const Piece& piece, const Box& box) {
        for (std::int64_t group = 0; group < groups; ++group)
            for (std::int64_t row = piece.rows.first; row < piece.rows.last; ++row)
                make_row({piece.plane, group, row}, scratch(piece).rows);
        out.write_outside(piece.plane, 0, out.groups, piece.rows, box.rows);
    };
    return add_stage(std::move(stage));
}

void Stages::add_air(Seen seen, std::int64_t radius) {
    const std::size_t stage = stages_.size();
    const Stage& answers = of_air_->stages_[stage];
    if (radius <= std::min({answers.planes, answers.out->rows, answers.out->columns}) / 2)
        air_.emplace(stage, Air{std::move(seen), radius, answers.out, answers.planes});
}

// A convolution into the groups of its tensor from first_group on.
std::size_t Stages::add_convolution(Stage stage, const PackedLayer& layer, std::int64_t first_group, Gather gather) {
    const PackedConvolution& convolution = layer.convolution;
    const Planes& out = *stage.out;
    const std::int64_t groups = groups_of(layer.outputs), work = out.pitch * convolution.taps() * layer.outputs;
    stage.rows_per_piece = std::clamp<std::int64_t>(kPieceWork / work, 1, out.rows);
    const auto found = air_.find(stages_.size());
    const Air* air = found == air_.end() ? nullptr : &found->second;
    stage.make = [=, this, planes = stage.planes, &convolution, &out, gather = std::move(gather)](const Piece& piece,
                                                                                                  const Box& box) {
        Taps& taps = scratch(piece).taps;
        taps.clear();
        gather(piece.plane, taps);
        std::uint8_t* to[kMostGroups];
        for (std::int64_t group = 0; group < groups; ++group)
            to[group] = out.at(piece.plane, first_group + group);
        std::vector<Range>& runs = scratch(piece).runs;
        runs.clear();
        for (std::int64_t row = piece.rows.first; row < piece.rows.last; ++row)
            for (std::int64_t column = box.columns.first, end; column < box.columns.last; column = end) {
                end = air == nullptr ? box.columns.last
                                     : std::min(box.columns.last, (column / kAirBlock + 1) * kAirBlock);
                if (air != nullptr && !air->seen.any_in_block(piece.plane, row, column))
                    copy_air(*air, out, planes, piece.plane, row, {column, end}, first_group, groups);
                else if (const Range run{row * out.pitch + column, row * out.pitch + end};
                         !runs.empty() && runs.back().last + (column == 0) == run.first)
                    runs.back().last = run.last; // over the word between rows, too
                else
                    runs.push_back(run);
            }
        convolution(taps.data(), runs, to);
        out.write_outside(piece.plane, first_group, groups, piece.rows, box.rows);
    };
    return add_stage(std::move(stage));
}

std::size_t Stages::add_whole(Stage stage, const PackedLayer& layer, std::int64_t first_group,
                              std::vector<Source> sources) {
    const auto air = air_.find(stage.needs.front().stage);
    if (air != air_.end())
        add_air(air->second.seen.dilated(threads()), air->second.radius + 1);
    return add_convolution(std::move(stage), layer, first_group,
                           [planes = stage.planes, sources = std::move(sources)](std::int64_t plane, Taps& taps) {
                               gather_whole(sources, planes, plane, taps);
                           });
}

std::size_t Stages::add_pool(const QuantisedPool& pool) {
    const Planes& out = add_tensor({pool.zero}, logits_.ny, logits_.nx, kept(logits_.nz, 5, 2));
    return add_rows(
        {.name = "pool", .planes = logits_.nz, .rows_per_piece = 40, .out = &out}, 1,
        [=, this, &out](const RowAt& at, RowScratch& scratch) { pool_row(pool, region_, out, at, scratch); });
}

std::size_t Stages::add_entry(const PackedLayer& layer, const PackedStack& next) {
    const std::int64_t planes = logits_.nz, in_planes = region_.nz;
    const Planes& split = add_tensor(zeros(12, 0), logits_.ny, logits_.nx, kept(in_planes, 5, 4));
    const std::size_t splitter =
        add_rows({.name = "entry: words", .planes = in_planes, .rows_per_piece = 40, .out = &split}, 1,
                 [=, this, &split](const RowAt& at, RowScratch&) { split_voxels(region_, split, at); });
    const Planes& out = add_tensor(zeros(layer, next), logits_.ny, logits_.nx, kept_for(next, planes));
    if (of_air_ != nullptr)
        add_air(Seen::in_region(region_, threads()).dilated(threads()), 1);
    return add_convolution(
        {.name = "entry", .planes = planes, .out = &out, .needs = {{splitter, {2, 1, -2, 2}, {1, 1, -1, 1}}}}, layer, 0,
        [=, &split](std::int64_t plane, Taps& taps) { gather_entry(split, in_planes, plane, taps); });
}

std::size_t Stages::add_down(const std::string& name, const PackedLayer& layer, std::size_t input,
                             const PackedStack& next) {
    const Planes& whole = *stages_[input].out;
    const std::int64_t rows = whole.rows / 2, columns = whole.columns / 2;
    const std::int64_t in_planes = stages_[input].planes, planes = in_planes / 2;
    std::vector<std::uint8_t> split_zeros;
    for (std::int64_t group = 0; group < whole.groups; ++group)
        split_zeros.resize(split_zeros.size() + 4, whole.zero(group));
    const Planes& split = add_tensor(split_zeros, rows, columns, kept(in_planes, 3, 2));
    const std::size_t splitter =
        add_rows({.name = name + ": words",
                  .planes = in_planes,
                  .rows_per_piece = 20,
                  .out = &split,
                  .needs = {{input, {1, 1, 0, 0}, {2, 1, 0, 1}}}},
                 whole.groups, [&whole, &split](const RowAt& at, RowScratch&) { split_words(whole, split, at); });
    const Planes& out = add_tensor(zeros(layer, next), rows, columns, kept_for(next, planes));
    if (const auto air = air_.find(input); air != air_.end())
        add_air(air->second.seen.halved(threads()).dilated(threads()), (air->second.radius + 2) / 2);
    return add_convolution(
        {.name = name, .planes = planes, .out = &out, .needs = {{splitter, {2, 1, -1, 1}, {1, 1, -1, 0}}}}, layer, 0,
        [=, &whole, &split](std::int64_t plane, Taps& taps) {
            gather_halving(split, whole.groups, in_planes, plane, taps);
        });
}

std::size_t Stages::add_layer(const std::string& name, const PackedLayer& layer, std::size_t input) {
    const Stage& before = stages_[input];
    const std::int64_t groups = groups_of(layer.inputs);
    return add_whole({.name = name,
                      .planes = before.planes,
                      .out = before.out,
                      .opens = false,
                      .needs = {{input, kAround, kAround}}},
                     layer, groups, sources(*before.out, groups));
}

std::size_t Stages::add_skip(const std::string& name, const PackedLayer& layer, std::size_t input) {
    const std::int64_t planes = stages_[input].planes;
    const Planes& from = *stages_[input].out;
    // Held whole: the last layer goes on only where the coarsest stack has been.
    const Planes& out = add_tensor(zeros(layer.outputs, layer.zero), from.rows, from.columns, planes);
    return add_whole({.name = name, .planes = planes, .out = &out, .needs = {{input, kAround, kAround}}}, layer, 0,
                     sources(from, from.groups));
}

std::size_t Stages::add_upsample(std::size_t input, std::int64_t factor) {
    const std::int64_t in_planes = stages_[input].planes, planes = in_planes * factor;
    const Planes& in = *stages_[input].out;
    const Planes& out = add_tensor(std::vector<std::uint8_t>(static_cast<std::size_t>(in.groups)), in.rows * factor,
                                   in.columns * factor, kept(planes, 5, 2));
    return add_rows({.name = "upsampling " + std::to_string(factor),
                     .planes = planes,
                     .rows_per_piece = 32,
                     .out = &out,
                     .needs = {{input, {1, factor, -1, 1}, {1, factor, -1, 1}}}},
                    in.groups, [=, &in, &out](const RowAt& at, RowScratch& scratch) {
                        upsample_row(in, in_planes, factor, out, at, scratch);
                    });
}

std::size_t Stages::add_last(const PackedLayer& layer, const std::vector<std::size_t>& inputs) {
    std::vector<Source> joined;
    std::vector<Need> needs;
    for (const std::size_t input : inputs) {
        const Planes& from = *stages_[input].out;
        for (std::int64_t group = 0; group < from.groups; ++group)
            joined.push_back({&from, group, input == inputs.front()});
        needs.push_back({input, kAround, kAround});
    }
    const Planes& integers = add_tensor(zeros(layer.outputs, 128), logits_.ny, logits_.nx, planes_per_step_);
    // It opens no plane that has to wait for others: what it makes is read in the same piece.
    const std::size_t last =
        add_whole({.name = "last", .planes = logits_.nz, .out = &integers, .opens = false, .needs = std::move(needs)},
                  layer, 0, std::move(joined));
    stages_[last].make = [this, &integers, convolve = std::move(stages_[last].make)](const Piece& piece,
                                                                                     const Box& box) {
        convolve(piece, box);
        for (std::int64_t row = piece.rows.first; row < piece.rows.last; ++row)
            logits_row(integers, logits_, piece.plane, row, box.columns);
    };
    return last;
}

} // namespace whs
