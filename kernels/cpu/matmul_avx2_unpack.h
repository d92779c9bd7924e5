#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "formats/blocks.h"
#include "formats/tensor_type.h"
#include "kernels/cpu/matmul_internal.h"

// How 256 weights of each quantised type come into AVX2 registers, as matmul_avx512_unpack.h does it for
// AVX-512. Included by the AVX2 sources alone.
//
// Unpack<T>(bytes) reads the scales. Then, for each step S of 32 weights:
//   codes<S>()    32 bytes, one a weight in order, signed or not (kSignedCodes);
//   scales<S>()   8 floats, one for each four weights;
// and for the whole: minimums<I>(), to be subtracted: one for each 32 weights (kMinimums == kEach32, I = 0)
// or the I-th eight of one for each 16 (kEach16, I = 0, 1).
//     weight = scale * code - minimum

namespace inlay::cpu {
namespace {

enum class Minimums { kNone, kEach16, kEach32 };

template <typename T>
INLAY_INLINE T load_bytes(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

INLAY_INLINE __m256i load_32_bytes(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

/// Low nibbles of 16 bytes, then their high nibbles.
INLAY_INLINE __m256i low_then_high_nibbles(const void* from) {
  const __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(from)));
  const __m256i shifted = _mm256_srlv_epi64(twice, _mm256_set_epi64x(4, 4, 0, 0));
  return _mm256_and_si256(shifted, _mm256_set1_epi8(15));
}

INLAY_INLINE __m256i look_up(const int8_t* table, __m256i indices) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), indices);
}

/// Every byte's bit `kFrom` moved to bit `kTo`, or bits, for a wider mask; the others are 0.
template <int kFrom, int kTo, uint8_t kMask>
INLAY_INLINE __m256i move_bits(__m256i bytes) {
  const __m256i moved = kFrom > kTo   ? _mm256_srli_epi16(bytes, kFrom > kTo ? kFrom - kTo : 0)
                        : kFrom < kTo ? _mm256_slli_epi16(bytes, kFrom < kTo ? kTo - kFrom : 0)
                                      : bytes;
  return _mm256_and_si256(moved, _mm256_set1_epi8(static_cast<char>(kMask)));
}

/// Lane I of `groups` in all lanes.
template <int I>
INLAY_INLINE __m256 spread_one(__m256 groups) {
  return _mm256_permutevar8x32_ps(groups, _mm256_set1_epi32(I));
}

/// Lanes I and I + 1 of `groups`, four times each.
template <int I>
INLAY_INLINE __m256 spread_two(__m256 groups) {
  return _mm256_permutevar8x32_ps(groups, _mm256_set_epi32(I + 1, I + 1, I + 1, I + 1, I, I, I, I));
}

INLAY_INLINE __m256 bytes_to_floats(uint64_t bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(bytes))));
}
INLAY_INLINE __m256 signed_bytes_to_floats(__m128i bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

INLAY_INLINE __m256 broadcast_half(const StoredHalf& half) {
  return _mm256_cvtph_ps(_mm_set1_epi16(load_bytes<int16_t>(&half)));
}

/// A binary16 from each of eight blocks `kStride` bytes apart.
template <size_t kStride>
INLAY_INLINE __m256 halves_of_blocks(const void* from) {
  const uint8_t* p = static_cast<const uint8_t*>(from);
  const auto half = [p](int i) { return load_bytes<int16_t>(p + i * kStride); };
  return _mm256_cvtph_ps(
      _mm_set_epi16(half(7), half(6), half(5), half(4), half(3), half(2), half(1), half(0)));
}

/// 32 bits as the fifth bits of 32 codes.
INLAY_INLINE __m256i fifth_bits(const uint8_t* qh) {
  const __m256i bytes_in_place =
      _mm256_shuffle_epi8(_mm256_set1_epi32(load_bytes<int32_t>(qh)),
                          _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0));
  const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes_in_place, bit), bit);
  return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

