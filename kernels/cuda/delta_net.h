#pragma once

#include <cuda_fp16.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/pass_params.h"

namespace inlay::cuda {

/// What the Gated DeltaNet kernels of one layer work on. Strides are in floats; row r of a buffer belongs to
/// row r of the pass.
struct DeltaNetArguments {
  const PassParams* params = nullptr;  // null in a wide pass, whose one segment is the next two
  StateView state;
  uint64_t position = 0;
  const float* qkv = nullptr;    // [rows][stride]: inputs of the convolution; q, k, then v
  const float* beta = nullptr;   // [rows][stride]: before the sigmoid
  const float* alpha = nullptr;  // [rows][stride]
  uint32_t qkv_stride = 0;
  uint32_t gate_stride = 0;        // of beta, alpha and gate
  const float* conv = nullptr;     // [4][conv channels]
  const float* dt_bias = nullptr;  // [value heads]
  const float* a = nullptr;        // [value heads]
  float* out = nullptr;            // [rows][value heads * 128]
  // Narrow, on devices with clusters: the gated norm of the outputs, as the projection after it reads them.
  const float* gate = nullptr;    // [rows][gate_stride]
  const float* norm = nullptr;    // [128]
  __half* activations = nullptr;  // null: `out` is written
  uint32_t key_heads = 0;
  uint32_t value_heads = 0;
  uint32_t layer = 0;  // among the DeltaNet layers
  float epsilon = 0;

  __host__ __device__ uint32_t key_length() const { return key_heads * 128; }
  __host__ __device__ uint32_t value_length() const { return value_heads * 128; }
  __host__ __device__ uint32_t channels() const { return 2 * key_length() + value_length(); }
};

/// Narrow: replays what is logged between the layer's committed position and each segment's, writes the state
/// back, then runs the segment's rows from registers and logs them.
void launch_delta_net(Queue& queue, const DeltaNetArguments& arguments, uint32_t segments);

/// What a wide pass's DeltaNet works in, beside DeltaNetArguments. Its rows go in chunks of kChunk, counted
/// from the pass's first row.
struct DeltaNetWide {
  static constexpr uint32_t kChunk = 64;
  static constexpr uint32_t kTail = 3;
  static constexpr uint32_t kGroup = 8;  // rows whose values lie together
  /// Of a chunk and value head: T and P, each as two halves, of which each is ten tiles of 16 x 16 F16.
  static constexpr uint32_t kProductBytes = 4 * 10 * 512;
  static constexpr uint32_t chunks(uint32_t rows) { return (rows + kChunk - 1) / kChunk; }
  static constexpr uint32_t groups(uint32_t rows) { return chunks(rows) * (kChunk / kGroup); }

  __half* keys = nullptr;   // [key head][chunk][q, k][kChunk][128]: of length 1, a row's vectors of eight
                            // in the order that vector_at says
  float* values = nullptr;  // [value head][group][128][kGroup]
  float* peaks = nullptr;   // [group][value heads]: the largest magnitude among their values
  float2* gates = nullptr;  // [rows][value heads]: the decay's logarithm, beta
  std::byte* products = nullptr;  // [value head][chunk]: kProductBytes, each lane's part of a tile together
  float* chunk_gates = nullptr;   // [value head][chunk][3][kChunk]: beta, and the decay since the chunk's
                                  // start and until its end
  float* undo = nullptr;          // [layer][value head][128][128]: the state as it was before the pass
  float* tail = nullptr;          // [layer][kTail][conv channels]: the last inputs of the convolution
};

/// Wide: saves the state for an undo, replays the log, advances over `rows` rows and writes the state back.
/// What is logged and committed stays untouched until launch_delta_net_finish says that the pass is done. A
/// block may have `shared_bytes` of shared memory.
void launch_delta_net_wide(Queue& queue, const DeltaNetArguments& arguments, const DeltaNetWide& wide,
                           uint32_t rows, uint32_t shared_bytes);
// The kernels of it that come after the convolution.
void launch_delta_net_prepare(Queue& queue, const DeltaNetArguments& arguments, const DeltaNetWide& wide,
                              uint32_t rows);
void launch_delta_net_scan(Queue& queue, const DeltaNetArguments& arguments, const DeltaNetWide& wide,
                           uint32_t rows, uint32_t shared_bytes);

/// Moves every layer's committed position to the end of a wide pass and logs the convolution's last inputs.
void launch_delta_net_finish(Queue& queue, const StateView& state, const DeltaNetWide& wide, uint32_t layers,
                             uint32_t channels, uint32_t value_heads, uint64_t position, uint32_t rows);

}  // namespace inlay::cuda
