// The products of FP8 weights, included once by each matmul_fp8_*.cpp, which fixes the instruction set by its
// compiler flags. As in ops_impl.h, only internal linkage and builtins here.
//
// A code does not fit the bytes that the other block types' products work on, so these decode to float and
// use the activations as they are. Narrow and wide are one: up to eight rows of X share a decoded weight.
#pragma once

#include <cstring>

#if defined(__AVX512F__) || defined(__F16C__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "formats/tensor_type.h"
#include "kernels/cpu/matmul_internal.h"

namespace inlay::cpu {
namespace {

constexpr uint32_t kLanes = 16;
constexpr uint32_t kBlockColumns = traits(TensorType::FP8).block_elements;
constexpr uint32_t kBlockBytes = traits(TensorType::FP8).block_bytes;
constexpr uint32_t kScaleBytes = 4;  // they stand before the codes
constexpr uint32_t kWeightRows = 4;  // of W that are taken together, so that X is read from near

typedef float Vector __attribute__((vector_size(64)));
typedef uint32_t VectorUint __attribute__((vector_size(64)));
typedef uint8_t VectorUbyte __attribute__((vector_size(16)));

/// 16 E4M3 numbers as floats. An E4M3 number's exponent and mantissa, moved up by 7 bits, are those of a
/// binary16 that is 2^8 times smaller; the conversion takes subnormals whatever the host's floating-point
/// mode is.
INLAY_INLINE Vector decode(const uint8_t* codes) {
  Vector values;
#if defined(__AVX512F__)
  const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x80)), 8);
  const __m256i magnitude = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x7F)), 7);
  const __m512 halves = _mm512_cvtph_ps(_mm256_or_si256(sign, magnitude));
  memcpy(&values, &halves, sizeof values);
  return values * 256.0f;
#elif defined(__F16C__)
  const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x80)), 8);
  const __m256i magnitude = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x7F)), 7);
  const __m256i both = _mm256_or_si256(sign, magnitude);
  const __m256 halves[2] = {_mm256_cvtph_ps(_mm256_castsi256_si128(both)),
                            _mm256_cvtph_ps(_mm256_extracti128_si256(both, 1))};
  memcpy(&values, halves, sizeof values);
  return values * 256.0f;
#elif defined(__aarch64__)
  const uint8x16_t bytes = vld1q_u8(codes);
  const uint16x8_t wide[2] = {vmovl_u8(vget_low_u8(bytes)), vmovl_u8(vget_high_u8(bytes))};
  float32x4_t floats[4];
  for (int i = 0; i < 2; ++i) {
    const uint16x8_t sign = vshlq_n_u16(vandq_u16(wide[i], vdupq_n_u16(0x80)), 8);
    const uint16x8_t magnitude = vshlq_n_u16(vandq_u16(wide[i], vdupq_n_u16(0x7F)), 7);
    const float16x8_t halves = vreinterpretq_f16_u16(vorrq_u16(sign, magnitude));
    floats[2 * i] = vcvt_f32_f16(vget_low_f16(halves));
    floats[2 * i + 1] = vcvt_f32_f16(vget_high_f16(halves));
  }
  memcpy(&values, floats, sizeof values);
  return values * 256.0f;
#else
  VectorUbyte bytes;
  memcpy(&bytes, codes, sizeof bytes);
  const VectorUint wide = __builtin_convertvector(bytes, VectorUint);
  const VectorUint normal_bits = ((wide & 0x7Fu) << 20) + (120u << 23);
  Vector normal;
  memcpy(&normal, &normal_bits, sizeof normal);
  const Vector small = __builtin_convertvector(wide & 7u, Vector) * 0x1p-9f;
  const Vector magnitude = (wide & 0x78u) == 0u ? small : normal;
  VectorUint bits;
  memcpy(&bits, &magnitude, sizeof bits);
  bits |= (wide & 0x80u) << 24;
  memcpy(&values, &bits, sizeof values);
  return values;
#endif
}

INLAY_INLINE Vector load(const float* from) {
  Vector vector;
  memcpy(&vector, from, sizeof vector);
  return vector;
}

