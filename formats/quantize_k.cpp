#include "formats/quantize_k.h"

#include <algorithm>
#include <cmath>
#include <cstring>

// K types: groups of weights with small integer scales (and minimums) under one or two binary16 of a
// super-block. First each group alone: many spacings of the grid are tried, and for each the scale (and
// minimum) that fits the codes best by least squares. Then the super-block's numbers, from the largest. Last,
// with those rounded, each group's integers are chosen again among the neighbours, by the error that the
// stored numbers really leave.
//
// The groups of a super-block stand side by side in a vector's lanes, so nothing is summed across lanes.

namespace inlay {
namespace {

using Vector8 = float __attribute__((vector_size(32)));
using Vector16 = float __attribute__((vector_size(64)));

template <int kGroups>
struct VectorOf;
template <>
struct VectorOf<8> {
  using Type = Vector8;
};
template <>
struct VectorOf<16> {
  using Type = Vector16;
};

constexpr float kRoundingMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer

/// Plain functions of each vector type: GCC takes function templates of the two types for one another.
template <int kGroups>
struct Lanes {
  using Vector = typename VectorOf<kGroups>::Type;

  static Vector round(Vector x) { return (x + kRoundingMagic) - kRoundingMagic; }
  static Vector clamp(Vector x, float low, float high) {
    const Vector lows = Vector{} + low;
    const Vector highs = Vector{} + high;
    x = x < lows ? lows : x;
    return x > highs ? highs : x;
  }
  static Vector divide_or_zero(Vector a, Vector b) {
    const Vector one = Vector{} + 1.0f;
    const auto none = b == 0.0f;
    return none ? Vector{} : a / (none ? one : b);
  }
  static float largest(Vector vector) {
    float largest = 0;
    for (int g = 0; g < kGroups; ++g) largest = std::max(largest, static_cast<float>(vector[g]));
    return largest;
  }
};

/// A super-block, element by element: lane g is group g.
template <int kGroups>
struct Groups {
  using Vector = typename VectorOf<kGroups>::Type;
  static constexpr int kSize = 256 / kGroups;

  Vector x[kSize];
  Vector w[kSize];

