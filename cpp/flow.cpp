// Every stage makes one plane of its result as soon as the planes around it exist in its inputs. All stages go on side
// by side, each a few planes behind the one before, so a tensor needs only the planes between its producer and its
// slowest reader. In one step each stage makes what the planes of earlier steps allow; the pieces of a step are
// independent of one another and go to the threads by rows. What nobody needs for the wanted box of the last stage is
// not made.
#include "flow.hpp"

#include "team.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <stdexcept>

namespace whs {
namespace {

Range reached(const Reach& reach, const Range& wanted, std::int64_t n) {
    const auto at = [&](std::int64_t i) { return i * reach.up / reach.down; };
    return {std::max<std::int64_t>(0, at(wanted.first) + reach.first),
            std::min(n, at(wanted.last - 1) + reach.last + 1)};
}

Range hull(const Range& a, const Range& b) {
    return a.size() == 0 ? b : Range{std::min(a.first, b.first), std::max(a.last, b.last)};
}

// Carries a box of the last stage back through all stages, which stand behind those they need.
void want(std::vector<Stage>& stages, const Box& wanted) {
    stages.back().box = wanted;
    for (auto stage = stages.rbegin(); stage != stages.rend(); ++stage) {
        stage->done = stage->box.planes.first;
        for (const Need& need : stage->needs) {
            Stage& producer = stages[need.stage];
            const Planes& out = *producer.out;
            producer.box = {hull(producer.box.planes, reached(need.along_z, stage->box.planes, producer.planes)),
                            hull(producer.box.rows, reached(need.in_plane, stage->box.rows, out.rows)),
                            hull(producer.box.columns, reached(need.in_plane, stage->box.columns, out.columns))};
        }
    }
}

// The first plane of a tensor that a stage will still read.
std::int64_t oldest_in_use(const std::vector<Stage>& stages, const Planes& planes) {
    std::int64_t oldest = std::numeric_limits<std::int64_t>::max();
    for (const Stage& reader : stages)
        for (const Need& need : reader.needs)
            if (stages[need.stage].out == &planes && reader.done < reader.box.planes.last)
                oldest = std::min(oldest, reached(need.along_z, {reader.done, reader.done + 1}, planes.capacity).first);
    return oldest;
}

bool may_make(const std::vector<Stage>& stages, const Stage& stage, std::int64_t plane) {
    if (plane >= stage.box.planes.last)
        return false;
    for (const Need& need : stage.needs) {
        const Stage& producer = stages[need.stage];
        if (reached(need.along_z, {plane, plane + 1}, producer.planes).last > producer.done)
            return false;
    }
    return !stage.opens || plane - stage.out->capacity < oldest_in_use(stages, *stage.out);
}

} // namespace

std::vector<StageTime> run_flow(std::vector<Stage>& stages, const Box& wanted, std::int64_t planes_per_step,
                                int threads, const Watch& watch) {
    using Clock = std::chrono::steady_clock;
    struct Task {
        std::size_t stage;
        std::int64_t plane;
        Range rows;
    };
    want(stages, wanted);
    Team team(threads);
    std::vector<std::vector<Clock::duration>> spent(static_cast<std::size_t>(threads),
                                                    std::vector<Clock::duration>(stages.size()));
    std::vector<Task> tasks;
    std::vector<std::int64_t> made(stages.size());
    std::int64_t planes = 0, planes_done = 0;
    for (const Stage& stage : stages)
        planes += stage.box.planes.size();
    while (stages.back().done < stages.back().box.planes.last) {
        tasks.clear();
        for (std::size_t s = 0; s < stages.size(); ++s) {
            const Stage& stage = stages[s];
            const std::int64_t quota = std::max<std::int64_t>(1, planes_per_step * stage.planes / stages.back().planes);
            std::int64_t plane = stage.done;
            for (; plane < stage.done + quota && may_make(stages, stage, plane); ++plane)
                for (std::int64_t row = stage.box.rows.first; row < stage.box.rows.last; row += stage.rows_per_piece)
                    tasks.push_back({s, plane, {row, std::min(stage.box.rows.last, row + stage.rows_per_piece)}});
            made[s] = plane;
        }
        if (tasks.empty())
            throw std::logic_error("dense_vnet: no stage can go on");
        team.run(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t index, int worker) {
            const Task& task = tasks[static_cast<std::size_t>(index)];
            const Clock::time_point start = Clock::now();
            const Stage& stage = stages[task.stage];
            stage.make({task.plane, task.rows, worker}, stage.box);
            spent[static_cast<std::size_t>(worker)][task.stage] += Clock::now() - start;
        });
        for (std::size_t s = 0; s < stages.size(); ++s) {
            planes_done += made[s] - stages[s].done;
            stages[s].done = made[s];
        }
        watch(static_cast<double>(planes_done) / static_cast<double>(planes));
    }
    std::vector<StageTime> times;
    for (std::size_t s = 0; s < stages.size(); ++s) {
        std::chrono::duration<double> seconds{};
        for (const std::vector<Clock::duration>& of_worker : spent)
            seconds += of_worker[s];
        times.push_back({stages[s].name, seconds.count()});
    }
    return times;
}

} // namespace whs
