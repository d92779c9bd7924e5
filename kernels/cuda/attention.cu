#include "kernels/cuda/attention.h"

#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/matvec.cuh"
#include "kernels/cuda/tensor_core.cuh"

namespace inlay::cuda {
namespace {

constexpr uint32_t kWarps = 8;
constexpr uint32_t kThreads = kWarps * 32;
constexpr float kLog2E = 1.4426950408889634f;

template <uint32_t kLength>
__device__ void load_row(const float* row, uint32_t lane, float (&x)[kLength / 32]) {
#pragma unroll
  for (uint32_t i = 0; i < kLength / 32; ++i) x[i] = row[lane + 32 * i];
}

template <uint32_t kLength>
__device__ void rms_norm(float (&x)[kLength / 32], const float (&weight)[kLength / 32], float epsilon) {
  float sum = 0.0f;
#pragma unroll
  for (float element : x) sum = __fmaf_rn(element, element, sum);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  const float factor = __frsqrt_rn(__fadd_rn(__fmul_rn(sum, 1.0f / kLength), epsilon));
#pragma unroll
  for (uint32_t i = 0; i < kLength / 32; ++i) x[i] = __fmul_rn(__fmul_rn(x[i], factor), weight[i]);
}

/// Rotates the pairs (i, i + rope_length / 2). The angle is reduced in double precision: at position 262,144
/// a float's would be off by a hundredth.
template <uint32_t kLength>
__device__ void rotate(float (&x)[kLength / 32], float* shared, const double (&frequencies)[kLength / 32],
                       uint32_t rope_length, uint64_t position, uint32_t lane) {
#pragma unroll
  for (uint32_t i = 0; i < kLength / 32; ++i) shared[lane + 32 * i] = x[i];
  __syncwarp();
  const uint32_t half = rope_length / 2;
#pragma unroll
  for (uint32_t i = 0; i < kLength / 32; ++i) {
    const uint32_t element = lane + 32 * i;
    if (element >= rope_length) continue;
    const double half_turns = static_cast<double>(position) * frequencies[i];
    const float rest = static_cast<float>(half_turns - 2.0 * rint(0.5 * half_turns));
    float sine, cosine;
    sincospif(rest, &sine, &cosine);
    const float other = shared[element < half ? element + half : element - half];
    x[i] = element < half ? __fmaf_rn(x[i], cosine, -__fmul_rn(other, sine))
                          : __fmaf_rn(x[i], cosine, __fmul_rn(other, sine));
  }
}

/// A warp a head: grid (ceil((heads + kv heads) / warps), rows).
template <KvType kType, uint32_t kLength>
__global__ void __launch_bounds__(kThreads) append_kernel(AttentionArguments a) {
  __shared__ float shared[kWarps][kLength];
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t head = blockIdx.x * kWarps + warp, row = blockIdx.y;
  let_next_start();
  // What no kernel writes is read before the wait, and arrives meanwhile.
  float weight[kLength / 32];
  load_row<kLength>(head < a.heads ? a.query_norm : a.key_norm, lane, weight);
  double frequencies[kLength / 32];
#pragma unroll
  for (uint32_t i = 0; i < kLength / 32; ++i) {
    const uint32_t element = lane + 32 * i, half = a.rope_length / 2;
    frequencies[i] = element < a.rope_length ? a.frequencies[element < half ? element : element - half] : 0.0;
  }
  wait_for_earlier();
  if (head >= a.heads + a.kv.kv_heads) return;
  const uint64_t position = a.params != nullptr ? a.params->row_position[row] : a.position + row;
  float x[kLength / 32];
  if (head < a.heads) {
    load_row<kLength>(a.query_gate + uint64_t{row} * a.query_stride + head * 2 * kLength, lane, x);
    rms_norm<kLength>(x, weight, a.epsilon);
    rotate<kLength>(x, shared[warp], frequencies, a.rope_length, position, lane);
    __half* query = a.query + (uint64_t{row} * a.heads + head) * kLength;
#pragma unroll
    for (uint32_t i = 0; i < kLength / 32; ++i) query[lane + 32 * i] = __float2half_rn(clamp_half(x[i]));
    return;
  }
  const uint32_t kv_head = head - a.heads;
  if (position / kPageTokens >= a.pages) return;  // a draft past the end of the context
  const StateView& view = a.params != nullptr ? a.params->segment[a.params->row_segment[row]].state : a.state;
  const uint64_t page = view.page_table[position / kPageTokens];
  load_row<kLength>(a.key + uint64_t{row} * a.kv_stride + kv_head * kLength, lane, x);
  rms_norm<kLength>(x, weight, a.epsilon);
  rotate<kLength>(x, shared[warp], frequencies, a.rope_length, position, lane);
  const uint32_t slot = position % kPageTokens;
  store_kv<kType, kLength>(view.kv + a.kv.slab_offset(page, a.layer, 0, kv_head), slot, lane, x);
  load_row<kLength>(a.value + uint64_t{row} * a.kv_stride + kv_head * kLength, lane, x);
  store_kv<kType, kLength>(view.kv + a.kv.slab_offset(page, a.layer, 1, kv_head), slot, lane, x);
}

// A page of one kv head against the queries of a segment that read it: kTiles x 16 of them at a time, query
// m being head m % group of row m / group. Operands come straight from the slabs: the order of k inside an
// MMA is ours to choose as long as both operands agree, so a lane takes eight neighbouring elements of a key
// row (or of a probability row) for two MMAs. A query's sums involve nothing of the other queries.
template <uint32_t kTiles, uint32_t kLength>
struct PageShared {
  static constexpr uint32_t kQueries = 16 * kTiles;
  static constexpr uint32_t kQueryStride = kLength + 32;  // 16-byte reads of 8 lanes meet all 32 banks once
  static constexpr uint32_t kScoreStride = kPageTokens + 32;
  __half query[kQueries][kQueryStride];
  __half probability[kQueries][kScoreStride];
  float largest[kQueries][kWarps];
  float sum[kQueries][kWarps];
};

template <KvType kType, uint32_t kTiles, uint32_t kLength>
__device__ void page_scores(const PageShared<kTiles, kLength>& shared, const std::byte* slab, uint32_t warp,
                            uint32_t lane, float (&score)[kTiles][4][4]) {
  const uint32_t group = lane / 4, quad = lane % 4;
#pragma unroll
  for (auto& tile : score) {
#pragma unroll
    for (auto& part : tile) part[0] = part[1] = part[2] = part[3] = 0.0f;
  }
#pragma unroll 2
  for (uint32_t j = 0; j < kLength / 32; ++j) {
    KvFetch<kType> fetch[4];
#pragma unroll
    for (uint32_t n = 0; n < 4; ++n) {
      fetch[n] = fetch_kv<kType, kLength>(slab, warp * 32 + n * 8 + group, 32 * j + 8 * quad);
    }
    uint4 low[kTiles], high[kTiles];
#pragma unroll
    for (uint32_t m = 0; m < kTiles; ++m) {
      low[m] = *reinterpret_cast<const uint4*>(&shared.query[16 * m + group][32 * j + 8 * quad]);
      high[m] = *reinterpret_cast<const uint4*>(&shared.query[16 * m + 8 + group][32 * j + 8 * quad]);
    }
#pragma unroll
    for (uint32_t n = 0; n < 4; ++n) {
      const Half8 k = widen_kv<kType>(fetch[n]);
#pragma unroll
      for (uint32_t m = 0; m < kTiles; ++m) {
        multiply_add_16x8x16(score[m][n], {low[m].x, high[m].x, low[m].y, high[m].y}, k.pair[0], k.pair[1]);
        multiply_add_16x8x16(score[m][n], {low[m].z, high[m].z, low[m].w, high[m].w}, k.pair[2], k.pair[3]);
      }
    }
  }
}

/// Turns a warp's scores (of its 32 keys) into probabilities relative to the page's largest score, in shared
/// memory; of the page's keys only those from `first` to the query's `last` count.
template <uint32_t kTiles, uint32_t kLength>
__device__ void page_softmax(PageShared<kTiles, kLength>& shared, float (&score)[kTiles][4][4], uint32_t warp,
                             uint32_t lane, int64_t first, const int64_t (&last)[kTiles][2], float scale) {
  const uint32_t group = lane / 4, quad = lane % 4;
#pragma unroll
  for (uint32_t m = 0; m < kTiles; ++m) {
#pragma unroll
    for (uint32_t h = 0; h < 2; ++h) {
      float largest = -INFINITY;
#pragma unroll
      for (uint32_t n = 0; n < 4; ++n) {
#pragma unroll
        for (uint32_t i = 0; i < 2; ++i) {
          float& s = score[m][n][2 * h + i];
          const int64_t key = warp * 32 + n * 8 + 2 * quad + i;
          s = key >= first && key <= last[m][h] ? __fmul_rn(s, scale) : -INFINITY;
          largest = fmaxf(largest, s);
        }
      }
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
      if (quad == 0) shared.largest[16 * m + 8 * h + group][warp] = largest;
    }
  }
  __syncthreads();
#pragma unroll
  for (uint32_t m = 0; m < kTiles; ++m) {
#pragma unroll
    for (uint32_t h = 0; h < 2; ++h) {
      const uint32_t query = 16 * m + 8 * h + group;
      float largest = shared.largest[query][0];
#pragma unroll
      for (uint32_t w = 1; w < kWarps; ++w) largest = fmaxf(largest, shared.largest[query][w]);
      const float base = largest == -INFINITY ? 0.0f : largest;
      float sum = 0.0f;
#pragma unroll
      for (uint32_t n = 0; n < 4; ++n) {
        const float p0 = exp2f(__fsub_rn(score[m][n][2 * h], base));
        const float p1 = exp2f(__fsub_rn(score[m][n][2 * h + 1], base));
        sum = __fadd_rn(sum, __fadd_rn(p0, p1));
        *reinterpret_cast<uint32_t*>(&shared.probability[query][warp * 32 + n * 8 + 2 * quad]) =
            pack_half2(p0, p1);
      }
      sum = __fadd_rn(sum, __shfl_xor_sync(~0u, sum, 1));
      sum = __fadd_rn(sum, __shfl_xor_sync(~0u, sum, 2));
      if (quad == 0) shared.sum[query][warp] = sum;
    }
  }
  __syncthreads();
}

/// Probabilities times values: a warp takes 64 columns and, where there are fewer columns than warps can
/// share, a part of the keys. In accumulator tile t a lane's column n is element 8 * n + t of the warp's 64.
template <KvType kType, uint32_t kTiles, uint32_t kLength>
__device__ void page_values(const PageShared<kTiles, kLength>& shared, const std::byte* slab, uint32_t warp,
                            uint32_t lane, float (&out)[kTiles][8][4]) {
  constexpr uint32_t kColumnBlocks = kLength / 64;
  constexpr uint32_t kKeys = kPageTokens / (kWarps / kColumnBlocks);
  const uint32_t group = lane / 4, quad = lane % 4;
  const uint32_t column = warp % kColumnBlocks * 64 + 8 * group;
  const uint32_t first_key = warp / kColumnBlocks * kKeys;
#pragma unroll
  for (auto& tile : out) {
#pragma unroll
    for (auto& part : tile) part[0] = part[1] = part[2] = part[3] = 0.0f;
  }
#pragma unroll 1
  for (uint32_t step = 0; step < kKeys / 32; ++step) {
    const uint32_t key = first_key + 32 * step + 8 * quad;
    KvFetch<kType> fetch[8];
#pragma unroll
    for (uint32_t i = 0; i < 8; ++i) fetch[i] = fetch_kv<kType, kLength>(slab, key + i, column);
#pragma unroll
    for (uint32_t h = 0; h < 2; ++h) {
      uint32_t a[kTiles][4];
#pragma unroll
      for (uint32_t m = 0; m < kTiles; ++m) {
        const uint2 low = *reinterpret_cast<const uint2*>(&shared.probability[16 * m + group][key + 4 * h]);
        const uint2 high =
            *reinterpret_cast<const uint2*>(&shared.probability[16 * m + 8 + group][key + 4 * h]);
        a[m][0] = low.x, a[m][1] = high.x, a[m][2] = low.y, a[m][3] = high.y;
      }
      Half8 v[4];
#pragma unroll
      for (uint32_t i = 0; i < 4; ++i) v[i] = widen_kv<kType>(fetch[4 * h + i]);
#pragma unroll
      for (uint32_t t = 0; t < 8; ++t) {
        const uint32_t selector = t % 2 == 0 ? 0x5410 : 0x7632;
        const uint32_t b0 = __byte_perm(v[0].pair[t / 2], v[1].pair[t / 2], selector);
        const uint32_t b1 = __byte_perm(v[2].pair[t / 2], v[3].pair[t / 2], selector);
#pragma unroll
        for (uint32_t m = 0; m < kTiles; ++m) multiply_add_16x8x16(out[m][t], a[m], b0, b1);
      }
    }
  }
}

/// Adds the parts of the keys together, in order, through shared memory that queries and probabilities leave.
template <uint32_t kTiles, uint32_t kLength>
__device__ void add_key_parts(float* shared, uint32_t warp, uint32_t lane, float (&out)[kTiles][8][4]) {
  constexpr uint32_t kColumnBlocks = kLength / 64;
  const uint32_t block = warp % kColumnBlocks;
  for (uint32_t part = 1; part < kWarps / kColumnBlocks; ++part) {
    __syncthreads();
#pragma unroll
    for (uint32_t m = 0; m < kTiles; ++m) {
#pragma unroll
      for (uint32_t t = 0; t < 8; ++t) {
        auto* at = reinterpret_cast<float4*>(shared) + ((block * kTiles + m) * 8 + t) * 32 + lane;
        if (warp / kColumnBlocks == part)
          *at = make_float4(out[m][t][0], out[m][t][1], out[m][t][2], out[m][t][3]);
      }
    }
    __syncthreads();
    if (warp / kColumnBlocks != 0) continue;
#pragma unroll
    for (uint32_t m = 0; m < kTiles; ++m) {
#pragma unroll
      for (uint32_t t = 0; t < 8; ++t) {
        const float4 x = reinterpret_cast<float4*>(shared)[((block * kTiles + m) * 8 + t) * 32 + lane];
        out[m][t][0] = __fadd_rn(out[m][t][0], x.x), out[m][t][1] = __fadd_rn(out[m][t][1], x.y);
        out[m][t][2] = __fadd_rn(out[m][t][2], x.z), out[m][t][3] = __fadd_rn(out[m][t][3], x.w);
      }
    }
  }
}

template <KvType kType, uint32_t kTiles, uint32_t kLength>
__device__ void attend_page(const AttentionArguments& a, const SegmentParams& segment, uint32_t kv_head,
                            uint32_t page, uint32_t first_query, std::byte* memory) {
  auto& shared = *reinterpret_cast<PageShared<kTiles, kLength>*>(memory);
  static_assert(sizeof(shared.query) + sizeof(shared.probability) >= 16 * kTiles * kLength * sizeof(float));
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32, group_lane = lane / 4;
  const uint32_t group = a.heads / a.kv.kv_heads;
  const uint32_t queries = segment.rows * group;
  constexpr uint32_t kVectors = kLength / 8;
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < 16 * kTiles * kVectors; i += kThreads) {
    const uint32_t query = first_query + i / kVectors, element = i % kVectors * 8;
    uint4 bits = {0, 0, 0, 0};
    if (query < queries) {
      const uint64_t row = segment.row_begin + query / group, head = kv_head * group + query % group;
      bits = *reinterpret_cast<const uint4*>(a.query + (row * a.heads + head) * kLength + element);
    }
    *reinterpret_cast<uint4*>(&shared.query[i / kVectors][element]) = bits;
  }
  __syncthreads();