template <TensorType T>
struct Unpack;

// Eight blocks of 32 weights, a step each.

template <typename Block_>
struct UnpackBlocks {
  using Block = Block_;
  static constexpr Minimums kMinimums = Minimums::kEach32;
  static constexpr bool kSignedCodes = false;
  const Block* blocks;
  __m256 d;

  INLAY_INLINE explicit UnpackBlocks(const std::byte* from)
      : blocks(reinterpret_cast<const Block*>(from)), d(halves_of_blocks<sizeof(Block)>(from)) {}
  template <int S>
  INLAY_INLINE __m256 scales() const {
    return spread_one<S>(d);
  }
};

template <>
struct Unpack<TensorType::Q4_0> : UnpackBlocks<BlockQ4_0> {
  using UnpackBlocks::UnpackBlocks;
  template <int S>
  INLAY_INLINE __m256i codes() const {
    return low_then_high_nibbles(blocks[S].qs);
  }
  template <int I>
  INLAY_INLINE __m256 minimums() const {
    return _mm256_mul_ps(d, _mm256_set1_ps(8.0f));
  }
};

template <>
struct Unpack<TensorType::Q4_1> : UnpackBlocks<BlockQ4_1> {
  using UnpackBlocks::UnpackBlocks;
  template <int S>
  INLAY_INLINE __m256i codes() const {
    return low_then_high_nibbles(blocks[S].qs);
  }
  template <int I>
  INLAY_INLINE __m256 minimums() const {
    return _mm256_sub_ps(_mm256_setzero_ps(), halves_of_blocks<sizeof(Block)>(&blocks->m));
  }
};

template <>
struct Unpack<TensorType::Q5_0> : UnpackBlocks<BlockQ5_0> {
  using UnpackBlocks::UnpackBlocks;
  template <int S>
  INLAY_INLINE __m256i codes() const {
    return _mm256_or_si256(low_then_high_nibbles(blocks[S].qs), fifth_bits(blocks[S].qh));
  }
  template <int I>
  INLAY_INLINE __m256 minimums() const {
    return _mm256_mul_ps(d, _mm256_set1_ps(16.0f));
  }
};

template <>
struct Unpack<TensorType::Q5_1> : UnpackBlocks<BlockQ5_1> {
  using UnpackBlocks::UnpackBlocks;
  template <int S>
  INLAY_INLINE __m256i codes() const {
    return _mm256_or_si256(low_then_high_nibbles(blocks[S].qs), fifth_bits(blocks[S].qh));
  }
  template <int I>
  INLAY_INLINE __m256 minimums() const {
    return _mm256_sub_ps(_mm256_setzero_ps(), halves_of_blocks<sizeof(Block)>(&blocks->m));
  }
};

template <>
struct Unpack<TensorType::Q8_0> : UnpackBlocks<BlockQ8_0> {
  using UnpackBlocks::UnpackBlocks;
  static constexpr Minimums kMinimums = Minimums::kNone;
  static constexpr bool kSignedCodes = true;
  template <int S>
  INLAY_INLINE __m256i codes() const {
    return load_32_bytes(blocks[S].qs);
  }
};

template <>
struct Unpack<TensorType::IQ4_NL> : UnpackBlocks<BlockIQ4_NL> {
  using UnpackBlocks::UnpackBlocks;
  static constexpr Minimums kMinimums = Minimums::kNone;
  static constexpr bool kSignedCodes = true;
  template <int S>
  INLAY_INLINE __m256i codes() const {
    return look_up(kIQ4Values, low_then_high_nibbles(blocks[S].qs));
  }
};

template <>
struct Unpack<TensorType::MXFP4> {
  using Block = BlockMXFP4;
  static constexpr bool kSignedCodes = true;
  static constexpr Minimums kMinimums = Minimums::kNone;
  const Block* blocks;
  __m256 d;

