// Dense V-Net (Gibson et al., IEEE Trans Med Imaging 2018, doi 10.1109/TMI.2018.2806309) as a flow of planes along z.
//
// Every layer is a stage that makes one plane of its result as soon as the planes around it exist in its inputs. All
// stages go on side by side, each a few planes behind the one before, so a tensor needs only the planes between its
// producer and its slowest reader; only the skips, which wait for the coarsest stack, are held whole. The result is
// that of the whole volume by construction: no plane is made twice, no tile has a halo. In one step each stage makes
// what the planes of earlier steps allow; the pieces of a step are independent of one another and go to the threads by
// rows.
#include "dense_vnet.hpp"

#include "planes.hpp"
#include "team.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

namespace whs {
namespace {

constexpr std::int64_t kMostOutputs = 64; // of one layer
constexpr std::int64_t kMostGroups = kMostOutputs / 4;
constexpr std::int64_t kPieceWork = 2'000'000; // products of words in one piece of a stage, about 20 microseconds

std::int64_t groups_of(std::int64_t channels) { return (channels + 3) / 4; }

// Which planes of another stage the plane z of a stage needs: z * up / down + first to z * up / down + last.
struct Need {
    std::size_t stage;
    std::int64_t up, down, first, last;
};

struct Stage {
    std::string name;
    std::int64_t planes, rows;
    std::int64_t rows_per_piece;
    std::int64_t done = 0;
    const Planes* out; // nullptr for logits
    bool opens;        // the first stage to write a plane of `out`
    std::vector<Need> needs;
    std::function<void(std::int64_t plane, std::int64_t first_row, std::int64_t last_row, int worker)> make;
};

// Four channels of an input: a group of some planes.
struct Source {
    const Planes* planes;
    std::int64_t group;
};

class Flow {
  public:
    Flow(const QuantisedDenseVNet& network, View3<const std::uint8_t> region, View4<std::int8_t> logits,
         std::int64_t planes_per_step, Instructions instructions, int threads)
        : region_(region), logits_(logits), planes_per_step_(planes_per_step), instructions_(instructions),
          team_(threads), scratch_(static_cast<std::size_t>(threads)) {
        build(network);
    }

    std::vector<StageTime> run() {
        using Clock = std::chrono::steady_clock;
        struct Piece {
            std::size_t stage;
            std::int64_t plane, first_row, last_row;
        };
        std::vector<std::vector<Clock::duration>> spent(scratch_.size(), std::vector<Clock::duration>(stages_.size()));
        std::vector<Piece> pieces;
        std::vector<std::int64_t> made(stages_.size());
        while (stages_.back().done < stages_.back().planes) {
            pieces.clear();
            for (std::size_t s = 0; s < stages_.size(); ++s) {
                const Stage& stage = stages_[s];
                const std::int64_t quota = std::max<std::int64_t>(1, planes_per_step_ * stage.planes / logits_.nz);
                std::int64_t plane = stage.done;
                for (; plane < stage.done + quota && may_make(s, plane); ++plane)
                    for (std::int64_t row = 0; row < stage.rows; row += stage.rows_per_piece)
                        pieces.push_back({s, plane, row, std::min(stage.rows, row + stage.rows_per_piece)});
                made[s] = plane;
            }
            if (pieces.empty())
                throw std::logic_error("dense_vnet: no stage can go on");
            team_.run(static_cast<std::int64_t>(pieces.size()), [&](std::int64_t piece, int worker) {
                const Piece& p = pieces[static_cast<std::size_t>(piece)];
                const Clock::time_point start = Clock::now();
                stages_[p.stage].make(p.plane, p.first_row, p.last_row, worker);
                spent[static_cast<std::size_t>(worker)][p.stage] += Clock::now() - start;
            });
            for (std::size_t s = 0; s < stages_.size(); ++s)
                stages_[s].done = made[s];
        }
        std::vector<StageTime> times;
        for (std::size_t s = 0; s < stages_.size(); ++s) {
            std::chrono::duration<double> seconds{};
            for (const std::vector<Clock::duration>& of_worker : spent)
                seconds += of_worker[s];
            times.push_back({stages_[s].name, seconds.count()});
        }
        return times;
    }

