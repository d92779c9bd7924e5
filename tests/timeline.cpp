#include "tests/timeline.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

namespace inlay::test {
namespace {

/// What the next token brings, which tells whether two sessions stand at the same place in the same state.
struct Outlook {
  Logits logits;
  std::vector<float> hidden;
};

Outlook look_ahead(const OpenModel& model, inlay_session* session, int32_t token) {
  Outlook outlook;
  outlook.logits = step(session, token, model.vocabulary());
  const float* hidden = nullptr;
  REQUIRE(inlay_session_hidden(session, 0, &hidden) == INLAY_OK);
  outlook.hidden.assign(hidden, hidden + model.info().embedding_length);
  return outlook;
}

/// One session under test, the timeline that it should have, and the moves.
class Play {
 public:
  Play(const OpenModel& model, const inlay_session_params& params, uint64_t seed)
      : model_(model), params_(params), random_(seed), session_(model.session(params)) {}

  void move() {
    switch (random_.below(16)) {
      case 0: return prompt();
      case 1:
      case 2: return steps();
      case 3:
      case 4:
      case 5:
      case 6: return verify_some();
      case 7: return rewind();
      case 8: return cancel();
      case 9: return fork();
      case 10: return random_.below(4) == 0 ? reset() : steps();
      case 11: return save();
      case 12: return mark();
      case 13: return rewind_to_mark();
      default: return compare();
    }
  }

  void compare() {
    const std::vector<int32_t> tokens = timeline_.tokens();
    REQUIRE(inlay_session_position(session_.get()) == tokens.size());
    const int32_t* kept = inlay_session_tokens(session_.get());
    REQUIRE(std::equal(tokens.begin(), tokens.end(), kept));
    if (room() == 0) return reset();
    const Handle<inlay_session> plain = model_.session(params_);
    timeline_.feed(plain.get());
    const int32_t token = random_tokens(1).front();
    const Outlook expected = look_ahead(model_, plain.get(), token);
    const Outlook outlook = look_ahead(model_, session_.get(), token);
    REQUIRE(same_bits(outlook.logits, expected.logits));
    REQUIRE(same_bits(outlook.hidden, expected.hidden));
    timeline_.steps({&token, 1});
  }

 private:
  size_t room() const { return params_.context_length - inlay_session_position(session_.get()); }
  std::vector<int32_t> random_tokens(size_t count) {
    return test::random_tokens(random_.next(), count, model_.vocabulary());
  }

  void prompt() {
    const size_t count = std::min<size_t>(room(), 1 + random_.below(random_.below(3) == 0 ? 60 : 5));
    if (count == 0) return reset();
    const std::vector<int32_t> tokens = random_tokens(count);
    prefill(session_.get(), tokens, model_.vocabulary());
    timeline_.prompt(tokens);
    REQUIRE(inlay_session_rewindable(session_.get()) == 0);
  }

  void steps() {
    const std::vector<int32_t> tokens = random_tokens(std::min<size_t>(room(), 1 + random_.below(3)));
    for (const int32_t token : tokens) step(session_.get(), token, model_.vocabulary());
    timeline_.steps(tokens);
  }

  void verify_some() {
    const size_t width = std::min<size_t>(room(), 1 + random_.below(INLAY_MAX_WIDTH));
    if (width == 0) return reset();
    const std::vector<int32_t> tokens = random_tokens(width);
    verify(session_.get(), tokens, model_.vocabulary());
    const size_t kept = random_.below(static_cast<uint32_t>(width) + 1);
    commit(session_.get(), kept);
    timeline_.steps(std::span(tokens).first(kept));
    REQUIRE(inlay_session_rewindable(session_.get()) == kept);
  }

  void rewind() {
    const size_t count = random_.below(static_cast<uint32_t>(inlay_session_rewindable(session_.get())) + 1);
    REQUIRE(inlay_session_rewind(session_.get(), count) == INLAY_OK);
    timeline_.rewind(count);
  }

  /// Work that goes some slices and is then given up.
  void cancel() {
    const std::vector<int32_t> tokens =
        random_tokens(std::min<size_t>(room(), 1 + random_.below(INLAY_MAX_WIDTH)));
    if (tokens.empty()) return reset();
    const bool prompt = random_.below(2) == 0;
    const inlay_status begun = prompt
                                   ? inlay_session_begin_prefill(session_.get(), tokens.data(), tokens.size())
                                   : inlay_session_begin_verify(session_.get(), tokens.data(), tokens.size());
    REQUIRE(begun == INLAY_OK);
    inlay_status status = INLAY_PENDING;
    for (uint32_t calls = random_.below(40); calls > 0 && status == INLAY_PENDING; --calls) {
      status = inlay_session_advance(session_.get(), 1, nullptr);
    }
    if (status == INLAY_PENDING) {
      inlay_session_cancel(session_.get());
      REQUIRE(inlay_session_advance(session_.get(), INLAY_NO_BUDGET, nullptr) == INLAY_ERROR_CANCELLED);
      // Whole chunks of a prompt are kept.
      const size_t kept = inlay_session_position(session_.get()) - timeline_.tokens().size();
      if (kept > 0) timeline_.prompt(std::span(tokens).first(kept));
      return;
    }
    REQUIRE(status == INLAY_OK);
    if (prompt) return timeline_.prompt(tokens);
    commit(session_.get(), 0);
  }