  Groups(const float* from, const float* importance) {
    Vector sum_w{};
    for (int i = 0; i < kSize; ++i) {
      for (int g = 0; g < kGroups; ++g) {
        x[i][g] = from[g * kSize + i];
        w[i][g] = importance == nullptr ? 1.0f : importance[g * kSize + i];
      }
      sum_w += w[i];
    }
    // A group that nothing is multiplied with is fitted as if all of it mattered alike.
    for (int i = 0; i < kSize; ++i) w[i] = sum_w == 0.0f ? Vector{} + 1.0f : w[i];
  }
};

/// weight = scale * code + offset, codes 0 to `top`, offset 0 or less.
template <int kGroups>
struct AffineFit {
  using Vector = typename VectorOf<kGroups>::Type;
  Vector scale{};
  Vector offset{};
  Vector error{};
};

template <int kGroups>
AffineFit<kGroups> fit_codes(const Groups<kGroups>& groups, typename VectorOf<kGroups>::Type inverse,
                             typename VectorOf<kGroups>::Type low, float top) {
  using Vector = typename VectorOf<kGroups>::Type;
  Vector sum_q{}, sum_qq{}, sum_qx{}, sum_w{}, sum_x{}, sum_xx{};
  for (int i = 0; i < Groups<kGroups>::kSize; ++i) {
    const Vector q = Lanes<kGroups>::clamp(Lanes<kGroups>::round((groups.x[i] - low) * inverse), 0.0f, top);
    const Vector wq = groups.w[i] * q;
    const Vector wx = groups.w[i] * groups.x[i];
    sum_q += wq;
    sum_qq += wq * q;
    sum_qx += wx * q;
    sum_w += groups.w[i];
    sum_x += wx;
    sum_xx += wx * groups.x[i];
  }
  const Vector determinant = sum_w * sum_qq - sum_q * sum_q;
  const auto solvable = determinant > 0.0f;
  const Vector safe = solvable ? determinant : Vector{} + 1.0f;
  Vector scale = (sum_w * sum_qx - sum_x * sum_q) / safe;
  Vector offset = (sum_qq * sum_x - sum_q * sum_qx) / safe;
  const auto through_zero = (offset > 0.0f) | ~solvable;
  scale = through_zero ? Lanes<kGroups>::divide_or_zero(sum_qx, sum_qq) : scale;
  // Where every code is zero, the offset alone stands for the weights.
  const Vector mean = Lanes<kGroups>::divide_or_zero(sum_x, sum_w);
  const auto offset_alone = (sum_qq == 0.0f) & (mean < 0.0f);
  offset = through_zero ? (offset_alone ? mean : Vector{}) : offset;
  scale = scale > 0.0f ? scale : Vector{};
  const Vector error = sum_xx - 2.0f * scale * sum_qx - 2.0f * offset * sum_x + scale * scale * sum_qq +
                       2.0f * scale * offset * sum_q + offset * offset * sum_w;
  return {scale, offset, error};
}

template <int kGroups>
void keep_better(AffineFit<kGroups>& best, const AffineFit<kGroups>& fit) {
  const auto better = fit.error < best.error;
  best.scale = better ? fit.scale : best.scale;
  best.offset = better ? fit.offset : best.offset;
  best.error = better ? fit.error : best.error;
}

/// Every group's best scale and offset, free of the super-block.
template <int kGroups>
AffineFit<kGroups> fit_affine(const Groups<kGroups>& groups, float top) {
  using Vector = typename VectorOf<kGroups>::Type;
  constexpr int kSteps = 18;
  constexpr int kRefinements = 3;
  Vector low{};
  Vector high = groups.x[0];
  for (const Vector& x : groups.x) {
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  high = high > low ? high : low;
  const Vector range = high - low;
  AffineFit<kGroups> best{{}, low, Vector{} + INFINITY};
  for (int step = 0; step < kSteps; ++step) {
    const float spacing = top - 0.7f + 0.1f * static_cast<float>(step);
    keep_better(best, fit_codes(groups, Lanes<kGroups>::divide_or_zero(Vector{} + spacing, range), low, top));
  }
  for (int i = 0; i < kRefinements; ++i) {
    keep_better(best, fit_codes(groups, Lanes<kGroups>::divide_or_zero(Vector{} + 1.0f, best.scale),
                                best.offset, top));
  }
  return best;
}

/// What stored numbers leave: the squared error of each group with this scale and offset, codes at their
/// best.
template <int kGroups>
typename VectorOf<kGroups>::Type error_of(const Groups<kGroups>& groups,
                                          typename VectorOf<kGroups>::Type scale,
                                          typename VectorOf<kGroups>::Type offset, float bottom, float top) {
  using Vector = typename VectorOf<kGroups>::Type;
  const Vector inverse = Lanes<kGroups>::divide_or_zero(Vector{} + 1.0f, scale);
  Vector error{};
  for (int i = 0; i < Groups<kGroups>::kSize; ++i) {
    const Vector q =
        Lanes<kGroups>::clamp(Lanes<kGroups>::round((groups.x[i] - offset) * inverse), bottom, top);
    const Vector difference = groups.x[i] - (scale * q + offset);
    error += groups.w[i] * difference * difference;
  }
  return error;
}

void store_half(float value, StoredHalf& half) {
  const uint16_t bits = float_to_half(value);
  half.bytes[0] = static_cast<uint8_t>(bits);
  half.bytes[1] = static_cast<uint8_t>(bits >> 8);
}

/// A super-block of groups with scales and minimums, up to the packing of its bits.
template <int kGroups>
struct AffineBlock {
  using Vector = typename VectorOf<kGroups>::Type;
  StoredHalf d;
  StoredHalf dmin;
  Vector scales;    // integers 0 to the largest
  Vector minimums;  // likewise
  uint8_t codes[256];
};

template <int kGroups>
AffineBlock<kGroups> quantize_affine(const float* x, const float* importance, float top,
                                     float largest_integer) {
  using Vector = typename VectorOf<kGroups>::Type;
  const Groups<kGroups> groups(x, importance);
  const AffineFit<kGroups> fit = fit_affine(groups, top);
  AffineBlock<kGroups> block;
  store_half(Lanes<kGroups>::largest(fit.scale) / largest_integer, block.d);
  store_half(Lanes<kGroups>::largest(-fit.offset) / largest_integer, block.dmin);
  const float d = block.d.value();
  const float dmin = block.dmin.value();
  const auto integer = [&](Vector value, float unit) {
    return Lanes<kGroups>::clamp(
        Lanes<kGroups>::round(Lanes<kGroups>::divide_or_zero(value, Vector{} + unit)), 0.0f, largest_integer);
  };
  const Vector scale = integer(fit.scale, d);
  const Vector minimum = integer(-fit.offset, dmin);
  Vector best = Vector{} + INFINITY;
  for (int i = -1; i <= 1; ++i) {
    for (int j = -1; j <= 1; ++j) {
      const Vector s = Lanes<kGroups>::clamp(scale + static_cast<float>(i), 0.0f, largest_integer);
      const Vector m = Lanes<kGroups>::clamp(minimum + static_cast<float>(j), 0.0f, largest_integer);
      const Vector error = error_of(groups, s * d, -m * dmin, 0.0f, top);
      const auto better = error < best;
      best = better ? error : best;
      block.scales = better ? s : block.scales;
      block.minimums = better ? m : block.minimums;
    }
  }
  const Vector step = block.scales * d;
  const Vector inverse = Lanes<kGroups>::divide_or_zero(Vector{} + 1.0f, step);
  for (int i = 0; i < Groups<kGroups>::kSize; ++i) {
    const Vector q = Lanes<kGroups>::clamp(
        Lanes<kGroups>::round((groups.x[i] + block.minimums * dmin) * inverse), 0.0f, top);
    for (int g = 0; g < kGroups; ++g)
      block.codes[g * Groups<kGroups>::kSize + i] = static_cast<uint8_t>(q[g]);
  }
  return block;
}

/// A super-block of 16 groups with scales alone: codes -half to half - 1, scales -most to most - 1.
struct SymmetricBlock {
  StoredHalf d;
  int scales[16];
  int8_t codes[256];
};

/// The scale that fits the codes of this spacing best, and by how much it lessens the error.
void fit_symmetric_codes(const Groups<16>& groups, Vector16 inverse, float half, Vector16& scale,
                         Vector16& gain) {
  Vector16 sum_qq{}, sum_qx{};
  for (int i = 0; i < 16; ++i) {
    const Vector16 q = Lanes<16>::clamp(Lanes<16>::round(groups.x[i] * inverse), -half, half - 1);
    const Vector16 wq = groups.w[i] * q;
    sum_qq += wq * q;
    sum_qx += wq * groups.x[i];
  }
  const Vector16 fit = Lanes<16>::divide_or_zero(sum_qx, sum_qq);
  const Vector16 its_gain = fit * sum_qx;
  const auto better = its_gain > gain;
  scale = better ? fit : scale;
  gain = better ? its_gain : gain;
}

Vector16 fit_symmetric(const Groups<16>& groups, float half) {
  constexpr int kSteps = 16;
  constexpr int kRefinements = 2;
  Vector16 extreme{};
  for (const Vector16& x : groups.x) {
    const auto larger = x * x > extreme * extreme;
    extreme = larger ? x : extreme;
  }
  Vector16 scale{}, gain{};
  for (int step = 0; step < kSteps; ++step) {
    // The end of the codes that has one more, for the largest weight; and the other end.
    const float spacing = half - 1.2f + 0.15f * static_cast<float>(step);
    fit_symmetric_codes(groups, Lanes<16>::divide_or_zero(Vector16{} - spacing, extreme), half, scale, gain);
    fit_symmetric_codes(groups, Lanes<16>::divide_or_zero(Vector16{} + spacing - 0.5f, extreme), half, scale,
                        gain);
  }
  for (int i = 0; i < kRefinements; ++i) {
    fit_symmetric_codes(groups, Lanes<16>::divide_or_zero(Vector16{} + 1.0f, scale), half, scale, gain);
  }
  return scale;
}

SymmetricBlock quantize_symmetric(const float* x, const float* importance, float half, float most) {
  const Groups<16> groups(x, importance);
  const Vector16 fit = fit_symmetric(groups, half);
  float extreme = 0;
  for (int g = 0; g < 16; ++g) extreme = std::fabs(fit[g]) > std::fabs(extreme) ? fit[g] : extreme;
  SymmetricBlock block;
  store_half(-extreme / most, block.d);
  const float d = block.d.value();
  const Vector16 nearest =
      Lanes<16>::clamp(Lanes<16>::round(Lanes<16>::divide_or_zero(fit, Vector16{} + d)), -most, most - 1);
  Vector16 best = Vector16{} + INFINITY;
  Vector16 scales{};
  for (int i = -1; i <= 1; ++i) {
    const Vector16 s = Lanes<16>::clamp(nearest + static_cast<float>(i), -most, most - 1);
    const Vector16 error = error_of<16>(groups, s * d, Vector16{}, -half, half - 1);
    const auto better = error < best;
    best = better ? error : best;
    scales = better ? s : scales;
  }
  const Vector16 inverse = Lanes<16>::divide_or_zero(Vector16{} + 1.0f, scales * d);
  for (int i = 0; i < 16; ++i) {
    const Vector16 q = Lanes<16>::clamp(Lanes<16>::round(groups.x[i] * inverse), -half, half - 1);
    for (int g = 0; g < 16; ++g) block.codes[g * 16 + i] = static_cast<int8_t>(q[g]);
  }
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<int>(scales[g]);
  return block;
}

/// Two bits of each code, as Q2_K and Q3_K have them.
void pack_two_bits(const uint8_t* codes, uint8_t* qs) {
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 32; ++i) {
      const uint8_t* from = codes + 128 * half + i;
      qs[32 * half + i] = static_cast<uint8_t>((from[0] & 3) | (from[32] & 3) << 2 | (from[64] & 3) << 4 |
                                               (from[96] & 3) << 6);
    }
  }
}

/// Eight six-bit scales and minimums, as Q4_K and Q5_K have them.
void pack_six_bit_pairs(const AffineBlock<8>& block, uint8_t* packed) {
  std::memset(packed, 0, 12);
  for (int g = 0; g < 8; ++g) {
    const auto s = static_cast<unsigned>(block.scales[g]);
    const auto m = static_cast<unsigned>(block.minimums[g]);
    if (g < 4) {
      packed[g] = static_cast<uint8_t>(packed[g] | s);
      packed[g + 4] = static_cast<uint8_t>(packed[g + 4] | m);
    } else {
      packed[g + 4] = static_cast<uint8_t>((s & 15) | (m & 15) << 4);
      packed[g - 4] = static_cast<uint8_t>(packed[g - 4] | (s >> 4) << 6);
      packed[g] = static_cast<uint8_t>(packed[g] | (m >> 4) << 6);
    }
  }
}

void pack_nibbles(const uint8_t* codes, uint8_t* qs) {
  for (int pair = 0; pair < 4; ++pair) {
    for (int i = 0; i < 32; ++i) {
      const uint8_t* from = codes + 64 * pair + i;
      qs[32 * pair + i] = static_cast<uint8_t>((from[0] & 15) | (from[32] & 15) << 4);
    }
  }
}

}  // namespace

