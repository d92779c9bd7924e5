#include "kernels/cuda/rows.h"

#include "kernels/cuda/matvec.cuh"

namespace inlay::cuda {
namespace {

constexpr uint32_t kThreads = 512;

__device__ float warp_sum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = __fadd_rn(x, __shfl_xor_sync(~0u, x, step));
  return x;
}

/// The sum over a block of kThreads threads, the same on every thread.
__device__ float block_sum(float x) {
  __shared__ float parts[kThreads / 32];
  x = warp_sum(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  return warp_sum(threadIdx.x % 32 < kThreads / 32 ? parts[threadIdx.x % 32] : 0.0f);
}

/// Where a normed row goes, four values at a time.
struct ToActivations {
  __half* row;
  __device__ void operator()(uint32_t k, float4 x) const { store_activations(row, k, x); }
};
struct ToHalf {
  __half* row;
  __device__ void operator()(uint32_t k, float4 x) const {
    const auto clamp = [](float v) { return fminf(fmaxf(v, -65504.0f), 65504.0f); };
    auto* to = reinterpret_cast<__half2*>(row + k);
    to[0] = __floats2half2_rn(clamp(x.x), clamp(x.y));
    to[1] = __floats2half2_rn(clamp(x.z), clamp(x.w));
  }
};
struct ToFloat {
  float* row;
  __device__ void operator()(uint32_t k, float4 x) const { *reinterpret_cast<float4*>(row + k) = x; }
};

constexpr uint32_t kHeld = 4;  // float4 of a row that a thread keeps while the sum is made

/// A thread's part of a norm's weights, which are no kernel's output: read before a wait, they arrive
/// meanwhile.
struct NormWeights {
  const float* weight;
  float4 held[kHeld];

  __device__ NormWeights(const float* from, uint32_t columns) : weight(from) {
#pragma unroll
    for (uint32_t h = 0; h < kHeld; ++h) {
      const uint32_t i = (h * kThreads + threadIdx.x) * 4;
      held[h] =
          i < columns ? *reinterpret_cast<const float4*>(from + i) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
  }
};

template <typename... Writers>
__device__ void norm_row(const float* x, const NormWeights& weights, float epsilon, uint32_t columns,
                         const Writers&... writers) {
  float4 held[kHeld];
  float sum = 0.0f;
#pragma unroll
  for (uint32_t h = 0; h < kHeld; ++h) {
    const uint32_t i = (h * kThreads + threadIdx.x) * 4;
    held[h] = i < columns ? *reinterpret_cast<const float4*>(x + i) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  }
  const auto add = [&](const float4& part) {
    sum = __fmaf_rn(part.x, part.x, sum);
    sum = __fmaf_rn(part.y, part.y, sum);
    sum = __fmaf_rn(part.z, part.z, sum);
    sum = __fmaf_rn(part.w, part.w, sum);
  };
#pragma unroll
  for (uint32_t h = 0; h < kHeld; ++h) add(held[h]);
  for (uint32_t i = (kHeld * kThreads + threadIdx.x) * 4; i < columns; i += kThreads * 4) {
    add(*reinterpret_cast<const float4*>(x + i));
  }
  const float mean = __fdiv_rn(block_sum(sum), static_cast<float>(columns));
  const float factor = __frsqrt_rn(__fadd_rn(mean, epsilon));
  const auto write = [&](uint32_t i, const float4& part, const float4& w) {
    const float4 y =
        make_float4(__fmul_rn(__fmul_rn(part.x, factor), w.x), __fmul_rn(__fmul_rn(part.y, factor), w.y),
                    __fmul_rn(__fmul_rn(part.z, factor), w.z), __fmul_rn(__fmul_rn(part.w, factor), w.w));
    (writers(i, y), ...);
  };
#pragma unroll
  for (uint32_t h = 0; h < kHeld; ++h) {
    const uint32_t i = (h * kThreads + threadIdx.x) * 4;
    if (i < columns) write(i, held[h], weights.held[h]);
  }
  for (uint32_t i = (kHeld * kThreads + threadIdx.x) * 4; i < columns; i += kThreads * 4) {
    write(i, *reinterpret_cast<const float4*>(x + i), *reinterpret_cast<const float4*>(weights.weight + i));
  }
}

template <typename Writer, typename Out>
__global__ void __launch_bounds__(kThreads)
    rms_norm_kernel(const float* x, const float* weight, float epsilon, uint32_t columns, Out* out,
                    uint32_t out_stride) {
  let_next_start();
  const NormWeights weights(weight, columns);
  wait_for_earlier();
  norm_row(x + uint64_t{blockIdx.x} * columns, weights, epsilon, columns,
           Writer{out + uint64_t{blockIdx.x} * out_stride});
}

__global__ void __launch_bounds__(kThreads)
    final_norm_kernel(const PassParams* params, const float* x, const float* weight, float epsilon,
                      uint32_t columns, __half* activations) {
  let_next_start();
  const NormWeights weights(weight, columns);
  wait_for_earlier();
  const uint64_t row = blockIdx.x;
  const SegmentParams& segment = params->segment[params->row_segment[row]];
  const uint64_t of_segment = row - segment.row_begin;
  if (of_segment == 0) {
    for (uint32_t i = threadIdx.x; i < columns; i += kThreads) segment.hidden_out[i] = segment.hidden_in[i];
  }
  norm_row(x + row * columns, weights, epsilon, columns,
           ToActivations{activations + row * activation_stride(columns)},
           ToFloat{segment.hidden_out + (of_segment + 1) * columns});
}

__global__ void __launch_bounds__(kThreads)
    chain_norm_kernel(const float* x, const float* weight, float epsilon, uint32_t columns,
                      __half* activations, float* chained) {
  let_next_start();
  const NormWeights weights(weight, columns);
  wait_for_earlier();
  norm_row(x, weights, epsilon, columns, ToActivations{activations}, ToFloat{chained});
}

/// A warp a head.
__global__ void __launch_bounds__(256) gated_norm_kernel(GatedNormArguments a) {
  let_next_start();
  wait_for_earlier();
  const uint32_t head = blockIdx.x * 8 + threadIdx.x / 32, row = blockIdx.y, lane = threadIdx.x % 32;
  if (head >= a.heads) return;
  const uint64_t at = (uint64_t{row} * a.heads + head) * 128 + 4 * lane;
  const float4 x = *reinterpret_cast<const float4*>(a.x + at);
  const float4 gate =
      *reinterpret_cast<const float4*>(a.gate + uint64_t{row} * a.gate_stride + head * 128 + 4 * lane);
  const float4 weight = *reinterpret_cast<const float4*>(a.weight + 4 * lane);
  float sum = __fmul_rn(x.x, x.x);
  sum = __fmaf_rn(x.y, x.y, sum);
  sum = __fmaf_rn(x.z, x.z, sum);
  sum = __fmaf_rn(x.w, x.w, sum);
  const float factor = __frsqrt_rn(__fadd_rn(__fmul_rn(warp_sum(sum), 1.0f / 128), a.epsilon));
  const auto gated = [&](float value, float norm, float g) {
    const float open = __fdiv_rn(g, __fadd_rn(1.0f, expf(-g)));
    return __fmul_rn(__fmul_rn(__fmul_rn(value, factor), norm), open);
  };
  const float4 y = make_float4(gated(x.x, weight.x, gate.x), gated(x.y, weight.y, gate.y),
                               gated(x.z, weight.z, gate.z), gated(x.w, weight.w, gate.w));
  const uint32_t k = head * 128 + 4 * lane;
  if (a.narrow) {
    ToActivations{a.out + uint64_t{row} * activation_stride(a.heads * 128)}(k, y);
  } else {
    ToHalf{a.out + uint64_t{row} * a.heads * 128}(k, y);
  }
}

__global__ void __launch_bounds__(kThreads)
    swiglu_kernel(const float* gate_up, uint32_t columns, __half* activations) {
  let_next_start();
  wait_for_earlier();
  const uint32_t k = (blockIdx.x * kThreads + threadIdx.x) * 4;
  const uint64_t row = blockIdx.y;
  if (k >= columns) return;
  const float4 gate = *reinterpret_cast<const float4*>(gate_up + row * 2 * columns + k);
  const float4 up = *reinterpret_cast<const float4*>(gate_up + (row * 2 + 1) * columns + k);
  const auto one = [](float g, float u) { return __fmul_rn(__fdiv_rn(g, __fadd_rn(1.0f, expf(-g))), u); };
  store_activations(activations + row * activation_stride(columns), k,
                    make_float4(one(gate.x, up.x), one(gate.y, up.y), one(gate.z, up.z), one(gate.w, up.w)));
}

__global__ void __launch_bounds__(kThreads)
    mtp_input_kernel(const PassParams* params, const float* embedding, const float* chained,
                     const float* embedding_norm, const float* hidden_norm, float epsilon, uint32_t columns,
                     __half* activations) {
  let_next_start();
  const NormWeights of_embedding(embedding_norm, columns), of_hidden(hidden_norm, columns);
  wait_for_earlier();
  const uint64_t row = blockIdx.x;
  const float* hidden = params->draft_step > 0 ? chained : params->segment[0].hidden_in + row * columns;
  __half* to = activations + row * activation_stride(2 * columns);
  norm_row(embedding + row * columns, of_embedding, epsilon, columns, ToActivations{to});
  norm_row(hidden, of_hidden, epsilon, columns, ToActivations{to + columns});
}

__global__ void __launch_bounds__(kThreads)
    mtp_input_wide_kernel(const float* embedding, const float* before, const float* hidden,
                          const float* embedding_norm, const float* hidden_norm, float epsilon,
                          uint32_t columns, __half* out) {
  const NormWeights of_embedding(embedding_norm, columns), of_hidden(hidden_norm, columns);
  wait_for_earlier();
  const uint64_t row = blockIdx.x;
  const float* from = row == 0 ? before : hidden + (row - 1) * columns;
  norm_row(embedding + row * columns, of_embedding, epsilon, columns, ToHalf{out + row * 2 * columns});
  norm_row(from, of_hidden, epsilon, columns, ToHalf{out + (row * 2 + 1) * columns});
}

struct Guess {
  float largest = -INFINITY;
  float sum = 0.0f;  // of exp(logit - largest)
  uint32_t token = ~0u;
};

__device__ Guess merge(const Guess& a, const Guess& b) {
  Guess result;
  const bool first = a.largest > b.largest || (a.largest == b.largest && a.token < b.token);
  result.largest = first ? a.largest : b.largest;
  result.token = first ? a.token : b.token;
  const float base = result.largest == -INFINITY ? 0.0f : result.largest;
  result.sum = a.sum * __expf(a.largest - base) + b.sum * __expf(b.largest - base);
  return result;
}

__device__ Guess merge_block(Guess guess) {
  __shared__ Guess parts[kThreads / 32];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    Guess other;
    other.largest = __shfl_down_sync(~0u, guess.largest, step);
    other.sum = __shfl_down_sync(~0u, guess.sum, step);
    other.token = __shfl_down_sync(~0u, guess.token, step);
    guess = merge(guess, other);
  }
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = guess;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (uint32_t w = 1; w < kThreads / 32; ++w) guess = merge(guess, parts[w]);
  }
  return guess;
}

__global__ void __launch_bounds__(kThreads) guess_part_kernel(GuessArguments a) {
  let_next_start();
  wait_for_earlier();
  Guess guess;
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < a.vocabulary; i += gridDim.x * kThreads) {
    const float x = a.logits[i];
    if (x > guess.largest) {
      guess.sum = guess.sum * __expf(guess.largest - x) + 1.0f;
      guess.largest = x;
      guess.token = i;
    } else {
      guess.sum += __expf(x - guess.largest);
    }
  }
  guess = merge_block(guess);
  if (threadIdx.x == 0) {
    a.partial[blockIdx.x] = make_float4(guess.largest, guess.sum, __uint_as_float(guess.token), 0.0f);
  }
}

