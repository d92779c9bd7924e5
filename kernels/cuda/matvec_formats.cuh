#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "formats/tiles.h"

// How each tensor type lies in a packed tile (8 rows by 256 columns), and how a warp turns it into operands.
//
// Lane 4 g + t holds, of row g, the columns 32 j + 16 h + 4 t .. + 3 for every group j and half h: two pairs,
// each a half2. A fragment of group j is {h0 first pair, h0 second, h1 first, h1 second}.
//
// A code is masked out of its word and is an operand as it stands: a half without exponent bits is a number
// too, its bits times 2^-24, and matrix instructions take it at full speed. Where in the half the code's bits
// lie makes it `weight` times larger; the scale of its group takes that out again.
//
// A weight of the matrix is slope * scale * (code - kOffset) - min_slope * minimum: kOffset is the type's, a
// scale and a minimum belong to a group of 32 columns (16 where the format is kFine), the slopes to the tile
// row's 256. What is taken off, offsets times scales or minima (the coefficients), is multiplied by the sums
// of the activations over the groups, so codes need no arithmetic of their own.
//
//   Codes    kWords of a lane; weight(i) of group (or half group) i, kWeight the largest; fragment(j)
//   Scales   load; scale(i), in units of kUnit; slope; and for what is taken off: coefficients of groups t,
//            t + 4 (and half groups t + 8, t + 12), a half2 each, in units of kCoefficientUnit; min_slope

namespace inlay::cuda {

constexpr float kHalfStep = 1.0f / 16777216.0f;  // 2^-24, the smallest half

__device__ __forceinline__ float byte_float(uint32_t word, uint32_t i) {
  return static_cast<float>(word >> (8 * i) & 0xFFu);
}

__device__ __forceinline__ uint32_t rotate_right(uint32_t x, uint32_t n) { return __funnelshift_r(x, x, n); }

__device__ __forceinline__ float low_float(uint32_t pair) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(pair & 0xFFFFu)));
}
__device__ __forceinline__ float high_float(uint32_t pair) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(pair >> 16)));
}
__device__ __forceinline__ float half_at(const char* p) {
  return __half2float(*reinterpret_cast<const __half*>(p));
}

/// Byte t of `first` and byte t of `second`, each in 16 bits; both are below 128.
__device__ __forceinline__ uint32_t byte_pair(uint32_t first, uint32_t second, uint32_t t) {
  uint32_t pair;  // a selector with its upper bit set repeats the byte's sign bit, here 0
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(pair) : "r"(first), "r"(second), "r"(0xC480u + 0x1111u * t));
  return pair;
}

/// The same, less `excess`, as halves; bytes may be up to 255.
__device__ __forceinline__ uint32_t half_pair(uint32_t first, uint32_t second, uint32_t t, float excess) {
  const uint32_t bytes = (byte_pair(first, second, t) & 0x00FF00FFu) | 0x64006400u;  // 1024 + byte
  const __half2 pair = __hsub2(*reinterpret_cast<const __half2*>(&bytes), __float2half2_rn(1024.0f + excess));
  return *reinterpret_cast<const uint32_t*>(&pair);
}

template <int Words>
struct Codes {
  uint32_t w[Words];
};

/// Words lie as 16 bytes a lane, 32 lanes a row of 512 bytes; a last odd pair of words as 8 bytes a lane.
template <int Words>
__device__ __forceinline__ Codes<Words> load_code_words(const char* tile, int lane) {
  Codes<Words> c;
#pragma unroll
  for (int i = 0; i + 4 <= Words; i += 4) {
    const uint4 v = *reinterpret_cast<const uint4*>(tile + i * 128 + lane * 16);
    c.w[i] = v.x, c.w[i + 1] = v.y, c.w[i + 2] = v.z, c.w[i + 3] = v.w;
  }
  if constexpr (Words % 4 == 2) {
    const uint2 v = *reinterpret_cast<const uint2*>(tile + (Words - 2) * 128 + lane * 8);
    c.w[Words - 2] = v.x, c.w[Words - 1] = v.y;
  }
  return c;
}

// --- codes

