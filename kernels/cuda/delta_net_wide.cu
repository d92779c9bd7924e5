#include "kernels/cuda/delta_net_chunks.cuh"

namespace inlay::cuda {
namespace {

constexpr uint32_t kGroup = DeltaNetWide::kGroup;  // rows of a warp of the convolution
constexpr uint32_t kConvThreads = 128;

/// A head's 128 channels of one convolution input, four a lane; zeros before the timeline's start and after
/// the pass's end.
__device__ float4 conv_input(const DeltaNetArguments& a, int64_t row, uint32_t rows, uint32_t channel) {
  if (row >= rows) return make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (row >= 0) return *reinterpret_cast<const float4*>(a.qkv + row * a.qkv_stride + channel);
  const int64_t position = static_cast<int64_t>(a.position) + row;
  if (position < 0) return make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  const uint64_t slot = uint64_t{a.layer} * kLogSlots + static_cast<uint64_t>(position) % kLogSlots;
  return *reinterpret_cast<const float4*>(a.state.log_conv + slot * a.channels() + channel);
}

/// Quicker than the narrow path's, whose bits it need not have.
__device__ float quick_silu(float x) { return __fdividef(x, 1.0f + __expf(-x)); }

__device__ void conv_add(float (&x)[4], const float4& input, const float4& tap) {
  x[0] = __fmaf_rn(input.x, tap.x, x[0]);
  x[1] = __fmaf_rn(input.y, tap.y, x[1]);
  x[2] = __fmaf_rn(input.z, tap.z, x[2]);
  x[3] = __fmaf_rn(input.w, tap.w, x[3]);
}

__device__ float warp_max(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, step));
  return x;
}

/// Of a group's values, four channels a lane, and their largest magnitude. By way of shared memory, so that a
/// warp's vectors lie side by side when they are written; `turned` is the warp's own.
__device__ void write_values(const DeltaNetWide& wide, const float (&x)[kGroup][4], uint32_t head,
                             uint32_t heads, uint32_t lane, float4 (&turned)[kState * kGroup / 4]) {
  float peak = 0.0f;
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
#pragma unroll
    for (uint32_t row = 0; row < kGroup; row += 4) {
      turned[lane * 8 + ((2 * i + row / 4) ^ (lane % 8))] =
          make_float4(x[row][i], x[row + 1][i], x[row + 2][i], x[row + 3][i]);
    }
#pragma unroll
    for (uint32_t row = 0; row < kGroup; ++row) peak = fmaxf(peak, fabsf(x[row][i]));
  }
  __syncwarp();
  auto* to = reinterpret_cast<float4*>(wide.values) +
             (uint64_t{head} * gridDim.y + blockIdx.y) * (kState * kGroup / 4) + lane;
#pragma unroll
  for (uint32_t i = 0; i < kState * kGroup / 4; i += 32) {
    const uint32_t from = (i + lane) / 8;  // that lane's
    to[i] = turned[from * 8 + (lane % 8 ^ from % 8)];
  }
  peak = warp_max(peak);
  if (lane == 0) wide.peaks[blockIdx.y * heads + head] = peak;
}