  private:
    bool may_make(std::size_t s, std::int64_t plane) const {
        const Stage& stage = stages_[s];
        if (plane >= stage.planes)
            return false;
        for (const Need& need : stage.needs) {
            const Stage& producer = stages_[need.stage];
            if (std::min(plane * need.up / need.down + need.last, producer.planes - 1) >= producer.done)
                return false;
        }
        return !stage.opens || plane - stage.out->capacity < oldest_in_use(*stage.out);
    }

    // The first plane of a tensor that a stage will still read.
    std::int64_t oldest_in_use(const Planes& planes) const {
        std::int64_t oldest = std::numeric_limits<std::int64_t>::max();
        for (const Stage& reader : stages_)
            for (const Need& need : reader.needs)
                if (stages_[need.stage].out == &planes && reader.done < reader.planes)
                    oldest =
                        std::min(oldest, std::max<std::int64_t>(0, reader.done * need.up / need.down + need.first));
        return oldest;
    }

    void build(const QuantisedDenseVNet& network) {
        const std::int64_t nz = logits_.nz, ny = logits_.ny, nx = logits_.nx;
        const std::size_t pooled = add_pool(network.pool);
        std::size_t newest = add_entry(network.entry, network.stacks[0]);
        std::vector<std::size_t> skips;
        for (std::size_t level = 0; level < network.stacks.size(); ++level) {
            const QuantisedStack& stack = network.stacks[level];
            const std::string number = std::to_string(level + 1);
            const Planes& tensor = *stages_[newest].out;
            const std::int64_t planes = stages_[newest].planes;
            std::int64_t channels = stack.front().inputs;
            for (const QuantisedLayer& layer : stack) {
                newest = add_convolution("stack " + number, layer, sources(tensor, channels), tensor,
                                         groups_of(channels), planes, false, {{newest, 1, 1, -1, 1}});
                channels += layer.outputs;
            }
            const Planes& drawn = add_tensor(zeros(network.skips[level].outputs, network.skips[level].zero),
                                             tensor.rows, tensor.columns, planes);
            skips.push_back(add_convolution("skip " + number, network.skips[level], sources(tensor, channels), drawn, 0,
                                            planes, true, {{newest, 1, 1, -1, 1}}));
            if (level < network.downs.size())
                newest = add_down("down " + number, network.downs[level], newest, channels, network.stacks[level + 1]);
        }

        std::vector<Source> joined = sources(*stages_[pooled].out, 1);
        std::vector<Need> needs{{pooled, 1, 1, -1, 1}, {skips[0], 1, 1, -1, 1}};
        for (const Source& source : sources(*stages_[skips[0]].out, network.skips[0].outputs))
            joined.push_back(source);
        for (std::size_t level = 1; level < skips.size(); ++level) {
            const std::size_t drawn = add_upsample(skips[level], network.skips[level].outputs, 1 << level);
            needs.push_back({drawn, 1, 1, -1, 1});
            for (const Source& source : sources(*stages_[drawn].out, network.skips[level].outputs))
                joined.push_back(source);
        }
        add_logits(network.last, joined, needs, nz, ny, nx);
    }

    const Planes& add_tensor(std::vector<std::uint8_t> zeros, std::int64_t rows, std::int64_t columns,
                             std::int64_t capacity) {
        return tensors_.emplace_back(std::move(zeros), rows, columns, capacity);
    }

    static std::vector<std::uint8_t> zeros(std::int64_t channels, std::uint8_t zero) {
        return std::vector<std::uint8_t>(static_cast<std::size_t>(groups_of(channels)), zero);
    }

    // Of the results of a layer and of all layers of the stack that follows.
    static std::vector<std::uint8_t> zeros(const QuantisedLayer& first, const QuantisedStack& stack) {
        std::vector<std::uint8_t> all = zeros(first.outputs, first.zero);
        for (const QuantisedLayer& layer : stack)
            all.resize(all.size() + static_cast<std::size_t>(groups_of(layer.outputs)), layer.zero);
        return all;
    }

    std::size_t add_stage(Stage stage) {
        stages_.push_back(std::move(stage));
        return stages_.size() - 1;
    }

    static std::vector<Source> sources(const Planes& planes, std::int64_t channels) {
        std::vector<Source> all;
        for (std::int64_t group = 0; group < groups_of(channels); ++group)
            all.push_back({&planes, group});
        return all;
    }

    // Planes of a tensor between the first layer of a stack and its last reader.
    std::int64_t capacity(const QuantisedStack& stack, std::int64_t planes) const {
        const auto stages = static_cast<std::int64_t>(stack.size()) + 2;
        return std::min(planes, stages * (planes_per_step_ + 1) + 2);
    }

