#include "kernels/cuda/delta_net.cuh"
#include "kernels/cuda/delta_net.h"

namespace inlay::cuda {
namespace {

constexpr uint32_t kWarps = kColumns / 4;
static_assert(kWarps >= kMaxWidth, "a warp prepares a row");

/// The convolution of `Elements` neighbouring channels for the row at `position`, its inputs from this pass
/// or, before `first` (the position of the pass's first row), from the log. Logs the newest input if asked.
template <int Elements>
__device__ void convolve(const DeltaNetArguments& a, float* log, const float* rows, uint64_t first,
                         uint64_t position, uint32_t channel, bool keep, float (&out)[Elements]) {
  const uint32_t channels = a.channels();
  float sum[Elements] = {};
#pragma unroll
  for (uint32_t tap = 0; tap < kTaps; ++tap) {
    const uint64_t back = kTaps - 1 - tap;
    if (position < back) continue;
    const uint64_t from = position - back;
    const float* input =
        from >= first ? rows + (from - first) * a.qkv_stride : log + (from % kLogSlots) * channels;
#pragma unroll
    for (int i = 0; i < Elements; ++i) {
      const float x = input[channel + i];
      sum[i] = __fmaf_rn(x, a.conv[tap * channels + channel + i], sum[i]);
      if (keep && back == 0) log[(position % kLogSlots) * channels + channel + i] = x;
    }
  }
#pragma unroll
  for (int i = 0; i < Elements; ++i) out[i] = silu(sum[i]);
}

struct Rows {
  float q[kMaxWidth][kState];
  float k[kMaxWidth][kState];
  float v[kMaxWidth][kColumns];
  float2 gate[kMaxWidth];  // decay, beta
};

/// A warp makes q, k, v, decay and beta of one row ready in shared memory, and logs them. Only one block logs
/// what several compute: keys the first block of the first value head that reads them.
__device__ void prepare_row(const DeltaNetArguments& a, const SegmentParams& segment, uint32_t row,
                            uint32_t head, uint32_t slice, uint32_t lane, Rows& rows) {
  const uint64_t position = segment.position + row;
  const uint64_t slot = uint64_t{a.layer} * kLogSlots + position % kLogSlots;
  const uint32_t key_head = head % a.key_heads;
  const bool logs_key = head < a.key_heads && slice == 0;
  const uint64_t begin = uint64_t{segment.row_begin} * a.qkv_stride;
  float* log_conv = segment.state.log_conv + uint64_t{a.layer} * kLogSlots * a.channels();
  const float* inputs = a.qkv + begin;

  float q[4], k[4], v[1];
  const uint32_t element = key_head * kState + 4 * lane;
  convolve(a, log_conv, inputs, segment.position, position, element, logs_key, q);
  convolve(a, log_conv, inputs, segment.position, position, a.key_length() + element, logs_key, k);
  const uint32_t column = head * kState + slice * kColumns + lane;
  convolve(a, log_conv, inputs, segment.position, position, 2 * a.key_length() + column, true, v);
  normalise(q, a.epsilon, 0.08838834764831845f);
  normalise(k, a.epsilon, 1.0f);
  *reinterpret_cast<float4*>(&rows.q[row][4 * lane]) = make_float4(q[0], q[1], q[2], q[3]);
  *reinterpret_cast<float4*>(&rows.k[row][4 * lane]) = make_float4(k[0], k[1], k[2], k[3]);
  rows.v[row][lane] = v[0];
  if (logs_key) {
    float* key = segment.state.log_key + slot * a.key_length() + element;
    *reinterpret_cast<float4*>(key) = make_float4(k[0], k[1], k[2], k[3]);
  }
  segment.state.log_value[slot * a.value_length() + column] = v[0];
  if (lane == 0) {
    const uint64_t at = uint64_t{segment.row_begin + row} * a.gate_stride + head;
    const float2 gate = decay_and_beta(a.alpha[at], a.beta[at], a.dt_bias[head], a.a[head]);
    rows.gate[row] = gate;
    if (slice == 0) {
      *reinterpret_cast<float2*>(segment.state.log_gate + (slot * a.value_heads + head) * 2) = gate;
    }
  }
}

__global__ void __launch_bounds__(kWarps * 32) delta_net_kernel(DeltaNetArguments a) {
  __shared__ Rows rows;
  const uint32_t slice = blockIdx.x, head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t part = lane % 8, column = slice * kColumns + warp * 4 + lane / 8;
  let_next_start();
  if (blockIdx.z >= a.params->segments) {
    wait_for_earlier();
    return;
  }
  const SegmentParams& segment = a.params->segment[blockIdx.z];
  const StateView& view = segment.state;
  const uint32_t key_head = head % a.key_heads;

  // The state and the log are of earlier passes, so the replay need not wait for this pass's kernels.
  float* state = view.delta + ((uint64_t{a.layer} * a.value_heads + head) * kState + column) * kState;
  float s[16];
  const uint64_t committed = view.committed[a.layer];
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const float4 x = *reinterpret_cast<const float4*>(state + 4 * part + 32 * j);
    s[4 * j] = x.x, s[4 * j + 1] = x.y, s[4 * j + 2] = x.z, s[4 * j + 3] = x.w;
  }
  for (uint64_t position = committed; position < segment.position; ++position) {
    const uint64_t slot = uint64_t{a.layer} * kLogSlots + position % kLogSlots;
    const Key k = load_key(view.log_key + slot * a.key_length() + key_head * kState, part);
    const float v = view.log_value[slot * a.value_length() + head * kState + column];
    const float2 gate = *reinterpret_cast<const float2*>(view.log_gate + (slot * a.value_heads + head) * 2);
    advance(s, k, v, gate.x, gate.y);
  }
  if (committed < segment.position) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      *reinterpret_cast<float4*>(state + 4 * part + 32 * j) =
          make_float4(s[4 * j], s[4 * j + 1], s[4 * j + 2], s[4 * j + 3]);
    }
  }
  wait_for_earlier();

  if (warp < segment.rows) prepare_row(a, segment, warp, head, slice, lane, rows);
  __syncthreads();
  for (uint32_t row = 0; row < segment.rows; ++row) {
    advance(s, load_key(rows.k[row], part), rows.v[row][warp * 4 + lane / 8], rows.gate[row].x,
            rows.gate[row].y);
    const float o = column_dot(s, load_key(rows.q[row], part));
    if (part == 0) {
      a.out[uint64_t{segment.row_begin + row} * a.value_length() + head * kState + column] = o;
    }
  }
}

}  // namespace

void launch_delta_net(Queue& queue, const DeltaNetArguments& arguments, uint32_t segments) {
  const dim3 grid(kState / kColumns, arguments.value_heads, segments);
  launch(queue, delta_net_kernel, grid, dim3(kWarps * 32), 0, arguments);
}

}  // namespace inlay::cuda
