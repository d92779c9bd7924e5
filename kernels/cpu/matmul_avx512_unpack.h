#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "formats/blocks.h"
#include "formats/tensor_type.h"
#include "kernels/cpu/matmul_internal.h"

// How 256 weights of each quantised type come into AVX-512 registers. Included by the AVX-512 sources alone;
// everything is in an unnamed namespace (see matmul_internal.h).
//
// Unpack<T>(bytes) reads the scales. Then, for each step S of 64 weights:
//   codes<S>()    64 bytes, one a weight in order, signed or not (kSignedCodes);
//   scales<S>()   16 floats, one for each four weights;
// and for the whole: minimums(), to be subtracted: one for each 16 weights (kMinimums == kEach16), or in the
// upper eight lanes one for each 32 (kEach32).
//     weight = scale * code - minimum
// Codes from high nibbles may stay where they are, times 16: their scale is then divided by 16.

namespace inlay::cpu {
namespace {

enum class Minimums { kNone, kEach16, kEach32 };

template <typename T>
inline T load_bytes(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

INLAY_INLINE __m512i broadcast_32_bytes(const void* from) {
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
}

/// [first, first, second, second], 16 bytes each.
INLAY_INLINE __m512i duplicate_two_16_bytes(const void* first, const void* second) {
  const __m512i both = _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(first)));
  return _mm512_mask_broadcast_i32x4(both, 0xFF00, _mm_loadu_si128(static_cast<const __m128i*>(second)));
}

/// A value for each 128-bit part.
INLAY_INLINE __m512i each_part(uint64_t part0, uint64_t part1, uint64_t part2, uint64_t part3) {
  return _mm512_set_epi64(static_cast<int64_t>(part3), static_cast<int64_t>(part3),
                          static_cast<int64_t>(part2), static_cast<int64_t>(part2),
                          static_cast<int64_t>(part1), static_cast<int64_t>(part1),
                          static_cast<int64_t>(part0), static_cast<int64_t>(part0));
}

inline constexpr uint64_t kLowNibbles = 0x0F0F0F0F0F0F0F0F;
inline constexpr uint64_t kHighNibbles = 0xF0F0F0F0F0F0F0F0;

/// Low nibbles of the even 128-bit parts, high nibbles of the odd ones.
INLAY_INLINE __m512i alternate_nibbles(__m512i bytes) {
  return _mm512_and_si512(_mm512_srlv_epi64(bytes, each_part(0, 4, 0, 4)), _mm512_set1_epi8(15));
}

INLAY_INLINE __m512i look_up(const int8_t* table, __m512i indices) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), indices);
}

/// Where `from` has its bits within kMask, those of `low`; elsewhere those of `high`.
template <uint8_t kMask>
INLAY_INLINE __m512i merge_bits(__m512i low, __m512i high) {
  return _mm512_ternarylogic_epi64(_mm512_set1_epi8(static_cast<char>(kMask)), low, high, 0xCA);
}

/// The groups' scales spread over a step's lanes, a group of 16 weights being four lanes.
template <int S>
INLAY_INLINE __m512 spread_each16(__m512 groups) {
  const __m512i lanes = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
  return _mm512_permutexvar_ps(_mm512_add_epi32(lanes, _mm512_set1_epi32(4 * S)), groups);
}

/// The same, a group of 32 weights being eight lanes.
template <int S>
INLAY_INLINE __m512 spread_each32(__m512 groups) {
  const __m512i lanes = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_permutexvar_ps(_mm512_add_epi32(lanes, _mm512_set1_epi32(2 * S)), groups);
}