  INLAY_INLINE explicit Unpack(const std::byte* from) : blocks(reinterpret_cast<const Block*>(from)) {
    const __m256i e = _mm256_set_epi32(blocks[7].e, blocks[6].e, blocks[5].e, blocks[4].e, blocks[3].e,
                                       blocks[2].e, blocks[1].e, blocks[0].e);
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    const __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    d = _mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, small));
  }
  template <int S>
  INLAY_INLINE __m256i codes() const {
    return look_up(kDoubledE2M1Values, low_then_high_nibbles(blocks[S].qs));
  }
  template <int S>
  INLAY_INLINE __m256 scales() const {
    return spread_one<S>(d);
  }
};

// Four blocks of 64 weights, two steps each.

template <>
struct Unpack<TensorType::NVFP4> {
  using Block = BlockNVFP4;
  static constexpr bool kSignedCodes = true;
  static constexpr Minimums kMinimums = Minimums::kNone;
  const Block* blocks;
  __m256 d[2];

  INLAY_INLINE explicit Unpack(const std::byte* from) : blocks(reinterpret_cast<const Block*>(from)) {
    for (int i = 0; i < 2; ++i) {
      const uint64_t bytes = load_bytes<uint32_t>(blocks[2 * i].d) |
                             static_cast<uint64_t>(load_bytes<uint32_t>(blocks[2 * i + 1].d)) << 32;
      const __m128i magnitudes =
          _mm_and_si128(_mm_cvtsi64_si128(static_cast<int64_t>(bytes)), _mm_set1_epi8(0x7F));
      const __m128i numbers = _mm_andnot_si128(_mm_cmpeq_epi8(magnitudes, _mm_set1_epi8(0x7F)), magnitudes);
      // An E4M3 number's exponent and mantissa, moved up by 7 bits, are those of a binary16 that is 2^8 times
      // smaller; unlike arithmetic, the conversion takes subnormals whatever the host's floating-point mode
      // is.
      const __m256 scaled = _mm256_cvtph_ps(_mm_slli_epi16(_mm_cvtepu8_epi16(numbers), 7));
      d[i] = _mm256_mul_ps(scaled, _mm256_set1_ps(128.0f));
    }
  }
  template <int S>
  INLAY_INLINE __m256i codes() const {
    const void* from = blocks[S / 2].qs + S % 2 * 16;
    const __m128i qs = _mm_loadu_si128(static_cast<const __m128i*>(from));
    const __m256i twice = _mm256_permute4x64_epi64(_mm256_castsi128_si256(qs), 0x50);
    const __m256i shifted = _mm256_srlv_epi64(twice, _mm256_set_epi64x(4, 0, 4, 0));
    return look_up(kDoubledE2M1Values, _mm256_and_si256(shifted, _mm256_set1_epi8(15)));
  }
  template <int S>
  INLAY_INLINE __m256 scales() const {
    return spread_two<S % 4 * 2>(d[S / 4]);
  }
};

// One block of 256 weights; groups of 16 first.

template <>
struct Unpack<TensorType::Q2_K> {
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach16;
  const BlockQ2_K& block;
  __m256 group_scales[2];

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockQ2_K*>(from)) {
    for (int i = 0; i < 2; ++i) {
      const uint64_t low = load_bytes<uint64_t>(block.scales + 8 * i) & 0x0F0F0F0F0F0F0F0F;
      group_scales[i] = _mm256_mul_ps(bytes_to_floats(low), broadcast_half(block.d));
    }
  }
  template <int S>
  INLAY_INLINE __m256i codes() const {
    return move_bits<S % 4 * 2, 0, 3>(load_32_bytes(block.qs + S / 4 * 32));
  }
  template <int S>
  INLAY_INLINE __m256 scales() const {
    return spread_two<S % 4 * 2>(group_scales[S / 4]);
  }
  template <int I>
  INLAY_INLINE __m256 minimums() const {
    const uint64_t high = load_bytes<uint64_t>(block.scales + 8 * I) >> 4 & 0x0F0F0F0F0F0F0F0F;
    return _mm256_mul_ps(bytes_to_floats(high), broadcast_half(block.dmin));
  }
};

