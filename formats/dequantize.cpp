#include "formats/dequantize.h"

#include <cstring>

#include "formats/blocks.h"

namespace inlay {
namespace {

void dequantize(const BlockQ4_0& block, float* out) {
  const float d = block.d.value();
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block.qs[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((block.qs[i] >> 4) - 8);
  }
}

void dequantize(const BlockQ4_1& block, float* out) {
  const float d = block.d.value();
  const float m = block.m.value();
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(block.qs[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(block.qs[i] >> 4) + m;
  }
}

template <typename Block>
int five_bit_code(const Block& block, int i) {
  const int nibble = i < 16 ? block.qs[i] & 15 : block.qs[i - 16] >> 4;
  return nibble | ((block.qh[i / 8] >> (i % 8)) & 1) << 4;
}

void dequantize(const BlockQ5_0& block, float* out) {
  const float d = block.d.value();
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(five_bit_code(block, i) - 16);
}

void dequantize(const BlockQ5_1& block, float* out) {
  const float d = block.d.value();
  const float m = block.m.value();
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(five_bit_code(block, i)) + m;
}

void dequantize(const BlockQ8_0& block, float* out) {
  const float d = block.d.value();
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.qs[i]);
}

int two_bit_code(const uint8_t* qs, int i) { return (qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2)) & 3; }

void dequantize(const BlockQ2_K& block, float* out) {
  const float d = block.d.value();
  const float dmin = block.dmin.value();
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(block.scales[group] & 15);
    const float minimum = dmin * static_cast<float>(block.scales[group] >> 4);
    for (int i = group * 16; i < group * 16 + 16; ++i) {
      out[i] = scale * static_cast<float>(two_bit_code(block.qs, i)) - minimum;
    }
  }
}

void dequantize(const BlockQ3_K& block, float* out) {
  const float d = block.d.value();
  for (int group = 0; group < 16; ++group) {
    const int low = group < 8 ? block.scales[group] & 15 : block.scales[group - 8] >> 4;
    const int high = (block.scales[8 + group % 4] >> (group / 4 * 2)) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    for (int i = group * 16; i < group * 16 + 16; ++i) {
      const int third_bit = (block.hmask[i % 32] >> (i / 32)) & 1;
      out[i] = scale * static_cast<float>((two_bit_code(block.qs, i) | third_bit << 2) - 4);
    }
  }
}

struct ScaleAndMinimum {
  int scale;
  int minimum;
};

ScaleAndMinimum six_bit_pair(const uint8_t* scales, int group) {
  if (group < 4) return {scales[group] & 63, scales[group + 4] & 63};
  return {(scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4,
          (scales[group + 4] >> 4) | (scales[group] >> 6) << 4};
}

void dequantize(const BlockQ4_K& block, float* out) {
  const float d = block.d.value();
  const float dmin = block.dmin.value();
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMinimum pair = six_bit_pair(block.scales, group);
    const float scale = d * static_cast<float>(pair.scale);
    const float minimum = dmin * static_cast<float>(pair.minimum);
    const uint8_t* qs = block.qs + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      out[group * 32 + i] = scale * static_cast<float>((qs[i] >> (group % 2 * 4)) & 15) - minimum;
    }
  }
}

void dequantize(const BlockQ5_K& block, float* out) {
  const float d = block.d.value();
  const float dmin = block.dmin.value();
  for (int group = 0; group < 8; ++group) {
    const ScaleAndMinimum pair = six_bit_pair(block.scales, group);
    const float scale = d * static_cast<float>(pair.scale);
    const float minimum = dmin * static_cast<float>(pair.minimum);
    const uint8_t* qs = block.qs + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      const int code = ((qs[i] >> (group % 2 * 4)) & 15) | ((block.qh[i] >> group) & 1) << 4;
      out[group * 32 + i] = scale * static_cast<float>(code) - minimum;
    }
  }
}

void dequantize(const BlockQ6_K& block, float* out) {
  const float d = block.d.value();
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int quarter = i / 32 % 4;
    const int low = (block.ql[half * 64 + quarter % 2 * 32 + i % 32] >> (quarter / 2 * 4)) & 15;
    const int high = (block.qh[half * 32 + i % 32] >> (quarter * 2)) & 3;
    out[i] = d * static_cast<float>(block.scales[i / 16]) * static_cast<float>((low | high << 4) - 32);
  }
}

void dequantize(const BlockIQ4_NL& block, float* out) {
  const float d = block.d.value();
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(kIQ4Values[block.qs[i] & 15]);
    out[i + 16] = d * static_cast<float>(kIQ4Values[block.qs[i] >> 4]);
  }
}

void dequantize(const BlockIQ4_XS& block, float* out) {
  const float d = block.d.value();
  for (int group = 0; group < 8; ++group) {
    const int low = (block.scales_l[group / 2] >> (group % 2 * 4)) & 15;
    const int high = (block.scales_h[group / 4] >> (group % 4 * 2)) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    for (int i = 0; i < 16; ++i) {
      const uint8_t codes = block.qs[group * 16 + i];
      out[group * 32 + i] = scale * static_cast<float>(kIQ4Values[codes & 15]);
      out[group * 32 + i + 16] = scale * static_cast<float>(kIQ4Values[codes >> 4]);
    }
  }
}

void dequantize(const BlockMXFP4& block, float* out) {
  const float d = half_e8m0_to_float(block.e);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(kDoubledE2M1Values[block.qs[i] & 15]);
    out[i + 16] = d * static_cast<float>(kDoubledE2M1Values[block.qs[i] >> 4]);
  }
}

void dequantize(const BlockNVFP4& block, float* out) {
  for (int group = 0; group < 4; ++group) {
    const float d = half_ue4m3_to_float(block.d[group]);
    for (int i = 0; i < 8; ++i) {
      const uint8_t codes = block.qs[group * 8 + i];
      out[group * 16 + i] = d * static_cast<float>(kDoubledE2M1Values[codes & 15]);
      out[group * 16 + i + 8] = d * static_cast<float>(kDoubledE2M1Values[codes >> 4]);
    }
  }
}

void dequantize(const BlockFP8& block, float* out) {
  const float d = block.scale();
  for (int i = 0; i < 128; ++i) out[i] = d * e4m3_to_float(block.qs[i]);
}

template <typename Block>
void dequantize_blocks(const std::byte* row, uint64_t columns, uint32_t block_elements, float* out) {
  const Block* blocks = reinterpret_cast<const Block*>(row);
  for (uint64_t i = 0; i < columns / block_elements; ++i) dequantize(blocks[i], out + i * block_elements);
}

}  // namespace

void dequantize_row(TensorType type, const std::byte* row, uint64_t columns, float* out) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(row);
  switch (type) {
    case TensorType::F32: std::memcpy(out, row, columns * sizeof(float)); return;
    case TensorType::F16:
      for (uint64_t i = 0; i < columns; ++i) {
        out[i] = half_to_float(static_cast<uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8));
      }
      return;
    case TensorType::BF16:
      for (uint64_t i = 0; i < columns; ++i) {
        out[i] = bfloat16_to_float(static_cast<uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8));
      }
      return;
#define INLAY_DEQUANTIZE(name) \
  case TensorType::name:       \
    return dequantize_blocks<Block##name>(row, columns, traits(TensorType::name).block_elements, out);
      INLAY_FOR_EACH_BLOCK_TYPE(INLAY_DEQUANTIZE)
#undef INLAY_DEQUANTIZE
    case TensorType::FP8:
      return dequantize_blocks<BlockFP8>(row, columns, traits(TensorType::FP8).block_elements, out);
  }
}

}  // namespace inlay