    static std::int64_t rows_per_piece(std::int64_t rows, std::int64_t columns, std::int64_t words) {
        return std::clamp<std::int64_t>(kPieceWork / (columns * words), 1, rows);
    }

    // The order of the nine taps in a plane of a group, as 3 y + x: rows for stride 1; for stride 2 such as read the
    // same of the four split tensors, one after another.
    struct Order {
        std::array<std::int64_t, 9> taps;
        std::array<std::uint8_t, 9> shares;
    };
    static constexpr Order kRows{{0, 1, 2, 3, 4, 5, 6, 7, 8}, {0, 1, 2, 0, 1, 2, 0, 1, 2}};
    static constexpr Order kPhases{{0, 2, 6, 8, 1, 7, 3, 5, 4}, {0, 1, 0, 1, 0, 1, 0, 1, 0}};

    // The 3 x 3 x 3 taps of a convolution as words [output][tap][4]; inputs fill the words of the sources in
    // turn, of which the first may hold fewer than four.
    static std::vector<std::int8_t> words(const QuantisedLayer& layer, std::size_t groups, const Order& order) {
        const std::int64_t in_first = layer.inputs - 4 * (static_cast<std::int64_t>(groups) - 1);
        const std::int64_t outputs = 4 * groups_of(layer.outputs), taps = 27 * static_cast<std::int64_t>(groups);
        std::vector<std::int8_t> words(static_cast<std::size_t>(outputs * taps * 4));
        for (std::int64_t output = 0; output < layer.outputs; ++output)
            for (std::int64_t input = 0; input < layer.inputs; ++input) {
                const std::int64_t place = input < in_first ? input : input - in_first + 4;
                for (std::int64_t z = 0; z < 3; ++z)
                    for (std::int64_t i = 0; i < 9; ++i) {
                        const std::int64_t at = (z * static_cast<std::int64_t>(groups) + place / 4) * 9 + i;
                        words[static_cast<std::size_t>((output * taps + at) * 4 + place % 4)] =
                            layer.weights[(output * layer.inputs + input) * 27 + 9 * z +
                                          order.taps[static_cast<std::size_t>(i)]];
                    }
            }
        return words;
    }

    static std::vector<float> padded(std::vector<float> values) {
        values.resize(static_cast<std::size_t>(4 * groups_of(static_cast<std::int64_t>(values.size()))));
        return values;
    }

    const PackedConvolution& pack(const QuantisedLayer& layer, std::size_t groups, const Order& order) {
        std::vector<std::uint8_t> shares;
        for (std::size_t plane = 0; plane < 3 * groups; ++plane)
            shares.insert(shares.end(), order.shares.begin(), order.shares.end());
        return convolutions_.emplace_back(words(layer, groups, order), padded(layer.scale), padded(layer.bias), shares,
                                          instructions_);
    }

    // Convolution of stride 1 into the groups of `out` from first_group on.
    std::size_t add_convolution(std::string name, const QuantisedLayer& layer, const std::vector<Source>& from,
                                const Planes& out, std::int64_t first_group, std::int64_t planes, bool opens,
                                std::vector<Need> needs) {
        const PackedConvolution& convolution = pack(layer, from.size(), kRows);
        const std::int64_t groups = groups_of(layer.outputs);
        const auto work = static_cast<std::int64_t>(from.size()) * 27 * layer.outputs;
        return add_stage(
            {std::move(name), planes, out.rows, rows_per_piece(out.rows, out.pitch, work), 0, &out, opens,
             std::move(needs),
             [=, this, &convolution, &out](std::int64_t plane, std::int64_t first, std::int64_t last, int worker) {
                 Scratch& scratch = scratch_[static_cast<std::size_t>(worker)];
                 gather_taps(from, plane, planes, scratch.taps);
                 std::uint8_t* to[kMostGroups];
                 for (std::int64_t group = 0; group < groups; ++group)
                     to[group] = out.at(plane, first_group + group);
                 convolution(scratch.taps.data(), first * out.pitch, last * out.pitch, to);
                 for (std::int64_t group = 0; group < groups; ++group)
                     out.write_outside(plane, first_group + group, first, last);
             }});
    }