/// Four bits: even groups at bits 2..5 of a half, odd ones at 6..9; a rotation by 8 brings the second pairs
/// there.
struct Codes4 {
  static constexpr int kWords = 8;
  static constexpr int kClasses = 2;
  static constexpr float kWeight = 64.0f;
  static constexpr __device__ float weight(int j) { return j % 2 ? 64.0f : 4.0f; }
  static __device__ __forceinline__ void fragment(const Codes<8>& c, int j, uint32_t (&a)[4]) {
    const uint32_t mask = j % 2 == 0 ? 0x003C003Cu : 0x03C003C0u;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const uint32_t w = c.w[j / 2 * 2 + h];
      a[2 * h] = w & mask;
      a[2 * h + 1] = rotate_right(w, 8) & mask;
    }
  }
};

/// Five bits: three codes a half, and the spare bits of five halves make a sixteenth.
struct Codes5 {
  static constexpr int kWords = 10;
  static constexpr int kClasses = 1;
  static constexpr float kWeight = 32.0f;
  static constexpr __device__ float weight(int) { return kWeight; }
  static __device__ __forceinline__ void fragment(const Codes<10>& c, int j, uint32_t (&a)[4]) {
    const uint32_t* w = c.w + j / 4 * 5;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int n = j % 4 * 4 + i;
      if (n == 15) {
        a[i] = ((w[0] >> 6) & 0x02000200u) | ((w[1] >> 7) & 0x01000100u) | ((w[2] >> 8) & 0x00800080u) |
               ((w[3] >> 9) & 0x00400040u) | ((w[4] >> 10) & 0x00200020u);
      } else {
        a[i] = (n % 3 == 0 ? w[n / 3] : n % 3 == 1 ? w[n / 3] >> 5 : w[n / 3] << 5) & 0x03E003E0u;
      }
    }
  }
};

/// Six bits: two codes a half, and the spare bits of three halves make two more.
struct Codes6 {
  static constexpr int kWords = 12;
  static constexpr int kClasses = 1;
  static constexpr float kWeight = 16.0f;
  static constexpr __device__ float weight(int) { return kWeight; }
  static __device__ __forceinline__ void fragment(const Codes<12>& c, int j, uint32_t (&a)[4]) {
    const uint32_t* w = c.w + j / 2 * 3;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int n = j % 2 * 4 + i;
      if (n == 6) {
        a[i] = ((w[0] << 6) & 0x03C003C0u) | ((w[1] << 4) & 0x00300030u);
      } else if (n == 7) {
        a[i] = ((w[2] << 6) & 0x03C003C0u) | ((w[1] << 2) & 0x00300030u);
      } else {
        a[i] = (n % 2 == 0 ? w[n / 2] : w[n / 2] >> 6) & 0x03F003F0u;
      }
    }
  }
};

/// Eight bits, the sign bit turned.
struct Codes8 {
  static constexpr int kWords = 16;
  static constexpr int kClasses = 1;
  static constexpr float kWeight = 1.0f;
  static constexpr __device__ float weight(int) { return kWeight; }
  static __device__ __forceinline__ void fragment(const Codes<16>& c, int j, uint32_t (&a)[4]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      a[2 * h] = __byte_perm(c.w[2 * j + h], 0u, 0x4140);
      a[2 * h + 1] = __byte_perm(c.w[2 * j + h], 0u, 0x4342);
    }
  }
};

/// The bytes that four codes of four bits (the low half of `codes`) stand for in a table of 16.
__device__ __forceinline__ uint32_t look_up(uint32_t codes, uint32_t t0, uint32_t t1, uint32_t t2,
                                            uint32_t t3) {
  const uint32_t low_bits = codes & 0x7777u;
  const uint32_t low = __byte_perm(t0, t1, low_bits), high = __byte_perm(t2, t3, low_bits);
  return __byte_perm(low, high, 0x3210u | ((codes & 0x8888u) >> 1));
}

