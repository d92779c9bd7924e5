#include "kernels/cuda/delta_net.cuh"
#include "kernels/cuda/delta_net.h"
#include "kernels/cuda/tensor_core.cuh"

namespace inlay::cuda {
namespace {

constexpr uint32_t kScanColumns = 16;  // of a block: 384 blocks for 48 heads, which share out evenly
constexpr uint32_t kHeld = 2;  // columns of a thread, so that a key read from shared memory serves both
constexpr uint32_t kScanThreads = kScanColumns * 8 / kHeld;
constexpr uint32_t kConvTokens = 8;   // of a warp of the convolution
constexpr uint32_t kTileTokens = 16;  // of a tile of q, k and v in shared memory

/// A head's 128 channels of one convolution input, four a lane; zeros before the timeline's start.
__device__ float4 conv_input(const DeltaNetArguments& a, int64_t row, uint32_t channel) {
  if (row >= 0) return *reinterpret_cast<const float4*>(a.qkv + row * a.qkv_stride + channel);
  const int64_t position = static_cast<int64_t>(a.position) + row;
  if (position < 0) return make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  const uint64_t slot = uint64_t{a.layer} * kLogSlots + static_cast<uint64_t>(position) % kLogSlots;
  return *reinterpret_cast<const float4*>(a.state.log_conv + slot * a.channels() + channel);
}

__device__ void conv_add(float (&x)[4], const float4& input, const float4& tap) {
  x[0] = __fmaf_rn(input.x, tap.x, x[0]);
  x[1] = __fmaf_rn(input.y, tap.y, x[1]);
  x[2] = __fmaf_rn(input.z, tap.z, x[2]);
  x[3] = __fmaf_rn(input.w, tap.w, x[3]);
}

/// A warp: the 128 channels of one head of q, k or v, for kConvTokens rows. Grid (head groups, token groups).
__global__ void __launch_bounds__(256) conv_kernel(DeltaNetArguments a, DeltaNetWide wide, uint32_t rows) {
  wait_for_earlier();
  const uint32_t lane = threadIdx.x % 32, head = blockIdx.x * 8 + threadIdx.x / 32;
  const uint32_t first = blockIdx.y * kConvTokens;
  const uint32_t channel = head * kState + 4 * lane;
  if (channel >= a.channels()) return;
  float4 taps[kTaps], window[kTaps];
#pragma unroll
  for (uint32_t t = 0; t < kTaps; ++t) {
    taps[t] = *reinterpret_cast<const float4*>(a.conv + t * a.channels() + channel);
    if (t > 0) window[t] = conv_input(a, static_cast<int64_t>(first + t) - kTaps, channel);
  }
  for (uint32_t row = first; row < min(first + kConvTokens, rows); ++row) {
#pragma unroll
    for (uint32_t t = 1; t < kTaps; ++t) window[t - 1] = window[t];
    window[kTaps - 1] = conv_input(a, row, channel);
    float x[4] = {};
#pragma unroll
    for (uint32_t t = 0; t < kTaps; ++t) conv_add(x, window[t], taps[t]);
#pragma unroll
    for (float& element : x) element = silu(element);
    const bool is_value = head >= 2 * a.key_heads;
    if (!is_value) normalise(x, a.epsilon, head < a.key_heads ? 0.08838834764831845f : 1.0f);
    float* to = is_value ? wide.values + uint64_t{row} * a.value_length() + channel - 2 * a.key_length()
                         : wide.keys + uint64_t{row} * 2 * a.key_length() + channel;
    *reinterpret_cast<float4*>(to) = make_float4(x[0], x[1], x[2], x[3]);
    if (row + DeltaNetWide::kTail >= rows) {
      const uint64_t slot = uint64_t{a.layer} * DeltaNetWide::kTail + (rows - 1 - row);
      *reinterpret_cast<float4*>(wide.tail + slot * a.channels() + channel) = window[kTaps - 1];
    }
  }
  if (blockIdx.x != 0) return;
  for (uint32_t i = threadIdx.x; i < kConvTokens * a.value_heads; i += blockDim.x) {
    const uint32_t row = first + i / a.value_heads, h = i % a.value_heads;
    if (row >= rows) break;
    const uint64_t at = uint64_t{row} * a.gate_stride + h;
    wide.gates[uint64_t{row} * a.value_heads + h] =
        decay_and_beta(a.alpha[at], a.beta[at], a.dt_bias[h], a.a[h]);
  }
}

struct Tile {
  float q[kTileTokens][kState];
  float k[kTileTokens][kState];
  float v[kTileTokens][kScanColumns];
  float2 gate[kTileTokens];
};

/// Tokens [first, first + kTileTokens) of a head; those from `rows` on are zeros, which change nothing.
__device__ void fetch_tile(const DeltaNetArguments& a, const DeltaNetWide& wide, Tile& tile, uint32_t head,
                           uint32_t slice, uint32_t first, uint32_t rows) {
  const uint32_t key_head = head % a.key_heads;
  for (uint32_t i = threadIdx.x; i < kTileTokens * kState / 4; i += kScanThreads) {
    const uint32_t t = i / (kState / 4), element = i % (kState / 4) * 4;
    const bool valid = first + t < rows;
    const float* row =
        wide.keys + uint64_t{valid ? first + t : 0} * 2 * a.key_length() + key_head * kState + element;
    fetch_async(&tile.q[t][element], row, valid);
    fetch_async(&tile.k[t][element], row + a.key_length(), valid);
  }
  constexpr uint32_t kVectors = kScanColumns / 4;
  for (uint32_t i = threadIdx.x; i < kTileTokens * kVectors; i += kScanThreads) {
    const uint32_t t = i / kVectors, element = i % kVectors * 4;
    const bool valid = first + t < rows;
    fetch_async(&tile.v[t][element],
                wide.values + uint64_t{valid ? first + t : 0} * a.value_length() + head * kState +
                    slice * kScanColumns + element,
                valid);
  }
  if (threadIdx.x < kTileTokens) {
    float2* to = &tile.gate[threadIdx.x];
    if (first + threadIdx.x < rows) {
      const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
      const float2* gate = wide.gates + uint64_t{first + threadIdx.x} * a.value_heads + head;
      asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(address), "l"(gate));
    } else {
      *to = make_float2(1.0f, 0.0f);
    }
  }
  commit_fetches();
}

__device__ float dot16(const float (&s)[16], const Key& k) {
  float sum[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    sum[j] = s[4 * j] * k.part[j].x;
    sum[j] = __fmaf_rn(s[4 * j + 1], k.part[j].y, sum[j]);
    sum[j] = __fmaf_rn(s[4 * j + 2], k.part[j].z, sum[j]);
    sum[j] = __fmaf_rn(s[4 * j + 3], k.part[j].w, sum[j]);
  }
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/// Sums x[i] over the eight lanes of a column; lane i gets the one of index i.
__device__ float sum_transposed(float (&x)[8], uint32_t part) {
#pragma unroll
  for (int half = 4; half > 0; half /= 2) {
    const bool upper = (part & half) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float mine = upper ? x[i + half] : x[i];
      const float other = upper ? x[i] : x[i + half];
      x[i] = mine + __shfl_xor_sync(~0u, other, half);
    }
  }
  return x[0];
}

/// Eight tokens of a tile; out[h] becomes the output, at column h, of the token whose index is this lane's
/// part.
__device__ void scan_tokens(const Tile& tile, uint32_t first, uint32_t part, const uint32_t (&local)[kHeld],
                            float (&s)[kHeld][16], float (&out)[kHeld]) {
  float parts[kHeld][8];
#pragma unroll
  for (uint32_t i = 0; i < 8; ++i) {
    const uint32_t t = first + i;
    const float2 gate = tile.gate[t];
    const Key k = load_key(tile.k[t], part), q = load_key(tile.q[t], part);
#pragma unroll
    for (uint32_t h = 0; h < kHeld; ++h) {
      advance(s[h], k, tile.v[t][local[h]], gate.x, gate.y);
      parts[h][i] = dot16(s[h], q);
    }
  }
#pragma unroll
  for (uint32_t h = 0; h < kHeld; ++h) out[h] = sum_transposed(parts[h], part);
}

__global__ void __launch_bounds__(kScanThreads)
    scan_kernel(DeltaNetArguments a, DeltaNetWide wide, uint32_t rows) {
  __shared__ Tile tiles[2];
  const uint32_t slice = blockIdx.x, head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t part = lane % 8;
  const uint64_t committed = a.state.committed[(uint64_t{a.layer} * a.value_heads + head) * kDeltaSlices];
  uint32_t local[kHeld];
  uint64_t offset[kHeld];
  float s[kHeld][16];
#pragma unroll
  for (uint32_t h = 0; h < kHeld; ++h) {
    local[h] = (warp * kHeld + h) * 4 + lane / 8;
    const uint32_t column = slice * kScanColumns + local[h];
    offset[h] = ((uint64_t{a.layer} * a.value_heads + head) * kState + column) * kState + 4 * part;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float4 x = *reinterpret_cast<const float4*>(a.state.delta + offset[h] + 32 * j);
      *reinterpret_cast<float4*>(wide.undo + offset[h] + 32 * j) = x;
      s[h][4 * j] = x.x, s[h][4 * j + 1] = x.y, s[h][4 * j + 2] = x.z, s[h][4 * j + 3] = x.w;
    }
  }
  // With the narrow path's own arithmetic: how much of the log it had already replayed makes no difference.
  for (uint64_t position = committed; position < a.position; ++position) {
    const uint64_t slot = uint64_t{a.layer} * kLogSlots + position % kLogSlots;
    const Key k = load_key(a.state.log_key + slot * a.key_length() + head % a.key_heads * kState, part);
    const float2 gate =
        *reinterpret_cast<const float2*>(a.state.log_gate + (slot * a.value_heads + head) * 2);
    const float* v = a.state.log_value + slot * a.value_length() + head * kState + slice * kScanColumns;
#pragma unroll
    for (uint32_t h = 0; h < kHeld; ++h) advance(s[h], k, v[local[h]], gate.x, gate.y);
  }
  wait_for_earlier();
  fetch_tile(a, wide, tiles[0], head, slice, 0, rows);
  float* to = a.out + head * kState + slice * kScanColumns;
  uint32_t turn = 0;
  for (uint32_t first = 0; first < rows; first += kTileTokens, turn ^= 1) {
    wait_fetches<0>();
    __syncthreads();
    if (first + kTileTokens < rows)
      fetch_tile(a, wide, tiles[turn ^ 1], head, slice, first + kTileTokens, rows);
#pragma unroll 1
    for (uint32_t t = 0; t < kTileTokens; t += 8) {
      float out[kHeld];
      scan_tokens(tiles[turn], t, part, local, s, out);
      const uint64_t row = first + t + part;
#pragma unroll
      for (uint32_t h = 0; h < kHeld; ++h) {
        if (row < rows) to[row * a.value_length() + local[h]] = out[h];
      }
    }
  }
#pragma unroll
  for (uint32_t h = 0; h < kHeld; ++h) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      *reinterpret_cast<float4*>(a.state.delta + offset[h] + 32 * j) =
          make_float4(s[h][4 * j], s[h][4 * j + 1], s[h][4 * j + 2], s[h][4 * j + 3]);
    }
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

void launch_delta_net_wide(Queue& queue, const DeltaNetArguments& a, const DeltaNetWide& wide,
                           uint32_t rows) {
  const dim3 conv_grid((a.channels() / kState + 7) / 8, (rows + kConvTokens - 1) / kConvTokens);
  launch(queue, conv_kernel, conv_grid, dim3(256), 0, a, wide, rows);
  launch(queue, scan_kernel, dim3(kState / kScanColumns, a.value_heads), dim3(kScanThreads), 0, a, wide,
         rows);
}

void launch_delta_net_finish(Queue& queue, const StateView& state, const DeltaNetWide& wide, uint32_t layers,
                             uint32_t channels, uint32_t value_heads, uint64_t position, uint32_t rows) {
  launch(queue, finish_kernel, dim3((channels + 255) / 256, layers), dim3(256), 0, state, wide, channels,
         value_heads * kDeltaSlices, position, rows);
}

}  // namespace inlay::cuda
