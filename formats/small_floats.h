#pragma once

#include <bit>
#include <cstdint>

// The number formats below 32 bits that weights, scales and caches are stored in. Every conversion to float
// is exact; every conversion from float rounds to nearest, ties to even.

namespace inlay {

/// IEEE 754 binary16.
constexpr float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31u;
  const uint32_t mantissa = half & 1023u;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  const uint32_t wide_exponent = exponent == 31 ? 255u : exponent + 112u;
  return std::bit_cast<float>(sign | wide_exponent << 23 | mantissa << 13);
}

/// IEEE 754 binary16; what is too large becomes an infinity.
constexpr uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);
  if (magnitude < 0x38800000u) {
    // Adding 0.5 leaves the subnormal's rounded multiple of 2^-24 in the low mantissa bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000u));
  }
  const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

/// bfloat16: the upper half of a binary32.
inline float bfloat16_to_float(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

inline uint16_t float_to_bfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/// Half of an OCP E8M0 scale, 2^(value - 128): the FP4 tables hold doubled values so that they are whole.
inline float half_e8m0_to_float(uint8_t value) {
  return std::bit_cast<float>(value < 2 ? 0x00200000u << value : static_cast<uint32_t>(value - 1) << 23);
}

/// Half of an OCP E4M3 scale without its sign bit. 0x7F, the format's NaN, stands for 0 in GGUF files.
inline float half_ue4m3_to_float(uint8_t value) {
  const uint32_t magnitude = value & 0x7Fu;
  if (magnitude == 0x7Fu) return 0.0f;
  const uint32_t exponent = magnitude >> 3;
  const uint32_t mantissa = magnitude & 7u;
  if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-10f;
  return std::bit_cast<float>((exponent + 119u) << 23 | mantissa << 20);
}

/// OCP E4M3. 0x7F and 0xFF, its NaNs, are read as 480 and -480; importers refuse them.
constexpr float e4m3_to_float(uint8_t value) {
  const uint32_t sign = static_cast<uint32_t>(value & 0x80u) << 24;
  const uint32_t exponent = (value >> 3) & 15u;
  const uint32_t mantissa = value & 7u;
  const float magnitude = exponent == 0 ? static_cast<float>(mantissa) * 0x1p-9f
                                        : std::bit_cast<float>((exponent + 120u) << 23 | mantissa << 20);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
}

/// OCP E4M3; what is too large becomes 448, the largest, and so does a NaN.
inline uint8_t float_to_e4m3(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint8_t sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude >= 0x43E00000u) return static_cast<uint8_t>(sign | 0x7Eu);
  if (magnitude < 0x3C800000u) {
    // Below 2^-6: adding 2^14 leaves the rounded multiple of 2^-9 in the low mantissa bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14f;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x46800000u));
  }
  const uint32_t rounded = magnitude + 0x7FFFFu + ((magnitude >> 20) & 1u);
  return static_cast<uint8_t>(sign | (rounded - 0x3C000000u) >> 20);
}

}  // namespace inlay
