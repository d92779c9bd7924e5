#include "formats/dequantize.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "formats/blocks.h"

namespace inlay {
namespace {

StoredHalf stored(float value) {
  StoredHalf half;
  const uint16_t bits = float_to_half(value);
  std::memcpy(half.bytes, &bits, 2);
  return half;
}

template <typename Block>
std::vector<float> weights(TensorType type, const Block& block) {
  // At an odd address: a tensor may lie anywhere in a file.
  std::vector<std::byte> bytes(sizeof(Block) + 1);
  std::memcpy(bytes.data() + 1, &block, sizeof(Block));
  std::vector<float> out(traits(type).block_elements);
  dequantize_row(type, bytes.data() + 1, out.size(), out.data());
  return out;
}

TEST_CASE("small floats: every binary16 survives the way to float and back") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = half_to_float(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      CHECK(std::isnan(half_to_float(float_to_half(value))));
    } else {
      CHECK(float_to_half(value) == bits);
    }
  }
  CHECK(half_to_float(0x3C00) == 1.0f);
  CHECK(half_to_float(0x0001) == 0x1p-24f);
  CHECK(half_to_float(0xFBFF) == -65504.0f);
}

TEST_CASE("small floats: rounding is to nearest, ties to even") {
  CHECK(float_to_half(1.0f + 0x1p-11f) == 0x3C00);
  CHECK(float_to_half(1.0f + 0x3p-11f) == 0x3C02);
  CHECK(float_to_half(65519.9f) == 0x7BFF);
  CHECK(float_to_half(65520.0f) == 0x7C00);
  CHECK(float_to_half(0x1p-25f) == 0);
  CHECK(float_to_half(0x1.8p-24f) == 2);
  CHECK(float_to_bfloat16(1.0f + 0x1p-8f) == 0x3F80);
  CHECK(float_to_bfloat16(1.0f + 0x3p-8f) == 0x3F82);
  CHECK(float_to_bfloat16(std::numeric_limits<float>::infinity()) == 0x7F80);
  CHECK(std::isnan(bfloat16_to_float(float_to_bfloat16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST_CASE("small floats: scales of eight bits") {
  CHECK(half_e8m0_to_float(128) == 1.0f);
  CHECK(half_e8m0_to_float(0) == 0x1p-128f);
  CHECK(half_e8m0_to_float(1) == 0x1p-127f);
  CHECK(half_ue4m3_to_float(0x38) == 0.5f);
  CHECK(half_ue4m3_to_float(0x7E) == 224.0f);
  CHECK(half_ue4m3_to_float(0x01) == 0x1p-10f);
  CHECK(half_ue4m3_to_float(0x7F) == 0.0f);
}

TEST_CASE("dequantise: blocks of 32 take low nibbles first") {
  BlockQ4_0 q4_0 = {stored(0.5f), {}};
  BlockQ4_1 q4_1 = {stored(0.5f), stored(-3.0f), {}};
  BlockIQ4_NL iq4_nl = {stored(0.5f), {}};
  BlockMXFP4 mxfp4 = {126, {}};
  for (int i = 0; i < 16; ++i) {
    const uint8_t codes = static_cast<uint8_t>(i | (15 - i) << 4);
    q4_0.qs[i] = q4_1.qs[i] = iq4_nl.qs[i] = mxfp4.qs[i] = codes;
  }
  const auto a = weights(TensorType::Q4_0, q4_0);
  const auto b = weights(TensorType::Q4_1, q4_1);
  const auto c = weights(TensorType::IQ4_NL, iq4_nl);
  const auto d = weights(TensorType::MXFP4, mxfp4);
  for (int i = 0; i < 16; ++i) {
    CHECK(a[i] == 0.5f * static_cast<float>(i - 8));
    CHECK(b[i] == 0.5f * static_cast<float>(i) - 3.0f);
    CHECK(c[i] == 0.5f * static_cast<float>(kIQ4Values[i]));
    CHECK(a[31 - i] == a[i]);
    CHECK(b[31 - i] == b[i]);
    CHECK(c[31 - i] == c[i]);
    CHECK(d[31 - i] == d[i]);
  }
  const std::array<float, 8> e2m1 = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  for (int i = 0; i < 8; ++i) {
    CHECK(d[i] == 0.5f * e2m1[i]);
    CHECK(d[8 + i] == -0.5f * e2m1[i]);
  }
}

TEST_CASE("dequantise: the fifth bits of Q5_0 and Q5_1") {
  for (int set = 0; set < 32; ++set) {
    BlockQ5_0 q5_0 = {stored(2.0f), {}, {}};
    BlockQ5_1 q5_1 = {stored(2.0f), stored(1.0f), {}, {}};
    q5_0.qh[set / 8] = q5_1.qh[set / 8] = static_cast<uint8_t>(1 << set % 8);
    const auto a = weights(TensorType::Q5_0, q5_0);
    const auto b = weights(TensorType::Q5_1, q5_1);
    for (int i = 0; i < 32; ++i) {
      CHECK(a[i] == (i == set ? 0.0f : -32.0f));
      CHECK(b[i] == (i == set ? 33.0f : 1.0f));
    }
  }
}

TEST_CASE("dequantise: NVFP4 groups of 16, low nibbles 0 to 7") {
  BlockNVFP4 block = {{0x38, 0x40, 0x30, 0x00}, {}};
  for (int i = 0; i < 32; ++i) block.qs[i] = static_cast<uint8_t>(i % 8 | 2 << 4);
  const auto w = weights(TensorType::NVFP4, block);
  CHECK(w[1] == 0.5f);
  CHECK(w[7] == 6.0f);
  CHECK(w[8] == 1.0f);
  CHECK(w[16 + 7] == 12.0f);
  CHECK(w[32 + 15] == 0.5f);
  CHECK(w[48 + 7] == 0.0f);
}

/// A block with one code set, in the place that the type's description in blocks.h gives it.
template <typename Block, typename Set>
void check_single_codes(TensorType type, const Block& empty, float background, Set set) {
  for (int i = 0; i < 256; ++i) {
    Block block = empty;
    const float expected = set(block, i);
    const auto w = weights(type, block);
    for (int j = 0; j < 256; ++j) CHECK(w[j] == (j == i ? expected : background));
  }
}

TEST_CASE("dequantise: where blocks of 256 keep their codes") {
  BlockQ2_K q2_k = {};
  std::memset(q2_k.scales, 0x23, 16);
  q2_k.d = stored(1.0f);
  q2_k.dmin = stored(0.5f);
  check_single_codes(TensorType::Q2_K, q2_k, -1.0f, [](BlockQ2_K& block, int i) {
    block.qs[i / 128 * 32 + i % 32] = static_cast<uint8_t>(3 << (i / 32 % 4 * 2));
    return 8.0f;
  });

  BlockQ3_K q3_k = {};
  std::memset(q3_k.scales, 0x11, 8);
  std::memset(q3_k.scales + 8, 0xAA, 4);
  q3_k.d = stored(1.0f);
  check_single_codes(TensorType::Q3_K, q3_k, -4.0f, [](BlockQ3_K& block, int i) {
    block.hmask[i % 32] = static_cast<uint8_t>(1 << (i / 32));
    block.qs[i / 128 * 32 + i % 32] = static_cast<uint8_t>(2 << (i / 32 % 4 * 2));
    return 2.0f;
  });

  BlockQ5_K q5_k = {stored(1.0f), stored(0.25f), {1, 1, 1, 1, 4, 4, 4, 4, 0x41, 0x41, 0x41, 0x41}, {}, {}};
  check_single_codes(TensorType::Q5_K, q5_k, -1.0f, [](BlockQ5_K& block, int i) {
    block.qh[i % 32] = static_cast<uint8_t>(1 << (i / 32));
    block.qs[i / 64 * 32 + i % 32] = static_cast<uint8_t>(9 << (i / 32 % 2 * 4));
    return 24.0f;
  });

  BlockQ6_K q6_k = {};
  std::memset(q6_k.scales, -1, 16);
  q6_k.d = stored(0.5f);
  check_single_codes(TensorType::Q6_K, q6_k, 16.0f, [](BlockQ6_K& block, int i) {
    const int quarter = i / 32 % 4;
    block.ql[i / 128 * 64 + quarter % 2 * 32 + i % 32] = static_cast<uint8_t>(5 << (quarter / 2 * 4));
    block.qh[i / 128 * 32 + i % 32] = static_cast<uint8_t>(3 << (quarter * 2));
    return -10.5f;
  });

  BlockIQ4_XS iq4_xs = {stored(1.0f), {0xAA, 0xAA}, {0x11, 0x11, 0x11, 0x11}, {}};
  check_single_codes(TensorType::IQ4_XS, iq4_xs, -127.0f, [](BlockIQ4_XS& block, int i) {
    block.qs[i / 32 * 16 + i % 16] = static_cast<uint8_t>(15 << (i / 16 % 2 * 4));
    return 113.0f;
  });
}

TEST_CASE("dequantise: which scale a group of 256 weights takes") {
  // Every group's six-bit scale and minimum is told from the others by its value.
  BlockQ4_K block = {stored(1.0f), stored(1.0f), {}, {}};
  const std::array<int, 8> scales = {1, 2, 3, 4, 17, 34, 51, 63};
  const std::array<int, 8> minimums = {60, 50, 40, 30, 20, 35, 55, 62};
  for (int i = 0; i < 4; ++i) {
    block.scales[i] = static_cast<uint8_t>(scales[i] | (scales[4 + i] >> 4) << 6);
    block.scales[4 + i] = static_cast<uint8_t>(minimums[i] | (minimums[4 + i] >> 4) << 6);
    block.scales[8 + i] = static_cast<uint8_t>((scales[4 + i] & 15) | (minimums[4 + i] & 15) << 4);
  }
  std::memset(block.qs, 0x11, sizeof(block.qs));
  const auto w = weights(TensorType::Q4_K, block);
  for (int i = 0; i < 256; ++i) CHECK(w[i] == static_cast<float>(scales[i / 32] - minimums[i / 32]));

  BlockQ3_K q3_k = {};
  q3_k.d = stored(1.0f);
  for (int group = 0; group < 16; ++group) {
    const int code = 3 * group + 5;
    q3_k.scales[group % 8] |= static_cast<uint8_t>((code & 15) << (group / 8 * 4));
    q3_k.scales[8 + group % 4] |= static_cast<uint8_t>((code >> 4) << (group / 4 * 2));
  }
  const auto w3 = weights(TensorType::Q3_K, q3_k);
  for (int i = 0; i < 256; ++i) CHECK(w3[i] == -4.0f * static_cast<float>(3 * (i / 16) + 5 - 32));

  BlockIQ4_XS iq4_xs = {stored(1.0f), {}, {}, {}};
  std::memset(iq4_xs.qs, 0x88, sizeof(iq4_xs.qs));
  for (int group = 0; group < 8; ++group) {
    const int code = 7 * group + 6;
    iq4_xs.scales_l[group / 2] |= static_cast<uint8_t>((code & 15) << (group % 2 * 4));
    iq4_xs.scales_h[group / 4] |= static_cast<uint8_t>((code >> 4) << (group % 4 * 2));
  }
  const auto wx = weights(TensorType::IQ4_XS, iq4_xs);
  for (int i = 0; i < 256; ++i) CHECK(wx[i] == static_cast<float>(7 * (i / 32) + 6 - 32));
}

}  // namespace
}  // namespace inlay
