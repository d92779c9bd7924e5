#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "formats/blocks.h"
#include "kernels/cuda/matvec_formats.cuh"

// From a GGUF file's blocks to packed tiles: what a code or a scale is in the file, and where it goes.

namespace inlay::cuda {

__device__ __forceinline__ uint32_t word_at(const uint8_t* p) {
  return p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24;
}
__device__ __forceinline__ uint16_t bits_of(const StoredHalf& h) { return h.bytes[0] | h.bytes[1] << 8; }
__device__ __forceinline__ uint32_t nibble(uint8_t byte, uint32_t high) {
  return high ? byte >> 4 : byte & 15u;
}

/// The code of weight `k` of a block, as the packed form has it.
template <TensorType>
struct Block;

template <>
struct Block<TensorType::Q4_0> {
  using Type = BlockQ4_0;
  static __device__ uint32_t code(const Type& b, uint32_t k) { return nibble(b.qs[k % 16], k / 16); }
  static __device__ uint16_t d(const Type& b) { return bits_of(b.d); }
};
template <>
struct Block<TensorType::IQ4_NL> {
  using Type = BlockIQ4_NL;
  static __device__ uint32_t code(const Type& b, uint32_t k) { return nibble(b.qs[k % 16], k / 16); }
  static __device__ uint16_t d(const Type& b) { return bits_of(b.d); }
};
template <>
struct Block<TensorType::Q4_1> {
  using Type = BlockQ4_1;
  static __device__ uint32_t code(const Type& b, uint32_t k) { return nibble(b.qs[k % 16], k / 16); }
  static __device__ uint16_t d(const Type& b) { return bits_of(b.d); }
  static __device__ uint16_t m(const Type& b) { return bits_of(b.m); }
};
template <>
struct Block<TensorType::Q5_0> {
  using Type = BlockQ5_0;
  static __device__ uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k % 16], k / 16) | (word_at(b.qh) >> k & 1u) << 4;
  }
  static __device__ uint16_t d(const Type& b) { return bits_of(b.d); }
};
template <>
struct Block<TensorType::Q5_1> {
  using Type = BlockQ5_1;
  static __device__ uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k % 16], k / 16) | (word_at(b.qh) >> k & 1u) << 4;
  }
  static __device__ uint16_t d(const Type& b) { return bits_of(b.d); }
  static __device__ uint16_t m(const Type& b) { return bits_of(b.m); }
};
template <>
struct Block<TensorType::Q8_0> {
  using Type = BlockQ8_0;
  static __device__ uint32_t code(const Type& b, uint32_t k) { return static_cast<uint8_t>(b.qs[k]) ^ 0x80u; }
  static __device__ uint16_t d(const Type& b) { return bits_of(b.d); }
};
template <>
struct Block<TensorType::Q2_K> {
  using Type = BlockQ2_K;
  static __device__ uint32_t code(const Type& b, uint32_t k) {
    return b.qs[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3u;
  }
};
template <>
struct Block<TensorType::Q3_K> {
  using Type = BlockQ3_K;
  static __device__ uint32_t code(const Type& b, uint32_t k) {
    return (b.qs[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3u) | (b.hmask[k % 32] >> (k / 32) & 1u) << 2;
  }
  /// The six bits of scale `i`.
  static __device__ uint32_t scale(const Type& b, uint32_t i) {
    return nibble(b.scales[i % 8], i / 8) | (b.scales[8 + i % 4] >> (i / 4 * 2) & 3u) << 4;
  }
};
template <>
struct Block<TensorType::Q4_K> {
  using Type = BlockQ4_K;
  static __device__ uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k / 64 * 32 + k % 32], k % 64 / 32);
  }
};
template <>
struct Block<TensorType::Q5_K> {
  using Type = BlockQ5_K;
  static __device__ uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k / 64 * 32 + k % 32], k % 64 / 32) | (b.qh[k % 32] >> (k / 32) & 1u) << 4;
  }
};
template <>
struct Block<TensorType::Q6_K> {
  using Type = BlockQ6_K;
  static __device__ uint32_t code(const Type& b, uint32_t k) {
    const uint32_t half = k / 128, j = k % 128 / 32, i = k % 32;
    return nibble(b.ql[half * 64 + j % 2 * 32 + i], j / 2) | (b.qh[half * 32 + i] >> (2 * j) & 3u) << 4;
  }
};
template <>
struct Block<TensorType::IQ4_XS> {
  using Type = BlockIQ4_XS;
  static __device__ uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k / 32 * 16 + k % 16], k % 32 / 16);
  }
  static __device__ uint32_t scale(const Type& b, uint32_t i) {
    return nibble(b.scales_l[i / 2], i % 2) | ((b.scales_h[0] | b.scales_h[1] << 8) >> (2 * i) & 3u) << 4;
  }
};
template <>
struct Block<TensorType::MXFP4> {
  using Type = BlockMXFP4;
  static __device__ uint32_t code(const Type& b, uint32_t k) { return nibble(b.qs[k % 16], k / 16); }
};
template <>
struct Block<TensorType::NVFP4> {
  using Type = BlockNVFP4;
  static __device__ uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k / 16 * 8 + k % 8], k % 16 / 8);
  }
};

