#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/matmul_avx2_unpack.h"
#include "kernels/cpu/matmul_internal.h"

// The narrow products with AVX2 and FMA: matmul_avx512.cpp at half its width.

namespace inlay::cpu {
namespace {

/// The sum of the lanes, in one fixed order.
INLAY_INLINE float sum(__m256 lanes) {
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
  const __m128 pair = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
}

template <bool kSigned>
INLAY_INLINE __m256i even_codes(__m256i codes) {
  if constexpr (kSigned) {
    return _mm256_srai_epi16(_mm256_slli_epi16(codes, 8), 8);
  } else {
    return _mm256_and_si256(codes, _mm256_set1_epi16(0x00FF));
  }
}

template <bool kSigned>
INLAY_INLINE __m256i odd_codes(__m256i codes) {
  return kSigned ? _mm256_srai_epi16(codes, 8) : _mm256_srli_epi16(codes, 8);
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

/// One step of 32 columns for all rows, and an eighth of the `kLines` cache lines to fetch.
template <int S, size_t kLines, int kRows, typename Weights>
INLAY_INLINE void multiply_step(const Weights& weights, const std::byte* next,
                                const ActivationChunk* const (&chunks)[kRows], __m256 (&sums)[kRows]) {
  prefetch<S * kLines / 8, (S + 1) * kLines / 8>(next);
  const __m256i codes = weights.template codes<S>();
  const __m256i even = even_codes<Weights::kSignedCodes>(codes);
  const __m256i odd = odd_codes<Weights::kSignedCodes>(codes);
  const __m256 scales = weights.template scales<S>();
  INLAY_UNROLL
  for (int row = 0; row < kRows; ++row) {
    const __m256i* x = reinterpret_cast<const __m256i*>(chunks[row]->codes + 32 * S);
    const __m256i dots = _mm256_add_epi32(_mm256_madd_epi16(even, _mm256_load_si256(x)),
                                          _mm256_madd_epi16(odd, _mm256_load_si256(x + 1)));
    const __m256 products = _mm256_cvtepi32_ps(dots);
    sums[row] = S == 0 ? _mm256_mul_ps(products, scales) : _mm256_fmadd_ps(products, scales, sums[row]);
  }
}

template <typename Weights, int kRows>
INLAY_INLINE void subtract_minimums(const Weights& weights, const ActivationChunk* const (&chunks)[kRows],
                                    __m256 (&sums)[kRows]) {
  if constexpr (Weights::kMinimums == Minimums::kEach32) {
    const __m256 minimums = weights.template minimums<0>();
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      sums[row] = _mm256_fnmadd_ps(minimums, _mm256_load_ps(chunks[row]->sums32 + 8), sums[row]);
    }
  } else if constexpr (Weights::kMinimums == Minimums::kEach16) {
    const __m256 first = weights.template minimums<0>();
    const __m256 second = weights.template minimums<1>();
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      sums[row] = _mm256_fnmadd_ps(first, _mm256_load_ps(chunks[row]->sums16), sums[row]);
      sums[row] = _mm256_fnmadd_ps(second, _mm256_load_ps(chunks[row]->sums16 + 8), sums[row]);
    }
  }
}

template <TensorType T>
inline constexpr size_t kChunkBytes = kChunkColumns / traits(T).block_elements* traits(T).block_bytes;

/// Adds a chunk of one row of W, times a chunk of each row of X, to `totals`; fetches the bytes at `next`.
template <TensorType T, int kRows>
INLAY_INLINE void multiply_chunk(const std::byte* from, const std::byte* next,
                                 const ActivationChunk* const (&chunks)[kRows], __m256 (&totals)[kRows]) {
  constexpr size_t kLines = (kChunkBytes<T> + 63) / 64;
  const Unpack<T> weights(from);
  __m256 sums[kRows];
  multiply_step<0, kLines>(weights, next, chunks, sums);
  multiply_step<1, kLines>(weights, next, chunks, sums);
  multiply_step<2, kLines>(weights, next, chunks, sums);
  multiply_step<3, kLines>(weights, next, chunks, sums);
  multiply_step<4, kLines>(weights, next, chunks, sums);
  multiply_step<5, kLines>(weights, next, chunks, sums);
  multiply_step<6, kLines>(weights, next, chunks, sums);
  multiply_step<7, kLines>(weights, next, chunks, sums);
  subtract_minimums(weights, chunks, sums);
  INLAY_UNROLL
  for (int row = 0; row < kRows; ++row) {
    totals[row] = _mm256_fmadd_ps(sums[row], _mm256_set1_ps(chunks[row]->scale), totals[row]);
  }
}

/// Rows of W that are taken together, as in matmul_avx512.cpp.
constexpr uint32_t kWeightRows = 8;

template <TensorType T, int kRows>
void narrow_blocks(const MatmulArguments& a) {
  constexpr TensorTypeTraits kType = traits(T);
  const uint32_t whole_chunks = a.weights.columns / kChunkColumns;
  const size_t w_stride = static_cast<size_t>(a.weights.columns / kType.block_elements) * kType.block_bytes;
  const size_t tail_bytes = w_stride - whole_chunks * kChunkBytes<T>;
  const size_t x_stride = prepared_stride(a.weights.columns);

  Ahead ahead(a.weights.data + a.n_begin * w_stride, a.weights.data + a.n_end * w_stride,
              kWeightRows * w_stride);
  for (uint32_t n = a.n_begin; n < a.n_end; n += kWeightRows) {
    const uint32_t count = a.n_end - n < kWeightRows ? a.n_end - n : kWeightRows;
    const ActivationChunk* chunks[kRows];
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      chunks[row] = reinterpret_cast<const ActivationChunk*>(static_cast<const std::byte*>(a.prepared) +
                                                             row * x_stride);
    }
    __m256 totals[kWeightRows][kRows];
    for (uint32_t i = 0; i < count; ++i) {
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) totals[i][row] = _mm256_setzero_ps();
    }
    const std::byte* w = a.weights.data + n * w_stride;
    for (uint32_t chunk = 0; chunk < whole_chunks; ++chunk, w += kChunkBytes<T>) {
      for (uint32_t i = 0; i < count; ++i) {
        INLAY_UNROLL
        for (int row = 0; row < kRows; ++row) INLAY_FORGET(chunks[row]);
        const std::byte* from = w + i * w_stride;
        multiply_chunk<T>(from, ahead.pass(kChunkBytes<T>, from), chunks, totals[i]);
      }
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) ++chunks[row];
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

/// Adds the products of `columns` columns, those of even and of odd groups of 8 apart; fetches the as many
/// weights at `next`.
template <TensorType T, int kRows>
INLAY_INLINE void multiply_floats(const std::byte* w, const std::byte* next, const float* x, size_t x_stride,
                                  uint32_t columns, __m256 (&even)[kRows], __m256 (&odd)[kRows]) {
  constexpr size_t kBytes = traits(T).block_bytes;
  uint32_t k = 0;
  for (; k + 16 <= columns; k += 16) {
    prefetch<0, 1>(next + k * kBytes);
    const __m256 first = load_floats<T>(w + k * kBytes);
    const __m256 second = load_floats<T>(w + (k + 8) * kBytes);
    INLAY_UNROLL
    for (int row = 0; row < kRows; ++row) {
      const float* x_row = x + row * x_stride + k;
      even[row] = _mm256_fmadd_ps(first, _mm256_loadu_ps(x_row), even[row]);
      odd[row] = _mm256_fmadd_ps(second, _mm256_loadu_ps(x_row + 8), odd[row]);
    }
  }
  if (k == columns) return;
  const uint32_t left = columns - k;
  alignas(32) std::byte w_tail[16 * kBytes] = {};
  std::memcpy(w_tail, w + k * kBytes, left * kBytes);
  const __m256 first = load_floats<T>(w_tail);
  const __m256 second = load_floats<T>(w_tail + 8 * kBytes);
  for (int row = 0; row < kRows; ++row) {
    alignas(32) float x_tail[16] = {};
    std::memcpy(x_tail, x + row * x_stride + k, left * sizeof(float));
    even[row] = _mm256_fmadd_ps(first, _mm256_load_ps(x_tail), even[row]);
    odd[row] = _mm256_fmadd_ps(second, _mm256_load_ps(x_tail + 8), odd[row]);
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
    __m256 even[kWeightRows][kRows];
    __m256 odd[kWeightRows][kRows];
    for (uint32_t i = 0; i < count; ++i) {
      INLAY_UNROLL
      for (int row = 0; row < kRows; ++row) even[i][row] = odd[i][row] = _mm256_setzero_ps();
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
        a.out[row * a.out_stride + n + i] = sum(_mm256_add_ps(even[i][row], odd[i][row])) * a.weights.scale;
      }
    }
  }
}

