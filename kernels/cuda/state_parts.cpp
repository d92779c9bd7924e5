#include <algorithm>
#include <cstring>

#include "kernels/cuda/state.h"

// A state's parts in the form in which they are saved. Three of them lie otherwise on this device: a DeltaNet
// head column by column, decay and beta side by side, Q8's scales behind the rows. Those are turned round on
// the host, through a band on the stack.

namespace inlay::cuda {
namespace {

constexpr uint32_t kBandBytes = 8192;
constexpr uint32_t kBandFloats = kBandBytes / sizeof(float);

/// Copies between the two memories, each ended before the next begins: what is not page-locked may be reused.
class Copier {
 public:
  explicit Copier(cudaStream_t stream) : stream_(stream) {}

  void out_of_device(void* to, const void* from, uint64_t bytes) {
    move(to, from, bytes, cudaMemcpyDeviceToHost);
  }
  void into_device(void* to, const void* from, uint64_t bytes) {
    move(to, from, bytes, cudaMemcpyHostToDevice);
  }
  cudaError_t error() const { return error_; }

 private:
  void move(void* to, const void* from, uint64_t bytes, cudaMemcpyKind kind) {
    if (error_ != cudaSuccess || bytes == 0) return;
    error_ = cudaMemcpyAsync(to, from, bytes, kind, stream_);
    const cudaError_t waited = cudaStreamSynchronize(stream_);
    if (error_ == cudaSuccess) error_ = waited;
  }

  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

/// Where parts lie.
struct Places {
  const CudaState& state;
  const StatePart& part;

  const ModelShape& shape() const { return state.shape; }
  uint64_t log_row() const { return uint64_t{part.layer} * kLogSlots + part.position % kLogSlots; }
  float* hidden() const {
    return state.hidden_rows(state.hidden_turn) + uint64_t{part.index} * shape().embedding;
  }
  uint64_t* committed(uint32_t layer) const {
    return state.view.committed + uint64_t{layer} * shape().value_heads * kDeltaSlices;
  }
  float* delta() const {
    const uint64_t n = shape().state_length;
    return state.view.delta + (uint64_t{part.layer} * shape().value_heads + part.index) * n * n;
  }
  float* column() const { return state.view.log_conv + log_row() * shape().conv_channels(); }
  float* key() const { return state.view.log_key + log_row() * shape().key_length(); }
  float* value() const { return state.view.log_value + log_row() * shape().value_length(); }
  float* gate() const { return state.view.log_gate + log_row() * shape().value_heads * 2; }
  std::byte* slab() const {
    return state.view.kv +
           state.kv.slab_offset(state.pages[part.page], part.layer, part.values ? 1 : 0, part.index);
  }
  uint32_t q8_blocks() const { return part.count * (state.kv.head_length / kQ8Block); }
  std::byte* q8_scales() const { return slab() + uint64_t{kPageTokens} * state.kv.head_length; }
  uint64_t plain_kv_bytes() const {
    return uint64_t{part.count} * state.kv.head_length * (state.kv.type == KvType::kF16 ? 2 : 1);
  }

