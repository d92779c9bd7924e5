#include "kernels/cpu/matmul_avx512_integer.h"

#include "kernels/cpu/matmul_avx512_narrow.h"

// The narrow products of blocks with integer scales. The weights of a block become 16-bit integers, scales
// included, once for all rows of X; then a row costs eight multiplications of 512 bits, and everything up to
// the block's sum is exact. Four rows of W are taken together, whose headers are read a block ahead: read
// late, the whole block would wait for them.

namespace inlay::cpu {
namespace {

/// Adds a step's products, those of even and of odd columns apart.
template <int S, int kRows, typename Block>
INLAY_INLINE void multiply_step(const Block& block, __m512i scales, const NarrowChunk* x,
                                __m512i (&even)[kRows], __m512i (&odd)[kRows]) {
  const StepWeights weights = scale_step<S>(block, scales);
  INLAY_UNROLL
  for (int row = 0; row < kRows; ++row) {
    const __m512i sum = S == 0 ? _mm512_setzero_si512() : even[row];
    even[row] = _mm512_dpwssd_epi32(sum, weights.even, _mm512_load_si512(x[row].codes + 64 * S));
  }
  INLAY_UNROLL
  for (int row = 0; row < kRows; ++row) {
    const __m512i sum = S == 0 ? _mm512_setzero_si512() : odd[row];
    odd[row] = _mm512_dpwssd_epi32(sum, weights.odd, _mm512_load_si512(x[row].codes + 64 * S + 32));
  }
}

/// A block's sums as floats. Both halves together may not fit 32 bits.
template <typename Block>
INLAY_INLINE __m512 block_sum(__m512i even, __m512i odd) {
  constexpr int64_t kLargest = int64_t{Block::kLargestProduct} * 32767 * (kChunkColumns / 16);
  static_assert(kLargest / 2 <= INT32_MAX);
  if constexpr (kLargest > INT32_MAX) {
    return _mm512_add_ps(_mm512_cvtepi32_ps(even), _mm512_cvtepi32_ps(odd));
  } else {
    return _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
  }
}

/// What four rows of W and kRows rows of X have summed up.
template <int kRows>
struct Totals {
  __m512 products[kHeaderRows][kRows];
  // To be subtracted, as Headers has them, where a scale is for 32 columns; else they are subtracted already.
  __m512 minimums[kHeaderRows / 2][kRows];
};

/// One block of each of four rows of W, `stride` bytes apart from `from` on; asks for the bytes at `next`.
template <typename Block, int kRows>
INLAY_INLINE void multiply_blocks(const std::byte* from, size_t stride, const std::byte* next,
                                  const Headers& headers, const NarrowChunk* x, Totals<kRows>& totals) {
  constexpr bool kPairs = Block::kScaleColumns == 32;
  if constexpr (kPairs) {
    INLAY_UNROLL
    for (int i = 0; i < 2; ++i) {
      const __m512 minimums = _mm512_load_ps(headers.minimums[i]);
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) {
        totals.minimums[i][row] =
            _mm512_fmadd_ps(minimums, _mm512_load_ps(x[row].sums32), totals.minimums[i][row]);
      }
    }
  }
  alignas(16) float units[kRows][kHeaderRows];
  INLAY_UNROLL
  for (int row = 0; row < kRows; ++row) {
    _mm_store_ps(units[row], _mm_mul_ps(_mm_load_ps(headers.units), _mm_set1_ps(x[row].scale)));
  }
  INLAY_UNROLL
  for (int i = 0; i < static_cast<int>(kHeaderRows); ++i) {
    prefetch_bytes<Block::kBytes>(next + i * Block::kBytes);
    const Block block(from + i * stride);
    const __m512i scales = _mm512_broadcast_i32x4(load_16_bytes(headers.scales[i]));
    __m512i even[kRows];
    __m512i odd[kRows];
    multiply_step<0>(block, scales, x, even, odd);
    multiply_step<1>(block, scales, x, even, odd);
    multiply_step<2>(block, scales, x, even, odd);
    multiply_step<3>(block, scales, x, even, odd);
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      totals.products[i][row] = _mm512_fmadd_ps(block_sum<Block>(even[row], odd[row]),
                                                _mm512_set1_ps(units[row][i]), totals.products[i][row]);
      if constexpr (!kPairs) {
        totals.products[i][row] = _mm512_fnmadd_ps(_mm512_load_ps(headers.minimums[i]),
                                                   _mm512_load_ps(x[row].sums16), totals.products[i][row]);
      }
    }
  }
}