/// A warp: the 128 channels of one head of q, k or v, for a group of rows; those from `rows` on become zeros.
/// Grid (head groups, groups).
__global__ void __launch_bounds__(kConvThreads)
    conv_kernel(DeltaNetArguments a, DeltaNetWide wide, uint32_t rows) {
  __shared__ float4 turned[kConvThreads / 32][kState * kGroup / 4];
  wait_for_earlier();
  const uint32_t lane = threadIdx.x % 32, head = blockIdx.x * (kConvThreads / 32) + threadIdx.x / 32;
  const uint32_t first = blockIdx.y * kGroup;
  const uint32_t channel = head * kState + 4 * lane;
  if (channel >= a.channels()) return;
  float4 taps[kTaps], inputs[kGroup + kTaps - 1];
  if (first > 0 && first + kGroup <= rows) {
    const float* from = a.qkv + uint64_t{first - (kTaps - 1)} * a.qkv_stride + channel;
#pragma unroll
    for (uint32_t i = 0; i < kGroup + kTaps - 1; ++i) {
      inputs[i] = *reinterpret_cast<const float4*>(from + uint64_t{i} * a.qkv_stride);
    }
  } else {
#pragma unroll
    for (uint32_t i = 0; i < kGroup + kTaps - 1; ++i) {
      inputs[i] = conv_input(a, static_cast<int64_t>(first + i) - (kTaps - 1), rows, channel);
    }
  }
#pragma unroll
  for (uint32_t t = 0; t < kTaps; ++t) {
    taps[t] = *reinterpret_cast<const float4*>(a.conv + t * a.channels() + channel);
  }
  float x[kGroup][4] = {};
#pragma unroll
  for (uint32_t i = 0; i < kGroup; ++i) {
#pragma unroll
    for (uint32_t t = 0; t < kTaps; ++t) conv_add(x[i], inputs[i + t], taps[t]);
#pragma unroll
    for (float& element : x[i]) element = quick_silu(element);
    const uint32_t row = first + i;
    if (row >= rows) {
#pragma unroll
      for (float& element : x[i]) element = 0.0f;
    } else if (row + DeltaNetWide::kTail >= rows) {
      const uint64_t slot = uint64_t{a.layer} * DeltaNetWide::kTail + (rows - 1 - row);
      *reinterpret_cast<float4*>(wide.tail + slot * a.channels() + channel) = inputs[i + kTaps - 1];
    }
  }
  if (head >= 2 * a.key_heads) {
    write_values(wide, x, head - 2 * a.key_heads, a.value_heads, lane, turned[threadIdx.x / 32]);
  } else {
    const uint32_t chunk = first / kChunk, chunks = gridDim.y / (kChunk / kGroup);
    __half* to = wide.keys + (uint64_t{head % a.key_heads} * chunks + chunk) * 2 * kChunk * kState +
                 head / a.key_heads * kChunk * kState;
#pragma unroll
    for (uint32_t i = 0; i < kGroup; ++i) {
      normalise(x[i], a.epsilon, 1.0f);
      *reinterpret_cast<uint2*>(to + vector_at(first % kChunk + i, lane / 2) * 8 + lane % 2 * 4) =
          make_uint2(pack(x[i][0], x[i][1]), pack(x[i][2], x[i][3]));
    }
  }
  if (blockIdx.x != 0) return;
  for (uint32_t i = threadIdx.x; i < kGroup * a.value_heads; i += blockDim.x) {
    const uint32_t row = first + i / a.value_heads, h = i % a.value_heads;
    if (row >= rows) break;
    const uint64_t at = uint64_t{row} * a.gate_stride + h;
    wide.gates[uint64_t{row} * a.value_heads + h] =
        log_decay_and_beta(a.alpha[at], a.beta[at], a.dt_bias[h], a.a[h]);
  }
}

__global__ void finish_kernel(StateView state, DeltaNetWide wide, uint32_t channels, uint32_t parts,
                              uint64_t position, uint32_t rows) {
  wait_for_earlier();
  const uint32_t layer = blockIdx.y, channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel < channels) {
    for (uint32_t back = 0; back < min(rows, DeltaNetWide::kTail); ++back) {
      const uint64_t slot = uint64_t{layer} * kLogSlots + (position + rows - 1 - back) % kLogSlots;
      state.log_conv[slot * channels + channel] =
          wide.tail[(uint64_t{layer} * DeltaNetWide::kTail + back) * channels + channel];
    }
  }
  if (channel < parts) state.committed[uint64_t{layer} * parts + channel] = position + rows;
}

}  // namespace

void launch_delta_net_wide(Queue& queue, const DeltaNetArguments& a, const DeltaNetWide& wide, uint32_t rows,
                           uint32_t shared_bytes) {
  constexpr uint32_t kHeads = kConvThreads / 32;
  const dim3 grid((a.channels() / kState + kHeads - 1) / kHeads, DeltaNetWide::groups(rows));
  launch(queue, conv_kernel, grid, dim3(kConvThreads), 0, a, wide, rows);
  launch_delta_net_prepare(queue, a, wide, rows);
  launch_delta_net_scan(queue, a, wide, rows, shared_bytes);
}

void launch_delta_net_finish(Queue& queue, const StateView& state, const DeltaNetWide& wide, uint32_t layers,
                             uint32_t channels, uint32_t value_heads, uint64_t position, uint32_t rows) {
  launch(queue, finish_kernel, dim3((channels + 255) / 256, layers), dim3(256), 0, state, wide, channels,
         value_heads * kDeltaSlices, position, rows);
}

}  // namespace inlay::cuda
