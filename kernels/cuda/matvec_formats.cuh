#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "formats/tensor_type.h"

// How each tensor type lies in a packed tile (8 rows by 256 columns), and how a warp turns it into operands.
//
// Lane 4 g + t holds, of row g, the columns 32 j + 16 h + 4 t .. + 3 for every group j and half h: two pairs,
// each a half2. A fragment of group j is {h0 first pair, h0 second, h1 first, h1 second}. A code q becomes
// the half base + q by putting its bits under a constant exponent, one instruction a pair; the sums of the
// activations then take the base out again.
//
// A format has:
//   kTileBytes; kUnits: the parts of a tile that are fetched and multiplied one after another
//   kFine: a scale for every 16 columns, not 32
//   kOffset: codes carry a base; kMins: the type subtracts a minimum a group
//   Codes, load_codes, fragment<J>; Scales, load_scales; scale(i) of group (or half group) i;
//   lane_scales: those of groups t, t + 4 (, t + 8, t + 12), likewise lane_mins; slope, min_slope: of the
//   block base(i): what a code's half is above the weight's integer
// A weight is slope * scale * (half - base) - min_slope * min.

namespace inlay::cuda {

/// The bits of 2^23, the exponent that makes a byte below it a float.
constexpr uint32_t kByteExponent = 0x4B000000u;

/// Byte `i` of `word` as a float, less `excess`. `exponent` is kByteExponent.
__device__ __forceinline__ float byte_float(uint32_t word, uint32_t i, uint32_t exponent,
                                            float excess = 0.0f) {
  return __uint_as_float(__byte_perm(word, exponent, 0x7440u | i)) - (8388608.0f + excess);
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

/// The exponents that codes are put under. They come to the kernel as data: the compiler then keeps them in
/// registers, where it would otherwise spend a second instruction on each pair for a second constant.
template <int Count>
struct Exponents {
  uint32_t v[Count];
};

// --- codes
// ---------------------------------------------------------------------------------------------------

/// Four bits: even groups at bits 2..5 of a half (256 + q), odd ones at 6..9 (16 + q); a rotation by 8 brings
/// the second pairs there.
struct Codes4 {
  static constexpr int kWords = 8;
  static constexpr bool kOffset = true;
  static __device__ __forceinline__ float base(int j) { return j % 2 ? 16.0f : 256.0f; }
  static __device__ __forceinline__ float lane_base(int t) { return t % 2 ? 16.0f : 256.0f; }
  static __device__ __forceinline__ Exponents<2> exponents(uint32_t zero) {
    return {{0x5C005C00u + zero, 0x4C004C00u + zero}};
  }
  static __device__ __forceinline__ void fragment(const Codes<8>& c, int j, const Exponents<2>& e,
                                                  uint32_t (&a)[4]) {
    const uint32_t mask = j % 2 == 0 ? 0x003C003Cu : 0x03C003C0u;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const uint32_t w = c.w[j / 2 * 2 + h];
      a[2 * h] = (w & mask) | e.v[j % 2];
      a[2 * h + 1] = (rotate_right(w, 8) & mask) | e.v[j % 2];
    }
  }
};

/// Five bits: three codes a half, and the spare bits of five halves make a sixteenth; all as 32 + q.
struct Codes5 {
  static constexpr int kWords = 10;
  static constexpr bool kOffset = true;
  static __device__ __forceinline__ float base(int) { return 32.0f; }
  static __device__ __forceinline__ float lane_base(int) { return 32.0f; }
  static __device__ __forceinline__ Exponents<1> exponents(uint32_t zero) { return {{0x50005000u + zero}}; }
  static __device__ __forceinline__ void fragment(const Codes<10>& c, int j, const Exponents<1>& e,
                                                  uint32_t (&a)[4]) {
    const uint32_t* w = c.w + j / 4 * 5;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int n = j % 4 * 4 + i;
      uint32_t v;
      if (n == 15) {
        v = ((w[0] >> 6) & 0x02000200u) | ((w[1] >> 7) & 0x01000100u) | ((w[2] >> 8) & 0x00800080u) |
            ((w[3] >> 9) & 0x00400040u) | ((w[4] >> 10) & 0x00200020u);
      } else {
        v = n % 3 == 0 ? w[n / 3] : n % 3 == 1 ? w[n / 3] >> 5 : w[n / 3] << 5;
        v &= 0x03E003E0u;
      }
      a[i] = v | e.v[0];
    }
  }
};

