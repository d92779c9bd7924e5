#include "runtime/checkpoint_config.h"

#include <cmath>
#include <string>

#include "runtime/error.h"

namespace inlay {
namespace {

using Value = JsonDocument::Value;

class ConfigReader {
 public:
  ConfigReader(Value text, std::string_view name) : text_(text), name_(name) {}

  [[noreturn]] void fail(inlay_status status, const std::string& what) const {
    throw Error(status, std::string(name_) + ": " + what);
  }

  uint64_t number(const char* key) const {
    const auto value = text_[key].unsigned_integer();
    if (!value || *value == 0 || *value > UINT32_MAX) {
      fail(INLAY_ERROR_CORRUPT_FILE, std::string(key) + " is missing or no positive number");
    }
    return *value;
  }
  uint64_t number_or(const char* key, uint64_t otherwise) const {
    const Value value = text_[key];
    return value.type() == JsonDocument::Type::kNull ? otherwise : number(key);
  }
  /// From the rotary parameters, or from beside them, as older configurations have it.
  double rotary(const char* key, double otherwise) const {
    for (const char* group : {"rope_parameters", "rope_scaling"}) {
      if (const auto value = text_[group][key].real()) return *value;
    }
    return text_[key].real().value_or(otherwise);
  }
  double real(const char* key) const {
    const auto value = text_[key].real();
    if (!value) fail(INLAY_ERROR_CORRUPT_FILE, std::string(key) + " is missing or no number");
    return *value;
  }
  void refuse_if(const char* key) const {
    if (text_[key].truth().value_or(false)) fail(INLAY_ERROR_UNSUPPORTED, std::string(key) + " is set");
  }

 private:
  Value text_;
  std::string_view name_;
};

/// Every `interval`th layer is a full-attention one; a list of the layers' types has to say the same.
uint64_t attention_interval(const ConfigReader& reader, Value text, uint64_t layers) {
  uint64_t interval = reader.number_or("full_attention_interval", 0);
  const Value types = text["layer_types"];
  if (!types.is_array()) return interval == 0 ? 4 : interval;
  uint64_t layer = 0;
  for (Value type = types.first(); type; type = type.next(), ++layer) {
    const bool full = type.text() == "full_attention";
    if (!full && type.text() != "linear_attention")
      reader.fail(INLAY_ERROR_UNSUPPORTED, "a layer type is unknown");
    if (full && interval == 0) interval = layer + 1;
    if (full != (interval != 0 && (layer + 1) % interval == 0)) {
      reader.fail(INLAY_ERROR_UNSUPPORTED, "layer_types is no repetition of one interval");
    }
  }
  if (layer != layers) reader.fail(INLAY_ERROR_CORRUPT_FILE, "layer_types has not num_hidden_layers entries");
  return interval;
}

void read_quantisation(Value quantisation, const ConfigReader& reader, CheckpointConfig& config) {
  config.fp8_kv |= quantisation["kv_cache_quant_algo"].text() == "FP8";
  const Value scheme = quantisation["kv_cache_scheme"];
  config.fp8_kv |= scheme["num_bits"].unsigned_integer() == uint64_t{8} && scheme["type"].text() == "float";
  const Value block = quantisation["weight_block_size"];
  if (!block.is_array()) return;
  const auto rows = block.at(0).unsigned_integer();
  const auto columns = block.at(1).unsigned_integer();
  if (!rows || !columns || *rows == 0 || *columns == 0) {
    reader.fail(INLAY_ERROR_CORRUPT_FILE, "weight_block_size is not two positive numbers");
  }
  config.fp8_block_rows = *rows;
  config.fp8_block_columns = *columns;
}

}  // namespace

CheckpointConfig read_checkpoint_config(Value root, std::string_view name) {
  const Value text = root["text_config"].is_object() ? root["text_config"] : root;
  const ConfigReader reader(text, name);
  const std::string_view model = text["model_type"].text().value_or("");
  if (model != "qwen3_5" && model != "qwen3_5_text" && model != "qwen3_6" && model != "qwen3_6_text") {
    reader.fail(INLAY_ERROR_UNSUPPORTED, "model_type is \"" + std::string(model.substr(0, 64)) +
                                             "\", Inlay runs \"qwen3_5\" and \"qwen3_6\"");
  }
  reader.refuse_if("attention_bias");
  CheckpointConfig config;
  const uint64_t layers = reader.number("num_hidden_layers");
  const uint64_t mtp_layers = reader.number_or("mtp_num_hidden_layers", 0);
  config.number(ModelNumber::BlockCount) = layers + mtp_layers;
  config.number(ModelNumber::MtpLayers) = mtp_layers;
  config.number(ModelNumber::AttentionInterval) = attention_interval(reader, text, layers);
  config.number(ModelNumber::ContextLength) = reader.number("max_position_embeddings");
  config.number(ModelNumber::EmbeddingLength) = reader.number("hidden_size");
  config.number(ModelNumber::FeedForwardLength) = reader.number("intermediate_size");
  config.number(ModelNumber::AttentionHeads) = reader.number("num_attention_heads");
  config.number(ModelNumber::AttentionKvHeads) = reader.number("num_key_value_heads");
  const uint64_t head_length = reader.number("head_dim");
  config.number(ModelNumber::AttentionKeyLength) = head_length;
  config.number(ModelNumber::AttentionValueLength) = head_length;
  const double rotary_part = reader.rotary("partial_rotary_factor", 0.25);
  if (!(rotary_part > 0 && rotary_part <= 1))
    reader.fail(INLAY_ERROR_CORRUPT_FILE, "partial_rotary_factor is out of range");
  config.number(ModelNumber::RopeLength) =
      static_cast<uint64_t>(std::lround(rotary_part * static_cast<double>(head_length)));
  config.number(ModelNumber::ConvolutionTaps) = reader.number("linear_conv_kernel_dim");
  const uint64_t state_length = reader.number("linear_key_head_dim");
  if (reader.number("linear_value_head_dim") != state_length) {
    reader.fail(INLAY_ERROR_UNSUPPORTED, "linear_value_head_dim differs from linear_key_head_dim");
  }
  config.number(ModelNumber::StateLength) = state_length;
  config.number(ModelNumber::KeyHeads) = reader.number("linear_num_key_heads");
  config.number(ModelNumber::ValueHeads) = reader.number("linear_num_value_heads");
  if (config.number(ModelNumber::ValueHeads) % config.number(ModelNumber::KeyHeads) != 0) {
    reader.fail(INLAY_ERROR_UNSUPPORTED, "linear_num_value_heads is no multiple of linear_num_key_heads");
  }
  config.number(ModelNumber::InnerLength) = config.number(ModelNumber::ValueHeads) * state_length;
  config.reals[static_cast<size_t>(ModelReal::RmsEpsilon)] = reader.real("rms_norm_eps");
  config.reals[static_cast<size_t>(ModelReal::RopeBase)] = reader.rotary("rope_theta", 10'000'000.0);
  config.tied_embeddings =
      (text["tie_word_embeddings"].truth() ? text : root)["tie_word_embeddings"].truth().value_or(false);
  for (const Value place : {root, text}) read_quantisation(place["quantization_config"], reader, config);
  return config;
}

}  // namespace inlay
