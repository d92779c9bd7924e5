#pragma once

#include <immintrin.h>

#include "kernels/cpu/matmul_avx512_unpack.h"

// Types whose blocks of 256 weights have integer scales and one float above them. A scale times a code fits
// 16 bits, and a block's sum of such products times 16-bit activations fits 32, so that within a block
// everything is an exact integer sum: whatever the order of its terms, the bits are the same.
//
// IntegerScaled<T> is about one block:
//   codes<S>()      of step S: 64 bytes, one an unsigned code in order;
//   kScaleColumns   16 or 32: columns that a scale is for;
//   kLargestProduct of a scale and a code.
// and read_headers() about the four blocks of four rows of W: their signed scales, units, and minimums.
//     weight = unit * scale * code - minimum

namespace inlay::cpu {
namespace {

inline constexpr uint32_t kHeaderRows = 4;

struct Headers {
  alignas(64) int8_t scales[kHeaderRows][16];
  // Of a row, 16 columns each; or of two rows, eight for each, 32 columns each.
  alignas(64) float minimums[kHeaderRows][16];
  alignas(16) float units[kHeaderRows];
};

template <TensorType T>
struct IntegerScaled;

INLAY_INLINE __m128i load_16_bytes(const void* from) {
  return _mm_loadu_si128(static_cast<const __m128i*>(from));
}

/// The first 16 bytes of four blocks.
INLAY_INLINE __m512i gather_blocks(const std::byte* from, size_t stride) {
  __m512i words = _mm512_castsi128_si512(load_16_bytes(from));
  words = _mm512_inserti32x4(words, load_16_bytes(from + stride), 1);
  words = _mm512_inserti32x4(words, load_16_bytes(from + 2 * stride), 2);
  return _mm512_inserti32x4(words, load_16_bytes(from + 3 * stride), 3);
}

/// Of Q4_K and Q5_K, which begin alike; see six_bit_scales.
INLAY_INLINE void read_six_bit_headers(const std::byte* from, size_t stride, Headers& headers) {
  const __m512i words = gather_blocks(from, stride);
  const __m512i low = _mm512_srlv_epi32(_mm512_shuffle_epi32(words, static_cast<_MM_PERM_ENUM>(0xED)),
                                        _mm512_broadcast_i32x4(_mm_set_epi32(4, 0, 0, 0)));
  const __m512i high = _mm512_shuffle_epi32(_mm512_srli_epi32(words, 2), static_cast<_MM_PERM_ENUM>(0xA5));
  const __m512i from_low =
      _mm512_broadcast_i32x4(_mm_set_epi32(0x0F0F0F0F, 0x3F3F3F3F, 0x0F0F0F0F, 0x3F3F3F3F));
  const __m512i merged = _mm512_ternarylogic_epi32(from_low, low, high, 0xCA);
  const __m512i codes = _mm512_and_si512(merged, _mm512_set1_epi8(0x3F));
  _mm512_store_si512(headers.scales, codes);

  const __m512i halves_at = _mm512_castsi128_si512(_mm_set_epi16(25, 17, 9, 1, 24, 16, 8, 0));
  const __m256 halves = _mm256_cvtph_ps(_mm512_castsi512_si128(_mm512_permutexvar_epi16(halves_at, words)));
  _mm_store_ps(headers.units, _mm256_castps256_ps128(halves));
  const __m256i minimums =
      _mm512_castsi512_si256(_mm512_permutexvar_epi64(_mm512_set_epi64(0, 0, 0, 0, 7, 5, 3, 1), codes));
  const __m512 first = bytes_to_floats(_mm256_castsi256_si128(minimums));
  const __m512 second = bytes_to_floats(_mm256_extracti128_si256(minimums, 1));
  const __m512i of_first = _mm512_set_epi32(5, 5, 5, 5, 5, 5, 5, 5, 4, 4, 4, 4, 4, 4, 4, 4);
  const __m512i of_second = _mm512_add_epi32(of_first, _mm512_set1_epi32(2));
  const __m512 units = _mm512_castps256_ps512(halves);
  _mm512_store_ps(headers.minimums[0], _mm512_mul_ps(first, _mm512_permutexvar_ps(of_first, units)));
  _mm512_store_ps(headers.minimums[1], _mm512_mul_ps(second, _mm512_permutexvar_ps(of_second, units)));
}

template <>
struct IntegerScaled<TensorType::Q4_K> {
  static constexpr int kScaleColumns = 32;
  static constexpr int kLargestProduct = 15 * 63;
  static constexpr size_t kBytes = sizeof(BlockQ4_K);
  const BlockQ4_K& block;