/// Six bits: two codes a half, and the spare bits of three halves make two more; all as 64 + q.
struct Codes6 {
  static constexpr int kWords = 12;
  static constexpr bool kOffset = true;
  static __device__ __forceinline__ float base(int) { return 64.0f; }
  static __device__ __forceinline__ float lane_base(int) { return 64.0f; }
  static __device__ __forceinline__ Exponents<1> exponents(uint32_t zero) { return {{0x54005400u + zero}}; }
  static __device__ __forceinline__ void fragment(const Codes<12>& c, int j, const Exponents<1>& e,
                                                  uint32_t (&a)[4]) {
    const uint32_t* w = c.w + j / 2 * 3;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int n = j % 2 * 4 + i;
      uint32_t v;
      if (n == 6) {
        v = ((w[0] << 6) & 0x03C003C0u) | ((w[1] << 4) & 0x00300030u);
      } else if (n == 7) {
        v = ((w[2] << 6) & 0x03C003C0u) | ((w[1] << 2) & 0x00300030u);
      } else {
        v = (n % 2 == 0 ? w[n / 2] : w[n / 2] >> 6) & 0x03F003F0u;
      }
      a[i] = v | e.v[0];
    }
  }
};

/// Eight bits, the sign bit turned: 1024 + 128 + q.
struct Codes8 {
  static constexpr int kWords = 16;
  static constexpr bool kOffset = true;
  static __device__ __forceinline__ float base(int) { return 1152.0f; }
  static __device__ __forceinline__ float lane_base(int) { return 1152.0f; }
  static __device__ __forceinline__ Exponents<1> exponents(uint32_t zero) { return {{0x64646464u + zero}}; }
  static __device__ __forceinline__ void fragment(const Codes<16>& c, int j, const Exponents<1>& e,
                                                  uint32_t (&a)[4]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      a[2 * h] = __byte_perm(c.w[2 * j + h], e.v[0], 0x4140);
      a[2 * h + 1] = __byte_perm(c.w[2 * j + h], e.v[0], 0x4342);
    }
  }
};

/// Two bits at bits 2 + 2 f of a half, f = 2 (j % 2) + h: 2^(8 - 2 f) + q; a rotation by 8 for second pairs.
struct Codes2 {
  static constexpr int kWords = 4;
  static constexpr bool kOffset = true;
  static __device__ __forceinline__ float base(int i) { return static_cast<float>(256 >> (i % 4 * 2)); }
  static __device__ __forceinline__ float lane_base(int t) { return static_cast<float>(256 >> (2 * t)); }
  static __device__ __forceinline__ Exponents<4> exponents(uint32_t zero) {
    return {{0x5C005C00u + zero, 0x54005400u + zero, 0x4C004C00u + zero, 0x44004400u + zero}};
  }
  static __device__ __forceinline__ void fragment(const Codes<4>& c, int j, const Exponents<4>& e,
                                                  uint32_t (&a)[4]) {
    const uint32_t w = c.w[j / 2], r = rotate_right(w, 8);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int field = 2 * (j % 2) + h;
      const uint32_t mask = 0x000C000Cu << (2 * field);
      a[2 * h] = (w & mask) | e.v[field];
      a[2 * h + 1] = (r & mask) | e.v[field];
    }
  }
};

