#include "kernels/cuda/delta_net.cuh"
#include "kernels/cuda/delta_net.h"
#include "kernels/cuda/matvec.cuh"

namespace inlay::cuda {
namespace {

constexpr uint32_t kWarps = kColumns / 4;
constexpr uint32_t kThreads = kWarps * 32;
static_assert(kWarps >= kMaxWidth, "a warp prepares a row");

// The channels of the convolution that a block needs: its key head's q, then k, then its columns of v.
constexpr uint32_t kInputs = 2 * kState + kColumns;

struct Shared {
  float conv[kTaps][kInputs];        // weights
  float before[kTaps - 1][kInputs];  // inputs of the positions before the pass's first row
  float old_key[kMaxWidth][kState];  // what is logged of the positions before it, the nearest first
  float old_value[kMaxWidth][kColumns];
  float2 old_gate[kMaxWidth];
  float q[kMaxWidth][kState];
  float k[kMaxWidth][kState];
  float v[kMaxWidth][kColumns];
  float2 gate[kMaxWidth];  // decay, beta
  float out[kMaxWidth][kColumns];
  float square[kDeltaSlices][kMaxWidth];  // of the head's outputs, one part from each of its blocks
};

/// A block's place in the work.
struct Place {
  uint32_t head, key_head, slice;

