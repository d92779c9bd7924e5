#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "formats/blocks.h"
#include "formats/small_floats.h"
#include "formats/tiles.h"

// From a GGUF file's blocks to tiles, a lane of a tile at a time: one code for the GPU, which packs what it
// is given, and for any processor, which packs a file. Lane 4 g + t of 32 holds, of row g, the columns 32 j +
// 16 h + 4 t .. + 3 for every group j and half h.

#ifdef __CUDACC__
#define INLAY_ANYWHERE __host__ __device__
#else
#define INLAY_ANYWHERE
#endif

namespace inlay::tiles {

INLAY_ANYWHERE inline uint32_t rotate_right(uint32_t x, uint32_t n) { return x >> n | x << (32 - n); }

// --- words of codes
//
// `codes(j, h, i)` is the pair (i = 0 or 1 of the four columns) of group j and half h: the code of its first
// column in bits 0..15, of its second in bits 16..31. How the words are read is
// kernels/cuda/matvec_formats.cuh's.

struct Words4 {
  static constexpr int kWords = 8;
  static constexpr bool kSmall = false;
  template <typename Pair>
  static INLAY_ANYWHERE uint32_t word(const Pair& codes, int n) {
    const int j = n / 2 * 2, h = n % 2;
    const uint32_t first = codes(j, h, 0) << 2 | codes(j + 1, h, 0) << 6;
    const uint32_t second = codes(j, h, 1) << 2 | codes(j + 1, h, 1) << 6;
    return first | rotate_right(second, 24);
  }
};
struct WordsNibbles {
  static constexpr int kWords = 8;
  static constexpr bool kSmall = false;
  template <typename Pair>
  static INLAY_ANYWHERE uint32_t word(const Pair& codes, int n) {
    const int j = n / 2 * 2, h = n % 2;
    uint32_t w = 0;
    for (int i = 0; i < 4; ++i) {
      w |= (codes(j, h, i / 2) >> (i % 2 * 16) & 15u) << (4 * i);
      w |= (codes(j + 1, h, i / 2) >> (i % 2 * 16) & 15u) << (16 + 4 * i);
    }
    return w;
  }
};

/// The n-th pair of a lane in the order of the fragments.
template <typename Pair>
INLAY_ANYWHERE inline uint32_t nth_pair(const Pair& codes, int n) {
  return codes(n / 4, n / 2 % 2, n % 2);
}

struct Words5 {
  static constexpr int kWords = 10;
  static constexpr bool kSmall = false;
  template <typename Pair>
  static INLAY_ANYWHERE uint32_t word(const Pair& codes, int n) {
    const int first = n / 5 * 16, w = n % 5;
    const uint32_t spare = nth_pair(codes, first + 15) >> (4 - w) & 0x00010001u;
    return nth_pair(codes, first + 3 * w) << 5 | nth_pair(codes, first + 3 * w + 1) << 10 |
           nth_pair(codes, first + 3 * w + 2) | spare << 15;
  }
};
struct Words6 {
  static constexpr int kWords = 12;
  static constexpr bool kSmall = false;
  template <typename Pair>
  static INLAY_ANYWHERE uint32_t word(const Pair& codes, int n) {
    const int first = n / 3 * 8, w = n % 3;
    const uint32_t seventh = nth_pair(codes, first + 6), eighth = nth_pair(codes, first + 7);
    const uint32_t spare = w == 0   ? seventh >> 2 & 0x000F000Fu
                           : w == 1 ? (seventh & 0x00030003u) | (eighth & 0x00030003u) << 2
                                    : eighth >> 2 & 0x000F000Fu;
    return nth_pair(codes, first + 2 * w) << 4 | nth_pair(codes, first + 2 * w + 1) << 10 | spare;
  }
};
struct Words8 {
  static constexpr int kWords = 16;
  static constexpr bool kSmall = false;
  template <typename Pair>
  static INLAY_ANYWHERE uint32_t word(const Pair& codes, int n) {
    const uint32_t first = codes(n / 2, n % 2, 0), second = codes(n / 2, n % 2, 1);
    return (first & 0xFFu) | (first >> 16) << 8 | (second & 0xFFu) << 16 | (second >> 16) << 24;
  }
};
// Small codes: lane 4 g + t holds the columns 64 t .. 64 t + 63 of row g. `code(c)` is that of its column c.

struct Words2 {
  static constexpr int kWords = 4;
  static constexpr bool kSmall = true;
  template <typename Code>
  static INLAY_ANYWHERE uint32_t word(const Code& code, int n) {
    uint32_t w = 0;
    for (int c = 0; c < 16; ++c) w |= code(16 * n + c) << (c % 4 * 8 + c / 4 * 2);
    return w;
  }
};
struct Words3 {
  static constexpr int kWords = 6;
  static constexpr bool kSmall = true;
  template <typename Code>
  static INLAY_ANYWHERE uint32_t word(const Code& code, int n) {
    const int first = n / 3 * 32, w = n % 3;
    uint32_t result = 0;
    for (int i = 0; i < 4; ++i) {
      const uint32_t lower = code(first + 8 * w + i) | code(first + 8 * w + 4 + i) << 3;
      const uint32_t spare = code(first + 24 + i) | code(first + 28 + i) << 3;
      result |= (lower | (spare >> (2 * w) & 3u) << 6) << (8 * i);
    }
    return result;
  }
};

// --- codes and scales of blocks

INLAY_ANYWHERE inline uint32_t word_at(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16 |
         static_cast<uint32_t>(p[3]) << 24;
}
INLAY_ANYWHERE inline uint16_t bits_of(const StoredHalf& h) {
  return static_cast<uint16_t>(h.bytes[0] | h.bytes[1] << 8);
}
INLAY_ANYWHERE inline uint32_t nibble(uint8_t byte, uint32_t high) {
  return high != 0 ? uint32_t{byte} >> 4 : uint32_t{byte} & 15u;
}

/// The code of weight `k` of a block, as the packed form has it.
template <TensorType>
struct Block;

template <>
struct Block<TensorType::Q4_0> {
  using Type = BlockQ4_0;
  using Words = Words4;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) { return nibble(b.qs[k % 16], k / 16); }
  static INLAY_ANYWHERE uint16_t d(const Type& b) { return bits_of(b.d); }
};
template <>
struct Block<TensorType::IQ4_NL> {
  using Type = BlockIQ4_NL;
  using Words = WordsNibbles;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) { return nibble(b.qs[k % 16], k / 16); }
  static INLAY_ANYWHERE uint16_t d(const Type& b) { return bits_of(b.d); }
};
template <>
struct Block<TensorType::Q4_1> {
  using Type = BlockQ4_1;
  using Words = Words4;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) { return nibble(b.qs[k % 16], k / 16); }
  static INLAY_ANYWHERE uint16_t d(const Type& b) { return bits_of(b.d); }
  static INLAY_ANYWHERE uint16_t m(const Type& b) { return bits_of(b.m); }
};
template <>
struct Block<TensorType::Q5_0> {
  using Type = BlockQ5_0;
  using Words = Words5;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k % 16], k / 16) | (word_at(b.qh) >> k & 1u) << 4;
  }
  static INLAY_ANYWHERE uint16_t d(const Type& b) { return bits_of(b.d); }
};
template <>
struct Block<TensorType::Q5_1> {
  using Type = BlockQ5_1;
  using Words = Words5;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k % 16], k / 16) | (word_at(b.qh) >> k & 1u) << 4;
  }
  static INLAY_ANYWHERE uint16_t d(const Type& b) { return bits_of(b.d); }
  static INLAY_ANYWHERE uint16_t m(const Type& b) { return bits_of(b.m); }
};
template <>
struct Block<TensorType::Q8_0> {
  using Type = BlockQ8_0;
  using Words = Words8;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) {
    return static_cast<uint8_t>(b.qs[k]) ^ 0x80u;
  }
  static INLAY_ANYWHERE uint16_t d(const Type& b) { return bits_of(b.d); }
};
template <>
struct Block<TensorType::Q2_K> {
  using Type = BlockQ2_K;
  using Words = Words2;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) {
    return b.qs[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3u;
  }
};
template <>
struct Block<TensorType::Q3_K> {
  using Type = BlockQ3_K;
  using Words = Words3;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) {
    return (b.qs[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3u) | (b.hmask[k % 32] >> (k / 32) & 1u) << 2;
  }
  /// The six bits of scale `i`.
  static INLAY_ANYWHERE uint32_t scale(const Type& b, uint32_t i) {
    return nibble(b.scales[i % 8], i / 8) | (b.scales[8 + i % 4] >> (i / 4 * 2) & 3u) << 4;
  }
};
template <>
struct Block<TensorType::Q4_K> {
  using Type = BlockQ4_K;
  using Words = Words4;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k / 64 * 32 + k % 32], k % 64 / 32);
  }
};
template <>
struct Block<TensorType::Q5_K> {
  using Type = BlockQ5_K;
  using Words = Words5;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k / 64 * 32 + k % 32], k % 64 / 32) | (b.qh[k % 32] >> (k / 32) & 1u) << 4;
  }
};
template <>
struct Block<TensorType::Q6_K> {
  using Type = BlockQ6_K;
  using Words = Words6;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) {
    const uint32_t half = k / 128, j = k % 128 / 32, i = k % 32;
    return nibble(b.ql[half * 64 + j % 2 * 32 + i], j / 2) | (b.qh[half * 32 + i] >> (2 * j) & 3u) << 4;
  }
};
template <>
struct Block<TensorType::IQ4_XS> {
  using Type = BlockIQ4_XS;
  using Words = WordsNibbles;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k / 32 * 16 + k % 16], k % 32 / 16);
  }
  static INLAY_ANYWHERE uint32_t scale(const Type& b, uint32_t i) {
    return nibble(b.scales_l[i / 2], i % 2) | ((b.scales_h[0] | b.scales_h[1] << 8) >> (2 * i) & 3u) << 4;
  }
};
template <>
struct Block<TensorType::MXFP4> {
  using Type = BlockMXFP4;
  using Words = WordsNibbles;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) { return nibble(b.qs[k % 16], k / 16); }
};
template <>
struct Block<TensorType::NVFP4> {
  using Type = BlockNVFP4;
  using Words = WordsNibbles;
  static INLAY_ANYWHERE uint32_t code(const Type& b, uint32_t k) {
    return nibble(b.qs[k / 16 * 8 + k % 8], k % 16 / 8);
  }
};