/// Four bits that stand for IQ4's table, here 128 above it. A word has an even group's codes of a half in its
/// lower 16 bits, the odd one's above.
struct CodesIQ4 {
  static constexpr int kWords = 8;
  static constexpr int kClasses = 1;
  static constexpr float kWeight = 1.0f;
  static constexpr __device__ float weight(int) { return kWeight; }
  static __device__ __forceinline__ void fragment(const Codes<8>& c, int j, uint32_t (&a)[4]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const uint32_t w = c.w[j / 2 * 2 + h] >> (j % 2 * 16);
      const uint32_t v = look_up(w, 0x3F2D1801u, 0x766A5D4Fu, 0xA6998D81u, 0xF1D9C5B5u);
      a[2 * h] = __byte_perm(v, 0u, 0x4140);
      a[2 * h + 1] = __byte_perm(v, 0u, 0x4342);
    }
  }
};

/// E2M1, as the upper bytes of the same numbers in F16; words as for IQ4.
struct CodesE2M1 {
  static constexpr int kWords = 8;
  static constexpr int kClasses = 1;
  static constexpr float kWeight = 1.0f / kHalfStep;
  static constexpr __device__ float weight(int) { return kWeight; }
  static __device__ __forceinline__ void fragment(const Codes<8>& c, int j, uint32_t (&a)[4]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const uint32_t w = c.w[j / 2 * 2 + h] >> (j % 2 * 16);
      const uint32_t v = look_up(w, 0x3E3C3800u, 0x46444240u, 0xBEBCB880u, 0xC6C4C2C0u);
      a[2 * h] = __byte_perm(v, 0u, 0x1404);
      a[2 * h + 1] = __byte_perm(v, 0u, 0x3424);
    }
  }
};

// --- scales

/// Byte i of `words`, less `excess`, times kHalfStep: two bytes of a word at a time become halves without
/// exponent. `Mask` has the bits of one byte.
template <uint32_t Mask, int Excess = 0>
__device__ __forceinline__ float small_byte(const uint32_t* words, int i) {
  uint32_t pair;  // by hand, for the compiler would take the two apart again
  asm("and.b32 %0, %1, %2;" : "=r"(pair) : "r"(words[i / 4] >> (i % 2 * 8)), "n"(Mask << 16 | Mask));
  if (Excess != 0) {
    const __half2 less =
        __hsub2(*reinterpret_cast<const __half2*>(&pair), __float2half2_rn(Excess * kHalfStep));
    pair = *reinterpret_cast<const uint32_t*>(&less);
  }
  return i % 4 < 2 ? low_float(pair) : high_float(pair);
}

/// Six-bit scales and minima of eight groups, and two halves: 16 bytes a row.
template <int Offset>
struct ScalesK32 {
  static constexpr bool kFine = false;
  static constexpr bool kMins = true;
  static constexpr float kUnit = kHalfStep;
  static constexpr float kCoefficientUnit = kHalfStep;
  struct Scales {
    uint32_t s[2], m[2], d;
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g) {
    const uint4 v = *reinterpret_cast<const uint4*>(tile + Offset + g * 16);
    Scales s;
    s.s[0] = v.x;
    s.s[1] = v.y;
    s.m[0] = (v.z & 0x0F0F0F0Fu) | ((v.x >> 2) & 0x30303030u);
    s.m[1] = ((v.z >> 4) & 0x0F0F0F0Fu) | ((v.y >> 2) & 0x30303030u);
    s.d = v.w;
    return s;
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) { return small_byte<0x3F>(s.s, i); }
  static __device__ __forceinline__ float min(const Scales& s, int i) {
    return byte_float(s.m[i / 4], i % 4);
  }
  static __device__ __forceinline__ void coefficients(const Scales& s, const char*, int, int t,
                                                      uint32_t (&a)[1]) {
    a[0] = byte_pair(s.m[0], s.m[1], t);
  }
  static __device__ __forceinline__ float slope(const Scales& s) { return low_float(s.d); }
  static __device__ __forceinline__ float min_slope(const Scales& s) { return high_float(s.d); }
};

