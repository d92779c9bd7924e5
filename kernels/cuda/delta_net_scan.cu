#include "kernels/cuda/delta_net_chunks.cuh"

// DeltaNet's state from chunk to chunk. Half of a block's warps advance it, 16 columns each, in registers;
// the other half make the outputs from what the first half leave in shared memory, and are never ahead of
// them.

namespace inlay::cuda {
namespace {

constexpr uint32_t kScanColumns = 64;               // of a block
constexpr uint32_t kScanWarps = kScanColumns / 16;  // to advance them; as many make their outputs
constexpr uint32_t kGroupThreads = 32 * kScanWarps;
constexpr uint32_t kScanThreads = 2 * kGroupThreads;

/// What advancing the state needs of a chunk, and what its outputs need.
struct StateStage {
  __half k[kChunk][kState];
  uint4 t[2][kTiles][32];
  float beta[kChunk], since_start[kChunk], until_end[kChunk];
};
struct OutputStage {
  __half q[kChunk][kState];
  uint4 p[2][kTiles][32];
  float since_start[kChunk];
};

/// The state on its way from the narrow path's registers to these.
struct ScanStart {
  float state[kScanColumns][kState + 8];
  float peak[kScanThreads / 32];
};

template <uint32_t kStages>
struct ScanShared {
  union {
    struct {
      StateStage state[kStages];
      OutputStage output[kStages];
      // Left operands, from the warps that advance the state to those that make the outputs.
      uint4 columns[kScanWarps][kState / 16][32];
      uint4 corrections[kScanWarps][kEdges][2][32];
    };
    ScanStart start;
  };
  float scale[kScanColumns];
};

/// Barriers beside the block's own. After kHasColumns the state's left operands are there and the corrections
/// are no longer read; after kHasCorrections it is the other way round.
enum Barrier : uint32_t { kStateGroup = 1, kOutputGroup, kHasColumns, kHasCorrections };

__device__ void wait_at(Barrier barrier) {
  const uint32_t threads = barrier < kHasColumns ? kGroupThreads : kScanThreads;
  asm volatile("bar.sync %0, %1;" ::"r"(static_cast<uint32_t>(barrier)), "r"(threads) : "memory");
}

struct ScanPlace {
  uint32_t head, slice, lane, warp, thread;  // of a group of kScanWarps
  /// The first of the lane's two columns among the block's; the other is eight further.
  __device__ uint32_t local() const { return warp * 16 + lane / 4; }
  __device__ uint32_t column() const { return slice * kScanColumns + local(); }
};

/// A wide pass's buffers as one head's scan reads them.
struct ScanInput {
  const __half* q;            // [chunk][q, k][kChunk][kState]
  const std::byte* products;  // [chunk]
  const float* gates;         // [chunk][3][kChunk]
  uint32_t rows;

  __device__ ScanInput(const DeltaNetWide& wide, uint32_t head, uint32_t key_head, uint32_t row_count)
      : q(keys_of(wide, key_head, DeltaNetWide::chunks(row_count), 0)),
        products(wide.products +
                 uint64_t{head} * DeltaNetWide::chunks(row_count) * DeltaNetWide::kProductBytes),
        gates(wide.chunk_gates + uint64_t{head} * DeltaNetWide::chunks(row_count) * 3 * kChunk),
        rows(row_count) {}

