#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/pass_params.h"
#include "runtime/layout.h"

namespace inlay::cuda {

/// A session's state: one block of device memory.
struct CudaState final : DeviceState {
  ModelShape shape;
  SessionShape session;
  KvLayout kv;
  StateView view;
  float* hidden = nullptr;  // device: [2][kMaxWidth + 1][embedding]
  uint32_t* page_table = nullptr;
  uint32_t hidden_turn = 0;  // which of the two is the last pass's
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

/// Sets the shapes and, where the layout places, the pointers.
void lay_out_state(const ModelShape& shape, const SessionShape& session, Layout& layout, CudaState& state);

/// Queues: all of it zero, pages in order.
cudaError_t clear_state(CudaState& state, cudaStream_t stream);
/// Queues: committed positions and DeltaNet states to zero.
cudaError_t reset_state(CudaState& state, cudaStream_t stream);
cudaError_t copy_state(const CudaState& from, CudaState& to, uint64_t position, cudaStream_t stream);
/// Device::read_part and write_part; they wait until it is done.
cudaError_t read_state_part(const CudaState& state, const StatePart& part, std::byte* out,
                            cudaStream_t stream);
cudaError_t write_state_part(CudaState& state, const StatePart& part, const std::byte* in,
                             cudaStream_t stream);

}  // namespace inlay::cuda
