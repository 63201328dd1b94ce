// Work in fixed chunks on plain threads. The chunks depend on the work alone, never on the number of threads, so
// results that are written per chunk are the same bits for any number of threads. std::thread and not OpenMP:
// OpenVINO's own threads live in the same process. The first exception of a worker is rethrown in the caller.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace whs {

inline void require_threads(int threads) {
    if (threads < 1)
        throw std::invalid_argument("threads is " + std::to_string(threads) + ", must be at least 1");
}

// Calls work(begin, end, worker) for the chunks [0, chunk), [chunk, 2 chunk), ... of [0, count); worker < threads.
template <class Work>
void parallel_chunks(std::int64_t count, std::int64_t chunk, int threads, Work&& work) {
    require_threads(threads);
    std::atomic<std::int64_t> next{0};
    std::exception_ptr failure;
    std::mutex failure_mutex;
    auto run = [&](int worker) {
        try {
            for (;;) {
                const std::int64_t begin = next.fetch_add(chunk);
                if (begin >= count)
                    return;
                work(begin, std::min(count, begin + chunk), worker);
            }
        } catch (...) {
            next.store(count);
            const std::lock_guard lock(failure_mutex);
            if (!failure)
                failure = std::current_exception();
        }
    };
    const std::int64_t chunks = (count + chunk - 1) / chunk;
    const int extra = static_cast<int>(std::min<std::int64_t>(threads, chunks)) - 1;
    std::vector<std::thread> workers;
    workers.reserve(static_cast<std::size_t>(extra > 0 ? extra : 0));
    try {
        for (int worker = 1; worker <= extra; ++worker)
            workers.emplace_back(run, worker);
    } catch (const std::system_error&) {
        // The system refuses more threads: those already started and this one do the work.
    }
    run(0);
    for (std::thread& worker : workers)
        worker.join();
    if (failure)
        std::rethrow_exception(failure);
}

} // namespace whs
