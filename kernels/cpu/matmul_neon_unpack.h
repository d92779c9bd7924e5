#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "formats/blocks.h"
#include "formats/tensor_type.h"
#include "kernels/cpu/matmul_internal.h"

// How 256 weights of each quantised type come into NEON registers. Included by the NEON sources alone.
//
// Unpack<T>(bytes) fills `scales`, one for each kGroup weights, and where kMinimums, `minimums`, which are to
// be subtracted. codes<S>() are the S-th 32 weights, signed bytes in order.
//     weight = scale * code - minimum

namespace inlay::cpu {
namespace {

template <typename T>
INLAY_INLINE T load_bytes(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

INLAY_INLINE float to_float(const StoredHalf& half) {
  const float16x4_t bits = vreinterpret_f16_u16(vdup_n_u16(load_bytes<uint16_t>(&half)));
  return vgetq_lane_f32(vcvt_f32_f16(bits), 0);
}

struct Codes {
  int8x16_t first;
  int8x16_t second;
};

INLAY_INLINE Codes signed_codes(uint8x16_t first, uint8x16_t second) {
  return {vreinterpretq_s8_u8(first), vreinterpretq_s8_u8(second)};
}

INLAY_INLINE uint8x16_t low_nibbles(uint8x16_t bytes) { return vandq_u8(bytes, vdupq_n_u8(15)); }
INLAY_INLINE uint8x16_t high_nibbles(uint8x16_t bytes) { return vshrq_n_u8(bytes, 4); }

/// Low nibbles, or high ones.
template <bool kHigh>
INLAY_INLINE uint8x16_t nibbles(uint8x16_t bytes) {
  return kHigh ? high_nibbles(bytes) : low_nibbles(bytes);
}

/// Every byte's bits of kMask, moved from bit kFrom to bit kTo: kMask is meant at kTo.
template <int kFrom, int kTo, uint8_t kMask>
INLAY_INLINE uint8x16_t move_bits(uint8x16_t bytes) {
  const uint8x16_t moved = vshlq_u8(bytes, vdupq_n_s8(kTo - kFrom));
  return vandq_u8(moved, vdupq_n_u8(kMask));
}

INLAY_INLINE Codes look_up(const int8_t* table, uint8x16_t first, uint8x16_t second) {
  const int8x16_t values = vld1q_s8(table);
  return {vqtbl1q_s8(values, first), vqtbl1q_s8(values, second)};
}

/// 16 bits as the fifth bits of 16 codes.
INLAY_INLINE uint8x16_t fifth_bits(const uint8_t* qh) {
  const uint8x16_t bytes = vcombine_u8(vdup_n_u8(qh[0]), vdup_n_u8(qh[1]));
  const uint8x8_t bit = vcreate_u8(0x8040201008040201);
  return vandq_u8(vtstq_u8(bytes, vcombine_u8(bit, bit)), vdupq_n_u8(16));
}

template <TensorType T>
struct Unpack;

// Eight blocks of 32 weights.

template <typename Block_>
struct UnpackBlocks {
  using Block = Block_;
  static constexpr uint32_t kGroup = 32;
  static constexpr bool kMinimums = false;
  const Block* blocks;
  float scales[8];

  INLAY_INLINE explicit UnpackBlocks(const std::byte* from) : blocks(reinterpret_cast<const Block*>(from)) {
    for (int i = 0; i < 8; ++i) scales[i] = to_float(blocks[i].d);
  }
};

/// Blocks whose codes stand for values from -kOffset on.
template <typename Block, int kOffset>
struct UnpackOffsetBlocks : UnpackBlocks<Block> {
  static constexpr bool kMinimums = true;
  float minimums[8];

  INLAY_INLINE explicit UnpackOffsetBlocks(const std::byte* from) : UnpackBlocks<Block>(from) {
    for (int i = 0; i < 8; ++i) minimums[i] = this->scales[i] * kOffset;
  }
};

template <typename Block>
struct UnpackMinimumBlocks : UnpackBlocks<Block> {
  static constexpr bool kMinimums = true;
  float minimums[8];

  INLAY_INLINE explicit UnpackMinimumBlocks(const std::byte* from) : UnpackBlocks<Block>(from) {
    for (int i = 0; i < 8; ++i) minimums[i] = -to_float(this->blocks[i].m);
  }
};

template <>
struct Unpack<TensorType::Q4_0> : UnpackOffsetBlocks<BlockQ4_0, 8> {
  using UnpackOffsetBlocks::UnpackOffsetBlocks;
  template <int S>
  INLAY_INLINE Codes codes() const {
    const uint8x16_t qs = vld1q_u8(blocks[S].qs);
    return signed_codes(low_nibbles(qs), high_nibbles(qs));
  }
};

template <>
struct Unpack<TensorType::Q4_1> : UnpackMinimumBlocks<BlockQ4_1> {
  using UnpackMinimumBlocks::UnpackMinimumBlocks;
  template <int S>
  INLAY_INLINE Codes codes() const {
    const uint8x16_t qs = vld1q_u8(blocks[S].qs);
    return signed_codes(low_nibbles(qs), high_nibbles(qs));
  }
};

template <typename Block>
INLAY_INLINE Codes five_bit_codes(const Block& block) {
  const uint8x16_t qs = vld1q_u8(block.qs);
  return signed_codes(vorrq_u8(low_nibbles(qs), fifth_bits(block.qh)),
                      vorrq_u8(high_nibbles(qs), fifth_bits(block.qh + 2)));
}

template <>
struct Unpack<TensorType::Q5_0> : UnpackOffsetBlocks<BlockQ5_0, 16> {
  using UnpackOffsetBlocks::UnpackOffsetBlocks;
  template <int S>
  INLAY_INLINE Codes codes() const {
    return five_bit_codes(blocks[S]);
  }
};

template <>
struct Unpack<TensorType::Q5_1> : UnpackMinimumBlocks<BlockQ5_1> {
  using UnpackMinimumBlocks::UnpackMinimumBlocks;
  template <int S>
  INLAY_INLINE Codes codes() const {
    return five_bit_codes(blocks[S]);
  }
};

template <>
struct Unpack<TensorType::Q8_0> : UnpackBlocks<BlockQ8_0> {
  using UnpackBlocks::UnpackBlocks;
  template <int S>
  INLAY_INLINE Codes codes() const {
    return {vld1q_s8(blocks[S].qs), vld1q_s8(blocks[S].qs + 16)};
  }
};

template <>
struct Unpack<TensorType::IQ4_NL> : UnpackBlocks<BlockIQ4_NL> {
  using UnpackBlocks::UnpackBlocks;
  template <int S>
  INLAY_INLINE Codes codes() const {
    const uint8x16_t qs = vld1q_u8(blocks[S].qs);
    return look_up(kIQ4Values, low_nibbles(qs), high_nibbles(qs));
  }
};

template <>
struct Unpack<TensorType::MXFP4> {
  static constexpr uint32_t kGroup = 32;
  static constexpr bool kMinimums = false;
  const BlockMXFP4* blocks;
  float scales[8];

  INLAY_INLINE explicit Unpack(const std::byte* from) : blocks(reinterpret_cast<const BlockMXFP4*>(from)) {
    for (int i = 0; i < 8; ++i) {
      const uint32_t e = blocks[i].e;
      const uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
      std::memcpy(&scales[i], &bits, sizeof(bits));
    }
  }
  template <int S>
  INLAY_INLINE Codes codes() const {
    const uint8x16_t qs = vld1q_u8(blocks[S].qs);
    return look_up(kDoubledE2M1Values, low_nibbles(qs), high_nibbles(qs));
  }
};

// Four blocks of 64 weights.

template <>
struct Unpack<TensorType::NVFP4> {
  static constexpr uint32_t kGroup = 16;
  static constexpr bool kMinimums = false;
  const BlockNVFP4* blocks;
  float scales[16];

  INLAY_INLINE explicit Unpack(const std::byte* from) : blocks(reinterpret_cast<const BlockNVFP4*>(from)) {
    for (int i = 0; i < 4; ++i) {
      const uint8x8_t bytes = vreinterpret_u8_u32(vdup_n_u32(load_bytes<uint32_t>(blocks[i].d)));
      const uint8x8_t magnitudes = vand_u8(bytes, vdup_n_u8(0x7F));
      const uint8x8_t numbers = vbic_u8(magnitudes, vceq_u8(magnitudes, vdup_n_u8(0x7F)));
      // An E4M3 number's exponent and mantissa, moved up by 7 bits, are those of a binary16 that is 2^8 times
      // smaller.
      const uint16x4_t halves = vget_low_u16(vshll_n_u8(numbers, 7));
      vst1q_f32(scales + 4 * i, vmulq_n_f32(vcvt_f32_f16(vreinterpret_f16_u16(halves)), 128.0f));
    }
  }
  template <int S>
  INLAY_INLINE Codes codes() const {
    // Bytes 0..7 are a group of 16 weights, bytes 8..15 the next.
    const uint8x16_t qs = vld1q_u8(blocks[S / 2].qs + S % 2 * 16);
    const uint8x16_t low = low_nibbles(qs);
    const uint8x16_t high = high_nibbles(qs);
    return look_up(kDoubledE2M1Values, vcombine_u8(vget_low_u8(low), vget_low_u8(high)),
                   vcombine_u8(vget_high_u8(low), vget_high_u8(high)));
  }
};

// One block of 256 weights.

template <>
struct Unpack<TensorType::Q2_K> {
  static constexpr uint32_t kGroup = 16;
  static constexpr bool kMinimums = true;
  const BlockQ2_K& block;
  float scales[16];
  float minimums[16];

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockQ2_K*>(from)) {
    const float d = to_float(block.d);
    const float dmin = to_float(block.dmin);
    for (int i = 0; i < 16; ++i) {
      scales[i] = d * static_cast<float>(block.scales[i] & 15);
      minimums[i] = dmin * static_cast<float>(block.scales[i] >> 4);
    }
  }
  template <int S>
  INLAY_INLINE Codes codes() const {
    const uint8_t* qs = block.qs + S / 4 * 32;
    return signed_codes(move_bits<S % 4 * 2, 0, 3>(vld1q_u8(qs)),
                        move_bits<S % 4 * 2, 0, 3>(vld1q_u8(qs + 16)));
  }
};

template <>
struct Unpack<TensorType::Q3_K> {
  static constexpr uint32_t kGroup = 16;
  static constexpr bool kMinimums = true;
  const BlockQ3_K& block;
  float scales[16];
  float minimums[16];

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockQ3_K*>(from)) {
    const float d = to_float(block.d);
    for (int i = 0; i < 16; ++i) {
      const int low = i < 8 ? block.scales[i] & 15 : block.scales[i - 8] >> 4;
      const int high = (block.scales[8 + i % 4] >> (i / 4 * 2)) & 3;
      scales[i] = d * static_cast<float>((low | high << 4) - 32);
      minimums[i] = scales[i] * 4.0f;
    }
  }
  template <int S>
  INLAY_INLINE uint8x16_t half_codes(int offset) const {
    return vorrq_u8(move_bits<S % 4 * 2, 0, 3>(vld1q_u8(block.qs + S / 4 * 32 + offset)),
                    move_bits<S, 2, 4>(vld1q_u8(block.hmask + offset)));
  }
  template <int S>
  INLAY_INLINE Codes codes() const {
    return signed_codes(half_codes<S>(0), half_codes<S>(16));
  }
};

template <>
struct Unpack<TensorType::Q6_K> {
  static constexpr uint32_t kGroup = 16;
  static constexpr bool kMinimums = true;
  const BlockQ6_K& block;
  float scales[16];
  float minimums[16];

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockQ6_K*>(from)) {
    const float d = to_float(block.d);
    for (int i = 0; i < 16; ++i) {
      scales[i] = d * static_cast<float>(block.scales[i]);
      minimums[i] = scales[i] * 32.0f;
    }
  }
  template <int S>
  INLAY_INLINE uint8x16_t half_codes(int offset) const {
    constexpr int kQuarter = S % 4;
    const uint8x16_t ql = vld1q_u8(block.ql + S / 4 * 64 + kQuarter % 2 * 32 + offset);
    const uint8x16_t qh = vld1q_u8(block.qh + S / 4 * 32 + offset);
    return vorrq_u8(nibbles<(kQuarter >= 2)>(ql), move_bits<kQuarter * 2, 4, 48>(qh));
  }
  template <int S>
  INLAY_INLINE Codes codes() const {
    return signed_codes(half_codes<S>(0), half_codes<S>(16));
  }
};

