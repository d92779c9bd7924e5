// The operations of ops.h, included once by each ops_*.cpp, which fixes the instruction set by its compiler
// flags. Only internal linkage and builtins here: code that the linker could share between files of different
// instruction sets must not come from this header.
#pragma once

#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "kernels/cpu/ops.h"

namespace inlay::cpu {
namespace {

constexpr uint32_t kLanes = 16;
typedef float Vector __attribute__((vector_size(64)));
typedef int32_t VectorInt __attribute__((vector_size(64)));
typedef uint32_t VectorUint __attribute__((vector_size(64)));
typedef uint16_t VectorHalf __attribute__((vector_size(32)));
typedef int8_t VectorByte __attribute__((vector_size(16)));
typedef uint8_t VectorUbyte __attribute__((vector_size(16)));

inline Vector load(const float* p) {
  Vector v;
  memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Vector v) { memcpy(p, &v, sizeof v); }
inline Vector splat(float x) { return Vector{} + x; }

/// A fixed tree, so that a sum does not depend on the instruction set.
inline float sum_lanes(Vector v) {
  float lanes[kLanes];
  store(lanes, v);
  for (uint32_t width = kLanes / 2; width > 0; width /= 2) {
    for (uint32_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}
inline float max_lanes(Vector v) {
  float lanes[kLanes];
  store(lanes, v);
  for (uint32_t width = kLanes / 2; width > 0; width /= 2) {
    for (uint32_t i = 0; i < width; ++i) lanes[i] = lanes[i + width] > lanes[i] ? lanes[i + width] : lanes[i];
  }
  return lanes[0];
}

/// exp to about 1 ulp: 2^k times a degree-6 polynomial on the reduced argument (Cody and Waite's reduction).
inline Vector exp_vector(Vector x) {
  const Vector low = splat(-87.3f);
  const Vector high = splat(88.3f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Vector magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vector shifted = x * 1.44269504088896341f + magic;
  const Vector k = shifted - magic;
  Vector r = x - k * 0.693359375f;
  r = r - k * -2.12194440e-4f;
  Vector p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  VectorInt bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits - 0x4B400000 + 127) << 23;
  Vector scale;
  memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}
inline float exp_scalar(float x) { return exp_vector(splat(x))[0]; }
inline Vector sigmoid(Vector x) { return 1.0f / (1.0f + exp_vector(-x)); }

float sum_of_squares(const float* x, uint32_t n) {
  Vector a{};
  Vector b{};
  uint32_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Vector u = load(x + i);
    const Vector v = load(x + i + kLanes);
    a += u * u;
    b += v * v;
  }
  if (i < n) {
    const Vector u = load(x + i);
    a += u * u;
  }
  return sum_lanes(a + b);
}

void rms_norm(const float* x, const float* weight, uint32_t n, float epsilon, float* out) {
  const float scale = 1.0f / __builtin_sqrtf(sum_of_squares(x, n) / static_cast<float>(n) + epsilon);
  for (uint32_t i = 0; i < n; i += kLanes) store(out + i, load(x + i) * scale * load(weight + i));
}

void add(float* x, const float* y, uint32_t n) {
  for (uint32_t i = 0; i < n; i += kLanes) store(x + i, load(x + i) + load(y + i));
}

void silu_multiply(const float* gate, const float* up, uint32_t n, float* out) {
  for (uint32_t i = 0; i < n; i += kLanes) {
    const Vector g = load(gate + i);
    store(out + i, g * sigmoid(g) * load(up + i));
  }
}

void sigmoid_multiply(float* x, const float* gate, uint32_t n) {
  for (uint32_t i = 0; i < n; i += kLanes) store(x + i, load(x + i) * sigmoid(load(gate + i)));
}

void conv_silu(const float* const* columns, const float* taps, size_t tap_stride, uint32_t kernel, uint32_t n,
               float* out) {
  for (uint32_t i = 0; i < n; i += kLanes) {
    Vector sum{};
    for (uint32_t t = 0; t < kernel; ++t) {
      if (columns[t] != nullptr) sum += load(columns[t] + i) * load(taps + t * tap_stride + i);
    }
    store(out + i, sum * sigmoid(sum));
  }
}

void l2_norm(float* x, uint32_t n, float epsilon, float scale) {
  const float factor = scale / __builtin_sqrtf(sum_of_squares(x, n) + epsilon);
  for (uint32_t i = 0; i < n; i += kLanes) store(x + i, load(x + i) * factor);
}

// A tile's lanes are independent of one another. Where registers are narrower than a tile is wide, it is
// taken in parts, so that the sums of one fit the registers.
#if defined(__AVX512F__)
typedef Vector TilePart;
#elif defined(__AVX__)
typedef float TilePart __attribute__((vector_size(32)));
#else
typedef float TilePart __attribute__((vector_size(16)));
#endif
constexpr uint32_t kPartLanes = sizeof(TilePart) / sizeof(float);

inline TilePart load_part(const float* p) {
  TilePart v;
  memcpy(&v, p, sizeof v);
  return v;
}
inline void store_part(float* p, TilePart v) { memcpy(p, &v, sizeof v); }

/// Sums over a tile's rows, from one part's first lane on, of S times key, and of S times query where it is
/// wanted.
template <bool kQuery>
inline void read_part(const float* from, uint32_t n, const float* key, const float* query, bool prefetch,
                      TilePart* by_key, TilePart* by_query) {
  TilePart k0{}, k1{}, k2{}, k3{}, q0{}, q1{}, q2{}, q3{};
  for (uint32_t k = 0; k < n; k += 4, from += 4 * kLanes) {
    // The tile behind this one is read next, most often.
    for (uint32_t j = 0; j < 4 && prefetch; ++j) __builtin_prefetch(from + (n + j) * kLanes);
    const TilePart s0 = load_part(from), s1 = load_part(from + kLanes);
    const TilePart s2 = load_part(from + 2 * kLanes), s3 = load_part(from + 3 * kLanes);
    k0 += s0 * key[k];
    k1 += s1 * key[k + 1];
    k2 += s2 * key[k + 2];
    k3 += s3 * key[k + 3];
    if constexpr (kQuery) {
      q0 += s0 * query[k];
      q1 += s1 * query[k + 1];
      q2 += s2 * query[k + 2];
      q3 += s3 * query[k + 3];
    }
  }
  *by_key = (k0 + k1) + (k2 + k3);
  *by_query = (q0 + q1) + (q2 + q3);
}

/// The old state is read once for both sums: out = q S' = decay (q S) + (q k) delta.
void delta_step(const float* from, float* to, uint32_t state_length, const DeltaToken& given) {
  const DeltaToken token = given;  // no store of the loops can change it
  for (uint32_t part = 0; part < kLanes; part += kPartLanes) {
    TilePart by_key, by_query;
    if (token.query != nullptr) {
      read_part<true>(from + part, state_length, token.key, token.query, part == 0, &by_key, &by_query);
    } else {
      read_part<false>(from + part, state_length, token.key, nullptr, part == 0, &by_key, &by_query);
    }
    const TilePart delta = (load_part(token.value + part) - by_key * token.decay) * token.beta;
    if (token.out != nullptr) {
      store_part(token.out + part, by_query * token.decay + delta * token.key_query);
    }
    if (to == nullptr) continue;
    const float* old = from + part;
    float* next = to + part;
    for (uint32_t k = 0; k < state_length; ++k, old += kLanes, next += kLanes) {
      store_part(next, load_part(old) * token.decay + delta * token.key[k]);
    }
  }
}

float dot(const float* x, const float* y, uint32_t n) {
  Vector sum{};
  for (uint32_t i = 0; i < n; i += kLanes) sum += load(x + i) * load(y + i);
  return sum_lanes(sum);
}

void rope(float* x, const float* cosine, const float* sine, uint32_t length) {
  const uint32_t half = length / 2;
  for (uint32_t i = 0; i < half; ++i) {
    const float a = x[i];
    const float b = x[i + half];
    x[i] = a * cosine[i] - b * sine[i];
    x[i + half] = b * cosine[i] + a * sine[i];
  }
}

// Half precision by integer arithmetic where the instruction set has no conversion: exact for every finite
// half; rounding to nearest even on the way down.
inline Vector half_to_float(VectorHalf h) {
#if defined(__AVX512F__)
  __m256i bits;
  memcpy(&bits, &h, sizeof bits);
  const __m512 value = _mm512_maskz_cvtph_ps(0xFFFF, bits);
  Vector v;
  memcpy(&v, &value, sizeof v);
  return v;
#elif defined(__F16C__)
  __m128i bits[2];
  memcpy(&bits, &h, sizeof bits);
  const __m256 value[2] = {_mm256_cvtph_ps(bits[0]), _mm256_cvtph_ps(bits[1])};
  Vector v;
  memcpy(&v, &value, sizeof v);
  return v;
#elif defined(__aarch64__)
  float16x8_t bits[2];
  memcpy(&bits, &h, sizeof bits);
  const float32x4_t value[4] = {vcvt_f32_f16(vget_low_f16(bits[0])), vcvt_f32_f16(vget_high_f16(bits[0])),
                                vcvt_f32_f16(vget_low_f16(bits[1])), vcvt_f32_f16(vget_high_f16(bits[1]))};
  Vector v;
  memcpy(&v, &value, sizeof v);
  return v;
#else
  const VectorUint bits = __builtin_convertvector(h, VectorUint);
  VectorUint magnitude = (bits & 0x7FFFu) << 13;
  Vector value;
  memcpy(&value, &magnitude, sizeof value);
  value *= 0x1p112f;
  VectorUint result;
  memcpy(&result, &value, sizeof result);
  result |= (bits & 0x8000u) << 16;
  memcpy(&value, &result, sizeof value);
  return value;
#endif
}

inline uint16_t float_to_half(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000u;
  bits &= 0x7FFFFFFFu;
  if (bits > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);
  if (bits >= 0x477FF000u) return static_cast<uint16_t>(sign | (bits == 0x7F800000u ? 0x7C00u : 0x7BFFu));
  if (bits < 0x38800000u) {  // subnormal: let the adder round
    float value;
    memcpy(&value, &bits, sizeof value);
    value += 0.5f;
    memcpy(&bits, &value, sizeof bits);
    return static_cast<uint16_t>(sign | (bits - 0x3F000000u));
  }
  bits += 0xC8000FFFu + (bits >> 13 & 1u);
  return static_cast<uint16_t>(sign | bits >> 13);
}

// FP8 E4M3 (OFP8: bias 7, no infinities, 448 the largest), saturating, to nearest even.
inline uint8_t float_to_fp8(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t sign = bits >> 24 & 0x80u;
  bits &= 0x7FFFFFFFu;
  if (bits > 0x7F800000u) return static_cast<uint8_t>(sign | 0x7Fu);
  if (bits >= 0x43E00000u) return static_cast<uint8_t>(sign | 0x7Eu);
  if (bits < 0x3C800000u) {  // below 2^-6: units of 2^-9
    float value;
    memcpy(&value, &bits, sizeof value);
    value += 16384.0f;  // the last bit of 2^14 is 2^-9
    memcpy(&bits, &value, sizeof bits);
    return static_cast<uint8_t>(sign | (bits - 0x46800000u));
  }
  bits += 0x7FFFFu + (bits >> 20 & 1u);
  return static_cast<uint8_t>(sign | (bits - 0x3C000000u) >> 20);
}

inline Vector fp8_to_float(VectorUbyte x) {
  const VectorUint bits = __builtin_convertvector(x, VectorUint);
  const VectorUint magnitude = (bits & 0x7Fu) << 20;
  Vector value;
  memcpy(&value, &magnitude, sizeof value);
  value *= 0x1p120f;
  VectorUint result;
  memcpy(&result, &value, sizeof result);
  result |= (bits & 0x80u) << 24;
  memcpy(&value, &result, sizeof value);
  return value;
}

void kv_store(KvType type, const float* x, uint32_t n, std::byte* out) {
  auto* bytes = reinterpret_cast<uint8_t*>(out);
  if (type == KvType::kF16) {
    for (uint32_t i = 0; i < n; ++i) {
      const uint16_t h = float_to_half(x[i]);
      memcpy(bytes + 2 * i, &h, 2);
    }
  } else if (type == KvType::kFp8) {
    for (uint32_t i = 0; i < n; ++i) bytes[i] = float_to_fp8(x[i]);
  } else {
    for (uint32_t b = 0; b < n; b += 32, bytes += 34) {
      float largest = 0;
      for (uint32_t i = 0; i < 32; ++i) {
        const float magnitude = __builtin_fabsf(x[b + i]);
        largest = magnitude > largest ? magnitude : largest;
      }
      const uint16_t scale = float_to_half(largest / 127.0f);
      const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
      memcpy(bytes, &scale, 2);
      for (uint32_t i = 0; i < 32; ++i) {
        const float q = __builtin_rintf(x[b + i] * inverse);
        // Written so that a NaN ends up at an end too.
        const float clamped = q > 127.0f ? 127.0f : q > -127.0f ? q : -127.0f;
        bytes[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(clamped));
      }
    }
  }
}

/// Elements [16 * group, 16 * group + 16) of a stored row.
template <KvType kType>
inline Vector kv_lanes(const std::byte* row, uint32_t group) {
  if constexpr (kType == KvType::kF16) {
    VectorHalf h;
    memcpy(&h, row + 32 * group, sizeof h);
    return half_to_float(h);
  } else if constexpr (kType == KvType::kFp8) {
    VectorUbyte b;
    memcpy(&b, row + 16 * group, sizeof b);
    return fp8_to_float(b);
  } else {
    const std::byte* block = row + 34 * (group / 2);
    uint16_t scale;
    memcpy(&scale, block, sizeof scale);
    VectorByte b;
    memcpy(&b, block + 2 + 16 * (group % 2), sizeof b);
    return __builtin_convertvector(b, Vector) * half_to_float(VectorHalf{} + scale)[0];
  }
}

template <KvType kType>
void scores_of(const float* query, const std::byte* keys, size_t key_stride, uint32_t n, uint32_t count,
               float scale, float* scores) {
  for (uint32_t i = 0; i < count; ++i, keys += key_stride) {
    Vector a{};
    Vector b{};
    for (uint32_t g = 0; g < n / kLanes; g += 2) {
      a += kv_lanes<kType>(keys, g) * load(query + g * kLanes);
      b += kv_lanes<kType>(keys, g + 1) * load(query + (g + 1) * kLanes);
    }
    scores[i] = sum_lanes(a + b) * scale;
  }
}

template <KvType kType>
void values_of(float* scores, const std::byte* values, size_t value_stride, uint32_t n, uint32_t count,
               AttentionPartial* partial, float* out) {
  float maximum = partial->maximum;
  for (uint32_t i = 0; i < count; ++i) maximum = scores[i] > maximum ? scores[i] : maximum;
  const float rescale = exp_scalar(partial->maximum - maximum);
  float sum = partial->sum * rescale;
  uint32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(scores + i, exp_vector(load(scores + i) - maximum));
  for (; i < count; ++i) scores[i] = exp_scalar(scores[i] - maximum);
  for (i = 0; i < count; ++i) sum += scores[i];
  partial->maximum = maximum;
  partial->sum = sum;
  // Four groups of lanes at a time stay in registers over all values.
  uint32_t g = 0;
  for (; g + 4 <= n / kLanes; g += 4) {
    Vector acc[4];
    for (uint32_t j = 0; j < 4; ++j) acc[j] = load(out + (g + j) * kLanes) * rescale;
    const std::byte* row = values;
    for (i = 0; i < count; ++i, row += value_stride) {
      for (uint32_t j = 0; j < 4; ++j) acc[j] += kv_lanes<kType>(row, g + j) * scores[i];
    }
    for (uint32_t j = 0; j < 4; ++j) store(out + (g + j) * kLanes, acc[j]);
  }
  for (; g < n / kLanes; ++g) {
    Vector acc = load(out + g * kLanes) * rescale;
    const std::byte* row = values;
    for (i = 0; i < count; ++i, row += value_stride) acc += kv_lanes<kType>(row, g) * scores[i];
    store(out + g * kLanes, acc);
  }
}

void kv_load(KvType type, const std::byte* x, uint32_t n, float* out) {
  for (uint32_t g = 0; g < n / kLanes; ++g) {
    switch (type) {
      case KvType::kF16: store(out + g * kLanes, kv_lanes<KvType::kF16>(x, g)); break;
      case KvType::kFp8: store(out + g * kLanes, kv_lanes<KvType::kFp8>(x, g)); break;
      case KvType::kQ8: store(out + g * kLanes, kv_lanes<KvType::kQ8>(x, g)); break;
    }
  }
}

void attention_scores(KvType type, const float* query, const std::byte* keys, size_t key_stride, uint32_t n,
                      uint32_t count, float scale, float* scores) {
  switch (type) {
    case KvType::kF16: return scores_of<KvType::kF16>(query, keys, key_stride, n, count, scale, scores);
    case KvType::kFp8: return scores_of<KvType::kFp8>(query, keys, key_stride, n, count, scale, scores);
    case KvType::kQ8: return scores_of<KvType::kQ8>(query, keys, key_stride, n, count, scale, scores);
  }
}

void attention_values(KvType type, float* scores, const std::byte* values, size_t value_stride, uint32_t n,
                      uint32_t count, AttentionPartial* partial, float* out) {
  switch (type) {
    case KvType::kF16: return values_of<KvType::kF16>(scores, values, value_stride, n, count, partial, out);
    case KvType::kFp8: return values_of<KvType::kFp8>(scores, values, value_stride, n, count, partial, out);
    case KvType::kQ8: return values_of<KvType::kQ8>(scores, values, value_stride, n, count, partial, out);
  }
}

void attention_combine(const AttentionPartial* partials, const float* outs, uint32_t runs, uint32_t n,
                       float* out) {
  float maximum = partials[0].maximum;
  for (uint32_t r = 1; r < runs; ++r) maximum = partials[r].maximum > maximum ? partials[r].maximum : maximum;
  float sum = 0;
  for (uint32_t r = 0; r < runs; ++r) sum += partials[r].sum * exp_scalar(partials[r].maximum - maximum);
  for (uint32_t i = 0; i < n; i += kLanes) store(out + i, Vector{});
  for (uint32_t r = 0; r < runs; ++r) {
    const float weight = exp_scalar(partials[r].maximum - maximum) / sum;
    const float* x = outs + static_cast<size_t>(r) * n;
    for (uint32_t i = 0; i < n; i += kLanes) store(out + i, load(out + i) + load(x + i) * weight);
  }
}

int32_t argmax(const float* logits, uint32_t n, float* probability) {
  Vector largest = splat(-__builtin_inff());
  uint32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vector v = load(logits + i);
    largest = v > largest ? v : largest;
  }
  float maximum = max_lanes(largest);
  for (uint32_t j = i; j < n; ++j) maximum = logits[j] > maximum ? logits[j] : maximum;
  int32_t token = 0;
  while (token + 1 < static_cast<int32_t>(n) && !(logits[token] == maximum)) ++token;
  Vector sums{};
  for (i = 0; i + kLanes <= n; i += kLanes) sums += exp_vector(load(logits + i) - maximum);
  float sum = sum_lanes(sums);
  for (; i < n; ++i) sum += exp_scalar(logits[i] - maximum);
  *probability = 1.0f / sum;
  return token;
}

constexpr Ops make_ops(const char* name) {
  return {name,
          rms_norm,
          add,
          silu_multiply,
          sigmoid_multiply,
          conv_silu,
          l2_norm,
          dot,
          delta_step,
          rope,
          kv_store,
          kv_load,
          attention_scores,
          attention_values,
          attention_combine,
          argmax};
}

}  // namespace
}  // namespace inlay::cpu