__global__ void __launch_bounds__(kThreads) guess_kernel(GuessArguments a) {
  let_next_start();
  wait_for_earlier();
  Guess guess;
  if (threadIdx.x < kGuessBlocks) {
    const float4 part = a.partial[threadIdx.x];
    guess.largest = part.x, guess.sum = part.y, guess.token = __float_as_uint(part.z);
  }
  guess = merge_block(guess);
  if (threadIdx.x != 0) return;
  PassParams& params = *a.params;
  const uint32_t step = params.draft_step;
  const auto token = static_cast<int32_t>(guess.token < a.vocabulary ? guess.token : 0);
  a.tokens[step] = token;
  a.probabilities[step] = 1.0f / guess.sum;
  // The next guess is a pass of one row behind this one.
  const uint64_t position = params.row_position[params.rows - 1] + 1;
  params.draft_step = step + 1;
  params.rows = 1;
  params.tokens[0] = token;
  params.row_position[0] = position;
  params.segment[0].position = position;
  params.segment[0].rows = 1;
}

}  // namespace

void launch_rms_norm(Queue& queue, const float* x, const float* weight, float epsilon, uint32_t columns,
                     uint32_t rows, __half* activations) {
  launch(queue, rms_norm_kernel<ToActivations, __half>, dim3(rows), dim3(kThreads), 0, x, weight, epsilon,
         columns, activations, activation_stride(columns));
}

