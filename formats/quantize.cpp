#include "formats/quantize.h"

#include <cmath>
#include <cstring>

#include "formats/blocks.h"
#include "formats/quantize_k.h"

namespace inlay {
namespace {

constexpr float kLargestE2M1 = 6.0f;
constexpr float kLargestE4M3 = 448.0f;

float largest_magnitude(const float* x, int count) {
  float largest = 0;
  for (int i = 0; i < count; ++i) largest = std::max(largest, std::fabs(x[i]));
  return largest;
}

void quantize(const float* x, const float*, float, BlockQ8_0& block) {
  const float d = largest_magnitude(x, 32) / 127.0f;
  const float inverse = d == 0 ? 0.0f : 1.0f / d;
  const uint16_t half = float_to_half(d);
  block.d.bytes[0] = static_cast<uint8_t>(half);
  block.d.bytes[1] = static_cast<uint8_t>(half >> 8);
  for (int i = 0; i < 32; ++i) block.qs[i] = static_cast<int8_t>(std::round(x[i] * inverse));
}

/// The largest weight gets the largest code: of a floating-point code no other scale is better to speak of.
void quantize(const float* x, const float*, float, BlockFP8& block) {
  const float d = largest_magnitude(x, 128) / kLargestE4M3;
  const float inverse = d == 0 ? 0.0f : 1.0f / d;
  // Where the block is so small that this overflows, it is nothing beside the others.
  const bool tiny = !(inverse < INFINITY);
  const float scale = tiny ? 0.0f : d;
  std::memcpy(block.d, &scale, sizeof scale);
  for (int i = 0; i < 128; ++i) block.qs[i] = tiny ? uint8_t{0} : float_to_e4m3(x[i] * inverse);
}

/// The nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6; ties to the even code.
uint8_t nearest_e2m1(float magnitude) {
  if (magnitude <= 0.25f) return 0;
  if (magnitude < 0.75f) return 1;
  if (magnitude <= 1.25f) return 2;
  if (magnitude < 1.75f) return 3;
  if (magnitude <= 2.5f) return 4;
  if (magnitude < 3.5f) return 5;
  return magnitude <= 5.0f ? 6 : 7;
}

/// Codes of a group for one scale, and their error.
float encode_group(const float* x, const float* importance, float scale, uint8_t* codes) {
  const float inverse = scale == 0 ? 0.0f : 1.0f / scale;
  float error = 0;
  for (int i = 0; i < 16; ++i) {
    const uint8_t code = nearest_e2m1(std::fabs(x[i]) * inverse);
    const float value = 0.5f * scale * static_cast<float>(kDoubledE2M1Values[code]);
    const float difference = std::fabs(x[i]) - value;
    error += (importance == nullptr ? 1.0f : importance[i]) * difference * difference;
    codes[i] = static_cast<uint8_t>(code | (x[i] < 0 ? 8 : 0));
  }
  return error;
}

/// The scale that just holds a group's largest weight is not always the best one: those around it are tried.
void quantize(const float* x, const float* importance, float tensor_scale, BlockNVFP4& block) {
  constexpr int kBelow = 6;
  constexpr int kAbove = 3;
  constexpr int kLargestCode = 0x7E;
  for (int group = 0; group < 4; ++group) {
    const float* from = x + 16 * group;
    const float* weights = importance == nullptr ? nullptr : importance + 16 * group;
    const float wanted = largest_magnitude(from, 16) / kLargestE2M1 / tensor_scale;
    const int middle = float_to_e4m3(wanted);
    float best = INFINITY;
    uint8_t best_codes[16] = {};
    uint8_t best_scale = 0;
    for (int scale = std::max(0, middle - kBelow); scale <= std::min(kLargestCode, middle + kAbove);
         ++scale) {
      uint8_t codes[16];
      const float error =
          encode_group(from, weights, e4m3_to_float(static_cast<uint8_t>(scale)) * tensor_scale, codes);
      if (!(error < best)) continue;
      best = error;
      best_scale = static_cast<uint8_t>(scale);
      std::memcpy(best_codes, codes, sizeof codes);
    }
    block.d[group] = best_scale;
    for (int i = 0; i < 8; ++i) {
      block.qs[8 * group + i] = static_cast<uint8_t>(best_codes[i] | best_codes[i + 8] << 4);
    }
  }
}

template <typename Block>
void quantize_blocks(const float* row, uint64_t columns, const float* importance, float tensor_scale,
                     uint64_t block_elements, std::byte* out) {
  auto* blocks = reinterpret_cast<Block*>(out);
  for (uint64_t i = 0; i < columns / block_elements; ++i) {
    const float* weights = importance == nullptr ? nullptr : importance + i * block_elements;
    quantize(row + i * block_elements, weights, tensor_scale, blocks[i]);
  }
}

}  // namespace

bool can_quantize(TensorType type) {
  switch (type) {
    case TensorType::Q8_0:
    case TensorType::Q2_K:
    case TensorType::Q3_K:
    case TensorType::Q4_K:
    case TensorType::Q5_K:
    case TensorType::Q6_K:
    case TensorType::FP8:
    case TensorType::NVFP4: return true;
    default: return false;
  }
}

void quantize_row(TensorType type, const float* row, uint64_t columns, const float* importance,
                  float tensor_scale, std::byte* out) {
  switch (type) {
#define INLAY_QUANTIZE(name)                                                    \
  case TensorType::name:                                                        \
    return quantize_blocks<Block##name>(row, columns, importance, tensor_scale, \
                                        traits(TensorType::name).block_elements, out);
    INLAY_QUANTIZE(Q8_0)
    INLAY_QUANTIZE(Q2_K)
    INLAY_QUANTIZE(Q3_K)
    INLAY_QUANTIZE(Q4_K)
    INLAY_QUANTIZE(Q5_K)
    INLAY_QUANTIZE(Q6_K)
    INLAY_QUANTIZE(FP8)
    INLAY_QUANTIZE(NVFP4)
#undef INLAY_QUANTIZE
    default: return;
  }
}

float nvfp4_tensor_scale(float largest_magnitude) {
  const float scale = largest_magnitude / (kLargestE2M1 * kLargestE4M3);
  return scale > 0 ? scale : 1.0f;
}

}  // namespace inlay