  /// The convolution's channel of the block's input i; four neighbours stay neighbours.
  __device__ uint32_t channel(const DeltaNetArguments& a, uint32_t i) const {
    if (i < kState) return key_head * kState + i;
    if (i < 2 * kState) return a.key_length() + key_head * kState + i - kState;
    return 2 * a.key_length() + head * kState + slice * kColumns + i - 2 * kState;
  }
};

__device__ float4 load4(const float* from) { return *reinterpret_cast<const float4*>(from); }
__device__ void store4(float* to, const float4& x) { *reinterpret_cast<float4*>(to) = x; }

/// What a lane needs of the layer's small weights: read before a wait, they arrive meanwhile.
struct HeadWeights {
  float dt_bias, a, norm;
};

/// All that does not come from this pass into shared memory, in one go.
__device__ void load_past(const DeltaNetArguments& a, const Place& place, const StateView& view,
                          uint64_t position, Shared& shared) {
  const uint32_t thread = threadIdx.x;
  constexpr uint32_t kVectors = kInputs / 4;
  for (uint32_t i = thread; i < (2 * kTaps - 1) * kVectors; i += kThreads) {
    const uint32_t row = i / kVectors, input = i % kVectors * 4, channel = place.channel(a, input);
    if (row < kTaps) {
      store4(&shared.conv[row][input], load4(a.conv + row * a.channels() + channel));
    } else {
      const uint64_t back = 2 * kTaps - 1 - row;
      const uint64_t slot = uint64_t{a.layer} * kLogSlots + (position - back) % kLogSlots;
      store4(&shared.before[row - kTaps][input],
             position >= back ? load4(view.log_conv + slot * a.channels() + channel) : float4{});
    }
  }
  const uint32_t row = thread / 32, lane = thread % 32;
  const uint64_t slot = uint64_t{a.layer} * kLogSlots + (position - 1 - row) % kLogSlots;
  if (row < kMaxWidth) {
    store4(&shared.old_key[row][4 * lane],
           load4(view.log_key + slot * a.key_length() + place.key_head * kState + 4 * lane));
    shared.old_value[row][lane] =
        view.log_value[slot * a.value_length() + place.head * kState + place.slice * kColumns + lane];
    if (lane == 0) {
      shared.old_gate[row] =
          *reinterpret_cast<const float2*>(view.log_gate + (slot * a.value_heads + place.head) * 2);
    }
  }
}

/// The convolution of `Elements` neighbouring inputs for a row of the segment; its newest input goes to
/// `newest`.
template <int Elements>
__device__ void convolve(const Shared& shared, const float* rows, uint32_t stride, uint32_t row,
                         uint32_t input, uint32_t channel, float (&newest)[Elements],
                         float (&out)[Elements]) {
  float x[kTaps][Elements];
#pragma unroll
  for (uint32_t tap = 0; tap < kTaps; ++tap) {
    const uint32_t at = row + tap;  // kTaps - 1 stands for the pass's first row
#pragma unroll
    for (int i = 0; i < Elements; ++i) {
      x[tap][i] = at + 1 < kTaps ? shared.before[at][input + i]
                                 : rows[uint64_t{at + 1 - kTaps} * stride + channel + i];
    }
  }
#pragma unroll
  for (int i = 0; i < Elements; ++i) {
    float sum = 0.0f;
#pragma unroll
    for (uint32_t tap = 0; tap < kTaps; ++tap) sum = __fmaf_rn(x[tap][i], shared.conv[tap][input + i], sum);
    newest[i] = x[kTaps - 1][i];
    out[i] = silu(sum);
  }
}

/// A warp makes q, k, v, decay and beta of one row ready in shared memory, and logs them. Only one block logs
/// what several compute: keys the first block of the first value head that reads them.
__device__ void prepare_row(const DeltaNetArguments& a, const Place& place, const SegmentParams& segment,
                            const HeadWeights& weights, uint32_t row, uint32_t lane, Shared& shared) {
  const uint64_t slot = uint64_t{a.layer} * kLogSlots + (segment.position + row) % kLogSlots;
  const bool logs_key = place.head < a.key_heads && place.slice == 0;
  const float* inputs = a.qkv + uint64_t{segment.row_begin} * a.qkv_stride;
  const uint64_t gate_at = uint64_t{segment.row_begin + row} * a.gate_stride + place.head;
  const float alpha = a.alpha[gate_at], beta = a.beta[gate_at];

  float q[4], k[4], v[1], new_q[4], new_k[4], new_v[1];
  const uint32_t of_q = place.channel(a, 4 * lane), of_k = of_q + a.key_length();
  const uint32_t of_v = place.channel(a, 2 * kState + lane);
  convolve(shared, inputs, a.qkv_stride, row, 4 * lane, of_q, new_q, q);
  convolve(shared, inputs, a.qkv_stride, row, kState + 4 * lane, of_k, new_k, k);
  convolve(shared, inputs, a.qkv_stride, row, 2 * kState + lane, of_v, new_v, v);
  normalise(q, a.epsilon, 0.08838834764831845f);
  normalise(k, a.epsilon, 1.0f);
  store4(&shared.q[row][4 * lane], make_float4(q[0], q[1], q[2], q[3]));
  store4(&shared.k[row][4 * lane], make_float4(k[0], k[1], k[2], k[3]));
  shared.v[row][lane] = v[0];
  const float2 gate = decay_and_beta(alpha, beta, weights.dt_bias, weights.a);
  if (lane == 0) shared.gate[row] = gate;

  const StateView& view = segment.state;
  float* log_conv = view.log_conv + slot * a.channels();
  if (logs_key) {
    store4(log_conv + of_q, make_float4(new_q[0], new_q[1], new_q[2], new_q[3]));
    store4(log_conv + of_k, make_float4(new_k[0], new_k[1], new_k[2], new_k[3]));
    store4(view.log_key + slot * a.key_length() + of_q, make_float4(k[0], k[1], k[2], k[3]));
  }
  log_conv[of_v] = new_v[0];
  view.log_value[slot * a.value_length() + of_v - 2 * a.key_length()] = v[0];
  if (lane == 0 && place.slice == 0) {
    *reinterpret_cast<float2*>(view.log_gate + (slot * a.value_heads + place.head) * 2) = gate;
  }
}

/// Brings the block's columns of the state from where they are committed to the segment's first row. The
/// state and the log are of earlier passes, so this need not wait for this pass's kernels.
__device__ void replay(const DeltaNetArguments& a, const Place& place, const SegmentParams& segment,
                       uint32_t column, uint32_t part, Shared& shared, float (&s)[16]) {
  const StateView& view = segment.state;
  float* state =
      view.delta +
      ((uint64_t{a.layer} * a.value_heads + place.head) * kState + place.slice * kColumns + column) * kState;
  uint64_t* committed =
      view.committed + (uint64_t{a.layer} * a.value_heads + place.head) * kDeltaSlices + place.slice;
  const uint64_t from = *committed;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const float4 x = load4(state + 4 * part + 32 * j);
    s[4 * j] = x.x, s[4 * j + 1] = x.y, s[4 * j + 2] = x.z, s[4 * j + 3] = x.w;
  }
  load_past(a, place, view, segment.position, shared);
  __syncthreads();
  const auto count = static_cast<uint32_t>(min(segment.position - from, uint64_t{kMaxWidth}));
  if (count == 0) return;
  for (uint32_t back = count; back-- > 0;) {
    advance(s, load_key(shared.old_key[back], part), shared.old_value[back][column], shared.old_gate[back].x,
            shared.old_gate[back].y);
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    store4(state + 4 * part + 32 * j, make_float4(s[4 * j], s[4 * j + 1], s[4 * j + 2], s[4 * j + 3]));
  }
  if (threadIdx.x == 0) *committed = segment.position;
}

#if __CUDA_ARCH__ >= 900
__device__ inline void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ inline void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

/// Writes to the same place in another block of the cluster.
__device__ inline void store_remote(float* to, uint32_t block, float x) {
  asm volatile(
      "{\n.reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "st.shared::cluster.f32 [remote], %2;\n}" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))),
      "r"(block), "f"(x)
      : "memory");
}
#endif

