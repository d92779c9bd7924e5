#include "formats/quantize.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "formats/blocks.h"
#include "formats/dequantize.h"
#include "runtime/error.h"
#include "runtime/quantisation.h"

namespace inlay {
namespace {

constexpr uint64_t kColumns = 1024;
constexpr uint64_t kRows = 24;

std::vector<float> normal_weights(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> weights(kRows * kColumns);
  // Sums of twelve uniform numbers: the same everywhere, unlike std::normal_distribution.
  for (float& weight : weights) {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(random()) / 4294967296.0;
    weight = static_cast<float>(0.02 * sum);
  }
  return weights;
}

std::vector<float> importances(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> importance(kColumns);
  for (float& value : importance) {
    value = std::exp(4.0f * static_cast<float>(static_cast<double>(random()) / 4294967296.0));
  }
  return importance;
}

struct Measured {
  double plain;     // root of the relative mean square error
  double weighted;  // likewise by importance
};

Measured measure(TensorType type, const std::vector<float>& weights, const std::vector<float>& importance,
                 bool use_importance) {
  float largest = 0;
  for (const float weight : weights) largest = std::max(largest, std::fabs(weight));
  const float scale = type == TensorType::NVFP4 ? nvfp4_tensor_scale(largest) : 1.0f;
  std::vector<std::byte> stored(row_bytes(type, kColumns));
  std::vector<float> back(kColumns);
  double error = 0, power = 0, weighted_error = 0, weighted_power = 0;
  for (uint64_t row = 0; row < kRows; ++row) {
    const float* from = weights.data() + row * kColumns;
    quantize_row(type, from, kColumns, use_importance ? importance.data() : nullptr, scale, stored.data());
    dequantize_row(type, stored.data(), kColumns, back.data());
    for (uint64_t i = 0; i < kColumns; ++i) {
      const double difference = static_cast<double>(back[i]) * scale - from[i];
      error += difference * difference;
      power += static_cast<double>(from[i]) * from[i];
      weighted_error += importance[i] * difference * difference;
      weighted_power += static_cast<double>(importance[i]) * from[i] * from[i];
    }
  }
  return {std::sqrt(error / power), std::sqrt(weighted_error / weighted_power)};
}

// ggml's quantisers (llama.cpp v0.5.0) leave these errors on normally distributed weights; 5120 x 200 of
// them.
struct Bar {
  TensorType type;
  double ggml;
};
constexpr Bar kBars[] = {{TensorType::Q8_0, 0.00536},  {TensorType::Q6_K, 0.01773},
                         {TensorType::Q5_K, 0.03604},  {TensorType::Q4_K, 0.07120},
                         {TensorType::Q3_K, 0.15056},  {TensorType::Q2_K, 0.29582},
                         {TensorType::NVFP4, 0.10306}, {TensorType::FP8, 0.03}};

TEST_CASE("quantising leaves no more error than ggml") {
  const std::vector<float> weights = normal_weights(1);
  const std::vector<float> importance = importances(2);
  for (const Bar& bar : kBars) {
    CAPTURE(std::string(traits(bar.type).name));
    REQUIRE(can_quantize(bar.type));
    CHECK(measure(bar.type, weights, importance, false).plain <= bar.ggml);
  }
}

TEST_CASE("an importance lessens the error that it weighs") {
  const std::vector<float> weights = normal_weights(3);
  const std::vector<float> importance = importances(4);
  for (const TensorType type : {TensorType::Q6_K, TensorType::Q5_K, TensorType::Q4_K, TensorType::Q3_K,
                                TensorType::Q2_K, TensorType::NVFP4}) {
    CAPTURE(std::string(traits(type).name));
    const Measured with = measure(type, weights, importance, true);
    const Measured without = measure(type, weights, importance, false);
    CHECK(with.weighted < without.weighted);
    CHECK(with.plain >= without.plain);
  }
}

TEST_CASE("Q8_0 rounds as ggml does") {
  std::vector<float> x(32, 0.0f);
  x[0] = 127.0f;
  x[1] = 2.5f;  // halves go away from zero
  x[2] = -2.5f;
  x[3] = 0.49f;
  BlockQ8_0 block;
  quantize_row(TensorType::Q8_0, x.data(), 32, nullptr, 1.0f, reinterpret_cast<std::byte*>(&block));
  CHECK(block.d.value() == 1.0f);
  CHECK(block.qs[0] == 127);
  CHECK(block.qs[1] == 3);
  CHECK(block.qs[2] == -3);
  CHECK(block.qs[3] == 0);
}

TEST_CASE("blocks of zeros, of one number and of extremes come back") {
  for (const Bar& bar : kBars) {
    CAPTURE(std::string(traits(bar.type).name));
    for (const float value : {0.0f, 0.5f, -0.5f, 1e-30f, -3e4f}) {
      CAPTURE(value);
      std::vector<float> x(256, value);
      std::vector<std::byte> stored(row_bytes(bar.type, 256));
      const float scale = bar.type == TensorType::NVFP4 ? nvfp4_tensor_scale(std::fabs(value)) : 1.0f;
      quantize_row(bar.type, x.data(), 256, nullptr, scale, stored.data());
      std::vector<float> back(256);
      dequantize_row(bar.type, stored.data(), 256, back.data());
      for (const float result : back)
        CHECK(std::fabs(result * scale - value) <= 0.04f * std::fabs(value) + 1e-29f);
    }
    // Columns without any importance are not left out.
    std::vector<float> x(256), none(256, 0.0f), back(256);
    for (int i = 0; i < 256; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i - 128);
    std::vector<std::byte> stored(row_bytes(bar.type, 256));
    quantize_row(bar.type, x.data(), 256, none.data(), 1.0f, stored.data());
    dequantize_row(bar.type, stored.data(), 256, back.data());
    for (const float result : back) CHECK(std::isfinite(result));
  }
}

TEST_CASE("E4M3 numbers round to nearest, ties to even") {
  for (int code = 0; code < 0x7F; ++code) {
    const float value = e4m3_to_float(static_cast<uint8_t>(code));
    CHECK(float_to_e4m3(value) == code);
    CHECK(float_to_e4m3(-value) == (code | 0x80));
    if (code == 0x7E) continue;
    const float middle = 0.5f * (value + e4m3_to_float(static_cast<uint8_t>(code + 1)));
    CHECK(float_to_e4m3(middle) == (code % 2 == 0 ? code : code + 1));
    CHECK(float_to_e4m3(std::nextafter(middle, 0.0f)) == code);
    CHECK(float_to_e4m3(std::nextafter(middle, 1e9f)) == code + 1);
  }
  CHECK(float_to_e4m3(1e9f) == 0x7E);
  CHECK(float_to_e4m3(-1e9f) == 0xFE);
}

StoredTensor matrix(std::string_view name, uint64_t columns = 512) {
  StoredTensor tensor;
  tensor.name = name;
  tensor.type = TensorType::BF16;
  tensor.dimensions = {columns, 64, 1, 1};
  tensor.dimension_count = 2;
  return tensor;
}

/// Taken from what llama-quantize (llama.cpp v0.5.0) makes of models of 24 layers and an MTP block.
TEST_CASE("the K types' mixes are llama-quantize's") {
  const QuantisationShape shape = {25, 1, 8, 2, false};
  const auto type = [&](Quantisation quantisation, std::string_view name) {
    return quantised_type(quantisation, matrix(name), shape);
  };
  CHECK(type(Quantisation::kQ4_K_M, "output.weight") == TensorType::Q6_K);
  CHECK(type(Quantisation::kQ4_K_M, "token_embd.weight") == TensorType::Q4_K);
  CHECK(type(Quantisation::kQ4_K_M, "blk.0.attn_qkv.weight") == TensorType::Q6_K);
  CHECK(type(Quantisation::kQ4_K_M, "blk.3.attn_v.weight") == TensorType::Q4_K);
  CHECK(type(Quantisation::kQ4_K_M, "blk.5.ffn_down.weight") == TensorType::Q6_K);
  CHECK(type(Quantisation::kQ4_K_M, "blk.6.ffn_down.weight") == TensorType::Q4_K);
  CHECK(type(Quantisation::kQ4_K_M, "blk.24.ffn_down.weight") == TensorType::Q6_K);
  CHECK(type(Quantisation::kQ4_K_M, "blk.1.ssm_alpha.weight") == TensorType::Q4_K);
  CHECK(type(Quantisation::kQ4_K_M, "blk.1.ssm_conv1d.weight") == TensorType::BF16);
  CHECK(type(Quantisation::kQ4_K_M, "blk.1.attn_norm.weight") == TensorType::BF16);
  CHECK(type(Quantisation::kQ5_K_M, "blk.3.ffn_up.weight") == TensorType::Q5_K);
  CHECK(type(Quantisation::kQ5_K_M, "blk.23.attn_v.weight") == TensorType::Q6_K);
  CHECK(type(Quantisation::kQ2_K, "blk.3.attn_v.weight") == TensorType::Q4_K);
  CHECK(type(Quantisation::kQ2_K, "blk.3.attn_output.weight") == TensorType::Q3_K);
  CHECK(type(Quantisation::kQ2_K, "blk.3.ffn_down.weight") == TensorType::Q3_K);
  CHECK(type(Quantisation::kQ2_K, "blk.3.ffn_up.weight") == TensorType::Q2_K);
  CHECK(type(Quantisation::kQ6_K, "output.weight") == TensorType::Q6_K);
  CHECK(type(Quantisation::kQ8_0, "token_embd.weight") == TensorType::Q8_0);
  CHECK(quantised_type(Quantisation::kQ2_K, matrix("blk.3.attn_v.weight"), {25, 1, 4, 2, false}) ==
        TensorType::Q3_K);
  CHECK(quantised_type(Quantisation::kQ4_K_M, matrix("token_embd.weight"), {25, 1, 8, 2, true}) ==
        TensorType::Q6_K);
  CHECK(quantised_type(Quantisation::kQ4_K_M, matrix("blk.0.ffn_up.weight", 96), shape) == TensorType::Q8_0);
  CHECK(quantised_type(Quantisation::kQ4_K_M, matrix("blk.0.ffn_up.weight", 40), shape) == TensorType::BF16);
}

TEST_CASE("FP8 and NVFP4 leave what publishers leave") {
  const QuantisationShape shape = {25, 1, 8, 2, false};
  for (const Quantisation quantisation : {Quantisation::kFp8, Quantisation::kNvfp4}) {
    for (const char* name :
         {"token_embd.weight", "output.weight", "blk.0.ssm_alpha.weight", "blk.0.ssm_beta.weight",
          "blk.24.nextn.eh_proj.weight", "blk.0.ssm_conv1d.weight"}) {
      CAPTURE(std::string(name));
      CHECK(quantised_type(quantisation, matrix(name), shape) == TensorType::BF16);
    }
  }
  CHECK(quantised_type(Quantisation::kFp8, matrix("blk.24.ffn_up.weight"), shape) == TensorType::FP8);
  CHECK(quantised_type(Quantisation::kNvfp4, matrix("blk.24.ffn_up.weight"), shape) == TensorType::BF16);
  CHECK(quantised_type(Quantisation::kNvfp4, matrix("blk.23.ffn_up.weight"), shape) == TensorType::NVFP4);
  CHECK_THROWS_AS(quantisation_of("q4"), Error);
  CHECK(quantisation_of("") == Quantisation::kNone);
  CHECK(quantisation_of("nvfp4") == Quantisation::kNvfp4);
}

}  // namespace
}  // namespace inlay
