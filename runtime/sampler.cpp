#include "runtime/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "kernels/cpu/logit_blocks.h"
#include "runtime/error.h"
#include "runtime/philox.h"

namespace inlay {
namespace {

constexpr uint32_t kDefaultPenaltyWindow = 64;
constexpr uint32_t kRadixBits = 11;
constexpr uint32_t kRadixBuckets = 1u << kRadixBits;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

/// What logits are ordered by: +infinity is the largest number, and -0, by adding zero, +0.
float order_logit(float x) { return cpu::finite_logit(x) + 0.0f; }

/// The order of the keys is the order of the numbers.
uint32_t radix_key(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

void require(bool condition, const char* message) {
  if (!condition) throw Error(INLAY_ERROR_INVALID_ARGUMENT, message);
}

bool is_fraction(float x) { return x >= 0.0f && x <= 1.0f; }

}  // namespace

Sampler::Use::Use(const inlay_sampler_params& params, uint32_t vocabulary)
    : penalties((params.repeat_penalty != 0.0f && params.repeat_penalty != 1.0f) ||
                params.frequency_penalty != 0.0f || params.presence_penalty != 0.0f),
      top_k(params.temperature > 0.0f && params.top_k > 0 && params.top_k < vocabulary),
      top_p(params.temperature > 0.0f && params.top_p > 0.0f && params.top_p < 1.0f),
      min_p(params.temperature > 0.0f && params.min_p > 0.0f) {}

void Sampler::check(const inlay_sampler_params& params, uint32_t vocabulary) {
  require(std::isfinite(params.temperature) && params.temperature >= 0.0f,
          "sampler: temperature must be a finite number, 0 or more");
  require(is_fraction(params.top_p), "sampler: top_p must lie in 0 to 1");
  require(is_fraction(params.min_p), "sampler: min_p must lie in 0 to 1");
  require(std::isfinite(params.repeat_penalty) && params.repeat_penalty >= 0.0f,
          "sampler: repeat_penalty must be a finite number, 0 or more");
  require(std::isfinite(params.frequency_penalty), "sampler: frequency_penalty must be a finite number");
  require(std::isfinite(params.presence_penalty), "sampler: presence_penalty must be a finite number");
  require(params.biases != nullptr || params.bias_count == 0, "sampler: biases is null, bias_count is not 0");
  for (size_t i = 0; i < params.bias_count; ++i) {
    const inlay_logit_bias& bias = params.biases[i];
    if (bias.token < 0 || static_cast<uint32_t>(bias.token) >= vocabulary) {
      throw Error(INLAY_ERROR_INVALID_ARGUMENT, "sampler: bias " + std::to_string(i) + " is of token " +
                                                    std::to_string(bias.token) + ", the vocabulary has " +
                                                    std::to_string(vocabulary));
    }
    require(bias.bias < kInfinity, "sampler: a bias must be a finite number or -infinity");
  }
}

void Sampler::Parts::lay_out(Layout& layout, const inlay_sampler_params& params, uint32_t vocabulary,
                             bool masked) {
  const Use use(params, vocabulary);
  biases = layout.take<inlay_logit_bias>(params.bias_count);
  block_maxima = layout.take<float>(cpu::logit_blocks(vocabulary));
  if (params.temperature > 0.0f) block_sums = layout.take<float>(cpu::logit_blocks(vocabulary));
  if (use.penalties || params.bias_count > 0 || masked) adjusted = layout.take<float>(vocabulary);
  if (use.penalties) occurrences = layout.take<uint32_t>(vocabulary);
  if (use.truncation()) {
    candidate_logits = layout.take<float>(vocabulary);
    candidate_weights = layout.take<float>(vocabulary);
    candidate_tokens = layout.take<int32_t>(vocabulary);
    histogram = layout.take<double>(kRadixBuckets);
  }
}

uint64_t Sampler::bytes(const inlay_sampler_params& params, uint32_t vocabulary, bool masked) {
  Layout layout;
  Parts().lay_out(layout, params, vocabulary, masked);
  return layout.bytes();
}

Sampler::Sampler(const inlay_sampler_params& params, uint32_t vocabulary, bool masked,
                 std::span<std::byte> memory)
    : params_(params), vocabulary_(vocabulary), use_(params, vocabulary), blocks_(cpu::logit_block_ops()) {
  Layout layout(memory.data(), memory.size());
  parts_.lay_out(layout, params, vocabulary, masked);
  if (params_.penalty_window == 0) params_.penalty_window = kDefaultPenaltyWindow;
  std::copy_n(params.biases, params.bias_count, parts_.biases);
  params_.biases = parts_.biases;
  if (use_.penalties) std::fill_n(parts_.occurrences, vocabulary, 0u);
  // A temperature so small that its inverse overflows is as good as greedy, but ties are still drawn.
  if (params_.temperature > 0.0f) scale_ = std::min(1.44269504f / params_.temperature, kLargest);
}

inlay_status Sampler::sample(const float* logits, std::span<const int32_t> history, uint64_t position,
                             int32_t* out_token, const uint32_t* allowed) noexcept {
  *out_token = 0;
  const inlay_status status = adjust(logits, history, allowed);
  if (status != INLAY_OK) return status;
  measure_blocks();
  if (!(maximum_ > -kInfinity)) {
    message_ = "sampler: no token can be drawn, every logit is -infinity or not a number";
    return INLAY_ERROR_INVALID_ARGUMENT;
  }
  if (params_.temperature == 0.0f) {
    *out_token = likeliest();
    return INLAY_OK;
  }
  const double uniform = philox_uniform(params_.seed, position);
  if (!use_.truncation()) {
    *out_token = draw_from_all(uniform);
    return INLAY_OK;
  }
  candidate_count_ = 0;
  if (use_.top_k) select_top_k();
  if (use_.top_p) select_top_p();
  if (use_.min_p) select_min_p();
  *out_token = draw_from_candidates(uniform);
  return INLAY_OK;
}

/// Points logits_ at the logits after bias, penalties and mask; they are copied only where something changes
/// them.
inlay_status Sampler::adjust(const float* logits, std::span<const int32_t> history,
                             const uint32_t* allowed) noexcept {
  logits_ = logits;
  if (!use_.penalties && params_.bias_count == 0 && allowed == nullptr) return INLAY_OK;
  std::memcpy(parts_.adjusted, logits, vocabulary_ * sizeof(float));
  logits_ = parts_.adjusted;
  for (size_t i = 0; i < params_.bias_count; ++i) {
    parts_.adjusted[params_.biases[i].token] += params_.biases[i].bias;
  }
  if (allowed != nullptr) forbid(allowed);
  if (!use_.penalties) return INLAY_OK;
  const auto window = history.last(std::min<size_t>(history.size(), params_.penalty_window));
  if (!apply_penalties(window)) {
    message_ = "sampler: a token of the history lies outside the vocabulary";
    return INLAY_ERROR_INVALID_ARGUMENT;
  }
  return INLAY_OK;
}

void Sampler::forbid(const uint32_t* allowed) noexcept {
  for (uint32_t begin = 0; begin < vocabulary_; begin += 32) {
    const uint32_t word = allowed[begin / 32];
    if (word == UINT32_MAX) continue;
    const uint32_t count = std::min(32u, vocabulary_ - begin);
    float* logits = parts_.adjusted + begin;
    if (word == 0) {
      std::fill_n(logits, count, -kInfinity);
      continue;
    }
    for (uint32_t i = 0; i < count; ++i) {
      if ((word >> i & 1) == 0) logits[i] = -kInfinity;
    }
  }
}

bool Sampler::apply_penalties(std::span<const int32_t> window) noexcept {
  for (const int32_t token : window) {
    if (token < 0 || static_cast<uint32_t>(token) >= vocabulary_) return false;
  }
  for (const int32_t token : window) ++parts_.occurrences[token];
  const float repeat = params_.repeat_penalty == 0.0f ? 1.0f : params_.repeat_penalty;
  for (const int32_t token : window) {
    const uint32_t count = parts_.occurrences[token];
    if (count == 0) continue;  // done at an earlier occurrence
    parts_.occurrences[token] = 0;
    float& logit = parts_.adjusted[token];
    logit = logit > 0.0f ? logit / repeat : logit * repeat;
    logit -= static_cast<float>(count) * params_.frequency_penalty + params_.presence_penalty;
  }
  return true;
}

void Sampler::measure_blocks() noexcept {
  blocks_.maxima(logits_, vocabulary_, parts_.block_maxima);
  float maximum = -kInfinity;
  for (uint32_t block = 0; block < cpu::logit_blocks(vocabulary_); ++block) {
    maximum = std::max(maximum, parts_.block_maxima[block]);
  }
  maximum_ = cpu::finite_logit(maximum);
}

int32_t Sampler::likeliest() const noexcept {
  uint32_t block = 0;
  while (cpu::finite_logit(parts_.block_maxima[block]) != maximum_) ++block;
  uint32_t token = block * cpu::kLogitBlock;
  while (cpu::finite_logit(logits_[token]) != maximum_) ++token;
  return static_cast<int32_t>(token);
}

float Sampler::weight(float logit) const noexcept { return cpu::logit_weight(logit, maximum_, scale_); }

/// The sum of all weights; leaves that of each block in block_sums.
double Sampler::sum_weights() noexcept {
  blocks_.sums(logits_, vocabulary_, maximum_, scale_, parts_.block_sums);
  double total = 0.0;
  for (uint32_t block = 0; block < cpu::logit_blocks(vocabulary_); ++block) total += parts_.block_sums[block];
  return total;
}

/// Makes the tokens candidates whose logit is at least `least`; their weights are still to be found.
void Sampler::gather_logits(float least) noexcept {
  uint32_t count = 0;
  for (uint32_t block = 0; block < cpu::logit_blocks(vocabulary_); ++block) {
    if (!(parts_.block_maxima[block] >= least)) continue;
    const uint32_t end = std::min((block + 1) * cpu::kLogitBlock, vocabulary_);
    for (uint32_t token = block * cpu::kLogitBlock; token < end; ++token) {
      parts_.candidate_logits[count] = order_logit(logits_[token]);
      parts_.candidate_tokens[count] = static_cast<int32_t>(token);
      count += logits_[token] >= least;
    }
  }
  candidate_count_ = count;
}

/// Makes the tokens candidates whose weight is at least `least`, which is above zero.
void Sampler::gather_weights(double least) noexcept {
  uint32_t count = 0;
  for (uint32_t block = 0; block < cpu::logit_blocks(vocabulary_); ++block) {
    if (weight(parts_.block_maxima[block]) < least) continue;
    const uint32_t end = std::min((block + 1) * cpu::kLogitBlock, vocabulary_);
    for (uint32_t token = block * cpu::kLogitBlock; token < end; ++token) {
      const float w = weight(logits_[token]);
      parts_.candidate_logits[count] = order_logit(logits_[token]);
      parts_.candidate_weights[count] = w;
      parts_.candidate_tokens[count] = static_cast<int32_t>(token);
      count += w >= least;
    }
  }
  candidate_count_ = count;
}

void Sampler::weigh_candidates() noexcept {
  for (uint32_t i = 0; i < candidate_count_; ++i) {
    parts_.candidate_weights[i] = weight(parts_.candidate_logits[i]);
  }
}

template <typename Condition>
void Sampler::filter_candidates(Condition keep) noexcept {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < candidate_count_; ++i) {
    const bool stays = keep(i);
    parts_.candidate_logits[kept] = parts_.candidate_logits[i];
    parts_.candidate_weights[kept] = parts_.candidate_weights[i];
    parts_.candidate_tokens[kept] = parts_.candidate_tokens[i];
    kept += stays;
  }
  candidate_count_ = kept;
}

/// Keeps the likeliest candidates, as few of them as together have a mass of `target` (or all, where they
/// have less), without ordering them: finds the logit of the last one digit by digit. mass(i) is candidate
/// i's.
template <typename Mass>
void Sampler::keep_likeliest(double target, Mass mass) noexcept {
  uint32_t prefix = 0;  // of the boundary's key, as far as it is known
  uint32_t known = 0;   // the bits of a key that are
  double above = 0.0;   // mass of the candidates whose keys lie above the prefix
  for (const uint32_t shift : {21u, 10u, 0u}) {
    std::fill_n(parts_.histogram, kRadixBuckets, 0.0);
    uint32_t lowest = kRadixBuckets;
    for (uint32_t i = 0; i < candidate_count_; ++i) {
      const uint32_t key = radix_key(parts_.candidate_logits[i]);
      if ((key & known) != prefix) continue;
      const uint32_t digit = (key >> shift) % kRadixBuckets;
      lowest = std::min(lowest, digit);
      parts_.histogram[digit] += mass(i);
    }
    uint32_t digit = kRadixBuckets - 1;
    for (; digit > lowest && above + parts_.histogram[digit] < target; --digit)
      above += parts_.histogram[digit];
    known |= (kRadixBuckets - 1) << shift;
    prefix |= digit << shift;
  }
  filter_candidates([&](uint32_t i) {
    const uint32_t key = radix_key(parts_.candidate_logits[i]);
    if (key != prefix) return key > prefix;
    const bool stays = above < target;
    above += mass(i);
    return stays;
  });
}

void Sampler::select_top_k() noexcept {
  const auto one = [](uint32_t) { return 1.0; };
  // At least top_k logits reach the top_k-th largest of the blocks' maxima; few others do.
  float least = -kLargest;
  const uint32_t blocks = cpu::logit_blocks(vocabulary_);
  if (params_.top_k <= blocks) {
    std::transform(parts_.block_maxima, parts_.block_maxima + blocks, parts_.candidate_logits, order_logit);
    std::fill_n(parts_.candidate_weights, blocks, 0.0f);
    std::fill_n(parts_.candidate_tokens, blocks, 0);
    candidate_count_ = blocks;
    keep_likeliest(params_.top_k, one);
    const float bound =
        *std::min_element(parts_.candidate_logits, parts_.candidate_logits + candidate_count_);
    least = std::max(least, bound);
  }
  gather_logits(least);
  keep_likeliest(params_.top_k, one);
  weigh_candidates();
}

void Sampler::select_top_p() noexcept {
  double total = 0.0;
  if (use_.top_k) {
    for (uint32_t i = 0; i < candidate_count_; ++i) total += parts_.candidate_weights[i];
  } else {
    total = sum_weights();
    // All tokens lighter than this together weigh less than what top-p drops.
    gather_weights(std::max((1.0 - params_.top_p) * total / vocabulary_, 0x1.0p-126));
  }
  keep_likeliest(params_.top_p * total, [this](uint32_t i) { return parts_.candidate_weights[i]; });
}

void Sampler::select_min_p() noexcept {
  // The likeliest token has the weight 1, and neither top-k nor top-p drops it.
  if (use_.top_k || use_.top_p) {
    filter_candidates([this](uint32_t i) { return parts_.candidate_weights[i] >= params_.min_p; });
  } else {
    gather_weights(params_.min_p);
  }
}

int32_t Sampler::draw_from_all(double uniform) noexcept {
  const double target = uniform * sum_weights();
  double below = 0.0;
  uint32_t block = 0;
  uint32_t last = 0;  // the last block with any weight: where rounding would carry the draw beyond the end
  for (; block < cpu::logit_blocks(vocabulary_); ++block) {
    if (parts_.block_sums[block] <= 0.0f) continue;
    last = block;
    if (below + parts_.block_sums[block] > target) break;
    below += parts_.block_sums[block];
  }
  const uint32_t end = std::min((last + 1) * cpu::kLogitBlock, vocabulary_);
  int32_t drawn = -1;
  for (uint32_t token = last * cpu::kLogitBlock; token < end; ++token) {
    const float w = weight(logits_[token]);
    if (w <= 0.0f) continue;
    drawn = static_cast<int32_t>(token);
    below += w;
    if (below > target) break;
  }
  return drawn;
}

int32_t Sampler::draw_from_candidates(double uniform) const noexcept {
  double total = 0.0;
  for (uint32_t i = 0; i < candidate_count_; ++i) total += parts_.candidate_weights[i];
  const double target = uniform * total;
  double below = 0.0;
  int32_t drawn = -1;
  for (uint32_t i = 0; i < candidate_count_ && below <= target; ++i) {
    if (parts_.candidate_weights[i] <= 0.0f) continue;
    drawn = parts_.candidate_tokens[i];
    below += parts_.candidate_weights[i];
  }
  return drawn;
}

}  // namespace inlay
