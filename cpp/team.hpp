// Threads that stay for many short pieces of work, where starting them anew each time (parallel.hpp) would show.
#pragma once

#include "parallel.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace whs {

class Team {
  public:
    explicit Team(int threads) {
        require_threads(threads);
        start_threads(workers_, threads - 1, [this](int worker) { follow(worker); });
    }
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;
    ~Team() {
        work_ = nullptr;
        call();
        for (std::thread& worker : workers_)
            worker.join();
    }

    // Calls work(task, worker) for the tasks [0, count), in order of their start; returns when all are done. The first
    // exception of a task keeps those not yet started from starting, and is rethrown here.
    void run(std::int64_t count, const std::function<void(std::int64_t, int)>& work) {
        FirstFailure failure;
        failure_ = &failure;
        work_ = &work;
        count_ = count;
        next_.store(0);
        busy_.store(static_cast<int>(workers_.size()));
        call();
        take(0);
        for (int busy = busy_.load(); busy != 0; busy = busy_.load())
            busy_.wait(busy);
        failure.rethrow();
    }

  private:
    void call() {
        calls_.fetch_add(1);
        calls_.notify_all();
    }

    void follow(int worker) {
        for (std::uint32_t seen = 0;; ++seen) {
            calls_.wait(seen);
            if (work_ == nullptr)
                return;
            take(worker);
            if (busy_.fetch_sub(1) == 1)
                busy_.notify_one();
        }
    }

    void take(int worker) {
        try {
            for (std::int64_t task = next_.fetch_add(1); task < count_; task = next_.fetch_add(1))
                (*work_)(task, worker);
        } catch (...) {
            next_.store(count_);
            failure_->keep();
        }
    }

    const std::function<void(std::int64_t, int)>* work_ = nullptr;
    FirstFailure* failure_ = nullptr;
    std::int64_t count_ = 0;
    std::atomic<std::int64_t> next_{0};
    std::atomic<int> busy_{0};
    std::atomic<std::uint32_t> calls_{0};
    std::vector<std::thread> workers_;
};

} // namespace whs
