#include <doctest/doctest.h>

#include <array>
#include <string>

#include "tests/timeline.h"

using namespace inlay::test;

// Speculation never changes a bit: verified rows are those of steps at any width, and what was taken back was
// never there.

TEST_CASE("rows of a verify are those of steps, at every width") {
  constexpr size_t kPrompts[] = {0, 1, 3, 40};
  for (const std::filesystem::path& path : own_models()) {
    for (const std::string& set : instruction_sets()) {
      for (const int32_t kv_type : {INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}) {
        CAPTURE(path.string());
        CAPTURE(set);
        CAPTURE(kv_type);
        const OpenModel model(path, {.instruction_set = set.c_str()});
        // One prompt will do for what depends on neither the type nor the set.
        const size_t count = kv_type == INLAY_KV_F16 && set.empty() ? std::size(kPrompts) : 2;
        check_widths(model, session_params(256, model.mtp(), kv_type, 32), std::span(kPrompts).last(count));
      }
    }
  }
}

TEST_CASE("rows of a verify are those of steps in a long context that takes its prompts token by token") {
  // The scratch has then no rows but those of a verify, each with several runs of keys.
  constexpr size_t kPrompts[] = {3, 40};
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path, {.threads = 2});
    check_widths(model, session_params(9000, model.mtp(), INLAY_KV_F16, 1), kPrompts);
  }
}

TEST_CASE("random plays equal plain replays") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path, {.threads = 2});
    for (uint64_t seed = 0; seed < 12; ++seed) {
      const auto kv_type = std::array{INLAY_KV_F16, INLAY_KV_FP8, INLAY_KV_Q8}[seed % 3];
      check_random_play(model,
                        session_params(120, model.mtp() && seed % 2 == 0, kv_type, seed % 4 == 0 ? 7 : 32),
                        seed, 120);
    }
  }
}

TEST_CASE("rejecting everything and going on is never having drafted") {
  for (const std::filesystem::path& path : own_models()) {
    CAPTURE(path.string());
    const OpenModel model(path);
    const Handle<inlay_session> drafting = model.session(session_params(256, model.mtp()));
    const Handle<inlay_session> plain = model.session(session_params(256, model.mtp()));
    const std::vector<int32_t> tokens = random_tokens(4, 40, model.vocabulary());
    prefill(drafting.get(), tokens, model.vocabulary());
    prefill(plain.get(), tokens, model.vocabulary());
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::vector<int32_t> drafts = random_tokens(100 + i, 1 + i % INLAY_MAX_WIDTH, model.vocabulary());
      verify(drafting.get(), drafts, model.vocabulary());
      commit(drafting.get(), 0);
      drafts.front() = tokens[i];
      const auto rows = verify(drafting.get(), drafts, model.vocabulary());
      commit(drafting.get(), 1);
      CHECK(same_bits(rows.front(), step(plain.get(), tokens[i], model.vocabulary())));
    }
  }
}

TEST_CASE("taking back committed tokens leaves no trace") {
  const OpenModel model(own_models().front());
  const Handle<inlay_session> session = model.session(session_params(256, true));
  const Handle<inlay_session> plain = model.session(session_params(256, true));
  const std::vector<int32_t> tokens = random_tokens(5, 60, model.vocabulary());
  for (size_t i = 0; i + INLAY_MAX_WIDTH < tokens.size(); ++i) {
    verify(session.get(), std::span(tokens).subspan(i, INLAY_MAX_WIDTH), model.vocabulary());
    commit(session.get(), 1 + i % INLAY_MAX_WIDTH);
    const float* logits = nullptr;
    const size_t left = inlay_session_rewindable(session.get()) - 1;
    REQUIRE(inlay_session_rewind(session.get(), left) == INLAY_OK);
    REQUIRE(inlay_session_logits(session.get(), 0, &logits) == INLAY_OK);
    CHECK(same_bits({logits, model.vocabulary()}, step(plain.get(), tokens[i], model.vocabulary())));
    CHECK(inlay_session_logits(session.get(), 1, &logits) == INLAY_ERROR_WRONG_STATE);
    CHECK(logits == nullptr);
  }
}

TEST_CASE("the MTP head beside the model changes none of its logits") {
  for (const std::filesystem::path& path : own_models()) {
    const OpenModel model(path);
    if (!model.mtp()) continue;
    CAPTURE(path.string());
    const Handle<inlay_session> with = model.session(session_params(256, true));
    const Handle<inlay_session> without = model.session(session_params(256, false));
    const std::vector<int32_t> tokens = random_tokens(6, 100, model.vocabulary());
    for (size_t i = 0; i < tokens.size(); i += 10) {
      const std::span<const int32_t> piece = std::span(tokens).subspan(i, 10);
      CHECK(same_bits(prefill(with.get(), piece, model.vocabulary()),
                      prefill(without.get(), piece, model.vocabulary())));
      CHECK(same_bits(step(with.get(), tokens[i], model.vocabulary()),
                      step(without.get(), tokens[i], model.vocabulary())));
      const auto rows = verify(with.get(), piece.first(6), model.vocabulary());
      const auto rows_without = verify(without.get(), piece.first(6), model.vocabulary());
      for (size_t row = 0; row < rows.size(); ++row) CHECK(same_bits(rows[row], rows_without[row]));
      commit(with.get(), i % 7);
      commit(without.get(), i % 7);
    }
  }
}