/// Bytes for sixteen half groups, `Excess` above the scales.
template <int Excess>
struct ByteScales16 {
  static constexpr bool kFine = true;
  static constexpr bool kMins = false;
  static constexpr float kUnit = kHalfStep;
  static constexpr float kCoefficientUnit = 1.0f;
  struct Scales {
    uint32_t s[4];
    float d;
  };
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return small_byte<0xFF, Excess>(s.s, i);
  }
  static __device__ __forceinline__ float min(const Scales&, int) { return 0.0f; }
  static __device__ __forceinline__ void coefficients(const Scales& s, const char*, int, int t,
                                                      uint32_t (&a)[2]) {
    a[0] = half_pair(s.s[0], s.s[1], t, Excess), a[1] = half_pair(s.s[2], s.s[3], t, Excess);
  }
  static __device__ __forceinline__ float slope(const Scales& s) { return s.d; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return 0.0f; }
};

/// Signed bytes, their sign bit turned, then a half: Q6_K.
struct ScalesQ6 : ByteScales16<128> {
  static __device__ __forceinline__ Scales load(const char* tile, int g) {
    const uint4 v = *reinterpret_cast<const uint4*>(tile + 1536 + g * 16);
    return {{v.x, v.y, v.z, v.w}, half_at(tile + 1664 + g * 2)};
  }
};

/// A half a group, word j holding those of groups j and j + 4; with `Mins`, as many more that are added.
template <int Offset, bool Mins>
struct ScalesHalf {
  static constexpr bool kFine = false;
  static constexpr bool kMins = Mins;
  static constexpr float kUnit = 1.0f;
  static constexpr float kCoefficientUnit = 1.0f;
  static constexpr int kCoefficients = Offset + (Mins ? 128 : 0);
  struct Scales {
    uint32_t s[4];
    const char* mins;
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g) {
    const uint4 v = *reinterpret_cast<const uint4*>(tile + Offset + g * 16);
    return {{v.x, v.y, v.z, v.w}, tile + Offset + 128 + g * 16};
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return i < 4 ? low_float(s.s[i]) : high_float(s.s[i - 4]);
  }
  static __device__ __forceinline__ float min(const Scales& s, int i) {
    return Mins ? half_at(s.mins + i % 4 * 4 + i / 4 * 2) : 0.0f;
  }
  static __device__ __forceinline__ void coefficients(const Scales&, const char* tile, int g, int t,
                                                      uint32_t (&a)[1]) {
    a[0] = *reinterpret_cast<const uint32_t*>(tile + kCoefficients + g * 16 + t * 4);
  }
  static __device__ __forceinline__ float slope(const Scales&) { return 1.0f; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return -1.0f; }
};

/// Six-bit scales, 32 above, a byte a group, then a half: IQ4_XS.
struct ScalesIQ4XS {
  static constexpr bool kFine = false;
  static constexpr bool kMins = false;
  static constexpr float kUnit = 1.0f;
  static constexpr float kCoefficientUnit = 1.0f;
  struct Scales {
    uint32_t s[2];
    float d;
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g) {
    const uint2 v = *reinterpret_cast<const uint2*>(tile + 1024 + g * 8);
    return {{v.x, v.y}, half_at(tile + 1088 + g * 2)};
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return byte_float(s.s[i / 4], i % 4) - 32.0f;
  }
  static __device__ __forceinline__ float min(const Scales&, int) { return 0.0f; }
  static __device__ __forceinline__ void coefficients(const Scales& s, const char*, int, int t,
                                                      uint32_t (&a)[1]) {
    a[0] = half_pair(s.s[0], s.s[1], t, 32.0f);
  }
  static __device__ __forceinline__ float slope(const Scales& s) { return s.d; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return 0.0f; }
};

/// A power of two a group, as a biased exponent: MXFP4.
struct ScalesE8M0 {
  static constexpr bool kFine = false;
  static constexpr bool kMins = false;
  static constexpr float kUnit = 1.0f;
  struct Scales {
    uint32_t s[2];
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g) {
    const uint2 v = *reinterpret_cast<const uint2*>(tile + 1024 + g * 8);
    return {{v.x, v.y}};
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return __uint_as_float((s.s[i / 4] >> (i % 4 * 8) & 0xFFu) << 23);
  }
  static __device__ __forceinline__ float min(const Scales&, int) { return 0.0f; }
  static __device__ __forceinline__ float slope(const Scales&) { return 1.0f; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return 0.0f; }
};