  int64_t last[kTiles][2];
#pragma unroll
  for (uint32_t m = 0; m < kTiles; ++m) {
#pragma unroll
    for (uint32_t h = 0; h < 2; ++h) {
      const uint32_t query = first_query + 16 * m + 8 * h + group_lane;
      last[m][h] = static_cast<int64_t>(segment.position + query / group) - int64_t{page} * kPageTokens;
      if (query >= queries) last[m][h] = -1;
    }
  }
  const uint64_t physical = segment.state.page_table[page];
  {
    float score[kTiles][4][4];
    const std::byte* keys = segment.state.kv + a.kv.slab_offset(physical, a.layer, 0, kv_head);
    page_scores<kType, kTiles, kLength>(shared, keys, warp, lane, score);
    const int64_t first = static_cast<int64_t>(a.first_key) - int64_t{page} * kPageTokens;
    page_softmax<kTiles, kLength>(shared, score, warp, lane, first, last, kLog2E * rsqrtf(float{kLength}));
  }
  float out[kTiles][8][4];
  const std::byte* values = segment.state.kv + a.kv.slab_offset(physical, a.layer, 1, kv_head);
  page_values<kType, kTiles, kLength>(shared, values, warp, lane, out);

  if (threadIdx.x < 16 * kTiles && first_query + threadIdx.x < queries) {
    const uint32_t query = first_query + threadIdx.x;
    float largest = shared.largest[threadIdx.x][0], sum = shared.sum[threadIdx.x][0];
#pragma unroll
    for (uint32_t w = 1; w < kWarps; ++w) {
      largest = fmaxf(largest, shared.largest[threadIdx.x][w]);
      sum = __fadd_rn(sum, shared.sum[threadIdx.x][w]);
    }
    const uint64_t row = segment.row_begin + query / group, head = kv_head * group + query % group;
    a.partial_sum[(row * a.heads + head) * a.pages + page] = make_float2(largest, sum);
  }
  add_key_parts<kTiles, kLength>(reinterpret_cast<float*>(memory), warp, lane, out);
  if (warp >= kLength / 64) return;
#pragma unroll
  for (uint32_t m = 0; m < kTiles; ++m) {
#pragma unroll
    for (uint32_t h = 0; h < 2; ++h) {
      const uint32_t query = first_query + 16 * m + 8 * h + group_lane;
      if (query >= queries) continue;
      const uint64_t row = segment.row_begin + query / group, head = kv_head * group + query % group;
      float* partial = a.partial + ((row * a.heads + head) * a.pages + page) * kLength + warp * 64;
#pragma unroll
      for (uint32_t i = 0; i < 2; ++i) {
        float4* at = reinterpret_cast<float4*>(partial + 8 * (2 * (lane % 4) + i));
        const uint32_t c = 2 * h + i;
        at[0] = make_float4(out[m][0][c], out[m][1][c], out[m][2][c], out[m][3][c]);
        at[1] = make_float4(out[m][4][c], out[m][5][c], out[m][6][c], out[m][7][c]);
      }
    }
  }
}

/// Blocks share the (segment, page, kv head) triples out among themselves; who does which changes no bit.
template <KvType kType, uint32_t kTiles, uint32_t kLength>
__global__ void __launch_bounds__(kThreads) pages_kernel(AttentionArguments a) {
  extern __shared__ __align__(16) std::byte memory[];
  let_next_start();
  wait_for_earlier();
  const uint32_t group = a.heads / a.kv.kv_heads;
  uint32_t item = blockIdx.x;
  for (uint32_t s = 0; s < a.params->segments; ++s) {
    const SegmentParams& segment = a.params->segment[s];
    const uint32_t pages =
        min(static_cast<uint32_t>((segment.position + segment.rows - 1) / kPageTokens + 1), a.pages);
    const uint32_t items = pages * a.kv.kv_heads;
    for (; item < items; item += gridDim.x) {
      for (uint32_t query = 0; query < segment.rows * group; query += 16 * kTiles) {
        attend_page<kType, kTiles, kLength>(a, segment, item % a.kv.kv_heads, item / a.kv.kv_heads, query,
                                            memory);
      }
    }
    item -= items;
  }
}

constexpr uint32_t kCombineGroups = 4;

/// The pages of one (row, head) together: page p goes to group p % 4, the groups are added in order.
template <uint32_t kLength>
__global__ void __launch_bounds__(kLength* kCombineGroups) combine_kernel(AttentionArguments a) {
  extern __shared__ float weight[];  // [pages]
  __shared__ float scratch[32];
  __shared__ float parts[kCombineGroups][kLength];
  const uint32_t head = blockIdx.x, row = blockIdx.y, thread = threadIdx.x;
  constexpr uint32_t kBlock = kLength * kCombineGroups;
  let_next_start();
  wait_for_earlier();
  const uint32_t pages = min(static_cast<uint32_t>(a.params->row_position[row] / kPageTokens + 1), a.pages);
  const uint64_t first = (uint64_t{row} * a.heads + head) * a.pages;
  float largest = -INFINITY;
  for (uint32_t page = thread; page < pages; page += kBlock)
    largest = fmaxf(largest, a.partial_sum[first + page].x);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, step));
  if (thread % 32 == 0) scratch[thread / 32] = largest;
  __syncthreads();
  largest = scratch[0];