void quantize(const float* x, const float* importance, float, BlockQ2_K& block) {
  const AffineBlock<16> made = quantize_affine<16>(x, importance, 3.0f, 15.0f);
  block.d = made.d;
  block.dmin = made.dmin;
  for (int g = 0; g < 16; ++g) {
    block.scales[g] = static_cast<uint8_t>(static_cast<unsigned>(made.scales[g]) |
                                           static_cast<unsigned>(made.minimums[g]) << 4);
  }
  pack_two_bits(made.codes, block.qs);
}

void quantize(const float* x, const float* importance, float, BlockQ3_K& block) {
  const SymmetricBlock made = quantize_symmetric(x, importance, 4.0f, 32.0f);
  block.d = made.d;
  uint8_t codes[256];
  std::memset(block.hmask, 0, sizeof block.hmask);
  std::memset(block.scales, 0, sizeof block.scales);
  for (int i = 0; i < 256; ++i) {
    codes[i] = static_cast<uint8_t>(made.codes[i] + 4);
    if (codes[i] >= 4) block.hmask[i % 32] = static_cast<uint8_t>(block.hmask[i % 32] | 1 << (i / 32));
  }
  pack_two_bits(codes, block.qs);
  for (int g = 0; g < 16; ++g) {
    const auto s = static_cast<unsigned>(made.scales[g] + 32);
    uint8_t& low = block.scales[g % 8];
    low = static_cast<uint8_t>(low | (s & 15) << (g / 8 * 4));
    uint8_t& high = block.scales[8 + g % 4];
    high = static_cast<uint8_t>(high | (s >> 4) << (g / 4 * 2));
  }
}