/// Unsigned E4M3 for sixteen half groups: NVFP4. Shifted under F16's exponent it is 2^8 too small.
struct ScalesE4M3 {
  static constexpr bool kFine = true;
  static constexpr bool kMins = false;
  static constexpr float kUnit = 1.0f;
  struct Scales {
    uint32_t s[4];
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g) {
    const uint4 v = *reinterpret_cast<const uint4*>(tile + 1024 + g * 16);
    return {{v.x, v.y, v.z, v.w}};
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return low_float((s.s[i / 4] >> (i % 4 * 8) & 0x7Fu) << 7);
  }
  static __device__ __forceinline__ float min(const Scales&, int) { return 0.0f; }
  static __device__ __forceinline__ float slope(const Scales&) { return 256.0f; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return 0.0f; }
};

// --- small codes with small scales
//
// A code times its group's scale fits a byte, so one multiplication scales four codes, and they are operands
// of integer matrix instructions as they come out. The activations are bytes as well, in two planes
// (matvec_planes.cuh). Lane 4 g + t holds, of row g, the columns 64 t .. 64 t + 63: operand n, one of 16, has
// columns 64 t + 4 n .. + 3, a byte each, and group q, of 16 columns, the operands 4 q .. 4 q + 3. A lane
// needs four scales of its row.
//
// A byte is kWeight * scale * code + kExcess; a weight is slope * scale * code - min_slope * minimum, with
// the code's offset taken off in the byte already.

/// Byte i of a word.
__device__ __forceinline__ uint32_t byte_of(uint32_t word, uint32_t i) {
  return __byte_perm(word, 0u, 0x4440u + i);
}

/// Q2_K: 512 bytes of codes, word q of a lane being group q, operand 4 q + n at bits 2 n of its bytes; rows'
/// 16 bytes of scales and minima, as in the file; rows' pairs of halves.
struct Small2 {
  static constexpr int kWords = 4;
  static constexpr bool kMins = true;
  static constexpr int kExcess = 0;
  static constexpr float kWeight = 4.0f;
  Codes<4> codes;
  uint32_t scales, slopes;

  __device__ __forceinline__ Small2(const char* tile, int lane)
      : codes(load_code_words<4>(tile, lane)),
        scales(*reinterpret_cast<const uint32_t*>(tile + 512 + lane * 4)),
        slopes(*reinterpret_cast<const uint32_t*>(tile + 640 + lane / 4 * 4)) {}

  __device__ __forceinline__ void operands(uint32_t (&a)[16]) const {
    const uint32_t low = scales & 0x0F0F0F0Fu;
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const uint32_t scale = byte_of(low, q), w = codes.w[q], upper = w >> 4;
      a[4 * q] = (w & 0x03030303u) * (4 * scale);
      a[4 * q + 1] = (w & 0x0C0C0C0Cu) * scale;
      a[4 * q + 2] = (upper & 0x03030303u) * (4 * scale);
      a[4 * q + 3] = (upper & 0x0C0C0C0Cu) * scale;
    }
  }
  /// The minima of groups 4 t, 4 t + 2, and of 4 t + 1, 4 t + 3, as halves of kMinUnit.
  static constexpr float kMinUnit = 16.0f * kHalfStep;
  __device__ __forceinline__ uint32_t even_mins() const { return scales & 0x00F000F0u; }
  __device__ __forceinline__ uint32_t odd_mins() const { return scales >> 8 & 0x00F000F0u; }
  __device__ __forceinline__ float min(int q) const {
    return static_cast<float>(scales >> (8 * q + 4) & 0x0Fu);
  }
  __device__ __forceinline__ float slope() const { return low_float(slopes); }
  __device__ __forceinline__ float min_slope() const { return high_float(slopes); }
};

