#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_objects.h"

// The recurrent part of a Gated DeltaNet layer. Narrow rows log what the recurrence needs and leave the
// committed state where it was; the next pass replays what was kept. Wide rows commit at once.

namespace inlay::cpu {
namespace {

constexpr uint32_t kTilesOfUnit = 2;
constexpr uint32_t kMaxStateLength = 256;

uint32_t delta_index(const ModelShape& shape, uint32_t layer) {
  return layer - layer / shape.attention_interval;
}

/// Where a row's normalised key, value and gates are: in the log, or for a wide pass in the scratch.
struct RowOperands {
  float* query;
  float* key;
  float* value;
  float* beta;
  float* decay;
};

RowOperands operands_of(const Context& context, const DeltaLayer& layer, uint32_t row) {
  const ModelShape& shape = context.shape();
  float* conv_out = context.scratch.conv_out + size_t{row} * shape.conv_channels();
  if (context.wide()) {
    return {conv_out, conv_out + shape.key_length(), conv_out + 2 * shape.key_length(),
            context.scratch.beta + size_t{row} * shape.value_heads,
            context.scratch.decay + size_t{row} * shape.value_heads};
  }
  const uint64_t slot = context.position_of(row) % kLogSlots;
  return {conv_out, layer.key + slot * shape.key_length(), layer.value + slot * shape.value_length(),
          layer.beta + slot * shape.value_heads, layer.decay + slot * shape.value_heads};
}

/// Inputs of the convolution for a row, oldest first: null before the timeline's beginning.
void columns_of(const Context& context, const DeltaLayer& layer, uint32_t row, const float** columns) {
  const ModelShape& shape = context.shape();
  const Segment& segment = context.segment_of(row);
  const CpuState& state = Context::state_of(segment);
  const size_t stride = context.scratch.mixer_in_stride();
  for (uint32_t tap = 0; tap < shape.conv_kernel; ++tap) {
    const uint32_t back = shape.conv_kernel - 1 - tap;
    const uint32_t of_segment = row - segment.row_begin;
    const uint64_t position = segment.position + of_segment;
    if (back > position) {
      columns[tap] = nullptr;
    } else if (back <= of_segment) {
      columns[tap] = context.scratch.mixer_in + (row - back) * stride;
    } else {
      columns[tap] = layer.conv + (position - back) % state.conv_slots() * shape.conv_channels();
    }
  }
}

/// softplus and exp in double: a handful of heads a row, and the decay is what accumulates over a context.
void compute_gates(const Context& context, const DeltaNetWeights& weights, uint32_t row,
                   const RowOperands& out) {
  const ModelShape& shape = context.shape();
  const float* in = context.scratch.mixer_in + size_t{row} * context.scratch.mixer_in_stride() +
                    shape.conv_channels() + shape.value_length();
  for (uint32_t head = 0; head < shape.value_heads; ++head) {
    out.beta[head] = static_cast<float>(1.0 / (1.0 + std::exp(-double{in[head]})));
    const double dt = double{in[shape.value_heads + head]} + double{weights.dt_bias[head]};
    const double softplus = dt > 30.0 ? dt : std::log1p(std::exp(dt));
    out.decay[head] = static_cast<float>(std::exp(softplus * double{weights.a[head]}));
  }
}

void convolve_head(const Context& context, const DeltaNetWeights& weights, const float* const* columns,
                   uint32_t head, const RowOperands& out) {
  const ModelShape& shape = context.shape();
  const uint32_t n = shape.state_length;
  const uint32_t channel = head * n;
  const float* shifted[8];
  for (uint32_t tap = 0; tap < shape.conv_kernel; ++tap) {
    shifted[tap] = columns[tap] == nullptr ? nullptr : columns[tap] + channel;
  }
  float* target = head < shape.key_heads       ? out.query + channel
                  : head < 2 * shape.key_heads ? out.key + (channel - shape.key_length())
                                               : out.value + (channel - 2 * shape.key_length());
  context.ops.conv_silu(shifted, weights.conv + channel, shape.conv_channels(), shape.conv_kernel, n, target);
  if (head < 2 * shape.key_heads) {
    const float scale = head < shape.key_heads ? 1.0f / std::sqrt(static_cast<float>(n)) : 1.0f;
    context.ops.l2_norm(target, n, shape.rms_epsilon, scale);
  }
}

/// The convolution's inputs that later passes will look back at. Runs beside the recurrence, when every row
/// of this pass has been convolved: before that, the slots may still be read.
void keep_columns(const Context& context, uint32_t delta, const Segment& segment) {
  const ModelShape& shape = context.shape();
  const CpuState& state = Context::state_of(segment);
  const DeltaLayer& layer = state.delta[delta];
  const uint32_t back = shape.conv_kernel - 1;
  const uint32_t first = context.wide() && segment.rows > back ? segment.rows - back : 0;
  for (uint32_t i = first; i < segment.rows; ++i) {
    float* slot = layer.conv + (segment.position + i) % state.conv_slots() * shape.conv_channels();
    if (context.wide()) {
      float* undo = context.scratch.undo_conv + (size_t{delta} * back + (i - first)) * shape.conv_channels();
      std::memcpy(undo, slot, shape.conv_channels() * sizeof(float));
    }
    std::memcpy(
        slot, context.scratch.mixer_in + (segment.row_begin + i) * size_t{context.scratch.mixer_in_stride()},
        shape.conv_channels() * sizeof(float));
  }
}

/// One value head's share of tile `tile` of one segment: replay, then rows [row_begin, row_end) of it.
void recur(const Context& context, uint32_t delta, const Segment& segment, uint32_t head, uint32_t tile,
           uint32_t row_begin, uint32_t row_end) {
  const ModelShape& shape = context.shape();
  const CpuState& state = Context::state_of(segment);
  const DeltaLayer& layer = state.delta[delta];
  const uint32_t n = shape.state_length;
  const uint32_t key_head = head % shape.key_heads;
  const uint32_t column = head * n + tile * kDeltaTile;
  const size_t tile_floats = size_t{n} * kDeltaTile;
  const size_t tile_offset = (size_t{head} * (n / kDeltaTile) + tile) * tile_floats;
  float* s = layer.state + tile_offset;

  if (context.wide() && row_begin == 0) {
    float* undo = context.scratch.undo_state + delta * (shape.value_length() * size_t{n}) + tile_offset;
    std::memcpy(undo, s, tile_floats * sizeof(float));
  }
  for (uint64_t position = *layer.committed; position < segment.position && row_begin == 0; ++position) {
    const uint64_t slot = position % kLogSlots;
    const DeltaToken token{nullptr,
                           layer.key + slot * shape.key_length() + key_head * n,
                           layer.value + slot * shape.value_length() + column,
                           layer.beta[slot * shape.value_heads + head],
                           layer.decay[slot * shape.value_heads + head],
                           0.0f,
                           nullptr};
    context.ops.delta_step(s, s, n, token);
  }
  alignas(64) float local[kMaxStateLength * kDeltaTile];
  const float* from = s;
  for (uint32_t i = row_begin; i < row_end; ++i) {
    const uint32_t row = segment.row_begin + i;
    const RowOperands in = operands_of(context, layer, row);
    const DeltaToken token{in.query + key_head * n,
                           in.key + key_head * n,
                           in.value + column,
                           in.beta[head],
                           in.decay[head],
                           context.ops.dot(in.key + key_head * n, in.query + key_head * n, n),
                           context.scratch.mixed + size_t{row} * context.scratch.mixed_stride() + column};
    float* to = context.wide() ? s : i + 1 < row_end ? local : nullptr;
    context.ops.delta_step(from, to, n, token);
    from = to;
  }
}

}  // namespace

void run_conv(const Context& context, const Slice& slice) {
  const ModelShape& shape = context.shape();
  const uint32_t delta = delta_index(shape, slice.layer);
  const DeltaNetWeights& weights = context.model().layers[slice.layer].delta_net;
  const uint32_t heads = 2 * shape.key_heads + shape.value_heads;
  // A wide pass has rows enough to share out; a narrow one shares out the heads of its few rows too.
  const uint32_t groups = context.wide() ? 1 : std::min(heads, 8u);
  const uint32_t row_begin = Context::begin_of(slice, context.rows);
  auto work = [&](uint32_t unit, uint32_t) {
    const uint32_t row = row_begin + unit / groups;
    const uint32_t group = unit % groups;
    const DeltaLayer& layer = Context::state_of(context.segment_of(row)).delta[delta];
    const RowOperands out = operands_of(context, layer, row);
    const float* columns[8];
    columns_of(context, layer, row, columns);
    for (uint32_t head = heads * group / groups; head < heads * (group + 1) / groups; ++head) {
      convolve_head(context, weights, columns, head, out);
    }
    if (group == 0) compute_gates(context, weights, row, out);
  };
  context.pool.run((Context::end_of(slice, context.rows) - row_begin) * groups, work);
}

void run_delta(const Context& context, const Slice& slice) {
  const ModelShape& shape = context.shape();
  const uint32_t delta = delta_index(shape, slice.layer);
  const uint32_t tiles = shape.state_length / kDeltaTile;
  const uint32_t units_of_head = (tiles + kTilesOfUnit - 1) / kTilesOfUnit;
  const uint32_t units = shape.value_heads * units_of_head;
  const auto segments = static_cast<uint32_t>(context.segments.size());
  const bool keep = slice.part == 0;
  if (context.wide() && keep) {
    context.scratch.undo_committed[delta] = *Context::state_of(context.segments[0]).delta[delta].committed;
    context.scratch.undo_layers = delta + 1;
  }
  auto work = [&](uint32_t unit, uint32_t) {
    if (unit >= segments * units)
      return keep_columns(context, delta, context.segments[unit - segments * units]);
    const Segment& segment = context.segments[unit / units];
    const uint32_t head = unit % units / units_of_head;
    const uint32_t first = unit % units_of_head * kTilesOfUnit;
    // Only a wide pass, of one segment, is cut by rows.
    const uint32_t row_begin = Context::begin_of(slice, segment.rows);
    const uint32_t row_end = Context::end_of(slice, segment.rows);
    for (uint32_t tile = first; tile < std::min(first + kTilesOfUnit, tiles); ++tile) {
      recur(context, delta, segment, head, tile, row_begin, row_end);
    }
  };
  context.pool.run(segments * units + (keep ? segments : 0), work);
  for (const Segment& segment : context.segments) {
    const CpuState& state = Context::state_of(segment);
    *state.delta[delta].committed =
        segment.position + (context.wide() ? Context::end_of(slice, segment.rows) : 0);
  }
}

void run_delta_gate(const Context& context, const Slice& slice) {
  const ModelShape& shape = context.shape();
  const DeltaNetWeights& weights = context.model().layers[slice.layer].delta_net;
  CpuScratch& scratch = context.scratch;
  auto work = [&](uint32_t row, uint32_t) {
    float* mixed = scratch.mixed + size_t{row} * scratch.mixed_stride();
    const float* gate = scratch.mixer_in + size_t{row} * scratch.mixer_in_stride() + shape.conv_channels();
    const uint32_t n = shape.state_length;
    for (uint32_t head = 0; head < shape.value_heads; ++head) {
      context.ops.rms_norm(mixed + head * n, weights.norm, n, shape.rms_epsilon, mixed + head * n);
    }
    context.ops.silu_multiply(gate, mixed, shape.value_length(), mixed);
    prepare_row(context, scratch.mixed, scratch.mixed_stride(), row, shape.value_length(), context.wide());
  };
  context.run_rows(slice, work);
}

}  // namespace inlay::cpu
