#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/device.h"

namespace inlay::cpu {

/// One token's share of a DeltaNet head, as the recurrence reads it.
struct DeltaToken {
  const float* query;  // [state_length], normalised and scaled; null where only the state is wanted
  const float* key;    // [state_length], normalised
  const float* value;  // [16] of the tile
  float beta;
  float decay;
  float key_query;  // their dot product
  float* out;       // [16] of the tile; null with query
};

inline constexpr uint32_t kDeltaTile = 16;  // value columns that the recurrence works on at once

/// Partial result of one row and head over a range of keys: softmax weights summed relative to `maximum`.
struct AttentionPartial {
  float maximum;
  float sum;
};

/// Everything between the matrix products. Written once over 16-lane vectors and compiled for each
/// instruction set; without contraction of multiply and add every set gives the same bits.
struct Ops {
  const char* name;

  /// out = x / sqrt(mean(x^2) + epsilon) * weight over n elements (RMSNorm). n is a multiple of 16.
  void (*rms_norm)(const float* x, const float* weight, uint32_t n, float epsilon, float* out);
  /// x += y
  void (*add)(float* x, const float* y, uint32_t n);
  /// out = silu(gate) * up
  void (*silu_multiply)(const float* gate, const float* up, uint32_t n, float* out);
  /// x *= sigmoid(gate)
  void (*sigmoid_multiply)(float* x, const float* gate, uint32_t n);
  /// Causal convolution of one token over n channels, then silu: taps[t][channel] on columns[t], a null
  /// column being zeros (before the first token).
  void (*conv_silu)(const float* const* columns, const float* taps, size_t tap_stride, uint32_t kernel,
                    uint32_t n, float* out);
  /// x *= scale / sqrt(sum(x^2) + epsilon)
  void (*l2_norm)(float* x, uint32_t n, float epsilon, float scale);
  /// The sum of x * y; n a multiple of 16.
  float (*dot)(const float* x, const float* y, uint32_t n);
  /// The gated delta rule (Gated Delta Networks, arXiv 2412.06464) for one tile [state_length][16] of a
  /// head's state: S = decay S; S += k (beta (v - S^T k))^T; out = S^T q. Reads `from`, writes `to` (may be
  /// the same; null: the updated state is not kept).
  void (*delta_step)(const float* from, float* to, uint32_t state_length, const DeltaToken& token);
  /// Rotates the first `length` elements of a head, pairs (i, i + length / 2), by cos/sin [length / 2]
  /// (RoPE).
  void (*rope)(float* x, const float* cosine, const float* sine, uint32_t length);
  /// Stores n floats as keys or values of the KV type.
  void (*kv_store)(KvType type, const float* x, uint32_t n, std::byte* out);
  /// Loads n of them back.
  void (*kv_load)(KvType type, const std::byte* x, uint32_t n, float* out);
  /// Dot products of one query with `count` stored keys [count][n], times scale.
  void (*attention_scores)(KvType type, const float* query, const std::byte* keys, size_t key_stride,
                           uint32_t n, uint32_t count, float scale, float* scores);
  /// Online softmax over one more run of `count` scores and stored values: out[n] and `partial` carry on.
  /// The scores are overwritten.
  void (*attention_values)(KvType type, float* scores, const std::byte* values, size_t value_stride,
                           uint32_t n, uint32_t count, AttentionPartial* partial, float* out);
  /// out = sum over runs of outs[run] rescaled to their common maximum, over the sum of weights.
  void (*attention_combine)(const AttentionPartial* partials, const float* outs, uint32_t runs, uint32_t n,
                            float* out);
  /// The likeliest token, the lowest id among equals, and its probability by softmax.
  int32_t (*argmax)(const float* logits, uint32_t n, float* probability);
};

/// Bytes of n stored elements of a KV type; n is a multiple of 32.
constexpr uint32_t kv_bytes(KvType type, uint32_t n) {
  switch (type) {
    case KvType::kF16: return 2 * n;
    case KvType::kFp8: return n;
    case KvType::kQ8: return n / 32 * 34;
  }
  return 0;
}

extern const Ops kBaselineOps;  // what every processor of the architecture has
#if defined(__x86_64__) || defined(_M_X64)
extern const Ops kAvx2Ops;
extern const Ops kAvx512Ops;
#endif

}  // namespace inlay::cpu