#pragma unroll
  for (uint32_t w = 1; w < kBlock / 32; ++w) largest = fmaxf(largest, scratch[w]);
  for (uint32_t page = thread; page < pages; page += kBlock) {
    weight[page] = exp2f(__fsub_rn(a.partial_sum[first + page].x, largest));
  }
  __syncthreads();
  if (thread < 32) {
    float sum = 0.0f;
    for (uint32_t page = thread; page < pages; page += 32) {
      sum = __fmaf_rn(weight[page], a.partial_sum[first + page].y, sum);
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum = __fadd_rn(sum, __shfl_xor_sync(~0u, sum, step));
    if (thread == 0) scratch[0] = sum;
  }
  const uint32_t part = thread / kLength, element = thread % kLength;
  float x = 0.0f;
#pragma unroll 8
  for (uint32_t page = part; page < pages; page += kCombineGroups) {
    x = __fmaf_rn(weight[page], a.partial[(first + page) * kLength + element], x);
  }
  parts[part][element] = x;
  __syncthreads();
  if (part != 0) return;
#pragma unroll
  for (uint32_t p = 1; p < kCombineGroups; ++p) x = __fadd_rn(x, parts[p][element]);
  const float gate = a.query_gate[uint64_t{row} * a.query_stride + (2 * head + 1) * kLength + element];
  const float open = __fdiv_rn(1.0f, __fadd_rn(1.0f, expf(-gate)));
  __half* out = a.out + uint64_t{row} * activation_stride(a.heads * kLength);
  out[activation_index(head * kLength + element)] = to_activation(__fmul_rn(__fdiv_rn(x, scratch[0]), open));
}