INLAY_INLINE __m512 bytes_to_floats(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)); }
INLAY_INLINE __m512 signed_bytes_to_floats(__m128i bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

INLAY_INLINE __m512 broadcast_half(const StoredHalf& half) {
  return _mm512_cvtph_ps(_mm256_set1_epi16(load_bytes<int16_t>(&half)));
}

/// A binary16 from each of eight blocks `stride` bytes apart, each twice.
template <size_t kStride>
INLAY_INLINE __m512 halves_of_blocks(const uint8_t* from) {
  const auto four = [from](int first) {
    const uint8_t* p = from + first * kStride;
    return static_cast<uint64_t>(load_bytes<uint16_t>(p)) |
           static_cast<uint64_t>(load_bytes<uint16_t>(p + kStride)) << 16 |
           static_cast<uint64_t>(load_bytes<uint16_t>(p + 2 * kStride)) << 32 |
           static_cast<uint64_t>(load_bytes<uint16_t>(p + 3 * kStride)) << 48;
  };
  const __m128i halves = _mm_set_epi64x(static_cast<int64_t>(four(4)), static_cast<int64_t>(four(0)));
  const __m256i twice = _mm256_set_epi16(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
  return _mm512_cvtph_ps(_mm256_permutexvar_epi16(twice, _mm256_castsi128_si256(halves)));
}

/// 1 for groups of low nibbles, 1/16 for groups of high ones, of 16 weights each.
INLAY_INLINE __m512 nibble_units() { return _mm512_castsi512_ps(_mm512_set1_epi64(0x3D8000003F800000)); }

template <TensorType T>
struct Unpack;

// Eight blocks of 32 weights, each block two groups of 16.

template <>
struct Unpack<TensorType::Q4_0> {
  using Block = BlockQ4_0;
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach16;
  const Block* blocks;
  __m512 d;

  INLAY_INLINE explicit Unpack(const std::byte* from)
      : blocks(reinterpret_cast<const Block*>(from)),
        d(halves_of_blocks<sizeof(Block)>(reinterpret_cast<const uint8_t*>(from))) {}
  template <int S>
  INLAY_INLINE __m512i codes() const {
    return _mm512_and_si512(duplicate_two_16_bytes(blocks[2 * S].qs, blocks[2 * S + 1].qs),
                            each_part(kLowNibbles, kHighNibbles, kLowNibbles, kHighNibbles));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each16<S>(_mm512_mul_ps(d, nibble_units()));
  }
  INLAY_INLINE __m512 minimums() const { return _mm512_mul_ps(d, _mm512_set1_ps(8.0f)); }
};

template <>
struct Unpack<TensorType::Q4_1> {
  using Block = BlockQ4_1;
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach16;
  const Block* blocks;
  __m512 d;

  INLAY_INLINE explicit Unpack(const std::byte* from)
      : blocks(reinterpret_cast<const Block*>(from)),
        d(halves_of_blocks<sizeof(Block)>(reinterpret_cast<const uint8_t*>(from))) {}
  template <int S>
  INLAY_INLINE __m512i codes() const {
    return _mm512_and_si512(duplicate_two_16_bytes(blocks[2 * S].qs, blocks[2 * S + 1].qs),
                            each_part(kLowNibbles, kHighNibbles, kLowNibbles, kHighNibbles));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each16<S>(_mm512_mul_ps(d, nibble_units()));
  }
  INLAY_INLINE __m512 minimums() const {
    const __m512 m = halves_of_blocks<sizeof(Block)>(reinterpret_cast<const uint8_t*>(&blocks->m));
    return _mm512_sub_ps(_mm512_setzero_ps(), m);
  }
};

/// The fifth bits of two blocks, set on their codes.
INLAY_INLINE __m512i set_fifth_bits(__m512i nibbles, const uint8_t* qh0, const uint8_t* qh1) {
  const uint64_t bits = load_bytes<uint32_t>(qh0) | static_cast<uint64_t>(load_bytes<uint32_t>(qh1)) << 32;
  return _mm512_mask_add_epi8(nibbles, bits, nibbles, _mm512_set1_epi8(16));
}

template <>
struct Unpack<TensorType::Q5_0> {
  using Block = BlockQ5_0;
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach16;
  const Block* blocks;
  __m512 d;

  INLAY_INLINE explicit Unpack(const std::byte* from)
      : blocks(reinterpret_cast<const Block*>(from)),
        d(halves_of_blocks<sizeof(Block)>(reinterpret_cast<const uint8_t*>(from))) {}
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const Block& first = blocks[2 * S];
    const Block& second = blocks[2 * S + 1];
    return set_fifth_bits(alternate_nibbles(duplicate_two_16_bytes(first.qs, second.qs)), first.qh,
                          second.qh);
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each16<S>(d);
  }
  INLAY_INLINE __m512 minimums() const { return _mm512_mul_ps(d, _mm512_set1_ps(16.0f)); }
};

template <>
struct Unpack<TensorType::Q5_1> {
  using Block = BlockQ5_1;
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach16;
  const Block* blocks;
  __m512 d;

  INLAY_INLINE explicit Unpack(const std::byte* from)
      : blocks(reinterpret_cast<const Block*>(from)),
        d(halves_of_blocks<sizeof(Block)>(reinterpret_cast<const uint8_t*>(from))) {}
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const Block& first = blocks[2 * S];
    const Block& second = blocks[2 * S + 1];
    return set_fifth_bits(alternate_nibbles(duplicate_two_16_bytes(first.qs, second.qs)), first.qh,
                          second.qh);
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each16<S>(d);
  }
  INLAY_INLINE __m512 minimums() const {
    const __m512 m = halves_of_blocks<sizeof(Block)>(reinterpret_cast<const uint8_t*>(&blocks->m));
    return _mm512_sub_ps(_mm512_setzero_ps(), m);
  }
};

