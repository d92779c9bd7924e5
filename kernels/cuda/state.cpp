#include "kernels/cuda/state.h"

namespace inlay::cuda {
namespace {

constexpr size_t kAlignment = 256;

cudaError_t copy(void* to, const void* from, uint64_t bytes, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
}

}  // namespace

KvLayout kv_layout(const ModelShape& shape, const SessionShape& session) {
  return {shape.attention_layers() + (session.mtp ? 1 : 0), shape.kv_heads, shape.head_length,
          session.kv_type};
}

void lay_out_state(const ModelShape& shape, const SessionShape& session, Layout& layout, CudaState& state) {
  state.shape = shape;
  state.session = session;
  state.kv = kv_layout(shape, session);
  const uint64_t own_pages = session.pooled ? 0 : session.pages();
  state.view.kv = layout.take<std::byte>(state.kv.page_bytes() * own_pages, kAlignment);
  state.page_table = layout.take<uint32_t>(session.pages(), kAlignment);
  state.view.page_table = state.page_table;
  state.view.delta = layout.take<float>(state.delta_floats(), kAlignment);
  state.view.committed = layout.take<uint64_t>(state.committed_count(), kAlignment);
  state.view.log_conv = layout.take<float>(state.log_rows() * shape.conv_channels(), kAlignment);
  state.view.log_key = layout.take<float>(state.log_rows() * shape.key_length(), kAlignment);
  state.view.log_value = layout.take<float>(state.log_rows() * shape.value_length(), kAlignment);
  state.view.log_gate = layout.take<float>(state.log_rows() * shape.value_heads * 2, kAlignment);
  state.hidden = layout.take<float>(uint64_t{2} * (kMaxWidth + 1) * shape.embedding, kAlignment);
}

cudaError_t clear_state(CudaState& state, cudaStream_t stream) {
  const cudaError_t error = cudaMemsetAsync(state.memory, 0, state.bytes, stream);
  if (error != cudaSuccess) return error;
  for (uint32_t page = 0; page < state.session.pages(); ++page) {
    state.pages[page] = state.session.pooled ? 0 : page;
  }
  return cudaMemcpyAsync(state.page_table, state.pages, state.session.pages() * sizeof(uint32_t),
                         cudaMemcpyHostToDevice, stream);
}

cudaError_t reset_state(CudaState& state, cudaStream_t stream) {
  const cudaError_t error =
      cudaMemsetAsync(state.view.delta, 0, state.delta_floats() * sizeof(float), stream);
  if (error != cudaSuccess) return error;
  return cudaMemsetAsync(state.view.committed, 0, state.committed_count() * sizeof(uint64_t), stream);
}

cudaError_t copy_state(const CudaState& from, CudaState& to, uint64_t position, cudaStream_t stream) {
  const uint64_t pages = from.session.pooled ? 0 : (position + kPageTokens - 1) / kPageTokens;
  const ModelShape& shape = from.shape;
  const struct {
    void* to;
    const void* from;
    uint64_t bytes;
  } parts[] = {
      {to.view.kv, from.view.kv, pages * from.kv.page_bytes()},
      {to.view.delta, from.view.delta, from.delta_floats() * sizeof(float)},
      {to.view.committed, from.view.committed, from.committed_count() * sizeof(uint64_t)},
      {to.view.log_conv, from.view.log_conv, from.log_rows() * shape.conv_channels() * sizeof(float)},
      {to.view.log_key, from.view.log_key, from.log_rows() * shape.key_length() * sizeof(float)},
      {to.view.log_value, from.view.log_value, from.log_rows() * shape.value_length() * sizeof(float)},
      {to.view.log_gate, from.view.log_gate, from.log_rows() * shape.value_heads * 2 * sizeof(float)},
      {to.hidden, from.hidden, uint64_t{2} * (kMaxWidth + 1) * shape.embedding * sizeof(float)},
  };
  for (const auto& part : parts) {
    const cudaError_t error = copy(part.to, part.from, part.bytes, stream);
    if (error != cudaSuccess) return error;
  }
  to.hidden_turn = from.hidden_turn;
  return cudaSuccess;
}

cudaError_t set_state_page(CudaState& state, uint32_t index, uint32_t page, cudaStream_t stream) {
  state.pages[index] = page;
  return cudaMemcpyAsync(state.page_table + index, state.pages + index, sizeof(uint32_t),
                         cudaMemcpyHostToDevice, stream);
}

cudaError_t copy_pool_page(const CudaPool& pool, uint32_t from, uint32_t to, cudaStream_t stream) {
  const uint64_t bytes = pool.kv.page_bytes();
  return copy(pool.memory + to * bytes, pool.memory + from * bytes, bytes, stream);
}

}  // namespace inlay::cuda