template <KvType kType, uint32_t kLength>
void append(Queue& queue, const AttentionArguments& a, uint32_t rows) {
  const dim3 grid((a.heads + a.kv.kv_heads + kWarps - 1) / kWarps, rows);
  launch(queue, append_kernel<kType, kLength>, grid, dim3(kThreads), 0, a);
}

template <KvType kType, uint32_t kTiles, uint32_t kLength>
void attend(Queue& queue, const AttentionArguments& a, uint32_t blocks) {
  const auto kernel = pages_kernel<kType, kTiles, kLength>;
  constexpr size_t kBytes = sizeof(PageShared<kTiles, kLength>);
  queue.note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  launch(queue, kernel, dim3(blocks), dim3(kThreads), kBytes, a);
}

template <KvType kType, uint32_t kLength>
void attend_and_combine(Queue& queue, const AttentionArguments& a, uint32_t rows, uint32_t rows_of_segment,
                        uint32_t blocks) {
  if (rows_of_segment * (a.heads / a.kv.kv_heads) <= 16) {
    attend<kType, 1, kLength>(queue, a, blocks);
  } else {
    attend<kType, 3, kLength>(queue, a, blocks);
  }
  launch(queue, combine_kernel<kLength>, dim3(a.heads, rows), dim3(kLength * kCombineGroups),
         a.pages * sizeof(float), a);
}