template <>
struct Unpack<TensorType::Q8_0> {
  using Block = BlockQ8_0;
  static constexpr bool kSignedCodes = true;
  static constexpr Minimums kMinimums = Minimums::kNone;
  const Block* blocks;
  __m512 d;

  INLAY_INLINE explicit Unpack(const std::byte* from)
      : blocks(reinterpret_cast<const Block*>(from)),
        d(halves_of_blocks<sizeof(Block)>(reinterpret_cast<const uint8_t*>(from))) {}
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(blocks[2 * S].qs));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(blocks[2 * S + 1].qs));
    return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each16<S>(d);
  }
};

template <>
struct Unpack<TensorType::IQ4_NL> {
  using Block = BlockIQ4_NL;
  static constexpr bool kSignedCodes = true;
  static constexpr Minimums kMinimums = Minimums::kNone;
  const Block* blocks;
  __m512 d;

  INLAY_INLINE explicit Unpack(const std::byte* from)
      : blocks(reinterpret_cast<const Block*>(from)),
        d(halves_of_blocks<sizeof(Block)>(reinterpret_cast<const uint8_t*>(from))) {}
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const __m512i bytes = duplicate_two_16_bytes(blocks[2 * S].qs, blocks[2 * S + 1].qs);
    return look_up(kIQ4Values, alternate_nibbles(bytes));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each16<S>(d);
  }
};

template <>
struct Unpack<TensorType::MXFP4> {
  using Block = BlockMXFP4;
  static constexpr bool kSignedCodes = true;
  static constexpr Minimums kMinimums = Minimums::kNone;
  const Block* blocks;
  __m512 d;

  INLAY_INLINE explicit Unpack(const std::byte* from) : blocks(reinterpret_cast<const Block*>(from)) {
    uint64_t exponents = 0;
    for (int i = 0; i < 8; ++i) exponents |= static_cast<uint64_t>(blocks[i].e) << (8 * i);
    const __m512i e = _mm512_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(exponents)));
    const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    const __m512i subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    const __mmask16 small = _mm512_cmplt_epu32_mask(e, _mm512_set1_epi32(2));
    d = _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, small, subnormal));
  }
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const __m512i bytes = duplicate_two_16_bytes(blocks[2 * S].qs, blocks[2 * S + 1].qs);
    return look_up(kDoubledE2M1Values, alternate_nibbles(bytes));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each32<S>(d);
  }
};

