#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/pass_params.h"
#include "runtime/layout.h"

namespace inlay::cuda {

/// KV pages that states share: one block of device memory.
struct CudaPool final : DevicePool {
  KvLayout kv;
  std::byte* memory = nullptr;
  uint64_t bytes = 0;
};

/// A session's state: one block of device memory.
struct CudaState final : DeviceState {
  ModelShape shape;
  SessionShape session;
  KvLayout kv;
  StateView view;
  float* hidden = nullptr;         // device: [2][kMaxWidth + 1][embedding]
  uint32_t* page_table = nullptr;  // device
  uint32_t* pages = nullptr;       // the same in host memory
  uint32_t hidden_turn = 0;        // which of the two is the last pass's
  std::byte* memory = nullptr;
  uint64_t bytes = 0;

  float* hidden_rows(uint32_t turn) const {
    return hidden + uint64_t{turn} * (kMaxWidth + 1) * shape.embedding;
  }
  uint64_t delta_floats() const {
    return uint64_t{shape.delta_net_layers()} * shape.value_length() * shape.state_length;
  }
  uint64_t committed_count() const {
    return uint64_t{shape.delta_net_layers()} * shape.value_heads * kDeltaSlices;
  }
  uint64_t log_rows() const { return uint64_t{shape.delta_net_layers()} * kLogSlots; }
};

KvLayout kv_layout(const ModelShape& shape, const SessionShape& session);

/// Sets the shapes and, where the layout places, the pointers into device memory.
void lay_out_state(const ModelShape& shape, const SessionShape& session, Layout& layout, CudaState& state);

/// Queues: all of it zero, pages in order.
cudaError_t clear_state(CudaState& state, cudaStream_t stream);
/// Queues: committed positions and DeltaNet states to zero.
cudaError_t reset_state(CudaState& state, cudaStream_t stream);
/// Queues; of pooled states all but the pages.
cudaError_t copy_state(const CudaState& from, CudaState& to, uint64_t position, cudaStream_t stream);

/// Queues: page `index` of the timeline is page `page` of the pool, after all that is queued already.
cudaError_t set_state_page(CudaState& state, uint32_t index, uint32_t page, cudaStream_t stream);
cudaError_t copy_pool_page(const CudaPool& pool, uint32_t from, uint32_t to, cudaStream_t stream);

/// Between a state and the form in which it is saved. They wait for the stream.
cudaError_t read_state_part(const CudaState& state, const StatePart& part, std::byte* out,
                            cudaStream_t stream);
cudaError_t write_state_part(CudaState& state, const StatePart& part, const std::byte* in,
                             cudaStream_t stream);

}  // namespace inlay::cuda