template <>
struct Unpack<TensorType::Q3_K> {
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach16;
  const BlockQ3_K& block;
  __m256 group_scales[2];

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockQ3_K*>(from)) {
    const uint32_t a = load_bytes<uint32_t>(block.scales);
    const uint32_t b = load_bytes<uint32_t>(block.scales + 4);
    const uint32_t c = load_bytes<uint32_t>(block.scales + 8);
    constexpr uint32_t kLow = 0x0F0F0F0F;
    constexpr uint32_t kHigh = 0x30303030;
    const uint64_t first =
        ((a & kLow) | ((c << 4) & kHigh)) | static_cast<uint64_t>((b & kLow) | ((c << 2) & kHigh)) << 32;
    const uint64_t second = (((a >> 4) & kLow) | (c & kHigh)) |
                            static_cast<uint64_t>(((b >> 4) & kLow) | ((c >> 2) & kHigh)) << 32;
    const __m256 d = broadcast_half(block.d);
    group_scales[0] = _mm256_mul_ps(_mm256_sub_ps(bytes_to_floats(first), _mm256_set1_ps(32.0f)), d);
    group_scales[1] = _mm256_mul_ps(_mm256_sub_ps(bytes_to_floats(second), _mm256_set1_ps(32.0f)), d);
  }
  template <int S>
  INLAY_INLINE __m256i codes() const {
    const __m256i pairs = move_bits<S % 4 * 2, 0, 3>(load_32_bytes(block.qs + S / 4 * 32));
    return _mm256_or_si256(pairs, move_bits<S, 2, 4>(load_32_bytes(block.hmask)));
  }
  template <int S>
  INLAY_INLINE __m256 scales() const {
    return spread_two<S % 4 * 2>(group_scales[S / 4]);
  }
  template <int I>
  INLAY_INLINE __m256 minimums() const {
    return _mm256_mul_ps(group_scales[I], _mm256_set1_ps(4.0f));
  }
};

template <>
struct Unpack<TensorType::Q6_K> {
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach16;
  const BlockQ6_K& block;
  __m256 group_scales[2];

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockQ6_K*>(from)) {
    for (int i = 0; i < 2; ++i) {
      const __m128i s = _mm_cvtsi64_si128(load_bytes<int64_t>(block.scales + 8 * i));
      group_scales[i] = _mm256_mul_ps(signed_bytes_to_floats(s), broadcast_half(block.d));
    }
  }
  template <int S>
  INLAY_INLINE __m256i codes() const {
    constexpr int kQuarter = S % 4;
    const __m256i ql = load_32_bytes(block.ql + S / 4 * 64 + kQuarter % 2 * 32);
    const __m256i qh = load_32_bytes(block.qh + S / 4 * 32);
    return _mm256_or_si256(move_bits<kQuarter / 2 * 4, 0, 15>(ql), move_bits<kQuarter * 2, 4, 48>(qh));
  }
  template <int S>
  INLAY_INLINE __m256 scales() const {
    return spread_two<S % 4 * 2>(group_scales[S / 4]);
  }
  template <int I>
  INLAY_INLINE __m256 minimums() const {
    return _mm256_mul_ps(group_scales[I], _mm256_set1_ps(32.0f));
  }
};

// Groups of 32.