// Four blocks of 64 weights.

template <>
struct Unpack<TensorType::NVFP4> {
  using Block = BlockNVFP4;
  static constexpr bool kSignedCodes = true;
  static constexpr Minimums kMinimums = Minimums::kNone;
  const Block* blocks;
  __m512 d;

  INLAY_INLINE explicit Unpack(const std::byte* from) : blocks(reinterpret_cast<const Block*>(from)) {
    const __m128i bytes = _mm_set_epi32(load_bytes<int32_t>(blocks[3].d), load_bytes<int32_t>(blocks[2].d),
                                        load_bytes<int32_t>(blocks[1].d), load_bytes<int32_t>(blocks[0].d));
    const __m128i magnitudes = _mm_and_si128(bytes, _mm_set1_epi8(0x7F));
    // An E4M3 number's exponent and mantissa, moved up by 7 bits, are those of a binary16 that is 2^8 times
    // smaller; unlike arithmetic, the conversion takes subnormals whatever the host's floating-point mode is.
    const __m512 scaled = _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(magnitudes), 7));
    const __mmask16 numbers = _mm_cmpneq_epi8_mask(magnitudes, _mm_set1_epi8(0x7F));
    d = _mm512_maskz_mul_ps(numbers, scaled, _mm512_set1_ps(128.0f));
  }
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const __m256i qs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(blocks[S].qs));
    const __m512i twice =
        _mm512_permutexvar_epi64(_mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0), _mm512_castsi256_si512(qs));
    const __m512i shifted = _mm512_srlv_epi64(twice, _mm512_set_epi64(4, 0, 4, 0, 4, 0, 4, 0));
    return look_up(kDoubledE2M1Values, _mm512_and_si512(shifted, _mm512_set1_epi8(15)));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each16<S>(d);
  }
};

// One block of 256 weights.

template <>
struct Unpack<TensorType::Q2_K> {
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach16;
  const BlockQ2_K& block;
  __m512 group_scales;
  __m512 group_minimums;

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockQ2_K*>(from)) {
    const __m512i pairs =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block.scales)));
    const __m512 s = _mm512_cvtepi32_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(15)));
    const __m512 m = _mm512_cvtepi32_ps(_mm512_srli_epi32(pairs, 4));
    group_scales = _mm512_mul_ps(s, broadcast_half(block.d));
    group_minimums = _mm512_mul_ps(m, broadcast_half(block.dmin));
  }
  template <int S>
  INLAY_INLINE __m512i codes() const {
    constexpr int kShift = S % 2 * 4;
    const __m512i counts = each_part(kShift, kShift, kShift + 2, kShift + 2);
    const __m512i shifted = _mm512_srlv_epi64(broadcast_32_bytes(block.qs + S / 2 * 32), counts);
    return _mm512_and_si512(shifted, _mm512_set1_epi8(3));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each16<S>(group_scales);
  }
  INLAY_INLINE __m512 minimums() const { return group_minimums; }
};

/// The 16 scales of a block, signed.
INLAY_INLINE __m128i q3_k_scales(const BlockQ3_K& block) {
  const uint32_t a = load_bytes<uint32_t>(block.scales);
  const uint32_t b = load_bytes<uint32_t>(block.scales + 4);
  const uint32_t c = load_bytes<uint32_t>(block.scales + 8);
  constexpr uint32_t kLow = 0x0F0F0F0F;
  constexpr uint32_t kHigh = 0x30303030;
  const uint64_t first =
      ((a & kLow) | ((c << 4) & kHigh)) | static_cast<uint64_t>((b & kLow) | ((c << 2) & kHigh)) << 32;
  const uint64_t second =
      (((a >> 4) & kLow) | (c & kHigh)) | static_cast<uint64_t>(((b >> 4) & kLow) | ((c >> 2) & kHigh)) << 32;
  const __m128i codes = _mm_set_epi64x(static_cast<int64_t>(second), static_cast<int64_t>(first));
  return _mm_sub_epi8(codes, _mm_set1_epi8(32));
}