void launch_rms_norm_half(Queue& queue, const float* x, const float* weight, float epsilon, uint32_t columns,
                          uint32_t rows, __half* out) {
  launch(queue, rms_norm_kernel<ToHalf, __half>, dim3(rows), dim3(kThreads), 0, x, weight, epsilon, columns,
         out, columns);
}

void launch_rms_norm_float(Queue& queue, const float* x, const float* weight, float epsilon, uint32_t columns,
                           uint32_t rows, float* out) {
  launch(queue, rms_norm_kernel<ToFloat, float>, dim3(rows), dim3(kThreads), 0, x, weight, epsilon, columns,
         out, columns);
}

void launch_gated_norm(Queue& queue, const GatedNormArguments& a, uint32_t rows) {
  launch(queue, gated_norm_kernel, dim3((a.heads + 7) / 8, rows), dim3(256), 0, a);
}

void launch_swiglu(Queue& queue, const float* gate_up, uint32_t columns, uint32_t rows, __half* activations) {
  launch(queue, swiglu_kernel, dim3((columns / 4 + kThreads - 1) / kThreads, rows), dim3(kThreads), 0,
         gate_up, columns, activations);
}

void launch_final_norm(Queue& queue, const PassParams* params, const float* x, const float* weight,
                       float epsilon, uint32_t columns, uint32_t rows, __half* activations) {
  launch(queue, final_norm_kernel, dim3(rows), dim3(kThreads), 0, params, x, weight, epsilon, columns,
         activations);
}