  __device__ void fetch(StateStage& stage, uint32_t chunk, uint32_t thread) const {
    fetch_bytes<sizeof(stage.k)>(stage.k, q + (uint64_t{chunk} * 2 + 1) * kChunk * kState, thread);
    fetch_bytes<sizeof(stage.t)>(stage.t, products + uint64_t{chunk} * DeltaNetWide::kProductBytes, thread);
    fetch_bytes<3 * sizeof(stage.beta)>(stage.beta, gates + uint64_t{chunk} * 3 * kChunk, thread);
    commit_fetches();
  }
  __device__ void fetch(OutputStage& stage, uint32_t chunk, uint32_t thread) const {
    fetch_bytes<sizeof(stage.q)>(stage.q, q + uint64_t{chunk} * 2 * kChunk * kState, thread);
    fetch_bytes<sizeof(stage.p)>(
        stage.p, products + uint64_t{chunk} * DeltaNetWide::kProductBytes + sizeof(StateStage::t), thread);
    fetch_bytes<sizeof(stage.since_start)>(stage.since_start, gates + (uint64_t{chunk} * 3 + 1) * kChunk,
                                           thread);
    commit_fetches();
  }
};
static_assert(sizeof(StateStage::t) + sizeof(OutputStage::p) == DeltaNetWide::kProductBytes);

/// The block's columns of the state before the pass, for an undo and, with what is logged since, in `start`.
/// With the narrow path's own arithmetic: how much of the log it had already replayed makes no difference.
__device__ void replay(const DeltaNetArguments& a, const DeltaNetWide& wide, uint32_t head, uint32_t slice,
                       ScanStart& start) {
  constexpr uint32_t kAtOnce = kScanThreads / 8, kHeld = kScanColumns / kAtOnce;
  const uint32_t part = threadIdx.x % 8, column = threadIdx.x / 8;
  const uint64_t of_head = uint64_t{a.layer} * a.value_heads + head;
  float s[kHeld][16];
#pragma unroll
  for (uint32_t h = 0; h < kHeld; ++h) {
    const uint64_t at = (of_head * kState + slice * kScanColumns + column + h * kAtOnce) * kState + 4 * part;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float4 x = *reinterpret_cast<const float4*>(a.state.delta + at + 32 * j);
      *reinterpret_cast<float4*>(wide.undo + at + 32 * j) = x;
      s[h][4 * j] = x.x, s[h][4 * j + 1] = x.y, s[h][4 * j + 2] = x.z, s[h][4 * j + 3] = x.w;
    }
  }
  for (uint64_t position = a.state.committed[of_head * kDeltaSlices]; position < a.position; ++position) {
    const uint64_t slot = uint64_t{a.layer} * kLogSlots + position % kLogSlots;
    const Key k = load_key(a.state.log_key + slot * a.key_length() + head % a.key_heads * kState, part);
    const float2 gate =
        *reinterpret_cast<const float2*>(a.state.log_gate + (slot * a.value_heads + head) * 2);
    const float* v =
        a.state.log_value + slot * a.value_length() + head * kState + slice * kScanColumns + column;
#pragma unroll
    for (uint32_t h = 0; h < kHeld; ++h) advance(s[h], k, v[h * kAtOnce], gate.x, gate.y);
  }
#pragma unroll
  for (uint32_t h = 0; h < kHeld; ++h) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      *reinterpret_cast<float4*>(&start.state[column + h * kAtOnce][4 * part + 32 * j]) =
          make_float4(s[h][4 * j], s[h][4 * j + 1], s[h][4 * j + 2], s[h][4 * j + 3]);
    }
  }
}

/// The largest magnitude among a head's values; the same in every thread of the block.
__device__ float largest_value(const DeltaNetArguments& a, const DeltaNetWide& wide, uint32_t head,
                               uint32_t rows, ScanStart& start) {
  float peak = 0.0f;
  for (uint32_t i = threadIdx.x; i < DeltaNetWide::groups(rows); i += kScanThreads) {
    peak = fmaxf(peak, wide.peaks[i * a.value_heads + head]);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) peak = fmaxf(peak, __shfl_xor_sync(~0u, peak, step));
  if (threadIdx.x % 32 == 0) start.peak[threadIdx.x / 32] = peak;
  __syncthreads();
#pragma unroll
  for (const float other : start.peak) peak = fmaxf(peak, other);
  return peak;
}

/// A power of two: nothing that the scan makes of a column goes beyond F16 when multiplied by it. A token
/// moves a column by at most its value's magnitude, since keys have length 1, and a decay only makes it
/// shorter.
__device__ float safe_scale(float square, float peak, uint32_t rows) {
  const float most = sqrtf(square) + peak * static_cast<float>(rows);
  if (!(most > 0.0f)) return 1.0f;
  const int exponent = min(max(14 - ilogbf(most), -100), 100);
  return scalbnf(1.0f, exponent);
}

/// A warp's 16 columns of the state: sums of 16 x 8, [key element / 8]; a lane's two columns' scales.
struct Columns {
  float s[kState / 8][4];
  float scale[2];

  __device__ void load(const ScanPlace& place, const ScanStart& start, float peak, uint32_t rows) {
    float square[2] = {};
#pragma unroll
    for (uint32_t j = 0; j < kState / 8; ++j) {
#pragma unroll
      for (uint32_t h = 0; h < 2; ++h) {
        const float2 x = *reinterpret_cast<const float2*>(
            &start.state[place.local() + 8 * h][8 * j + 2 * (place.lane % 4)]);
        s[j][2 * h] = x.x, s[j][2 * h + 1] = x.y;
        square[h] = __fmaf_rn(x.x, x.x, __fmaf_rn(x.y, x.y, square[h]));
      }
    }
#pragma unroll
    for (uint32_t h = 0; h < 2; ++h) {
      square[h] += __shfl_xor_sync(~0u, square[h], 1);
      square[h] += __shfl_xor_sync(~0u, square[h], 2);
      scale[h] = safe_scale(square[h], peak, rows);
#pragma unroll
      for (uint32_t j = 0; j < kState / 8; ++j) s[j][2 * h] *= scale[h], s[j][2 * h + 1] *= scale[h];
    }
  }