template <>
struct Unpack<TensorType::Q3_K> {
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach16;
  const BlockQ3_K& block;
  __m512 group_scales;

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockQ3_K*>(from)) {
    const __m512 s = signed_bytes_to_floats(q3_k_scales(block));
    group_scales = _mm512_mul_ps(s, broadcast_half(block.d));
  }
  template <int S>
  INLAY_INLINE __m512i codes() const {
    constexpr int kShift = S % 2 * 4;
    const __m512i counts = each_part(kShift, kShift, kShift + 2, kShift + 2);
    const __m512i pairs = _mm512_srlv_epi64(broadcast_32_bytes(block.qs + S / 2 * 32), counts);
    constexpr uint64_t kFirst = (2 - 2 * S) & 63;
    constexpr uint64_t kSecond = (2 - (2 * S + 1)) & 63;
    const __m512i bits =
        _mm512_rolv_epi64(broadcast_32_bytes(block.hmask), each_part(kFirst, kFirst, kSecond, kSecond));
    return _mm512_and_si512(merge_bits<3>(pairs, bits), _mm512_set1_epi8(7));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each16<S>(group_scales);
  }
  INLAY_INLINE __m512 minimums() const { return _mm512_mul_ps(group_scales, _mm512_set1_ps(4.0f)); }
};

/// Of Q4_K and Q5_K: eight scales times d, eight minimums times dmin. A block begins with the words (d and
/// dmin), a, b, c. The first four scales are a's low six bits a byte, the first four minimums b's; the others
/// have their low nibbles in c and their two upper bits above the six in a and b.
INLAY_INLINE __m512 six_bit_scales(const std::byte* block) {
  const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block));
  const __m128i low = _mm_srlv_epi32(_mm_shuffle_epi32(words, 0xED), _mm_set_epi32(4, 0, 0, 0));
  const __m128i high = _mm_shuffle_epi32(_mm_srli_epi32(words, 2), 0xA5);
  const __m128i from_low = _mm_set_epi32(0x0F0F0F0F, 0x3F3F3F3F, 0x0F0F0F0F, 0x3F3F3F3F);
  const __m128i merged = _mm_ternarylogic_epi32(from_low, low, high, 0xCA);
  const __m512 codes = bytes_to_floats(_mm_and_si128(merged, _mm_set1_epi8(0x3F)));
  const __m512i halves = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_mul_ps(codes, _mm512_permutexvar_ps(halves, _mm512_castps128_ps512(_mm_cvtph_ps(words))));
}

template <>
struct Unpack<TensorType::Q4_K> {
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach32;
  const BlockQ4_K& block;
  __m512 groups;

  INLAY_INLINE explicit Unpack(const std::byte* from)
      : block(*reinterpret_cast<const BlockQ4_K*>(from)), groups(six_bit_scales(from)) {}
  template <int S>
  INLAY_INLINE __m512i codes() const {
    return _mm512_and_si512(broadcast_32_bytes(block.qs + 32 * S),
                            each_part(kLowNibbles, kLowNibbles, kHighNibbles, kHighNibbles));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    // The odd groups are high nibbles. Lanes 8..15 are minimums and stay as they are.
    const __m512 units =
        _mm512_set_ps(1, 1, 1, 1, 1, 1, 1, 1, 0.0625f, 1, 0.0625f, 1, 0.0625f, 1, 0.0625f, 1);
    return spread_each32<S>(_mm512_mul_ps(groups, units));
  }
  INLAY_INLINE __m512 minimums() const { return groups; }
};

template <>
struct Unpack<TensorType::Q5_K> {
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach32;
  const BlockQ5_K& block;
  __m512 groups;

