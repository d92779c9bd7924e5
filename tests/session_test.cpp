#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/host.h"
#include "tests/test_data.h"

using namespace inlay::test;

namespace {

/// Prompt, verify and steps: the logits of all of them.
Logits play(const OpenModel& model, inlay_session* session, std::span<const int32_t> tokens) {
  Logits all = prefill(session, tokens, model.vocabulary());
  for (size_t i = 0; i + INLAY_MAX_WIDTH <= tokens.size(); i += INLAY_MAX_WIDTH) {
    const auto rows = verify(session, tokens.subspan(i, INLAY_MAX_WIDTH), model.vocabulary());
    for (const Logits& row : rows) all.insert(all.end(), row.begin(), row.end());
    commit(session, i % (INLAY_MAX_WIDTH + 1));
    const Logits row = step(session, tokens[i], model.vocabulary());
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

enum class Feed { kPrompt, kStep, kVerify };

inlay_status begin(inlay_session* session, Feed feed, std::span<const int32_t> tokens) {
  switch (feed) {
    case Feed::kPrompt: return inlay_session_begin_prefill(session, tokens.data(), tokens.size());
    case Feed::kStep: return inlay_session_begin_step(session, tokens.front());
    case Feed::kVerify: return inlay_session_begin_verify(session, tokens.data(), INLAY_MAX_WIDTH);
  }
  return INLAY_ERROR_INVALID_ARGUMENT;
}

/// Goes on with the work until `most` slices of it are done, or all; PENDING where some are left.
inlay_status run_slices(inlay_session* session, uint64_t most) {
  inlay_progress progress = INLAY_PROGRESS_INIT;
  uint64_t finished = 0, before = 0;  // of passes that are over, and of the one under way
  inlay_status status = INLAY_PENDING;
  while (status == INLAY_PENDING && finished + before < most) {
    status = inlay_session_advance(session, 1, &progress);
    if (progress.slices_done < before) finished += before;
    before = progress.slices_done;
  }
  return status;
}

}  // namespace

TEST_CASE("an empty session") {
  const OpenModel model(own_data("floats.gguf"));
  const Handle<inlay_session> session = model.session(session_params(300));
  const float* row = nullptr;
  CHECK(inlay_session_position(session.get()) == 0);
  CHECK(inlay_session_context_length(session.get()) == 300);
  CHECK(inlay_session_rewindable(session.get()) == 0);
  CHECK(inlay_session_logits(session.get(), 0, &row) == INLAY_ERROR_WRONG_STATE);
  CHECK(inlay_session_hidden(session.get(), 0, &row) == INLAY_ERROR_WRONG_STATE);
  CHECK(inlay_session_rewind(session.get(), 0) == INLAY_OK);
  CHECK(inlay_session_reset(session.get()) == INLAY_OK);
  CHECK(inlay_session_advance(session.get(), INLAY_NO_BUDGET, nullptr) == INLAY_OK);
  CHECK(inlay_session_context_length(model.session(session_params(0)).get()) == 4096);
}

TEST_CASE("what has been fed can be asked for") {
  const OpenModel model(own_data("floats.gguf"));
  const Handle<inlay_session> session = model.session(session_params(256, true));
  const std::vector<int32_t> tokens = random_tokens(1, 20, model.vocabulary());
  prefill(session.get(), tokens, model.vocabulary());
  verify(session.get(), std::span(tokens).first(5), model.vocabulary());
  CHECK(inlay_session_position(session.get()) == 20);
  commit(session.get(), 3);
  CHECK(inlay_session_position(session.get()) == 23);
  CHECK(inlay_session_rewindable(session.get()) == 3);
  REQUIRE(inlay_session_rewind(session.get(), 2) == INLAY_OK);
  CHECK(inlay_session_position(session.get()) == 21);
  const int32_t* kept = inlay_session_tokens(session.get());
  CHECK(std::vector<int32_t>(kept, kept + 20) == tokens);
  CHECK(kept[20] == tokens[0]);
  CHECK(inlay_session_rewind(session.get(), 2) == INLAY_ERROR_INVALID_ARGUMENT);
  REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
  CHECK(inlay_session_position(session.get()) == 0);
}

TEST_CASE("a reset session is a new one") {
  for (const std::filesystem::path& path : own_models()) {
    const OpenModel model(path);
    const Handle<inlay_session> session = model.session(session_params(256, model.mtp()));
    const std::vector<int32_t> tokens = random_tokens(2, 30, model.vocabulary());
    const Logits first = play(model, session.get(), tokens);
    REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
    CHECK(same_bits(play(model, session.get(), tokens), first));
  }
}

TEST_CASE("the number of threads changes nothing, nor does running again") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    std::optional<Logits> expected;
    for (const uint32_t threads : {1u, 2u, 3u, 4u, 7u, 1u}) {
      CAPTURE(threads);
      const OpenModel model(path, {.threads = threads});
      const Handle<inlay_session> session = model.session(session_params(256, model.mtp()));
      const Logits logits = play(model, session.get(), random_tokens(3, 50, model.vocabulary()));
      if (!expected) expected = logits;
      CHECK(same_bits(logits, *expected));
    }
  }
}

