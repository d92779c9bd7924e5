#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "inlay/inlay.h"
#include "kernels/cpu/logit_blocks.h"
#include "runtime/layout.h"

namespace inlay {

/// Draws a token from logits as inlay_sampler_params says: bias, penalties, temperature, top-k, top-p, min-p,
/// one draw. The token is a function of the arguments alone: no state is carried from one draw to the next,
/// the random number is that of (seed, position), and every sum has one order that the source fixes, whatever
/// the vector length of the machine. Top-k and top-p are found by radix selection, so a draw costs
/// O(vocabulary).
///
/// Logits that are not numbers count as -infinity, +infinity as the largest finite number. Tokens less likely
/// than 2^-125 times the likeliest are never drawn. At equal logits top-k and top-p prefer the lower id.
///
/// A draw can be made in pieces of a fraction of a millisecond, for hosts that have no more at a time.
///
/// One thread at a time.
class Sampler {
 public:
  /// Throws INLAY_ERROR_INVALID_ARGUMENT with words for parameters out of range.
  static void check(const inlay_sampler_params& params, uint32_t vocabulary);
  /// Bytes of memory that a sampler with these parameters takes; up to 20 a token of the vocabulary.
  /// `masked`: draws will be given masks.
  static uint64_t bytes(const inlay_sampler_params& params, uint32_t vocabulary, bool masked = false);

  /// `memory` is aligned to a cache line, stays the owner's and has to outlive the sampler; what the
  /// parameters point to is copied. They have to pass check().
  Sampler(const inlay_sampler_params& params, uint32_t vocabulary, std::span<std::byte> memory)
      : Sampler(params, vocabulary, false, memory) {}
  Sampler(const inlay_sampler_params& params, uint32_t vocabulary, bool masked, std::span<std::byte> memory);

  /// The token at `position`, given the tokens before it (penalties look at the last of them) and its logits,
  /// [vocabulary]. INLAY_ERROR_INVALID_ARGUMENT for a history token that the penalties meet outside the
  /// vocabulary, and where no token can be drawn because each is forbidden. Allocates nothing.
  /// Where `allowed` is given, tokens whose bit (token % 32 of word token / 32) is 0 are forbidden.
  inlay_status sample(const float* logits, std::span<const int32_t> history, uint64_t position,
                      int32_t* out_token, const uint32_t* allowed = nullptr) noexcept;

  /// The same in pieces: begin(), then advance() until it is not INLAY_PENDING. What begin was given stays as
  /// it is until then; another begin gives the draw up.
  inlay_status begin(const float* logits, std::span<const int32_t> history, uint64_t position,
                     const uint32_t* allowed = nullptr) noexcept;
  inlay_status advance(int32_t* out_token) noexcept;

  uint64_t seed() const { return params_.seed; }
  void set_seed(uint64_t seed) { params_.seed = seed; }

  /// What the last failed sample was about; a literal.
  const char* message() const { return message_; }

 private:
  /// What the parameters ask for.
  struct Use {
    Use(const inlay_sampler_params& params, uint32_t vocabulary);
    bool penalties;
    bool top_k;
    bool top_p;
    bool min_p;
    bool truncation() const { return top_k || top_p || min_p; }
  };

  /// What lies in the block of memory, each part only where the parameters need it.
  struct Parts {
    inlay_logit_bias* biases = nullptr;   // [bias_count]
    float* adjusted = nullptr;            // [vocabulary] logits after bias, penalties and mask
    uint32_t* occurrences = nullptr;      // [vocabulary] in the penalty window; all zero between draws
    float* block_maxima = nullptr;        // [blocks]
    float* block_sums = nullptr;          // [blocks] of weights
    float* candidate_logits = nullptr;    // [vocabulary] in the order of the ids
    float* candidate_weights = nullptr;   // [vocabulary]
    int32_t* candidate_tokens = nullptr;  // [vocabulary]
    double* histogram = nullptr;          // a mass for each radix digit

    void lay_out(Layout& layout, const inlay_sampler_params& params, uint32_t vocabulary, bool masked);
  };

  /// What advance() does next. Those that go over tokens or candidates do so many at a time.
  enum class Step : uint8_t {
    kMeasure,
    kDrawFromAll,
    kBoundTopK,
    kGatherTopK,
    kSelectTopK,
    kWeigh,
    kSumTopP,
    kGatherTopP,
    kSelectTopP,
    kMinP,
    kTotal,
    kDraw
  };
  /// The search for the likeliest candidates that together have a mass, their number or their weights.
  struct Selection {
    double target = 0;
    bool by_weight = false;
    uint32_t round = 0;   // of the digits, then the one that filters
    uint32_t prefix = 0;  // of the boundary's key, as far as it is known
    uint32_t known = 0;   // the bits of a key that are
    double above = 0;     // mass of the candidates whose keys lie above the prefix
    uint32_t lowest = 0;  // digit of the round
  };
  /// Items [begin, end) of a step's; `last` where none are left after them.
  struct Range {
    uint32_t begin;
    uint32_t end;
    bool last;
  };

  inlay_status adjust(const float* logits, std::span<const int32_t> history,
                      const uint32_t* allowed) noexcept;
  void forbid(const uint32_t* allowed) noexcept;
  bool apply_penalties(std::span<const int32_t> window) noexcept;
  void measure_blocks() noexcept;
  int32_t likeliest() const noexcept;
  double sum_weights() noexcept;
  Range take_range(uint32_t count, uint32_t most) noexcept;
  Range take_blocks() noexcept;
  void begin_limit(Step step) noexcept;
  Step limit_after_top_k() const noexcept;
  void bound_top_k() noexcept;
  void bound_top_p() noexcept;
  bool gather_logits() noexcept;
  bool gather_weights() noexcept;
  bool weigh_candidates() noexcept;
  template <typename Condition>
  bool filter_candidates(Condition keep) noexcept;
  void begin_selection(double target, bool by_weight) noexcept;
  bool select() noexcept;
  template <typename Mass>
  bool select_by(Mass mass) noexcept;
  template <typename Mass>
  void add_masses(Range range, uint32_t shift, Mass mass) noexcept;
  void choose_digit(uint32_t shift) noexcept;
  bool apply_min_p() noexcept;
  bool sum_candidates() noexcept;
  bool draw_from_candidates(int32_t* out_token) noexcept;
  int32_t draw_from_all() noexcept;
  float weight(float logit) const noexcept;

  inlay_sampler_params params_;
  uint32_t vocabulary_;
  Use use_;
  cpu::LogitBlockOps blocks_;
  const char* message_ = "";
  Parts parts_;

  // Of the draw under way:
  const float* logits_ = nullptr;
  float maximum_ = 0;  // of the logits
  float scale_ = 0;    // from a difference of logits to the binary logarithm of a weight
  double uniform_ = 0;
  Step step_ = Step::kMeasure;
  uint32_t next_ = 0;  // of the step's items
  uint32_t kept_ = 0;  // candidates, of those that a filter has seen
  uint32_t candidate_count_ = 0;
  double least_ = 0;  // logit or weight of a candidate
  Selection selection_;
  double total_ = 0;  // weight of the candidates
  double below_ = 0;  // of those before the next
  int32_t drawn_ = -1;
};

}  // namespace inlay