  void fork() {
    inlay_session* forked = nullptr;
    REQUIRE(inlay_session_fork(session_.get(), &forked) == INLAY_OK);
    if (random_.below(2) == 0) {
      session_.reset(forked);
      return;
    }
    const Handle<inlay_session> other(forked);
    // What the fork does is nothing to this one.
    for (const int32_t token : random_tokens(std::min<size_t>(room(), 5))) {
      step(other.get(), token, model_.vocabulary());
    }
  }

  /// Goes on in a session that was loaded, sometimes with a verify in the air.
  void save() {
    const size_t width =
        std::min<size_t>(room(), random_.below(3) == 0 ? 1 + random_.below(INLAY_MAX_WIDTH) : 0);
    const std::vector<int32_t> tokens = random_tokens(width);
    if (width > 0) verify(session_.get(), tokens, model_.vocabulary());
    const std::vector<std::byte> saved = save_to_memory(session_.get());
    Handle<inlay_session> loaded = model_.session(params_);
    if (random_.below(2) == 0) step(loaded.get(), 1, model_.vocabulary());
    REQUIRE(inlay_session_load_memory(loaded.get(), saved.data(), saved.size()) == INLAY_OK);
    REQUIRE(save_to_memory(loaded.get()) == saved);
    REQUIRE(inlay_session_rewindable(loaded.get()) == inlay_session_rewindable(session_.get()));
    for (size_t row = 0; row < width; ++row) {
      REQUIRE(same_bits(logits_of(loaded.get(), row, model_.vocabulary()),
                        logits_of(session_.get(), row, model_.vocabulary())));
    }
    if (random_.below(2) == 0) session_ = std::move(loaded);
    if (width == 0) return;
    const size_t kept = random_.below(static_cast<uint32_t>(width) + 1);
    commit(session_.get(), kept);
    timeline_.steps(std::span(tokens).first(kept));
  }

  void mark() {
    inlay_fork_params params = INLAY_FORK_PARAMS_INIT;
    params.share_scratch = random_.below(2);
    inlay_session* forked = nullptr;
    REQUIRE(inlay_session_fork_with(session_.get(), &params, &forked) == INLAY_OK);
    mark_.reset(forked);
    mark_timeline_ = timeline_;
  }

  void rewind_to_mark() {
    if (!mark_) return;
    REQUIRE(inlay_session_rewind_to(session_.get(), mark_.get()) == INLAY_OK);
    timeline_ = mark_timeline_;
  }

  void reset() {
    REQUIRE(inlay_session_reset(session_.get()) == INLAY_OK);
    timeline_.clear();
  }

  const OpenModel& model_;
  inlay_session_params params_;
  Random random_;
  Handle<inlay_session> session_;
  Timeline timeline_;
  Handle<inlay_session> mark_;
  Timeline mark_timeline_;
};

}  // namespace

std::vector<int32_t> Timeline::tokens() const {
  std::vector<int32_t> all;
  for (const Piece& piece : pieces_) all.insert(all.end(), piece.tokens.begin(), piece.tokens.end());
  return all;
}

void Timeline::feed(inlay_session* session) const {
  for (const Piece& piece : pieces_) {
    const inlay_status status = piece.prompt
                                    ? inlay_session_prefill(session, piece.tokens.data(), piece.tokens.size())
                                    : inlay_session_step(session, piece.tokens.front());
    REQUIRE(status == INLAY_OK);
  }
}

void check_widths(const OpenModel& model, const inlay_session_params& params,
                  std::span<const size_t> prompts) {
  const Handle<inlay_session> stepping = model.session(params);
  const Handle<inlay_session> verifying = model.session(params);
  for (const size_t length : prompts) {
    CAPTURE(length);
    const std::vector<int32_t> tokens = random_tokens(length, length + INLAY_MAX_WIDTH, model.vocabulary());
    const std::span<const int32_t> prompt = std::span(tokens).first(length);
    const std::span<const int32_t> rest = std::span(tokens).subspan(length);
    for (inlay_session* session : {stepping.get(), verifying.get()}) {
      REQUIRE(inlay_session_reset(session) == INLAY_OK);
      if (!prompt.empty()) prefill(session, prompt, model.vocabulary());
    }
    std::vector<Logits> expected;
    for (const int32_t token : rest) expected.push_back(step(stepping.get(), token, model.vocabulary()));
    for (size_t width = 1; width <= rest.size(); ++width) {
      CAPTURE(width);
      const auto rows = verify(verifying.get(), rest.first(width), model.vocabulary());
      for (size_t row = 0; row < width; ++row) REQUIRE(same_bits(rows[row], expected[row]));
      commit(verifying.get(), 0);
    }
    // All of them in two cuts, the second of which replays the first.
    for (size_t first = 1; first < rest.size(); ++first) {
      CAPTURE(first);
      verify(verifying.get(), rest.first(first), model.vocabulary());
      commit(verifying.get(), first);
      const auto rows = verify(verifying.get(), rest.subspan(first), model.vocabulary());
      for (size_t row = 0; row < rows.size(); ++row) REQUIRE(same_bits(rows[row], expected[first + row]));
      commit(verifying.get(), 0);
      REQUIRE(inlay_session_reset(verifying.get()) == INLAY_OK);
      if (!prompt.empty()) prefill(verifying.get(), prompt, model.vocabulary());
    }
  }
}

void check_random_play(const OpenModel& model, const inlay_session_params& params, uint64_t seed, int moves) {
  CAPTURE(seed);
  Play play(model, params, seed);
  for (int move = 0; move < moves; ++move) {
    CAPTURE(move);
    play.move();
  }
  play.compare();
}

}  // namespace inlay::test