  INLAY_INLINE explicit IntegerScaled(const std::byte* from)
      : block(*reinterpret_cast<const BlockQ4_K*>(from)) {}
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const __m512i nibbles = _mm512_srlv_epi64(broadcast_32_bytes(block.qs + 32 * S), each_part(0, 0, 4, 4));
    return _mm512_and_si512(nibbles, _mm512_set1_epi8(15));
  }
  INLAY_INLINE static void read_headers(const std::byte* from, size_t stride, Headers& headers) {
    read_six_bit_headers(from, stride, headers);
  }
};

template <>
struct IntegerScaled<TensorType::Q5_K> : Unpack<TensorType::Q5_K> {
  static constexpr int kScaleColumns = 32;
  static constexpr int kLargestProduct = 31 * 63;
  static constexpr size_t kBytes = sizeof(BlockQ5_K);
  using Unpack::Unpack;
  INLAY_INLINE static void read_headers(const std::byte* from, size_t stride, Headers& headers) {
    read_six_bit_headers(from, stride, headers);
  }
};

template <>
struct IntegerScaled<TensorType::Q6_K> : Unpack<TensorType::Q6_K> {
  static constexpr int kScaleColumns = 16;
  static constexpr int kLargestProduct = 63 * 128;
  static constexpr size_t kBytes = sizeof(BlockQ6_K);
  using Unpack::Unpack;
  INLAY_INLINE static void read_headers(const std::byte* from, size_t stride, Headers& headers) {
    INLAY_UNROLL
    for (uint32_t i = 0; i < kHeaderRows; ++i) {
      const BlockQ6_K& block = *reinterpret_cast<const BlockQ6_K*>(from + i * stride);
      const __m128i scales = load_16_bytes(block.scales);
      _mm_store_si128(reinterpret_cast<__m128i*>(headers.scales[i]), scales);
      const __m512 unit = broadcast_half(block.d);
      headers.units[i] = _mm512_cvtss_f32(unit);
      const __m512 minimums =
          _mm512_mul_ps(signed_bytes_to_floats(scales), _mm512_mul_ps(unit, _mm512_set1_ps(32.0f)));
      _mm512_store_ps(headers.minimums[i], minimums);
    }
  }
};

template <>
struct IntegerScaled<TensorType::Q2_K> : Unpack<TensorType::Q2_K> {
  static constexpr int kScaleColumns = 16;
  static constexpr int kLargestProduct = 3 * 15;
  static constexpr size_t kBytes = sizeof(BlockQ2_K);
  using Unpack::Unpack;
  INLAY_INLINE static void read_headers(const std::byte* from, size_t stride, Headers& headers) {
    INLAY_UNROLL
    for (uint32_t i = 0; i < kHeaderRows; ++i) {
      const BlockQ2_K& block = *reinterpret_cast<const BlockQ2_K*>(from + i * stride);
      const __m128i pairs = load_16_bytes(block.scales);
      const __m128i low = _mm_set1_epi8(15);
      _mm_store_si128(reinterpret_cast<__m128i*>(headers.scales[i]), _mm_and_si128(pairs, low));
      headers.units[i] = _mm512_cvtss_f32(broadcast_half(block.d));
      const __m512 minimums = bytes_to_floats(_mm_and_si128(_mm_srli_epi16(pairs, 4), low));
      _mm512_store_ps(headers.minimums[i], _mm512_mul_ps(minimums, broadcast_half(block.dmin)));
    }
  }
};

template <>
struct IntegerScaled<TensorType::Q3_K> : Unpack<TensorType::Q3_K> {
  static constexpr int kScaleColumns = 16;
  static constexpr int kLargestProduct = 7 * 32;
  static constexpr size_t kBytes = sizeof(BlockQ3_K);
  using Unpack::Unpack;
  INLAY_INLINE static void read_headers(const std::byte* from, size_t stride, Headers& headers) {
    INLAY_UNROLL
    for (uint32_t i = 0; i < kHeaderRows; ++i) {
      const BlockQ3_K& block = *reinterpret_cast<const BlockQ3_K*>(from + i * stride);
      const __m128i scales = q3_k_scales(block);
      _mm_store_si128(reinterpret_cast<__m128i*>(headers.scales[i]), scales);
      const __m512 unit = broadcast_half(block.d);
      headers.units[i] = _mm512_cvtss_f32(unit);
      _mm512_store_ps(headers.minimums[i], _mm512_mul_ps(signed_bytes_to_floats(scales),
                                                         _mm512_mul_ps(unit, _mm512_set1_ps(4.0f))));
    }
  }
};

/// The table's values are made unsigned by adding 128, which the minimums take back.
template <>
struct IntegerScaled<TensorType::IQ4_XS> {
  static constexpr int kScaleColumns = 32;
  static constexpr int kLargestProduct = (113 + 128) * 32;
  static constexpr size_t kBytes = sizeof(BlockIQ4_XS);
  const BlockIQ4_XS& block;