TEST_CASE("sessions in turn do not disturb each other") {
  const OpenModel model(own_data("blocks32.gguf"), {.threads = 2});
  const std::vector<int32_t> tokens = random_tokens(4, 60, model.vocabulary());
  const Handle<inlay_session> lone = model.session(session_params(256, true));
  const Handle<inlay_session> a = model.session(session_params(256, true));
  const Handle<inlay_session> b = model.session(session_params(512));
  for (const int32_t token : tokens) {
    CHECK(same_bits(step(lone.get(), token, model.vocabulary()), step(a.get(), token, model.vocabulary())));
    step(b.get(), tokens.back() - token < 0 ? 0 : tokens.back() - token, model.vocabulary());
  }
  // Passes of both under way at once, slice about.
  REQUIRE(begin(a.get(), Feed::kPrompt, tokens) == INLAY_OK);
  REQUIRE(begin(b.get(), Feed::kPrompt, std::span(tokens).first(50)) == INLAY_OK);
  inlay_status of_a = INLAY_PENDING, of_b = INLAY_PENDING;
  while (of_a == INLAY_PENDING || of_b == INLAY_PENDING) {
    if (of_a == INLAY_PENDING) of_a = inlay_session_advance(a.get(), 1, nullptr);
    if (of_b == INLAY_PENDING) of_b = inlay_session_advance(b.get(), 1, nullptr);
  }
  CHECK(of_a == INLAY_OK);
  CHECK(of_b == INLAY_OK);
  CHECK(
      same_bits(prefill(lone.get(), tokens, model.vocabulary()), logits_of(a.get(), 0, model.vocabulary())));
}

TEST_CASE("sessions on several host threads give what each gives alone") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path, {.threads = 3});
    std::vector<Logits> expected(4), together(4);
    const auto run = [&](size_t i, Logits* out) {
      const Handle<inlay_session> session = model.session(session_params(256, model.mtp()));
      *out = play(model, session.get(), random_tokens(i, 40 + i, model.vocabulary()));
    };
    for (size_t i = 0; i < expected.size(); ++i) run(i, &expected[i]);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < together.size(); ++i) threads.emplace_back(run, i, &together[i]);
    for (std::thread& thread : threads) thread.join();
    for (size_t i = 0; i < expected.size(); ++i) CHECK(same_bits(together[i], expected[i]));
  }
}

TEST_CASE("budgets change nothing") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path);
    const std::vector<int32_t> tokens = random_tokens(5, 45, model.vocabulary());
    const Handle<inlay_session> plain = model.session(session_params(256, model.mtp(), INLAY_KV_F16, 16));
    for (const uint64_t budget_us : {1u, 40u, 1000u, 1000000u}) {
      CAPTURE(budget_us);
      const Handle<inlay_session> session = model.session(session_params(256, model.mtp(), INLAY_KV_F16, 16));
      REQUIRE(inlay_session_reset(plain.get()) == INLAY_OK);
      for (const Feed feed : {Feed::kPrompt, Feed::kStep, Feed::kVerify, Feed::kPrompt}) {
        REQUIRE(begin(session.get(), feed, tokens) == INLAY_OK);
        inlay_progress progress = INLAY_PROGRESS_INIT;
        inlay_status status = INLAY_PENDING;
        while (status == INLAY_PENDING) status = inlay_session_advance(session.get(), budget_us, &progress);
        REQUIRE(status == INLAY_OK);
        REQUIRE(begin(plain.get(), feed, tokens) == INLAY_OK);
        REQUIRE(inlay_session_advance(plain.get(), INLAY_NO_BUDGET, nullptr) == INLAY_OK);
        CHECK(same_bits(logits_of(session.get(), 0, model.vocabulary()),
                        logits_of(plain.get(), 0, model.vocabulary())));
        if (feed != Feed::kVerify) continue;
        commit(session.get(), 4);
        commit(plain.get(), 4);
      }
    }
  }
}

