#include "kernels/cuda/delta_net_chunks.cuh"

// Of DeltaNet's chunks what knows nothing of the state.

namespace inlay::cuda {
namespace {

constexpr uint32_t kPrepareThreads = 32 * kEdges;

/// A warp's rows of q, then the tiles of its rows of A, and its tile on the diagonal.
union WarpRows {
  __half q[kEdge][kState];
  struct {
    uint4 left[kEdges - 1][2][32];  // tiles of A left of the diagonal, as operands: the two halves
    float diagonal[kEdge][kEdge];   // of A, then of T
  };
};

struct PrepareShared {
  __half k[kChunk][kState];
  WarpRows rows[kEdges];
  float decay[kChunk];  // logarithms of the decay from the chunk's start to a token
  float beta[kChunk];
};

/// A lane's places in a tile of 16 x 16 as two tiles of sums: element (row(h), column(n) + i) is at [n][2 * h
/// + i].
struct LanePlace {
  uint32_t lane;
  __device__ uint32_t row(uint32_t h) const { return lane / 4 + 8 * h; }
  __device__ uint32_t column(uint32_t n) const { return 8 * n + 2 * (lane % 4); }
};

/// Where the two halves of tiles of T or P go.
struct TileWriter {
  uint4* high;
  uint4* low;
  __device__ TileWriter(const DeltaNetWide& wide, uint64_t chunk, uint32_t matrix, uint32_t lane)
      : high(reinterpret_cast<uint4*>(wide.products + chunk * DeltaNetWide::kProductBytes) +
             matrix * 2 * kTiles * 32 + lane),
        low(high + kTiles * 32) {}
  __device__ void write(const Split& tile, uint32_t index) const {
    tile.write(high + index * 32, low + index * 32);
  }
};

/// A warp: the gates of a chunk, in shared memory and for the scan. Tokens from `rows` on change nothing.
__device__ void prepare_gates(const DeltaNetArguments& a, const DeltaNetWide& wide, uint64_t chunk,
                              uint32_t head, uint32_t first, uint32_t rows, uint32_t lane,
                              PrepareShared& shared) {
  float2 gate[2];
#pragma unroll
  for (uint32_t i = 0; i < 2; ++i) {
    const uint32_t row = first + 2 * lane + i;
    gate[i] = row < rows ? wide.gates[uint64_t{row} * a.value_heads + head] : make_float2(0.0f, 0.0f);
  }
  float until = gate[0].x + gate[1].x;
#pragma unroll
  for (uint32_t step = 1; step < 32; step *= 2) {
    const float before = __shfl_up_sync(~0u, until, step);
    if (lane >= step) until += before;
  }
  const float earlier = __shfl_up_sync(~0u, until, 1), whole = __shfl_sync(~0u, until, 31);
  const float decay[2] = {(lane == 0 ? 0.0f : earlier) + gate[0].x, until};
  float* to = wide.chunk_gates + chunk * 3 * kChunk;
#pragma unroll
  for (uint32_t i = 0; i < 2; ++i) {
    const uint32_t t = 2 * lane + i;
    shared.decay[t] = decay[i];
    shared.beta[t] = gate[i].y;
    to[t] = gate[i].y;
    to[kChunk + t] = __expf(decay[i]);
    to[2 * kChunk + t] = __expf(fminf(whole - decay[i], 0.0f));
  }
}

/// Tile (warp, column) of P to memory, and that of A to shared memory, from the keys' products.
__device__ void apply_gates(const float (&kk)[2][4], const float (&qk)[2][4], uint32_t warp, uint32_t column,
                            LanePlace place, const TileWriter& to, PrepareShared& shared) {
  float p[2][4], aa[2][4];
#pragma unroll
  for (uint32_t n = 0; n < 2; ++n) {
#pragma unroll
    for (uint32_t e = 0; e < 4; ++e) {
      const uint32_t t = warp * kEdge + place.row(e / 2), s = column * kEdge + place.column(n) + e % 2;
      const float decay = __expf(fminf(shared.decay[t] - shared.decay[s], 0.0f));
      p[n][e] = s <= t ? qk[n][e] * decay : 0.0f;
      aa[n][e] = s < t ? kk[n][e] * decay * shared.beta[t] : 0.0f;
    }
  }
  Split tile;
  tile.set_right(p[0], p[1]);
  to.write(tile, tile_index(warp, column));
  WarpRows& own = shared.rows[warp];
  if (column < warp) {
    tile.set_right(aa[0], aa[1]);
    tile.write(&own.left[column][0][place.lane], &own.left[column][1][place.lane]);
  } else {
#pragma unroll
    for (uint32_t n = 0; n < 2; ++n) {
#pragma unroll
      for (uint32_t e = 0; e < 4; ++e) own.diagonal[place.row(e / 2)][place.column(n) + e % 2] = aa[n][e];
    }
  }
}

/// (I + A)^-1 in the place of a strictly lower triangular A of 16 x 16; a lane has a column.
__device__ void invert(float (&tile)[kEdge][kEdge], uint32_t lane) {
  float x[kEdge];
#pragma unroll
  for (uint32_t i = 0; i < kEdge; ++i) {
    float sum[2] = {i == lane % kEdge ? 1.0f : 0.0f, 0.0f};
#pragma unroll
    for (uint32_t k = 0; k < i; ++k) sum[k % 2] = __fmaf_rn(-tile[i][k], x[k], sum[k % 2]);
    x[i] = sum[0] + sum[1];
  }
  __syncwarp();
  if (lane < kEdge) {
#pragma unroll
    for (uint32_t i = 0; i < kEdge; ++i) tile[i][lane] = x[i];
  }
}

/// A tile of T on the diagonal, as an operand on the right.
__device__ Split diagonal_tile(const float (&tile)[kEdge][kEdge], LanePlace place) {
  float x[2][4];
#pragma unroll
  for (uint32_t n = 0; n < 2; ++n) {
#pragma unroll
    for (uint32_t e = 0; e < 4; ++e) x[n][e] = tile[place.row(e / 2)][place.column(n) + e % 2];
  }
  Split split;
  split.set_right(x[0], x[1]);
  return split;
}

/// A warp: column `c` of T's tiles. Below the diagonal T[i][c] = -T[i][i] (sum of A[i][k] T[k][c] for c <= k
/// < i); transposed, each product's sums are the next one's left operand.
__device__ void solve_column(const PrepareShared& shared, uint32_t c, LanePlace place, const TileWriter& to) {
  const auto& diagonal = shared.rows[c].diagonal;
  to.write(diagonal_tile(diagonal, place), tile_index(c, c));
  float x[2][4];
#pragma unroll
  for (uint32_t n = 0; n < 2; ++n) {
#pragma unroll
    for (uint32_t e = 0; e < 4; ++e) x[n][e] = diagonal[place.column(n) + e % 2][place.row(e / 2)];
  }
  Split column[kEdges - 1];  // of T, transposed: from the diagonal down
  column[0].set_left(x[0], x[1]);
#pragma unroll
  for (uint32_t step = 0; step < kEdges - 1; ++step) {
    const uint32_t i = c + 1 + step;
    if (i >= kEdges) break;
    float sum[2][4] = {}, solved[2][4] = {};
#pragma unroll
    for (uint32_t k = 0; k <= step; ++k) {
      const auto& left = shared.rows[i].left[c + k];
      multiply_add(sum[0], sum[1], column[k], left[0][place.lane], left[1][place.lane]);
    }
#pragma unroll
    for (uint32_t e = 0; e < 4; ++e) sum[0][e] = -sum[0][e], sum[1][e] = -sum[1][e];
    Split left, right = diagonal_tile(shared.rows[i].diagonal, place);
    left.set_left(sum[0], sum[1]);
    multiply_add(solved[0], solved[1], left,
                 make_uint4(right.high[0], right.high[1], right.high[2], right.high[3]),
                 make_uint4(right.low[0], right.low[1], right.low[2], right.low[3]));
    Split tile;
    tile.set_left(solved[0], solved[1]);
    if (step + 1 < kEdges - 1) column[step + 1] = tile;
#pragma unroll
    for (uint32_t e = 0; e < 4; ++e) {
      tile.high[e] = transpose(tile.high[e]);
      tile.low[e] = transpose(tile.low[e]);
    }
    to.write(tile, tile_index(i, c));
  }
}

/// Grid (chunks, value heads); a warp has 16 rows of A and P, then 16 columns of T.
__global__ void __launch_bounds__(kPrepareThreads, 4)
    prepare_kernel(DeltaNetArguments a, DeltaNetWide wide, uint32_t rows) {
  __shared__ __align__(128) PrepareShared shared;
  const uint32_t head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t first = blockIdx.x * kChunk;
  const uint64_t chunk = uint64_t{head} * gridDim.x + blockIdx.x;
  const LanePlace place{lane};
  wait_for_earlier();
  const __half* q = keys_of(wide, head % a.key_heads, gridDim.x, blockIdx.x);
  fetch_bytes<sizeof(shared.k)>(shared.rows[0].q[0], q, threadIdx.x);
  fetch_bytes<sizeof(shared.k)>(shared.k[0], q + kChunk * kState, threadIdx.x);
  commit_fetches();
  if (warp == 0) prepare_gates(a, wide, chunk, head, first, rows, lane, shared);
  wait_fetches<0>();
  __syncthreads();

  uint32_t own_k[kState / 16][4], own_q[kState / 16][4];
#pragma unroll
  for (uint32_t j = 0; j < kState / 16; ++j) {
    const uint32_t at = vector_at(warp * kEdge + lane % 16, 2 * j + lane / 16) * 8;
    load_matrices(own_k[j], shared.k[0] + at);
    load_matrices(own_q[j], shared.rows[0].q[0] + at);
  }
  __syncwarp();
  const TileWriter to_p(wide, chunk, 1, lane);
#pragma unroll 1
  for (uint32_t column = 0; column <= warp; ++column) {
    float kk[2][4] = {}, qk[2][4] = {};
#pragma unroll
    for (uint32_t j = 0; j < kState / 16; ++j) {
      uint32_t k[4];
      const uint32_t row = column * kEdge + lane / 16 * 8 + lane % 8;
      load_matrices(k, shared.k[0] + vector_at(row, 2 * j + lane / 8 % 2) * 8);
#pragma unroll
      for (uint32_t n = 0; n < 2; ++n) {
        multiply_add_16x8x16(kk[n], own_k[j], k[2 * n], k[2 * n + 1]);
        multiply_add_16x8x16(qk[n], own_q[j], k[2 * n], k[2 * n + 1]);
      }
    }
    apply_gates(kk, qk, warp, column, place, to_p, shared);
  }
  __syncwarp();
  invert(shared.rows[warp].diagonal, lane);
  __syncthreads();
  solve_column(shared, warp, place, TileWriter(wide, chunk, 0, lane));
}

}  // namespace

void launch_delta_net_prepare(Queue& queue, const DeltaNetArguments& a, const DeltaNetWide& wide,
                              uint32_t rows) {
  launch(queue, prepare_kernel, dim3(DeltaNetWide::chunks(rows), a.value_heads), dim3(kPrepareThreads), 0, a,
         wide, rows);
}

}  // namespace inlay::cuda