template <typename Block>
struct UnpackSixBitScales {
  static constexpr uint32_t kGroup = 32;
  static constexpr bool kMinimums = true;
  const Block& block;
  float scales[8];
  float minimums[8];

  INLAY_INLINE explicit UnpackSixBitScales(const std::byte* from)
      : block(*reinterpret_cast<const Block*>(from)) {
    const uint8_t* packed = block.scales;
    const float d = to_float(block.d);
    const float dmin = to_float(block.dmin);
    for (int i = 0; i < 4; ++i) {
      scales[i] = d * static_cast<float>(packed[i] & 63);
      minimums[i] = dmin * static_cast<float>(packed[4 + i] & 63);
      scales[4 + i] = d * static_cast<float>((packed[8 + i] & 15) | (packed[i] >> 6) << 4);
      minimums[4 + i] = dmin * static_cast<float>((packed[8 + i] >> 4) | (packed[4 + i] >> 6) << 4);
    }
  }
};

template <>
struct Unpack<TensorType::Q4_K> : UnpackSixBitScales<BlockQ4_K> {
  using UnpackSixBitScales::UnpackSixBitScales;
  template <int S>
  INLAY_INLINE Codes codes() const {
    const uint8_t* qs = block.qs + S / 2 * 32;
    return signed_codes(nibbles<(S % 2 == 1)>(vld1q_u8(qs)), nibbles<(S % 2 == 1)>(vld1q_u8(qs + 16)));
  }
};