/// Three bits: five codes a half, and the spare bits of three halves make a sixteenth; all as 8 + q.
struct Codes3 {
  static constexpr int kWords = 6;
  static constexpr bool kOffset = true;
  static __device__ __forceinline__ float base(int) { return 8.0f; }
  static __device__ __forceinline__ float lane_base(int) { return 8.0f; }
  static __device__ __forceinline__ Exponents<1> exponents(uint32_t zero) { return {{0x48004800u + zero}}; }
  static __device__ __forceinline__ void fragment(const Codes<6>& c, int j, const Exponents<1>& e,
                                                  uint32_t (&a)[4]) {
    const uint32_t* w = c.w + j / 4 * 3;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int n = j % 4 * 4 + i;
      uint32_t v;
      if (n == 15) {
        v = ((w[0] << 9) & 0x02000200u) | ((w[1] << 8) & 0x01000100u) | ((w[2] << 7) & 0x00800080u);
      } else {
        const uint32_t x = w[n / 5];
        v = n % 5 == 0 ? x : n % 5 == 1 ? x >> 3 : n % 5 == 2 ? x >> 6 : n % 5 == 3 ? x << 3 : x << 6;
        v &= 0x03800380u;
      }
      a[i] = v | e.v[0];
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

/// Four bits that stand for IQ4's table, here 128 above it: 1024 + 128 + w. A word has an even group's codes
/// of a half in its lower 16 bits, the odd one's above.
struct CodesIQ4 {
  static constexpr int kWords = 8;
  static constexpr bool kOffset = true;
  static __device__ __forceinline__ float base(int) { return 1152.0f; }
  static __device__ __forceinline__ float lane_base(int) { return 1152.0f; }
  static __device__ __forceinline__ Exponents<1> exponents(uint32_t zero) { return {{0x64646464u + zero}}; }
  static __device__ __forceinline__ void fragment(const Codes<8>& c, int j, const Exponents<1>& e,
                                                  uint32_t (&a)[4]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const uint32_t w = c.w[j / 2 * 2 + h] >> (j % 2 * 16);
      const uint32_t v = look_up(w, 0x3F2D1801u, 0x766A5D4Fu, 0xA6998D81u, 0xF1D9C5B5u);
      a[2 * h] = __byte_perm(v, e.v[0], 0x4140);
      a[2 * h + 1] = __byte_perm(v, e.v[0], 0x4342);
    }
  }
};

/// E2M1, as the upper bytes of the same numbers in F16; words as for IQ4.
struct CodesE2M1 {
  static constexpr int kWords = 8;
  static constexpr bool kOffset = false;
  static __device__ __forceinline__ float base(int) { return 0.0f; }
  static __device__ __forceinline__ float lane_base(int) { return 0.0f; }
  static __device__ __forceinline__ Exponents<1> exponents(uint32_t) { return {}; }
  static __device__ __forceinline__ void fragment(const Codes<8>& c, int j, const Exponents<1>&,
                                                  uint32_t (&a)[4]) {
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
// --------------------------------------------------------------------------------------------------

/// Six-bit scales and minima of eight groups, and two halves: 16 bytes a row.
template <int Offset>
struct ScalesK32 {
  static constexpr bool kFine = false;
  static constexpr bool kMins = true;
  static constexpr float kExcess = 0.0f;  // taken from every code beside its base
  struct Scales {
    uint32_t s[2], m[2], d, exponent;
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g, int, uint32_t exponent) {
    const uint4 v = *reinterpret_cast<const uint4*>(tile + Offset + g * 16);
    Scales s;
    s.s[0] = v.x & 0x3F3F3F3Fu;
    s.s[1] = v.y & 0x3F3F3F3Fu;
    s.m[0] = (v.z & 0x0F0F0F0Fu) | ((v.x >> 2) & 0x30303030u);
    s.m[1] = ((v.z >> 4) & 0x0F0F0F0Fu) | ((v.y >> 2) & 0x30303030u);
    s.d = v.w;
    s.exponent = exponent;
    return s;
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return byte_float(s.s[i / 4], i % 4, s.exponent);
  }
  static __device__ __forceinline__ float min(const Scales& s, int i) {
    return byte_float(s.m[i / 4], i % 4, s.exponent);
  }
  static __device__ __forceinline__ void lane_scales(const Scales& s, int t, float (&a)[2]) {
    a[0] = byte_float(s.s[0], t, s.exponent), a[1] = byte_float(s.s[1], t, s.exponent);
  }
  static __device__ __forceinline__ void lane_mins(const Scales& s, int t, float (&a)[2]) {
    a[0] = byte_float(s.m[0], t, s.exponent), a[1] = byte_float(s.m[1], t, s.exponent);
  }
  static __device__ __forceinline__ float slope(const Scales& s) { return low_float(s.d); }
  static __device__ __forceinline__ float min_slope(const Scales& s) { return high_float(s.d); }
};

/// Signed bytes for sixteen half groups, their sign bit turned, then a half: Q6_K.
struct ScalesQ6 {
  static constexpr bool kFine = true;
  static constexpr bool kMins = false;
  static constexpr float kExcess = 32.0f;
  struct Scales {
    uint32_t s[4];
    float d;
    uint32_t exponent;
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g, int, uint32_t exponent) {
    const uint4 v = *reinterpret_cast<const uint4*>(tile + 1536 + g * 16);
    return {{v.x, v.y, v.z, v.w}, half_at(tile + 1664 + g * 2), exponent};
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return byte_float(s.s[i / 4], i % 4, s.exponent, 128.0f);
  }
  static __device__ __forceinline__ float min(const Scales&, int) { return 0.0f; }
  static __device__ __forceinline__ void lane_scales(const Scales& s, int t, float (&a)[4]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) a[q] = byte_float(s.s[q], t, s.exponent, 128.0f);
  }
  static __device__ __forceinline__ void lane_mins(const Scales&, int, float (&)[4]) {}
  static __device__ __forceinline__ float slope(const Scales& s) { return s.d; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return 0.0f; }
};

/// Four-bit scales and minima of sixteen half groups, then two halves: Q2_K.
struct ScalesQ2 {
  static constexpr bool kFine = true;
  static constexpr bool kMins = true;
  static constexpr float kExcess = 0.0f;
  struct Scales {
    uint32_t s[4], m[4], d, exponent;
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g, int, uint32_t exponent) {
    const uint4 v = *reinterpret_cast<const uint4*>(tile + 512 + g * 16);
    const uint32_t w[4] = {v.x, v.y, v.z, v.w};
    Scales s;
#pragma unroll
    for (int q = 0; q < 4; ++q) s.s[q] = w[q] & 0x0F0F0F0Fu, s.m[q] = (w[q] >> 4) & 0x0F0F0F0Fu;
    s.d = *reinterpret_cast<const uint32_t*>(tile + 640 + g * 4);
    s.exponent = exponent;
    return s;
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return byte_float(s.s[i / 4], i % 4, s.exponent);
  }
  static __device__ __forceinline__ float min(const Scales& s, int i) {
    return byte_float(s.m[i / 4], i % 4, s.exponent);
  }
  static __device__ __forceinline__ void lane_scales(const Scales& s, int t, float (&a)[4]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) a[q] = byte_float(s.s[q], t, s.exponent);
  }
  static __device__ __forceinline__ void lane_mins(const Scales& s, int t, float (&a)[4]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) a[q] = byte_float(s.m[q], t, s.exponent);
  }
  static __device__ __forceinline__ float slope(const Scales& s) { return low_float(s.d); }
  static __device__ __forceinline__ float min_slope(const Scales& s) { return high_float(s.d); }
};