/// Q3_K: 768 bytes of codes, three words of a lane being groups 2 n and 2 n + 1: two operands in the lower
/// six bits of each word's bytes, two more in the upper two; then of a row's scales, 32 above, the lower four
/// bits, those of the groups of t / 2 in a word, and the upper two, t's at bits 2 t; a half.
struct Small3 {
  static constexpr int kWords = 6;
  static constexpr bool kMins = false;
  static constexpr int kExcess = 127;
  static constexpr float kWeight = 1.0f;
  Codes<6> codes;
  uint32_t scales;  // 32 above
  float d;

  __device__ __forceinline__ Small3(const char* tile, int lane)
      : codes(load_code_words<6>(tile, lane)), d(half_at(tile + 864 + lane / 4 * 2)) {
    const uint32_t t = static_cast<uint32_t>(lane) % 4;
    const uint32_t low = *reinterpret_cast<const uint32_t*>(tile + 768 + lane / 2 * 4) >> (t % 2 * 4);
    const uint32_t high = *reinterpret_cast<const uint32_t*>(tile + 832 + lane / 4 * 4);
    scales = (low & 0x0F0F0F0Fu) | (rotate_right(high, 2 * t - 4) & 0x30303030u);
  }

  /// Codes are four above, so scale * (code - 4) + 127 is 3 at the least and 255 at the most: no carry.
  __device__ __forceinline__ void operands(uint32_t (&a)[16]) const {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const uint32_t *w = codes.w + 3 * n, mask = 0x07070707u;
      const uint32_t spare =
          (w[0] >> 6 & 0x03030303u) | (w[1] >> 4 & 0x0C0C0C0Cu) | (w[2] >> 2 & 0x30303030u);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const uint32_t word = i < 6 ? w[i / 2] : spare;
        a[8 * n + i] = (i % 2 ? word >> 3 : word) & mask;
      }
#pragma unroll
      for (int q = 0; q < 2; ++q) {
        const uint32_t scale = byte_of(scales, 2 * n + q) - 32u;
        uint32_t added = 0x7F7F7F7Fu - 0x04040404u * scale;
        asm("" : "+r"(added));  // or the compiler takes four off each operand instead
#pragma unroll
        for (int i = 0; i < 4; ++i) a[8 * n + 4 * q + i] = a[8 * n + 4 * q + i] * scale + added;
      }
    }
  }
  __device__ __forceinline__ float min(int) const { return 0.0f; }
  __device__ __forceinline__ float slope() const { return d; }
  __device__ __forceinline__ float min_slope() const { return 0.0f; }
};

// --- formats
//   kTileBytes; kUnits: the parts of a tile that are fetched and multiplied one after another; kPairs of
//   tiles that are fetched at once kResult: what products are multiplied by at the end column: of the eight
//   weights that lane 4 g + t has in part j of 8, the first; the fifth is kHalfApart on

enum class Family { kBlocks, kSmall, kFloats };

/// Columns as fragments of F16 have them.
struct FragmentColumns {
  static constexpr uint32_t kHalfApart = 16;
  static constexpr __host__ __device__ uint32_t column(uint32_t t, uint32_t j) { return 32 * j + 4 * t; }
};

template <typename CodesT, typename ScalesT, int Bytes, int Offset>
struct BlockFormat : FragmentColumns {
  using C = CodesT;
  using S = ScalesT;
  static constexpr Family kFamily = Family::kBlocks;
  static constexpr int kTileBytes = Bytes;
  static constexpr int kUnits = 1;
  static constexpr int kPairs = 1;
  static constexpr float kOffset = Offset;
  static constexpr bool kTakesOff = Offset != 0 || ScalesT::kMins;
  static constexpr float kResult = 1.0f / (CodesT::kWeight * kHalfStep * ScalesT::kUnit);
};

template <typename SmallT, int Bytes>
struct SmallFormat {
  using T = SmallT;
  static constexpr Family kFamily = Family::kSmall;
  static constexpr int kTileBytes = Bytes;
  static constexpr int kUnits = 1;
  static constexpr int kPairs = 2;
  static constexpr float kResult = 1.0f / SmallT::kWeight;
  static constexpr uint32_t kHalfApart = 4;
  static constexpr __host__ __device__ uint32_t column(uint32_t t, uint32_t j) { return 64 * t + 8 * j; }
};