  INLAY_INLINE explicit Unpack(const std::byte* from)
      : block(*reinterpret_cast<const BlockQ5_K*>(from)), groups(six_bit_scales(from)) {}
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const __m512i nibbles = _mm512_srlv_epi64(broadcast_32_bytes(block.qs + 32 * S), each_part(0, 0, 4, 4));
    constexpr uint64_t kFirst = (4 - 2 * S) & 63;
    constexpr uint64_t kSecond = (4 - (2 * S + 1)) & 63;
    const __m512i bits =
        _mm512_rolv_epi64(broadcast_32_bytes(block.qh), each_part(kFirst, kFirst, kSecond, kSecond));
    return _mm512_and_si512(merge_bits<15>(nibbles, bits), _mm512_set1_epi8(31));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each32<S>(groups);
  }
  INLAY_INLINE __m512 minimums() const { return groups; }
};

template <>
struct Unpack<TensorType::Q6_K> {
  static constexpr bool kSignedCodes = false;
  static constexpr Minimums kMinimums = Minimums::kEach16;
  const BlockQ6_K& block;
  __m512 group_scales;

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockQ6_K*>(from)) {
    const __m128i s = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block.scales));
    group_scales = _mm512_mul_ps(signed_bytes_to_floats(s), broadcast_half(block.d));
  }
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const __m512i ql = _mm512_loadu_si512(block.ql + S / 2 * 64);
    const __m512i nibbles = S % 2 == 0 ? ql : _mm512_srli_epi64(ql, 4);
    const __m512i counts = S % 2 == 0 ? each_part(4, 4, 2, 2) : each_part(0, 0, 62, 62);
    const __m512i pairs = _mm512_rolv_epi64(broadcast_32_bytes(block.qh + S / 2 * 32), counts);
    return _mm512_and_si512(merge_bits<15>(nibbles, pairs), _mm512_set1_epi8(63));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each16<S>(group_scales);
  }
  INLAY_INLINE __m512 minimums() const { return _mm512_mul_ps(group_scales, _mm512_set1_ps(32.0f)); }
};

/// The eight scales of a block, signed.
INLAY_INLINE __m128i iq4_xs_scales(const BlockIQ4_XS& block) {
  const uint64_t low = _pdep_u64(load_bytes<uint32_t>(block.scales_l), kLowNibbles);
  const uint64_t high = _pdep_u64(load_bytes<uint16_t>(block.scales_h), 0x3030303030303030);
  const __m128i codes = _mm_cvtsi64_si128(static_cast<int64_t>(low | high));
  return _mm_sub_epi8(codes, _mm_set1_epi8(32));
}

template <>
struct Unpack<TensorType::IQ4_XS> {
  static constexpr bool kSignedCodes = true;
  static constexpr Minimums kMinimums = Minimums::kNone;
  const BlockIQ4_XS& block;
  __m512 groups;

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockIQ4_XS*>(from)) {
    const __m512 s = signed_bytes_to_floats(iq4_xs_scales(block));
    groups = _mm512_mul_ps(s, broadcast_half(block.d));
  }
  template <int S>
  INLAY_INLINE __m512i codes() const {
    const uint8_t* qs = block.qs + 32 * S;
    return look_up(kIQ4Values, alternate_nibbles(duplicate_two_16_bytes(qs, qs + 16)));
  }
  template <int S>
  INLAY_INLINE __m512 scales() const {
    return spread_each32<S>(groups);
  }
};

/// 16 weights as floats, or as many of them as `mask` has bits.
template <TensorType T>
INLAY_INLINE __m512 load_floats(const std::byte* from, __mmask16 mask) {
  if constexpr (T == TensorType::F32) {
    return _mm512_maskz_loadu_ps(mask, from);
  } else {
    const __m256i values = _mm256_maskz_loadu_epi16(mask, from);
    if constexpr (T == TensorType::F16) return _mm512_cvtph_ps(values);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16));
  }
}

}  // namespace
}  // namespace inlay::cpu