/// Six-bit scale (part 0) or minimum (part 1) of group `i`: Q4_K and Q5_K.
INLAY_ANYWHERE inline uint32_t scale_k32(const uint8_t* s, uint32_t part, uint32_t i) {
  if (i < 4) return s[4 * part + i] & 63u;
  return nibble(s[4 + i], part) | static_cast<uint32_t>(s[4 * part + i - 4] >> 6) << 4;
}

/// Whether a type's tiles hold codes and scales; the others hold F16.
constexpr bool is_blocks(TensorType type) {
  return type != TensorType::F32 && type != TensorType::F16 && type != TensorType::BF16 &&
         type != TensorType::FP8;
}
constexpr bool has_group_minimum(TensorType type) {
  return type == TensorType::Q4_1 || type == TensorType::Q5_1;
}

/// One row's 256 columns of a file, `valid` of them there.
template <TensorType type>
struct SourceRow {
  static constexpr uint32_t kBlockColumns = traits(type).block_elements;  // a GPU knows no names
  const typename Block<type>::Type* blocks;
  uint32_t valid;

  INLAY_ANYWHERE uint32_t code(uint32_t k) const {
    return k < valid ? Block<type>::code(blocks[k / kBlockColumns], k % kBlockColumns) : 0u;
  }
  /// The pair i of the four columns of group j, half h, that lane t holds.
  INLAY_ANYWHERE uint32_t pair(uint32_t t, int j, int h, int i) const {
    const uint32_t k = 32 * j + 16 * h + 4 * t + 2 * i;
    return code(k) | code(k + 1) << 16;
  }
};

