#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace inlay {

// The numbers of a model's configuration, listed once: this list feeds the enumeration, the keys of GGUF
// files and the fields of packages. Columns: name, field of a package, key of a GGUF file behind "qwen35.".
#define INLAY_FOR_EACH_MODEL_NUMBER(X)                                      \
  X(BlockCount, block_count, "block_count")                                 \
  X(MtpLayers, mtp_layers, "nextn_predict_layers")                          \
  X(AttentionInterval, attention_interval, "full_attention_interval")       \
  X(ContextLength, context_length, "context_length")                        \
  X(EmbeddingLength, embedding_length, "embedding_length")                  \
  X(FeedForwardLength, feed_forward_length, "feed_forward_length")          \
  X(AttentionHeads, attention_heads, "attention.head_count")                \
  X(AttentionKvHeads, attention_kv_heads, "attention.head_count_kv")        \
  X(AttentionKeyLength, attention_key_length, "attention.key_length")       \
  X(AttentionValueLength, attention_value_length, "attention.value_length") \
  X(RopeLength, rope_length, "rope.dimension_count")                        \
  X(ConvolutionTaps, convolution_taps, "ssm.conv_kernel")                   \
  X(StateLength, state_length, "ssm.state_size")                            \
  X(ValueHeads, value_heads, "ssm.time_step_rank")                          \
  X(KeyHeads, key_heads, "ssm.group_count")                                 \
  X(InnerLength, inner_length, "ssm.inner_size")

#define INLAY_FOR_EACH_MODEL_REAL(X)                             \
  X(RmsEpsilon, rms_epsilon, "attention.layer_norm_rms_epsilon") \
  X(RopeBase, rope_base, "rope.freq_base")

#define INLAY_ENUMERATE(name, field, key) name,
enum class ModelNumber : uint8_t { INLAY_FOR_EACH_MODEL_NUMBER(INLAY_ENUMERATE) };
enum class ModelReal : uint8_t { INLAY_FOR_EACH_MODEL_REAL(INLAY_ENUMERATE) };
#undef INLAY_ENUMERATE

#define INLAY_KEY(name, field, key) std::string_view(key),
inline constexpr std::string_view kModelNumberKeys[] = {INLAY_FOR_EACH_MODEL_NUMBER(INLAY_KEY)};
inline constexpr std::string_view kModelRealKeys[] = {INLAY_FOR_EACH_MODEL_REAL(INLAY_KEY)};
#undef INLAY_KEY

constexpr std::string_view key_of(ModelNumber number) {
  return kModelNumberKeys[static_cast<size_t>(number)];
}
constexpr std::string_view key_of(ModelReal real) { return kModelRealKeys[static_cast<size_t>(real)]; }

inline constexpr size_t kModelNumbers = sizeof(kModelNumberKeys) / sizeof(kModelNumberKeys[0]);
inline constexpr size_t kModelReals = sizeof(kModelRealKeys) / sizeof(kModelRealKeys[0]);

}  // namespace inlay