void launch_chain_norm(Queue& queue, const float* x, const float* weight, float epsilon, uint32_t columns,
                       __half* activations, float* chained) {
  launch(queue, chain_norm_kernel, dim3(1), dim3(kThreads), 0, x, weight, epsilon, columns, activations,
         chained);
}

void launch_mtp_input(Queue& queue, const PassParams* params, const float* embedding, const float* chained,
                      const float* embedding_norm, const float* hidden_norm, float epsilon, uint32_t columns,
                      uint32_t rows, __half* activations) {
  launch(queue, mtp_input_kernel, dim3(rows), dim3(kThreads), 0, params, embedding, chained, embedding_norm,
         hidden_norm, epsilon, columns, activations);
}

void launch_mtp_input_wide(Queue& queue, const float* embedding, const float* before, const float* hidden,
                           const float* embedding_norm, const float* hidden_norm, float epsilon,
                           uint32_t columns, uint32_t rows, __half* out) {
  launch(queue, mtp_input_wide_kernel, dim3(rows), dim3(kThreads), 0, embedding, before, hidden,
         embedding_norm, hidden_norm, epsilon, columns, out);
}

void launch_guess(Queue& queue, const GuessArguments& a) {
  launch(queue, guess_part_kernel, dim3(kGuessBlocks), dim3(kThreads), 0, a);
  launch(queue, guess_kernel, dim3(1), dim3(kThreads), 0, a);
}

}  // namespace inlay::cuda