/// F16 operands as they are: units of 64 columns, 16 bytes a lane and group.
template <bool Narrowed>
struct HalfFormat : FragmentColumns {
  static constexpr Family kFamily = Family::kFloats;
  static constexpr bool kSplit = false;
  static constexpr int kTileBytes = 4096;
  static constexpr int kUnits = 4;
  static constexpr int kPairs = 1;
  // BF16 and FP8 are stored as F16 of 64 w, so that small weights keep their bits.
  static constexpr float kResult = Narrowed ? 1.0f / 64.0f : 1.0f;
};

/// F32 as a half and the half of 2048 times what that leaves: units of 32 columns, 512 bytes of each.
struct FloatFormat : FragmentColumns {
  static constexpr Family kFamily = Family::kFloats;
  static constexpr bool kSplit = true;
  static constexpr int kTileBytes = 8192;
  static constexpr int kUnits = 8;
  static constexpr int kPairs = 1;
  static constexpr float kResult = 1.0f;
};

template <TensorType>
struct Format;
template <>
struct Format<TensorType::Q4_K> : BlockFormat<Codes4, ScalesK32<1024>, 1152, 0> {};
template <>
struct Format<TensorType::Q5_K> : BlockFormat<Codes5, ScalesK32<1280>, 1408, 0> {};
template <>
struct Format<TensorType::Q6_K> : BlockFormat<Codes6, ScalesQ6, 1680, 32> {};
template <>
struct Format<TensorType::Q8_0> : BlockFormat<Codes8, ScalesHalf<2048, false>, 2176, 128> {};
template <>
struct Format<TensorType::Q2_K> : SmallFormat<Small2, 672> {};
template <>
struct Format<TensorType::Q3_K> : SmallFormat<Small3, 880> {};
template <>
struct Format<TensorType::Q4_0> : BlockFormat<Codes4, ScalesHalf<1024, false>, 1152, 8> {};
template <>
struct Format<TensorType::Q4_1> : BlockFormat<Codes4, ScalesHalf<1024, true>, 1280, 0> {};
template <>
struct Format<TensorType::Q5_0> : BlockFormat<Codes5, ScalesHalf<1280, false>, 1408, 16> {};
template <>
struct Format<TensorType::Q5_1> : BlockFormat<Codes5, ScalesHalf<1280, true>, 1536, 0> {};
template <>
struct Format<TensorType::IQ4_NL> : BlockFormat<CodesIQ4, ScalesHalf<1024, false>, 1152, 128> {};
template <>
struct Format<TensorType::IQ4_XS> : BlockFormat<CodesIQ4, ScalesIQ4XS, 1104, 128> {};
template <>
struct Format<TensorType::MXFP4> : BlockFormat<CodesE2M1, ScalesE8M0, 1088, 0> {};
template <>
struct Format<TensorType::NVFP4> : BlockFormat<CodesE2M1, ScalesE4M3, 1152, 0> {};
template <>
struct Format<TensorType::F16> : HalfFormat<false> {};
template <>
struct Format<TensorType::BF16> : HalfFormat<true> {};
template <>
struct Format<TensorType::FP8> : HalfFormat<true> {};
template <>
struct Format<TensorType::F32> : FloatFormat {};

#define INLAY_FOR_EACH_PACKED_TYPE(X) INLAY_FOR_EACH_TENSOR_TYPE(X) INLAY_FOR_EACH_OWN_TENSOR_TYPE(X)

struct TileShape {
  uint32_t bytes;
  uint32_t units;
  float result;  // what products are multiplied by
};

constexpr TileShape tile_shape(TensorType type) {
  switch (type) {
#define INLAY_TILE_SHAPE(name, number, elements, bytes)                             \
  case TensorType::name:                                                            \
    return {Format<TensorType::name>::kTileBytes, Format<TensorType::name>::kUnits, \
            Format<TensorType::name>::kResult};
    INLAY_FOR_EACH_PACKED_TYPE(INLAY_TILE_SHAPE)
#undef INLAY_TILE_SHAPE
  }
  return {};
}

}  // namespace inlay::cuda