    static void gather_taps(const std::vector<Source>& from, std::int64_t plane, std::int64_t planes,
                            std::vector<const std::uint8_t*>& taps) {
        taps.clear();
        for (std::int64_t z = plane - 1; z <= plane + 1; ++z)
            for (const Source& source : from) {
                const Planes& p = *source.planes;
                const std::uint8_t* centre = z < 0 || z >= planes ? p.outside(source.group) : p.at(z, source.group);
                for (std::int64_t y = -1; y <= 1; ++y)
                    for (std::int64_t x = -1; x <= 1; ++x)
                        taps.push_back(centre + 4 * (y * p.pitch + x));
            }
    }

    // A convolution of stride 2 reads its input as four tensors, of the even and odd rows and columns, so that its
    // lanes lie side by side.
    std::size_t add_down(const std::string& name, const QuantisedLayer& layer, std::size_t input, std::int64_t channels,
                         const QuantisedStack& next) {
        const Planes& whole = *stages_[input].out;
        const std::int64_t rows = whole.rows / 2, columns = whole.columns / 2, groups = groups_of(channels);
        std::vector<std::uint8_t> split_zeros;
        for (std::int64_t group = 0; group < groups; ++group)
            split_zeros.resize(split_zeros.size() + 4, whole.zero(group));
        const Planes& split = add_tensor(split_zeros, rows, columns, 3 + 2 * (planes_per_step_ + 1));
        const std::size_t splitter = add_stage(
            {name + ": words",
             stages_[input].planes,
             rows,
             20,
             0,
             &split,
             true,
             {{input, 1, 1, 0, 0}},
             [=, &whole, &split](std::int64_t plane, std::int64_t first, std::int64_t last, int) {
                 for (std::int64_t group = 0; group < groups; ++group)
                     for (std::int64_t phase = 0; phase < 2; ++phase) {
                         for (std::int64_t row = first; row < last; ++row)
                             split_words(whole.at(plane, group) + 4 * (2 * row + phase) * whole.pitch,
                                         split.at(plane, 4 * group + 2 * phase) + 4 * row * split.pitch,
                                         split.at(plane, 4 * group + 2 * phase + 1) + 4 * row * split.pitch, columns);
                         split.write_outside(plane, 4 * group + 2 * phase, first, last);
                         split.write_outside(plane, 4 * group + 2 * phase + 1, first, last);
                     }
             }});

        const std::int64_t planes = stages_[input].planes / 2, in_planes = stages_[input].planes;
        const Planes& out = add_tensor(zeros(layer, next), rows, columns, capacity(next, planes));
        const PackedConvolution& convolution = pack(layer, static_cast<std::size_t>(groups), kPhases);
        const std::int64_t out_groups = groups_of(layer.outputs);
        return add_stage({name,
                          planes,
                          rows,
                          rows_per_piece(rows, out.pitch, groups * 27 * layer.outputs),
                          0,
                          &out,
                          true,
                          {{splitter, 2, 1, -1, 1}},
                          [=, this, &convolution, &split, &out](std::int64_t plane, std::int64_t first,
                                                                std::int64_t last, int worker) {
                              std::vector<const std::uint8_t*>& taps = scratch_[static_cast<std::size_t>(worker)].taps;
                              taps.clear();
                              for (std::int64_t z = 2 * plane - 1; z <= 2 * plane + 1; ++z)
                                  for (std::int64_t group = 0; group < groups; ++group)
                                      for (const std::int64_t tap : kPhases.taps) {
                                          const std::int64_t y = tap / 3 - 1, x = tap % 3 - 1,
                                                             phase = 2 * (y & 1) + (x & 1);
                                          const std::uint8_t* words = z < 0 || z >= in_planes
                                                                          ? split.outside(4 * group)
                                                                          : split.at(z, 4 * group + phase);
                                          taps.push_back(words + 4 * ((y < 0 ? -split.pitch : 0) + (x < 0 ? -1 : 0)));
                                      }
                              std::uint8_t* to[kMostGroups];
                              for (std::int64_t group = 0; group < out_groups; ++group)
                                  to[group] = out.at(plane, group);
                              convolution(taps.data(), first * out.pitch, last * out.pitch, to);
                              for (std::int64_t group = 0; group < out_groups; ++group)
                                  out.write_outside(plane, group, first, last);
                          }});
    }

    static void split_words(const std::uint8_t* from, std::uint8_t* even, std::uint8_t* odd, std::int64_t columns) {
        for (std::int64_t column = 0; column < columns; ++column) {
            std::memcpy(even + 4 * column, from + 8 * column, 4);
            std::memcpy(odd + 4 * column, from + 8 * column + 4, 4);
        }
    }

