#pragma once

#include <cuda_fp16.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/pass_params.h"
#include "kernels/cuda/wide_slices.h"

namespace inlay::cuda {

/// One attention layer of a pass. Strides are in floats.
struct AttentionArguments {
  const PassParams* params = nullptr;  // null in a wide pass, whose one segment is the next two
  StateView state;
  uint64_t position = 0;
  const float* query_gate = nullptr;  // [rows][stride]: of each head the query, then its gate
  const float* key = nullptr;         // [rows][stride]
  const float* value = nullptr;       // [rows][stride]
  uint32_t query_stride = 0;
  uint32_t kv_stride = 0;
  const float* query_norm = nullptr;  // [head length]
  const float* key_norm = nullptr;
  const double* frequencies = nullptr;  // [rope_length / 2]: half turns a token
  uint32_t rope_length = 0;
  __half* query = nullptr;        // [rows][heads][head length]: normalised and rotated
  float* partial = nullptr;       // [rows][heads][pages][head length]
  float2* partial_sum = nullptr;  // [rows][heads][pages]: largest score (in powers of two), sum
  uint32_t pages = 0;             // of a state
  __half* out = nullptr;          // activations of heads * head length columns, gated
  uint32_t heads = 0;
  KvLayout kv;
  uint32_t layer = 0;      // among the attention layers
  uint32_t first_key = 0;  // narrow: keys before it do not count (the MTP head has none for the first token)
  float epsilon = 0;
};

/// True for head lengths that there are kernels for.
bool attention_supports(uint32_t head_length);

/// Normalises and rotates queries and keys; appends keys and values to the pages.
void launch_attention_append(Queue& queue, const AttentionArguments& arguments, uint32_t rows);

/// Softmax over the pages, each page on its own (so that the order of a row's sums depends on its position
/// alone), then the pages together in order, times the gate's sigmoid. `rows_of_segment`: the most of one.
void launch_attention(Queue& queue, const AttentionArguments& arguments, uint32_t rows,
                      uint32_t rows_of_segment, uint32_t blocks);

/// What a wide pass's rows have summed up over a range of keys, for the next range to go on from.
struct RunningAttention {
  static constexpr uint32_t kLanes = 4;  // that share a row of a head
  float* sums = nullptr;                 // [rows][heads][head length]: of values, by probability
  float2* rows = nullptr;                // [rows][heads][kLanes]: the largest score, a lane's sum
};

/// Wide: every row's softmax over all keys up to its own, gated, in F16 as the projection after it reads it.
/// `rows` rows from `position` on, whose keys and values have been appended; of these the range's, whose rows
/// begin at a multiple of WideSlices::kQueriesOfBlock and whose keys at one of kKeysOfPart. Ranges of the
/// same rows come in the order of their keys. A block may take `shared_bytes` of shared memory.
void launch_attention_wide(Queue& queue, const AttentionArguments& arguments, __half* out,
                           const RunningAttention& running, const AttentionRange& range, uint32_t rows,
                           uint32_t shared_bytes);

}  // namespace inlay::cuda
