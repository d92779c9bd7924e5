#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/matmul_avx512_narrow.h"
#include "kernels/cpu/matmul_avx512_unpack.h"
#include "kernels/cpu/matmul_internal.h"

// The narrow products with AVX-512 and VNNI: a row of W at a time is read once, straight through, and
// multiplied with 1..8 rows of X. Codes become 16-bit words, those of even columns in one register and those
// of odd columns in another, as the activations are stored.

namespace inlay::cpu {
namespace {

/// The sum of the lanes, in one fixed order.
INLAY_INLINE float sum(__m512 lanes) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

template <bool kSigned>
INLAY_INLINE __m512i even_codes(__m512i codes) {
  if constexpr (kSigned) {
    return _mm512_srai_epi16(_mm512_slli_epi16(codes, 8), 8);
  } else {
    return _mm512_and_si512(codes, _mm512_set1_epi16(0x00FF));
  }
}

template <bool kSigned>
INLAY_INLINE __m512i odd_codes(__m512i codes) {
  return kSigned ? _mm512_srai_epi16(codes, 8) : _mm512_srli_epi16(codes, 8);
}

/// Asks for the cache lines from line `kBegin` to line `kEnd` behind `from`.
template <size_t kBegin, size_t kEnd>
INLAY_INLINE void prefetch(const std::byte* from) {
  INLAY_UNROLL
  for (size_t i = kBegin; i < kEnd; ++i)
    _mm_prefetch(reinterpret_cast<const char*>(from + 64 * i), _MM_HINT_T0);
}

/// Where the weights to fetch next are: a fixed distance ahead of those in use, to the end of the call's own.
/// The first of them are asked for at once.
class Ahead {
 public:
  INLAY_INLINE Ahead(const std::byte* from, const std::byte* end, size_t group_bytes) : end_(end) {
    const size_t distance = prefetch_distance(group_bytes);
    const size_t own = static_cast<size_t>(end - from);
    const size_t first = own < distance ? own : distance;
    for (size_t i = 0; i < first; i += 64) _mm_prefetch(reinterpret_cast<const char*>(from + i), _MM_HINT_T0);
    next_ = from + distance;
  }
  /// Passes over `bytes` bytes, which the caller asks for; at the end, a place that is there already.
  INLAY_INLINE const std::byte* pass(size_t bytes, const std::byte* in_use) {
    const std::byte* next = next_ < end_ ? next_ : in_use;
    next_ += bytes;
    return next;
  }

