#include "kernels/cpu/thread_pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory_resource>
#include <thread>
#include <vector>

using inlay::cpu::ThreadPool;

namespace {

/// Runs loops of many sizes; how many of their tasks did not run exactly once, by a worker that is there.
uint64_t wrong_tasks(ThreadPool& pool, int loops) {
  uint64_t wrong = 0;
  for (int loop = 0; loop < loops; ++loop) {
    const auto tasks = static_cast<uint32_t>(loop * 7 % 41);
    std::vector<uint32_t> runs(tasks);  // not atomic: each is one task's own, and the caller's afterwards
    std::atomic<uint32_t> strangers{0};
    auto work = [&](uint32_t task, uint32_t worker) {
      ++runs[task];
      if (worker >= pool.threads()) ++strangers;
    };
    pool.run(tasks, work);
    for (const uint32_t count : runs) wrong += count != 1;
    wrong += strangers;
  }
  return wrong;
}

}  // namespace

TEST_CASE("every task runs exactly once") {
  for (const uint32_t threads : {1u, 2u, 3u, 8u}) {
    ThreadPool pool(threads, std::pmr::get_default_resource());
    CHECK(pool.threads() == threads);
    CHECK(wrong_tasks(pool, 2000) == 0);
  }
}

TEST_CASE("every task runs exactly once with several callers at once") {
  ThreadPool pool(3, std::pmr::get_default_resource());
  std::atomic<uint64_t> wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) callers.emplace_back([&] { wrong += wrong_tasks(pool, 1000); });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

TEST_CASE("no two tasks of a loop share a worker at the same time") {
  ThreadPool pool(4, std::pmr::get_default_resource());
  std::vector<std::atomic<int>> inside(pool.threads());
  std::atomic<int> collisions{0};
  auto work = [&](uint32_t, uint32_t worker) {
    if (inside[worker].fetch_add(1) != 0) ++collisions;
    std::this_thread::yield();
    inside[worker].fetch_sub(1);
  };
  for (int loop = 0; loop < 50; ++loop) pool.run(20, work);
  CHECK(collisions == 0);
}

TEST_CASE("what a loop wrote is seen by the next one's tasks") {
  ThreadPool pool(4, std::pmr::get_default_resource());
  std::vector<uint32_t> values(64), sums(64);
  for (uint32_t round = 1; round <= 500; ++round) {
    auto write = [&](uint32_t task, uint32_t) { values[task] = round; };
    auto add = [&](uint32_t task, uint32_t) {
      sums[task] = 0;
      for (const uint32_t value : values) sums[task] += value;
    };
    pool.run(64, write);
    pool.run(64, add);
    for (const uint32_t sum : sums) REQUIRE(sum == 64 * round);
  }
}

TEST_CASE("a loop inside a task runs, too") {
  ThreadPool pool(3, std::pmr::get_default_resource());
  std::atomic<int> runs{0};
  auto inner = [&](uint32_t, uint32_t) { ++runs; };
  auto outer = [&](uint32_t, uint32_t) { pool.run(5, inner); };
  for (int loop = 0; loop < 100; ++loop) pool.run(4, outer);
  CHECK(runs == 100 * 4 * 5);
}

TEST_CASE("pools come and go with their threads awake or asleep") {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(4, std::pmr::get_default_resource());
    if (i % 2 == 0) CHECK(wrong_tasks(pool, 3) == 0);
    if (i % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}