INLAY_INLINE Vector multiply_add(Vector a, Vector b, Vector c) {
#if defined(__AVX512F__)
  __m512 x, y, z;
  memcpy(&x, &a, sizeof x);
  memcpy(&y, &b, sizeof y);
  memcpy(&z, &c, sizeof z);
  z = _mm512_fmadd_ps(x, y, z);
  memcpy(&c, &z, sizeof c);
  return c;
#elif defined(__FMA__)
  __m256 x[2], y[2], z[2];
  memcpy(x, &a, sizeof x);
  memcpy(y, &b, sizeof y);
  memcpy(z, &c, sizeof z);
  z[0] = _mm256_fmadd_ps(x[0], y[0], z[0]);
  z[1] = _mm256_fmadd_ps(x[1], y[1], z[1]);
  memcpy(&c, z, sizeof c);
  return c;
#elif defined(__aarch64__)
  float32x4_t x[4], y[4], z[4];
  memcpy(x, &a, sizeof x);
  memcpy(y, &b, sizeof y);
  memcpy(z, &c, sizeof z);
  for (int i = 0; i < 4; ++i) z[i] = vfmaq_f32(z[i], x[i], y[i]);
  memcpy(&c, z, sizeof c);
  return c;
#else
  return a * b + c;
#endif
}

/// The sum of the lanes, in one fixed order.
INLAY_INLINE float sum(Vector vector) {
  float lanes[kLanes];
  memcpy(lanes, &vector, sizeof lanes);
  for (uint32_t width = kLanes / 2; width > 0; width /= 2) {
    for (uint32_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

/// Adds the products of one block of W with as many columns of each row of X.
template <uint32_t kRows>
INLAY_INLINE void multiply_block(const uint8_t* block, const float* x, size_t x_stride, Vector* totals) {
  float d;
  memcpy(&d, block, sizeof d);
  Vector sums[kRows];
  INLAY_UNROLL
  for (uint32_t row = 0; row < kRows; ++row) sums[row] = totals[row];
  for (uint32_t k = 0; k < kBlockColumns; k += kLanes) {
    const Vector weights = decode(block + kScaleBytes + k) * d;
    INLAY_UNROLL
    for (uint32_t row = 0; row < kRows; ++row) {
      sums[row] = multiply_add(weights, load(x + row * x_stride + k), sums[row]);
    }
  }
  INLAY_UNROLL
  for (uint32_t row = 0; row < kRows; ++row) totals[row] = sums[row];
}

template <uint32_t kRows>
void multiply_rows(const MatmulArguments& a, uint32_t first_row) {
  const uint32_t blocks = a.weights.columns / kBlockColumns;
  const size_t w_stride = size_t{blocks} * kBlockBytes;
  const float* x = a.x + first_row * a.x_stride;
  for (uint32_t n = a.n_begin; n < a.n_end; n += kWeightRows) {
    const uint32_t count = a.n_end - n < kWeightRows ? a.n_end - n : kWeightRows;
    const auto* w = reinterpret_cast<const uint8_t*>(a.weights.data) + n * w_stride;
    Vector totals[kWeightRows][kRows] = {};
    for (uint32_t block = 0; block < blocks; ++block) {
      for (uint32_t i = 0; i < count; ++i) {
        multiply_block<kRows>(w + i * w_stride + size_t{block} * kBlockBytes,
                              x + size_t{block} * kBlockColumns, a.x_stride, totals[i]);
      }
    }
    for (uint32_t i = 0; i < count; ++i) {
      for (uint32_t row = 0; row < kRows; ++row) {
        a.out[(first_row + row) * a.out_stride + n + i] = sum(totals[i][row]) * a.weights.scale;
      }
    }
  }
}

/// Any number of rows.
void multiply(const MatmulArguments& a) {
  uint32_t row = 0;
  for (; row + kMaxNarrowRows <= a.rows; row += kMaxNarrowRows) multiply_rows<kMaxNarrowRows>(a, row);
  switch (a.rows - row) {
    case 1: return multiply_rows<1>(a, row);
    case 2: return multiply_rows<2>(a, row);
    case 3: return multiply_rows<3>(a, row);
    case 4: return multiply_rows<4>(a, row);
    case 5: return multiply_rows<5>(a, row);
    case 6: return multiply_rows<6>(a, row);
    case 7: return multiply_rows<7>(a, row);
    default: return;
  }
}

}  // namespace
}  // namespace inlay::cpu
