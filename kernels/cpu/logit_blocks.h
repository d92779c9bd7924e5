#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace inlay::cpu {

inline constexpr uint32_t kLogitBlock = 64;  // logits that have one maximum and one sum of weights
constexpr uint32_t logit_blocks(uint32_t count) { return (count + kLogitBlock - 1) / kLogitBlock; }

/// What a sampler reads all logits for. Every instruction set gives the same bits: sums have one order, and
/// nothing is contracted.
struct LogitBlockOps {
  /// maxima[logit_blocks(count)]: the largest logit of each block; what is not a number counts as -infinity.
  void (*maxima)(const float* logits, uint32_t count, float* maxima);
  /// sums[logit_blocks(count)]: the logit_weights of each block added up.
  void (*sums)(const float* logits, uint32_t count, float maximum, float scale, float* sums);
};

/// For this processor. Reads its features, so ask once.
LogitBlockOps logit_block_ops();

/// +infinity becomes the largest finite number.
inline float finite_logit(float x) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  return kLargest < x ? kLargest : x;
}

/// 2^((logit - maximum) * scale): a token's probability relative to the likeliest one's, within 3e-7 of
/// itself; zero below 2^-125 and for what is not a number. The standard library's exp2 would give other bits
/// on other systems.
inline float logit_weight(float logit, float maximum, float scale) {
  constexpr float kLeast = -125.0f;
  constexpr float kRounder = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  const float y = (finite_logit(logit) - maximum) * scale;
  const uint32_t kept =
      -static_cast<uint32_t>(y > kLeast);  // a mask, which vectors have, where a choice may branch
  const float clamped = std::bit_cast<float>(std::bit_cast<uint32_t>(y) & kept);
  const float shifted = clamped + kRounder;
  const float f = clamped - (shifted - kRounder);  // in [-1/2, 1/2]
  // 2^f by the polynomial of degree 5 with 1 at 0 and the smallest relative error on the interval.
  float p = 1.326472841e-3f;
  p = p * f + 9.671513509e-3f;
  p = p * f + 5.550733748e-2f;
  p = p * f + 2.402224207e-1f;
  p = p * f + 6.931469776e-1f;
  p = p * f + 1.0f;
  const uint32_t power = std::bit_cast<uint32_t>(p) + (std::bit_cast<uint32_t>(shifted) << 23);
  return std::bit_cast<float>(power & kept);
}

}  // namespace inlay::cpu