TEST_CASE("a budget of nothing does nothing and reports") {
  const OpenModel model(own_data("floats.gguf"));
  const Handle<inlay_session> session = model.session(session_params(256));
  const std::vector<int32_t> tokens = random_tokens(6, 20, model.vocabulary());
  for (int round = 0; round < 2; ++round) {  // without times measured, and with
    REQUIRE(begin(session.get(), Feed::kPrompt, tokens) == INLAY_OK);
    inlay_progress progress = INLAY_PROGRESS_INIT;
    for (int i = 0; i < 50; ++i) {
      REQUIRE(inlay_session_advance(session.get(), 0, &progress) == INLAY_PENDING);
      REQUIRE(progress.slices_done == 0);
      REQUIRE(progress.slices_total > 10);
    }
    CHECK(progress.remaining_ns > 0);  // timed when the session was made
    CHECK((progress.longest_slice_ns > 0) == (round > 0));
    const float* logits = nullptr;
    CHECK(inlay_session_logits(session.get(), 0, &logits) == INLAY_ERROR_WRONG_STATE);
    REQUIRE(inlay_session_advance(session.get(), INLAY_NO_BUDGET, &progress) == INLAY_OK);
    CHECK(progress.slices_done == 0);
    CHECK(progress.remaining_ns == 0);
  }
  // With work stopped it reports that at once.
  REQUIRE(begin(session.get(), Feed::kStep, tokens) == INLAY_OK);
  inlay_session_cancel(session.get());
  CHECK(inlay_session_advance(session.get(), 0, nullptr) == INLAY_ERROR_CANCELLED);
}

TEST_CASE("work cancelled at any slice is as if never begun") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path);
    const std::vector<int32_t> tokens = random_tokens(7, 30, model.vocabulary());
    const inlay_session_params params = session_params(256, model.mtp(), INLAY_KV_F16, 12);
    for (const Feed feed : {Feed::kPrompt, Feed::kStep, Feed::kVerify}) {
      CAPTURE(static_cast<int>(feed));
      inlay_status status = INLAY_PENDING;
      for (uint64_t most = 0; status == INLAY_PENDING; most += emulated() ? 17 : 1) {
        CAPTURE(most);
        const Handle<inlay_session> session = model.session(params);
        const Handle<inlay_session> plain = model.session(params);
        for (inlay_session* each : {session.get(), plain.get()}) {
          prefill(each, std::span(tokens).first(5), model.vocabulary());
          verify(each, std::span(tokens).first(6), model.vocabulary());
          commit(each, 4);
        }
        REQUIRE(begin(session.get(), feed, tokens) == INLAY_OK);
        status = run_slices(session.get(), most);
        if (status != INLAY_PENDING) break;
        inlay_session_cancel(session.get());
        REQUIRE(inlay_session_advance(session.get(), INLAY_NO_BUDGET, nullptr) == INLAY_ERROR_CANCELLED);
        CHECK(message_of(session.get()) == "the work was cancelled");
        const uint64_t kept = inlay_session_position(session.get()) - 9;
        REQUIRE(kept % 12 == 0);
        if (kept > 0) prefill(plain.get(), std::span(tokens).first(kept), model.vocabulary());
        // Prompts on: the kept tokens are whole chunks, so the rest is cut as it would have been.
        REQUIRE(same_bits(prefill(session.get(), std::span(tokens).subspan(kept), model.vocabulary()),
                          prefill(plain.get(), std::span(tokens).subspan(kept), model.vocabulary())));
        REQUIRE(
            same_bits(step(session.get(), 1, model.vocabulary()), step(plain.get(), 1, model.vocabulary())));
      }
      REQUIRE(status == INLAY_OK);
    }
  }
}

TEST_CASE("a cancel from another thread stops the work") {
  const OpenModel model(own_data("blocks32.gguf"), {.threads = 2});
  const Handle<inlay_session> session = model.session(session_params(4096, true));
  const std::vector<int32_t> tokens = random_tokens(8, 4000, model.vocabulary());
  REQUIRE(begin(session.get(), Feed::kPrompt, tokens) == INLAY_OK);
  std::thread other([&] { inlay_session_cancel(session.get()); });
  const inlay_status status = inlay_session_advance(session.get(), INLAY_NO_BUDGET, nullptr);
  other.join();
  CHECK((status == INLAY_ERROR_CANCELLED || status == INLAY_OK));
  inlay_session_cancel(session.get());  // nothing is under way
  REQUIRE(inlay_session_reset(session.get()) == INLAY_OK);
  prefill(session.get(), std::span(tokens).first(10), model.vocabulary());
}