template <>
struct Unpack<TensorType::Q5_K> : UnpackSixBitScales<BlockQ5_K> {
  using UnpackSixBitScales::UnpackSixBitScales;
  template <int S>
  INLAY_INLINE uint8x16_t half_codes(int offset) const {
    return vorrq_u8(nibbles<(S % 2 == 1)>(vld1q_u8(block.qs + S / 2 * 32 + offset)),
                    move_bits<S, 4, 16>(vld1q_u8(block.qh + offset)));
  }
  template <int S>
  INLAY_INLINE Codes codes() const {
    return signed_codes(half_codes<S>(0), half_codes<S>(16));
  }
};

template <>
struct Unpack<TensorType::IQ4_XS> {
  static constexpr uint32_t kGroup = 32;
  static constexpr bool kMinimums = false;
  const BlockIQ4_XS& block;
  float scales[8];

  INLAY_INLINE explicit Unpack(const std::byte* from) : block(*reinterpret_cast<const BlockIQ4_XS*>(from)) {
    const float d = to_float(block.d);
    for (int i = 0; i < 8; ++i) {
      const int low = (block.scales_l[i / 2] >> (i % 2 * 4)) & 15;
      const int high = (block.scales_h[i / 4] >> (i % 4 * 2)) & 3;
      scales[i] = d * static_cast<float>((low | high << 4) - 32);
    }
  }
  template <int S>
  INLAY_INLINE Codes codes() const {
    const uint8x16_t qs = vld1q_u8(block.qs + 16 * S);
    return look_up(kIQ4Values, low_nibbles(qs), high_nibbles(qs));
  }
};

/// 4 weights as floats.
template <TensorType T>
INLAY_INLINE float32x4_t load_floats(const std::byte* from) {
  if constexpr (T == TensorType::F32) {
    return vreinterpretq_f32_u8(vld1q_u8(reinterpret_cast<const uint8_t*>(from)));
  } else {
    const uint16x4_t values = vreinterpret_u16_u8(vld1_u8(reinterpret_cast<const uint8_t*>(from)));
    if constexpr (T == TensorType::F16) return vcvt_f32_f16(vreinterpret_f16_u16(values));
    return vreinterpretq_f32_u32(vshll_n_u16(values, 16));
  }
}

}  // namespace
}  // namespace inlay::cpu