    // The entry reads a single channel, 5 x 5 x 5 voxels with stride 2: its words are four voxels along x, or along y
    // for the fifth column. Groups: the first four columns of the even and of the odd rows, the fifth column.
    std::size_t add_entry(const QuantisedLayer& layer, const QuantisedStack& next) {
        const std::int64_t rows = logits_.ny, columns = logits_.nx, planes = logits_.nz;
        const Planes& split = add_tensor(zeros(12, 0), rows, columns, 5 + 4 * (planes_per_step_ + 1));
        const std::size_t splitter =
            add_stage({"entry: words",
                       region_.nz,
                       rows,
                       40,
                       0,
                       &split,
                       true,
                       {},
                       [=, this, &split](std::int64_t plane, std::int64_t first, std::int64_t last, int) {
                           for (std::int64_t row = first; row < last; ++row)
                               split_region(split, plane, row);
                           for (std::int64_t group = 0; group < 3; ++group)
                               split.write_outside(plane, group, first, last);
                       }});

        constexpr std::int64_t taps_a_plane = 7;
        std::vector<std::int8_t> words(static_cast<std::size_t>(layer.outputs * 5 * taps_a_plane * 4));
        for (std::int64_t output = 0; output < layer.outputs; ++output)
            for (std::int64_t z = 0; z < 5; ++z) {
                const std::int8_t* weights = layer.weights + (output * 5 + z) * 25;
                std::int8_t* word = words.data() + (output * 5 + z) * taps_a_plane * 4;
                for (std::int64_t y = 0; y < 5; ++y)
                    std::copy_n(weights + 5 * y, 4, word + 4 * y);
                for (std::int64_t y = 0; y < 4; ++y)
                    word[20 + y] = weights[5 * y + 4];
                word[24 + 2] = weights[24];
            }
        const Planes& out = add_tensor(zeros(layer, next), rows, columns, capacity(next, planes));
        const PackedConvolution& convolution = convolutions_.emplace_back(
            words, padded(layer.scale), padded(layer.bias), std::vector<std::uint8_t>(5 * taps_a_plane), instructions_);
        const std::int64_t groups = groups_of(layer.outputs), in_planes = region_.nz;
        return add_stage({"entry",
                          planes,
                          rows,
                          rows_per_piece(rows, out.pitch, 5 * taps_a_plane * layer.outputs),
                          0,
                          &out,
                          true,
                          {{splitter, 2, 1, -2, 2}},
                          [=, this, &convolution, &split, &out](std::int64_t plane, std::int64_t first,
                                                                std::int64_t last, int worker) {
                              std::vector<const std::uint8_t*>& taps = scratch_[static_cast<std::size_t>(worker)].taps;
                              taps.clear();
                              for (std::int64_t z = 2 * plane - 2; z <= 2 * plane + 2; ++z) {
                                  const bool inside = z >= 0 && z < in_planes;
                                  const std::uint8_t* even = inside ? split.at(z, 0) : split.outside(0);
                                  const std::uint8_t* odd = inside ? split.at(z, 1) : split.outside(0);
                                  const std::uint8_t* fifth = inside ? split.at(z, 2) : split.outside(0);
                                  const std::int64_t row = 4 * split.pitch;
                                  for (const std::uint8_t* tap : {even - row, odd - row, even, odd, even + row, fifth})
                                      taps.push_back(tap);
                                  taps.push_back(even + row + 4); // byte 2: the corner that the others leave
                              }
                              std::uint8_t* to[kMostGroups];
                              for (std::int64_t group = 0; group < groups; ++group)
                                  to[group] = out.at(plane, group);
                              convolution(taps.data(), first * out.pitch, last * out.pitch, to);
                              for (std::int64_t group = 0; group < groups; ++group)
                                  out.write_outside(plane, group, first, last);
                          }});
    }

