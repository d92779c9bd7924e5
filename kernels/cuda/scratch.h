#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/delta_net.h"
#include "kernels/cuda/pass_params.h"
#include "kernels/cuda/weights.h"

namespace inlay::cuda {

/// Host memory that the device reads and writes: page-locked, inside the scratch's host block.
struct PinnedBlock {
  PassParams params;
  int32_t draft_tokens[kMaxWidth];
  float draft_probabilities[kMaxWidth];
};

/// What a pass works in, and the graphs of the passes that have one.
struct CudaScratch final : DeviceScratch {
  const CudaWeights* weights = nullptr;
  SessionShape session;
  uint32_t users = 1;           // sessions that were given it
  CudaScratch* next = nullptr;  // of the device's
  uint32_t rows = 0;            // that the wide buffers hold

  // Device memory.
  PassParams* params = nullptr;
  int32_t* tokens = nullptr;          // wide: [rows]
  float* x = nullptr;                 // [rows][embedding]: the residual stream
  __half* activations = nullptr;      // narrow: [kMaxRows][activation_stride(widest)]
  __half* ffn_activations = nullptr;  // narrow: [kMaxRows][activation_stride(feed forward)]
  float* mixer_in = nullptr;          // [rows][mixer_stride]: what a mixer's first products give
  float* delta_out = nullptr;         // [rows][the longer of value and query length]
  RunningAttention running;           // of rows whose keys are not all read yet; its sums lie in delta_out
  __half* query = nullptr;            // [rows][query length]
  float* partial = nullptr;           // [kMaxRows][heads][pages][head length]
  float2* partial_sum = nullptr;      // [kMaxRows][heads][pages]
  float* logits = nullptr;            // [kMaxRows][vocabulary]
  float* mtp_embedding = nullptr;     // [rows][embedding]
  float* chained = nullptr;           // [embedding]
  float4* guess_partial = nullptr;
  int32_t* draft_tokens = nullptr;       // [kMaxWidth], and the probabilities right behind
  float* draft_probabilities = nullptr;  // [kMaxWidth]
  __half* half_in = nullptr;             // wide: [rows][widest]
  __half* half_ffn = nullptr;            // wide: [rows][feed forward]
  __half* wide_weights = nullptr;        // wide: the largest group of matrices, dequantised
  float* all_hidden = nullptr;           // wide with MTP: [rows][embedding]
  DeltaNetWide delta;
  std::byte* memory = nullptr;
  uint64_t bytes = 0;

  // Host memory.
  PinnedBlock* pinned = nullptr;
  float* host_logits = nullptr;    // pinned: [kMaxRows][vocabulary]
  int32_t* host_tokens = nullptr;  // pinned: [rows] of a wide pass
  void* registered = nullptr;

  cudaGraphExec_t narrow_graph[kMaxWidth] = {};  // [rows - 1], one segment
  cudaGraphExec_t draft_graph[kMaxWidth] = {};   // [rows - 1]: the first guess
  cudaGraphExec_t chain_graph = nullptr;         // every guess after it
  uint32_t undo_layers = 0;                      // DeltaNet layers that an unfinished wide pass has advanced

  const ModelShape& shape() const { return weights->model.shape; }
  uint32_t mixer_stride() const;
};

/// Floats of a row of mixer_in.
uint32_t mixer_stride(const ModelShape& shape);

/// Device part: sets pointers where the layout places.
void lay_out_scratch(const ModelWeights& weights, const SessionShape& session, Layout& layout,
                     CudaScratch& scratch);
/// Host part, from the first whole page of the block on; everything in it gets registered with the device.
void lay_out_pinned(const ModelShape& shape, Layout& layout, CudaScratch& scratch);

}  // namespace inlay::cuda
