#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <thread>
#include <vector>

namespace inlay::cpu {

/// Threads that share out the tasks of one loop at a time, from the first task on. Which thread runs a task
/// never changes a result.
///
/// Several host threads may call run() at once: one gets the helpers, the others run their tasks alone, so
/// nobody waits for anybody else's work.
class ThreadPool {
 public:
  /// `threads` counts the caller of run(): threads - 1 helpers are started. Throws std::system_error.
  ThreadPool(uint32_t threads, std::pmr::memory_resource* resource);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  uint32_t threads() const { return static_cast<uint32_t>(helpers_.size()) + 1; }

  /// Calls f(task, worker) for every task in [0, tasks) and returns when all are done; worker < threads() is
  /// unique among the calls that run at the same time.
  template <typename F>
  void run(uint32_t tasks, F& f) {
    run_erased(
        tasks,
        [](void* context, uint32_t task, uint32_t worker) { (*static_cast<F*>(context))(task, worker); }, &f);
  }

 private:
  using TaskFn = void (*)(void* context, uint32_t task, uint32_t worker);

  void run_erased(uint32_t tasks, TaskFn fn, void* context);
  void help(uint32_t worker);
  void stop_helpers();
  bool take_and_run(uint32_t epoch, uint32_t worker);

  std::pmr::vector<std::thread> helpers_;
  // The job at hand. Written before its tickets are published, read only by who holds one of them.
  TaskFn fn_ = nullptr;
  void* context_ = nullptr;
  uint32_t tasks_ = 0;
  alignas(64) std::atomic<uint64_t> tickets_{0};  // epoch << 32 | tasks not yet taken
  alignas(64) std::atomic<uint32_t> done_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};  // what helpers sleep on
  std::atomic<bool> taken_{false};
  std::atomic<bool> stop_{false};
};

}  // namespace inlay::cpu