    // Row of the three groups: voxels 2x - 2 to 2x + 1 of rows 2y and 2y + 1, and rows 2y - 2 to 2y + 1 of column 2x
    // + 2.
    void split_region(const Planes& split, std::int64_t plane, std::int64_t row) const {
        const std::int64_t columns = split.columns;
        for (std::int64_t phase = 0; phase < 2; ++phase) {
            const std::uint8_t* from = region_.row(plane, 2 * row + phase);
            std::uint8_t* to = split.at(plane, phase) + 4 * row * split.pitch;
            to[0] = to[1] = 0;
            std::memcpy(to + 2, from, 2);
            for (std::int64_t column = 1; column < columns; ++column)
                std::memcpy(to + 4 * column, from + 2 * column - 2, 4);
        }
        std::uint8_t* to = split.at(plane, 2) + 4 * row * split.pitch;
        for (std::int64_t y = 0; y < 4; ++y) {
            const std::int64_t from_row = 2 * row - 2 + y;
            const std::uint8_t* from = from_row < 0 ? nullptr : region_.row(plane, from_row);
            for (std::int64_t column = 0; column < columns; ++column)
                to[4 * column + y] = from == nullptr || column == columns - 1 ? 0 : from[2 * column + 2];
        }
    }

    // Mean of 3 x 3 x 3 voxels with stride 2; voxels outside the region do not count.
    std::size_t add_pool(const QuantisedPool& pool) {
        const std::int64_t rows = logits_.ny, columns = logits_.nx;
        const Planes& out = add_tensor({pool.zero}, rows, columns, 5 + 2 * (planes_per_step_ + 1));
        return add_stage({"pool",
                          logits_.nz,
                          rows,
                          40,
                          0,
                          &out,
                          true,
                          {},
                          [=, this, &out](std::int64_t plane, std::int64_t first, std::int64_t last, int worker) {
                              std::vector<std::uint16_t>& sums = scratch_[static_cast<std::size_t>(worker)].line;
                              for (std::int64_t row = first; row < last; ++row)
                                  pool_row(pool, plane, row, sums, out.at(plane, 0) + 4 * row * out.pitch);
                              out.write_outside(plane, 0, first, last);
                          }});
    }

    void pool_row(const QuantisedPool& pool, std::int64_t plane, std::int64_t row, std::vector<std::uint16_t>& sums,
                  std::uint8_t* to) const {
        const auto columns = static_cast<std::size_t>(logits_.nx);
        sums.assign(2 * columns + 1, 0);
        int lines = 0;
        for (std::int64_t z = std::max<std::int64_t>(0, 2 * plane - 1); z <= 2 * plane + 1; ++z)
            for (std::int64_t y = std::max<std::int64_t>(0, 2 * row - 1); y <= 2 * row + 1; ++y, ++lines) {
                const std::uint8_t* from = region_.row(z, y);
                for (std::size_t x = 0; x < 2 * columns; ++x)
                    sums[x + 1] = static_cast<std::uint16_t>(sums[x + 1] + from[x]);
            }
        const auto value = [&](std::size_t column, float share) {
            const std::uint16_t* sum = sums.data() + 2 * column;
            const float mean = static_cast<float>(sum[0] + sum[1] + sum[2]) * share + pool.bias;
            return static_cast<std::uint32_t>(std::min(std::max(mean, 0.0F), 255.0F) + 0.5F);
        };
        const float share = pool.scale / static_cast<float>(3 * lines);
        for (std::size_t column = 0; column < columns; ++column)
            write_word(to + 4 * column, value(column, share));
        write_word(to, value(0, pool.scale / static_cast<float>(2 * lines)));
    }

    // A word whose first channel is the value, the others 0.
    static void write_word(std::uint8_t* to, std::uint32_t value) {
        to[0] = static_cast<std::uint8_t>(value);
        to[1] = to[2] = to[3] = 0;
    }

    // Trilinear, voxel centres half-way (align_corners false), edges go on; rounded half up.
    std::size_t add_upsample(std::size_t input, std::int64_t channels, std::int64_t factor) {
        const Planes& in = *stages_[input].out;
        const std::int64_t rows = in.rows * factor, groups = groups_of(channels), in_planes = stages_[input].planes;
        const Planes& out = add_tensor(zeros(channels, 0), rows, in.columns * factor, 5 + 2 * (planes_per_step_ + 1));
        return add_stage({"upsampling " + std::to_string(factor),
                          in_planes * factor,
                          rows,
                          std::min<std::int64_t>(rows, 32),
                          0,
                          &out,
                          true,
                          {{input, 1, factor, -1, 1}},
                          [=, this, &in, &out](std::int64_t plane, std::int64_t first, std::int64_t last, int worker) {
                              Scratch& scratch = scratch_[static_cast<std::size_t>(worker)];
                              for (std::int64_t group = 0; group < groups; ++group) {
                                  for (std::int64_t row = first; row < last; ++row)
                                      upsample_row(in, group, in_planes, factor, plane, row,
                                                   out.at(plane, group) + 4 * row * out.pitch, scratch);
                                  out.write_outside(plane, group, first, last);
                              }
                          }});
    }

