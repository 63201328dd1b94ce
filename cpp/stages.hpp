// The stages of Dense V-Net over one region: what each reads, makes and keeps. dense_vnet.cpp joins them.
#pragma once

#include "air.hpp"
#include "flow.hpp"
#include "rows.hpp"
#include "taps.hpp"

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace whs {

using PackedStack = std::vector<PackedLayer>;

class Stages {
  public:
    // What is added must outlive the run. of_air: the same stages after their run over a small region of air, whose
    // tensors are whole, or nullptr.
    Stages(View3<const std::uint8_t> region, View4<std::int8_t> logits, std::int64_t planes_per_step, int threads,
           const Stages* of_air);

    // Each adds a stage and returns its number, by which the stages that read its results name it.
    std::size_t add_pool(const QuantisedPool& pool);
    // The entry and the convolutions between stacks leave room for the results of the stack that follows.
    std::size_t add_entry(const PackedLayer& layer, const PackedStack& next);
    std::size_t add_down(const std::string& name, const PackedLayer& layer, std::size_t input, const PackedStack& next);
    // A layer of a stack writes beside the channels that it reads.
    std::size_t add_layer(const std::string& name, const PackedLayer& layer, std::size_t input);
    std::size_t add_skip(const std::string& name, const PackedLayer& layer, std::size_t input);
    std::size_t add_upsample(std::size_t input, std::int64_t factor);
    std::size_t add_last(const PackedLayer& layer, const std::vector<std::size_t>& inputs);

    // Makes a box of the logits.
    std::vector<StageTime> run(const Box& wanted, const Watch& watch);

  private:
    struct Scratch { // of a thread
        Taps taps;
        std::vector<Range> runs;
        RowScratch rows;
    };
    using Gather = std::function<void(std::int64_t plane, Taps& taps)>;
    using MakeRow = std::function<void(const RowAt& at, RowScratch& scratch)>;

    const Planes& add_tensor(std::vector<std::uint8_t> zeros, std::int64_t rows, std::int64_t columns,
                             std::int64_t capacity);
    // How many planes to keep for readers that reach over `reach` of them and use up `rate` a plane of the logits.
    std::int64_t kept(std::int64_t planes, std::int64_t reach, std::int64_t rate) const;
    std::int64_t kept_for(const PackedStack& stack, std::int64_t planes) const;

    // The stage that comes next, if it sees so far only and a small region shows all that it can answer.
    void add_air(Seen seen, std::int64_t radius);
    std::size_t add_stage(Stage stage);
    std::size_t add_rows(Stage stage, std::int64_t groups, MakeRow make_row);
    std::size_t add_convolution(Stage stage, const PackedLayer& layer, std::int64_t first_group, Gather gather);
    std::size_t add_whole(Stage stage, const PackedLayer& layer, std::int64_t first_group, std::vector<Source> sources);
    int threads() const { return static_cast<int>(scratch_.size()); }
    Scratch& scratch(const Piece& piece) { return scratch_[static_cast<std::size_t>(piece.worker)]; }

    View3<const std::uint8_t> region_;
    View4<std::int8_t> logits_;
    std::int64_t planes_per_step_;
    std::deque<Planes> tensors_;
    std::vector<Stage> stages_;
    const Stages* of_air_;
    std::map<std::size_t, Air> air_; // of the stages that know of it
    std::vector<Scratch> scratch_;
};

} // namespace whs
