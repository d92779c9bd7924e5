#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>

#include "formats/blocks.h"
#include "formats/tensor_type.h"

namespace inlay::test {

/// Overwrites one of a block's binary16 fields with a number of either sign, about 0.01 to 0.1.
inline void randomise_half(StoredHalf& half, std::mt19937& random) {
  const float magnitude = std::uniform_real_distribution<float>(0.01f, 0.1f)(random);
  const uint16_t bits = float_to_half(random() % 2 == 0 ? magnitude : -magnitude);
  std::memcpy(half.bytes, &bits, sizeof(bits));
}

/// A row of `columns` weights of any type: random codes and scales, all finite and of like size.
inline void fill_random_weights(TensorType type, uint32_t columns, std::mt19937& random, std::byte* row) {
  const uint64_t bytes = row_bytes(type, columns);
  std::normal_distribution<float> normal;
  switch (type) {
    case TensorType::F32:
      for (uint32_t i = 0; i < columns; ++i) {
        const float value = normal(random);
        std::memcpy(row + 4 * i, &value, 4);
      }
      return;
    case TensorType::F16:
    case TensorType::BF16:
      for (uint32_t i = 0; i < columns; ++i) {
        const float value = normal(random);
        const uint16_t bits = type == TensorType::F16 ? float_to_half(value) : float_to_bfloat16(value);
        std::memcpy(row + 2 * i, &bits, 2);
      }
      return;
    default: break;
  }
  for (uint64_t i = 0; i < bytes; ++i) row[i] = static_cast<std::byte>(random());

  const auto for_blocks = [&]<typename Block>(auto change) {
    Block* blocks = reinterpret_cast<Block*>(row);
    for (uint64_t i = 0; i < bytes / sizeof(Block); ++i) change(blocks[i]);
  };
  const auto d = [&](auto& block) { randomise_half(block.d, random); };
  const auto d_and_m = [&](auto& block) {
    randomise_half(block.d, random);
    randomise_half(block.m, random);
  };
  const auto d_and_dmin = [&](auto& block) {
    randomise_half(block.d, random);
    randomise_half(block.dmin, random);
  };
  switch (type) {
    case TensorType::F32:
    case TensorType::F16:
    case TensorType::BF16: return;
    case TensorType::Q4_0: return for_blocks.operator()<BlockQ4_0>(d);
    case TensorType::Q4_1: return for_blocks.operator()<BlockQ4_1>(d_and_m);
    case TensorType::Q5_0: return for_blocks.operator()<BlockQ5_0>(d);
    case TensorType::Q5_1: return for_blocks.operator()<BlockQ5_1>(d_and_m);
    case TensorType::Q8_0: return for_blocks.operator()<BlockQ8_0>(d);
    case TensorType::Q2_K: return for_blocks.operator()<BlockQ2_K>(d_and_dmin);
    case TensorType::Q3_K: return for_blocks.operator()<BlockQ3_K>(d);
    case TensorType::Q4_K: return for_blocks.operator()<BlockQ4_K>(d_and_dmin);
    case TensorType::Q5_K: return for_blocks.operator()<BlockQ5_K>(d_and_dmin);
    case TensorType::Q6_K: return for_blocks.operator()<BlockQ6_K>(d);
    case TensorType::IQ4_NL: return for_blocks.operator()<BlockIQ4_NL>(d);
    case TensorType::IQ4_XS: return for_blocks.operator()<BlockIQ4_XS>(d);
    case TensorType::MXFP4:
      return for_blocks.operator()<BlockMXFP4>(
          [&](BlockMXFP4& block) { block.e = static_cast<uint8_t>(120 + random() % 6); });
    case TensorType::NVFP4: return;
    case TensorType::FP8:
      return for_blocks.operator()<BlockFP8>([&](BlockFP8& block) {
        const float scale = 0.001f * static_cast<float>(1 + random() % 100);
        std::memcpy(block.d, &scale, sizeof scale);
        for (uint8_t& code : block.qs) code = (code & 0x7F) == 0x7F ? 0 : code;  // no NaN
      });
  }
}

}  // namespace inlay::test
