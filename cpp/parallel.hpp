// Work in fixed chunks on plain threads. The chunks depend on the work alone, never on the number of threads, so
// results that are written per chunk are the same bits for any number of threads. std::thread and not OpenMP:
// OpenVINO's own threads live in the same process. The first exception of a worker is rethrown in the caller.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>
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

// Starts threads that call work(worker) for the workers 1 to count, or fewer of them where the system has neither
// threads nor memory left: those that run, and the caller, do the work.
template <class Work>
void start_threads(std::vector<std::thread>& threads, int count, const Work& work) {
    try {
        threads.reserve(static_cast<std::size_t>(count));
        for (int worker = 1; worker <= count; ++worker)
            threads.emplace_back(work, worker);
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
}

// The first exception of several threads.
class FirstFailure {
  public:
    // Called while an exception is handled.
    void keep() {
        const std::lock_guard lock(mutex_);
        if (!failure_)
            failure_ = std::current_exception();
    }
    // Called when the threads are done.
    void rethrow() const {
        if (failure_)
            std::rethrow_exception(failure_);
    }

  private:
    std::mutex mutex_;
    std::exception_ptr failure_;
};

// Calls work(begin, end, worker) for the chunks [0, chunk), [chunk, 2 chunk), ... of [0, count); worker < threads.
template <class Work>
void parallel_chunks(std::int64_t count, std::int64_t chunk, int threads, Work&& work) {
    require_threads(threads);
    std::atomic<std::int64_t> next{0};
    FirstFailure failure;
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
            failure.keep();
        }
    };
    const std::int64_t chunks = (count + chunk - 1) / chunk;
    std::vector<std::thread> workers;
    start_threads(workers, std::max(0, static_cast<int>(std::min<std::int64_t>(threads, chunks)) - 1), run);
    run(0);
    for (std::thread& worker : workers)
        worker.join();
    failure.rethrow();
}

} // namespace whs
