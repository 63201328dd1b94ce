// Every stage makes one plane of its result as soon as the planes around it exist in its inputs. All stages go on side
// by side, each a few planes behind the one before, so a tensor needs only the planes between its producer and its
// slowest reader. In one step each stage makes what the planes of earlier steps allow; the pieces of a step are
// independent of one another and go to the threads by rows.
#include "flow.hpp"

#include "team.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <stdexcept>

namespace whs {
namespace {

// The first plane of a tensor that a stage will still read.
std::int64_t oldest_in_use(const std::vector<Stage>& stages, const Planes& planes) {
    std::int64_t oldest = std::numeric_limits<std::int64_t>::max();
    for (const Stage& reader : stages)
        for (const Need& need : reader.needs)
            if (stages[need.stage].out == &planes && reader.done < reader.planes)
                oldest = std::min(oldest, std::max<std::int64_t>(0, reader.done * need.up / need.down + need.first));
    return oldest;
}

bool may_make(const std::vector<Stage>& stages, const Stage& stage, std::int64_t plane) {
    if (plane >= stage.planes)
        return false;
    for (const Need& need : stage.needs) {
        const Stage& producer = stages[need.stage];
        if (std::min(plane * need.up / need.down + need.last, producer.planes - 1) >= producer.done)
            return false;
    }
    return !stage.opens || plane - stage.out->capacity < oldest_in_use(stages, *stage.out);
}

} // namespace

std::vector<StageTime> run_flow(std::vector<Stage> stages, std::int64_t planes_per_step, int threads,
                                const Watch& watch) {
    using Clock = std::chrono::steady_clock;
    struct Task {
        std::size_t stage;
        std::int64_t plane, first_row, last_row;
    };
    Team team(threads);
    std::vector<std::vector<Clock::duration>> spent(static_cast<std::size_t>(threads),
                                                    std::vector<Clock::duration>(stages.size()));
    std::vector<Task> tasks;
    std::vector<std::int64_t> made(stages.size());
    std::int64_t planes = 0, planes_done = 0;
    for (const Stage& stage : stages)
        planes += stage.planes;
    while (stages.back().done < stages.back().planes) {
        tasks.clear();
        for (std::size_t s = 0; s < stages.size(); ++s) {
            const Stage& stage = stages[s];
            const std::int64_t quota = std::max<std::int64_t>(1, planes_per_step * stage.planes / stages.back().planes);
            std::int64_t plane = stage.done;
            for (; plane < stage.done + quota && may_make(stages, stage, plane); ++plane)
                for (std::int64_t row = 0; row < stage.out->rows; row += stage.rows_per_piece)
                    tasks.push_back({s, plane, row, std::min(stage.out->rows, row + stage.rows_per_piece)});
            made[s] = plane;
        }
        if (tasks.empty())
            throw std::logic_error("dense_vnet: no stage can go on");
        team.run(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t index, int worker) {
            const Task& task = tasks[static_cast<std::size_t>(index)];
            const Clock::time_point start = Clock::now();
            stages[task.stage].make({task.plane, task.first_row, task.last_row, worker});
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