  INLAY_INLINE explicit IntegerScaled(const std::byte* from)
      : block(*reinterpret_cast<const BlockIQ4_XS*>(from)) {}
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const uint8_t* qs = block.qs + 32 * S;
    const __m512i indices = alternate_nibbles(duplicate_two_16_bytes(qs, qs + 16));
    return _mm512_xor_si512(look_up(kIQ4Values, indices), _mm512_set1_epi8(-128));
  }
  INLAY_INLINE static void read_headers(const std::byte* from, size_t stride, Headers& headers) {
    INLAY_UNROLL
    for (uint32_t i = 0; i < kHeaderRows; ++i) {
      const BlockIQ4_XS& block = *reinterpret_cast<const BlockIQ4_XS*>(from + i * stride);
      const __m128i scales = iq4_xs_scales(block);
      _mm_store_si128(reinterpret_cast<__m128i*>(headers.scales[i]), scales);
      const __m512 unit = broadcast_half(block.d);
      headers.units[i] = _mm512_cvtss_f32(unit);
      const __m512 minimums =
          _mm512_mul_ps(signed_bytes_to_floats(scales), _mm512_mul_ps(unit, _mm512_set1_ps(128.0f)));
      _mm256_store_ps(headers.minimums[i / 2] + 8 * (i % 2), _mm512_castps512_ps256(minimums));
    }
  }
};

/// A step's scales spread over the even bytes of its codes; zeros at the odd ones.
template <int kScaleColumns, int S>
INLAY_INLINE __m512i spread_integer_scales(__m512i scales) {
  constexpr auto at = [](int part) {
    const int scale = kScaleColumns == 16 ? 4 * S + part : 2 * S + part / 2;
    return 0x8000800080008000u | static_cast<uint64_t>(scale) * 0x0001000100010001u;
  };
  return _mm512_shuffle_epi8(scales, each_part(at(0), at(1), at(2), at(3)));
}

/// 16-bit weights of one step: scales times codes, those of even columns apart from those of odd ones, as the
/// activations are stored.
struct StepWeights {
  __m512i even;
  __m512i odd;
};

template <int S, typename Block>
INLAY_INLINE StepWeights scale_step(const Block& block, __m512i scales) {
  const __m512i codes = block.template codes<S>();
  const __m512i spread = spread_integer_scales<Block::kScaleColumns, S>(scales);
  return {_mm512_maddubs_epi16(codes, spread), _mm512_maddubs_epi16(codes, _mm512_slli_epi16(spread, 8))};
}

}  // namespace
}  // namespace inlay::cpu