/// Six-bit scales, 32 above, of sixteen half groups, then a half: Q3_K.
struct ScalesQ3 {
  static constexpr bool kFine = true;
  static constexpr bool kMins = false;
  static constexpr float kExcess = 4.0f;
  struct Scales {
    uint32_t s[4];
    float d;
    uint32_t exponent;
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g, int, uint32_t exponent) {
    const uint32_t n0 = *reinterpret_cast<const uint32_t*>(tile + 768 + g * 4);
    const uint32_t n1 = *reinterpret_cast<const uint32_t*>(tile + 800 + g * 4);
    const uint32_t high = *reinterpret_cast<const uint32_t*>(tile + 832 + g * 4);
    return {
        {(n0 & 0x0F0F0F0Fu) | ((high << 4) & 0x30303030u),
         ((n0 >> 4) & 0x0F0F0F0Fu) | ((high << 2) & 0x30303030u), (n1 & 0x0F0F0F0Fu) | (high & 0x30303030u),
         ((n1 >> 4) & 0x0F0F0F0Fu) | ((high >> 2) & 0x30303030u)},
        half_at(tile + 864 + g * 2),
        exponent};
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return byte_float(s.s[i / 4], i % 4, s.exponent, 32.0f);
  }
  static __device__ __forceinline__ float min(const Scales&, int) { return 0.0f; }
  static __device__ __forceinline__ void lane_scales(const Scales& s, int t, float (&a)[4]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) a[q] = byte_float(s.s[q], t, s.exponent, 32.0f);
  }
  static __device__ __forceinline__ void lane_mins(const Scales&, int, float (&)[4]) {}
  static __device__ __forceinline__ float slope(const Scales& s) { return s.d; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return 0.0f; }
};

