#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace inlay {

/// Notices that a text goes round in a loop: the last tokens are one stretch of up to kLongestPeriod tokens
/// again and again. A value; a token costs one comparison a period.
class RepetitionGuard {
 public:
  static constexpr size_t kLongestPeriod = 64;

  void push(int32_t token) {
    uint32_t longest = 0;
    for (size_t period = 1; period <= kLongestPeriod; ++period) {
      const bool same = count_ >= period && tokens_[(count_ - period) % kLongestPeriod] == token;
      runs_[period - 1] = same ? runs_[period - 1] + 1 : 0;
      // A loop has gone round three times before it is one.
      if (runs_[period - 1] >= 3 * period && runs_[period - 1] > longest) longest = runs_[period - 1];
    }
    tokens_[count_ % kLongestPeriod] = token;
    ++count_;
    looped_ = longest;
  }

  /// Tokens that the loop has lasted; 0 where there is none.
  uint32_t looped() const { return looped_; }

 private:
  std::array<int32_t, kLongestPeriod> tokens_{};  // by number, modulo
  std::array<uint32_t, kLongestPeriod> runs_{};   // [period - 1] tokens that equal the one a period before
  uint64_t count_ = 0;
  uint32_t looped_ = 0;
};

static_assert(std::is_trivially_copyable_v<RepetitionGuard>);

}  // namespace inlay
