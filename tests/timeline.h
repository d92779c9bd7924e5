#pragma once

#include <cstdint>
#include <vector>

#include "tests/host.h"

// What a timeline has been fed, and the same fed again plainly: the reference of the tests that roll back.

namespace inlay::test {

/// Tokens in the pieces that fixed their bits: each prompt as it was cut, or steps one by one.
class Timeline {
 public:
  void prompt(std::span<const int32_t> tokens) { pieces_.push_back({true, {tokens.begin(), tokens.end()}}); }
  void steps(std::span<const int32_t> tokens) {
    for (const int32_t token : tokens) pieces_.push_back({false, {token}});
  }
  /// Takes steps back.
  void rewind(size_t count) { pieces_.resize(pieces_.size() - count); }
  void clear() { pieces_.clear(); }

  std::vector<int32_t> tokens() const;
  /// Into an empty session, without a draft or a rewind.
  void feed(inlay_session* session) const;

 private:
  struct Piece {
    bool prompt;
    std::vector<int32_t> tokens;
  };
  std::vector<Piece> pieces_;
};

/// Verifies of every width against steps, after a prompt of each of these lengths, bit for bit.
void check_widths(const OpenModel& model, const inlay_session_params& params,
                  std::span<const size_t> prompts);

/// A random play of prefill, step, verify, commit, rewind, reset, cancel and fork against plain replays.
void check_random_play(const OpenModel& model, const inlay_session_params& params, uint64_t seed, int moves);

}  // namespace inlay::test
