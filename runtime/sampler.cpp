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
constexpr uint32_t kDigitShifts[] = {21, 10, 0};
constexpr uint32_t kPieceTokens = 32u << 10;  // that a piece of a draw looks at: some 100 microseconds
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
  inlay_status status = begin(logits, history, position, allowed);
  if (status == INLAY_OK) status = INLAY_PENDING;
  while (status == INLAY_PENDING) status = advance(out_token);
  return status;
}

inlay_status Sampler::begin(const float* logits, std::span<const int32_t> history, uint64_t position,
                            const uint32_t* allowed) noexcept {
  step_ = Step::kMeasure;
  candidate_count_ = 0;
  uniform_ = params_.temperature == 0.0f ? 0.0 : philox_uniform(params_.seed, position);
  return adjust(logits, history, allowed);
}

void Sampler::begin_limit(Step step) noexcept {
  step_ = step;
  next_ = kept_ = 0;
}

Sampler::Step Sampler::limit_after_top_k() const noexcept {
  return use_.top_p ? Step::kSumTopP : use_.min_p ? Step::kMinP : Step::kTotal;
}

inlay_status Sampler::advance(int32_t* out_token) noexcept {
  *out_token = 0;
  switch (step_) {
    case Step::kMeasure:
      measure_blocks();
      if (!(maximum_ > -kInfinity)) {
        message_ = "sampler: no token can be drawn, every logit is -infinity or not a number";
        return INLAY_ERROR_INVALID_ARGUMENT;
      }
      if (params_.temperature == 0.0f) {
        *out_token = likeliest();
        return INLAY_OK;
      }
      begin_limit(!use_.truncation() ? Step::kDrawFromAll
                  : use_.top_k       ? Step::kBoundTopK
                                     : limit_after_top_k());
      return INLAY_PENDING;
    case Step::kDrawFromAll: *out_token = draw_from_all(); return INLAY_OK;
    case Step::kBoundTopK:
      bound_top_k();
      begin_limit(Step::kGatherTopK);
      return INLAY_PENDING;
    case Step::kGatherTopK:
      if (!gather_logits()) return INLAY_PENDING;
      begin_selection(params_.top_k, false);
      step_ = Step::kSelectTopK;
      return INLAY_PENDING;
    case Step::kSelectTopK:
      if (select()) begin_limit(Step::kWeigh);
      return INLAY_PENDING;
    case Step::kWeigh:
      if (weigh_candidates()) begin_limit(limit_after_top_k());
      return INLAY_PENDING;
    case Step::kSumTopP:
      bound_top_p();
      step_ = use_.top_k ? Step::kSelectTopP : Step::kGatherTopP;
      return INLAY_PENDING;
    case Step::kGatherTopP:
      if (gather_weights()) step_ = Step::kSelectTopP;
      return INLAY_PENDING;
    case Step::kSelectTopP:
      if (select()) begin_limit(use_.min_p ? Step::kMinP : Step::kTotal);
      return INLAY_PENDING;
    case Step::kMinP:
      if (apply_min_p()) begin_limit(Step::kTotal);
      return INLAY_PENDING;
    case Step::kTotal:
      if (next_ == 0) total_ = 0.0;
      if (!sum_candidates()) return INLAY_PENDING;
      begin_limit(Step::kDraw);
      below_ = 0.0;
      drawn_ = -1;
      return INLAY_PENDING;
    case Step::kDraw: return draw_from_candidates(out_token) ? INLAY_OK : INLAY_PENDING;
  }
  return INLAY_ERROR_INTERNAL;
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

/// The next of `count` items of the step, `most` at most.
Sampler::Range Sampler::take_range(uint32_t count, uint32_t most) noexcept {
  const Range range{next_, std::min(count, next_ + most), count <= next_ + most};
  next_ = range.last ? 0 : range.end;
  return range;
}

/// The same of the blocks of logits.
Sampler::Range Sampler::take_blocks() noexcept {
  return take_range(cpu::logit_blocks(vocabulary_), kPieceTokens / cpu::kLogitBlock);
}

/// Makes the tokens candidates whose logit is at least least_; their weights are still to be found.
bool Sampler::gather_logits() noexcept {
  const Range blocks = take_blocks();
  const auto least = static_cast<float>(least_);
  uint32_t count = candidate_count_;
  for (uint32_t block = blocks.begin; block < blocks.end; ++block) {
    if (!(parts_.block_maxima[block] >= least)) continue;
    const uint32_t end = std::min((block + 1) * cpu::kLogitBlock, vocabulary_);
    for (uint32_t token = block * cpu::kLogitBlock; token < end; ++token) {
      parts_.candidate_logits[count] = order_logit(logits_[token]);
      parts_.candidate_tokens[count] = static_cast<int32_t>(token);
      count += logits_[token] >= least;
    }
  }
  candidate_count_ = count;
  return blocks.last;
}

/// Makes the tokens candidates whose weight is at least least_, which is above zero.
bool Sampler::gather_weights() noexcept {
  const Range blocks = take_blocks();
  uint32_t count = candidate_count_;
  for (uint32_t block = blocks.begin; block < blocks.end; ++block) {
    if (weight(parts_.block_maxima[block]) < least_) continue;
    const uint32_t end = std::min((block + 1) * cpu::kLogitBlock, vocabulary_);
    for (uint32_t token = block * cpu::kLogitBlock; token < end; ++token) {
      const float w = weight(logits_[token]);
      parts_.candidate_logits[count] = order_logit(logits_[token]);
      parts_.candidate_weights[count] = w;
      parts_.candidate_tokens[count] = static_cast<int32_t>(token);
      count += w >= least_;
    }
  }
  candidate_count_ = count;
  return blocks.last;
}

bool Sampler::weigh_candidates() noexcept {
  const Range range = take_range(candidate_count_, kPieceTokens);
  for (uint32_t i = range.begin; i < range.end; ++i) {
    parts_.candidate_weights[i] = weight(parts_.candidate_logits[i]);
  }
  return range.last;
}

template <typename Condition>
bool Sampler::filter_candidates(Condition keep) noexcept {
  const Range range = take_range(candidate_count_, kPieceTokens);
  uint32_t kept = kept_;
  for (uint32_t i = range.begin; i < range.end; ++i) {
    const bool stays = keep(i);
    parts_.candidate_logits[kept] = parts_.candidate_logits[i];
    parts_.candidate_weights[kept] = parts_.candidate_weights[i];
    parts_.candidate_tokens[kept] = parts_.candidate_tokens[i];
    kept += stays;
  }
  kept_ = kept;
  if (range.last) candidate_count_ = kept;
  return range.last;
}

/// Keeps the likeliest candidates, as few of them as together have a mass of `target` (or all, where they
/// have less), without ordering them: finds the logit of the last one digit by digit.
void Sampler::begin_selection(double target, bool by_weight) noexcept {
  selection_ = {};
  selection_.target = target;
  selection_.by_weight = by_weight;
  next_ = kept_ = 0;
}

bool Sampler::select() noexcept {
  return selection_.by_weight ? select_by([this](uint32_t i) { return double{parts_.candidate_weights[i]}; })
                              : select_by([](uint32_t) { return 1.0; });
}

/// mass(i) is candidate i's.
template <typename Mass>
bool Sampler::select_by(Mass mass) noexcept {
  Selection& s = selection_;
  if (s.round < std::size(kDigitShifts)) {
    const uint32_t shift = kDigitShifts[s.round];
    const Range range = take_range(candidate_count_, kPieceTokens);
    add_masses(range, shift, mass);
    if (range.last) choose_digit(shift);
    return false;
  }
  return filter_candidates([&](uint32_t i) {
    const uint32_t key = radix_key(parts_.candidate_logits[i]);
    if (key != s.prefix) return key > s.prefix;
    const bool stays = s.above < s.target;
    s.above += mass(i);
    return stays;
  });
}

template <typename Mass>
void Sampler::add_masses(Range range, uint32_t shift, Mass mass) noexcept {
  if (range.begin == 0) {
    std::fill_n(parts_.histogram, kRadixBuckets, 0.0);
    selection_.lowest = kRadixBuckets;
  }
  const uint32_t prefix = selection_.prefix, known = selection_.known;
  uint32_t lowest = selection_.lowest;
  for (uint32_t i = range.begin; i < range.end; ++i) {
    const uint32_t key = radix_key(parts_.candidate_logits[i]);
    if ((key & known) != prefix) continue;
    const uint32_t digit = (key >> shift) % kRadixBuckets;
    lowest = std::min(lowest, digit);
    parts_.histogram[digit] += mass(i);
  }
  selection_.lowest = lowest;
}

void Sampler::choose_digit(uint32_t shift) noexcept {
  Selection& s = selection_;
  uint32_t digit = kRadixBuckets - 1;
  for (; digit > s.lowest && s.above + parts_.histogram[digit] < s.target; --digit) {
    s.above += parts_.histogram[digit];
  }
  s.known |= (kRadixBuckets - 1) << shift;
  s.prefix |= digit << shift;
  ++s.round;
}

/// At least top_k logits reach the top_k-th largest of the blocks' maxima; few others do.
void Sampler::bound_top_k() noexcept {
  least_ = -kLargest;
  const uint32_t blocks = cpu::logit_blocks(vocabulary_);
  if (params_.top_k <= blocks) {
    std::transform(parts_.block_maxima, parts_.block_maxima + blocks, parts_.candidate_logits, order_logit);
    std::fill_n(parts_.candidate_weights, blocks, 0.0f);
    std::fill_n(parts_.candidate_tokens, blocks, 0);
    candidate_count_ = blocks;
    begin_selection(params_.top_k, false);
    while (!select()) {
    }
    const float bound =
        *std::min_element(parts_.candidate_logits, parts_.candidate_logits + candidate_count_);
    least_ = std::max(-kLargest, bound);
  }
  candidate_count_ = 0;
}

void Sampler::bound_top_p() noexcept {
  double total = 0.0;
  if (use_.top_k) {
    for (uint32_t i = 0; i < candidate_count_; ++i) total += parts_.candidate_weights[i];
  } else {
    total = sum_weights();
    // All tokens lighter than this together weigh less than what top-p drops.
    least_ = std::max((1.0 - params_.top_p) * total / vocabulary_, 0x1.0p-126);
  }
  begin_selection(params_.top_p * total, true);
}

/// The likeliest token has the weight 1, and neither top-k nor top-p drops it.
bool Sampler::apply_min_p() noexcept {
  if (use_.top_k || use_.top_p) {
    return filter_candidates([this](uint32_t i) { return parts_.candidate_weights[i] >= params_.min_p; });
  }
  least_ = params_.min_p;
  return gather_weights();
}

int32_t Sampler::draw_from_all() noexcept {
  const double target = uniform_ * sum_weights();
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

bool Sampler::sum_candidates() noexcept {
  const Range range = take_range(candidate_count_, kPieceTokens);
  double total = total_;
  for (uint32_t i = range.begin; i < range.end; ++i) total += parts_.candidate_weights[i];
  total_ = total;
  return range.last;
}

bool Sampler::draw_from_candidates(int32_t* out_token) noexcept {
  const Range range = take_range(candidate_count_, kPieceTokens);
  const double target = uniform_ * total_;
  for (uint32_t i = range.begin; i < range.end && below_ <= target; ++i) {
    if (parts_.candidate_weights[i] <= 0.0f) continue;
    drawn_ = parts_.candidate_tokens[i];
    below_ += parts_.candidate_weights[i];
  }
  *out_token = drawn_;
  return range.last || below_ > target;
}

}  // namespace inlay
