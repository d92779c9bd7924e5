#include "kernels/cuda/attention.h"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/tensor_core.cuh"

// Flash attention (Dao, "FlashAttention-2", 2023) over pages: a block takes 128 queries of one head, a warp
// 16 of them with their sums in registers; keys and values come in tiles of 64, the next ones fetched
// meanwhile. Where a block has less shared memory than heads of 256 elements need for that, tiles are of 32.

namespace inlay::cuda {
namespace {

constexpr uint32_t kWarps = 8;
constexpr uint32_t kThreads = kWarps * 32;
constexpr uint32_t kQueries = 16 * kWarps;
static_assert(kQueries == WideSlices::kQueriesOfBlock);
constexpr uint32_t kManyKeys = 64;
constexpr uint32_t kFewKeys = 32;
constexpr float kLog2E = 1.4426950408889634f;

template <uint32_t kLength, uint32_t kKeys>
struct WideShared {
  static constexpr uint32_t kStride = kLength + 8;  // ldmatrix without bank conflicts
  __half query[kQueries][kStride];
  __half key[kKeys][kStride];
  __half value[kKeys][kStride];
};
static_assert(sizeof(WideShared<256, kFewKeys>) <= 99 * 1024);  // what sm_86, 89 and 120 give a block

template <KvType kType, uint32_t kLength, uint32_t kKeys>
__device__ void fetch_tile(__half (*tile)[kLength + 8], const std::byte* slab, uint32_t first) {
  constexpr uint32_t kVectors = kLength / 8;
#pragma unroll 4
  for (uint32_t i = threadIdx.x; i < kKeys * kVectors; i += kThreads) {
    const uint32_t key = i / kVectors, element = i % kVectors * 8;
    if constexpr (kType == KvType::kF16) {
      fetch_async(&tile[key][element], slab + (uint64_t{first + key} * kLength + element) * 2, true);
    } else {
      const Half8 x = widen_kv<kType>(fetch_kv<kType, kLength>(slab, first + key, element));
      *reinterpret_cast<uint4*>(&tile[key][element]) = make_uint4(x.pair[0], x.pair[1], x.pair[2], x.pair[3]);
    }
  }
}

/// A warp's scores of a tile of keys.
template <uint32_t kLength, uint32_t kKeys>
__device__ void tile_scores(const WideShared<kLength, kKeys>& shared, uint32_t warp, uint32_t lane,
                            float (&s)[kKeys / 8][4]) {
#pragma unroll
  for (auto& part : s) part[0] = part[1] = part[2] = part[3] = 0.0f;
#pragma unroll 4
  for (uint32_t k = 0; k < kLength; k += 16) {
    uint32_t a[4];
    load_matrices(a, &shared.query[warp * 16 + lane % 16][k + lane / 16 * 8]);
#pragma unroll
    for (uint32_t n = 0; n < kKeys / 16; ++n) {
      uint32_t b[4];
      load_matrices(b, &shared.key[16 * n + lane % 8 + lane / 16 * 8][k + lane / 8 % 2 * 8]);
      multiply_add_16x8x16(s[2 * n], a, b[0], b[1]);
      multiply_add_16x8x16(s[2 * n + 1], a, b[2], b[3]);
    }
  }
}

struct RunningRow {
  float largest = -INFINITY;
  float sum = 0.0f;
};

/// Scores to probabilities under a running largest one; rescales what was summed so far.
template <uint32_t kLength, uint32_t kKeys>
__device__ void tile_softmax(float (&s)[kKeys / 8][4], float (&out)[kLength / 8][4], RunningRow (&row)[2],
                             const int64_t (&last)[2], uint32_t quad, float scale,
                             uint32_t (&p)[kKeys / 8][2]) {
#pragma unroll
  for (uint32_t h = 0; h < 2; ++h) {
    float largest = row[h].largest;
#pragma unroll
    for (uint32_t n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (uint32_t i = 0; i < 2; ++i) {
        float& x = s[n][2 * h + i];
        x = static_cast<int64_t>(8 * n + 2 * quad + i) <= last[h] ? x * scale : -INFINITY;
        largest = fmaxf(largest, x);
      }
    }
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
    const float base = largest == -INFINITY ? 0.0f : largest;
    const float rescale = exp2f(row[h].largest - base);
    row[h].largest = largest;
    float sum = 0.0f;
#pragma unroll
    for (uint32_t n = 0; n < kKeys / 8; ++n) {
      const float p0 = exp2f(s[n][2 * h] - base), p1 = exp2f(s[n][2 * h + 1] - base);
      sum += p0 + p1;
      p[n][h] = pack_half2(p0, p1);
    }
    row[h].sum = row[h].sum * rescale + sum;
#pragma unroll
    for (uint32_t d = 0; d < kLength / 8; ++d) {
      out[d][2 * h] *= rescale;
      out[d][2 * h + 1] *= rescale;
    }
  }
}

template <uint32_t kLength, uint32_t kKeys>
__device__ void tile_values(const WideShared<kLength, kKeys>& shared, uint32_t lane,
                            const uint32_t (&p)[kKeys / 8][2], float (&out)[kLength / 8][4]) {
#pragma unroll
  for (uint32_t k = 0; k < kKeys / 16; ++k) {
    const uint32_t a[4] = {p[2 * k][0], p[2 * k][1], p[2 * k + 1][0], p[2 * k + 1][1]};
#pragma unroll
    for (uint32_t d = 0; d < kLength / 16; ++d) {
      uint32_t b[4];
      load_matrices_transposed(b, &shared.value[16 * k + lane % 16][16 * d + lane / 16 * 8]);
      multiply_add_16x8x16(out[2 * d], a, b[0], b[1]);
      multiply_add_16x8x16(out[2 * d + 1], a, b[2], b[3]);
    }
  }
}

/// Sums over the row, the gate, and out.
template <uint32_t kLength>
__device__ void write_rows(const AttentionArguments& a, __half* result, uint32_t rows, uint32_t head,
                           uint32_t first, uint32_t lane, const float (&out)[kLength / 8][4],
                           const RunningRow (&row)[2]) {
#pragma unroll
  for (uint32_t h = 0; h < 2; ++h) {
    float sum = row[h].sum;
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const uint32_t r = first + lane / 4 + 8 * h;
    if (r >= rows) continue;
    const float* gate = a.query_gate + uint64_t{r} * a.query_stride + (2 * head + 1) * kLength;
    auto* to = reinterpret_cast<uint32_t*>(result + (uint64_t{r} * a.heads + head) * kLength);
    const float inverse = 1.0f / sum;
#pragma unroll
    for (uint32_t d = 0; d < kLength / 8; ++d) {
      const uint32_t element = 8 * d + 2 * (lane % 4);
      const float2 g = *reinterpret_cast<const float2*>(gate + element);
      const float x = out[d][2 * h] * inverse / (1.0f + __expf(-g.x));
      const float y = out[d][2 * h + 1] * inverse / (1.0f + __expf(-g.y));
      to[element / 2] = pack_half2(clamp_half(x), clamp_half(y));
    }
  }
}

/// A lane's sums of its two rows, kept for the next range of keys (kStore) or taken over from the last.
template <uint32_t kLength, bool kStore>
__device__ void carry_rows(const AttentionArguments& a, const RunningAttention& running, uint32_t rows,
                           uint32_t head, uint32_t first, uint32_t lane, float (&out)[kLength / 8][4],
                           RunningRow (&row)[2]) {
#pragma unroll
  for (uint32_t h = 0; h < 2; ++h) {
    const uint32_t r = first + lane / 4 + 8 * h;
    if (r >= rows) continue;
    const uint64_t at = uint64_t{r} * a.heads + head;
    float2& kept = running.rows[at * RunningAttention::kLanes + lane % 4];
    auto* sums = reinterpret_cast<float2*>(running.sums + at * kLength) + lane % 4;
    if constexpr (kStore) {
      kept = make_float2(row[h].largest, row[h].sum);
    } else {
      row[h] = {kept.x, kept.y};
    }
#pragma unroll
    for (uint32_t d = 0; d < kLength / 8; ++d) {
      if constexpr (kStore) {
        sums[4 * d] = make_float2(out[d][2 * h], out[d][2 * h + 1]);
      } else {
        const float2 sum = sums[4 * d];
        out[d][2 * h] = sum.x, out[d][2 * h + 1] = sum.y;
      }
    }
  }
}

template <KvType kType, uint32_t kLength, uint32_t kKeys>
__global__ void __launch_bounds__(kThreads)
    wide_kernel(AttentionArguments a, __half* result, RunningAttention running, AttentionRange range,
                uint32_t rows) {
  extern __shared__ __align__(16) std::byte memory[];
  auto& shared = *reinterpret_cast<WideShared<kLength, kKeys>*>(memory);
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32, quad = lane % 4;
  // The blocks with the most keys go first.
  const uint32_t head = blockIdx.y, first = range.rows.begin + (gridDim.x - 1 - blockIdx.x) * kQueries;
  const uint32_t kv_head = head / (a.heads / a.kv.kv_heads);
  const uint64_t end = a.position + min(first + kQueries, rows);
  const auto all_tiles = static_cast<uint32_t>((end + kKeys - 1) / kKeys);
  const auto first_tile = static_cast<uint32_t>(range.first_key / kKeys);
  const auto tiles = static_cast<uint32_t>(min(uint64_t{all_tiles}, range.end_key / kKeys));
  wait_for_earlier();
  if (first_tile >= tiles) return;  // the ranges before had all of these rows' keys
  constexpr uint32_t kVectors = kLength / 8;
  for (uint32_t i = threadIdx.x; i < kQueries * kVectors; i += kThreads) {
    const uint32_t r = first + i / kVectors, element = i % kVectors * 8;
    const bool valid = r < rows;
    fetch_async(&shared.query[i / kVectors][element],
                a.query + (valid ? (uint64_t{r} * a.heads + head) * kLength + element : 0), valid);
  }
  const auto slab = [&](uint32_t tile, uint32_t value) {
    return a.state.kv +
           a.kv.slab_offset(a.state.page_table[tile * kKeys / kPageTokens], a.layer, value, kv_head);
  };
  fetch_tile<kType, kLength, kKeys>(shared.key, slab(first_tile, 0), first_tile * kKeys % kPageTokens);
  commit_fetches();
  float out[kLength / 8][4] = {};
  RunningRow row[2];
  if (first_tile > 0) carry_rows<kLength, false>(a, running, rows, head, first + warp * 16, lane, out, row);
  for (uint32_t tile = first_tile; tile < tiles; ++tile) {
    const uint32_t slot = tile * kKeys % kPageTokens;
    wait_fetches<0>();
    __syncthreads();
    fetch_tile<kType, kLength, kKeys>(shared.value, slab(tile, 1), slot);
    commit_fetches();
    float s[kKeys / 8][4];
    tile_scores<kLength, kKeys>(shared, warp, lane, s);
    wait_fetches<0>();
    __syncthreads();
    if (tile + 1 < tiles)
      fetch_tile<kType, kLength, kKeys>(shared.key, slab(tile + 1, 0), (slot + kKeys) % kPageTokens);
    commit_fetches();
    int64_t last[2];
#pragma unroll
    for (uint32_t h = 0; h < 2; ++h) {
      last[h] =
          static_cast<int64_t>(a.position + first + warp * 16 + lane / 4 + 8 * h) - int64_t{tile} * kKeys;
    }
    uint32_t p[kKeys / 8][2];
    tile_softmax<kLength, kKeys>(s, out, row, last, quad, kLog2E * rsqrtf(float{kLength}), p);
    tile_values<kLength, kKeys>(shared, lane, p, out);
  }
  if (tiles < all_tiles)
    return carry_rows<kLength, true>(a, running, rows, head, first + warp * 16, lane, out, row);
  write_rows<kLength>(a, result, rows, head, first + warp * 16, lane, out, row);
}

template <KvType kType, uint32_t kLength, uint32_t kKeys>
void attend_tiles(Queue& queue, const AttentionArguments& a, __half* out, const RunningAttention& running,
                  const AttentionRange& range, uint32_t rows) {
  const auto kernel = wide_kernel<kType, kLength, kKeys>;
  constexpr size_t kBytes = sizeof(WideShared<kLength, kKeys>);
  queue.note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  launch(queue, kernel, dim3((range.rows.count() + kQueries - 1) / kQueries, a.heads), dim3(kThreads), kBytes,
         a, out, running, range, rows);
}

template <KvType kType, typename... Rest>
void attend(Queue& queue, uint32_t shared_bytes, const AttentionArguments& a, const Rest&... rest) {
  switch (a.kv.head_length) {
    case 64: return attend_tiles<kType, 64, kManyKeys>(queue, a, rest...);
    case 128: return attend_tiles<kType, 128, kManyKeys>(queue, a, rest...);
    default:
      if (shared_bytes >= sizeof(WideShared<256, kManyKeys>)) {
        return attend_tiles<kType, 256, kManyKeys>(queue, a, rest...);
      }
      return attend_tiles<kType, 256, kFewKeys>(queue, a, rest...);
  }
}

}  // namespace

void launch_attention_wide(Queue& queue, const AttentionArguments& a, __half* out,
                           const RunningAttention& running, const AttentionRange& range, uint32_t rows,
                           uint32_t shared_bytes) {
  switch (a.kv.type) {
    case KvType::kF16: return attend<KvType::kF16>(queue, shared_bytes, a, out, running, range, rows);
    case KvType::kFp8: return attend<KvType::kFp8>(queue, shared_bytes, a, out, running, range, rows);
    case KvType::kQ8: return attend<KvType::kQ8>(queue, shared_bytes, a, out, running, range, rows);
  }
}

}  // namespace inlay::cuda
