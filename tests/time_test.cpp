#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay::test;

// What is said of time before, while and after it passes. That budgets are kept is tests/soak/frames.cpp's.

namespace {

uint64_t now_ns() {
  return static_cast<uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}

uint64_t p99_of(inlay_session* session, size_t prompt, size_t rounds, uint32_t width) {
  inlay_estimate estimate = INLAY_ESTIMATE_INIT;
  REQUIRE(inlay_session_estimate(session, prompt, rounds, width, &estimate) == INLAY_OK);
  CHECK(estimate.expected_ns > 0);
  CHECK(estimate.p99_ns >= estimate.expected_ns);
  CHECK(estimate.longest_slice_ns > 0);
  CHECK(estimate.longest_slice_ns <= estimate.p99_ns);
  return estimate.p99_ns;
}

}  // namespace

TEST_CASE("attention cut by keys changes nothing, for any number of threads") {
  // 9,000 keys: several slices a row, several runs a row, and a context that ends in the middle of both.
  std::optional<Logits> expected;
  for (const uint32_t threads : {1u, 2u, 5u, 16u}) {
    const OpenModel model(own_data("blocks32.gguf"), {.threads = threads});
    const Handle<inlay_session> session = model.session(session_params(9216, model.mtp()));
    Logits all = prefill(session.get(), random_tokens(1, 9000, model.vocabulary()), model.vocabulary());
    const std::vector<int32_t> more = random_tokens(2, 8, model.vocabulary());
    const std::vector<Logits> rows = verify(session.get(), more, model.vocabulary());
    commit(session.get(), 0);
    for (size_t i = 0; i < 3; ++i) {
      const Logits row = step(session.get(), more[i], model.vocabulary());
      CHECK(same_bits(row, rows[i]));
      all.insert(all.end(), row.begin(), row.end());
    }
    if (!expected) expected = all;
    CHECK(same_bits(all, *expected));
  }
}

TEST_CASE("slices are known before the first one, and do not grow with depth") {
  const OpenModel model(own_data("blocks32.gguf"));
  const Handle<inlay_session> session = model.session(session_params(8192));
  inlay_estimate shallow = INLAY_ESTIMATE_INIT, deep = INLAY_ESTIMATE_INIT;
  REQUIRE(inlay_session_estimate(session.get(), 0, 1, 8, &shallow) == INLAY_OK);
  CHECK(shallow.longest_slice_ns > 0);
  const std::vector<int32_t> tokens = random_tokens(1, 8000, model.vocabulary());
  const auto slices_of_a_verify = [&] {
    inlay_progress progress = INLAY_PROGRESS_INIT;
    REQUIRE(inlay_session_begin_verify(session.get(), tokens.data(), 8) == INLAY_OK);
    REQUIRE(inlay_session_advance(session.get(), 0, &progress) == INLAY_PENDING);
    REQUIRE(inlay_session_finish(session.get()) == INLAY_OK);
    commit(session.get(), 0);
    return progress.slices_total;
  };
  const uint64_t slices = slices_of_a_verify();
  REQUIRE(inlay_session_prefill(session.get(), tokens.data(), tokens.size()) == INLAY_OK);
  CHECK(slices_of_a_verify() > slices);  // more of them, not longer ones
  REQUIRE(inlay_session_estimate(session.get(), 0, 1, 8, &deep) == INLAY_OK);
  CHECK(deep.expected_ns > shallow.expected_ns / 4);
}

TEST_CASE("the admission question") {
  const OpenModel model(own_data("blocks32.gguf"));
  const Handle<inlay_session> session = model.session(session_params(4096, true));
  // More of anything takes longer.
  CHECK(p99_of(session.get(), 100, 0, 1) < p99_of(session.get(), 2000, 0, 1));
  CHECK(p99_of(session.get(), 0, 10, 1) < p99_of(session.get(), 0, 100, 1));
  CHECK(p99_of(session.get(), 2000, 10, 1) > p99_of(session.get(), 2000, 0, 1));
  inlay_estimate estimate = INLAY_ESTIMATE_INIT;
  inlay_session* s = session.get();
  CHECK(inlay_session_estimate(s, 4097, 0, 1, &estimate) == INLAY_ERROR_CONTEXT_FULL);
  CHECK(inlay_session_estimate(s, 4000, 97, 1, &estimate) == INLAY_ERROR_CONTEXT_FULL);
  CHECK(inlay_session_estimate(s, 4000, SIZE_MAX, 8, &estimate) == INLAY_ERROR_CONTEXT_FULL);
  CHECK(inlay_session_estimate(s, 0, 1, 9, &estimate) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_session_estimate(s, 0, 1, 1, nullptr) == INLAY_ERROR_INVALID_ARGUMENT);
  CHECK(inlay_session_estimate(nullptr, 0, 1, 1, &estimate) == INLAY_ERROR_INVALID_ARGUMENT);
  // It costs nothing of the session.
  CHECK(inlay_session_position(s) == 0);
}