/// A half a group, word j holding those of groups j and j + 4; with `Mins`, as many more that are added.
template <int Offset, int Excess, bool Mins>
struct ScalesHalf {
  static constexpr bool kFine = false;
  static constexpr bool kMins = Mins;
  static constexpr float kExcess = Excess;
  struct Scales {
    uint32_t s[4], m[Mins ? 4 : 1], lane, lane_min;
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g, int t, uint32_t) {
    const char* row = tile + Offset + g * 16;
    const uint4 v = *reinterpret_cast<const uint4*>(row);
    Scales s = {{v.x, v.y, v.z, v.w}, {}, *reinterpret_cast<const uint32_t*>(row + 4 * t), 0};
    if constexpr (Mins) {
      const uint4 m = *reinterpret_cast<const uint4*>(row + 128);
      s.m[0] = m.x, s.m[1] = m.y, s.m[2] = m.z, s.m[3] = m.w;
      s.lane_min = *reinterpret_cast<const uint32_t*>(row + 128 + 4 * t);
    }
    return s;
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return i < 4 ? low_float(s.s[i]) : high_float(s.s[i - 4]);
  }
  static __device__ __forceinline__ float min(const Scales& s, int i) {
    if constexpr (Mins) return i < 4 ? -low_float(s.m[i]) : -high_float(s.m[i - 4]);
    return 0.0f;
  }
  static __device__ __forceinline__ void lane_scales(const Scales& s, int, float (&a)[2]) {
    a[0] = low_float(s.lane), a[1] = high_float(s.lane);
  }
  static __device__ __forceinline__ void lane_mins(const Scales& s, int, float (&a)[2]) {
    a[0] = -low_float(s.lane_min), a[1] = -high_float(s.lane_min);
  }
  static __device__ __forceinline__ float slope(const Scales&) { return 1.0f; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return 1.0f; }
};

/// Six-bit scales, 32 above, a byte a group, then a half: IQ4_XS.
struct ScalesIQ4XS {
  static constexpr bool kFine = false;
  static constexpr bool kMins = false;
  static constexpr float kExcess = 0.0f;
  struct Scales {
    uint32_t s[2];
    float d;
    uint32_t exponent;
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g, int, uint32_t exponent) {
    const uint2 v = *reinterpret_cast<const uint2*>(tile + 1024 + g * 8);
    return {{v.x, v.y}, half_at(tile + 1088 + g * 2), exponent};
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return byte_float(s.s[i / 4], i % 4, s.exponent, 32.0f);
  }
  static __device__ __forceinline__ float min(const Scales&, int) { return 0.0f; }
  static __device__ __forceinline__ void lane_scales(const Scales& s, int t, float (&a)[2]) {
    a[0] = byte_float(s.s[0], t, s.exponent, 32.0f), a[1] = byte_float(s.s[1], t, s.exponent, 32.0f);
  }
  static __device__ __forceinline__ void lane_mins(const Scales&, int, float (&)[2]) {}
  static __device__ __forceinline__ float slope(const Scales& s) { return s.d; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return 0.0f; }
};

/// A power of two a group, as a biased exponent: MXFP4.
struct ScalesE8M0 {
  static constexpr bool kFine = false;
  static constexpr bool kMins = false;
  static constexpr float kExcess = 0.0f;
  struct Scales {
    uint32_t s[2];
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g, int, uint32_t) {
    const uint2 v = *reinterpret_cast<const uint2*>(tile + 1024 + g * 8);
    return {{v.x, v.y}};
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return __uint_as_float((s.s[i / 4] >> (i % 4 * 8) & 0xFFu) << 23);
  }
  static __device__ __forceinline__ float min(const Scales&, int) { return 0.0f; }
  static __device__ __forceinline__ void lane_scales(const Scales&, int, float (&)[2]) {}
  static __device__ __forceinline__ void lane_mins(const Scales&, int, float (&)[2]) {}
  static __device__ __forceinline__ float slope(const Scales&) { return 1.0f; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return 0.0f; }
};

/// Unsigned E4M3 for sixteen half groups: NVFP4. Shifted under F16's exponent it is 2^8 too small.
struct ScalesE4M3 {
  static constexpr bool kFine = true;
  static constexpr bool kMins = false;
  static constexpr float kExcess = 0.0f;
  struct Scales {
    uint32_t s[4];
  };
  static __device__ __forceinline__ Scales load(const char* tile, int g, int, uint32_t) {
    const uint4 v = *reinterpret_cast<const uint4*>(tile + 1024 + g * 16);
    return {{v.x, v.y, v.z, v.w}};
  }
  static __device__ __forceinline__ float scale(const Scales& s, int i) {
    return low_float((s.s[i / 4] >> (i % 4 * 8) & 0x7Fu) << 7);
  }
  static __device__ __forceinline__ float min(const Scales&, int) { return 0.0f; }
  static __device__ __forceinline__ void lane_scales(const Scales&, int, float (&)[4]) {}
  static __device__ __forceinline__ void lane_mins(const Scales&, int, float (&)[4]) {}
  static __device__ __forceinline__ float slope(const Scales&) { return 256.0f; }
  static __device__ __forceinline__ float min_slope(const Scales&) { return 0.0f; }
};