 private:
  const std::byte* next_;
  const std::byte* end_;
};

/// One step of 64 columns for all rows, and a quarter of the `kLines` cache lines to fetch.
template <int S, size_t kLines, int kRows, typename Weights>
INLAY_INLINE void multiply_step(const Weights& weights, const std::byte* next, const NarrowChunk* chunks,
                                __m512 (&sums)[kRows]) {
  prefetch<S * kLines / 4, (S + 1) * kLines / 4>(next);
  const __m512i codes = weights.template codes<S>();
  const __m512i even = even_codes<Weights::kSignedCodes>(codes);
  const __m512i odd = odd_codes<Weights::kSignedCodes>(codes);
  const __m512 scales = weights.template scales<S>();
  INLAY_UNROLL
  for (int row = 0; row < kRows; ++row) {
    const int16_t* x = chunks[row].codes + 64 * S;
    __m512i dots = _mm512_dpwssd_epi32(_mm512_setzero_si512(), even, _mm512_load_si512(x));
    dots = _mm512_dpwssd_epi32(dots, odd, _mm512_load_si512(x + 32));
    const __m512 products = _mm512_cvtepi32_ps(dots);
    sums[row] = S == 0 ? _mm512_mul_ps(products, scales) : _mm512_fmadd_ps(products, scales, sums[row]);
  }
}

template <TensorType T>
inline constexpr size_t kChunkBytes = kChunkColumns / traits(T).block_elements* traits(T).block_bytes;

/// Adds a chunk of one row of W, times a chunk of each row of X, to `totals`; fetches the bytes at `next`.
template <TensorType T, int kRows>
INLAY_INLINE void multiply_chunk(const std::byte* from, const std::byte* next, const NarrowChunk* chunks,
                                 __m512 (&totals)[kRows]) {
  constexpr size_t kLines = (kChunkBytes<T> + 63) / 64;
  const Unpack<T> weights(from);
  __m512 sums[kRows];
  multiply_step<0, kLines>(weights, next, chunks, sums);
  multiply_step<1, kLines>(weights, next, chunks, sums);
  multiply_step<2, kLines>(weights, next, chunks, sums);
  multiply_step<3, kLines>(weights, next, chunks, sums);
  INLAY_UNROLL
  for (int row = 0; row < kRows; ++row) {
    totals[row] = _mm512_fmadd_ps(sums[row], _mm512_set1_ps(chunks[row].scale), totals[row]);
  }
  if constexpr (Unpack<T>::kMinimums != Minimums::kNone) {
    static_assert(Unpack<T>::kMinimums == Minimums::kEach16);
    const __m512 minimums = weights.minimums();
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      totals[row] = _mm512_fnmadd_ps(minimums, _mm512_load_ps(chunks[row].sums16), totals[row]);
    }
  }
}

/// Rows of W that are taken together, so that a chunk of X, once in the L1 cache, is used for all of them.
/// The processor does not see ahead in so many streams, but the next group's bytes lie behind this one's
/// without a gap: a group's time is spent fetching them.
constexpr uint32_t kWeightRows = 8;

template <TensorType T, int kRows>
void narrow_blocks(const MatmulArguments& a) {
  constexpr TensorTypeTraits kType = traits(T);
  const uint32_t whole_chunks = a.weights.columns / kChunkColumns;
  const size_t w_stride = static_cast<size_t>(a.weights.columns / kType.block_elements) * kType.block_bytes;
  const size_t tail_bytes = w_stride - whole_chunks * kChunkBytes<T>;

  Ahead ahead(a.weights.data + a.n_begin * w_stride, a.weights.data + a.n_end * w_stride,
              kWeightRows * w_stride);
  for (uint32_t n = a.n_begin; n < a.n_end; n += kWeightRows) {
    const uint32_t count = a.n_end - n < kWeightRows ? a.n_end - n : kWeightRows;
    const NarrowChunk* chunks = static_cast<const NarrowChunk*>(a.prepared);
    __m512 totals[kWeightRows][kRows];
    for (uint32_t i = 0; i < count; ++i) {
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) totals[i][row] = _mm512_setzero_ps();
    }
    const std::byte* w = a.weights.data + n * w_stride;
    for (uint32_t chunk = 0; chunk < whole_chunks; ++chunk, w += kChunkBytes<T>) {
      for (uint32_t i = 0; i < count; ++i) {
        INLAY_FORGET(chunks);
        const std::byte* from = w + i * w_stride;
        multiply_chunk<T>(from, ahead.pass(kChunkBytes<T>, from), chunks, totals[i]);
      }
      chunks += kMaxNarrowRows;
    }
    if (tail_bytes != 0) {
      for (uint32_t i = 0; i < count; ++i) {
        std::byte tail[kChunkBytes<T>] = {};
        std::memcpy(tail, w + i * w_stride, tail_bytes);
        multiply_chunk<T>(tail, ahead.pass(tail_bytes, tail), chunks, totals[i]);
      }
    }
    for (uint32_t i = 0; i < count; ++i) {
      for (int row = 0; row < kRows; ++row) {
        a.out[row * a.out_stride + n + i] = sum(totals[i][row]) * a.weights.scale;
      }
    }
  }
}