void quantize(const float* x, const float* importance, float, BlockQ4_K& block) {
  const AffineBlock<8> made = quantize_affine<8>(x, importance, 15.0f, 63.0f);
  block.d = made.d;
  block.dmin = made.dmin;
  pack_six_bit_pairs(made, block.scales);
  pack_nibbles(made.codes, block.qs);
}

void quantize(const float* x, const float* importance, float, BlockQ5_K& block) {
  const AffineBlock<8> made = quantize_affine<8>(x, importance, 31.0f, 63.0f);
  block.d = made.d;
  block.dmin = made.dmin;
  pack_six_bit_pairs(made, block.scales);
  pack_nibbles(made.codes, block.qs);
  std::memset(block.qh, 0, sizeof block.qh);
  for (int i = 0; i < 256; ++i) {
    block.qh[i % 32] = static_cast<uint8_t>(block.qh[i % 32] | (made.codes[i] >> 4) << (i / 32));
  }
}

void quantize(const float* x, const float* importance, float, BlockQ6_K& block) {
  const SymmetricBlock made = quantize_symmetric(x, importance, 32.0f, 128.0f);
  block.d = made.d;
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<int8_t>(made.scales[g]);
  std::memset(block.ql, 0, sizeof block.ql);
  std::memset(block.qh, 0, sizeof block.qh);
  for (int i = 0; i < 256; ++i) {
    const auto code = static_cast<unsigned>(made.codes[i] + 32);
    const int half = i / 128;
    const int quarter = i / 32 % 4;
    uint8_t& low = block.ql[half * 64 + quarter % 2 * 32 + i % 32];
    low = static_cast<uint8_t>(low | (code & 15) << (quarter / 2 * 4));
    uint8_t& high = block.qh[half * 32 + i % 32];
    high = static_cast<uint8_t>(high | (code >> 4) << (quarter * 2));
  }
}

}  // namespace inlay