template <KvType kType, typename Call>
void for_length(uint32_t head_length, Call&& call) {
  switch (head_length) {
    case 64: call.template operator()<kType, 64>(); break;
    case 128: call.template operator()<kType, 128>(); break;
    default: call.template operator()<kType, 256>(); break;
  }
}

template <typename Call>
void for_kind(const KvLayout& kv, Call&& call) {
  switch (kv.type) {
    case KvType::kF16: for_length<KvType::kF16>(kv.head_length, call); break;
    case KvType::kFp8: for_length<KvType::kFp8>(kv.head_length, call); break;
    case KvType::kQ8: for_length<KvType::kQ8>(kv.head_length, call); break;
  }
}

}  // namespace

bool attention_supports(uint32_t head_length) {
  return head_length == 64 || head_length == 128 || head_length == 256;
}

void launch_attention_append(Queue& queue, const AttentionArguments& a, uint32_t rows) {
  for_kind(a.kv, [&]<KvType kType, uint32_t kLength>() { append<kType, kLength>(queue, a, rows); });
}

void launch_attention(Queue& queue, const AttentionArguments& a, uint32_t rows, uint32_t rows_of_segment,
                      uint32_t blocks) {
  for_kind(a.kv, [&]<KvType kType, uint32_t kLength>() {
    attend_and_combine<kType, kLength>(queue, a, rows, rows_of_segment, blocks);
  });
}

}  // namespace inlay::cuda