/// Of Q4_K and Q5_K: the eight six-bit scales, or the eight minimums, as bytes.
INLAY_INLINE uint64_t six_bit_scales(const uint8_t* scales) {
  const uint32_t a = load_bytes<uint32_t>(scales);
  const uint32_t c = load_bytes<uint32_t>(scales + 8);
  return (a & 0x3F3F3F3F) | static_cast<uint64_t>((c & 0x0F0F0F0F) | ((a >> 2) & 0x30303030)) << 32;
}
INLAY_INLINE uint64_t six_bit_minimums(const uint8_t* scales) {
  const uint32_t b = load_bytes<uint32_t>(scales + 4);
  const uint32_t c = load_bytes<uint32_t>(scales + 8);
  return (b & 0x3F3F3F3F) | static_cast<uint64_t>(((c >> 4) & 0x0F0F0F0F) | ((b >> 2) & 0x30303030)) << 32;
}

template <typename Block>
struct UnpackSixBitScales {
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach32;
  const Block& block;
  __m256 groups;

  INLAY_INLINE explicit UnpackSixBitScales(const std::byte* from)
      : block(*reinterpret_cast<const Block*>(from)),
        groups(_mm256_mul_ps(bytes_to_floats(six_bit_scales(block.scales)), broadcast_half(block.d))) {}
  template <int S>
  INLAY_INLINE __m256 scales() const {
    return spread_one<S>(groups);
  }
  template <int I>
  INLAY_INLINE __m256 minimums() const {
    return _mm256_mul_ps(bytes_to_floats(six_bit_minimums(block.scales)), broadcast_half(block.dmin));
  }
};

template <>
struct Unpack<TensorType::Q4_K> : UnpackSixBitScales<BlockQ4_K> {
  using UnpackSixBitScales::UnpackSixBitScales;
  template <int S>
  INLAY_INLINE __m256i codes() const {
    return move_bits<S % 2 * 4, 0, 15>(load_32_bytes(block.qs + S / 2 * 32));
  }
};

template <>
struct Unpack<TensorType::Q5_K> : UnpackSixBitScales<BlockQ5_K> {
  using UnpackSixBitScales::UnpackSixBitScales;
  template <int S>
  INLAY_INLINE __m256i codes() const {
    const __m256i nibbles = move_bits<S % 2 * 4, 0, 15>(load_32_bytes(block.qs + S / 2 * 32));
    return _mm256_or_si256(nibbles, move_bits<S, 4, 16>(load_32_bytes(block.qh)));
  }
};

template <>
struct Unpack<TensorType::IQ4_XS> {
  static constexpr bool kSignedCodes = true;
  static constexpr Minimums kMinimums = Minimums::kNone;
  const BlockIQ4_XS& block;
  __m256 groups;

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockIQ4_XS*>(from)) {
    const __m256i nibbles = _mm256_srlv_epi32(_mm256_set1_epi32(load_bytes<int32_t>(block.scales_l)),
                                              _mm256_set_epi32(28, 24, 20, 16, 12, 8, 4, 0));
    const __m256i pairs = _mm256_srlv_epi32(_mm256_set1_epi32(load_bytes<uint16_t>(block.scales_h) << 4),
                                            _mm256_set_epi32(14, 12, 10, 8, 6, 4, 2, 0));
    const __m256i codes = _mm256_or_si256(_mm256_and_si256(nibbles, _mm256_set1_epi32(15)),
                                          _mm256_and_si256(pairs, _mm256_set1_epi32(48)));
    const __m256 s = _mm256_cvtepi32_ps(_mm256_sub_epi32(codes, _mm256_set1_epi32(32)));
    groups = _mm256_mul_ps(s, broadcast_half(block.d));
  }
  template <int S>
  INLAY_INLINE __m256i codes() const {
    return look_up(kIQ4Values, low_then_high_nibbles(block.qs + 16 * S));
  }
  template <int S>
  INLAY_INLINE __m256 scales() const {
    return spread_one<S>(groups);
  }
};

/// 8 weights as floats.
template <TensorType T>
INLAY_INLINE __m256 load_floats(const std::byte* from) {
  if constexpr (T == TensorType::F32) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(from));
  } else {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    if constexpr (T == TensorType::F16) return _mm256_cvtph_ps(values);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(values), 16));
  }
}

}  // namespace
}  // namespace inlay::cpu