    // Neighbours of output voxel i of an axis and the weight of the upper one, of 2 * factor.
    struct Between {
        Between(std::int64_t i, std::int64_t factor, std::int64_t n) {
            const std::int64_t twice = 2 * i + 1 - factor; // 2 * factor * position
            const std::int64_t floor = (twice + 2 * factor) / (2 * factor) - 1;
            weight = static_cast<std::int32_t>(twice - floor * 2 * factor);
            lower = std::max<std::int64_t>(floor, 0);
            upper = std::min(floor + 1, n - 1);
        }
        std::int64_t lower, upper;
        std::int32_t weight;
    };

    struct Scratch {
        std::vector<const std::uint8_t*> taps;
        std::vector<std::uint16_t> line;
        std::vector<std::uint8_t> phases;
    };

    static void upsample_row(const Planes& in, std::int64_t group, std::int64_t in_planes, std::int64_t factor,
                             std::int64_t plane, std::int64_t row, std::uint8_t* to, Scratch& scratch) {
        const Between z(plane, factor, in_planes), y(row, factor, in.rows);
        const std::int64_t columns = in.columns, bytes = 4 * columns;
        const auto whole = static_cast<std::int32_t>(2 * factor);
        const std::uint8_t* a = in.at(z.lower, group) + 4 * y.lower * in.pitch;
        const std::uint8_t* b = in.at(z.lower, group) + 4 * y.upper * in.pitch;
        const std::uint8_t* c = in.at(z.upper, group) + 4 * y.lower * in.pitch;
        const std::uint8_t* d = in.at(z.upper, group) + 4 * y.upper * in.pitch;
        const auto wa = static_cast<std::uint16_t>((whole - z.weight) * (whole - y.weight));
        const auto wb = static_cast<std::uint16_t>((whole - z.weight) * y.weight);
        const auto wc = static_cast<std::uint16_t>(z.weight * (whole - y.weight));
        const auto wd = static_cast<std::uint16_t>(z.weight * y.weight);
        // A voxel more on both sides, for the edges. Sixteen bits hold the sums: for a factor of 4 they are halved
        // here.
        scratch.line.resize(static_cast<std::size_t>(bytes + 8));
        std::uint16_t* line = scratch.line.data() + 4;
        const int halved = factor == 2 ? 0 : 1;
        for (std::int64_t i = 0; i < bytes; ++i)
            line[i] = static_cast<std::uint16_t>((a[i] * wa + b[i] * wb + c[i] * wc + d[i] * wd + halved) >> halved);
        std::copy_n(line, 4, line - 4);
        std::copy_n(line + bytes - 4, 4, line + bytes);
        scratch.phases.resize(static_cast<std::size_t>(factor * bytes));
        std::uint8_t* phases = scratch.phases.data();
        const int shift = factor == 2 ? 6 : 8;
        for (std::int64_t phase = 0; phase < factor; ++phase) {
            const Between x(phase + factor, factor, 3); // as in the middle of a row
            const std::uint16_t* lower = line + 4 * (x.lower - 1);
            const std::uint16_t* upper = line + 4 * (x.upper - 1);
            const auto w0 = static_cast<std::uint16_t>(whole - x.weight), w1 = static_cast<std::uint16_t>(x.weight);
            const auto half = static_cast<std::uint16_t>(1 << (shift - 1));
            for (std::int64_t i = 0; i < bytes; ++i) {
                const auto sum = static_cast<std::uint16_t>(lower[i] * w0 + upper[i] * w1 + half);
                phases[phase * bytes + i] = static_cast<std::uint8_t>(sum >> shift);
            }
        }
        if (factor == 2)
            interleave<2>(phases, columns, to);
        else
            interleave<4>(phases, columns, to);
    }

    // Words of the phases in turn.
    template <int factor>
    static void interleave(const std::uint8_t* phases, std::int64_t columns, std::uint8_t* __restrict to) {
        for (std::int64_t column = 0; column < columns; ++column)
            for (std::int64_t phase = 0; phase < factor; ++phase)
                std::memcpy(to + 4 * (factor * column + phase), phases + 4 * (phase * columns + column), 4);
    }