/// The four rows' outputs for one row of X.
template <typename Block, int kRows>
INLAY_INLINE __m128 finish(const Totals<kRows>& totals, int row) {
  __m512 sums[kHeaderRows];
  INLAY_UNROLL
  for (int i = 0; i < static_cast<int>(kHeaderRows); ++i) {
    const __m512 products = totals.products[i][row];
    if constexpr (Block::kScaleColumns == 16) {
      sums[i] = products;
    } else {
      const __mmask16 own = i % 2 == 0 ? 0x00FF : 0xFF00;
      sums[i] = _mm512_mask_sub_ps(products, own, products, totals.minimums[i / 2][row]);
    }
  }
  const __m512 first =
      _mm512_add_ps(_mm512_unpacklo_ps(sums[0], sums[1]), _mm512_unpackhi_ps(sums[0], sums[1]));
  const __m512 second =
      _mm512_add_ps(_mm512_unpacklo_ps(sums[2], sums[3]), _mm512_unpackhi_ps(sums[2], sums[3]));
  const __m512 quads =
      _mm512_add_ps(_mm512_shuffle_ps(first, second, 0x44), _mm512_shuffle_ps(first, second, 0xEE));
  const __m256 pairs = _mm256_add_ps(_mm512_castps512_ps256(quads), _mm512_extractf32x8_ps(quads, 1));
  return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

template <TensorType T, int kRows>
void narrow(const MatmulArguments& a) {
  using Block = IntegerScaled<T>;
  const uint32_t chunks = a.weights.columns / kChunkColumns;
  const size_t stride = chunks * Block::kBytes;
  const std::byte* w = a.weights.data + a.n_begin * stride;
  Headers buffers[2];
  Headers* headers = &buffers[0];
  Headers* headers_ahead = &buffers[1];
  // Where fewer than four rows are left, the first of them stands in for the absent ones.
  size_t step = a.n_end - a.n_begin < kHeaderRows ? 0 : stride;
  prefetch_first(w, (a.n_end - a.n_begin) * stride, prefetch_distance(kHeaderRows * stride));
  Block::read_headers(w, step, *headers);
  for (uint32_t n = a.n_begin; n < a.n_end;) {
    const uint32_t count = step == 0 ? 1 : kHeaderRows;
    const std::byte* next_rows = w + count * stride;
    const uint32_t left = a.n_end - n - count;
    const size_t next_step = left < kHeaderRows ? 0 : stride;
    const NarrowChunk* x = static_cast<const NarrowChunk*>(a.prepared);
    Totals<kRows> totals;
    INLAY_UNROLL
    for (int i = 0; i < static_cast<int>(kHeaderRows); ++i) {
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) {
        totals.products[i][row] = totals.minimums[i / 2][row] = _mm512_setzero_ps();
      }
    }
    const std::byte* next = w + prefetch_distance(kHeaderRows * stride);
    for (uint32_t chunk = chunks; chunk-- > 0;) {
      const std::byte* from = w;
      w = chunk > 0 ? w + Block::kBytes : left > 0 ? next_rows : w;
      Block::read_headers(w, chunk > 0 ? step : next_step, *headers_ahead);
      multiply_blocks<Block>(from, step, next, *headers, x, totals);
      Headers* const spare = headers;
      headers = headers_ahead;
      headers_ahead = spare;
      next += kHeaderRows * Block::kBytes;
      x += kMaxNarrowRows;
    }
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      const __m128 out = _mm_mul_ps(finish<Block>(totals, row), _mm_set1_ps(a.weights.scale));
      float* to = a.out + row * a.out_stride + n;
      if (count == kHeaderRows) {
        _mm_storeu_ps(to, out);
      } else {
        _mm_store_ss(to, out);
      }
    }
    n += count;
    step = next_step;
  }
}

template <TensorType T>
void narrow_type(const MatmulArguments& a) {
  switch (a.rows) {
    case 1: return narrow<T, 1>(a);
    case 2: return narrow<T, 2>(a);
    case 3: return narrow<T, 3>(a);
    case 4: return narrow<T, 4>(a);
    case 5: return narrow<T, 5>(a);
    case 6: return narrow<T, 6>(a);
    case 7: return narrow<T, 7>(a);
    default: return narrow<T, 8>(a);
  }
}

}  // namespace

void narrow_integer_avx512(const MatmulArguments& a) {
  switch (a.weights.type) {
    case TensorType::Q2_K: return narrow_type<TensorType::Q2_K>(a);
    case TensorType::Q3_K: return narrow_type<TensorType::Q3_K>(a);
    case TensorType::Q4_K: return narrow_type<TensorType::Q4_K>(a);
    case TensorType::Q5_K: return narrow_type<TensorType::Q5_K>(a);
    case TensorType::Q6_K: return narrow_type<TensorType::Q6_K>(a);
    default: return narrow_type<TensorType::IQ4_XS>(a);
  }
}

}  // namespace inlay::cpu
