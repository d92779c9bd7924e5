#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/tiles.h"

namespace inlay {

/// The numbers that fix every shape of a model (qwen35: Gated DeltaNet hybrids with gated full attention).
struct ModelShape {
  uint32_t layers = 0;              // without the MTP block
  uint32_t attention_interval = 4;  // layer i is full attention when (i + 1) % interval == 0
  uint32_t embedding = 0;
  uint32_t feed_forward = 0;
  uint32_t vocabulary = 0;
  uint32_t heads = 0;     // of queries
  uint32_t kv_heads = 0;  // of keys and values (GQA)
  uint32_t head_length = 0;
  uint32_t rope_length = 0;  // leading elements of a head that are rotated, in NeoX pairs
  float rope_base = 0;
  float rms_epsilon = 0;
  uint32_t key_heads = 0;     // DeltaNet; value head i reads key head i % key_heads
  uint32_t value_heads = 0;   // DeltaNet
  uint32_t state_length = 0;  // DeltaNet: elements of a key, and of a value, of a head
  uint32_t conv_kernel = 0;   // taps of the causal convolution
  bool mtp = false;

  bool is_attention(uint32_t layer) const { return (layer + 1) % attention_interval == 0; }
  uint32_t attention_layers() const { return layers / attention_interval; }
  uint32_t delta_net_layers() const { return layers - attention_layers(); }
  uint32_t query_length() const { return heads * head_length; }
  uint32_t kv_length() const { return kv_heads * head_length; }
  uint32_t key_length() const { return key_heads * state_length; }
  uint32_t value_length() const { return value_heads * state_length; }
  uint32_t conv_channels() const { return 2 * key_length() + value_length(); }  // q, then k, then v
};

/// A weight matrix [rows, columns] as the file has it: row after row of blocks, at any alignment, or in
/// tiles.
struct WeightMatrix {
  const std::byte* data = nullptr;
  TensorType type = TensorType::F32;
  uint32_t rows = 0;      // outputs
  uint32_t columns = 0;   // inputs
  float scale = 1.0f;     // multiplies the whole matrix (NVFP4's per-tensor scale)
  bool tiles = false;     // as formats/tiles.h says: only for a device that reads_tiles()
  bool may_stay = false;  // in tiles, aligned, and where it is as long as the model lives

  uint64_t bytes() const {
    return tiles ? bytes_in_tiles(type, rows, columns) : rows * row_bytes(type, columns);
  }
};

/// Small vectors are float32 in host memory, aligned, made by the loader.
struct DeltaNetWeights {
  WeightMatrix qkv;      // [conv_channels, embedding]
  WeightMatrix gate;     // [value_length, embedding]
  WeightMatrix beta;     // [value_heads, embedding]
  WeightMatrix alpha;    // [value_heads, embedding]
  WeightMatrix out;      // [embedding, value_length]
  const float* conv;     // [conv_kernel][conv_channels]: tap-major, the newest token's tap last
  const float* dt_bias;  // [value_heads]
  const float* a;        // [value_heads]: -exp(A_log)
  const float* norm;     // [state_length]
};

struct AttentionWeights {
  WeightMatrix query_gate;  // [heads * 2 * head_length, embedding]: of each head the query, then its gate
  WeightMatrix key;         // [kv_length, embedding]
  WeightMatrix value;       // [kv_length, embedding]
  WeightMatrix out;         // [embedding, query_length]
  const float* query_norm;  // [head_length]
  const float* key_norm;    // [head_length]
};

struct LayerWeights {
  const float* mixer_norm;         // [embedding]
  DeltaNetWeights delta_net;       // where the layer is not attention
  AttentionWeights attention;      // where it is
  const float* feed_forward_norm;  // [embedding]
  WeightMatrix gate;               // [feed_forward, embedding]
  WeightMatrix up;                 // [feed_forward, embedding]
  WeightMatrix down;               // [embedding, feed_forward]
};

/// The MTP head: rms(embedding of the next token) beside rms(hidden), projected, one attention layer, a head.
struct MtpWeights {
  const float* embedding_norm;  // [embedding]
  const float* hidden_norm;     // [embedding]
  WeightMatrix projection;      // [embedding, 2 * embedding]
  LayerWeights layer;
  const float* head_norm;  // [embedding]
  WeightMatrix embedding;  // the model's own where the file has no other
  WeightMatrix head;       // likewise
};

struct ModelWeights {
  ModelShape shape;
  WeightMatrix embedding;  // [vocabulary, embedding]
  LayerWeights* layers;    // [shape.layers]
  const float* output_norm;
  WeightMatrix head;  // [vocabulary, embedding]
  MtpWeights mtp;     // where shape.mtp
};

}  // namespace inlay