  __device__ void store(const ScanPlace& place, float* head_state) const {
#pragma unroll
    for (uint32_t h = 0; h < 2; ++h) {
      const float unscale = 1.0f / scale[h];
      float* to = head_state + (place.column() + 8 * h) * kState + 2 * (place.lane % 4);
#pragma unroll
      for (uint32_t j = 0; j < kState / 8; ++j) {
        *reinterpret_cast<float2*>(to + 8 * j) =
            make_float2(s[j][2 * h] * unscale, s[j][2 * h + 1] * unscale);
      }
    }
  }

  __device__ uint4 left(uint32_t j) const {
    const auto& x = s[2 * j];
    const auto& y = s[2 * j + 1];
    return make_uint4(pack(x[0], x[1]), pack(x[2], x[3]), pack(y[0], y[1]), pack(y[2], y[3]));
  }
};

using Sums = float[kChunk / 8][4];  // of 16 columns x 8 tokens, [token / 8]

/// sums += 16 columns of the state (16 key elements of them, `step`) * keys or queries.
__device__ void multiply_keys(const uint4& columns, uint32_t step, const __half (&keys)[kChunk][kState],
                              uint32_t lane, Sums& sums) {
  const uint32_t left[4] = {columns.x, columns.y, columns.z, columns.w};
  const uint32_t at = vector_at(lane / 16 * 8 + lane % 8, lane / 8 % 2) * 8;
#pragma unroll
  for (uint32_t t = 0; t < kChunk / 16; ++t) {
    uint32_t k[4];
    load_matrices(k, keys[0] + (at ^ (16 * step)) + t * 16 * kState);
    multiply_add_16x8x16(sums[2 * t], left, k[0], k[1]);
    multiply_add_16x8x16(sums[2 * t + 1], left, k[2], k[3]);
  }
}

/// sums += left * column `s` of tiles, which begins at the diagonal.
__device__ void multiply_tiles(const Split& left, uint32_t s, const uint4 (&tiles)[2][kTiles][32],
                               uint32_t lane, Sums& sums) {
#pragma unroll
  for (uint32_t t = s; t < kEdges; ++t) {
    multiply_add(sums[2 * t], sums[2 * t + 1], left, tiles[0][tile_index(t, s)][lane],
                 tiles[1][tile_index(t, s)][lane]);
  }
}

/// A lane's values of a chunk, placed as Sums.
struct Values {
  float2 x[kChunk / 8][2];

  __device__ void load(const float* from) {
#pragma unroll
    for (uint32_t n = 0; n < kChunk / 8; ++n) {
#pragma unroll
      for (uint32_t h = 0; h < 2; ++h) {
        x[n][h] = *reinterpret_cast<const float2*>(from + (n * kState + 8 * h) * DeltaNetWide::kGroup);
      }
    }
  }
};

/// What the state becomes by the chunk's end, from the corrections.
__device__ void learn(const StateStage& stage, const Sums& d, uint32_t lane, Columns& columns) {
  const float decay = stage.since_start[kChunk - 1];
#pragma unroll
  for (auto& sums : columns.s) {
#pragma unroll
    for (float& element : sums) element *= decay;
  }
  const uint32_t at = vector_at(lane % 16, lane / 16) * 8;
#pragma unroll
  for (uint32_t t = 0; t < kChunk / 16; ++t) {
    uint32_t left[4];
#pragma unroll
    for (uint32_t n = 0; n < 2; ++n) {
      const float2 until =
          *reinterpret_cast<const float2*>(&stage.until_end[16 * t + 8 * n + 2 * (lane % 4)]);
      const auto& x = d[2 * t + n];
      left[2 * n] = pack(x[0] * until.x, x[1] * until.y);
      left[2 * n + 1] = pack(x[2] * until.x, x[3] * until.y);
    }
#pragma unroll
    for (uint32_t j = 0; j < kState / 16; ++j) {
      uint32_t k[4];
      load_matrices_transposed(k, stage.k[0] + (at ^ (16 * j)) + t * 16 * kState);
      multiply_add_16x8x16(columns.s[2 * j], left, k[0], k[1]);
      multiply_add_16x8x16(columns.s[2 * j + 1], left, k[2], k[3]);
    }
  }
}

