#include "kernels/cpu/thread_pool.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace inlay::cpu {
namespace {

// A helper looks this often for a new job before it sleeps: longer than the gap between two operations of a
// pass, shorter than a host would notice on an idle core.
constexpr int kSpins = 4000;

void pause_thread() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(uint32_t threads, std::pmr::memory_resource* resource) : helpers_(resource) {
  helpers_.reserve(threads - 1);
  try {
    for (uint32_t worker = 1; worker < threads; ++worker)
      helpers_.emplace_back([this, worker] { help(worker); });
  } catch (...) {
    stop_helpers();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop_helpers(); }

void ThreadPool::stop_helpers() {
  stop_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

bool ThreadPool::take_and_run(uint32_t epoch, uint32_t worker) {
  uint64_t tickets = tickets_.load(std::memory_order_acquire);
  for (;;) {
    if (static_cast<uint32_t>(tickets >> 32) != epoch || static_cast<uint32_t>(tickets) == 0) return false;
    if (tickets_.compare_exchange_weak(tickets, tickets - 1, std::memory_order_acq_rel)) break;
  }
  fn_(context_, tasks_ - static_cast<uint32_t>(tickets), worker);
  done_.fetch_add(1, std::memory_order_release);
  return true;
}

void ThreadPool::run_erased(uint32_t tasks, TaskFn fn, void* context) {
  if (tasks <= 1 || helpers_.empty() || taken_.exchange(true, std::memory_order_acquire)) {
    for (uint32_t task = 0; task < tasks; ++task) fn(context, task, 0);
    return;
  }
  fn_ = fn;
  context_ = context;
  tasks_ = tasks;
  done_.store(0, std::memory_order_relaxed);
  const uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  tickets_.store(static_cast<uint64_t>(epoch) << 32 | tasks, std::memory_order_release);
  epoch_.store(epoch, std::memory_order_release);
  epoch_.notify_all();
  while (take_and_run(epoch, 0)) {
  }
  while (done_.load(std::memory_order_acquire) != tasks) pause_thread();
  taken_.store(false, std::memory_order_release);
}

void ThreadPool::help(uint32_t worker) {
  uint32_t seen = 0;
  for (;;) {
    uint32_t epoch = epoch_.load(std::memory_order_acquire);
    for (int spin = 0; epoch == seen && spin < kSpins; ++spin) {
      pause_thread();
      epoch = epoch_.load(std::memory_order_acquire);
    }
    if (epoch == seen) {
      epoch_.wait(seen, std::memory_order_acquire);
      continue;
    }
    if (stop_.load(std::memory_order_relaxed)) return;
    seen = epoch;
    while (take_and_run(epoch, worker)) {
    }
  }
}

}  // namespace inlay::cpu