template <TensorType T, int kRows>
void narrow(const MatmulArguments& a) {
  if constexpr (is_float(T)) {
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

INLAY_INLINE int32_t sum(__m256i lanes) {
  const __m128i quarter = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  const __m128i pair = _mm_add_epi32(quarter, _mm_unpackhi_epi64(quarter, quarter));
  return _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32(pair, 1)));
}

/// The largest magnitude's bits: compared as integers, magnitudes order as floats do, with infinities and
/// NaNs last.
int32_t largest_magnitude(const float* x) {
  __m256i largest = _mm256_setzero_si256();
  for (uint32_t i = 0; i < kChunkColumns; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF)));
  }
  __m128i half = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  half = _mm_max_epi32(half, _mm_unpackhi_epi64(half, half));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 1));
  return _mm_cvtsi128_si32(half);
}

/// Codes, sums and scale of the 256 columns at `x`. Each 32 columns' codes are stored as 16 even and 16 odd.
void prepare_chunk(const float* x, ActivationChunk& chunk) {
  const float amax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(largest_magnitude(x))));
  const bool finite = amax < __builtin_inff();
  const bool tiny = amax < 0x1p-100f;
  const float inverse = finite && !tiny ? 32767.0f / amax : 0.0f;
  chunk.scale = !finite ? __builtin_nanf("") : tiny ? 0.0f : amax / 32767.0f;

  for (int group = 0; group < 8; ++group) {
    __m256i codes[4];
    for (int i = 0; i < 4; ++i) {
      const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + 32 * group + 8 * i), _mm256_set1_ps(inverse));
      codes[i] = _mm256_cvtps_epi32(scaled);
    }
    const int32_t sum0 = sum(_mm256_add_epi32(codes[0], codes[1]));
    const int32_t sum1 = sum(_mm256_add_epi32(codes[2], codes[3]));
    chunk.sums16[2 * group] = static_cast<float>(sum0);
    chunk.sums16[2 * group + 1] = static_cast<float>(sum1);
    chunk.sums32[group] = 0.0f;
    chunk.sums32[8 + group] = static_cast<float>(sum0 + sum1);
    alignas(32) int32_t values[32];
    for (int i = 0; i < 4; ++i) _mm256_store_si256(reinterpret_cast<__m256i*>(values + 8 * i), codes[i]);
    for (int i = 0; i < 16; ++i) {
      chunk.codes[32 * group + i] = static_cast<int16_t>(values[2 * i]);
      chunk.codes[32 * group + 16 + i] = static_cast<int16_t>(values[2 * i + 1]);
    }
  }
}

}  // namespace

void prepare_narrow_avx2(const float* x, size_t stride, uint32_t row_begin, uint32_t row_end,
                         uint32_t columns, void* prepared) {
  for (uint32_t row = row_begin; row < row_end; ++row) {
    std::byte* to = static_cast<std::byte*>(prepared) + row * prepared_stride(columns);
    ActivationChunk* chunk = reinterpret_cast<ActivationChunk*>(to);
    for (uint32_t k = 0; k < columns; k += kChunkColumns, ++chunk) {
      const float* from = x + row * stride + k;
      if (columns - k >= kChunkColumns) {
        prepare_chunk(from, *chunk);
      } else {
        float tail[kChunkColumns] = {};
        std::memcpy(tail, from, (columns - k) * sizeof(float));
        prepare_chunk(tail, *chunk);
      }
    }
  }
}

void narrow_avx2(const MatmulArguments& a) {
  if (a.weights.type == TensorType::FP8) return multiply_fp8_avx2(a);
  kNarrow[static_cast<int>(a.weights.type)][a.rows - 1](a);
}

}  // namespace inlay::cpu