/// What a chunk's tokens should have been predicted and were not, R above, from the products with its keys.
__device__ void find_errors(const StateStage& stage, const Values& values, const Columns& columns,
                            uint32_t lane, Sums& r) {
#pragma unroll
  for (uint32_t n = 0; n < kChunk / 8; ++n) {
    const uint32_t t = 8 * n + 2 * (lane % 4);
    const float2 beta = *reinterpret_cast<const float2*>(&stage.beta[t]);
    const float2 decay = *reinterpret_cast<const float2*>(&stage.since_start[t]);
#pragma unroll
    for (uint32_t h = 0; h < 2; ++h) {
      const float2 v = values.x[n][h];
      r[n][2 * h] = beta.x * __fmaf_rn(-decay.x, r[n][2 * h], v.x * columns.scale[h]);
      r[n][2 * h + 1] = beta.y * __fmaf_rn(-decay.y, r[n][2 * h + 1], v.y * columns.scale[h]);
    }
  }
}

/// Half of a block's warps: the state over all chunks.
template <uint32_t kStages>
__device__ void advance_state(const ScanInput& input, const ScanPlace& place, const float* values,
                              ScanShared<kStages>& shared, Columns& columns) {
  const uint32_t chunks = DeltaNetWide::chunks(input.rows), lane = place.lane;
  input.fetch(shared.state[0], 0, place.thread);
  Values v;
  v.load(values);
#pragma unroll 1
  for (uint32_t i = 0; i < chunks; ++i) {
    wait_fetches<0>();
    wait_at(kStateGroup);
    const StateStage& stage = shared.state[i % kStages];
    if (kStages > 1 && i + 1 < chunks) input.fetch(shared.state[(i + 1) % kStages], i + 1, place.thread);
    Sums r = {}, d = {};
#pragma unroll
    for (uint32_t j = 0; j < kState / 16; ++j) {
      const uint4 left = columns.left(j);
      shared.columns[place.warp][j][lane] = left;
      multiply_keys(left, j, stage.k, lane, r);
    }
    find_errors(stage, v, columns, lane, r);
    if (i + 1 < chunks) v.load(values + uint64_t{i + 1} * kChunk * kState);
    wait_at(kHasColumns);
#pragma unroll
    for (uint32_t s = 0; s < kEdges; ++s) {
      Split left;
      left.set_left(r[2 * s], r[2 * s + 1]);
      multiply_tiles(left, s, stage.t, lane, d);
    }
#pragma unroll
    for (uint32_t s = 0; s < kEdges; ++s) {
      Split left;
      left.set_left(d[2 * s], d[2 * s + 1]);
      left.write(&shared.corrections[place.warp][s][0][lane], &shared.corrections[place.warp][s][1][lane]);
    }
    wait_at(kHasCorrections);
    learn(stage, d, lane, columns);
    if (kStages == 1 && i + 1 < chunks) {
      wait_at(kStateGroup);
      input.fetch(shared.state[0], i + 1, place.thread);
    }
  }
}

/// A chunk's outputs of a warp's columns; `row` is that of the lane's first token, of which `left` and more
/// are not the pass's.
template <bool kWhole>
__device__ void write_outputs(const Sums& sums, const float (&factor)[2], float* row, uint64_t stride,
                              uint32_t left) {
#pragma unroll
  for (uint32_t n = 0; n < kChunk / 8; ++n) {
#pragma unroll
    for (uint32_t i = 0; i < 2; ++i) {
      if (!kWhole && 8 * n + i >= left) return;
      float* to = row + i * stride;
      to[0] = sums[n][i] * factor[0];
      to[8] = sums[n][2 + i] * factor[1];
    }
    row += 8 * stride;
  }
}

