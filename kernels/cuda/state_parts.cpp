#include <cstring>

#include "kernels/cuda/state.h"

// A state's parts in the form in which they are saved (StatePart). What lies otherwise here is turned on its
// way.

namespace inlay::cuda {
namespace {

constexpr uint32_t kMostState = 128;  // state_length that the kernels take
constexpr uint32_t kBlock = 32;       // elements of a Q8 block
constexpr size_t kBlockBytes = sizeof(uint16_t) + kBlock;

/// Copies between the host's bytes and the device's, in the one direction or in the other.
struct Mover {
  std::byte* host;
  bool reading;
  cudaStream_t stream;
  cudaError_t error = cudaSuccess;

  /// `rows` pieces of `bytes` bytes at these distances; the host's lie from `offset` on.
  void move(size_t offset, size_t host_step, const void* device, size_t device_step, size_t bytes,
            size_t rows) {
    if (error != cudaSuccess) return;
    std::byte* at = host + offset;
    void* there = const_cast<void*>(device);
    error = reading ? cudaMemcpy2DAsync(at, host_step, there, device_step, bytes, rows,
                                        cudaMemcpyDeviceToHost, stream)
                    : cudaMemcpy2DAsync(there, device_step, at, host_step, bytes, rows,
                                        cudaMemcpyHostToDevice, stream);
  }
  void move(size_t offset, const void* device, size_t bytes) { move(offset, bytes, device, bytes, bytes, 1); }
};

void transpose(float* square, uint32_t n) {
  for (uint32_t row = 0; row < n; ++row) {
    for (uint32_t column = row + 1; column < n; ++column) {
      const float other = square[size_t{row} * n + column];
      square[size_t{row} * n + column] = square[size_t{column} * n + row];
      square[size_t{column} * n + row] = other;
    }
  }
}

void move_log(const CudaState& state, const StatePart& part, Mover& mover) {
  const ModelShape& shape = state.shape;
  const uint64_t slot = uint64_t{part.layer} * kLogSlots + part.position % kLogSlots;
  const size_t key = shape.key_length() * sizeof(float), value = shape.value_length() * sizeof(float);
  mover.move(0, state.view.log_key + slot * shape.key_length(), key);
  mover.move(key, state.view.log_value + slot * shape.value_length(), value);
  // Decay and beta lie beside each other here, one behind the other where they are saved.
  const float* gate = state.view.log_gate + slot * shape.value_heads * 2;
  const size_t heads = shape.value_heads * sizeof(float);
  mover.move(key + value, sizeof(float), gate + 1, 2 * sizeof(float), sizeof(float), shape.value_heads);
  mover.move(key + value + heads, sizeof(float), gate, 2 * sizeof(float), sizeof(float), shape.value_heads);
}

void move_kv(const CudaState& state, const StatePart& part, Mover& mover) {
  const uint32_t n = state.kv.head_length;
  const std::byte* slab =
      state.view.kv + state.kv.slab_offset(part.page, part.layer, part.values ? 1 : 0, part.index);
  if (state.kv.type != KvType::kQ8) {
    return mover.move(0, slab, uint64_t{part.count} * n * (state.kv.type == KvType::kF16 ? 2 : 1));
  }
  // Numbers and then scales here; each block's scale before its numbers where they are saved.
  const size_t blocks = size_t{part.count} * n / kBlock;
  mover.move(sizeof(uint16_t), kBlockBytes, slab, kBlock, kBlock, blocks);
  mover.move(0, kBlockBytes, slab + size_t{kPageTokens} * n, sizeof(uint16_t), sizeof(uint16_t), blocks);
}

void move_part(const CudaState& state, const StatePart& part, Mover& mover) {
  const ModelShape& shape = state.shape;
  const uint32_t n = shape.state_length;
  switch (part.kind) {
    case StatePart::Kind::kHidden:
      return mover.move(0, state.hidden_rows(state.hidden_turn) + uint64_t{part.index} * shape.embedding,
                        shape.embedding * sizeof(float));
    case StatePart::Kind::kCommitted:
      return mover.move(0, state.view.committed, shape.delta_net_layers() * sizeof(uint64_t));
    case StatePart::Kind::kDelta:
      return mover.move(0, state.view.delta + (uint64_t{part.layer} * shape.value_heads + part.index) * n * n,
                        size_t{n} * n * sizeof(float));
    case StatePart::Kind::kColumn:
      return mover.move(0,
                        state.view.log_conv + (uint64_t{part.layer} * kLogSlots + part.position % kLogSlots) *
                                                  shape.conv_channels(),
                        shape.conv_channels() * sizeof(float));
    case StatePart::Kind::kLog: return move_log(state, part, mover);
    case StatePart::Kind::kKv: return move_kv(state, part, mover);
  }
}

cudaError_t move(const CudaState& state, const StatePart& part, Mover mover) {
  move_part(state, part, mover);
  const cudaError_t waited = cudaStreamSynchronize(mover.stream);
  return mover.error != cudaSuccess ? mover.error : waited;
}

}  // namespace

cudaError_t read_state_part(const CudaState& state, const StatePart& part, std::byte* out,
                            cudaStream_t stream) {
  const cudaError_t error = move(state, part, {out, true, stream});
  if (part.kind == StatePart::Kind::kDelta)
    transpose(reinterpret_cast<float*>(out), state.shape.state_length);
  return error;
}

cudaError_t write_state_part(CudaState& state, const StatePart& part, const std::byte* in,
                             cudaStream_t stream) {
  if (part.kind != StatePart::Kind::kDelta) {
    return move(state, part, {const_cast<std::byte*>(in), false, stream});
  }
  const uint32_t n = state.shape.state_length;
  if (n > kMostState) return cudaErrorInvalidValue;
  float square[kMostState * kMostState];
  std::memcpy(square, in, size_t{n} * n * sizeof(float));
  transpose(square, n);
  return move(state, part, {reinterpret_cast<std::byte*>(square), false, stream});
}

}  // namespace inlay::cuda