INLAY_ANYWHERE inline void store_byte(char* p, uint32_t v) {
  *reinterpret_cast<uint8_t*>(p) = static_cast<uint8_t>(v);
}
INLAY_ANYWHERE inline void store_half(char* p, uint32_t v) {
  *reinterpret_cast<uint16_t*>(p) = static_cast<uint16_t>(v);
}

/// Writes the scales of one row, `part` of 4 (a lane each).
template <TensorType type>
INLAY_ANYWHERE void pack_scales(const SourceRow<type>& row, char* tile, uint32_t g, uint32_t t) {
  const auto* b = row.blocks;
  const bool there = row.valid != 0;
  if constexpr (type == TensorType::Q4_K || type == TensorType::Q5_K) {
    char* to = tile + (type == TensorType::Q4_K ? 1024 : 1280) + g * 16;
    uint32_t s0 = 0, s1 = 0, m0 = 0, m1 = 0;
    if (there) {
      s0 = scale_k32(b->scales, 0, t), s1 = scale_k32(b->scales, 0, t + 4);
      m0 = scale_k32(b->scales, 1, t), m1 = scale_k32(b->scales, 1, t + 4);
    }
    store_byte(to + t, s0 | m0 >> 4 << 6);
    store_byte(to + 4 + t, s1 | m1 >> 4 << 6);
    store_byte(to + 8 + t, (m0 & 15u) | (m1 & 15u) << 4);
    if (t < 2) store_half(to + 12 + 2 * t, !there ? 0u : t == 0 ? bits_of(b->d) : bits_of(b->dmin));
  } else if constexpr (type == TensorType::Q6_K) {
    for (uint32_t i = t; i < 16; i += 4) {
      store_byte(tile + 1536 + g * 16 + i, (there ? static_cast<uint8_t>(b->scales[i]) : 0u) ^ 0x80u);
    }
    if (t == 0) store_half(tile + 1664 + g * 2, there ? bits_of(b->d) : 0u);
  } else if constexpr (type == TensorType::Q2_K) {
    for (uint32_t i = t; i < 16; i += 4) store_byte(tile + 512 + g * 16 + i, there ? b->scales[i] : 0u);
    if (t < 2)
      store_half(tile + 640 + g * 4 + 2 * t, !there ? 0u : t == 0 ? bits_of(b->d) : bits_of(b->dmin));
  } else if constexpr (type == TensorType::Q3_K) {
    uint32_t s[4];
    for (uint32_t i = 0; i < 4; ++i) s[i] = there ? Block<type>::scale(*b, 4 * i + t) : 32u;
    store_byte(tile + 768 + g * 8 + t, (s[0] & 15u) | (s[1] & 15u) << 4);
    store_byte(tile + 768 + g * 8 + 4 + t, (s[2] & 15u) | (s[3] & 15u) << 4);
    store_byte(tile + 832 + g * 4 + t, s[0] >> 4 | s[1] >> 4 << 2 | s[2] >> 4 << 4 | s[3] >> 4 << 6);
    if (t == 0) store_half(tile + 864 + g * 2, there ? bits_of(b->d) : 0u);
  } else if constexpr (type == TensorType::IQ4_XS) {
    for (uint32_t i = t; i < 8; i += 4) {
      store_byte(tile + 1024 + g * 8 + i, there ? Block<type>::scale(*b, i) : 32u);
    }
    if (t == 0) store_half(tile + 1088 + g * 2, there ? bits_of(b->d) : 0u);
  } else if constexpr (type == TensorType::MXFP4) {
    for (uint32_t i = t; i < 8; i += 4) store_byte(tile + 1024 + g * 8 + i, 32 * i < row.valid ? b[i].e : 0u);
  } else if constexpr (type == TensorType::NVFP4) {
    for (uint32_t i = t; i < 16; i += 4) {
      const uint32_t e = 16 * i < row.valid ? b[i / 4].d[i % 4] & 0x7Fu : 0u;
      store_byte(tile + 1024 + g * 16 + i, e == 0x7Fu ? 0u : e);  // NaN counts as 0
    }
  } else {
    constexpr uint32_t kOffset = Block<type>::Words::kWords * 128;
    for (uint32_t i = t; i < 8; i += 4) {
      char* to = tile + kOffset + g * 16 + i % 4 * 4 + i / 4 * 2;
      store_half(to, 32 * i < row.valid ? Block<type>::d(b[i]) : 0u);
      if constexpr (has_group_minimum(type)) {
        store_half(to + 128, 32 * i < row.valid ? Block<type>::m(b[i]) : 0u);
      }
    }
  }
}

