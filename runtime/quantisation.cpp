#include "runtime/quantisation.h"

#include <charconv>
#include <string>

#include "formats/quantize.h"
#include "runtime/error.h"

namespace inlay {
namespace {

struct Named {
  std::string_view name;
  Quantisation quantisation;
};
constexpr Named kNames[] = {
    {"", Quantisation::kNone},         {"q8_0", Quantisation::kQ8_0},     {"q6_k", Quantisation::kQ6_K},
    {"q5_k_m", Quantisation::kQ5_K_M}, {"q4_k_m", Quantisation::kQ4_K_M}, {"q2_k", Quantisation::kQ2_K},
    {"fp8", Quantisation::kFp8},       {"nvfp4", Quantisation::kNvfp4},
};

constexpr uint32_t kNoBlock = UINT32_MAX;

/// The number in "blk.7.ffn_up.weight"; kNoBlock of any other tensor.
uint32_t block_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return kNoBlock;
  uint32_t block = kNoBlock;
  std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), block);
  return block;
}

bool is_matrix(const StoredTensor& tensor) {
  return tensor.rows() > 1 && tensor.name.ends_with(".weight") && !tensor.name.ends_with("_norm.weight") &&
         tensor.name.find("ssm_conv1d") == std::string_view::npos;
}

TensorType base_type(Quantisation quantisation) {
  switch (quantisation) {
    case Quantisation::kQ6_K: return TensorType::Q6_K;
    case Quantisation::kQ5_K_M: return TensorType::Q5_K;
    case Quantisation::kQ4_K_M: return TensorType::Q4_K;
    case Quantisation::kQ2_K: return TensorType::Q2_K;
    default: return TensorType::Q8_0;
  }
}

/// The first and the last eighth of the layers, and every third between.
bool gets_more_bits(uint32_t block, uint32_t blocks) {
  const uint32_t eighth = blocks / 8;
  return block < eighth || block >= 7 * blocks / 8 || (block - eighth) % 3 == 2;
}

TensorType k_type(Quantisation quantisation, const StoredTensor& tensor, const QuantisationShape& shape) {
  const TensorType base = base_type(quantisation);
  if (base == TensorType::Q8_0 || base == TensorType::Q6_K) return base;
  const std::string_view name = tensor.name;
  if (name == "output.weight" || (shape.tied_embeddings && name == "token_embd.weight"))
    return TensorType::Q6_K;
  const bool two_bits = quantisation == Quantisation::kQ2_K;
  const bool more = gets_more_bits(block_of(name), shape.blocks);
  if (name.ends_with("attn_v.weight") || name.ends_with("attn_qkv.weight")) {
    if (two_bits) return shape.heads / shape.kv_heads >= 4 ? TensorType::Q4_K : TensorType::Q3_K;
    return more ? TensorType::Q6_K : base;
  }
  if (name.ends_with("ffn_down.weight")) {
    if (two_bits) return TensorType::Q3_K;
    return more ? TensorType::Q6_K : base;
  }
  return two_bits && name.ends_with("attn_output.weight") ? TensorType::Q3_K : base;
}

/// Whether those who publish FP8 and NVFP4 models leave the tensor as it is.
bool is_left(Quantisation quantisation, const StoredTensor& tensor, const QuantisationShape& shape) {
  const uint32_t block = block_of(tensor.name);
  if (block == kNoBlock) return true;
  if (quantisation == Quantisation::kNvfp4 && block + shape.mtp_blocks >= shape.blocks) return true;
  return tensor.name.ends_with("ssm_alpha.weight") || tensor.name.ends_with("ssm_beta.weight") ||
         tensor.name.find(".nextn.") != std::string_view::npos;
}

}  // namespace

Quantisation quantisation_of(std::string_view name) {
  std::string known;
  for (const Named& entry : kNames) {
    if (entry.name == name) return entry.quantisation;
    if (!entry.name.empty()) known += std::string(known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw Error(INLAY_ERROR_INVALID_ARGUMENT,
              "quantisation \"" + std::string(name.substr(0, 64)) + "\" is unknown, there are " + known);
}

TensorType quantised_type(Quantisation quantisation, const StoredTensor& tensor,
                          const QuantisationShape& shape) {
  if (quantisation == Quantisation::kNone || !is_matrix(tensor)) return tensor.type;
  const auto fits = [&](TensorType type) { return tensor.dimensions[0] % traits(type).block_elements == 0; };
  if (quantisation == Quantisation::kFp8 || quantisation == Quantisation::kNvfp4) {
    const TensorType type = quantisation == Quantisation::kFp8 ? TensorType::FP8 : TensorType::NVFP4;
    return fits(type) && !is_left(quantisation, tensor, shape) ? type : tensor.type;
  }
  const TensorType type = k_type(quantisation, tensor, shape);
  if (fits(type)) return type;
  return fits(TensorType::Q8_0) ? TensorType::Q8_0 : tensor.type;
}

}  // namespace inlay