/// The gate after DeltaNet: rms_norm(a head's outputs) * weight * silu(gate), as activations. The head's
/// blocks are a cluster and tell each other their parts of the sum of squares; warp `row` has a row.
__device__ void write_gated(const DeltaNetArguments& a, const Place& place, uint32_t row, uint32_t lane,
                            bool has_row, float gate, float weight, Shared& shared) {
#if __CUDA_ARCH__ >= 900
  const float o = has_row ? shared.out[row % kMaxWidth][lane] : 0.0f;
  const float part = warp_sum(__fmul_rn(o, o));
  cluster_wait();  // until the neighbours have begun
  if (has_row && lane < kDeltaSlices) store_remote(&shared.square[place.slice][row], lane, part);
  cluster_arrive();
  const uint32_t element = place.head * kState + place.slice * kColumns + lane;
  const float open = __fdiv_rn(gate, __fadd_rn(1.0f, expf(-gate)));
  cluster_wait();
  if (!has_row) return;
  float sum = shared.square[0][row];
#pragma unroll
  for (uint32_t i = 1; i < kDeltaSlices; ++i) sum = __fadd_rn(sum, shared.square[i][row]);
  const float factor = __frsqrt_rn(__fadd_rn(__fmul_rn(sum, 1.0f / kState), a.epsilon));
  a.activations[uint64_t{row} * activation_stride(a.value_length()) + activation_index(element)] =
      to_activation(__fmul_rn(__fmul_rn(__fmul_rn(o, factor), weight), open));
#endif
}

/// Grid (kDeltaSlices, value heads, segments); with kGated a head's blocks are a cluster.
template <bool kGated>
__global__ void __launch_bounds__(kThreads, 4) delta_net_kernel(DeltaNetArguments a) {
  __shared__ Shared shared;
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Place place{blockIdx.y, blockIdx.y % a.key_heads, blockIdx.x};
  const uint32_t part = lane % 8, column = warp * 4 + lane / 8;
  let_next_start();
#if __CUDA_ARCH__ >= 900
  if constexpr (kGated) cluster_arrive();
#endif
  const SegmentParams& segment = a.params->segment[blockIdx.z];
  const HeadWeights weights{a.dt_bias[place.head], a.a[place.head],
                            kGated ? a.norm[place.slice * kColumns + lane] : 0.0f};
  float s[16];
  replay(a, place, segment, column, part, shared, s);
  wait_for_earlier();

  const uint32_t rows = segment.rows, row_begin = segment.row_begin;
  float gate = 0.0f;
  if (warp < rows) {
    if constexpr (kGated) {
      gate = a.gate[uint64_t{row_begin + warp} * a.gate_stride + place.head * kState +
                    place.slice * kColumns + lane];
    }
    prepare_row(a, place, segment, weights, warp, lane, shared);
  }
  __syncthreads();
  for (uint32_t row = 0; row < rows; ++row) {
    advance(s, load_key(shared.k[row], part), shared.v[row][column], shared.gate[row].x, shared.gate[row].y);
    const float o = column_dot(s, load_key(shared.q[row], part));
    if (part != 0) continue;
    if constexpr (kGated) {
      shared.out[row][column] = o;
    } else {
      a.out[uint64_t{row_begin + row} * a.value_length() + place.head * kState + place.slice * kColumns +
            column] = o;
    }
  }
  if constexpr (kGated) {
    __syncthreads();
    a.activations += uint64_t{row_begin} * activation_stride(a.value_length());
    write_gated(a, place, warp, lane, warp < rows, gate, weights.norm, shared);
  }
}

}  // namespace

void launch_delta_net(Queue& queue, const DeltaNetArguments& arguments, uint32_t segments) {
  const dim3 grid(kDeltaSlices, arguments.value_heads, segments);
  if (arguments.activations != nullptr) {
    launch_clusters(queue, delta_net_kernel<true>, grid, dim3(kThreads), 0, kDeltaSlices, arguments);
  } else {
    launch(queue, delta_net_kernel<false>, grid, dim3(kThreads), 0, arguments);
  }
}

}  // namespace inlay::cuda