TEST_CASE("contexts that cross pages and attention runs") {
  // The rows after these lengths lie on both sides of a page, of a run of pages, of two runs.
  constexpr size_t kLengths[] = {1, 250, 2044, 4090};
  const OpenModel model(own_data("floats.gguf"), {.threads = 2});
  const inlay_session_params params = session_params(4097 + INLAY_MAX_WIDTH, true, INLAY_KV_F16, 512);
  const Handle<inlay_session> stepping = model.session(params);
  const Handle<inlay_session> verifying = model.session(params);
  const Handle<inlay_session> prompted = model.session(params);
  const std::vector<int32_t> tokens = random_tokens(9, 4097 + INLAY_MAX_WIDTH, model.vocabulary());
  size_t fed = 0;
  for (const size_t length : std::span(kLengths).first(emulated() ? 3 : 4)) {
    CAPTURE(length);
    while (fed < length) {
      const size_t width = std::min<size_t>(INLAY_MAX_WIDTH, length - fed);
      for (inlay_session* session : {stepping.get(), verifying.get()}) {
        REQUIRE(inlay_session_verify(session, tokens.data() + fed, width) == INLAY_OK);
        commit(session, width);
      }
      fed += width;
    }
    const std::span<const int32_t> rest = std::span(tokens).subspan(length, INLAY_MAX_WIDTH);
    const auto rows = verify(verifying.get(), rest, model.vocabulary());
    commit(verifying.get(), rest.size());
    for (size_t i = 0; i < rest.size(); ++i) {
      CHECK(same_bits(step(stepping.get(), rest[i], model.vocabulary()), rows[i]));
    }
    fed += rest.size();
    for (size_t i = 0; i < rest.size(); i += 3) {
      REQUIRE(inlay_session_reset(prompted.get()) == INLAY_OK);
      const Logits wide =
          prefill(prompted.get(), std::span(tokens).first(length + i + 1), model.vocabulary());
      CHECK(nmse(wide, rows[i]) < 1e-4);
    }
  }
}

TEST_CASE("a context can be filled to its last token and no further") {
  const OpenModel model(own_data("floats.gguf"));
  for (const uint32_t context : {1u, 8u, 255u, 256u, 300u}) {
    CAPTURE(context);
    const Handle<inlay_session> session = model.session(session_params(context, true));
    const std::vector<int32_t> tokens = random_tokens(10, context + 1, model.vocabulary());
    CHECK(inlay_session_prefill(session.get(), tokens.data(), context + 1) == INLAY_ERROR_CONTEXT_FULL);
    CHECK(message_of(session.get()).find(std::to_string(context)) != std::string::npos);
    CHECK(inlay_session_position(session.get()) == 0);
    if (context > 1) prefill(session.get(), std::span(tokens).first(context - 1), model.vocabulary());
    CHECK(inlay_session_verify(session.get(), tokens.data(), 2) == INLAY_ERROR_CONTEXT_FULL);
    step(session.get(), tokens.front(), model.vocabulary());
    CHECK(inlay_session_position(session.get()) == context);
    CHECK(inlay_session_step(session.get(), 0) == INLAY_ERROR_CONTEXT_FULL);
    REQUIRE(inlay_session_rewind(session.get(), 1) == INLAY_OK);
    step(session.get(), tokens.front(), model.vocabulary());
  }
}

TEST_CASE("a fork goes its own way") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path);
    const Handle<inlay_session> session = model.session(session_params(1200, model.mtp(), INLAY_KV_Q8));
    const std::vector<int32_t> tokens = random_tokens(11, 300, model.vocabulary());
    prefill(session.get(), tokens, model.vocabulary());
    verify(session.get(), std::span(tokens).first(8), model.vocabulary());
    commit(session.get(), 5);
    const uint64_t before = memory_of(model.runtime());
    inlay_session* forked = nullptr;
    REQUIRE(inlay_session_fork(session.get(), &forked) == INLAY_OK);
    const Handle<inlay_session> fork(forked);
    inlay_memory_plan plan = INLAY_MEMORY_PLAN_INIT;
    const inlay_session_params params = session_params(1200, model.mtp(), INLAY_KV_Q8);
    REQUIRE(inlay_model_plan(model.get(), &params, &plan) == INLAY_OK);
    CHECK(memory_of(model.runtime()) - before == plan.session_host + plan.scratch_host);
    const float* logits = nullptr;
    CHECK(inlay_session_logits(forked, 0, &logits) == INLAY_ERROR_WRONG_STATE);
    CHECK(inlay_session_position(forked) == 305);
    CHECK(inlay_session_rewindable(forked) == 5);
    REQUIRE(inlay_session_rewind(forked, 3) == INLAY_OK);
    REQUIRE(inlay_session_rewind(session.get(), 3) == INLAY_OK);
    for (const int32_t token : tokens) {
      if (token % 2 == 0) step(forked, token, model.vocabulary());
    }
    const Handle<inlay_session> plain = model.session(params);
    prefill(plain.get(), tokens, model.vocabulary());
    for (size_t i = 0; i < 2; ++i) step(plain.get(), tokens[i], model.vocabulary());
    CHECK(same_bits(play(model, session.get(), tokens), play(model, plain.get(), tokens)));
  }
}