/// The other half: the outputs, from what the first half says.
template <uint32_t kStages>
__device__ void make_outputs(const ScanInput& input, const ScanPlace& place, float* out, uint32_t stride,
                             ScanShared<kStages>& shared) {
  const uint32_t chunks = DeltaNetWide::chunks(input.rows), lane = place.lane;
  constexpr float kQueryScale = 0.08838834764831845f;
  const float factor[2] = {kQueryScale / shared.scale[place.local()],
                           kQueryScale / shared.scale[place.local() + 8]};
  input.fetch(shared.output[0], 0, place.thread);
#pragma unroll 1
  for (uint32_t i = 0; i < chunks; ++i) {
    wait_fetches<0>();
    wait_at(kOutputGroup);
    const OutputStage& stage = shared.output[i % kStages];
    if (kStages > 1 && i + 1 < chunks) input.fetch(shared.output[(i + 1) % kStages], i + 1, place.thread);
    wait_at(kHasColumns);
    Sums sums = {};
#pragma unroll
    for (uint32_t j = 0; j < kState / 16; ++j) {
      multiply_keys(shared.columns[place.warp][j][lane], j, stage.q, lane, sums);
    }
#pragma unroll
    for (uint32_t n = 0; n < kChunk / 8; ++n) {
      const float2 decay = *reinterpret_cast<const float2*>(&stage.since_start[8 * n + 2 * (lane % 4)]);
      sums[n][0] *= decay.x, sums[n][1] *= decay.y, sums[n][2] *= decay.x, sums[n][3] *= decay.y;
    }
    wait_at(kHasCorrections);
#pragma unroll
    for (uint32_t s = 0; s < kEdges; ++s) {
      Split left;
      left.read(shared.corrections[place.warp][s][0][lane], shared.corrections[place.warp][s][1][lane]);
      multiply_tiles(left, s, stage.p, lane, sums);
    }
    const uint32_t first = i * kChunk + 2 * (lane % 4);
    float* row = out + uint64_t{first} * stride;
    if ((i + 1) * kChunk <= input.rows) {
      write_outputs<true>(sums, factor, row, stride, kChunk);
    } else if (first < input.rows) {
      write_outputs<false>(sums, factor, row, stride, input.rows - first);
    }
    if (kStages == 1 && i + 1 < chunks) {
      wait_at(kOutputGroup);
      input.fetch(shared.output[0], i + 1, place.thread);
    }
  }
}

/// Grid (columns / kScanColumns, value heads). With two stages the next chunk is fetched meanwhile.
template <uint32_t kStages>
__global__ void __launch_bounds__(kScanThreads, 1)
    scan_kernel(DeltaNetArguments a, DeltaNetWide wide, uint32_t rows) {
  extern __shared__ __align__(1024) std::byte memory[];
  auto& shared = *reinterpret_cast<ScanShared<kStages>*>(memory);
  const uint32_t head = blockIdx.y, slice = blockIdx.x, thread = threadIdx.x % kGroupThreads;
  const ScanPlace place{head, slice, thread % 32, thread / 32, thread};
  const bool advances = threadIdx.x < kGroupThreads;
  replay(a, wide, head, slice, shared.start);
  wait_for_earlier();
  const float peak = largest_value(a, wide, head, rows, shared.start);
  Columns columns;
  if (advances) {
    columns.load(place, shared.start, peak, rows);
    if (place.lane % 4 == 0) {
      shared.scale[place.local()] = columns.scale[0], shared.scale[place.local() + 8] = columns.scale[1];
    }
  }
  __syncthreads();
  const ScanInput input(wide, head, head % a.key_heads, rows);
  if (advances) {
    const uint64_t first = uint64_t{head} * DeltaNetWide::groups(rows) * kState + place.column();
    const float* values = wide.values + first * DeltaNetWide::kGroup + 2 * (place.lane % 4);
    advance_state(input, place, values, shared, columns);
    columns.store(place, a.state.delta + (uint64_t{a.layer} * a.value_heads + head) * kState * kState);
  } else {
    make_outputs(input, place, a.out + head * kState + place.column(), a.value_length(), shared);
  }
}

template <uint32_t kStages>
void run_scan(Queue& queue, const DeltaNetArguments& a, const DeltaNetWide& wide, uint32_t rows) {
  const auto kernel = scan_kernel<kStages>;
  constexpr size_t kBytes = sizeof(ScanShared<kStages>);
  queue.note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  launch(queue, kernel, dim3(kState / kScanColumns, a.value_heads), dim3(kScanThreads), kBytes, a, wide,
         rows);
}

}  // namespace

void launch_delta_net_scan(Queue& queue, const DeltaNetArguments& a, const DeltaNetWide& wide, uint32_t rows,
                           uint32_t shared_bytes) {
  if (shared_bytes >= sizeof(ScanShared<2>)) return run_scan<2>(queue, a, wide, rows);
  run_scan<1>(queue, a, wide, rows);
}

}  // namespace inlay::cuda