/// Adds the products of `columns` columns, those of even and of odd groups of 16 apart; fetches the as many
/// weights at `next`.
template <TensorType T, int kRows>
INLAY_INLINE void multiply_floats(const std::byte* w, const std::byte* next, const float* x, size_t x_stride,
                                  uint32_t columns, __m512 (&even)[kRows], __m512 (&odd)[kRows]) {
  constexpr size_t kBytes = traits(T).block_bytes;
  uint32_t k = 0;
  for (; k + 32 <= columns; k += 32) {
    prefetch<0, kBytes / 2>(next + k * kBytes);
    const __m512 first = load_floats<T>(w + k * kBytes, 0xFFFF);
    const __m512 second = load_floats<T>(w + (k + 16) * kBytes, 0xFFFF);
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      const float* x_row = x + row * x_stride + k;
      even[row] = _mm512_fmadd_ps(first, _mm512_loadu_ps(x_row), even[row]);
      odd[row] = _mm512_fmadd_ps(second, _mm512_loadu_ps(x_row + 16), odd[row]);
    }
  }
  for (; k < columns; k += 16) {
    const uint32_t left = columns - k;
    const __mmask16 mask = static_cast<__mmask16>(left < 16 ? (1u << left) - 1 : 0xFFFF);
    const __m512 weights = load_floats<T>(w + k * kBytes, mask);
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      const __m512 x_row = _mm512_maskz_loadu_ps(mask, x + row * x_stride + k);
      even[row] = _mm512_fmadd_ps(weights, x_row, even[row]);
    }
  }
}

template <TensorType T, int kRows>
void narrow_floats(const MatmulArguments& a) {
  constexpr size_t kBytes = traits(T).block_bytes;
  const uint32_t columns = a.weights.columns;
  const size_t w_stride = columns * kBytes;
  Ahead ahead(a.weights.data + a.n_begin * w_stride, a.weights.data + a.n_end * w_stride,
              kWeightRows * w_stride);
  for (uint32_t n = a.n_begin; n < a.n_end; n += kWeightRows) {
    const uint32_t count = a.n_end - n < kWeightRows ? a.n_end - n : kWeightRows;
    __m512 even[kWeightRows][kRows];
    __m512 odd[kWeightRows][kRows];
    for (uint32_t i = 0; i < count; ++i) {
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) even[i][row] = odd[i][row] = _mm512_setzero_ps();
    }
    const std::byte* w = a.weights.data + n * w_stride;
    for (uint32_t k = 0; k < columns; k += kChunkColumns) {
      const uint32_t part = columns - k < kChunkColumns ? columns - k : kChunkColumns;
      for (uint32_t i = 0; i < count; ++i) {
        const std::byte* from = w + i * w_stride + k * kBytes;
        const std::byte* next = ahead.pass(part * kBytes, from);
        multiply_floats<T>(from, next, a.x + k, a.x_stride, part, even[i], odd[i]);
      }
    }
    for (uint32_t i = 0; i < count; ++i) {
      for (int row = 0; row < kRows; ++row) {
        a.out[row * a.out_stride + n + i] = sum(_mm512_add_ps(even[i][row], odd[i][row])) * a.weights.scale;
      }
    }
  }
}

template <TensorType T, int kRows>
void narrow(const MatmulArguments& a) {
  if constexpr (has_integer_scales(T)) {
    narrow_integer_avx512(a);
  } else if constexpr (is_float(T)) {
    narrow_floats<T, kRows>(a);
  } else {
    narrow_blocks<T, kRows>(a);
  }
}

using NarrowFunction = void (*)(const MatmulArguments&);

#define INLAY_NARROW_ROWS(name, number, elements, bytes)                                  \
  {narrow<TensorType::name, 1>, narrow<TensorType::name, 2>, narrow<TensorType::name, 3>, \
   narrow<TensorType::name, 4>, narrow<TensorType::name, 5>, narrow<TensorType::name, 6>, \
   narrow<TensorType::name, 7>, narrow<TensorType::name, 8>},
constexpr NarrowFunction kNarrow[kTensorTypeCount][kMaxNarrowRows] = {
    INLAY_FOR_EACH_TENSOR_TYPE(INLAY_NARROW_ROWS)};
#undef INLAY_NARROW_ROWS