  static constexpr uint32_t kQ8Block = 32;
  static constexpr uint32_t kSavedQ8Block = kQ8Block + 2;  // the scale, then the bytes
};
constexpr uint32_t kQ8Blocks = kPageTokens * 256 / Places::kQ8Block;  // of a slab at most

void read_delta(Copier& copier, const Places& at, std::byte* out) {
  const uint32_t n = at.shape().state_length;
  auto* head = reinterpret_cast<float*>(out);
  copier.out_of_device(head, at.delta(), uint64_t{n} * n * sizeof(float));
  for (uint32_t row = 0; row < n; ++row) {
    for (uint32_t column = 0; column < row; ++column) {
      std::swap(head[uint64_t{row} * n + column], head[uint64_t{column} * n + row]);
    }
  }
}

void write_delta(Copier& copier, const Places& at, const std::byte* in) {
  const uint32_t n = at.shape().state_length, columns = kBandFloats / n;
  const auto* head = reinterpret_cast<const float*>(in);
  float band[kBandFloats];
  for (uint32_t first = 0; first < n; first += columns) {
    const uint32_t count = std::min(columns, n - first);
    for (uint32_t i = 0; i < count * n; ++i) band[i] = head[uint64_t{i % n} * n + first + i / n];
    copier.into_device(at.delta() + uint64_t{first} * n, band, uint64_t{count} * n * sizeof(float));
  }
}

/// Decay and beta of all heads, in halves of a band.
void read_gates(Copier& copier, const Places& at, float* beta, float* decay) {
  float band[kBandFloats];
  for (uint32_t first = 0; first < at.shape().value_heads; first += kBandFloats / 2) {
    const uint32_t count = std::min(kBandFloats / 2, at.shape().value_heads - first);
    copier.out_of_device(band, at.gate() + 2 * first, count * 2 * sizeof(float));
    for (uint32_t i = 0; i < count && copier.error() == cudaSuccess; ++i) {
      decay[first + i] = band[2 * i];
      beta[first + i] = band[2 * i + 1];
    }
  }
}

void write_gates(Copier& copier, const Places& at, const float* beta, const float* decay) {
  float band[kBandFloats];
  for (uint32_t first = 0; first < at.shape().value_heads; first += kBandFloats / 2) {
    const uint32_t count = std::min(kBandFloats / 2, at.shape().value_heads - first);
    for (uint32_t i = 0; i < count; ++i) {
      band[2 * i] = decay[first + i];
      band[2 * i + 1] = beta[first + i];
    }
    copier.into_device(at.gate() + 2 * first, band, count * 2 * sizeof(float));
  }
}

/// The rows come to the front of `out`; from the last block on each finds its place behind what is still to
/// be moved.
void read_q8(Copier& copier, const Places& at, std::byte* out) {
  uint16_t scales[kQ8Blocks];
  const uint32_t blocks = at.q8_blocks();
  copier.out_of_device(scales, at.q8_scales(), blocks * sizeof(uint16_t));
  copier.out_of_device(out, at.slab(), uint64_t{blocks} * Places::kQ8Block);
  if (copier.error() != cudaSuccess) return;
  for (uint32_t block = blocks; block-- > 0;) {
    std::byte* to = out + uint64_t{block} * Places::kSavedQ8Block;
    std::memmove(to + sizeof(uint16_t), out + uint64_t{block} * Places::kQ8Block, Places::kQ8Block);
    std::memcpy(to, scales + block, sizeof(uint16_t));
  }
}

void write_q8(Copier& copier, const Places& at, const std::byte* in) {
  uint16_t scales[kQ8Blocks];
  std::byte band[kBandBytes];
  constexpr uint32_t kBandBlocks = kBandBytes / Places::kQ8Block;
  const uint32_t blocks = at.q8_blocks();
  for (uint32_t first = 0; first < blocks; first += kBandBlocks) {
    const uint32_t count = std::min(kBandBlocks, blocks - first);
    for (uint32_t i = 0; i < count; ++i) {
      const std::byte* from = in + uint64_t{first + i} * Places::kSavedQ8Block;
      std::memcpy(scales + first + i, from, sizeof(uint16_t));
      std::memcpy(band + uint64_t{i} * Places::kQ8Block, from + sizeof(uint16_t), Places::kQ8Block);
    }
    copier.into_device(at.slab() + uint64_t{first} * Places::kQ8Block, band,
                       uint64_t{count} * Places::kQ8Block);
  }
  copier.into_device(at.q8_scales(), scales, blocks * sizeof(uint16_t));
}

}  // namespace

cudaError_t read_state_part(const CudaState& state, const StatePart& part, std::byte* out,
                            cudaStream_t stream) {
  const ModelShape& s = state.shape;
  const Places at{state, part};
  Copier copier(stream);
  switch (part.kind) {
    case StatePart::Kind::kHidden: copier.out_of_device(out, at.hidden(), s.embedding * sizeof(float)); break;
    case StatePart::Kind::kCommitted:
      // Between passes all parts of a layer stand at the same position.
      for (uint32_t layer = 0; layer < s.delta_net_layers(); ++layer) {
        copier.out_of_device(out + layer * sizeof(uint64_t), at.committed(layer), sizeof(uint64_t));
      }
      break;
    case StatePart::Kind::kDelta: read_delta(copier, at, out); break;
    case StatePart::Kind::kColumn:
      copier.out_of_device(out, at.column(), s.conv_channels() * sizeof(float));
      break;
    case StatePart::Kind::kLog: {
      auto* floats = reinterpret_cast<float*>(out);
      copier.out_of_device(floats, at.key(), s.key_length() * sizeof(float));
      copier.out_of_device(floats + s.key_length(), at.value(), s.value_length() * sizeof(float));
      float* gates = floats + s.key_length() + s.value_length();
      read_gates(copier, at, gates, gates + s.value_heads);
      break;
    }
    case StatePart::Kind::kKv:
      if (state.kv.type == KvType::kQ8) {
        read_q8(copier, at, out);
      } else {
        copier.out_of_device(out, at.slab(), at.plain_kv_bytes());
      }
      break;
  }
  return copier.error();
}

cudaError_t write_state_part(CudaState& state, const StatePart& part, const std::byte* in,
                             cudaStream_t stream) {
  const ModelShape& s = state.shape;
  const Places at{state, part};
  Copier copier(stream);
  switch (part.kind) {
    case StatePart::Kind::kHidden: copier.into_device(at.hidden(), in, s.embedding * sizeof(float)); break;
    case StatePart::Kind::kCommitted: {
      const auto* positions = reinterpret_cast<const uint64_t*>(in);
      const uint32_t parts = s.value_heads * kDeltaSlices;
      uint64_t band[kBandBytes / sizeof(uint64_t)];
      for (uint32_t layer = 0; layer < s.delta_net_layers(); ++layer) {
        std::fill(std::begin(band), std::end(band), positions[layer]);
        for (uint32_t first = 0; first < parts; first += std::size(band)) {
          const uint64_t count = std::min<uint64_t>(std::size(band), parts - first);
          copier.into_device(at.committed(layer) + first, band, count * sizeof(uint64_t));
        }
      }
      break;
    }
    case StatePart::Kind::kDelta: write_delta(copier, at, in); break;
    case StatePart::Kind::kColumn:
      copier.into_device(at.column(), in, s.conv_channels() * sizeof(float));
      break;
    case StatePart::Kind::kLog: {
      const auto* floats = reinterpret_cast<const float*>(in);
      copier.into_device(at.key(), floats, s.key_length() * sizeof(float));
      copier.into_device(at.value(), floats + s.key_length(), s.value_length() * sizeof(float));
      const float* gates = floats + s.key_length() + s.value_length();
      write_gates(copier, at, gates, gates + s.value_heads);
      break;
    }
    case StatePart::Kind::kKv:
      if (state.kv.type == KvType::kQ8) {
        write_q8(copier, at, in);
      } else {
        copier.into_device(at.slab(), in, at.plain_kv_bytes());
      }
      break;
  }
  return copier.error();
}

}  // namespace inlay::cuda