// --- formats
// -------------------------------------------------------------------------------------------------

template <typename CodesT, typename ScalesT, int Bytes>
struct BlockFormat {
  using C = CodesT;
  using S = ScalesT;
  static constexpr bool kBlocks = true;
  static constexpr int kTileBytes = Bytes;
  static constexpr int kUnits = 1;
};

/// F16 operands as they are: units of 64 columns, 16 bytes a lane and group.
template <bool Narrowed>
struct HalfFormat {
  static constexpr bool kBlocks = false;
  static constexpr bool kSplit = false;
  static constexpr int kTileBytes = 4096;
  static constexpr int kUnits = 4;
  // BF16 and FP8 are stored as F16 of 64 w, so that small weights keep their bits.
  static constexpr float kSlope = Narrowed ? 1.0f / 64.0f : 1.0f;
};

/// F32 as a half and the half of 2048 times what that leaves: units of 32 columns, 512 bytes of each.
struct FloatFormat {
  static constexpr bool kBlocks = false;
  static constexpr bool kSplit = true;
  static constexpr int kTileBytes = 8192;
  static constexpr int kUnits = 8;
  static constexpr float kSlope = 1.0f;
};

template <TensorType>
struct Format;
template <>
struct Format<TensorType::Q4_K> : BlockFormat<Codes4, ScalesK32<1024>, 1152> {};
template <>
struct Format<TensorType::Q5_K> : BlockFormat<Codes5, ScalesK32<1280>, 1408> {};
template <>
struct Format<TensorType::Q6_K> : BlockFormat<Codes6, ScalesQ6, 1680> {};
template <>
struct Format<TensorType::Q8_0> : BlockFormat<Codes8, ScalesHalf<2048, 0, false>, 2176> {};
template <>
struct Format<TensorType::Q2_K> : BlockFormat<Codes2, ScalesQ2, 672> {};
template <>
struct Format<TensorType::Q3_K> : BlockFormat<Codes3, ScalesQ3, 880> {};
template <>
struct Format<TensorType::Q4_0> : BlockFormat<Codes4, ScalesHalf<1024, 8, false>, 1152> {};
template <>
struct Format<TensorType::Q4_1> : BlockFormat<Codes4, ScalesHalf<1024, 0, true>, 1280> {};
template <>
struct Format<TensorType::Q5_0> : BlockFormat<Codes5, ScalesHalf<1280, 16, false>, 1408> {};
template <>
struct Format<TensorType::Q5_1> : BlockFormat<Codes5, ScalesHalf<1280, 0, true>, 1536> {};
template <>
struct Format<TensorType::IQ4_NL> : BlockFormat<CodesIQ4, ScalesHalf<1024, 0, false>, 1152> {};
template <>
struct Format<TensorType::IQ4_XS> : BlockFormat<CodesIQ4, ScalesIQ4XS, 1104> {};
template <>
struct Format<TensorType::MXFP4> : BlockFormat<CodesE2M1, ScalesE8M0, 1088> {};
template <>
struct Format<TensorType::NVFP4> : BlockFormat<CodesE2M1, ScalesE4M3, 1152> {};
template <>
struct Format<TensorType::F16> : HalfFormat<false> {};
template <>
struct Format<TensorType::BF16> : HalfFormat<true> {};
template <>
struct Format<TensorType::FP8> : HalfFormat<true> {};
template <>
struct Format<TensorType::F32> : FloatFormat {};

#define INLAY_FOR_EACH_PACKED_TYPE(X) INLAY_FOR_EACH_TENSOR_TYPE(X) INLAY_FOR_EACH_OWN_TENSOR_TYPE(X)

constexpr uint32_t kTileRows = 8;
constexpr uint32_t kTileColumns = 256;

struct TileShape {
  uint32_t bytes;
  uint32_t units;
};

constexpr uint32_t kMaxUnitBytes = 2176;

constexpr TileShape tile_shape(TensorType type) {
  switch (type) {
#define INLAY_TILE_SHAPE(name, number, elements, bytes) \
  case TensorType::name: return {Format<TensorType::name>::kTileBytes, Format<TensorType::name>::kUnits};
    INLAY_FOR_EACH_PACKED_TYPE(INLAY_TILE_SHAPE)
#undef INLAY_TILE_SHAPE
  }
  return {};
}

}  // namespace inlay::cuda