template <TensorType type>
INLAY_ANYWHERE void pack_blocks(const uint8_t* source, uint32_t valid, char* tile, uint32_t lane) {
  using Words = typename Block<type>::Words;
  constexpr int kWords = Words::kWords;
  const uint32_t g = lane / 4, t = lane % 4;
  const SourceRow<type> row = {reinterpret_cast<const typename Block<type>::Type*>(source), valid};
  const auto pair = [&](int j, int h, int i) { return row.pair(t, j, h, i); };
  const auto small = [&](int c) { return row.code(64 * t + static_cast<uint32_t>(c)); };
  for (int n = 0; n < kWords; ++n) {
    uint32_t word;
    if constexpr (Words::kSmall) {
      word = Words::word(small, n);
    } else {
      word = Words::word(pair, n);
    }
    const bool last_pair = kWords % 4 == 2 && n >= kWords - 2;
    const uint32_t at = last_pair ? (kWords - 2) * 128 + lane * 8 + (n - (kWords - 2)) * 4
                                  : n / 4 * 512 + lane * 16 + n % 4 * 4;
    *reinterpret_cast<uint32_t*>(tile + at) = word;
  }
  pack_scales<type>(row, tile, g, t);
}

/// F16, BF16, FP8, F32: 8 columns a lane and group, as F16. BF16 and FP8 are 64 times as large there, so that
/// small weights keep their bits; F32 is a half, and 2048 times what that leaves as another.
template <TensorType type>
INLAY_ANYWHERE void pack_floats(const uint8_t* source, uint32_t valid, char* tile, uint32_t lane) {
  const uint32_t t = lane % 4;
  for (uint32_t n = 0; n < 64; ++n) {
    const uint32_t j = n / 8, i = n % 8, k = 32 * j + i / 4 * 16 + 4 * t + i % 4;
    char* to = tile + j * (type == TensorType::F32 ? 1024 : 512) + lane * 16 + i * 2;
    if constexpr (type == TensorType::F32) {
      const float w = k < valid ? std::bit_cast<float>(word_at(source + 4 * k)) : 0.0f;
      const uint16_t high = float_to_half(w);
      store_half(to, high);
      store_half(to + 512, float_to_half((w - half_to_float(high)) * 2048.0f));
    } else if constexpr (type == TensorType::FP8) {
      constexpr uint32_t kBlockBytes = traits(type).block_bytes;
      float w = 0.0f;
      if (k < valid) {
        const uint8_t* block = source + k / 128 * kBlockBytes;
        w = std::bit_cast<float>(word_at(block)) * e4m3_to_float(block[4 + k % 128]);
      }
      store_half(to, float_to_half(w * 64.0f));
    } else {
      const uint32_t bits = k < valid ? static_cast<uint32_t>(source[2 * k] | source[2 * k + 1] << 8) : 0u;
      const bool as_it_is = type == TensorType::F16;
      store_half(to, as_it_is ? bits : float_to_half(std::bit_cast<float>(bits << 16) * 64.0f));
    }
  }
}

/// What lane `lane` of a tile holds. `source` is row lane / 4 of the tile in the file, from the tile's first
/// column on, of which `valid` columns are there: 0 for a row beyond the matrix. `tile` is aligned to 4
/// bytes.
template <TensorType type>
INLAY_ANYWHERE void pack_lane(const uint8_t* source, uint32_t valid, char* tile, uint32_t lane) {
  if constexpr (is_blocks(type)) {
    pack_blocks<type>(source, valid, tile, lane);
  } else {
    pack_floats<type>(source, valid, tile, lane);
  }
}

}  // namespace inlay::tiles