TEST_CASE("work takes about as long as was said") {
  if (!full_speed()) return;
  const OpenModel model(own_data("blocks256.gguf"));
  const Handle<inlay_session> session = model.session(session_params(2048));
  const std::vector<int32_t> tokens = random_tokens(1, 512, model.vocabulary());
  // Other programs take the core away now and then: what was said at best and at worst must do.
  uint64_t shortest = UINT64_MAX, longest = 0, least_said = UINT64_MAX, most_said = 0;
  for (int round = 0; round < 20; ++round) {
    const uint64_t p99 = p99_of(session.get(), tokens.size(), 0, 1);
    const uint64_t begin = now_ns();
    REQUIRE(inlay_session_prefill(session.get(), tokens.data(), tokens.size()) == INLAY_OK);
    const uint64_t took = now_ns() - begin;
    REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
    shortest = std::min(shortest, took);
    longest = std::max(longest, took);
    least_said = std::min(least_said, p99);
    most_said = std::max(most_said, p99);
  }
  CHECK(shortest <= most_said);
  CHECK(longest >= least_said / 8);
}

TEST_CASE("progress says where the work is") {
  const OpenModel model(own_data("blocks32.gguf"));
  const Handle<inlay_session> session = model.session(session_params(512, true, INLAY_KV_F16, 64));
  const std::vector<int32_t> tokens = random_tokens(1, 300, model.vocabulary());
  REQUIRE(inlay_session_begin_prefill(session.get(), tokens.data(), tokens.size()) == INLAY_OK);
  inlay_progress progress = INLAY_PROGRESS_INIT;
  uint64_t done = 0;
  inlay_status status = INLAY_PENDING;
  while ((status = inlay_session_advance(session.get(), 20, &progress)) == INLAY_PENDING) {
    CHECK(progress.tokens_total == 300);
    CHECK(progress.tokens_done >= done);
    CHECK(progress.position == progress.tokens_done);
    CHECK(progress.slices_done < progress.slices_total);
    CHECK(progress.remaining_ns > 0);
    done = progress.tokens_done;
  }
  REQUIRE(status == INLAY_OK);
  CHECK(done == 256);
  CHECK(progress.position == 300);
  CHECK(progress.tokens_total == 0);
  CHECK(progress.remaining_ns == 0);
}

TEST_CASE("a pass that is polled is the pass that is stepped") {
  const OpenModel model(own_data("blocks32.gguf"));
  const Handle<inlay_session> polled = model.session(session_params(512, true)),
                              plain = model.session(session_params(512, true));
  const std::vector<int32_t> tokens = random_tokens(1, 300, model.vocabulary());
  REQUIRE(inlay_session_begin_prefill(polled.get(), tokens.data(), tokens.size()) == INLAY_OK);
  int polls = 0;
  inlay_status status = INLAY_PENDING;
  while ((status = inlay_session_poll(polled.get())) == INLAY_PENDING) ++polls;
  REQUIRE(status == INLAY_OK);
  CHECK(polls > 50);
  CHECK(inlay_session_poll(polled.get()) == INLAY_OK);
  CHECK(same_bits(logits_of(polled.get(), 0, model.vocabulary()),
                  prefill(plain.get(), tokens, model.vocabulary())));
  REQUIRE(inlay_session_begin_step(polled.get(), 1) == INLAY_OK);
  REQUIRE(inlay_session_poll(polled.get()) == INLAY_PENDING);
  REQUIRE(inlay_session_finish(polled.get()) == INLAY_OK);
  CHECK(same_bits(logits_of(polled.get(), 0, model.vocabulary()), step(plain.get(), 1, model.vocabulary())));
  REQUIRE(inlay_session_begin_step(polled.get(), 1) == INLAY_OK);
  inlay_session_cancel(polled.get());
  CHECK(inlay_session_poll(polled.get()) == INLAY_ERROR_CANCELLED);
}

TEST_CASE("sampling is part of the longest slice that is told") {
  const OpenModel model(own_data("blocks32.gguf"));
  const Handle<inlay_session> session = model.session(session_params(512));
  inlay_generator* made = nullptr;
  REQUIRE(inlay_generator_create(session.get(), nullptr, &made) == INLAY_OK);
  const Handle<inlay_generator> generator(made);
  inlay_progress progress = INLAY_PROGRESS_INIT;
  REQUIRE(inlay_generator_get_progress(made, &progress) == INLAY_OK);
  CHECK(progress.longest_slice_ns == 0);
  REQUIRE(inlay_generator_prompt_text(made, "hello", 5, 0) == INLAY_OK);
  inlay_output output = INLAY_OUTPUT_INIT;
  REQUIRE(inlay_generator_next(made, INLAY_NO_BUDGET, &output) >= INLAY_OK);
  REQUIRE(inlay_generator_get_progress(made, &progress) == INLAY_OK);
  CHECK(progress.longest_slice_ns > 0);
  CHECK(progress.position == 5);
  CHECK(inlay_generator_get_progress(nullptr, &progress) == INLAY_ERROR_INVALID_ARGUMENT);
}