/// Codes, sums and scale of the (up to) 256 columns at `x`.
void prepare_chunk(const float* x, uint32_t columns, NarrowChunk& chunk) {
  constexpr int kVectors = kChunkColumns / 16;
  __m512 values[kVectors];
  __m512i magnitude = _mm512_setzero_si512();
  INLAY_UNROLL
  for (int i = 0; i < kVectors; ++i) {
    const int left = static_cast<int>(columns) - 16 * i;
    const __mmask16 mask = static_cast<__mmask16>(left >= 16 ? 0xFFFF : left <= 0 ? 0 : (1u << left) - 1);
    values[i] = _mm512_maskz_loadu_ps(mask, x + 16 * i);
    const __m512i bits = _mm512_and_si512(_mm512_castps_si512(values[i]), _mm512_set1_epi32(0x7FFFFFFF));
    magnitude = _mm512_max_epi32(magnitude, bits);
  }
  // Compared as integers, magnitudes order as floats do, with infinities and NaNs last.
  const __m512 largest =
      _mm512_set1_ps(_mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(_mm512_reduce_max_epi32(magnitude)))));
  const float amax = _mm512_cvtss_f32(largest);
  const bool finite = amax < __builtin_inff();
  const bool tiny = amax < 0x1p-100f;
  const float inverse = finite && !tiny ? 32767.0f / amax : 0.0f;
  chunk.scale = !finite ? __builtin_nanf("") : tiny ? 0.0f : amax / 32767.0f;

  const __m512i evens = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30,
                                         28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odds = _mm512_or_si512(evens, _mm512_set1_epi16(1));
  int32_t sums[kVectors];
  for (int step = 0; step < kVectors / 4; ++step) {
    __m256i words[4];
    INLAY_UNROLL
    for (int i = 0; i < 4; ++i) {
      const __m512 scaled = _mm512_mul_ps(values[4 * step + i], _mm512_set1_ps(inverse));
      const __m512i codes = _mm512_cvtps_epi32(scaled);
      sums[4 * step + i] = _mm512_reduce_add_epi32(codes);
      words[i] = _mm512_cvtepi32_epi16(codes);
    }
    const __m512i first = _mm512_inserti64x4(_mm512_castsi256_si512(words[0]), words[1], 1);
    const __m512i second = _mm512_inserti64x4(_mm512_castsi256_si512(words[2]), words[3], 1);
    _mm512_store_si512(chunk.codes + 64 * step, _mm512_permutex2var_epi16(first, evens, second));
    _mm512_store_si512(chunk.codes + 64 * step + 32, _mm512_permutex2var_epi16(first, odds, second));
  }
  for (int i = 0; i < kVectors; ++i) chunk.sums16[i] = static_cast<float>(sums[i]) * chunk.scale;
  for (int i = 0; i < 8; ++i) {
    // In floats, which hold both exactly: the codes of what is no number would overflow an integer.
    const float sum = (static_cast<float>(sums[2 * i]) + static_cast<float>(sums[2 * i + 1])) * chunk.scale;
    chunk.sums32[i] = chunk.sums32[8 + i] = sum;
  }
}

}  // namespace

void prepare_narrow_avx512(const float* x, size_t stride, uint32_t row_begin, uint32_t row_end,
                           uint32_t columns, void* prepared) {
  for (uint32_t row = row_begin; row < row_end; ++row) {
    NarrowChunk* chunk = static_cast<NarrowChunk*>(prepared) + row;
    for (uint32_t k = 0; k < columns; k += kChunkColumns, chunk += kMaxNarrowRows) {
      const uint32_t left = columns - k;
      prepare_chunk(x + row * stride + k, left < kChunkColumns ? left : kChunkColumns, *chunk);
    }
  }
}

void narrow_avx512(const MatmulArguments& a) {
  if (a.weights.type == TensorType::FP8) return multiply_fp8_avx512(a);
  kNarrow[static_cast<int>(a.weights.type)][a.rows - 1](a);
}

}  // namespace inlay::cpu