    // The last convolution, from the integers around 128 to int8 with the class last.
    void add_logits(const QuantisedLayer& layer, const std::vector<Source>& from, std::vector<Need> needs,
                    std::int64_t nz, std::int64_t ny, std::int64_t nx) {
        const std::int64_t classes = layer.outputs, groups = groups_of(classes);
        const Planes& integers = add_tensor(zeros(classes, 128), ny, nx, planes_per_step_);
        const std::size_t last_stage = add_convolution("last", layer, from, integers, 0, nz, true, std::move(needs));
        Stage& stage = stages_[last_stage];
        stage.opens = false; // the planes are read in the same piece
        stage.make = [=, this, &integers, convolve = std::move(stage.make)](std::int64_t plane, std::int64_t first,
                                                                            std::int64_t last, int worker) {
            convolve(plane, first, last, worker);
            for (std::int64_t row = first; row < last; ++row) {
                std::int8_t* to = logits_.data + (plane * ny + row) * nx * classes;
                for (std::int64_t group = 0; group < groups; ++group) {
                    const std::uint8_t* from = integers.at(plane, group) + 4 * row * integers.pitch;
                    const auto count = static_cast<std::size_t>(std::min<std::int64_t>(4, classes - 4 * group));
                    for (std::int64_t column = 0; column < nx; ++column) {
                        std::uint32_t word;
                        std::memcpy(&word, from + 4 * column, 4);
                        word ^= 0x80808080; // 128 less
                        std::memcpy(to + column * classes + 4 * group, &word, count);
                    }
                }
            }
        };
    }

    View3<const std::uint8_t> region_;
    View4<std::int8_t> logits_;
    std::int64_t planes_per_step_;
    Instructions instructions_;
    std::deque<Planes> tensors_;
    std::deque<PackedConvolution> convolutions_;
    std::vector<Stage> stages_;
    Team team_;
    std::vector<Scratch> scratch_;
};

void require(bool holds, const std::string& what) {
    if (!holds)
        throw std::invalid_argument("dense_vnet: " + what);
}

void check_layer(const QuantisedLayer& layer, const std::string& name, std::int64_t inputs, std::int64_t side = 3) {
    require(layer.inputs == inputs,
            name + " has " + std::to_string(layer.inputs) + " inputs, must have " + std::to_string(inputs));
    require(layer.taps == Index3{side, side, side}, name + " must have " + std::to_string(side) + " taps an axis");
    const auto outputs = static_cast<std::size_t>(layer.outputs);
    require(layer.scale.size() == outputs && layer.bias.size() == outputs,
            name + " must have a scale and a bias an output");
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
    check_layer(network.entry, "entry", 1, 5);
    check_width(network.entry, "entry");
    std::int64_t channels = network.entry.outputs, joined = 1;
    for (std::size_t level = 0; level < levels; ++level) {
        require(!network.stacks[level].empty(), "a stack has no layer");
        for (const QuantisedLayer& layer : network.stacks[level]) {
            check_layer(layer, "a layer of stack " + std::to_string(level + 1), channels);
            check_width(layer, "a layer of stack " + std::to_string(level + 1));
            channels += layer.outputs;
        }
        check_layer(network.skips[level], "skip " + std::to_string(level + 1), channels);
        check_width(network.skips[level], "skip " + std::to_string(level + 1));
        require(level == 0 || network.skips[level].zero == 0, "the integer for 0 of an upsampled skip must be 0");
        joined += network.skips[level].outputs;
        if (level + 1 < levels) {
            check_layer(network.downs[level], "down " + std::to_string(level + 1), channels);
            check_width(network.downs[level], "down " + std::to_string(level + 1));
            channels = network.downs[level].outputs;
        }
    }
    check_layer(network.last, "the last layer", joined);
    require(network.last.outputs > 0 && network.last.outputs <= kMostOutputs, "the last layer has too many outputs");
}

} // namespace

std::vector<StageTime> dense_vnet(const QuantisedDenseVNet& network, View3<const std::uint8_t> region,
                                  View4<std::int8_t> logits, std::int64_t planes_per_step, Instructions instructions,
                                  int threads) {
    check(network, region, logits, planes_per_step);
    return Flow(network, region, logits, planes_per_step, instructions, threads).run();
}

} // namespace whs
