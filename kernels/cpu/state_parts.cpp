#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_objects.h"

// A state's parts in the form in which they are saved.

namespace inlay::cpu {
namespace {

/// Copies between a part's bytes and where the state has them, in the one direction or in the other.
struct Reader {
  std::byte* out;
  template <typename T>
  void move(T* data, uint64_t count) {
    std::memcpy(out, data, count * sizeof(T));
    out += count * sizeof(T);
  }
};

struct Writer {
  const std::byte* in;
  template <typename T>
  void move(T* data, uint64_t count) {
    std::memcpy(data, in, count * sizeof(T));
    in += count * sizeof(T);
  }
};

/// The state lies in tiles of kDeltaTile columns, a saved one row by row.
template <typename Mover>
void move_delta(const CpuState& state, const StatePart& part, Mover& mover) {
  const uint32_t n = state.shape.state_length;
  float* head = state.delta[part.layer].state + size_t{part.index} * n * n;
  for (uint32_t row = 0; row < n; ++row) {
    for (uint32_t tile = 0; tile < n / kDeltaTile; ++tile) {
      mover.move(head + (size_t{tile} * n + row) * kDeltaTile, kDeltaTile);
    }
  }
}

template <typename Mover>
void move_part(const CpuState& state, const StatePart& part, Mover mover) {
  const ModelShape& shape = state.shape;
  switch (part.kind) {
    case StatePart::Kind::kHidden:
      return mover.move(state.hidden_rows(state.hidden_turn) + size_t{part.index} * shape.embedding,
                        shape.embedding);
    case StatePart::Kind::kCommitted: return mover.move(state.committed, shape.delta_net_layers());
    case StatePart::Kind::kDelta: return move_delta(state, part, mover);
    case StatePart::Kind::kColumn:
      return mover.move(
          state.delta[part.layer].conv + part.position % state.conv_slots() * shape.conv_channels(),
          shape.conv_channels());
    case StatePart::Kind::kLog: {
      const DeltaLayer& layer = state.delta[part.layer];
      const uint64_t slot = part.position % kLogSlots;
      mover.move(layer.key + slot * shape.key_length(), shape.key_length());
      mover.move(layer.value + slot * shape.value_length(), shape.value_length());
      mover.move(layer.beta + slot * shape.value_heads, shape.value_heads);
      return mover.move(layer.decay + slot * shape.value_heads, shape.value_heads);
    }
    case StatePart::Kind::kKv:
      return mover.move(state.kv_page(part.page, part.layer, part.values, part.index),
                        uint64_t{part.count} * state.kv_row_bytes);
  }
}

}  // namespace

void read_state_part(const CpuState& state, const StatePart& part, std::byte* out) {
  move_part(state, part, Reader{out});
}

void write_state_part(CpuState& state, const StatePart& part, const std::byte* in) {
  move_part(state, part, Writer{in});
}

}  // namespace inlay::cpu