/// Six-bit scale (part 0) or minimum (part 1) of group `i`: Q4_K and Q5_K.
__device__ __forceinline__ uint32_t scale_k32(const uint8_t* s, uint32_t part, uint32_t i) {
  if (i < 4) return s[4 * part + i] & 63u;
  return nibble(s[4 + i], part) | static_cast<uint32_t>(s[4 * part + i - 4] >> 6) << 4;
}

// --- words of codes
// ------------------------------------------------------------------------------------------ `codes(j, h, i)`
// is the pair (i = 0 or 1 of the four columns) of group j and half h: the code of its first column in bits
// 0..15, of its second in bits 16..31.

template <typename CodesT, typename Pair>
struct PackWord;

template <typename Pair>
struct PackWord<Codes4, Pair> {
  static __device__ uint32_t word(const Pair& codes, int n) {
    const int j = n / 2 * 2, h = n % 2;
    const uint32_t first = codes(j, h, 0) << 2 | codes(j + 1, h, 0) << 6;
    const uint32_t second = codes(j, h, 1) << 2 | codes(j + 1, h, 1) << 6;
    return first | rotate_right(second, 24);
  }
};
template <typename Pair>
struct PackWord<CodesIQ4, Pair> {
  static __device__ uint32_t word(const Pair& codes, int n) {
    const int j = n / 2 * 2, h = n % 2;
    uint32_t w = 0;
    for (int i = 0; i < 4; ++i) {
      w |= (codes(j, h, i / 2) >> (i % 2 * 16) & 15u) << (4 * i);
      w |= (codes(j + 1, h, i / 2) >> (i % 2 * 16) & 15u) << (16 + 4 * i);
    }
    return w;
  }
};
template <typename Pair>
struct PackWord<CodesE2M1, Pair> : PackWord<CodesIQ4, Pair> {};

/// The n-th pair of a lane in the order of the fragments.
template <typename Pair>
__device__ __forceinline__ uint32_t nth_pair(const Pair& codes, int n) {
  return codes(n / 4, n / 2 % 2, n % 2);
}

template <typename Pair>
struct PackWord<Codes5, Pair> {
  static __device__ uint32_t word(const Pair& codes, int n) {
    const int first = n / 5 * 16, w = n % 5;
    const uint32_t spare = nth_pair(codes, first + 15) >> (4 - w) & 0x00010001u;
    return nth_pair(codes, first + 3 * w) << 5 | nth_pair(codes, first + 3 * w + 1) << 10 |
           nth_pair(codes, first + 3 * w + 2) | spare << 15;
  }
};
template <typename Pair>
struct PackWord<Codes6, Pair> {
  static __device__ uint32_t word(const Pair& codes, int n) {
    const int first = n / 3 * 8, w = n % 3;
    const uint32_t seventh = nth_pair(codes, first + 6), eighth = nth_pair(codes, first + 7);
    const uint32_t spare = w == 0   ? seventh >> 2 & 0x000F000Fu
                           : w == 1 ? (seventh & 0x00030003u) | (eighth & 0x00030003u) << 2
                                    : eighth >> 2 & 0x000F000Fu;
    return nth_pair(codes, first + 2 * w) << 4 | nth_pair(codes, first + 2 * w + 1) << 10 | spare;
  }
};
template <typename Pair>
struct PackWord<Codes8, Pair> {
  static __device__ uint32_t word(const Pair& codes, int n) {
    const uint32_t first = codes(n / 2, n % 2, 0), second = codes(n / 2, n % 2, 1);
    return (first & 0xFFu) | (first >> 16) << 8 | (second & 0xFFu) << 16 | (second >> 16) << 24;
  }
};
/// Word n of a lane's small codes; `code(c)` is that of column c of the lane's 64.
template <typename SmallT, typename Code>
struct PackSmall;

template <typename Code>
struct PackSmall<Small2, Code> {
  static __device__ uint32_t word(const Code& code, uint32_t n) {
    uint32_t w = 0;
    for (uint32_t c = 0; c < 16; ++c) w |= code(16 * n + c) << (c % 4 * 8 + c / 4 * 2);
    return w;
  }
};
template <typename Code>
struct PackSmall<Small3, Code> {
  static __device__ uint32_t word(const Code& code, uint32_t n) {
    const uint32_t first = n / 3 * 32, w = n % 3;
    uint32_t result = 0;
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t lower = code(first + 8 * w + i) | code(first + 8 * w + 4 + i) << 3;
      const uint32_t spare = code(first + 24 + i) | code(first + 28 + i) << 3;
      result |= (lower | (spare >> (2 * w) & 3u) << 6) << (8 * i);
    }
    return result;
  }
};

}  // namespace inlay::cuda
